//! Services as they are kept, and reading them.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::arn::{arn, in_cluster, is_arn};
use super::paging::page;
use super::records::Pin;
use super::rollout::Deployment;
use super::service_events::Event;
use super::stages::Staged;
use super::tags::Tags;
use super::validate::{Input, invalid};
use super::{Ecs, Key};

/// `ACTIVE`, `DRAINING` or `INACTIVE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    /// Deleted; its tasks are stopping.
    Draining,
    /// Deleted, and still described.
    Inactive,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// The newest deployment that completed: where a rollback goes.
#[derive(Debug, Clone)]
pub(super) struct Completed {
    pub id: String,
    pub goal: Arc<Map<String, Value>>,
    pub pins: Arc<Vec<Pin>>,
}

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub cluster: String,
    pub name: String,
    pub arn: String,
    pub cluster_arn: String,
    pub status: Status,
    pub desired: u32,
    /// What the newest deployment deploys: taskDefinition, networkConfiguration, capacity and the
    /// like, as members of the service.
    pub goal: Arc<Map<String, Value>>,
    /// Members that start no deployment when they change.
    pub settings: Map<String, Value>,
    /// deploymentConfiguration, with all that ECS fills in.
    pub configuration: Map<String, Value>,
    pub controller: String,
    pub scheduling: String,
    /// The PRIMARY first, then those it replaces, newest first. Of task sets the PRIMARY is the
    /// first as well.
    pub deployments: Vec<Deployment>,
    /// The newest service deployment's id.
    pub record: Option<String>,
    /// Service deployments that a newer one is about to stop.
    pub superseded: Vec<String>,
    pub completed: Option<Completed>,
    /// The stage of the deployment in progress, where it goes through stages.
    pub staged: Option<Staged>,
    /// Newest first.
    pub events: VecDeque<Arc<Event>>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub tags: Tags,
    /// The steady state was announced, and nothing changed since.
    pub steady: bool,
    /// It was announced that the percentages leave no room to move.
    pub stuck: bool,
    /// Failures in a row, for the scheduler's growing patience.
    pub crashes: u32,
    pub not_before: Option<Timestamp>,
    /// CreateService's input, to know a repetition by.
    pub input: Map<String, Value>,
}

impl Service {
    pub fn key(&self) -> Key {
        (self.cluster.clone(), self.name.clone())
    }

    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// ECS's own scheduler runs it; CODE_DEPLOY and EXTERNAL services bring their own.
    pub fn is_scheduled(&self) -> bool {
        self.controller == "ECS"
    }

    /// CodeDeploy releases it: it has task sets, which ECS keeps running.
    pub fn has_task_sets(&self) -> bool {
        self.controller == "CODE_DEPLOY"
    }

    /// A percentage of deploymentConfiguration.
    pub fn percent(&self, name: &str) -> u64 {
        self.configuration
            .get(name)
            .and_then(Value::as_u64)
            .unwrap_or(100)
    }

    pub fn deployment_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments
            .iter_mut()
            .find(|deployment| deployment.id == id)
    }
}

/// `ServiceNotFoundException`.
pub(super) fn service_not_found() -> Fault {
    Fault::client("ServiceNotFoundException", "Service not found.")
}

impl Ecs {
    /// The services of a cluster as they are.
    pub(super) fn services_of<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Service> {
        self.services
            .range((cluster.to_owned(), String::new())..)
            .take_while(move |(key, _)| key.0 == cluster)
            .map(|(_, service)| service)
    }

    /// The key of the service that `member` of the call names.
    pub(super) fn service_key(
        &self,
        cx: &Cx<'_>,
        input: Input<'_>,
        member: &str,
    ) -> Result<Key, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let text = input.needed(member, "Service can not be blank.")?;
        let name = in_cluster(cx, text, "service", &cluster).ok_or_else(service_not_found)?;
        let key = (cluster, name.to_owned());
        match self.services.get(&key) {
            Some(_) => Ok(key),
            None => Err(service_not_found()),
        }
    }

    pub(super) fn describe_services(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let wanted = input.named("services", 10)?;
        let with_tags = input.includes("TAGS")?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in wanted {
            let seen = in_cluster(cx, text, "service", &cluster)
                .and_then(|name| self.services.seen(cx, &(cluster.clone(), name.to_owned())));
            match seen {
                Some(service) => found.push(self.service_view(cx, service, with_tags)),
                None => {
                    let arn = if is_arn(text) {
                        text.to_owned()
                    } else {
                        arn(cx, &format!("service/{cluster}/{text}"))
                    };
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        Ok(json!({"services": found, "failures": failures}))
    }

    pub(super) fn list_services(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let launch_type = input.text("launchType")?;
        let scheduling = input.text("schedulingStrategy")?;
        if scheduling.is_some_and(|name| !["REPLICA", "DAEMON"].contains(&name)) {
            return Err(invalid("Invalid scheduling strategy."));
        }
        let wanted = |service: &Service| {
            let launches = service.goal.get("launchType").and_then(Value::as_str);
            service.status != Status::Inactive
                && launch_type.is_none_or(|name| launches == Some(name))
                && scheduling.is_none_or(|name| service.scheduling == name)
        };
        let arns = self
            .services
            .seen_range(cx, (cluster.clone(), String::new())..)
            .take_while(|(key, _)| key.0 == cluster)
            .filter(|(_, service)| wanted(service))
            .map(|(key, service)| (key.1.clone(), json!(service.arn)))
            .collect();
        page(input, "serviceArns", arns, 10)
    }
}
