//! A person asks for another try.

use crate::model::desired::Desired;
use crate::model::hook::HookRun;
use crate::model::ledger::{Ledger, MigrationRun, Revision, RunState};

/// The revision with the hooks that are run again when a person asks for another try: those that did
/// not succeed, and those after everything else, which spoke of the end that it had.
pub fn again(desired: &Desired, revision: &Revision) -> Revision {
    let mut again = revision.clone();
    for (name, run) in &mut again.hooks {
        let after = run.end.is_some() && desired.hooks.iter().any(|it| it.name == *name);
        if has_ended(run.state) && (after || run.state != RunState::Succeeded) {
            *run = HookRun {
                state: RunState::Retry,
                ..run.clone()
            };
        }
    }
    again
}

/// The same of hooks that run tasks.
pub fn tasks_again<'a>(ledger: &'a Ledger, keys: &[Vec<String>; 2]) -> Vec<&'a MigrationRun> {
    let [before, after] = keys;
    let runs = ledger.migrations.iter();
    runs.filter(|run| {
        let failed = has_ended(run.state) && run.state != RunState::Succeeded;
        let spoke = has_ended(run.state) && after.contains(&run.run_key);
        spoke || failed && before.contains(&run.run_key)
    })
    .collect()
}

fn has_ended(state: RunState) -> bool {
    matches!(
        state,
        RunState::Succeeded | RunState::Failed | RunState::Unknown | RunState::NotStarted
    )
}
