//! What ECS told of rollouts that failed, below the release.

use jiff::Timestamp;

use super::paint::{Paint, Tone};
use super::table::{Cell, Table};
use super::time::age;
use crate::resource::meta::{Release, ReleaseKey};
use crate::resource::status::{FailedContainer, FailedTask, ServiceStatus};

/// Tasks with their exit codes, events, and the command for the logs; empty where nothing failed.
pub fn describe(release: &Release, now: Timestamp, paint: Paint) -> String {
    let key = release.release_key();
    let status = release.status.iter().flat_map(|status| &status.services);
    let failed = status.filter(|service| !service.evidence.is_empty());
    let parts: Vec<String> = failed
        .map(|one| of_service(&key, one, now, paint))
        .collect();
    parts.join("\n")
}

fn of_service(key: &ReleaseKey, service: &ServiceStatus, now: Timestamp, paint: Paint) -> String {
    let name = &service.name;
    let evidence = &service.evidence;
    let mut text = String::new();
    let title = format!("FAILED TASK OF {name}");
    let columns = [
        &*title,
        "STOPPED",
        "STOP CODE",
        "CONTAINER",
        "EXIT",
        "REASON",
    ];
    let mut table = Table::new(columns, paint);
    for task in &evidence.tasks {
        for (index, container) in containers(task).into_iter().enumerate() {
            table.row(row(task, container, index == 0, now));
        }
    }
    if !table.is_empty() {
        text += &table.render();
    }
    let mut table = Table::new([&*format!("EVENT OF {name}")], paint);
    for event in &evidence.events {
        table.row([event.as_str().into()]);
    }
    if !table.is_empty() {
        text += &table.render();
    }
    let logs = |task: &FailedTask| task.containers.iter().any(|it| it.log_stream.is_some());
    if evidence.tasks.first().is_some_and(logs) {
        text += &format!("Its log: evenkeel logs {key}/{name} --failed\n");
    }
    text
}

/// The containers of a task that have something to tell; none stands for the task itself.
fn containers(task: &FailedTask) -> Vec<Option<&FailedContainer>> {
    let telling = |it: &&FailedContainer| it.exit_code.is_some() || it.reason.is_some();
    let found: Vec<_> = task.containers.iter().filter(telling).map(Some).collect();
    match found.is_empty() {
        true => vec![None],
        false => found,
    }
}

fn row(
    task: &FailedTask,
    container: Option<&FailedContainer>,
    first: bool,
    now: Timestamp,
) -> [Cell; 6] {
    let of_task = |text: Option<String>| text.filter(|_| first).unwrap_or_default();
    let id = task.task_arn.rsplit('/').next().map(str::to_owned);
    let stopped = task.stopped_at.map(|at| format!("{} ago", age(at, now)));
    let code = container.and_then(|container| container.exit_code);
    let reason = container.and_then(|container| container.reason.clone());
    let reason = match (first, &task.stopped_reason, reason) {
        (true, Some(task), Some(own)) if *task != own => format!("{task}: {own}"),
        (true, Some(task), _) => task.clone(),
        (_, _, own) => own.unwrap_or_default(),
    };
    [
        of_task(id).into(),
        of_task(stopped).into(),
        of_task(task.stop_code.clone()).into(),
        container
            .map(|it| it.name.clone())
            .unwrap_or_default()
            .into(),
        match code {
            Some(0) => Cell::new("0", Tone::Plain),
            Some(code) => Cell::new(code.to_string(), Tone::Bad),
            None => String::new().into(),
        },
        reason.into(),
    ]
}

#[cfg(test)]
mod tests;
