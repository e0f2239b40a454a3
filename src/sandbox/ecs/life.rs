//! A task's life, step by step.

use jiff::{SignedDuration, Timestamp};

use super::super::cx::Cx;
use super::agenda::Due;
use super::fate::{self, Life, Start, Whose};
use super::json::{in_seconds, later};
use super::task::{Health, Phase, Task};
use super::{Ecs, Key};

/// Stopped tasks can be described for an hour.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// 128 + SIGTERM: the program did not handle the signal.
const TERMINATED: i32 = 143;

/// What the scheduler of a service learns from a step of one of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Counts changed, nothing else.
    Moved,
    /// It counts as healthy now.
    Healthy,
    /// It failed its health check and runs on.
    Unhealthy,
    /// It came to an end that nobody asked for.
    Failed,
    /// It is STOPPED.
    Gone,
}

impl Ecs {
    /// Takes the next step in the life of a task.
    pub(super) fn step_task(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let Some(mut task) = self.tasks.get(key).cloned() else {
            return;
        };
        if task.is_stopped() {
            self.tasks.remove(cx, key);
            self.forget_token(&task);
            return;
        }
        let was_stopping = task.stopping;
        let before = task.containers.clone();
        let (next, mut news) = self.next_step(cx, &mut task);
        self.speak(cx.now, &before, &task);
        task.version += 1;
        if task.stopping && !was_stopping {
            news = News::Failed;
        }
        if let Some(at) = next {
            self.agenda.set(Due::Task(key.clone()), at);
        }
        self.tasks.put(cx, key.clone(), task);
        self.notice_task(cx, key);
        self.tell_service(cx, key, news);
    }

    fn next_step(&mut self, cx: &mut Cx<'_>, task: &mut Task) -> (Option<Timestamp>, News) {
        let now = cx.now;
        let soon = |wait| Some(in_seconds(now, wait));
        match task.phase {
            Phase::Provisioning => {
                task.phase = Phase::Pending;
                task.times.connected = Some(now);
                (soon(1), News::Moved)
            }
            Phase::Pending => (self.start_pulling(cx, task), News::Moved),
            Phase::Pulling => (pulled(now, task), News::Moved),
            Phase::Pulled => {
                start(cx, task);
                (next_in_life(task), News::Moved)
            }
            Phase::Running => live(now, task),
            Phase::Deactivating => {
                task.phase = Phase::Stopping;
                (soon(2), News::Moved)
            }
            Phase::Stopping => {
                end_containers(now, task, TERMINATED);
                (soon(1), News::Moved)
            }
            Phase::Deprovisioning => {
                task.phase = Phase::Stopped;
                task.times.stopped = Some(now);
                (Some(later(now, KEPT)), News::Gone)
            }
            Phase::Stopped => (None, News::Moved),
        }
    }

    fn start_pulling(&mut self, cx: &mut Cx<'_>, task: &mut Task) -> Option<Timestamp> {
        let images: Vec<_> = task
            .containers
            .iter()
            .map(|c| fate::look_up(cx, &c.image, c.digest.as_deref()))
            .collect();
        let whose = Whose {
            family: &task.family,
            group: &task.group,
            of_service: task.owner.is_some(),
        };
        task.fate = fate::fate(cx, whose, &task.containers, &images);
        if task.fate.start == Start::NeverStarts {
            return None;
        }
        task.phase = Phase::Pulling;
        task.times.pull_started = Some(cx.now);
        for (container, image) in task.containers.iter_mut().zip(images) {
            container.digest = image.digest;
        }
        if task.fate.start == Start::Runs {
            self.pin_images(cx, task);
        }
        Some(in_seconds(cx.now, 2))
    }

    /// Asks a task to stop.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>, key: &Key, code: &'static str, reason: &str) {
        let now = cx.now;
        let next = self.tasks.edit(cx, key, |task| {
            if task.stopping {
                return None;
            }
            task.stopping = true;
            task.stop_code = Some(code);
            task.stopped_reason = Some(reason.to_owned());
            task.times.stopping = Some(now);
            task.version += 1;
            if task.phase == Phase::Running {
                task.phase = Phase::Deactivating;
                return Some(in_seconds(now, 1));
            }
            task.phase = Phase::Deprovisioning;
            for container in &mut task.containers {
                container.status = "STOPPED";
            }
            Some(in_seconds(now, 1))
        });
        if let Some(at) = next.flatten() {
            self.agenda.set(Due::Task(key.clone()), at);
            self.notice_task(cx, key);
        }
    }
}

fn pulled(now: Timestamp, task: &mut Task) -> Option<Timestamp> {
    if let Start::CannotPull(index) = task.fate.start {
        let image = task.containers.get(index).map_or("", |c| c.image.as_str());
        let reason = format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: {image}: not found"
        );
        if let Some(container) = task.containers.get_mut(index) {
            container.reason = Some(reason.clone());
            container.digest = None;
        }
        begin_end(now, task, "TaskFailedToStart", reason);
        for container in &mut task.containers {
            container.status = "STOPPED";
        }
        task.phase = Phase::Deprovisioning;
        return Some(in_seconds(now, 1));
    }
    task.phase = Phase::Pulled;
    task.times.pull_stopped = Some(now);
    Some(in_seconds(now, 1))
}

fn start(cx: &mut Cx<'_>, task: &mut Task) {
    task.phase = Phase::Running;
    task.times.started = Some(cx.now);
    for (index, container) in task.containers.iter_mut().enumerate() {
        container.status = "RUNNING";
        container.runtime_id = Some(format!("{}-{}", task.id, 1_000_000_000 + index));
    }
}

/// When the next thing happens to a running task, if anything ever does.
fn next_in_life(task: &Task) -> Option<Timestamp> {
    let (after, _) = task.fate.life.get(task.lived)?;
    Some(later(task.times.started?, *after))
}

fn live(now: Timestamp, task: &mut Task) -> (Option<Timestamp>, News) {
    let Some((_, event)) = task.fate.life.get(task.lived).copied() else {
        return (None, News::Moved);
    };
    task.lived += 1;
    match event {
        Life::Healthy => {
            task.steady = true;
            task.was_steady = true;
            for container in task.containers.iter_mut().filter(|c| c.has_health_check) {
                container.health = Health::Healthy;
            }
            (next_in_life(task), News::Healthy)
        }
        Life::Unhealthy { container } => {
            task.steady = false;
            if let Some(container) = task.containers.get_mut(container) {
                task.unhealthy = container.essential;
                container.health = Health::Unhealthy;
            }
            (next_in_life(task), News::Unhealthy)
        }
        Life::Exit { container, code } => {
            let Some(exited) = task.containers.get_mut(container) else {
                return (next_in_life(task), News::Moved);
            };
            exited.exit_code = Some(code);
            exited.status = "STOPPED";
            if !exited.essential {
                return (next_in_life(task), News::Moved);
            }
            begin_end(
                now,
                task,
                "EssentialContainerExited",
                "Essential container in task exited".to_owned(),
            );
            // The others are asked to stop, and do so in good order.
            end_containers(now, task, 0);
            (Some(in_seconds(now, 2)), News::Moved)
        }
    }
}

fn begin_end(now: Timestamp, task: &mut Task, code: &'static str, reason: String) {
    task.stopping = true;
    task.steady = false;
    task.stop_code = Some(code);
    task.stopped_reason = Some(reason);
    task.times.stopping = Some(now);
}

fn end_containers(now: Timestamp, task: &mut Task, code: i32) {
    task.phase = Phase::Deprovisioning;
    task.times.execution_stopped = Some(now);
    for container in &mut task.containers {
        if container.status == "RUNNING" {
            container.exit_code = Some(code);
        }
        container.status = "STOPPED";
    }
}
