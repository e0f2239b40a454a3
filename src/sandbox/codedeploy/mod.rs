//! CodeDeploy of one Region, for services of ECS.
//!
//! A deployment goes through steps, of which most are lifecycle events: it makes a green task set
//! beside the blue one, sends the traffic over, and takes the blue one away. Rules with a `stage` say
//! what comes of an event, by its name. What is undone is undone by a second deployment, whose shift of
//! traffic is called `Rollback` in rules.
//!
//! Nothing here reads a clock. [`CodeDeploy::advance`] works off what is due here and in ECS in order
//! of time, and looks at a deployment whenever ECS took a step.

mod applications;
mod appspec;
mod checks;
mod create;
mod deployment;
mod endings;
mod groups;
mod reads;
mod run;
mod steer;
mod traffic;
mod views;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cx::Cx;
use super::delayed::Delayed;
use super::ecs::Ecs;
use super::fault::Fault;
use super::json::Object;
use super::notice::Notices;
use applications::Application;
use create::Registered;
use deployment::Deployment;
use groups::Group;

/// CodeDeploy of one Region.
#[derive(Default)]
pub(super) struct CodeDeploy {
    applications: BTreeMap<String, Application>,
    /// By application and name.
    groups: BTreeMap<(String, String), Group>,
    deployments: BTreeMap<String, Delayed<Deployment>>,
    /// Those that are not over, and when each is looked at next, whatever ECS does.
    active: BTreeMap<String, Option<Timestamp>>,
    /// AppSpecs by application and hash.
    revisions: BTreeMap<(String, String), Registered>,
    /// ARNs of target groups by their names.
    target_groups: BTreeMap<String, String>,
    /// How many deployments were ever made.
    made: u64,
    /// What EventBridge is told.
    pub notices: Notices,
    /// Functions that were invoked as hooks, with what they were given, oldest first.
    pub invoked: Vec<(String, Value)>,
}

impl CodeDeploy {
    /// Answers one call; the Region was brought to the time of the call before.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateApplication" => self.create_application(cx, input),
            "GetApplication" => self.get_application(input),
            "ListApplications" => self.list_applications(input),
            "DeleteApplication" => self.delete_application(input),
            "CreateDeploymentGroup" => self.create_group(cx, ecs, input),
            "UpdateDeploymentGroup" => self.update_group(ecs, input),
            "GetDeploymentGroup" => self.get_group(input),
            "BatchGetDeploymentGroups" => self.get_groups(input),
            "ListDeploymentGroups" => self.list_groups(input),
            "DeleteDeploymentGroup" => self.delete_group(input),
            "GetApplicationRevision" => self.get_revision(input),
            "GetDeploymentConfig" => traffic::get_config(input),
            "CreateDeployment" => self.create_deployment(cx, ecs, input),
            "ListDeployments" => self.list_deployments(cx, input),
            "GetDeployment" => self.get_deployment(cx, input),
            "BatchGetDeployments" => self.get_deployments(cx, input),
            "ListDeploymentTargets" => self.list_targets(cx, input),
            "GetDeploymentTarget" => self.get_target(cx, input),
            "BatchGetDeploymentTargets" => self.get_targets(cx, input),
            "StopDeployment" => self.stop(cx, input),
            "ContinueDeployment" => self.go_on(cx, input),
            "PutLifecycleEventHookExecutionStatus" => self.answer_hook(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Whether a deployment is under way: else ECS goes on alone.
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty()
    }

    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.active.values().flatten().min().copied()
    }

    /// Brings CodeDeploy and ECS to `cx.now`: what is due until then happens at its own time.
    pub fn advance(&mut self, cx: &mut Cx<'_>, ecs: &mut Ecs) {
        let now = cx.now;
        loop {
            let next = [self.next_event(), ecs.next_event()].into_iter().flatten();
            let Some(at) = next.min().filter(|at| *at <= now) else {
                break;
            };
            cx.now = at;
            ecs.advance(cx);
            let ids: Vec<String> = self.active.keys().cloned().collect();
            for id in ids {
                self.work_on(cx, ecs, &id);
            }
        }
        cx.now = now;
    }

    fn work_on(&mut self, cx: &mut Cx<'_>, ecs: &mut Ecs, id: &str) {
        let found = self.deployments.get(id).and_then(Delayed::latest);
        let Some(mut deployment) = found.cloned() else {
            self.active.remove(id);
            return;
        };
        let before = deployment.clone();
        let wake = self.step(cx, ecs, &mut deployment);
        match deployment.status.is_over() {
            true => self.active.remove(id),
            // Never in the past: it was looked at just now.
            false => {
                let soon = later(cx.now, SignedDuration::from_millis(1));
                self.active
                    .insert(id.to_owned(), wake.map(|at| at.max(soon)))
            }
        };
        if deployment != before {
            self.keep(cx, deployment);
        }
    }

    fn keep(&mut self, cx: &Cx<'_>, mut deployment: Deployment) {
        deployment.updated = cx.now;
        let id = deployment.id.clone();
        self.deployments.entry(id).or_default().set(cx, deployment);
    }
}

/// `at` plus `wait`; the end of time stays the end of time.
fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The text of a member that must be there and not be empty.
fn needed<'a>(
    input: &'a Object,
    member: &str,
    code: &'static str,
    message: &str,
) -> Result<&'a str, Fault> {
    let found = super::json::text(input, member).filter(|text| !text.is_empty());
    found.ok_or_else(|| Fault::client(code, message))
}
