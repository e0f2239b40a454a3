//! StopDeployment, ContinueDeployment, and the answers of hooks.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::delayed::Delayed;
use super::super::fault::Fault;
use super::super::json::{Object, text};
use super::deployment::{Deployment, Status, Step, Stop};
use super::reads::{id_of, missing};
use super::{CodeDeploy, later};

/// How long it takes until a deployment stops.
const STOPS: SignedDuration = SignedDuration::from_secs(2);

impl CodeDeploy {
    fn latest(&self, input: &Object) -> Result<Deployment, Fault> {
        let id = id_of(input)?;
        let found = self.deployments.get(id).and_then(Delayed::latest);
        found.cloned().ok_or_else(|| missing(id))
    }

    /// As `latest`, of one that is under way.
    fn under_way(&self, input: &Object) -> Result<Deployment, Fault> {
        let found = self.latest(input)?;
        match found.status.is_over() {
            true => Err(Fault::client(
                "DeploymentAlreadyCompletedException",
                format!("The deployment {} is already complete", found.id),
            )),
            false => Ok(found),
        }
    }

    /// Keeps a deployment whose call takes effect when it is looked at next, which is soon.
    fn look_soon(&mut self, cx: &Cx<'_>, deployment: Deployment) {
        let soon = later(cx.now, SignedDuration::from_secs(1));
        let next = self.active.entry(deployment.id.clone()).or_default();
        *next = Some(next.map_or(soon, |at| at.min(soon)));
        self.keep(cx, deployment);
    }

    pub(super) fn stop(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let mut found = self.under_way(input)?;
        let undo = input.get("autoRollbackEnabled").and_then(Value::as_bool);
        if found.stop.is_none() {
            let at = later(cx.now, STOPS);
            found.stop = Some(Stop { at, undo });
            self.look_soon(cx, found);
        }
        Ok(json!({
            "status": "Pending",
            "statusMessage": "No more commands will be scheduled for execution in the deployment instances",
        }))
    }

    pub(super) fn go_on(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let mut found = self.under_way(input)?;
        match text(input, "deploymentWaitType").unwrap_or("READY_WAIT") {
            "READY_WAIT" if found.status == Status::Ready => {}
            "READY_WAIT" => {
                return Err(Fault::client(
                    "DeploymentIsNotInReadyStateException",
                    format!(
                        "The deployment {} does not have a status of Ready",
                        found.id
                    ),
                ));
            }
            "TERMINATION_WAIT" if found.step() == Some(Step::TerminationWait) => {}
            "TERMINATION_WAIT" => {
                return Err(Fault::client(
                    "InvalidDeploymentStatusException",
                    format!(
                        "The deployment {} does not wait for the end of its blue task set",
                        found.id
                    ),
                ));
            }
            other => {
                return Err(Fault::client(
                    "InvalidDeploymentWaitTypeException",
                    format!("{other} is no wait type"),
                ));
            }
        }
        found.goes_on = true;
        self.look_soon(cx, found);
        Ok(json!({}))
    }

    pub(super) fn answer_hook(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let mut found = self.latest(input)?;
        let answer = match text(input, "status") {
            Some("Succeeded") => true,
            Some("Failed") => false,
            _ => {
                return Err(Fault::client(
                    "InvalidLifecycleEventHookExecutionStatusException",
                    "The status of a hook is Succeeded or Failed",
                ));
            }
        };
        let id = text(input, "lifecycleEventHookExecutionId").unwrap_or_default();
        let mut events = found.events.iter_mut();
        let Some(event) = events.find(|it| it.execution.as_deref() == Some(id)) else {
            return Err(Fault::client(
                "InvalidLifecycleEventHookExecutionIdException",
                "There is no such execution of a hook",
            ));
        };
        if event.answer.is_some() || event.ended.is_some() {
            return Err(Fault::client(
                "LifecycleEventAlreadyCompletedException",
                "An attempt to return the status of an already completed lifecycle event occurred",
            ));
        }
        event.answer = Some(answer);
        self.look_soon(cx, found);
        Ok(json!({ "lifecycleEventHookExecutionId": id }))
    }
}
