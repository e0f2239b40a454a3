//! A person asks for another try.

use crate::model::hook::{End, HookRun};
use crate::model::ledger::{Ledger, MigrationRun, Revision, RunState};

/// The revision with the hooks that are run again when a person asks for another try: those that did
/// not succeed. Whoever was told of the failure of this try is told of the next one's, too.
pub fn again(revision: &Revision) -> Revision {
    let mut again = revision.clone();
    for run in again.hooks.values_mut() {
        let told = run.end == Some(End::Failure);
        if has_ended(run.state) && (told || run.state != RunState::Succeeded) {
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
    let [runs, failures] = keys;
    let all = ledger.migrations.iter();
    all.filter(|run| {
        let failed = run.state != RunState::Succeeded && runs.contains(&run.run_key);
        has_ended(run.state) && (failed || failures.contains(&run.run_key))
    })
    .collect()
}

fn has_ended(state: RunState) -> bool {
    matches!(
        state,
        RunState::Succeeded | RunState::Failed | RunState::Unknown | RunState::NotStarted
    )
}
