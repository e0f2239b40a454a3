//! What a pass over a Release did.

use std::time::Duration;

use jiff::Timestamp;

use super::execute::{StepError, is_refusal};
use super::reads::Settled;
use crate::model::interest::Interest;
use crate::model::plan::{Action, Plan};

/// What a pass did.
#[derive(Debug)]
pub struct Pass {
    /// The decision that it followed, with the status that was written.
    pub plan: Plan,
    /// The step that was not carried out, and why.
    pub failed: Option<(Action, StepError)>,
    /// When to come back, where a step was not begun because too many requests were before it.
    pub over_budget: Option<Duration>,
    /// Something could not be looked at, and may be a little later.
    pub unread: bool,
    /// Everything was looked at: none of it was refused to us or could not be read.
    pub whole: bool,
    /// The Release does not exist any more.
    pub gone: bool,
    /// It stands otherwise than was told of it before.
    pub told_anew: bool,
    /// What it looked at; none where it could not get so far.
    pub interest: Option<Interest>,
    /// When the spec was written that it followed.
    pub applied_at: Option<Timestamp>,
    /// The version that a list of the table has while nothing that people wrote differs from what it
    /// followed; none where that is not known.
    pub version: Option<String>,
    /// Nothing is to be done or waited for while what it looked at stands as it does.
    pub settled: Option<Settled>,
}

impl Pass {
    /// The last one.
    pub(super) fn gone(plan: Plan) -> Self {
        Self {
            plan,
            failed: None,
            over_budget: None,
            unread: false,
            whole: false,
            gone: true,
            told_anew: false,
            interest: None,
            applied_at: None,
            version: None,
            settled: None,
        }
    }

    pub(super) fn having_looked_at(
        self,
        interest: Interest,
        applied_at: Option<Timestamp>,
    ) -> Self {
        Self {
            interest: Some(interest),
            applied_at,
            ..self
        }
    }

    /// The step that failed, where others were carried out before it.
    pub fn got_to(&self) -> Option<String> {
        let (failed, _) = self.failed.as_ref()?;
        let is_first = self.plan.actions.first() == Some(failed);
        (!is_first).then(|| format!("{} {}", failed.resource, failed.step.kind()))
    }

    /// Whether the same pass may do better a little later.
    pub fn is_retryable(&self) -> bool {
        match &self.failed {
            None => false,
            Some((_, StepError::Aws(error))) => !is_refusal(error),
            Some((_, StepError::Store(_) | StepError::NotStarted(_))) => true,
            // It has a time of its own.
            Some((_, StepError::OverBudget(_))) => false,
        }
    }
}
