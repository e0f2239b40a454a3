//! Drift: a difference in a declared field that no revision explains, after the release was Ready.

use jiff::{SignedDuration, Timestamp};

use super::draft::{Draft, SETTLING};
use crate::model::plan::Action;
use crate::resource::status::{Correction, Difference, DifferenceAction, PartState, ReleaseStatus};

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

/// How a part stands whose drift is not put right in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The part's state.
    pub state: PartState,
    /// What is said of it.
    pub message: Option<String>,
}

/// Whether `resource`, whose differences are noted already as Pending, is put right in this pass;
/// if not, that is told. `fight` says who changes it back each time and what to do.
pub fn may_correct(
    draft: &mut Draft<'_>,
    resource: &str,
    fight: impl FnOnce(&Draft<'_>) -> String,
) -> Result<(), Left> {
    let (state, message) = match judge(draft, resource) {
        Verdict::Correct => return Ok(()),
        // Delivered and then changed by somebody: told, and left.
        Verdict::Report => {
            draft.wait(resource, "differs; the drift policy is Report");
            (PartState::Done, None)
        }
        Verdict::Wait(left) => {
            let message = format!("differs; corrected in {left:#} if it stays so");
            draft.wait(resource, message);
            (PartState::Done, None)
        }
        Verdict::Settling => {
            let message = format!("{resource} was put right; waiting for AWS to show it");
            draft.progress(resource, "Correcting", message);
            (PartState::Progressing, None)
        }
        Verdict::Fight(times) => {
            let message = format!(
                "{resource} was put right {times} times and each time {}, then `evenkeel retry {}`",
                fight(draft),
                draft.input.desired.key
            );
            draft.stall(resource, "DriftFight", message.clone());
            (PartState::Failed, Some(message))
        }
    };
    Err(Left { state, message })
}

/// What is to be done about a resource that differs.
#[derive(PartialEq, Eq)]
enum Verdict {
    /// Put it right now.
    Correct,
    /// Only tell.
    Report,
    /// Not yet: the grace time runs.
    Wait(SignedDuration),
    /// It was put right a moment ago, which AWS may not show yet.
    Settling,
    /// Another writer puts it back each time.
    Fight(usize),
}

/// Decides what is done about `resource`, and notes that.
fn judge(draft: &mut Draft<'_>, resource: &str) -> Verdict {
    let since = first_seen(&draft.differences, resource);
    let verdict = verdict(draft, resource, since.unwrap_or(draft.input.now));
    let action = match verdict {
        Verdict::Correct | Verdict::Settling => DifferenceAction::Corrected,
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
        Verdict::Report | Verdict::Settling | Verdict::Fight(_) => {}
    }
    verdict
}

/// What was put right before this pass is being so still.
pub fn being_corrected(draft: &mut Draft<'_>, resource: &str) {
    let before = draft.input.previous.drift.differences.iter();
    let of_resource = before.filter(|found| found.resource == resource);
    let carried = of_resource.map(|found| Difference {
        action: DifferenceAction::Corrected,
        ..found.clone()
    });
    draft.differences.extend(carried);
}

/// Since when a resource differs.
fn first_seen(differences: &[Difference], resource: &str) -> Option<Timestamp> {
    let of_resource = differences
        .iter()
        .filter(|found| found.resource == resource);
    of_resource.map(|found| found.first_seen).min()
}

/// Whether a resource of which it is not noted yet how it differs would be put right now.
pub fn would_correct(draft: &Draft<'_>, resource: &str) -> bool {
    let since = first_seen(&draft.input.previous.drift.differences, resource);
    let since = since.unwrap_or(draft.input.now);
    verdict(draft, resource, since) == Verdict::Correct
}

/// Notes that a resource is put right by what this pass decides elsewhere.
pub fn corrects(draft: &mut Draft<'_>, resource: &str, field: &str, desired: &str, actual: &str) {
    let (desired, actual) = (desired.to_owned(), actual.to_owned());
    let action = DifferenceAction::Corrected;
    differs(draft, resource, field, desired, actual, action);
    if !draft.corrected.iter().any(|noted| noted == resource) {
        draft.corrected.push(resource.to_owned());
    }
}

fn verdict(draft: &Draft<'_>, resource: &str, since: Timestamp) -> Verdict {
    let desired = draft.input.desired;
    if !desired.correct_drift {
        return Verdict::Report;
    }
    let now = draft.input.now;
    let corrections = corrections(draft, resource);
    let last = corrections.last();
    if last.is_some_and(|at| now.duration_since(*at) < SETTLING) {
        return Verdict::Settling;
    }
    // Counted back from when the difference was seen, so that a fight is not forgotten while it
    // stands: time alone does not make the other writer stop.
    let recent = corrections
        .iter()
        .filter(|at| since.duration_since(**at) <= WINDOW)
        .count();
    if recent >= FIGHT {
        return Verdict::Fight(recent);
    }
    let left = desired.drift_grace - now.duration_since(since);
    if left > SignedDuration::ZERO {
        Verdict::Wait(left)
    } else {
        Verdict::Correct
    }
}

/// When a resource was put right, oldest first.
fn corrections<'a>(draft: &Draft<'a>, resource: &str) -> &'a [Timestamp] {
    let all = &draft.input.previous.drift.corrections;
    let found = all.iter().find(|found| found.resource == resource);
    found.map_or(&[], |found| found.at.as_slice())
}

/// Writes the drift part of the status. What happens to be old is left until something is put
/// right again, so that the status of a settled release does not change with time alone.
pub fn write(draft: &mut Draft<'_>) {
    let now = draft.input.now;
    let previous = draft.input.previous;
    let same = previous.observed_generation == Some(draft.input.desired.generation);
    let mut corrections = if same && !draft.forgiven {
        previous.drift.corrections.clone()
    } else {
        Vec::new()
    };
    if same && !draft.compared {
        let known = |before: &&Difference| {
            let mut noted = draft.differences.iter();
            !noted.any(|found| found.resource == before.resource)
        };
        let before: Vec<Difference> = previous
            .drift
            .differences
            .iter()
            .filter(known)
            .cloned()
            .collect();
        draft.differences.extend(before);
    }
    if same {
        carry_doubted(draft);
    }
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

/// A look that failed says nothing: what differed before is taken to differ still, so that neither
/// its grace time nor a fight over it starts anew with the next look.
fn carry_doubted(draft: &mut Draft<'_>) {
    for before in &draft.input.previous.drift.differences {
        let is_told = draft
            .differences
            .iter()
            .any(|found| found.resource == before.resource);
        if !is_told && draft.doubted.contains(&before.resource) {
            draft.differences.push(before.clone());
        }
    }
}

/// Takes back from a status what it says was put right by steps that were not carried out, so that
/// a call that fails again and again is not taken for a fight.
pub fn not_done(status: &mut ReleaseStatus, before: &ReleaseStatus, left: &[Action]) {
    for action in left.iter().filter(|action| action.step.is_of_aws()) {
        let differences = status.drift.differences.iter_mut();
        for difference in differences.filter(|found| found.resource == action.resource) {
            if difference.action == DifferenceAction::Corrected {
                difference.action = DifferenceAction::Pending;
            }
        }
        let corrections = &mut status.drift.corrections;
        corrections.retain(|found| found.resource != action.resource);
        let known = before.drift.corrections.iter();
        corrections.extend(
            known
                .filter(|found| found.resource == action.resource)
                .cloned(),
        );
    }
}
