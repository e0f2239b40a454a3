//! The service scheduler: what it starts and stops when it looks at a service.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::cx::Cx;
use super::agenda::Due;
use super::json::later;
use super::life::News;
use super::patience::{IMPAIRED, begins_to_wait, wait_after};
use super::rollout::Rollout;
use super::run_task::Launch;
use super::service::{Service, Status};
use super::service_checks::Capacity;
use super::service_events::{started, stopped};
use super::stages;
use super::task::Owner;
use super::task_sets;
use super::{Ecs, Key};

const STUCK: &str = "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.";

/// A task of a service that is not STOPPED, as the scheduler sees it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub id: String,
    pub deployment: String,
    pub created: Timestamp,
    pub running: bool,
    pub steady: bool,
    pub unhealthy: bool,
    pub stopping: bool,
}

/// What to do now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Moves {
    pub stop: Vec<String>,
    pub start: u32,
    /// There is work, and the percentages forbid every move.
    pub stuck: bool,
}

/// How many tasks the service may have at most and must have healthy at least.
fn bounds(service: &Service) -> (usize, usize) {
    let desired = u64::from(service.desired);
    let most = desired.saturating_mul(service.percent("maximumPercent")) / 100;
    let least = desired
        .saturating_mul(service.percent("minimumHealthyPercent"))
        .div_ceil(100);
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    (count(most), count(least))
}

/// Decides what to start and stop; nothing is started beyond the maximum, and nothing healthy
/// stopped below the minimum.
pub(super) fn moves(service: &Service, members: &[Member]) -> Moves {
    let Some(primary) = service.deployments.first() else {
        return Moves::default();
    };
    let desired = usize::try_from(service.desired).unwrap_or(usize::MAX);
    let (most, least) = bounds(service);
    let live = members.iter().filter(|m| !m.stopping && !m.unhealthy);
    let (mut own, mut others): (Vec<_>, Vec<_>) =
        live.partition(|member| member.deployment == primary.id);
    // What does most for the service first; among equals the oldest.
    let worth = |m: &&Member| (!m.steady, !m.running, m.created, m.id.clone());
    own.sort_by_key(worth);
    others.sort_by_key(worth);
    if primary.rollout == Rollout::Failed {
        return Moves {
            stop: surplus_of_failed(&own, &others, desired, most),
            ..Moves::default()
        };
    }
    if let Some(staged) = &service.staged {
        let (start, stop) = stages::moves(staged, desired, &own, &others);
        return Moves {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            stop,
            stuck: false,
        };
    }
    let missing = desired.saturating_sub(own.len());
    let room = most.saturating_sub(own.len().min(desired) + others.len());
    let start = missing.min(room);
    // Old tasks go as new ones are healthy in their place, or to make room for new ones.
    let steady = |list: &[&Member]| list.iter().filter(|m| m.steady).count();
    let steady_own = steady(&own).min(desired);
    let replaced = others
        .len()
        .saturating_sub(desired.saturating_sub(steady_own));
    let wanted = replaced.max(missing - start);
    let expendable = (steady_own + steady(&others)).saturating_sub(least);
    let mut stop: Vec<_> = own.iter().skip(desired).map(|m| m.id.clone()).collect();
    stop.extend(old_to_stop(&others, wanted, expendable));
    let waiting =
        members.iter().any(|m| m.stopping || m.unhealthy) || own.iter().any(|m| !m.steady);
    Moves {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        stuck: missing > 0 && start == 0 && stop.is_empty() && !waiting,
        stop,
    }
}

/// A failed deployment starts nothing, and takes nothing down but what is too many.
fn surplus_of_failed(
    own: &[&Member],
    others: &[&Member],
    desired: usize,
    most: usize,
) -> Vec<String> {
    let limit = if others.is_empty() {
        desired
    } else {
        most.max(desired)
    };
    let all = own.iter().chain(others);
    all.skip(limit).map(|member| member.id.clone()).collect()
}

/// Which tasks of former deployments go: those that do not run yet at once, of the others as many
/// as are wanted, of the healthy ones no more than can be spared.
fn old_to_stop(others: &[&Member], wanted: usize, expendable: usize) -> Vec<String> {
    let mut spent = 0;
    let mut stop = Vec::new();
    for (at, member) in others.iter().rev().enumerate() {
        if member.running && at >= wanted {
            continue;
        }
        if member.steady {
            if spent == expendable {
                continue;
            }
            spent += 1;
        }
        stop.push(member.id.clone());
    }
    stop
}

impl Ecs {
    pub(super) fn members_of(&self, key: &Key) -> Vec<Member> {
        let ids = self.members.get(key).into_iter().flatten();
        ids.filter_map(|id| self.tasks.get(&(key.0.clone(), id.clone())))
            .filter_map(|task| {
                Some(Member {
                    id: task.id.clone(),
                    deployment: task.owner.as_ref()?.deployment.clone(),
                    created: task.times.created,
                    running: task.is_running(),
                    steady: task.steady && task.is_running(),
                    unhealthy: task.unhealthy,
                    stopping: task.stopping,
                })
            })
            .collect()
    }

    pub(super) fn recount(&self, service: &mut Service) {
        let members = self.members_of(&service.key());
        for deployment in &mut service.deployments {
            let own = members
                .iter()
                .filter(|m| m.deployment == deployment.id && !m.stopping);
            let (running, pending): (Vec<_>, Vec<_>) = own.partition(|m| m.running);
            deployment.running = u32::try_from(running.len()).unwrap_or(u32::MAX);
            deployment.pending = u32::try_from(pending.len()).unwrap_or(u32::MAX);
        }
    }

    /// A task took a step; its service, if it has one, counts again and thinks it over.
    pub(super) fn tell_service(&mut self, cx: &mut Cx<'_>, task_key: &Key, news: News) {
        let Some(task) = self.tasks.get(task_key) else {
            return;
        };
        let Some(owner) = task.owner.clone() else {
            return;
        };
        let never_started = task.stop_code == Some("TaskFailedToStart");
        let reason = task.stopped_reason.clone().filter(|_| never_started);
        let key = (task_key.0.clone(), owner.service);
        if news == News::Gone
            && let Some(ids) = self.members.get_mut(&key)
        {
            ids.remove(&task_key.1);
            if ids.is_empty() {
                self.members.remove(&key);
            }
        }
        let Some(mut service) = self.services.get(&key).cloned() else {
            return;
        };
        match news {
            News::Healthy => note_health(&mut service, &owner.deployment),
            News::Failed => {
                if let Some(reason) = reason {
                    service.say_once(
                        cx,
                        &format!("was unable to place a task. Reason: {reason}."),
                    );
                }
                note_failure(cx, &mut service, &owner.deployment);
            }
            News::Moved | News::Unhealthy | News::Gone => {}
        }
        self.recount(&mut service);
        self.services.put(cx, key.clone(), service);
        self.wake(cx, &key);
    }

    /// Looks at a service and does what is to be done.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let Some(mut service) = self.services.get(key).cloned() else {
            return;
        };
        if service.status == Status::Inactive {
            return;
        }
        if service.has_task_sets() {
            return self.tick_task_sets(cx, service);
        }
        self.move_records(cx, &mut service);
        self.stop_unhealthy(cx, &mut service);
        self.judge(cx, &mut service);
        self.step_stages(cx, &mut service);
        let moves = moves(&service, &self.members_of(key));
        self.stop_members(cx, &mut service, &moves.stop);
        self.start_members(cx, &mut service, moves.start);
        if moves.stuck && !service.stuck {
            service.stuck = true;
            service.say(cx, STUCK);
        }
        self.recount(&mut service);
        self.conclude(cx, &mut service);
        self.services.put(cx, key.clone(), service);
    }

    pub(super) fn stop_unhealthy(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let key = service.key();
        for member in self.members_of(&key) {
            if !member.unhealthy || member.stopping {
                continue;
            }
            service.say(
                cx,
                &format!("(task {}) failed container health checks.", member.id),
            );
            note_failure(cx, service, &member.deployment);
            service.steady = false;
            service.say(cx, &stopped(std::slice::from_ref(&member.id)));
            self.stop(
                cx,
                &(key.0.clone(), member.id),
                "ServiceSchedulerInitiated",
                "Task failed container health checks",
            );
        }
    }

    fn stop_members(&mut self, cx: &mut Cx<'_>, service: &mut Service, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        service.steady = false;
        let by = service
            .deployments
            .first()
            .map(|primary| primary.name())
            .unwrap_or_default();
        let reason = format!("Scaling activity initiated by (deployment {by})");
        let (mut running, mut pending) = (Vec::new(), 0);
        for id in ids {
            let key = (service.cluster.clone(), id.clone());
            if self.tasks.get(&key).is_some_and(|task| task.is_running()) {
                running.push(id.clone());
            } else {
                pending += 1;
            }
            self.stop(cx, &key, "ServiceSchedulerInitiated", &reason);
        }
        if pending > 0 {
            service.say(cx, &format!("stopped {pending} pending tasks."));
        }
        if !running.is_empty() {
            service.say(cx, &stopped(&running));
        }
    }

    fn start_members(&mut self, cx: &mut Cx<'_>, service: &mut Service, count: u32) {
        if count == 0 {
            return;
        }
        if let Some(at) = service.not_before.filter(|at| *at > cx.now) {
            self.agenda.bring_forward(Due::Service(service.key()), at);
            return;
        }
        service.steady = false;
        let mut ids = Vec::new();
        let mut refused = None;
        for _ in 0..count {
            match self.start_member(cx, service, 0) {
                Ok(id) => ids.push(id),
                Err(reason) => refused = Some(reason),
            }
        }
        if !ids.is_empty() {
            service.say(cx, &started(&ids));
        }
        if let Some(reason) = refused {
            service.say_once(cx, &unplaced(service, &reason));
            let action = ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE");
            self.notice_action(cx, service, action, Some(&reason));
            let primary = service
                .deployments
                .first()
                .map(|d| d.id.clone())
                .unwrap_or_default();
            note_failure(cx, service, &primary);
            let again = later(cx.now, SignedDuration::from_secs(5))
                .max(service.not_before.unwrap_or(Timestamp::MIN));
            service.not_before = Some(again);
            self.agenda
                .bring_forward(Due::Service(service.key()), again);
        }
    }

    /// Starts a task of the deployment at this place.
    pub(super) fn start_member(
        &mut self,
        cx: &mut Cx<'_>,
        service: &Service,
        at: usize,
    ) -> Result<String, String> {
        let gone = || "the task definition does not exist".to_owned();
        let primary = service.deployments.get(at).ok_or_else(gone)?;
        let arn = primary.goal.get("taskDefinition").and_then(Value::as_str);
        let definition = arn
            .and_then(|arn| self.definition(cx, arn))
            .ok_or_else(gone)?
            .clone();
        let mut tags = super::tags::Tags::default();
        match service
            .settings
            .get("propagateTags")
            .and_then(Value::as_str)
        {
            Some("SERVICE") => tags.add_missing(&service.tags),
            Some("TASK_DEFINITION") => tags.add_missing(&definition.tags),
            _ => {}
        }
        let flag = |name: &str| service.settings.get(name) == Some(&Value::Bool(true));
        if flag("enableECSManagedTags") {
            tags.put("aws:ecs:clusterName", &service.cluster);
            tags.put("aws:ecs:serviceName", &service.name);
        }
        let capacity = Capacity::of(&primary.goal);
        let launch = Launch {
            cluster: &service.cluster,
            cluster_arn: &service.cluster_arn,
            definition: &definition,
            group: format!("service:{}", service.name),
            started_by: Some(primary.name()),
            owner: Some(Owner {
                service: service.name.clone(),
                deployment: primary.id.clone(),
            }),
            capacity: &capacity,
            network: primary.goal.get("networkConfiguration"),
            overrides: None,
            tags,
            enable_execute: flag("enableExecuteCommand"),
            pins: &primary.pins,
            token: None,
        };
        let task = self.launch(cx, &launch)?;
        self.members
            .entry(service.key())
            .or_default()
            .insert(task.id.clone());
        Ok(task.id)
    }

    /// Lets go of what has drained, and says so when all is well.
    fn conclude(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let members = self.members_of(&service.key());
        let staged = service.staged.as_ref().is_some_and(|it| !it.cleans_up());
        let mut at = 0;
        service.deployments.retain(|deployment| {
            at += 1;
            staged
                || at == 1
                || members
                    .iter()
                    .any(|member| member.deployment == deployment.id)
        });
        if service.status == Status::Draining {
            if members.is_empty() {
                service.status = Status::Inactive;
                service.deployments.clear();
                service.record = None;
                self.forget_records(cx, service);
            }
            return;
        }
        let Some(primary) = service.deployments.first() else {
            return;
        };
        let desired = usize::try_from(service.desired).unwrap_or(usize::MAX);
        let all_well = !staged
            && service.deployments.len() == 1
            && members.len() == desired
            && members
                .iter()
                .all(|member| member.steady && !member.stopping);
        if !all_well || primary.rollout == Rollout::Failed {
            return;
        }
        if primary.rollout == Rollout::InProgress {
            self.complete(cx, service);
        }
        if !service.steady {
            service.steady = true;
            service.crashes = 0;
            service.say(cx, "has reached a steady state.");
            self.notice_action(cx, service, ("INFO", "SERVICE_STEADY_STATE"), None);
        }
    }
}

fn note_health(service: &mut Service, deployment: &str) {
    if let Some(set) = service.set_mut(deployment) {
        return set.calm_down();
    }
    service.crashes = 0;
    service.not_before = None;
    let resets = service.breaker().resets_on_healthy;
    if let Some(deployment) = service.deployment_mut(deployment) {
        deployment.failed_tasks = 0;
        if resets {
            deployment.strikes = 0;
        }
    }
}

/// A task of the service failed. The scheduler loses patience with a PRIMARY that goes on failing.
fn note_failure(cx: &mut Cx<'_>, service: &mut Service, deployment: &str) {
    if service.has_task_sets() {
        return task_sets::note_failure(cx, service, deployment);
    }
    let now = cx.now;
    service.steady = false;
    let is_primary = service
        .deployments
        .first()
        .is_some_and(|d| d.id == deployment);
    if let Some(deployment) = service.deployment_mut(deployment) {
        deployment.failed_tasks += 1;
        deployment.updated_at = now;
        if deployment.rollout == Rollout::InProgress {
            deployment.strikes += 1;
        }
    }
    if !is_primary {
        return;
    }
    service.crashes += 1;
    let Some(wait) = wait_after(service.crashes) else {
        return;
    };
    service.not_before = Some(later(now, wait));
    if begins_to_wait(service.crashes) {
        service.say(cx, IMPAIRED);
    }
}

/// What ECS says of a task that found no place.
pub(super) fn unplaced(service: &Service, reason: &str) -> String {
    if Capacity::of(&service.goal).launch_type == "FARGATE" {
        format!("was unable to place a task. Reason: {reason}.")
    } else {
        format!(
            "was unable to place a task because no container instance met all of its requirements. Reason: {reason}."
        )
    }
}
