//! What ECS tells of a rollout that failed: tasks that stopped, with their exit codes and the place
//! of their logs, and the service's own events. It is written down with the failure, since ECS
//! forgets a stopped task after an hour.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::draft::Draft;
use super::taskdef;
use crate::model::ledger::{RevisionOutcome, Rollout, RolloutState};
use crate::model::observed::{self, Service, ServiceEvent, Task};
use crate::resource::hidden::HIDDEN;
use crate::resource::status::{Evidence, FailedContainer, FailedTask};

#[cfg(test)]
mod tests;

/// Most tasks, and most events, that are kept.
const MOST: usize = 5;
/// Longest text of ECS that is kept: the status is one item of the table.
pub(super) const LONGEST: usize = 500;
/// Longest text that is part of a message.
pub(super) const SHORT: usize = 200;
/// Shortest value of an environment variable that is looked for in ECS's texts: shorter ones are
/// words and numbers that stand there by chance.
const VALUE: usize = 8;
/// How much AWS's clock and ours may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// What ECS says of tasks that it stops because it wants fewer: they failed in nothing.
const SCALED: &str = "Scaling activity initiated";

/// What is to be told of a rollout that failed: as it was written down, or as it shows now.
pub(super) fn of(
    draft: &Draft<'_>,
    service: &Service,
    rollout: Option<&Rollout>,
    target: &str,
    content: Option<&Value>,
) -> Evidence {
    let Some(rollout) = rollout.filter(|rollout| rollout.target == target) else {
        return Evidence::default();
    };
    if rollout.state == RolloutState::Failed {
        return rollout.evidence.clone();
    }
    let told = draft.input.observed.failures.get(&service.name);
    let tasks = told.and_then(|told| told.stopped.present());
    let events = told.and_then(|told| told.events.present());
    let mut evidence = gather(
        rollout,
        tasks.map_or(&[], Vec::as_slice),
        events.map_or(&[], Vec::as_slice),
        content,
    );
    let here = &draft.input.desired.environment.region;
    let elsewhere = content.map(|content| taskdef::log_regions(content, here));
    let containers = evidence.tasks.iter_mut().flat_map(|it| &mut it.containers);
    for container in containers.filter(|it| it.log_stream.is_some()) {
        container.log_region = elsewhere
            .as_ref()
            .and_then(|regions| regions.get(&container.name).cloned());
    }
    evidence
}

/// What was told of the newest revision stays for as long as it is the newest and rejected,
/// whatever its services are brought to since.
pub(super) fn keep(draft: &mut Draft<'_>) {
    let previous = draft.input.previous;
    let rejected = super::revision::newest(draft).is_some_and(|newest| {
        newest.outcome == RevisionOutcome::Rejected && previous.revision == Some(newest.number)
    });
    if !rejected {
        return;
    }
    for service in &mut draft.status.services {
        let before = previous.services.iter().find(|it| it.name == service.name);
        if let Some(before) = before.filter(|_| service.evidence.is_empty()) {
            service.evidence.clone_from(&before.evidence);
        }
    }
}

/// Evidence of a rollout in what ECS shows.
fn gather(
    rollout: &Rollout,
    tasks: &[Task],
    events: &[ServiceEvent],
    content: Option<&Value>,
) -> Evidence {
    let text = Text::of(content);
    let mut failed: Vec<&Task> = tasks
        .iter()
        .filter(|task| is_of(rollout, task) && !is_scaled(task))
        .collect();
    failed.sort_by_key(|task| (Reverse(task.stopped_at.or(task.created_at)), &task.arn));
    let since = rollout.requested_at - SKEW;
    Evidence {
        tasks: failed
            .into_iter()
            .take(MOST)
            .map(|task| text.task(task))
            .collect(),
        events: telling(events, since)
            .into_iter()
            .map(|event| text.clean(&event.message, LONGEST))
            .collect(),
    }
}

/// Whether a task was started for a rollout.
fn is_of(rollout: &Rollout, task: &Task) -> bool {
    let of_deployment = match (&rollout.deployment_id, &task.started_by) {
        // The scheduler starts tasks in the name of their deployment.
        (Some(deployment), Some(by)) if by.starts_with("ecs-svc/") => by == deployment,
        _ => {
            let since = rollout.requested_at - SKEW;
            task.created_at.is_some_and(|at| at >= since)
        }
    };
    task.task_definition == rollout.target && of_deployment
}

fn is_scaled(task: &Task) -> bool {
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    reason.starts_with(SCALED)
}

/// The newest events since then, newest first. Those of a scheduler that does its work come in
/// only where few others are: a rollback alone makes five of them.
fn telling(events: &[ServiceEvent], since: Timestamp) -> Vec<&ServiceEvent> {
    const WORK: [&str; 7] = [
        "has started",
        "has stopped",
        "has reached a steady state",
        "has begun draining",
        "registered",
        "deployment completed",
        "rolling back to",
    ];
    let is_work = |event: &ServiceEvent| WORK.iter().any(|word| event.message.contains(word));
    let mut newest: Vec<&ServiceEvent> = events
        .iter()
        .filter(|event| event.at.is_some_and(|at| at >= since))
        .collect();
    newest.sort_by_key(|event| (is_work(event), Reverse(event.at)));
    newest.truncate(MOST);
    newest.sort_by_key(|event| Reverse(event.at));
    newest
}

/// How ECS's texts are told.
pub(super) struct Text {
    /// Values of environment variables, the longest first.
    values: Vec<String>,
    /// Container -> `group/prefix/container` of its logs.
    logs: BTreeMap<String, String>,
}

impl Text {
    /// Of tasks that run a definition.
    fn of(content: Option<&Value>) -> Self {
        Self::with(content, None)
    }

    /// The same, where `overrides` were given to RunTask.
    pub(super) fn with(content: Option<&Value>, overrides: Option<&Value>) -> Self {
        let overridden = overrides.and_then(|it| it.get("containerOverrides")?.as_array());
        let containers = content.into_iter().flat_map(taskdef::containers);
        let containers = containers.chain(overridden.into_iter().flatten());
        let mut values: Vec<String> = containers
            .filter_map(|container| container.get("environment")?.as_array())
            .flatten()
            .filter_map(|variable| variable.get("value")?.as_str())
            .filter(|value| value.len() >= VALUE)
            .map(str::to_owned)
            .collect();
        values.sort_by_key(|value| Reverse(value.len()));
        Self {
            values,
            logs: content.map(taskdef::log_prefixes).unwrap_or_default(),
        }
    }

    fn task(&self, task: &Task) -> FailedTask {
        let told = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty())?;
            Some(self.clean(text, LONGEST))
        };
        let container = |container: &observed::Container| FailedContainer {
            name: container.name.clone(),
            exit_code: container.exit_code,
            reason: told(&container.reason),
            log_stream: taskdef::log_stream(&self.logs, &container.name, &task.arn),
            log_region: None,
        };
        FailedTask {
            task_arn: task.arn.clone(),
            stop_code: told(&task.stop_code),
            stopped_reason: told(&task.stopped_reason),
            stopped_at: task.stopped_at,
            containers: task.containers.iter().map(container).collect(),
        }
    }

    /// A text of ECS's without values of environment variables, and no longer than `most`.
    pub(super) fn clean(&self, text: &str, most: usize) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = without(&text, value);
        }
        shortened(&text, most)
    }
}

/// The text without a value where that stands by itself: part of a longer word it is chance.
fn without(text: &str, value: &str) -> String {
    let of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "-_./".contains(c));
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, from) = rest.split_at(at);
        let behind = &from[value.len()..];
        let inside = of_word(before.chars().next_back().or(left.chars().next_back()))
            || of_word(behind.chars().next().filter(|c| *c != '.'));
        left.push_str(before);
        left.push_str(if inside { value } else { HIDDEN });
        rest = behind;
    }
    left.push_str(rest);
    left
}

/// The text, no longer than that.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text[..end].trim_end()),
    }
}

/// A failure in a few words: `3 tasks stopped: essential container app exited with code 1
/// (EssentialContainerExited)`.
pub fn summary(evidence: &Evidence) -> Option<String> {
    let Some(newest) = evidence.tasks.first() else {
        let event = evidence.events.iter().find(|event| is_alarming(event))?;
        return Some(shortened(event.trim_end_matches('.'), SHORT));
    };
    let count = match evidence.tasks.len() {
        1 => "1 task stopped".to_owned(),
        MOST => format!("{MOST} or more tasks stopped"),
        count => format!("{count} tasks stopped"),
    };
    let why = match (why(newest), newest.stop_code.as_deref()) {
        (Some(why), Some(code)) => format!("{why} ({code})"),
        (Some(why), None) => why,
        (None, Some(code)) => code.to_owned(),
        (None, None) => return Some(count),
    };
    Some(format!("{count}: {why}"))
}

/// Whether an event tells of something that went wrong.
fn is_alarming(event: &str) -> bool {
    ["unable to", "failed", "unhealthy", "impaired"]
        .iter()
        .any(|word| event.contains(word))
}

fn why(task: &FailedTask) -> Option<String> {
    if let Some((container, code)) = exited(task) {
        let text = format!(
            "essential container {} exited with code {code}",
            container.name
        );
        return Some(match &container.reason {
            Some(reason) => format!("{text}: {}", shortened(reason.trim_end_matches('.'), SHORT)),
            None => text,
        });
    }
    // Where ECS stopped it, exit codes are those of being stopped; it says why in words.
    let reasons = task.containers.iter().filter_map(|it| it.reason.as_ref());
    let reason = task.stopped_reason.iter().chain(reasons).next()?;
    Some(shortened(reason.trim_end_matches('.'), SHORT))
}

/// The container that brought the task down, as its exit code tells. The others are asked to end
/// then, which shows as 0, 143 or 137.
fn exited(task: &FailedTask) -> Option<(&FailedContainer, i32)> {
    if task.stop_code.as_deref() != Some("EssentialContainerExited") {
        return None;
    }
    let containers = task.containers.iter();
    containers
        .filter_map(|container| Some((container, container.exit_code?)))
        .min_by_key(|(container, code)| match code {
            _ if container.reason.is_some() => 0,
            0 => 3,
            137 | 143 => 2,
            _ => 1,
        })
}
