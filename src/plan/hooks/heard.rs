//! Answers of calls, which are written down whatever else stands in the way, and runs whose
//! revision nobody works toward any more.

use super::calls::{ended, outcome, try_key};
use super::is_written;
use crate::model::hook::{Call, End, HookRun, name_of};
use crate::model::ledger::{Ledger, Revision, RevisionOutcome, RunState};
use crate::model::plan::{Action, Step};
use crate::plan::draft::{Draft, SOON};

/// Writes down what is known by now of runs that this pass did not come to. Only the process that
/// made a call hears its answer: what it does not write down is lost with it.
pub fn track(draft: &mut Draft<'_>) {
    let observed = draft.input.observed;
    if draft.input.desired.deleting.is_some() {
        return;
    }
    for revision in observed.ledger.revisions.values() {
        let mut runs = revision.hooks.values();
        let is_open = runs.any(|run| run.state.is_open());
        // Each record is written once in a pass: the next one goes on.
        if is_open && !is_written(draft, revision) {
            track_one(draft, &observed.ledger, revision);
        }
    }
}

fn track_one(draft: &mut Draft<'_>, ledger: &Ledger, revision: &Revision) {
    let Some(calls) = &draft.input.observed.calls else {
        return;
    };
    let mut told = None;
    let mut tracked = revision.clone();
    for (kept, run) in &revision.hooks {
        if !run.state.is_open() {
            continue;
        }
        let end = match calls.get(&try_key(revision, kept, run)) {
            Some(Call::Underway) => {
                draft.wake_after(SOON);
                continue;
            }
            Some(Call::Ended(end)) => {
                outcome(draft, run, end.clone(), may_repeat(revision, name_of(kept)))
            }
            // A pass that comes to it knows what that means.
            None if is_awaited(ledger, revision, run) => continue,
            None => ended(draft, run, RunState::Unknown, Some(overtaken(revision))),
        };
        let resource = format!("hook/{}", name_of(kept));
        told = Some((resource, reason(&end)));
        tracked.hooks.insert(kept.clone(), end);
    }
    let Some((resource, reason)) = told else {
        return;
    };
    // First, since what is refused ends the pass.
    let action = Action {
        resource,
        reason,
        step: Step::RecordHooks(Box::new(tracked)),
    };
    draft.actions.insert(0, action);
}

/// Whether a pass still comes to a run that is open: its revision is worked toward, or tells of its
/// failure.
pub(super) fn is_awaited(ledger: &Ledger, revision: &Revision, run: &HookRun) -> bool {
    match revision.outcome {
        RevisionOutcome::Pending => true,
        RevisionOutcome::Rejected => {
            let newest = ledger.newest().map(|found| found.number);
            run.end == Some(End::Failure) && newest == Some(revision.number)
        }
        RevisionOutcome::Ready | RevisionOutcome::Superseded => false,
    }
}

/// Why nobody waited for the end of a run.
fn overtaken(revision: &Revision) -> String {
    match revision.outcome {
        RevisionOutcome::Superseded => "another revision came before its end".to_owned(),
        _ => "the revision ended before it did".to_owned(),
    }
}

/// In a few words, why a run is written down.
pub(super) fn reason(run: &HookRun) -> String {
    match (&run.message, run.state) {
        (_, RunState::Succeeded) => "it succeeded".to_owned(),
        (Some(why), _) => why.clone(),
        (None, _) => "it ended".to_owned(),
    }
}

/// Whether a hook may be called again whose answer was lost, as its revision declared it.
fn may_repeat(revision: &Revision, name: &str) -> bool {
    let declared = revision.spec.as_ref().and_then(|spec| {
        let mut hooks = spec.hooks.before.iter().chain(&spec.hooks.after);
        hooks.find(|hook| hook.name == name)
    });
    declared.is_some_and(|hook| hook.idempotent == Some(true) || hook.http.is_some())
}
