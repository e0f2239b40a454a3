//! Releases as a list, and one release with its parts.

use jiff::Timestamp;

use super::drift;
use super::evidence;
use super::html::Page;
use super::paint::{Paint, Tone};
use super::table::{Cell, Table};
use super::time::age;
use crate::resource::conditions::{Condition, ConditionStatus, ConditionType, find, is_true};
use crate::resource::meta::{Environment, Release};
use crate::resource::status::{HookStatus, PartState, ReleaseStatus, ServiceStatus};

/// How a release stands, in one word and one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// True, False or Unknown, as the Ready condition says.
    pub ready: &'static str,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Good, bad or on its way.
    pub tone: Tone,
}

/// How a release stands. A status of an older generation says nothing of this one.
pub fn standing(release: &Release) -> Standing {
    if let Some(since) = release.metadata.deletion_timestamp {
        return Standing {
            ready: "False",
            reason: "Deleting".to_owned(),
            message: deleting(release, since),
            tone: Tone::Fair,
        };
    }
    let generation = release.metadata.generation;
    let seen = release
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    let Some(status) = release
        .status
        .as_ref()
        .filter(|_| seen >= generation && seen.is_some())
    else {
        return Standing {
            ready: "Unknown",
            reason: "NotObserved".to_owned(),
            message: "the controller has not looked at this generation yet".to_owned(),
            tone: Tone::Fair,
        };
    };
    let stalled = find(&status.conditions, ConditionType::Stalled)
        .filter(|condition| condition.status == ConditionStatus::True);
    let ready = find(&status.conditions, ConditionType::Ready);
    let told = stalled.or(ready);
    Standing {
        ready: ready.map_or("Unknown", |condition| word(condition.status)),
        reason: told
            .map(|condition| condition.reason.clone())
            .unwrap_or_default(),
        message: told
            .map(|condition| condition.message.clone())
            .unwrap_or_default(),
        tone: if stalled.is_some() {
            Tone::Bad
        } else if is_true(&status.conditions, ConditionType::Ready) {
            Tone::Good
        } else {
            Tone::Fair
        },
    }
}

/// That a release is being deleted, and what stands in the way.
fn deleting(release: &Release, since: Timestamp) -> String {
    let status = release.status.as_ref();
    let stalled = status.and_then(|status| {
        find(&status.conditions, ConditionType::Stalled)
            .filter(|condition| condition.status == ConditionStatus::True)
    });
    match stalled {
        Some(why) => format!("is being deleted since {since}: {}", why.message),
        None => format!("is being deleted since {since}"),
    }
}

fn word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

fn suspended(release: &Release, now: Timestamp) -> &'static str {
    if release.spec.is_suspended(now) {
        "true"
    } else {
        "false"
    }
}

/// The list of releases.
pub fn list(releases: &[Release], now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(
        [
            "NAMESPACE",
            "NAME",
            "READY",
            "REASON",
            "REVISION",
            "SUSPENDED",
            "AGE",
            "MESSAGE",
        ],
        paint,
    );
    for release in releases {
        let standing = standing(release);
        table.row([
            release
                .metadata
                .namespace
                .clone()
                .unwrap_or_default()
                .into(),
            Cell::new(&release.metadata.name, Tone::Strong),
            Cell::new(standing.ready, standing.tone),
            Cell::new(&standing.reason, standing.tone),
            revision(release).into(),
            suspended(release, now).into(),
            made(release.metadata.creation_timestamp, now).into(),
            standing.message.into(),
        ]);
    }
    table.render()
}

fn revision(release: &Release) -> String {
    release
        .status
        .as_ref()
        .and_then(|status| status.revision)
        .map(|number| number.to_string())
        .unwrap_or_default()
}

fn made(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map(|at| age(at, now)).unwrap_or_default()
}

/// The list of environments.
pub fn environments(environments: &[Environment], now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(["NAME", "CLUSTER", "REGION", "ACCOUNT", "AGE"], paint);
    for environment in environments {
        let status = environment.status.as_ref();
        let account = environment
            .spec
            .account
            .clone()
            .or_else(|| status.and_then(|status| status.account.clone()))
            .unwrap_or_default();
        table.row([
            Cell::new(&environment.metadata.name, Tone::Strong),
            environment.spec.cluster.as_str().into(),
            environment.spec.region.as_str().into(),
            account.into(),
            made(environment.metadata.creation_timestamp, now).into(),
        ]);
    }
    table.render()
}

/// One part of a release, as it is listed below it.
struct Part {
    resource: String,
    state: PartState,
    detail: String,
}

/// A word for where a part stands, with its tone.
pub fn state(state: PartState) -> (&'static str, Tone) {
    match state {
        PartState::Pending => ("Pending", Tone::Dim),
        PartState::Progressing => ("Progressing", Tone::Fair),
        PartState::Done => ("Done", Tone::Good),
        PartState::Failed => ("Failed", Tone::Bad),
        PartState::Unknown => ("Unknown", Tone::Fair),
    }
}

/// One line for each part: resource, state, and what is worth knowing of it.
pub fn lines(status: &ReleaseStatus) -> Vec<(String, PartState, String)> {
    parts(status)
        .into_iter()
        .map(|part| (part.resource, part.state, part.detail))
        .collect()
}

fn parts(status: &ReleaseStatus) -> Vec<Part> {
    let images = status.images.iter().map(|(name, image)| Part {
        resource: format!("image/{name}"),
        state: image.state,
        detail: joined([
            Some(without_registry(&image.reference)),
            image.digest.clone(),
            image.message.clone(),
        ]),
    });
    let migrations = status.migrations.iter().map(|migration| Part {
        resource: format!("migration/{}", migration.name),
        state: migration.state,
        detail: joined([
            migration.exit_code.map(|code| format!("exit code {code}")),
            migration
                .stop_code
                .clone()
                .filter(|_| migration.state == PartState::Failed),
            migration
                .stopped_reason
                .clone()
                .filter(|_| migration.state == PartState::Failed),
            migration
                .log_stream
                .as_ref()
                .map(|stream| format!("log {stream}")),
            migration
                .message
                .clone()
                .filter(|_| migration.state != PartState::Done),
        ]),
    });
    let hook = |hook: &HookStatus| Part {
        resource: format!("hook/{}", hook.name),
        state: hook.state,
        detail: joined([
            Some(hook.kind.clone()),
            hook.exit_code.map(|code| format!("exit code {code}")),
            hook.invalidation_id
                .as_ref()
                .map(|id| format!("invalidation {id}")),
            hook.log_stream
                .as_ref()
                .map(|stream| format!("log {stream}")),
            hook.message.clone(),
        ]),
    };
    let before = status.hooks.iter().filter(|it| !it.after).map(hook);
    let after = status.hooks.iter().filter(|it| it.after).map(hook);
    let job = status.pipeline_job.iter().map(|job| Part {
        resource: "pipelineJob".to_owned(),
        state: job.state,
        detail: joined([Some(job.id.clone()), job.message.clone()]),
    });
    let services = status.services.iter().map(|service| Part {
        resource: format!("service/{}", service.name),
        state: service.state,
        detail: joined([
            service.task_definition.as_deref().map(short_arn),
            service
                .running_count
                .zip(service.desired_count)
                .map(|(running, desired)| format!("{running}/{desired} running")),
            stage(service),
            service.message.clone(),
        ]),
    });
    let schedules = status.schedules.iter().map(|schedule| Part {
        resource: format!("schedule/{}", schedule.name),
        state: schedule.state,
        detail: joined([
            schedule
                .rule_name
                .as_ref()
                .map(|rule| format!("rule {rule}")),
            schedule
                .schedule_name
                .as_ref()
                .map(|name| format!("Scheduler {name}")),
            schedule.task_definition.as_deref().map(short_arn),
            schedule.message.clone(),
        ]),
    });
    images
        .chain(before)
        .chain(migrations)
        .chain(services)
        .chain(schedules)
        .chain(after)
        .chain(job)
        .collect()
}

/// `BLUE_GREEN at BAKE_TIME, 100% of the traffic`, while that goes on.
fn stage(service: &ServiceStatus) -> Option<String> {
    let stage = service.stage.as_ref()?;
    let strategy = service.strategy.as_deref().unwrap_or("ROLLING");
    Some(match service.traffic_percent {
        Some(percent) => format!("{strategy} at {stage}, {percent}% of the traffic"),
        None => format!("{strategy} at {stage}"),
    })
}

fn joined<const N: usize>(details: [Option<String>; N]) -> String {
    details
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// `rails/app:9d3c2f1` of an image with the host of its registry.
fn without_registry(image: &str) -> String {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) => rest.to_owned(),
        _ => image.to_owned(),
    }
}

/// `rails-app:2` of a task definition's ARN.
pub fn short_arn(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}

/// One release: how it stands, its conditions and its parts.
pub fn describe(release: &Release, now: Timestamp, paint: Paint) -> String {
    let mut text = list(std::slice::from_ref(release), now, paint);
    let Some(status) = &release.status else {
        return text;
    };
    if !status.conditions.is_empty() {
        let mut table = Table::new(["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"], paint);
        for condition in &status.conditions {
            table.row([
                condition.kind.as_str().into(),
                Cell::new(word(condition.status), tone(condition)),
                condition.reason.as_str().into(),
                age(condition.last_transition_time, now).into(),
                condition.message.as_str().into(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    let mut table = Table::new(["PART", "STATE", "DETAIL"], paint);
    for part in parts(status) {
        let (word, tone) = state(part.state);
        table.row([
            part.resource.into(),
            Cell::new(word, tone),
            part.detail.into(),
        ]);
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.render());
    }
    let failures = evidence::describe(release, now, paint);
    if !failures.is_empty() {
        text.push('\n');
        text.push_str(&failures);
    }
    if !status.drift.differences.is_empty() {
        let mut table = Table::new(["DRIFT", "FIELD", "DESIRED", "ACTUAL", "ACTION"], paint);
        for one in &status.drift.differences {
            table.row([
                one.resource.as_str().into(),
                one.field.as_str().into(),
                one.desired.as_str().into(),
                one.actual.as_str().into(),
                drift::action(one.action).into(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

fn tone(condition: &Condition) -> Tone {
    match (condition.kind, condition.status) {
        (_, ConditionStatus::Unknown) => Tone::Fair,
        (ConditionType::Ready, ConditionStatus::True) => Tone::Good,
        (ConditionType::Drifted, ConditionStatus::False) => Tone::Good,
        (ConditionType::Stalled | ConditionType::Drifted, ConditionStatus::True) => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Releases with their parts, as a page that stands by itself.
pub fn html(releases: &[Release], now: Timestamp) -> String {
    let mut page = Page::new("evenkeel releases");
    page.paragraph(&format!("As of {now}."));
    for release in releases {
        let standing = standing(release);
        page.section(
            &release.release_key().to_string(),
            &standing.reason,
            standing.tone,
        );
        page.paragraph(&standing.message);
        let Some(status) = &release.status else {
            continue;
        };
        let rows: Vec<_> = parts(status)
            .into_iter()
            .map(|part| {
                let (word, tone) = state(part.state);
                [
                    (part.resource, Tone::Strong),
                    (word.to_owned(), tone),
                    (part.detail, Tone::Plain),
                ]
            })
            .collect();
        page.table(["Part", "State", "Detail"], &rows);
    }
    page.render()
}

#[cfg(test)]
mod tests;
