//! The end of a Release: its schedules by policy, its claims given back, its records removed.

use super::draft::{Draft, SETTLING};
use crate::model::desired::Deletion;
use crate::model::known::Known;
use crate::model::plan::Step;
use crate::resource::release::DeletionPolicy;

/// Decides the steps of a deletion. With `orphan` AWS is not even looked at, so that it ends also
/// when the account refuses us. A pipeline's job is told before the records go ([`super::jobs`]).
pub fn carry_out(draft: &mut Draft<'_>, deletion: Deletion) {
    let policy = draft.input.desired.deletion_policy;
    let removes = !deletion.orphan && policy == DeletionPolicy::Delete;
    // Elsewhere than was meant there are none of its rules, and those there are would be left.
    if removes && !(super::safety::right_place(draft) && remove_rules(draft, deletion)) {
        return;
    }
    for claim in draft.input.observed.ledger.claims.values() {
        draft.act(
            &claim.part,
            "the release is being deleted",
            Step::Unclaim(claim.clone()),
        );
    }
    leave_registrations(draft);
    draft.act(
        "release",
        "everything it held is given back",
        Step::FinishDeletion,
    );
}

/// What was registered is left to what runs it: a Release that is made anew under this name knows
/// nothing of that, and must not take it for its own.
fn leave_registrations(draft: &mut Draft<'_>) {
    let key = &draft.input.desired.key;
    for registration in draft.input.observed.ledger.registrations.values() {
        if !registration.releases.contains(key) {
            continue;
        }
        let mut left = registration.clone();
        left.releases.retain(|release| release != key);
        draft.act(
            format!("family/{}", registration.family),
            "the release is being deleted: left to what runs it",
            Step::RecordRegistration(left),
        );
    }
}

/// Deletes owned rules; true once none is left.
fn remove_rules(draft: &mut Draft<'_>, deletion: Deletion) -> bool {
    let observed = draft.input.observed;
    let problems = observed.problems.clone();
    for problem in &problems {
        let message = format!(
            "{}; `evenkeel delete {} --orphan` leaves the rules and ends",
            problem.message, draft.input.desired.key
        );
        draft.stall("release", &problem.reason, message);
    }
    if observed.rules_listed != Some(true) {
        draft.doubt(
            "release",
            "the list of rules could not be read: no rule is deleted",
        );
        return false;
    }
    let mut clean = problems.is_empty() && remove_group(draft, deletion);
    for (name, known) in &observed.rules {
        match known {
            Known::Present(rule) if super::schedules::is_owned(draft, rule) => {
                clean &= super::schedules::remove(draft, rule);
            }
            Known::Unknown(why) => {
                draft.doubt(&format!("rule/{name}"), format!("rule {name}: {why}"));
                clean = false;
            }
            // It may have been written a moment before the deletion was asked for.
            Known::Absent if may_show_yet(draft, deletion, name) => {
                let message = format!("rule {name} was claimed and does not show (yet)");
                draft.progress(&format!("rule/{name}"), "Pruning", message);
                clean = false;
            }
            Known::Present(_) | Known::Absent => {}
        }
    }
    clean
}

/// Deletes the schedule group with all that is in it; true once it is gone.
fn remove_group(draft: &mut Draft<'_>, deletion: Deletion) -> bool {
    let observed = draft.input.observed;
    let name = &draft.input.desired.schedule_group;
    match &observed.group {
        None => true,
        Some(Known::Present(_)) => {
            super::schedules::delete_group(draft, "the release is being deleted")
        }
        Some(Known::Unknown(why)) => {
            draft.doubt("release", format!("schedule group {name}: {why}"));
            false
        }
        // It may have been written a moment before the deletion was asked for.
        Some(Known::Absent) => {
            let mut claims = observed.ledger.claims.keys();
            let claimed = claims.any(|arn| arn.contains(":schedule/"));
            let recent = draft.input.now.duration_since(deletion.since) < SETTLING;
            if claimed && recent {
                let message = format!("schedule group {name} does not show (yet)");
                draft.progress(&format!("scheduler/{name}"), "Pruning", message);
            }
            !(claimed && recent)
        }
    }
}

/// Whether EventBridge may not show a rule yet that this release wrote.
fn may_show_yet(draft: &Draft<'_>, deletion: Deletion, rule: &str) -> bool {
    let mut claims = draft.input.observed.ledger.claims.keys();
    let claimed = claims.any(|arn| arn.ends_with(&format!(":rule/{rule}")));
    claimed && draft.input.now.duration_since(deletion.since) < SETTLING
}
