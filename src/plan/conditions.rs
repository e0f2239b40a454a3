//! Conditions of the status, from what stands in the way.

use jiff::Timestamp;

use super::draft::Draft;
use crate::model::ledger::Explanation;
use crate::model::plan::{Action, Step};
use crate::resource::conditions::{Condition, ConditionStatus, ConditionType, find};
use crate::resource::status::{DifferenceAction, ReleaseStatus};

/// Why a Release is not Ready whose next step is carried out at once.
const PROGRESSING: &str = "Progressing";

/// Writes Ready, Reconciling, Stalled and Drifted.
pub fn write(draft: &mut Draft<'_>) {
    let suspended = draft.input.desired.suspend && draft.input.desired.deleting.is_none();
    let (ready, state, told) = standing(draft, suspended);
    let mut conditions = vec![condition(draft, ConditionType::Ready, ready, &told)];
    if let Some(kind) = state {
        conditions.push(condition(draft, kind, ConditionStatus::True, &told));
    }
    if draft.compared {
        if let Some((status, told)) = drifted(draft) {
            conditions.push(condition(draft, ConditionType::Drifted, status, &told));
        }
    } else {
        conditions.extend(not_compared(draft, suspended));
    }
    draft.status.conditions = conditions;
}

fn standing(
    draft: &Draft<'_>,
    suspended: bool,
) -> (ConditionStatus, Option<ConditionType>, Explanation) {
    let reconciling = Some(ConditionType::Reconciling);
    if suspended {
        let message = super::holds::suspension(draft.input.desired);
        return (ConditionStatus::False, None, told("Suspended", &message));
    }
    if let Some(why) = draft.stalled.first() {
        return (
            ConditionStatus::False,
            Some(ConditionType::Stalled),
            why.clone(),
        );
    }
    if let Some(why) = draft.unknown.first() {
        return (ConditionStatus::Unknown, reconciling, why.clone());
    }
    if let Some(why) = draft.holds.first() {
        return (ConditionStatus::False, None, why.clone());
    }
    if let Some(why) = draft.progressing.first() {
        return (ConditionStatus::False, reconciling, why.clone());
    }
    let moving = draft
        .actions
        .iter()
        .find(|action| !is_housekeeping(&action.step));
    if let Some(action) = moving {
        return (
            ConditionStatus::False,
            reconciling,
            told(PROGRESSING, &action.reason),
        );
    }
    let revision = draft.status.revision.unwrap_or_default();
    let pin = super::revision::current(draft).and_then(|current| current.pinned);
    let message = match pin {
        Some(to) => format!("revision {revision}: revision {to} is so again, as it was recorded"),
        None => format!("revision {revision}: everything declared is so"),
    };
    (ConditionStatus::True, None, told("Ready", &message))
}

/// Steps that keep the books of a Release which is as declared: it stays Ready meanwhile.
pub fn is_housekeeping(step: &Step) -> bool {
    matches!(
        step,
        Step::DeleteRevision(_)
            | Step::DeregisterTaskDefinition { .. }
            | Step::RecordRegistration(_)
            | Step::RecordRollout(_)
            | Step::RecordHooks(_)
            | Step::RecordJob(_)
            | Step::AnswerJob { .. }
            | Step::ForgetRun(_)
            | Step::Unclaim(_)
    )
}

fn drifted(draft: &Draft<'_>) -> Option<(ConditionStatus, Explanation)> {
    draft.status.ready_revision?;
    let standing: Vec<_> = draft
        .status
        .drift
        .differences
        .iter()
        .filter(|difference| difference.action != DifferenceAction::Corrected)
        .collect();
    let open = draft.status.drift.differences.len();
    if let Some(first) = standing
        .first()
        .copied()
        .or(draft.status.drift.differences.first())
    {
        let message = format!(
            "{}: {} differs ({open} in all)",
            first.resource, first.field
        );
        return Some((ConditionStatus::True, told("Differences", &message)));
    }
    let unread = draft
        .unknown
        .first()
        .or(draft.input.observed.problems.first());
    if let Some(why) = unread {
        return Some((ConditionStatus::Unknown, why.clone()));
    }
    let message = match draft.holds.is_empty() {
        true => "nothing differs from what was declared",
        false => "no service differs from what was Ready before",
    };
    Some((ConditionStatus::False, told("NoDifferences", message)))
}

/// What is said of drift by a pass that did not look for it.
fn not_compared(draft: &Draft<'_>, suspended: bool) -> Option<Condition> {
    let before = find(&draft.input.previous.conditions, ConditionType::Drifted)?;
    let suspended = suspended.then(|| told("Suspended", "not compared while suspended"));
    let why = suspended
        .or_else(|| draft.stalled.first().cloned())
        .or_else(|| draft.unknown.first().cloned())
        .or_else(|| draft.holds.first().cloned())
        .or_else(|| draft.progressing.first().cloned());
    match why {
        Some(why) => {
            let (kind, status) = (ConditionType::Drifted, ConditionStatus::Unknown);
            Some(condition(draft, kind, status, &why))
        }
        None => Some(before.clone()),
    }
}

fn told(reason: &str, message: &str) -> Explanation {
    Explanation {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn condition(
    draft: &Draft<'_>,
    kind: ConditionType,
    status: ConditionStatus,
    why: &Explanation,
) -> Condition {
    let generation = Some(draft.input.desired.generation);
    carried(
        &draft.input.previous.conditions,
        kind,
        status,
        why,
        generation,
        draft.input.now,
    )
}

/// A condition that has its moment from before, if its status is the same.
fn carried(
    before: &[Condition],
    kind: ConditionType,
    status: ConditionStatus,
    why: &Explanation,
    generation: Option<u64>,
    now: Timestamp,
) -> Condition {
    let since = find(before, kind)
        .filter(|before| before.status == status)
        .map_or(now, |before| before.last_transition_time);
    Condition {
        kind,
        status,
        reason: why.reason.clone(),
        message: why.message.clone(),
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// Says that a step waits for its turn, where the status says that it is under way. The sentence is
/// the same for as long as it waits: a thousand Releases that wait must write nothing.
pub fn over_budget(status: &mut ReleaseStatus, action: &Action) {
    let message = format!(
        "{}: {} waits for its turn: the account allows only so many of these requests",
        action.resource,
        action.step.kind()
    );
    let told = status.conditions.iter_mut();
    for condition in told.filter(|condition| condition.reason == PROGRESSING) {
        condition.message.clone_from(&message);
    }
}

/// Turns a status into that of a Release which only a person can bring on: a step was refused, or
/// its spec cannot be read.
pub fn stall(
    status: &mut ReleaseStatus,
    before: &ReleaseStatus,
    why: &Explanation,
    now: Timestamp,
) {
    let generation = status.observed_generation;
    let make = |kind, value| carried(&before.conditions, kind, value, why, generation, now);
    status
        .conditions
        .retain(|condition| condition.kind == ConditionType::Drifted);
    status
        .conditions
        .insert(0, make(ConditionType::Ready, ConditionStatus::False));
    status
        .conditions
        .insert(1, make(ConditionType::Stalled, ConditionStatus::True));
}
