//! What the status tells of hooks.

use jiff::Timestamp;

use super::{Stand, run_key};
use crate::model::desired::Hook;
use crate::model::hook::{End, HookRun, kept_as};
use crate::model::ledger::{Ledger, MigrationRun, Revision, RunState};
use crate::plan::draft::Draft;
use crate::plan::migrations;
use crate::resource::status::HookStatus;

/// A run of a hook, as it is written down.
enum Run<'a> {
    Call(&'a HookRun),
    Task(&'a MigrationRun),
}

impl Run<'_> {
    fn state(&self) -> RunState {
        match self {
            Run::Call(run) => run.state,
            Run::Task(run) => run.state,
        }
    }

    fn began(&self) -> Timestamp {
        match self {
            Run::Call(run) => run.begun_at,
            Run::Task(run) => run.intended_at,
        }
    }

    /// How much it tells of a hook that ran for either end: what went wrong or goes on more than
    /// what succeeded, and what is to be run again nothing.
    fn weight(&self) -> u8 {
        match self.state() {
            RunState::Retry => 0,
            RunState::Succeeded => 1,
            _ => 2,
        }
    }

    /// Puts in what is known of it, but for where it stands.
    fn describe(&self, status: &mut HookStatus) {
        match self {
            Run::Call(run) => {
                status.attempt = Some(run.attempt);
                status.started_at = Some(run.begun_at);
                status.finished_at = run.finished_at;
                status.invalidation_id = run.invalidation.as_ref().map(|it| it.id.clone());
            }
            Run::Task(run) => {
                status.attempt = Some(run.attempt);
                status.task_arn.clone_from(&run.task_arn);
                status.exit_code = run.exit_code;
                status.log_stream.clone_from(&run.log_stream);
                status.started_at = run.started_at;
                status.finished_at = run.finished_at;
            }
        }
    }

    fn message(&self) -> Option<String> {
        match self {
            Run::Call(run) => run.message.clone(),
            Run::Task(run) => run.message.clone(),
        }
    }
}

/// What is written down of a hook's run for this end.
fn run_of<'a>(
    ledger: &'a Ledger,
    revision: &'a Revision,
    hook: &Hook,
    end: Option<End>,
) -> Option<Run<'a>> {
    if let Some(run) = revision.hooks.get(&kept_as(&hook.name, end)) {
        return Some(Run::Call(run));
    }
    let key = run_key(revision, hook, end);
    let mut runs = ledger.migrations.iter();
    runs.find(|run| run.run_key == key).map(Run::Task)
}

/// Tells where a hook stands that this pass came to. What it was run for first is told, where it
/// comes to both: that is what the rest follows from.
pub(super) fn stands(
    draft: &mut Draft<'_>,
    revision: &Revision,
    hook: &Hook,
    end: Option<End>,
    stand: &Stand,
) {
    if draft.status.hooks.iter().any(|it| it.name == hook.name) {
        return;
    }
    let mut status = blank(hook);
    let ledger = &draft.input.observed.ledger;
    if let Some(run) = run_of(ledger, revision, hook, end) {
        run.describe(&mut status);
    }
    let message = stand.message.clone();
    status.state = stand.state;
    status.message = message.or_else(|| draft.said_of(&hook.resource()));
    draft.status.hooks.push(status);
}

/// Tells of every hook, in the manifest's order: of those that this pass did not come to, what is
/// written down.
pub fn tell(draft: &mut Draft<'_>) {
    let ledger = &draft.input.observed.ledger;
    let number = draft.status.revision;
    let revision = number.and_then(|number| ledger.revisions.get(&number));
    let told = std::mem::take(&mut draft.status.hooks);
    let hooks = draft.input.desired.hooks.iter().map(|hook| {
        let told = told.iter().find(|it| it.name == hook.name).cloned();
        let recorded = || revision.map(|revision| recorded(ledger, revision, hook));
        told.or_else(recorded).unwrap_or_else(|| blank(hook))
    });
    let hooks: Vec<HookStatus> = hooks.collect();
    draft.status.hooks = hooks;
}

/// What is written down of a hook.
fn recorded(ledger: &Ledger, revision: &Revision, hook: &Hook) -> HookStatus {
    let ends: &[Option<End>] = match hook.after {
        true => &[Some(End::Success), Some(End::Failure)],
        false => &[None],
    };
    let runs = ends
        .iter()
        .filter_map(|end| run_of(ledger, revision, hook, *end));
    let mut status = blank(hook);
    if let Some(run) = runs.max_by_key(|run| (run.weight(), run.began())) {
        run.describe(&mut status);
        status.state = migrations::state_of(run.state());
        status.message = run.message();
    }
    status
}

fn blank(hook: &Hook) -> HookStatus {
    HookStatus {
        name: hook.name.clone(),
        after: hook.after,
        kind: hook.does.as_str().to_owned(),
        ..HookStatus::default()
    }
}
