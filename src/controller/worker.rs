//! One pass, told of and logged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::Instrument as _;

use super::happening::{Happening, Observer, What};
use super::queue::Look;
use crate::model::plan::Action;
use crate::reconcile::{Pass, ReconcileError, Reconciler};
use crate::resource::conditions::{ConditionStatus, ConditionType, find};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::ReleaseStatus;
use crate::store::ControllerStore;

/// Makes passes. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    reconciler: Reconciler,
    observer: Option<Observer>,
    /// How each Release stood when that was logged last.
    standing: Arc<Mutex<HashMap<ReleaseKey, String>>>,
}

impl Worker {
    /// Passes of `reconciler`, told to `observer`.
    pub fn new(reconciler: Reconciler, observer: Option<Observer>) -> Self {
        Self {
            reconciler,
            observer,
            standing: Arc::default(),
        }
    }

    /// What it reconciles with.
    pub fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// One pass over one Release, with the lease that `writer` proves.
    ///
    /// # Errors
    /// As [`Reconciler::reconcile`].
    pub async fn pass(
        &self,
        key: &ReleaseKey,
        look: Look,
        writer: ControllerStore,
    ) -> Result<Pass, ReconcileError> {
        let span =
            tracing::info_span!("reconcile", release = %key, generation = tracing::field::Empty);
        let passed = self.tell_of(key, look, writer).instrument(span).await;
        if let Err(error) = &passed {
            self.tell(key, What::Failed(error.to_string()));
        }
        passed
    }

    async fn tell_of(
        &self,
        key: &ReleaseKey,
        look: Look,
        writer: ControllerStore,
    ) -> Result<Pass, ReconcileError> {
        let on_step = |action: &Action, took: Option<Duration>| {
            let Some(took) = took else { return };
            tracing::info!(
                resource = action.resource,
                action = action.step.kind(),
                reason = action.reason,
                millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "done"
            );
            self.tell(key, What::Acted(Box::new(action.clone())));
        };
        let mut reconciler = self.reconciler.writing(writer);
        if let Look::Since(since) = look {
            reconciler = reconciler.content_with(since);
        }
        let pass = reconciler.reconcile(key, &on_step).await?;
        if let Some((action, error)) = &pass.failed {
            let step = action.step.kind();
            tracing::warn!(resource = action.resource, action = step, %error, "not done");
            let message = format!("{} {step}: {error}", action.resource);
            self.tell(key, What::NotDone(message));
        }
        if pass.gone {
            self.forget(key);
            return Ok(pass);
        }
        self.log_standing(key, &pass.plan.status);
        self.tell(
            key,
            What::Passed {
                plan: Box::new(pass.plan.clone()),
                failed: pass.failed.is_some(),
                observed: pass.whole,
                generation: pass.plan.status.observed_generation,
                applied_at: pass.applied_at,
            },
        );
        Ok(pass)
    }

    /// Everything that the last pass looked at stands as it did.
    pub fn same(&self, key: &ReleaseKey) {
        self.tell(key, What::Same);
    }

    /// One line whenever a Release stands otherwise than after the pass before.
    fn log_standing(&self, key: &ReleaseKey, status: &ReleaseStatus) {
        let stalled = find(&status.conditions, ConditionType::Stalled)
            .filter(|condition| condition.status == ConditionStatus::True);
        let Some(told) = stalled.or_else(|| find(&status.conditions, ConditionType::Ready)) else {
            return;
        };
        let line = format!("{}: {}", told.reason, told.message);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.get(key) == Some(&line) {
            return;
        }
        let (reason, message) = (&told.reason, &told.message);
        if stalled.is_some() {
            tracing::warn!(reason, message, "stalled");
        } else {
            tracing::info!(reason, message, "stands");
        }
        standing.insert(key.clone(), line);
    }

    /// The Release is no more, or another replica looks after it now.
    pub fn forget(&self, key: &ReleaseKey) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.remove(key);
        drop(standing);
        self.tell(key, What::Gone);
    }

    fn tell(&self, key: &ReleaseKey, what: What) {
        if let Some(observer) = &self.observer {
            observer(&Happening {
                at: self.reconciler.now(),
                release: key.clone(),
                what,
            });
        }
    }
}
