//! Open migration runs: what became of their tasks. At most once, and never guessed.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::draft::{Draft, SETTLING};
use super::evidence::{LONGEST, Text};
use super::taskdef;
use crate::model::known::Known;
use crate::model::ledger::{MigrationRun, RunState, Stop};
use crate::model::observed::Task;
use crate::model::plan::Step;

/// A task that ECS does not show this long after RunTask was called does not run.
const VISIBLE: SignedDuration = SignedDuration::from_mins(10);

/// A clientToken lives at least an hour
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>); with a margin
/// for clocks, RunTask is repeated under it for less than that.
pub const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(50);

/// Looks at every run that may be going on and returns all runs as they stand then. What changed
/// is decided to be written down.
pub fn track(draft: &mut Draft<'_>) -> Vec<MigrationRun> {
    let runs = &draft.input.observed.ledger.migrations;
    runs.iter()
        .map(|run| {
            if run.state.is_open() {
                track_one(draft, run)
            } else {
                run.clone()
            }
        })
        .collect()
}

fn track_one(draft: &mut Draft<'_>, run: &MigrationRun) -> MigrationRun {
    let resource = run.resource();
    match draft.input.observed.tasks.get(&run.run_key) {
        Some(Known::Present(tasks)) => match run.state {
            RunState::Started => started(draft, run, tasks),
            _ => intended(draft, run, tasks),
        },
        Some(Known::Absent) => match run.state {
            RunState::Started => started(draft, run, &[]),
            _ => intended(draft, run, &[]),
        },
        Some(Known::Unknown(why)) => {
            draft.doubt(&resource, format!("{resource}: {why}"));
            run.clone()
        }
        None => {
            draft.doubt(&resource, format!("{resource}: its task was not looked at"));
            run.clone()
        }
    }
}

/// Whether nobody waits for a run any more that belongs to a revision of before: RunTask was to be
/// called so long ago that a task of it would show if it ran.
pub fn is_abandoned(draft: &Draft<'_>, run: &MigrationRun) -> bool {
    run.state == RunState::Intended
        && draft.input.now.duration_since(run.intended_at) >= VISIBLE
        && match draft.input.observed.tasks.get(&run.run_key) {
            Some(Known::Present(tasks)) => tasks.is_empty(),
            Some(Known::Absent) => true,
            Some(Known::Unknown(_)) | None => false,
        }
}

/// RunTask was about to be called, or was and its answer was lost.
fn intended(draft: &mut Draft<'_>, run: &MigrationRun, tasks: &[Task]) -> MigrationRun {
    let oldest = tasks.iter().min_by_key(|task| task.created_at);
    if let Some(task) = oldest {
        let found = MigrationRun {
            state: RunState::Started,
            task_arn: Some(task.arn.clone()),
            started_at: Some(task.created_at.unwrap_or(run.intended_at)),
            message: None,
            ..run.clone()
        };
        return record(draft, found, "its task was found again");
    }
    // ECS promises to show running tasks, stopped ones only perhaps
    // (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html>), so that it
    // shows none proves nothing. Under its token RunTask can be repeated for as long as that lives.
    if draft.input.now.duration_since(run.intended_at) < TOKEN_LIFE {
        return run.clone();
    }
    let message = "nobody can know any more whether its task was started";
    let lost = MigrationRun {
        state: RunState::Unknown,
        message: Some(message.to_owned()),
        ..run.clone()
    };
    record(draft, lost, message)
}

/// The task is known.
fn started(draft: &mut Draft<'_>, run: &MigrationRun, tasks: &[Task]) -> MigrationRun {
    let now = draft.input.now;
    let task = tasks
        .iter()
        .find(|task| Some(&task.arn) == run.task_arn.as_ref());
    let Some(task) = task else {
        let since = run.started_at.unwrap_or(run.intended_at);
        if now.duration_since(since) < VISIBLE {
            return run.clone();
        }
        let message = "its task is gone from ECS before anybody saw how it ended";
        let lost = MigrationRun {
            state: RunState::Unknown,
            message: Some(message.to_owned()),
            ..run.clone()
        };
        return record(draft, lost, message);
    };
    // DELETED is shown for a moment behind STOPPED
    // (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>).
    if matches!(task.last_status.as_str(), "STOPPED" | "DELETED") {
        return ended(draft, run, task);
    }
    stop_if_due(draft, run, task)
}

/// Stops a task whose time is up. A stop whose call was lost is repeated: ECS still wants the
/// task to run then, also after it had the time to show what was asked.
fn stop_if_due(draft: &mut Draft<'_>, run: &MigrationRun, task: &Task) -> MigrationRun {
    let now = draft.input.now;
    let since = run.started_at.unwrap_or(run.intended_at);
    let due = now.duration_since(since) > SignedDuration::from_secs(run.timeout_seconds);
    // While the release is suspended only a person stops it.
    let due = due && !draft.input.desired.suspend;
    if task.desired_status == "STOPPED" || !(due || run.stop.is_some()) {
        return run.clone();
    }
    let asked = run.stop.as_ref();
    if asked.is_some_and(|stop| now.duration_since(stop.at) < SETTLING) {
        return run.clone();
    }
    let stop = Stop {
        reason: asked.map_or("Timeout", |stop| &stop.reason).to_owned(),
        at: now,
    };
    let limit = SignedDuration::from_secs(run.timeout_seconds);
    let reason = match stop.reason.as_str() {
        "Timeout" => format!("it did not end within {limit:#}"),
        _ => "a person asked to stop it".to_owned(),
    };
    let run = MigrationRun {
        stop: Some(stop),
        ..run.clone()
    };
    let step = Step::StopTask {
        run: Box::new(run.clone()),
        cluster: run.cluster.clone(),
        task: task.arn.clone(),
        reason: format!("stopped by evenkeel: {reason}"),
    };
    draft.act(run.resource(), reason, step);
    run
}

/// Success is the exit code 0 of every container that matters, of a task that ended by itself.
fn ended(draft: &mut Draft<'_>, run: &MigrationRun, task: &Task) -> MigrationRun {
    let by_itself = matches!(
        task.stop_code.as_deref(),
        None | Some("" | "EssentialContainerExited")
    );
    let mattering: Vec<_> = task
        .containers
        .iter()
        .filter(|container| run.containers.is_empty() || run.containers.contains(&container.name))
        .collect();
    let failed = mattering
        .iter()
        .find(|container| container.exit_code != Some(0));
    let succeeded = by_itself && failed.is_none() && !mattering.is_empty();
    let told = failed.or(mattering.first()).copied();
    let message = match (succeeded, told.and_then(|container| container.exit_code)) {
        (true, _) => "exited 0".to_owned(),
        (false, _)
            if run
                .stop
                .as_ref()
                .is_some_and(|stop| stop.reason == "Timeout") =>
        {
            format!(
                "did not end within {:#} and was stopped",
                SignedDuration::from_secs(run.timeout_seconds)
            )
        }
        (false, Some(code)) if code != 0 => format!("exited {code}"),
        (false, Some(_)) => "was stopped before it ended by itself".to_owned(),
        (false, None) => "no container ran to an end".to_owned(),
    };
    let log_stream =
        told.and_then(|container| taskdef::log_stream(&run.logs, &container.name, &task.arn));
    let reason = told.and_then(|container| container.reason.as_deref());
    let stopped_reason = words(draft, run, task.stopped_reason.as_deref(), reason);
    let run = MigrationRun {
        state: if succeeded {
            RunState::Succeeded
        } else {
            RunState::Failed
        },
        finished_at: Some(task.stopped_at.unwrap_or(draft.input.now)),
        exit_code: told.and_then(|container| container.exit_code),
        stop_code: task.stop_code.clone().filter(|text| !text.is_empty()),
        stopped_reason,
        log_stream,
        message: Some(message.clone()),
        ..run.clone()
    };
    record(draft, run, &format!("its task stopped: {message}"))
}

/// What ECS says of a task and of its container that mattered, without values of environment
/// variables. Nothing where it is not known any more which those are.
fn words(
    draft: &Draft<'_>,
    run: &MigrationRun,
    task: Option<&str>,
    container: Option<&str>,
) -> Option<String> {
    let is_text = |text: &&str| !text.is_empty();
    let (task, container) = (task.filter(is_text), container.filter(is_text));
    let told = match (task, container) {
        (Some(task), Some(container)) if task != container => format!("{task}: {container}"),
        (task, container) => task.or(container)?.to_owned(),
    };
    let (content, overrides) = given(draft, run)?;
    let text = Text::with(Some(content), overrides.as_ref());
    Some(text.clean(&told, LONGEST))
}

/// What a run's task was given: its definition, and what overrides that.
fn given<'a>(draft: &'a Draft<'_>, run: &MigrationRun) -> Option<(&'a Value, Option<Value>)> {
    let ledger = &draft.input.observed.ledger;
    let content: &Value = draft.contents.get(ledger.definition_of(run)?)?;
    let spec = ledger.revisions.get(&run.revision)?.spec.as_ref()?;
    let overrides = match run.hook {
        true => {
            let mut hooks = spec.hooks.before.iter().chain(&spec.hooks.after);
            let declared = hooks.find(|it| it.name == run.migration)?;
            declared.ecs_task.as_ref()?.overrides.as_ref()
        }
        false => {
            let mut migrations = spec.migrations.iter();
            let declared = migrations.find(|it| it.name == run.migration)?;
            declared.overrides.as_ref()
        }
    };
    Some((content, overrides.map(|it| json!(it))))
}

/// Decides to write a run down, and gives it back as it will stand in the table then.
fn record(draft: &mut Draft<'_>, run: MigrationRun, reason: &str) -> MigrationRun {
    let resource = run.resource();
    draft.act(
        resource,
        reason,
        Step::RecordMigration(Box::new(run.clone())),
    );
    MigrationRun {
        version: run.version + 1,
        ..run
    }
}
