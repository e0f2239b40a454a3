//! The simulated ECS of one Region: its API in awsJson 1.1's shapes, and the scheduler behind it.
//!
//! Nothing here reads a clock or runs by itself. What is due later waits in an agenda; [`Ecs::advance`]
//! works it off in order of time, however big the jump, so a world that is looked at once a day is
//! the same as one that is polled every second.
//!
//! Writes are checked against the true state; the reads that AWS calls eventually consistent show
//! the state as of `readDelay` ago (`Table::seen`).

mod agenda;
mod arn;
mod breaker;
mod cluster;
mod code_deploy;
mod deployments;
mod describe_tasks;
mod fate;
mod json;
mod life;
mod notices;
mod paging;
mod patience;
mod records;
mod rollout;
mod run_task;
mod scheduler;
mod service;
mod service_checks;
mod service_events;
mod service_write;
mod speech;
mod stages;
mod strategy;
mod table;
mod tags;
mod task;
mod task_sets;
mod taskdef;
mod taskdef_checks;
mod taskdef_fill;
mod validate;
mod views;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::cx::Cx;
use super::fault::Fault;
use super::logs::Said;
use super::notice::Notices;
use agenda::{Agenda, Due};
use cluster::Cluster;
use records::{Record, Revision};
use run_task::Token;
use service::Service;
use table::Table;
use task::Task;
use taskdef::TaskDefinition;
use validate::Input;

pub(crate) use code_deploy::{SetSeen, Wish};

/// Cluster name, then the name of the service or the id of the task.
type Key = (String, String);

/// Cluster name, service name, and the id of a service deployment or service revision.
type RecordKey = (String, String, String);

/// The ECS of one Region.
#[derive(Default)]
pub(crate) struct Ecs {
    clusters: Table<String, Cluster>,
    /// By family and revision.
    definitions: Table<(String, u32), TaskDefinition>,
    /// The newest revision ever registered, by family: numbers are never given twice.
    newest_revision: BTreeMap<String, u32>,
    services: Table<Key, Service>,
    tasks: Table<Key, Task>,
    /// Tasks of each service that are not STOPPED yet.
    members: BTreeMap<Key, BTreeSet<String>>,
    records: Table<RecordKey, Record>,
    revisions: Table<RecordKey, Revision>,
    /// RunTask's client tokens, by cluster.
    tokens: BTreeMap<(String, String), Token>,
    agenda: Agenda,
    /// What EventBridge is told.
    pub(super) notices: Notices,
    /// What containers wrote to their logs.
    pub(super) said: Vec<Said>,
}

impl Ecs {
    /// Answers one call, after bringing the Region to the time of the call.
    ///
    /// # Errors
    /// AWS's exception for the operation, or `UnknownOperationException`.
    pub(crate) fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Map<String, Value>,
    ) -> Result<Value, Fault> {
        self.advance(cx);
        let input = Input::new(input);
        match operation {
            "CreateCluster" => self.create_cluster(cx, input),
            "DescribeClusters" => self.describe_clusters(cx, input),
            "ListClusters" => self.list_clusters(cx, input),
            "DeleteCluster" => self.delete_cluster(cx, input),
            "PutClusterCapacityProviders" => self.put_capacity_providers(cx, input),
            "RegisterTaskDefinition" => self.register_task_definition(cx, input),
            "DescribeTaskDefinition" => self.describe_task_definition(cx, input),
            "ListTaskDefinitions" => self.list_task_definitions(cx, input),
            "ListTaskDefinitionFamilies" => self.list_families(cx, input),
            "DeregisterTaskDefinition" => self.deregister_task_definition(cx, input),
            "CreateService" => self.create_service(cx, input),
            "UpdateService" => self.update_service(cx, input),
            "DeleteService" => self.delete_service(cx, input),
            "DescribeServices" => self.describe_services(cx, input),
            "ListServices" => self.list_services(cx, input),
            "RunTask" => self.run_task(cx, input),
            "StopTask" => self.stop_task(cx, input),
            "DescribeTasks" => self.describe_tasks(cx, input),
            "ListTasks" => self.list_tasks(cx, input),
            "ListServiceDeployments" => self.list_service_deployments(cx, input),
            "DescribeServiceDeployments" => self.describe_service_deployments(cx, input),
            "DescribeServiceRevisions" => self.describe_service_revisions(cx, input),
            "ContinueServiceDeployment" => self.continue_service_deployment(cx, input),
            "StopServiceDeployment" => self.stop_service_deployment(cx, input),
            "TagResource" => self.tag_resource(cx, input),
            "UntagResource" => self.untag_resource(cx, input),
            "ListTagsForResource" => self.list_tags(cx, input),
            _ => Err(Fault::client(
                "UnknownOperationException",
                format!("The sandbox's ECS has no operation {operation}."),
            )),
        }
    }

    /// Brings the Region to `cx.now`: everything due until then happens at its own time.
    pub(crate) fn advance(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        while let Some((at, due)) = self.agenda.pop(now) {
            cx.now = at;
            match due {
                Due::Task(key) => self.step_task(cx, &key),
                Due::Service(key) => self.tick(cx, &key),
            }
        }
        cx.now = now;
    }

    /// When something happens next by itself; an idle Region has nothing.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        self.agenda.next()
    }
}
