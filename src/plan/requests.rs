//! What people asked for: each request is carried out once, before anything else is decided.

use jiff::Timestamp;

use super::draft::Draft;
use super::{hooks, pins, services};
use crate::model::ledger::{
    MigrationRun, Request, RequestKind, Revision, RevisionOutcome, Rollout, RolloutState, RunState,
    Stop,
};
use crate::model::plan::Step;

/// Decides the steps of open requests, oldest first, up to the first that changes anything: what
/// comes after it may be about what it changed, and is decided in the next pass, which follows at
/// once. Each may be repeated without harm.
pub fn carry_out(draft: &mut Draft<'_>) {
    for request in &draft.input.observed.ledger.requests {
        if is_ahead(draft, request) || services::is_early(draft, request) {
            continue;
        }
        let decided = draft.actions.len();
        let reason = match carry_out_one(draft, request) {
            Ok(()) => format!("asked for by {}", request.by),
            Err(why) => refused(draft, request, &why),
        };
        let changes = draft.actions.len() > decided;
        draft.act(
            "request",
            reason,
            Step::FinishRequest {
                id: request.id.clone(),
            },
        );
        if changes {
            return;
        }
    }
}

/// A request that came with a spec which this pass has not read yet is left for the next one.
fn is_ahead(draft: &Draft<'_>, request: &Request) -> bool {
    match &request.kind {
        RequestKind::TryAgain { generation, .. } => *generation > draft.input.desired.generation,
        _ => false,
    }
}

/// Tells why a request is not carried out: it is finished all the same.
fn refused(draft: &mut Draft<'_>, request: &Request, why: &str) -> String {
    let told = format!("what {} asked for is not done: {why}", request.by);
    draft.wait("request", told.clone());
    told
}

/// Decides what a request asks for, or says why that is not done.
fn carry_out_one(draft: &mut Draft<'_>, request: &Request) -> Result<(), String> {
    let by = &request.by;
    match &request.kind {
        RequestKind::Retry => return retry(draft, by),
        RequestKind::Rollback { to, force } => {
            return pins::roll_back(draft, *to, *force, by);
        }
        RequestKind::TryAgain { spec, .. } => return pins::try_again(draft, spec, by),
        RequestKind::Approve { revision } => {
            return super::holds::approve(draft, *revision, request);
        }
        RequestKind::Continue {
            service,
            hook,
            reject,
        } => return services::answer(draft, service, hook, *reject, request),
        RequestKind::RetryMigration { migration } => {
            for run in runs_of(draft, migration) {
                if matches!(
                    run.state,
                    RunState::Failed | RunState::Unknown | RunState::NotStarted
                ) {
                    again(draft, run, by);
                }
            }
        }
        RequestKind::MigrationSucceeded { migration } => {
            for run in runs_of(draft, migration) {
                if run.state == RunState::Unknown {
                    let message = format!("{by} says that it succeeded");
                    let run = MigrationRun {
                        state: RunState::Succeeded,
                        finished_at: Some(draft.input.now),
                        message: Some(message.clone()),
                        ..run
                    };
                    record(draft, run, &message);
                }
            }
        }
        RequestKind::StopMigration { migration } => {
            for run in runs_of(draft, migration) {
                if let (RunState::Started, Some(task)) = (run.state, run.task_arn.clone()) {
                    stop(draft, run, task, by);
                }
            }
        }
    }
    Ok(())
}

/// A rejected revision is tried again, the migrations that failed in it, and drift that another
/// writer brought back each time.
///
/// Where what is declared by now is not recorded yet, the revision of before stays rejected, and
/// its way back as it is: nobody wants it any more.
fn retry(draft: &mut Draft<'_>, by: &str) -> Result<(), String> {
    let Some(current) = super::revision::current(draft) else {
        let decided = draft.actions.len();
        run_again(draft, by);
        if draft.actions.len() == decided {
            let generation = draft.input.desired.generation;
            return Err(format!("generation {generation} is not recorded yet"));
        }
        return Ok(());
    };
    let hooks = hooks::again(current);
    let revision = match current.outcome {
        RevisionOutcome::Rejected => Revision {
            outcome: RevisionOutcome::Pending,
            reason: None,
            finished_at: None,
            cause: None,
            rollback: None,
            begun_at: begun_at(draft, current),
            ..hooks
        },
        RevisionOutcome::Pending => hooks,
        RevisionOutcome::Ready | RevisionOutcome::Superseded => current.clone(),
    };
    if revision != *current {
        let reason = format!("{by} asked for another try");
        let resource = format!("revision/{}", revision.number);
        draft.act(resource, reason, Step::UpdateRevision(Box::new(revision)));
    }
    if current.outcome != RevisionOutcome::Ready {
        hook_tasks_again(draft, current, by);
    }
    forgive(draft, by);
    Ok(())
}

/// Tasks of a revision's hooks are run again.
pub fn hook_tasks_again(draft: &mut Draft<'_>, revision: &Revision, by: &str) {
    let keys = hooks::run_keys(draft, revision);
    for run in hooks::tasks_again(&draft.input.observed.ledger, &keys) {
        again(draft, run.clone(), by);
    }
}

/// Since when a revision counts as begun that is tried again: one that failed itself was begun, and
/// a person who asks is not held back. One that only says what was rejected under another number
/// never was; where approvals are asked for by now, somebody has to agree to what it runs.
fn begun_at(draft: &Draft<'_>, rejected: &Revision) -> Option<Timestamp> {
    let earlier = draft
        .input
        .observed
        .ledger
        .revisions
        .range(..rejected.number);
    let mut same = earlier.filter(|(_, found)| found.content == rejected.content);
    let inherited = same.any(|(_, found)| super::revision::is_rejected(found));
    let agreed = !draft.input.desired.approval || super::holds::approved(draft, rejected).is_some();
    let begins = agreed || !inherited;
    rejected
        .begun_at
        .or_else(|| begins.then_some(draft.input.now))
}

/// What failed and was fought over before counts no more.
pub fn forgive(draft: &mut Draft<'_>, by: &str) {
    draft.forgiven = true;
    for rollout in draft.input.observed.ledger.rollouts.values() {
        if rollout.state == RolloutState::Failed {
            let rollout = Rollout {
                state: RolloutState::Superseded,
                ..rollout.clone()
            };
            let reason = format!("{by} asked for another try");
            let resource = format!("service/{}", rollout.service);
            draft.act(resource, reason, Step::RecordRollout(Box::new(rollout)));
        }
    }
    run_again(draft, by);
}

/// Migrations that failed are run again.
fn run_again(draft: &mut Draft<'_>, by: &str) {
    let current: Vec<&str> = draft
        .input
        .previous
        .migrations
        .iter()
        .filter_map(|migration| migration.run_key.as_deref())
        .collect();
    for run in &draft.input.observed.ledger.migrations {
        let failed = matches!(run.state, RunState::Failed | RunState::NotStarted);
        if failed && current.contains(&run.run_key.as_str()) {
            again(draft, run.clone(), by);
        }
    }
}

/// The runs of a migration that the newest status speaks of.
fn runs_of(draft: &Draft<'_>, migration: &str) -> Vec<MigrationRun> {
    let status = &draft.input.previous.migrations;
    let key = status
        .iter()
        .find(|found| found.name == migration)
        .and_then(|found| found.run_key.as_ref());
    let runs = draft.input.observed.ledger.migrations.iter();
    runs.filter(|run| {
        !run.hook
            && run.migration == migration
            && (Some(&run.run_key) == key || run.state.is_open())
    })
    .cloned()
    .collect()
}

fn again(draft: &mut Draft<'_>, run: MigrationRun, by: &str) {
    let message = format!("{by} asked for another try");
    let run = MigrationRun {
        state: RunState::Retry,
        message: Some(message.clone()),
        ..run
    };
    record(draft, run, &message);
}

fn record(draft: &mut Draft<'_>, run: MigrationRun, reason: &str) {
    let resource = run.resource();
    draft.act(resource, reason, Step::RecordMigration(Box::new(run)));
}

fn stop(draft: &mut Draft<'_>, run: MigrationRun, task: String, by: &str) {
    let resource = run.resource();
    let reason = format!("{by} asked to stop it");
    let cluster = run.cluster.clone();
    let stop = Stop {
        reason: "Requested".to_owned(),
        at: draft.input.now,
    };
    let run = Box::new(MigrationRun {
        stop: Some(stop),
        ..run
    });
    let step = Step::StopTask {
        run,
        cluster,
        task,
        reason: "stopped by evenkeel: requested".to_owned(),
    };
    draft.act(resource, reason, step);
}
