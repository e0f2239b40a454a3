//! A service's `deployments[]`: how one begins, completes, fails, and gives way.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::cx::Cx;
use super::agenda::Due;
use super::json::in_seconds;
use super::records::{Pin, Record, RecordStatus, Revision};
use super::service::{Completed, Service};
use super::task::Task;
use super::task_sets::TaskSet;
use super::{Ecs, Key};

/// `rolloutState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

impl Rollout {
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One of `deployments[]`. Its id is that of its service revision: a rollback brings the
/// deployment of the old revision back under its old id.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    /// 19 digits.
    pub id: String,
    pub goal: Arc<Map<String, Value>>,
    pub rollout: Rollout,
    pub reason: String,
    /// Failed tasks in a row.
    pub failed_tasks: u32,
    /// What the circuit breaker counts.
    pub strikes: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub pending: u32,
    pub running: u32,
    /// The digests that its first task found: all its tasks run them.
    pub pins: Arc<Vec<Pin>>,
    /// Of a service that CodeDeploy releases it is a task set, and nothing else.
    pub set: Option<TaskSet>,
}

impl Deployment {
    /// `ecs-svc/..`
    pub fn name(&self) -> String {
        format!("ecs-svc/{}", self.id)
    }
}

/// 19 digits, of which the first is not 0.
pub(super) fn digits(cx: &mut Cx<'_>) -> String {
    let drawn = u64::from_str_radix(&cx.ids.hex(16), 16).unwrap_or_default();
    (1_000_000_000_000_000_000 + drawn % 9_000_000_000_000_000_000).to_string()
}

impl Ecs {
    /// Starts a deployment of `service.goal`; one in progress gives way to it.
    pub(super) fn begin_deployment(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let id = digits(cx);
        if let Some(former) = service.record.take()
            && self
                .record_status(service, &former)
                .is_some_and(|status| !status.is_over())
        {
            self.edit_record(cx, service, &former, |record| {
                record.status = RecordStatus::StopRequested;
            });
            service.superseded.push(former);
        }
        let sources = service.deployments.iter().map(|d| d.id.clone()).collect();
        let deployment = Deployment {
            reason: format!("ECS deployment ecs-svc/{id} in progress."),
            id: id.clone(),
            goal: Arc::clone(&service.goal),
            rollout: Rollout::InProgress,
            failed_tasks: 0,
            strikes: 0,
            created_at: cx.now,
            updated_at: cx.now,
            pending: 0,
            running: 0,
            pins: Arc::default(),
            set: None,
        };
        service.deployments.insert(0, deployment);
        self.notice_primary(cx, service, "IN_PROGRESS");
        let revision = Revision::new(cx, Arc::clone(&service.goal));
        let key = (service.cluster.clone(), service.name.clone(), id.clone());
        self.revisions.put(cx, key, revision);
        let record_id = cx.ids.hex(21);
        let record = Record::new(cx, service, sources, id);
        let key = (
            service.cluster.clone(),
            service.name.clone(),
            record_id.clone(),
        );
        self.records.put(cx, key, record);
        service.record = Some(record_id);
        self.begin_stages(cx, service);
        settle_anew(service);
        self.wake(cx, &service.key());
    }

    /// Has the scheduler look at the service within a second.
    pub(super) fn wake(&mut self, cx: &Cx<'_>, key: &Key) {
        self.agenda
            .bring_forward(Due::Service(key.clone()), in_seconds(cx.now, 1));
    }

    /// The PRIMARY has done what it was for.
    pub(super) fn complete(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let Some(primary) = service.deployments.first_mut() else {
            return;
        };
        let name = primary.name();
        primary.rollout = Rollout::Completed;
        primary.reason = format!("ECS deployment {name} completed.");
        primary.updated_at = cx.now;
        primary.failed_tasks = 0;
        service.staged = None;
        service.completed = Some(Completed {
            id: primary.id.clone(),
            goal: Arc::clone(&primary.goal),
            pins: Arc::clone(&primary.pins),
        });
        self.notice_primary(cx, service, "COMPLETED");
        service.say(cx, &format!("(deployment {name}) deployment completed."));
        let rolling_back = service
            .record
            .as_deref()
            .and_then(|id| self.record_status(service, id))
            == Some(RecordStatus::RollbackInProgress);
        let status = if rolling_back {
            RecordStatus::RollbackSuccessful
        } else {
            RecordStatus::Successful
        };
        self.finish_record(cx, service, status, None);
    }

    /// Ends the PRIMARY as FAILED.
    pub(super) fn fail_primary(&mut self, cx: &mut Cx<'_>, service: &mut Service, why: &str) {
        let Some(primary) = service.deployments.first_mut() else {
            return;
        };
        primary.rollout = Rollout::Failed;
        why.clone_into(&mut primary.reason);
        primary.updated_at = cx.now;
        self.notice_primary(cx, service, "FAILED");
    }

    /// Makes the deployment of the newest completed revision the PRIMARY again.
    pub(super) fn restore(
        &mut self,
        cx: &mut Cx<'_>,
        service: &mut Service,
        target: &Completed,
        by_breaker: bool,
    ) {
        let there = service.deployments.iter().position(|d| d.id == target.id);
        let mut deployment = match there {
            Some(at) => service.deployments.remove(at),
            None => Deployment {
                id: target.id.clone(),
                goal: Arc::clone(&target.goal),
                rollout: Rollout::InProgress,
                reason: String::new(),
                failed_tasks: 0,
                strikes: 0,
                created_at: cx.now,
                updated_at: cx.now,
                pending: 0,
                running: 0,
                pins: Arc::clone(&target.pins),
                set: None,
            },
        };
        let name = deployment.name();
        deployment.rollout = Rollout::InProgress;
        deployment.reason = if by_breaker {
            format!("ECS deployment circuit breaker: rolling back to deploymentId {name}.")
        } else {
            format!("ECS deployment {name} in progress.")
        };
        (deployment.failed_tasks, deployment.strikes) = (0, 0);
        deployment.updated_at = cx.now;
        service.goal = Arc::clone(&deployment.goal);
        service.deployments.insert(0, deployment);
        self.notice_primary(cx, service, "IN_PROGRESS");
        service.say(cx, &format!("rolling back to deployment {name}."));
        settle_anew(service);
    }

    /// The first task of a deployment to find all its images settles the digests for the others.
    pub(super) fn pin_images(&mut self, cx: &mut Cx<'_>, task: &Task) {
        let Some(owner) = &task.owner else { return };
        let pins: Vec<_> = task.containers.iter().filter_map(Pin::of).collect();
        let key = (task.cluster.clone(), owner.service.clone());
        let unpinned = self.services.get(&key).is_some_and(|service| {
            let mut deployments = service.deployments.iter();
            deployments.any(|d| d.id == owner.deployment && d.pins.is_empty())
        });
        if !unpinned {
            return;
        }
        let pins = Arc::new(pins);
        self.services.edit(cx, &key, |service| {
            if let Some(deployment) = service.deployment_mut(&owner.deployment) {
                deployment.pins = Arc::clone(&pins);
            }
        });
        let key = (key.0, key.1, owner.deployment.clone());
        self.revisions
            .edit(cx, &key, |revision| revision.pins = pins);
    }
}

fn settle_anew(service: &mut Service) {
    service.steady = false;
    service.stuck = false;
    service.crashes = 0;
    service.not_before = None;
}
