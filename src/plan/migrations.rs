//! Migrations of a revision, in order, each to exit code 0, before any service moves.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::base::{self, Registered};
use super::draft::Draft;
use super::hooks;
use super::runs;
use super::taskdef;
use crate::model::desired::{Migration, PartKind};
use crate::model::hash;
use crate::model::known::Known;
use crate::model::ledger::{MigrationRun, Revision, RunState};
use crate::model::plan::Step;
use crate::resource::status::{MigrationStatus, PartState};

/// So often an attempt may be answered with `failures[]` before it counts as failed.
pub(super) const REFUSALS: u32 = 10;

/// Runs what has to run, once the hooks before have been and `others`, runs of other revisions, have
/// ended; true once every migration of the revision has succeeded.
pub fn run(
    draft: &mut Draft<'_>,
    revision: &Revision,
    runs: &[MigrationRun],
    hooked: bool,
    others: bool,
) -> bool {
    let desired = draft.input.desired;
    let mut before = hooked;
    for migration in &desired.migrations {
        let key = run_key(draft, revision, migration);
        let entry = runs.iter().find(|run| run.run_key == key);
        let resource = migration.resource();
        let state = if !before {
            let first = if hooked { "migration" } else { "hook" };
            draft.wait(&resource, format!("waits for the {first} before it"));
            entry.map_or(PartState::Pending, |run| state_of(run.state))
        } else if others && entry.is_none_or(|run| !run.state.is_open()) {
            entry.map_or(PartState::Pending, |run| state_of(run.state))
        } else {
            advance(draft, revision, migration, &key, entry)
        };
        before &= state == PartState::Done;
        let status = status(migration, &key, state, entry);
        draft.status.migrations.push(status);
    }
    before && !others
}

/// Whether runs of other revisions have not ended: a newer revision waits for them, which is told.
pub fn still_open(draft: &mut Draft<'_>, revision: &Revision, runs: &[MigrationRun]) -> bool {
    let desired = draft.input.desired;
    let migrations = desired.migrations.iter();
    let mut keys: Vec<String> = migrations
        .map(|migration| run_key(draft, revision, migration))
        .collect();
    keys.extend(hooks::run_keys(draft, revision).into_iter().flatten());
    let mut open = false;
    for run in runs
        .iter()
        .filter(|run| run.state.is_open() && !keys.contains(&run.run_key))
        .filter(|run| !runs::is_abandoned(draft, run))
        .collect::<Vec<_>>()
    {
        let resource = run.resource();
        let message = format!(
            "{resource} of revision {} is still running and ends first",
            run.revision
        );
        draft.progress(&resource, running(run.hook), message);
        open = true;
    }
    open
}

/// Hash that says whether a migration ran already. The base definition has no part in it: a
/// change elsewhere runs nothing again.
fn run_key(draft: &Draft<'_>, revision: &Revision, migration: &Migration) -> String {
    let desired = draft.input.desired;
    let images: Map<String, Value> = migration
        .images
        .iter()
        .map(|(container, image)| {
            let found = revision.images.get(image);
            let identity = found.map(|image| image.digest.as_ref().unwrap_or(&image.reference));
            (container.clone(), json!(identity))
        })
        .collect();
    hash::of(&json!({
        "account": draft.input.observed.account,
        "region": desired.environment.region,
        "cluster": desired.environment.cluster,
        "namespace": desired.key.namespace,
        "release": desired.key.name,
        "migration": migration.name,
        "images": images,
        "entry": migration.entry,
    }))
}

/// A word for a task that runs.
fn running(hook: bool) -> &'static str {
    if hook {
        "HookRunning"
    } else {
        "MigrationRunning"
    }
}

/// Where a run stands.
pub(super) fn state_of(state: RunState) -> PartState {
    match state {
        RunState::Intended | RunState::Started => PartState::Progressing,
        RunState::NotStarted | RunState::Retry => PartState::Pending,
        RunState::Succeeded => PartState::Done,
        RunState::Failed => PartState::Failed,
        RunState::Unknown => PartState::Unknown,
    }
}

/// One migration whose turn it is, or a hook's task.
pub(super) fn advance(
    draft: &mut Draft<'_>,
    revision: &Revision,
    migration: &Migration,
    key: &str,
    entry: Option<&MigrationRun>,
) -> PartState {
    let resource = migration.resource();
    let name = format!("{}/{}", draft.input.desired.key, migration.name);
    match entry.map(|run| (run, run.state)) {
        Some((_, RunState::Succeeded)) => PartState::Done,
        Some((run, RunState::Started)) => {
            let limit = SignedDuration::from_secs(run.timeout_seconds);
            let message = format!(
                "{resource} is running (attempt {}, at most {limit:#})",
                run.attempt
            );
            draft.progress(&resource, running(run.hook), message);
            PartState::Progressing
        }
        Some((run, RunState::Failed)) => {
            let message = format!(
                "{resource} failed: {}; fix it and release again, or `evenkeel migration retry {name}`",
                explain(run)
            );
            draft.stall(&resource, "MigrationFailed", message);
            PartState::Failed
        }
        Some((run, RunState::Unknown)) if !migration.idempotent => {
            let message = format!(
                "{resource}: {}; look at its work, then `evenkeel migration resolve {name} --succeeded` or `--retry`",
                run.message
                    .as_deref()
                    .unwrap_or("nobody knows how it ended")
            );
            draft.stall(&resource, "MigrationUnknown", message);
            PartState::Unknown
        }
        Some((run, RunState::NotStarted)) => not_started(draft, revision, migration, key, run),
        Some((run, RunState::Unknown | RunState::Retry)) => {
            let next = attempt(draft, revision, migration, key, Some(run), run.attempt + 1);
            start(draft, revision, migration, next)
        }
        // The answer of RunTask was lost: the same token makes repeating it safe, for as long as it
        // certainly lives, which the look at its tasks has just made sure of.
        Some((run, RunState::Intended)) => match draft.input.observed.tasks.get(key) {
            Some(Known::Present(_) | Known::Absent) => {
                start(draft, revision, migration, run.clone())
            }
            Some(Known::Unknown(_)) | None => PartState::Unknown,
        },
        None => {
            let first = attempt(draft, revision, migration, key, None, 1);
            start(draft, revision, migration, first)
        }
    }
}

/// RunTask answered that nothing was started: the same attempt again, later and bounded.
fn not_started(
    draft: &mut Draft<'_>,
    revision: &Revision,
    migration: &Migration,
    key: &str,
    run: &MigrationRun,
) -> PartState {
    let resource = migration.resource();
    let why = run
        .message
        .as_deref()
        .unwrap_or("RunTask started nothing")
        .to_owned();
    if run.refusals >= REFUSALS {
        let name = format!("{}/{}", draft.input.desired.key, migration.name);
        let message = format!(
            "{resource} could not be started in {} tries: {why}; make room, then `evenkeel migration retry {name}`",
            run.refusals
        );
        draft.stall(&resource, "MigrationNotStarted", message);
        return PartState::Failed;
    }
    let next_try = run.intended_at + pause(run.refusals);
    let left = next_try.duration_since(draft.input.now);
    if left > SignedDuration::ZERO {
        draft.progress(
            &resource,
            "MigrationPending",
            format!("{resource} waits to be started again: {why}"),
        );
        draft.wake_after(left);
        return PartState::Pending;
    }
    let mut again = attempt(draft, revision, migration, key, Some(run), run.attempt);
    again.refusals = run.refusals;
    start(draft, revision, migration, again)
}

/// How long to wait before the next try.
pub(super) fn pause(refusals: u32) -> SignedDuration {
    SignedDuration::from_secs(5 * i64::from(2_u32.saturating_pow(refusals.min(5))))
}

/// The intent of an attempt.
fn attempt(
    draft: &Draft<'_>,
    revision: &Revision,
    migration: &Migration,
    key: &str,
    before: Option<&MigrationRun>,
    number: u32,
) -> MigrationRun {
    let target = revision.parts.get(&migration.resource());
    let content = target.and_then(|target| draft.contents.get(&target.definition).map(Arc::as_ref));
    let region = &draft.input.desired.environment.region;
    MigrationRun {
        version: before.map_or(0, |run| run.version),
        migration: migration.name.clone(),
        hook: migration.kind == PartKind::Hook,
        run_key: key.to_owned(),
        revision: revision.number,
        attempt: number,
        state: RunState::Intended,
        cluster: draft.input.desired.environment.cluster.clone(),
        // At most 128 of [A-Za-z0-9-_/]; the attempt keeps a leftover task from counting.
        started_by: format!("evenkeel/{}/{number}", key.get(..40).unwrap_or(key)),
        client_token: hash::of(&json!([key, number])),
        containers: deciding(migration, content),
        logs: content.map(taskdef::log_prefixes).unwrap_or_default(),
        log_regions: content
            .map(|content| taskdef::log_regions(content, region))
            .unwrap_or_default(),
        intended_at: draft.input.now,
        timeout_seconds: migration.timeout.as_secs(),
        task_arn: None,
        started_at: None,
        stop: None,
        finished_at: None,
        exit_code: None,
        stop_code: None,
        stopped_reason: None,
        log_stream: None,
        message: None,
        refusals: 0,
    }
}

/// Containers whose exit codes decide. A sidecar that is told to stop when the work is done says
/// nothing by its exit code, so the narrowest sure choice counts: those that are given a command,
/// else those with a released image, essential ones before others; else every essential one.
fn deciding(migration: &Migration, content: Option<&Value>) -> Vec<String> {
    let overridden = migration
        .overrides
        .iter()
        .flat_map(|overrides| &overrides.container_overrides);
    let commanded: Vec<String> = overridden
        .filter(|container| container.command.is_some())
        .map(|container| container.name.clone())
        .collect();
    if !commanded.is_empty() {
        return commanded;
    }
    let essential: Vec<String> = content
        .map(|content| {
            taskdef::essential_names(content)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    let released = migration.images.keys().cloned();
    let both: Vec<String> = released
        .clone()
        .filter(|name| essential.contains(name))
        .collect();
    match (both.is_empty(), migration.images.is_empty()) {
        (false, _) => both,
        (true, false) => released.collect(),
        (true, true) => essential,
    }
}

fn start(
    draft: &mut Draft<'_>,
    revision: &Revision,
    migration: &Migration,
    run: MigrationRun,
) -> PartState {
    let resource = migration.resource();
    let Some(target) = revision.parts.get(&resource) else {
        return PartState::Pending;
    };
    let definition = match base::ensure(draft, &resource, target) {
        Registered::Active(arn) => arn,
        Registered::Pending => {
            let message = format!("{resource} waits for its task definition to be registered");
            draft.progress(&resource, "Progressing", message);
            return PartState::Pending;
        }
        Registered::Doubt(why) => {
            draft.doubt(&resource, format!("{resource}: {why}"));
            return PartState::Pending;
        }
    };
    let input = run_task(migration, &run, &definition);
    let ledger = &draft.input.observed.ledger.migrations;
    let repeat = ledger.iter().any(|known| {
        known.run_key == run.run_key
            && known.attempt == run.attempt
            && known.state == RunState::Intended
    });
    let reason = if run.version > 0 {
        format!(
            "attempt {} of {}",
            run.attempt,
            super::rollout::short(&definition)
        )
    } else {
        format!(
            "run {} {}",
            super::rollout::short(&definition),
            if run.hook {
                "as a hook"
            } else {
                "before any service moves"
            }
        )
    };
    draft.progress(
        &resource,
        running(run.hook),
        format!("{resource} is being started"),
    );
    draft.act(
        resource,
        reason,
        Step::RunMigration {
            run: Box::new(run),
            input,
            repeat,
        },
    );
    PartState::Progressing
}

/// RunTask's input
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>).
fn run_task(migration: &Migration, run: &MigrationRun, definition: &str) -> Value {
    let mut input = json!({
        "cluster": run.cluster,
        "taskDefinition": definition,
        "count": 1,
        "startedBy": run.started_by,
        "clientToken": run.client_token,
    });
    if let (Value::Object(input), Ok(Value::Object(settings))) =
        (&mut input, serde_json::to_value(&migration.tasks))
    {
        input.extend(settings);
        if let Some(overrides) = &migration.overrides {
            input.insert("overrides".to_owned(), json!(overrides));
        }
    }
    input
}

/// What is known of an end, in a sentence.
pub fn explain(run: &MigrationRun) -> String {
    let mut text = run
        .message
        .clone()
        .unwrap_or_else(|| "it failed".to_owned());
    for more in [&run.stop_code, &run.stopped_reason].into_iter().flatten() {
        text = format!("{text}; {more}");
    }
    if let Some(stream) = &run.log_stream {
        text = format!("{text}; log stream {stream}");
    }
    text
}

fn status(
    migration: &Migration,
    key: &str,
    state: PartState,
    run: Option<&MigrationRun>,
) -> MigrationStatus {
    let known = |at: fn(&MigrationRun) -> Option<Timestamp>| run.and_then(at);
    MigrationStatus {
        name: migration.name.clone(),
        state,
        run_key: Some(key.to_owned()),
        attempt: run.map(|run| run.attempt),
        task_arn: run.and_then(|run| run.task_arn.clone()),
        exit_code: run.and_then(|run| run.exit_code),
        stop_code: run.and_then(|run| run.stop_code.clone()),
        stopped_reason: run.and_then(|run| run.stopped_reason.clone()),
        log_stream: run.and_then(|run| run.log_stream.clone()),
        log_region: run.and_then(|run| run.log_region().cloned()),
        started_at: known(|run| run.started_at),
        finished_at: known(|run| run.finished_at),
        message: run.and_then(|run| run.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spread_and_bounded() {
        let pauses: Vec<i64> = (0..8).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 160, 160]);
    }
}
