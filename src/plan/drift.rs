//! Drift: a difference in a declared field that no revision explains, after the release was Ready.

use jiff::SignedDuration;

use super::draft::Draft;
use crate::resource::conditions::{ConditionType, find};
use crate::resource::status::{Correction, Difference, DifferenceAction};

/// So many corrections of one resource within [`WINDOW`] are a fight with another writer.
const FIGHT: usize = 3;
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Notes a difference, first seen when it was first seen.
pub fn differs(
    draft: &mut Draft<'_>,
    resource: &str,
    field: &str,
    desired: String,
    actual: String,
    action: DifferenceAction,
) {
    let first_seen = draft
        .input
        .previous
        .drift
        .differences
        .iter()
        .find(|before| before.resource == resource && before.field == field)
        .map_or(draft.input.now, |before| before.first_seen);
    draft.differences.push(Difference {
        resource: resource.to_owned(),
        field: field.to_owned(),
        desired,
        actual,
        first_seen,
        action,
    });
}

/// What is to be done about a resource that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Put it right now.
    Correct,
    /// Only tell.
    Report,
    /// Not yet: the grace time runs.
    Wait(SignedDuration),
    /// Another writer puts it back each time.
    Fight(usize),
}

/// Decides what is done about `resource`, whose differences are noted already as Pending, and
/// notes that.
pub fn judge(draft: &mut Draft<'_>, resource: &str) -> Verdict {
    let verdict = verdict(draft, resource);
    let action = match verdict {
        Verdict::Correct => DifferenceAction::Corrected,
        Verdict::Report => DifferenceAction::Reported,
        Verdict::Wait(_) | Verdict::Fight(_) => DifferenceAction::Pending,
    };
    let of_resource = draft
        .differences
        .iter_mut()
        .filter(|found| found.resource == resource);
    of_resource.for_each(|found| found.action = action);
    match verdict {
        Verdict::Correct => draft.corrected.push(resource.to_owned()),
        Verdict::Wait(left) => draft.wake_after(left),
        Verdict::Report | Verdict::Fight(_) => {}
    }
    verdict
}

fn verdict(draft: &Draft<'_>, resource: &str) -> Verdict {
    let desired = draft.input.desired;
    if !desired.correct_drift {
        return Verdict::Report;
    }
    let recent = recent(draft, resource);
    if recent >= FIGHT {
        return Verdict::Fight(recent);
    }
    let since = draft
        .differences
        .iter()
        .filter(|found| found.resource == resource)
        .map(|found| found.first_seen)
        .min()
        .unwrap_or(draft.input.now);
    let left = desired.drift_grace - draft.input.now.duration_since(since);
    if left > SignedDuration::ZERO {
        Verdict::Wait(left)
    } else {
        Verdict::Correct
    }
}

fn recent(draft: &Draft<'_>, resource: &str) -> usize {
    let previous = draft.input.previous;
    let Some(found) = previous
        .drift
        .corrections
        .iter()
        .find(|found| found.resource == resource)
    else {
        return 0;
    };
    // A fight is not forgotten while it lasts: time alone does not make the other writer stop.
    let fighting = find(&previous.conditions, ConditionType::Stalled)
        .is_some_and(|stalled| stalled.reason == "DriftFight");
    let now = draft.input.now;
    found
        .at
        .iter()
        .filter(|at| fighting || now.duration_since(**at) <= WINDOW)
        .count()
}

/// Writes the drift part of the status. What happens to be old is left until something is put
/// right again, so that the status of a settled release does not change with time alone.
pub fn write(draft: &mut Draft<'_>) {
    let now = draft.input.now;
    let previous = draft.input.previous;
    let same = previous.observed_generation == Some(draft.input.desired.generation);
    let mut corrections = if same {
        previous.drift.corrections.clone()
    } else {
        Vec::new()
    };
    for resource in std::mem::take(&mut draft.corrected) {
        match corrections
            .iter_mut()
            .find(|found| found.resource == resource)
        {
            Some(found) => {
                found.at.retain(|at| now.duration_since(*at) <= WINDOW);
                found.at.push(now);
            }
            None => corrections.push(Correction {
                resource,
                at: vec![now],
            }),
        }
    }
    draft.status.drift.corrections = corrections;
    draft.status.drift.differences = std::mem::take(&mut draft.differences);
}
