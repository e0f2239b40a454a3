//! How a deployment ends: it succeeds, fails or is stopped, and what is done about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::super::cx::Cx;
use super::super::ecs::Ecs;
use super::super::fault::Fault;
use super::super::notice::Notice;
use super::CodeDeploy;
use super::deployment::{Deployment, SHIFT, Status, Step, events, termination_wait};
use super::run::look;
use super::traffic::AT_ONCE;

const HOOK_FAILED: &str =
    "The deployment failed because one or more of the lifecycle event validation functions failed.";

/// Error codes that a rule may begin its reason with, and a colon.
const CODES: [&str; 14] = [
    "ALARM_ACTIVE",
    "AUTOSCALING_VALIDATION_ERROR",
    "CUSTOMER_APPLICATION_UNHEALTHY",
    "ECS_UPDATE_ERROR",
    "ELASTIC_LOAD_BALANCING_INVALID",
    "HEALTH_CONSTRAINTS",
    "HOOK_EXECUTION_FAILURE",
    "IAM_ROLE_MISSING",
    "IAM_ROLE_PERMISSIONS",
    "INTERNAL_ERROR",
    "INVALID_ECS_SERVICE",
    "RESOURCE_LIMIT_EXCEEDED",
    "THROTTLED",
    "TIMEOUT",
];

/// What ended a deployment before its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cause {
    Failure,
    Alarm,
    /// Somebody stopped it, and may have said whether it is to be undone.
    Request(Option<bool>),
    /// Nobody said that it may go on.
    Silence,
}

/// How a deployment ended before its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub code: &'static str,
    pub message: String,
    /// What is told of the event that it was at.
    pub trouble: Option<String>,
    pub cause: Cause,
}

impl Failure {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            trouble: None,
            cause: Cause::Failure,
        }
    }

    pub fn timeout(message: &str) -> Self {
        Self {
            trouble: Some(message.to_owned()),
            ..Self::new("TIMEOUT", message)
        }
    }

    pub fn hook(trouble: &str) -> Self {
        Self {
            trouble: Some(trouble.to_owned()),
            ..Self::new("HOOK_EXECUTION_FAILURE", HOOK_FAILED)
        }
    }

    /// The AppSpec cannot be read.
    pub fn invalid(why: &str) -> Self {
        Self::new(
            "INVALID_REVISION",
            format!(
                "The deployment failed because the AppSpec file that specifies the deployment configuration is missing or has an invalid configuration. {why}"
            ),
        )
    }

    /// ECS refused a call of CodeDeploy.
    pub fn of_ecs(cx: &mut Cx<'_>, fault: &Fault) -> Self {
        let Fault {
            status,
            code,
            message,
            ..
        } = fault;
        let id = cx.ids.uuid();
        Self::new(
            "ECS_UPDATE_ERROR",
            format!(
                "The ECS service cannot be updated due to an unexpected error: {message} (Service: AmazonECS; Status Code: {status}; Error Code: {code}; Request ID: {id}; Proxy: null). Check your ECS service status."
            ),
        )
    }

    pub fn stopped(undo: Option<bool>) -> Self {
        Self {
            cause: Cause::Request(undo),
            ..Self::new("MANUAL_STOP", "The deployment was stopped by a user.")
        }
    }

    pub fn unanswered(wait: SignedDuration) -> Self {
        let minutes = wait.as_mins();
        Self {
            cause: Cause::Silence,
            ..Self::new(
                "TIMEOUT",
                format!(
                    "The deployment timed out while waiting for a notification to continue. This time out period is {minutes} minutes."
                ),
            )
        }
    }

    /// A rule says that a step fails. Its reason may begin with an error code and a colon.
    pub fn told(step: Step, reason: &str) -> Self {
        let coded = reason.split_once(": ").and_then(|(code, rest)| {
            let code = CODES.iter().find(|known| **known == code)?;
            Some((*code, rest))
        });
        match coded {
            Some(("ALARM_ACTIVE", rest)) => Self {
                cause: Cause::Alarm,
                ..Self::new("ALARM_ACTIVE", rest)
            },
            Some((code, rest)) => Self {
                trouble: Some(rest.to_owned()),
                ..Self::new(code, rest)
            },
            None if step.is_for_hook() => Self::hook(reason),
            None => Self {
                trouble: Some(reason.to_owned()),
                ..Self::new(
                    "ECS_UPDATE_ERROR",
                    format!(
                        "The ECS service cannot be updated due to an unexpected error: {reason}. Check your ECS service status."
                    ),
                )
            },
        }
    }
}

impl CodeDeploy {
    /// All is done: the task set without traffic goes.
    pub(super) fn succeed(&mut self, cx: &Cx<'_>, ecs: &mut Ecs, it: &mut Deployment) {
        look(ecs, it);
        let goes = match it.undoes.is_some() {
            true => it.green.clone(),
            false => it
                .blue
                .clone()
                .filter(|_| termination_wait(&it.settings).is_some()),
        };
        if let Some(name) = goes {
            ecs.drain_task_set(cx, &it.place, &name);
        }
        it.status = Status::Succeeded;
        it.completed = Some(cx.now);
        self.tell(cx, it, "SUCCESS");
        self.note(it);
    }

    /// It ended before its time. What it did is undone, where that is wanted and there is something
    /// to undo; else everything stays as it is.
    pub(super) fn fail(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &Ecs,
        it: &mut Deployment,
        failure: Failure,
    ) {
        look(ecs, it);
        for event in &mut it.events {
            match event.status {
                "InProgress" => {
                    event.status = "Failed";
                    event.ended = Some(cx.now);
                    event.trouble.clone_from(&failure.trouble);
                }
                "Pending" => event.status = "Skipped",
                _ => {}
            }
        }
        let wanted = match failure.cause {
            Cause::Failure => it.rolls_back_on("DEPLOYMENT_FAILURE"),
            Cause::Alarm => it.rolls_back_on("DEPLOYMENT_STOP_ON_ALARM"),
            Cause::Request(Some(undo)) => undo,
            Cause::Request(None) => it.rolls_back_on("DEPLOYMENT_STOP_ON_REQUEST"),
            Cause::Silence => {
                it.rolls_back_on("DEPLOYMENT_FAILURE")
                    || it.rolls_back_on("DEPLOYMENT_STOP_ON_REQUEST")
            }
        };
        it.status = match failure.cause {
            Cause::Failure => Status::Failed,
            Cause::Alarm | Cause::Request(_) | Cause::Silence => Status::Stopped,
        };
        it.error = Some((failure.code, failure.message));
        it.completed = Some(cx.now);
        let state = match it.status {
            Status::Failed => "FAILURE",
            _ => "STOP",
        };
        self.tell(cx, it, state);
        self.note(it);
        if wanted && it.undoes.is_none() && it.green.is_some() {
            self.roll_back(cx, it);
        }
    }

    /// Makes the deployment that undoes this one.
    fn roll_back(&mut self, cx: &mut Cx<'_>, it: &mut Deployment) {
        let mut settings = (*it.settings).clone();
        let off = json!({"enabled": false, "events": []});
        settings.insert("autoRollbackConfiguration".to_owned(), off);
        let key = (it.application.clone(), it.group.clone());
        let second = Deployment {
            config: AT_ONCE.to_owned(),
            revision: it.previous.clone(),
            previous: it.previous.clone(),
            undoes: Some(it.id.clone()),
            steps: SHIFT.to_vec(),
            events: events(&SHIFT, &BTreeMap::new()),
            blue: it.blue.clone(),
            green: it.green.clone(),
            weight: it.weight,
            ..self.blank(cx, key, it.place.clone(), Arc::new(settings))
        };
        it.undone_by = Some(second.id.clone());
        self.begin(cx, second);
    }

    fn note(&mut self, it: &Deployment) {
        let key = (it.application.clone(), it.group.clone());
        if let Some(group) = self.groups.get_mut(&key) {
            let succeeded = it.status == Status::Succeeded && it.undoes.is_none();
            group.note(it, succeeded);
        }
    }

    /// Tells EventBridge how a deployment stands.
    pub(super) fn tell(&mut self, cx: &Cx<'_>, it: &Deployment, state: &str) {
        let arn = |rest: String| format!("arn:aws:codedeploy:{}:{}:{rest}", cx.region, cx.account);
        let (application, group) = (&it.application, &it.group);
        self.notices.tell(|| Notice {
            at: cx.now,
            source: "aws.codedeploy".to_owned(),
            kind: "CodeDeploy Deployment State-change Notification".to_owned(),
            resources: vec![
                arn(format!("application:{application}")),
                arn(format!("deploymentgroup:{application}/{group}")),
            ],
            detail: json!({
                "region": cx.region,
                "application": application,
                "deploymentGroup": group,
                "deploymentId": it.id,
                "state": state,
            }),
        });
    }
}
