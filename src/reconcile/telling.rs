//! What people are to be told on account of a status: decided by the plan, written down with the
//! status, and handed to whoever sends it.

use tokio::sync::mpsc;

use super::told::Told;
use super::{ReconcileError, Reconciler};
use crate::model::ledger::Ledger;
use crate::model::notice::Outgoing;
use crate::model::plan::Action;
use crate::plan::notices::{self, Change};
use crate::resource::status::ReleaseStatus;
use crate::store::{StoreError, Telling};

/// What whoever sends notices hears of the table.
#[derive(Clone, Debug)]
pub enum Posted {
    /// These were put into it.
    Written(Vec<Outgoing>),
    /// Nobody knows whether some were: it has to be looked there.
    Perhaps,
}

/// What a status follows from, beside what is looked at.
#[derive(Clone, Copy, Default)]
pub(super) struct Cause<'a> {
    /// What is written down, where it was read.
    pub ledger: Option<&'a Ledger>,
    /// The steps that were carried out.
    pub actions: &'a [Action],
}

impl Reconciler {
    /// The same, which tells whoever sends notices of those that it writes down.
    pub fn posting_to(&self, sender: mpsc::UnboundedSender<Posted>) -> Self {
        Self {
            posts: Some(sender),
            ..self.clone()
        }
    }

    /// Writes a status, if it is another than before, with what people are to be told of it; says
    /// whether it is.
    pub(super) async fn say(
        &self,
        told: &Told,
        status: &ReleaseStatus,
        cause: Cause<'_>,
    ) -> Result<bool, ReconcileError> {
        if *status == told.status {
            return Ok(false);
        }
        let telling = self.telling(told, status, cause);
        let put = self
            .writer()?
            .put_status(&told.key, &told.uid, status, &telling, told.status_version)
            .await;
        match &put {
            Ok(_) => self.post(Posted::Written(telling.outgoing)),
            // Whoever has the lease now looks into the table.
            Err(StoreError::LostLease { .. }) => {}
            Err(_) if telling.outgoing.is_empty() => {}
            Err(_) => self.post(Posted::Perhaps),
        }
        put?;
        Ok(true)
    }

    /// What is news is kept up while nobody listens, too. Otherwise who listens later would not hear
    /// of what begins anew, and would hear of the end of what ended long ago.
    fn telling(&self, told: &Told, status: &ReleaseStatus, cause: Cause<'_>) -> Telling {
        let (notices, announced) = notices::notices(&Change {
            key: &told.key,
            uid: &told.uid,
            before: &told.status,
            after: status,
            version: told.status_version + 1,
            announced: &told.announced,
            ledger: cause.ledger,
            actions: cause.actions,
            applier: told.applier.as_deref(),
            source: told.source.as_deref(),
            now: self.now(),
        });
        Telling {
            outgoing: notices::outgoing(&told.notifications, &notices),
            announced,
        }
    }

    fn post(&self, posted: Posted) {
        let nothing = matches!(&posted, Posted::Written(list) if list.is_empty());
        if let Some(sender) = self.posts.as_ref().filter(|_| !nothing) {
            // Nobody sends any more when the controller has ended: the next one finds it.
            let _ = sender.send(posted);
        }
    }
}
