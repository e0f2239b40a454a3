//! Service deployments and service revisions: ECS's own record of what it did.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::arn::arn;
use super::json::{maybe_seconds, seconds, tidy};
use super::service::Service;
use super::stages::Hook;
use super::task::Container;
use super::{Ecs, RecordKey};

/// A digest that a deployment settled on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pin {
    pub container: String,
    pub image: String,
    pub digest: String,
}

impl Pin {
    /// Of a container whose image was found.
    pub fn of(container: &Container) -> Option<Self> {
        Some(Self {
            container: container.name.clone(),
            image: container.image.clone(),
            digest: container.digest.clone()?,
        })
    }
}

/// A service revision: what a deployment deploys, for ever.
#[derive(Debug, Clone)]
pub(super) struct Revision {
    goal: Arc<Map<String, Value>>,
    created_at: Timestamp,
    pub pins: Arc<Vec<Pin>>,
}

impl Revision {
    pub fn new(cx: &Cx<'_>, goal: Arc<Map<String, Value>>) -> Self {
        Self {
            goal,
            created_at: cx.now,
            pins: Arc::default(),
        }
    }

    /// As DescribeServiceRevisions answers it.
    pub fn view(&self, ecs: &Ecs, cx: &Cx<'_>, key: &RecordKey) -> Value {
        let (cluster, service, id) = key;
        let mut view = (*self.goal).clone();
        if let Some(version) = view.get_mut("platformVersion").filter(|v| *v == "LATEST") {
            *version = json!("1.4.0");
        }
        let definition = self.goal.get("taskDefinition").and_then(Value::as_str);
        let containers = definition.and_then(|arn| ecs.definition(cx, arn));
        let images: Value = containers
            .into_iter()
            .flat_map(|definition| definition.containers())
            .map(|container| {
                let pin = self
                    .pins
                    .iter()
                    .find(|pin| container["name"] == pin.container.as_str());
                tidy(json!({
                    "containerName": container["name"],
                    "image": container["image"],
                    "imageDigest": pin.map(|pin| pin.digest.as_str()),
                }))
            })
            .collect();
        for (name, value) in [
            (
                "serviceRevisionArn",
                json!(revision_arn(cx, cluster, service, id)),
            ),
            (
                "serviceArn",
                json!(arn(cx, &format!("service/{cluster}/{service}"))),
            ),
            ("clusterArn", json!(arn(cx, &format!("cluster/{cluster}")))),
            ("containerImages", images),
            ("guardDutyEnabled", json!(false)),
            ("createdAt", seconds(self.created_at)),
        ] {
            view.insert(name.to_owned(), value);
        }
        Value::Object(view)
    }
}

/// The ARN of a service revision.
pub(super) fn revision_arn(cx: &Cx<'_>, cluster: &str, service: &str, id: &str) -> String {
    arn(cx, &format!("service-revision/{cluster}/{service}/{id}"))
}

/// The status of a service deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordStatus {
    Pending,
    InProgress,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
    Successful,
}

impl RecordStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
            Self::Successful => "SUCCESSFUL",
        }
    }

    /// Nothing changes any more.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed | Self::Successful
        )
    }
}

/// Requested, running and pending tasks.
type Counts = (u32, u32, u32);

/// A service deployment. A rollback happens within the one that it undoes.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    updated_at: Timestamp,
    /// Service revisions.
    sources: Vec<String>,
    pub target: String,
    pub status: RecordStatus,
    pub reason: Option<String>,
    configuration: Map<String, Value>,
    /// The stage it is in, as it is shown.
    pub stage: Option<String>,
    pub hooks: Vec<Hook>,
    /// Percent of the traffic that goes to what it deploys.
    pub weight: Option<f64>,
    /// Why, since when, to which service revision.
    pub rollback: Option<(String, Timestamp, String)>,
    /// Failures and threshold when the breaker tripped.
    pub tripped: Option<(u32, u32)>,
    /// The target's tasks, the failures and the threshold, when it was over.
    last: Option<(Counts, u32, u32)>,
}

impl Record {
    pub fn new(cx: &Cx<'_>, service: &Service, sources: Vec<String>, target: String) -> Self {
        Self {
            created_at: cx.now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: cx.now,
            sources,
            target,
            status: RecordStatus::Pending,
            reason: None,
            configuration: service.configuration.clone(),
            stage: None,
            hooks: Vec::new(),
            weight: None,
            rollback: None,
            tripped: None,
            last: None,
        }
    }

    /// As ListServiceDeployments answers it.
    pub fn brief(&self, cx: &Cx<'_>, key: &RecordKey) -> Value {
        let (cluster, service, id) = key;
        tidy(json!({
            "serviceDeploymentArn": arn(cx, &format!("service-deployment/{cluster}/{service}/{id}")),
            "serviceArn": arn(cx, &format!("service/{cluster}/{service}")),
            "clusterArn": arn(cx, &format!("cluster/{cluster}")),
            "startedAt": maybe_seconds(self.started_at),
            "createdAt": seconds(self.created_at),
            "finishedAt": maybe_seconds(self.finished_at),
            "targetServiceRevisionArn": revision_arn(cx, cluster, service, &self.target),
            "status": self.status.name(),
            "statusReason": self.reason,
        }))
    }

    /// As DescribeServiceDeployments answers it; `service` is seen at the same time.
    pub fn view(&self, cx: &Cx<'_>, key: &RecordKey, service: Option<&Service>) -> Value {
        let mut view = match self.brief(cx, key) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        view.remove("targetServiceRevisionArn");
        let (cluster, name, _) = key;
        let summary = |id: &String, counts: Counts| {
            json!({
                "arn": revision_arn(cx, cluster, name, id),
                "requestedTaskCount": counts.0,
                "runningTaskCount": counts.1,
                "pendingTaskCount": counts.2,
            })
        };
        let counts = |id: &String| service.map_or((0, 0, 0), |service| counts(service, id));
        let target = self
            .last
            .map_or_else(|| counts(&self.target), |last| last.0);
        let rollback = self.rollback.as_ref().map(|(why, since, to)| {
            json!({
                "reason": why,
                "startedAt": seconds(*since),
                "serviceRevisionArn": revision_arn(cx, cluster, name, to),
            })
        });
        let sources: Value = self
            .sources
            .iter()
            .map(|id| summary(id, counts(id)))
            .collect();
        for (name, value) in [
            ("stoppedAt", maybe_seconds(self.stopped_at)),
            ("updatedAt", seconds(self.updated_at)),
            ("sourceServiceRevisions", sources),
            (
                "targetServiceRevision",
                self.weighed(summary(&self.target, target)),
            ),
            ("lifecycleStage", json!(self.stage)),
            ("lifecycleHookDetails", self.hooks()),
            (
                "deploymentConfiguration",
                Value::Object(self.configuration.clone()),
            ),
            ("rollback", json!(rollback)),
            ("deploymentCircuitBreaker", self.breaker(service)),
            ("alarms", json!({"status": "DISABLED"})),
        ] {
            view.insert(name.to_owned(), value);
        }
        tidy(Value::Object(view))
    }

    fn hooks(&self) -> Value {
        match self.hooks.is_empty() {
            true => Value::Null,
            false => self.hooks.iter().map(Hook::view).collect(),
        }
    }

    fn weighed(&self, mut summary: Value) -> Value {
        if let Some(weight) = self.weight {
            summary["requestedProductionTrafficWeight"] = json!(weight);
        }
        summary
    }

    fn breaker(&self, service: Option<&Service>) -> Value {
        let set = self.configuration.get("deploymentCircuitBreaker");
        let enabled = set.and_then(|set| set.get("enable")) == Some(&Value::Bool(true));
        let live = || service.map_or((0, 3), |service| strikes(service, &self.target));
        let (failures, threshold) = self
            .tripped
            .or(self.last.map(|last| (last.1, last.2)))
            .unwrap_or_else(live);
        let status = match (enabled, self.tripped, self.status.is_over()) {
            (false, _, _) => "DISABLED",
            (_, Some(_), _) => "TRIGGERED",
            (_, None, true) => "MONITORING_COMPLETE",
            (_, None, false) => "MONITORING",
        };
        json!({"status": status, "failureCount": failures, "threshold": threshold})
    }
}

/// The tasks of a service revision.
pub(super) fn counts(service: &Service, id: &str) -> Counts {
    let found = service
        .deployments
        .iter()
        .enumerate()
        .find(|(_, d)| d.id == id);
    found.map_or((0, 0, 0), |(at, deployment)| {
        let live = deployment.running + deployment.pending;
        let requested = if at == 0 { service.desired } else { live };
        (requested, deployment.running, deployment.pending)
    })
}

fn strikes(service: &Service, id: &str) -> (u32, u32) {
    let found = service
        .deployments
        .iter()
        .find(|deployment| deployment.id == id);
    (
        found.map_or(0, |deployment| deployment.strikes),
        service.breaker().threshold,
    )
}

impl Ecs {
    fn record_key(service: &Service, id: &str) -> RecordKey {
        (service.cluster.clone(), service.name.clone(), id.to_owned())
    }

    /// The status of one of the service's deployments.
    pub(super) fn record_status(&self, service: &Service, id: &str) -> Option<RecordStatus> {
        self.records
            .get(&Self::record_key(service, id))
            .map(|record| record.status)
    }

    /// Changes one of the service's deployments.
    pub(super) fn edit_record(
        &mut self,
        cx: &Cx<'_>,
        service: &Service,
        id: &str,
        change: impl FnOnce(&mut Record),
    ) {
        self.records
            .edit(cx, &Self::record_key(service, id), |record| {
                change(record);
                record.updated_at = cx.now;
            });
    }

    /// Ends the service's newest deployment.
    pub(super) fn finish_record(
        &mut self,
        cx: &Cx<'_>,
        service: &Service,
        status: RecordStatus,
        why: Option<&str>,
    ) {
        if let Some(id) = &service.record {
            self.end_record(cx, service, id, status, why);
        }
    }

    /// Ends one of the service's deployments.
    pub(super) fn end_record(
        &mut self,
        cx: &Cx<'_>,
        service: &Service,
        id: &str,
        status: RecordStatus,
        why: Option<&str>,
    ) {
        self.edit_record(cx, service, id, |record| {
            record.status = status;
            record.finished_at = Some(cx.now);
            record.stopped_at = (status == RecordStatus::Stopped).then_some(cx.now);
            if let Some(why) = why {
                record.reason = Some(why.to_owned());
            }
            let (failures, threshold) = strikes(service, &record.target);
            record.last = Some((counts(service, &record.target), failures, threshold));
        });
    }

    /// Forgets the records of a service that is gone for good.
    pub(super) fn forget_records(&mut self, cx: &Cx<'_>, service: &Service) {
        let first = Self::record_key(service, "");
        let own = |key: &RecordKey| key.0 == service.cluster && key.1 == service.name;
        let of_table: Vec<_> = self
            .records
            .range(first.clone()..)
            .map(|(key, _)| key.clone())
            .take_while(own)
            .collect();
        for key in of_table {
            self.records.remove(cx, &key);
        }
        let revisions: Vec<_> = self
            .revisions
            .range(first..)
            .map(|(key, _)| key.clone())
            .take_while(own)
            .collect();
        for key in revisions {
            self.revisions.remove(cx, &key);
        }
    }
}
