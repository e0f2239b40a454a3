//! What is said of a Release: its status, where a pass led to one and where none could be made.

use jiff::Timestamp;

use super::execute::StepError;
use super::telling::Cause;
use super::{Looked, Pass, ReconcileError, Reconciler};
use crate::aws::error::ErrorClass;
use crate::model::desired::Deletion;
use crate::model::ledger::{Explanation, Ledger};
use crate::model::notice::Announced;
use crate::model::plan::{Action, Plan, Requeue, Step};
use crate::plan;
use crate::resource::meta::ReleaseKey;
use crate::resource::notification::Notification;
use crate::resource::status::ReleaseStatus;
use crate::store::{StoreError, StoredRelease};

/// A Release as far as telling its status needs it.
pub(super) struct Told {
    pub(super) key: ReleaseKey,
    pub(super) uid: String,
    generation: u64,
    deleting: Option<Deletion>,
    pub(super) status: ReleaseStatus,
    pub(super) status_version: u64,
    /// What people have been told of it.
    pub(super) announced: Announced,
    /// Who is told, where its Environment could be read.
    pub(super) notifications: Vec<Notification>,
    pub(super) applier: Option<String>,
    pub(super) source: Option<String>,
    pub(super) applied_at: Option<Timestamp>,
    /// The version of what people wrote.
    pub(super) version: Option<String>,
}

impl Told {
    pub(super) fn of(stored: &StoredRelease) -> Self {
        Self {
            key: stored.key(),
            uid: stored.uid().to_owned(),
            generation: stored.generation(),
            deleting: stored.deleting,
            status: stored.release.status.clone().unwrap_or_default(),
            status_version: stored.status_version,
            announced: stored.announced.clone(),
            notifications: Vec::new(),
            applier: stored.applier.clone(),
            source: stored.source.clone(),
            applied_at: Some(stored.applied_at),
            version: stored.release.metadata.resource_version.clone(),
        }
    }

    /// Whether its deletion leaves everything in AWS as it is.
    pub(super) fn is_left(&self) -> bool {
        self.deleting.is_some_and(|deletion| deletion.orphan)
    }

    /// Its status, if nothing can be planned.
    pub(super) fn stalled(&self, why: &Explanation, now: Timestamp) -> ReleaseStatus {
        let mut status = self.status.clone();
        status.observed_generation = Some(self.generation);
        plan::stall(&mut status, &self.status, why, now);
        status
    }
}

impl Reconciler {
    /// How a Release stands after the steps of `plan` up to the one that failed.
    pub(super) async fn conclude(
        &self,
        told: &Told,
        mut plan: Plan,
        failed: Option<(Action, StepError)>,
        ledger: &Ledger,
    ) -> Result<Pass, ReconcileError> {
        let previous = &told.status;
        let mut done = plan.actions.len();
        if let Some((action, _)) = &failed {
            let position = plan.actions.iter().position(|one| one == action);
            done = position.unwrap_or_default();
            plan::not_done(&mut plan.status, previous, &plan.actions[done..]);
        }
        let over_budget = failed.as_ref().and_then(|(action, error)| match error {
            StepError::OverBudget(over) => Some((action, over.after)),
            _ => None,
        });
        if let Some((action, _)) = over_budget {
            plan::over_budget(&mut plan.status, action);
        }
        if let Some(why) = failed.as_ref().and_then(refusal) {
            plan::stall(&mut plan.status, previous, &why, self.now());
            plan.requeue = Requeue::Resync;
        }
        let is_end = |action: &Action| matches!(action.step, Step::FinishDeletion);
        if failed.is_none() && plan.actions.iter().any(is_end) {
            return Ok(Pass::gone(plan));
        }
        let cause = Cause {
            ledger: Some(ledger),
            actions: &plan.actions[..done],
        };
        let told_anew = self.say(told, &plan.status, cause).await?;
        let over_budget = over_budget.map(|(_, after)| after);
        Ok(Pass {
            plan,
            failed: failed.filter(|_| over_budget.is_none()),
            over_budget,
            unread: false,
            whole: false,
            gone: false,
            told_anew,
            interest: None,
            applied_at: told.applied_at,
            version: None,
            settled: None,
        })
    }

    /// A spec that cannot be read, however it came into the table.
    pub(super) async fn unreadable(
        &self,
        key: &ReleaseKey,
        error: StoreError,
    ) -> Result<Looked, ReconcileError> {
        let Some(found) = self.store.unreadable_release(key).await? else {
            return Ok(Looked::Gone);
        };
        let told = Told {
            key: key.clone(),
            uid: found.uid,
            generation: found.generation,
            deleting: found.deleting,
            status: found.status.unwrap_or_default(),
            status_version: found.status_version,
            announced: found.announced,
            notifications: self.listeners(&key.namespace).await,
            applier: None,
            source: None,
            applied_at: None,
            version: None,
        };
        let why = Explanation {
            reason: "InvalidSpec".to_owned(),
            message: error.to_string(),
        };
        Ok(Looked::Stalled(told, why))
    }

    /// Who is told of what goes on in an Environment, as far as that can be read.
    async fn listeners(&self, namespace: &str) -> Vec<Notification> {
        let environment = self.environment(namespace).await;
        environment.map_or_else(|_| Vec::new(), |found| found.spec.notifications)
    }

    /// Nothing can be planned: told, and nothing else. A deletion that leaves everything as it is
    /// needs no plan.
    pub(super) async fn stalled(
        &self,
        told: &Told,
        why: Explanation,
    ) -> Result<Pass, ReconcileError> {
        if told.is_left() {
            self.writer()?.finish_deletion(&told.key, &told.uid).await?;
            return Ok(Pass::gone(Plan::default()));
        }
        let status = told.stalled(&why, self.now());
        let told_anew = self.say(told, &status, Cause::default()).await?;
        Ok(Pass {
            plan: Plan {
                status,
                ..Plan::default()
            },
            failed: None,
            over_budget: None,
            unread: false,
            whole: false,
            gone: false,
            told_anew,
            interest: None,
            applied_at: told.applied_at,
            version: None,
            settled: None,
        })
    }
}

/// What a refused step means for the Release: only a person can go on.
fn refusal((action, error): &(Action, StepError)) -> Option<Explanation> {
    let StepError::Aws(error) = error else {
        return None;
    };
    let reason = match error.class {
        ErrorClass::Denied => "AccessDenied",
        ErrorClass::Refused => "Refused",
        ErrorClass::NotFound => "NotFound",
        _ => return None,
    };
    Some(Explanation {
        reason: reason.to_owned(),
        message: format!("{}: {}", action.resource, error.lasting()),
    })
}
