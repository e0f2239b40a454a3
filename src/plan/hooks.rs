//! Hooks of a revision: in order, each once, before everything else and after it.
//!
//! What was begun is written into the revision before the call, and how it ended after it. A hook
//! that repairs nothing: where a revision was Ready once, none is run.

mod calls;
mod heard;
mod retry;
mod told;

use serde_json::json;

use super::draft::Draft;
use super::holds;
use super::migrations;
use super::services::Failure;
use crate::model::desired::{Hook, HookKind, Migration};
use crate::model::hash;
use crate::model::hook::End;
use crate::model::ledger::{Explanation, MigrationRun, Revision, RevisionOutcome, RunState};
use crate::model::plan::Step;
use crate::resource::hooks::{HookFailure, HookTrigger};
use crate::resource::status::{Cause, PartState};

pub use calls::{open_calls, open_invalidations};
pub use heard::track;
pub use retry::{again, tasks_again};
pub use told::tell;

/// How the hooks of one end of a revision stand.
pub enum Hooked {
    /// All of them have been, as far as anything waits for them.
    Done,
    /// One of them is under way, or keeps the rest waiting, which is told in the draft.
    Open,
    /// One failed that takes the revision back.
    Rejected(Box<Failure>),
}

/// Where one hook stands, and what is worth knowing of it.
struct Stand {
    state: PartState,
    message: Option<String>,
}

impl Stand {
    fn new(state: PartState, message: Option<String>) -> Self {
        Self { state, message }
    }
}

/// Runs the hooks before everything else, unless `others` says that tasks of another revision run.
pub fn before(
    draft: &mut Draft<'_>,
    revision: &Revision,
    runs: &[MigrationRun],
    others: bool,
) -> Hooked {
    // What an earlier revision began ends first.
    if calls::older_go_on(draft, revision) {
        return Hooked::Open;
    }
    if others && !due(draft, revision, None).is_empty() {
        return Hooked::Open;
    }
    run(draft, revision, runs, None)
}

/// Runs the hooks after everything else.
pub fn after(
    draft: &mut Draft<'_>,
    revision: &Revision,
    runs: &[MigrationRun],
    end: End,
) -> Hooked {
    run(draft, revision, runs, Some(end))
}

/// The hooks that a revision runs at this end, or before it.
fn due<'a>(draft: &Draft<'a>, revision: &Revision, end: Option<End>) -> Vec<&'a Hook> {
    let desired = draft.input.desired;
    let due: Vec<&Hook> = desired.hooks.iter().filter(|it| is_due(it, end)).collect();
    // What brings nothing has nothing before or after it.
    match due.is_empty() || holds::brings_nothing(draft, revision) {
        true => Vec::new(),
        false => due,
    }
}

fn run(
    draft: &mut Draft<'_>,
    revision: &Revision,
    runs: &[MigrationRun],
    end: Option<End>,
) -> Hooked {
    let due = due(draft, revision, end);
    if due.is_empty() {
        return Hooked::Done;
    }
    // What is begun is written into the revision, once in a pass.
    if revision.version == 0 || is_written(draft, revision) {
        return Hooked::Open;
    }
    for hook in due {
        let stand = advance(draft, revision, hook, runs, end);
        let failed = match stand.state {
            PartState::Done => continue,
            PartState::Pending | PartState::Progressing => {
                told::stands(draft, revision, hook, end, &stand);
                return Hooked::Open;
            }
            PartState::Failed | PartState::Unknown => stand,
        };
        told::stands(draft, revision, hook, end, &failed);
        if hook.on_failure == HookFailure::Warn {
            continue;
        }
        return gave_up(draft, hook, &failed, end);
    }
    Hooked::Done
}

/// Whether this pass writes the revision already; the next one goes on.
fn is_written(draft: &Draft<'_>, revision: &Revision) -> bool {
    let mut actions = draft.actions.iter();
    actions.any(|action| match &action.step {
        Step::UpdateRevision(written)
        | Step::RecordHooks(written)
        | Step::DeleteRevision(written)
        | Step::RecordRevision {
            revision: written, ..
        }
        | Step::CallHook {
            revision: written, ..
        } => written.number == revision.number,
        _ => false,
    })
}

/// Whether a hook runs at this end of a revision, or before it.
fn is_due(hook: &Hook, end: Option<End>) -> bool {
    match end {
        None => !hook.after,
        Some(End::Success) => hook.after && hook.on != HookTrigger::Failure,
        Some(End::Failure) => hook.after && hook.on != HookTrigger::Success,
    }
}

/// What the failure of a hook leads to that does not only warn.
fn gave_up(draft: &mut Draft<'_>, hook: &Hook, stand: &Stand, end: Option<End>) -> Hooked {
    // The revision failed before: nothing more follows from it.
    if end == Some(End::Failure) {
        return Hooked::Open;
    }
    let resource = hook.resource();
    let why = stand.message.as_deref().unwrap_or("it failed");
    let key = &draft.input.desired.key;
    if stand.state == PartState::Unknown {
        let message = format!(
            "{resource}: {why}; look at its work, then `evenkeel retry {key}` runs it again"
        );
        draft.stall(&resource, "HookUnknown", message);
        return Hooked::Open;
    }
    let message = format!("{resource} failed: {why}");
    if hook.on_failure == HookFailure::Rollback {
        return Hooked::Rejected(Box::new(Failure {
            service: None,
            cause: Cause::Failed,
            why: Explanation {
                reason: "HookFailed".to_owned(),
                message,
            },
        }));
    }
    let message = format!("{message}; fix it and release again, or `evenkeel retry {key}`");
    draft.stall(&resource, "HookFailed", message);
    Hooked::Open
}

/// One hook whose turn it is.
fn advance(
    draft: &mut Draft<'_>,
    revision: &Revision,
    hook: &Hook,
    runs: &[MigrationRun],
    end: Option<End>,
) -> Stand {
    match &hook.does {
        HookKind::Task(task) => one_task(draft, revision, hook, task, runs, end),
        HookKind::Lambda(_) | HookKind::Invalidation(_) | HookKind::Http(_) => {
            calls::advance(draft, revision, hook, end)
        }
    }
}

fn one_task(
    draft: &mut Draft<'_>,
    revision: &Revision,
    hook: &Hook,
    task: &Migration,
    runs: &[MigrationRun],
    end: Option<End>,
) -> Stand {
    let key = run_key(revision, hook, end);
    let entry = runs.iter().find(|run| run.run_key == key);
    if let Some(ended) = entry.and_then(|run| ended(run, hook.idempotent)) {
        return ended;
    }
    let state = migrations::advance(draft, revision, task, &key, entry);
    Stand::new(state, entry.and_then(|run| run.message.clone()))
}

/// How a hook's task ended, if it did for good.
fn ended(run: &MigrationRun, idempotent: bool) -> Option<Stand> {
    let tried = || run.refusals >= migrations::REFUSALS;
    match run.state {
        RunState::Succeeded => Some(Stand::new(PartState::Done, None)),
        RunState::Failed => Some(Stand::new(
            PartState::Failed,
            Some(migrations::explain(run)),
        )),
        RunState::NotStarted if tried() => {
            let why = run.message.as_deref().unwrap_or("RunTask started nothing");
            let message = format!("it could not be started in {} tries: {why}", run.refusals);
            Some(Stand::new(PartState::Failed, Some(message)))
        }
        RunState::Unknown if !idempotent => {
            Some(Stand::new(PartState::Unknown, run.message.clone()))
        }
        _ => None,
    }
}

/// Hash that says whether a hook's task ran already for this end of a revision.
fn run_key(revision: &Revision, hook: &Hook, end: Option<End>) -> String {
    hash::of(&json!({
        "uid": revision.uid,
        "revision": revision.known_as(),
        "hook": hook.name,
        "end": end,
    }))
}

/// The keys of the runs that a revision's hooks may have: of those before everything else and after
/// its success, and of those after its failure.
pub fn run_keys(draft: &Draft<'_>, revision: &Revision) -> [Vec<String>; 2] {
    let of = |end| {
        let hooks = draft.input.desired.hooks.iter();
        let due = hooks.filter(move |hook| is_due(hook, end));
        due.map(move |hook| run_key(revision, hook, end))
    };
    let runs = of(None).chain(of(Some(End::Success)));
    [runs.collect(), of(Some(End::Failure)).collect()]
}

/// Whether a revision failed in a way that hooks on failure are for, although it is not rejected.
pub fn has_failed(draft: &Draft<'_>, revision: &Revision) -> bool {
    let reasons = ["MigrationFailed", "MigrationNotStarted", "HookFailed"];
    let mut stalled = draft.stalled.iter();
    revision.outcome == RevisionOutcome::Pending
        && stalled.any(|why| reasons.contains(&why.reason.as_str()))
}
