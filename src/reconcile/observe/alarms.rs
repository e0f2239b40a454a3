//! CloudWatch alarms.

use std::collections::BTreeSet;

use super::{Look, LookError};
use crate::model::known::Known;
use crate::model::ledger::RevisionOutcome;

impl Look<'_> {
    /// Alarms of services that may be on their way. What was delivered or rejected depends on none.
    pub(super) async fn alarms(&mut self) -> Result<(), LookError> {
        let services = self.desired.services.iter();
        let mut names: BTreeSet<String> = services.flat_map(|it| it.alarms.clone()).collect();
        let unfinished = self.unfinished().into_iter();
        for revision in unfinished.filter(|it| it.outcome == RevisionOutcome::Pending) {
            let services = self.desired.at_revision(revision).services;
            names.extend(services.into_iter().flat_map(|it| it.alarms));
        }
        let on_its_way = self
            .current()
            .is_none_or(|revision| revision.outcome == RevisionOutcome::Pending);
        if names.is_empty() || !on_its_way {
            return Ok(());
        }
        self.observed.alarms = match self.view.alarms(&names).await {
            Ok(found) => found,
            Err(error) => {
                let why = self.failed(error)?;
                let unknown = |name| (name, Known::Unknown(why.clone()));
                names.into_iter().map(unknown).collect()
            }
        };
        Ok(())
    }
}
