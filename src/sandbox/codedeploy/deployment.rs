//! A deployment as it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::json::Object;

/// The status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Created,
    Queued,
    InProgress,
    /// It waits for ContinueDeployment.
    Ready,
    Succeeded,
    Failed,
    Stopped,
}

/// All that AWS names, also what ECS services never have.
pub(super) const STATUSES: [&str; 8] = [
    "Created",
    "Queued",
    "InProgress",
    "Baking",
    "Ready",
    "Succeeded",
    "Failed",
    "Stopped",
];

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Queued => "Queued",
            Self::InProgress => "InProgress",
            Self::Ready => "Ready",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    /// Nothing changes any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    pub fn has_started(self) -> bool {
        !matches!(self, Self::Created | Self::Queued)
    }
}

/// What a deployment goes through, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    BeforeInstall,
    Install,
    AfterInstall,
    AllowTestTraffic,
    AfterAllowTestTraffic,
    /// Until somebody says that the traffic may go over.
    ReadyWait,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
    /// Until the blue task set goes.
    TerminationWait,
}

impl Step {
    /// The lifecycle event; waits are none.
    pub fn event(self) -> Option<&'static str> {
        Some(match self {
            Self::BeforeInstall => "BeforeInstall",
            Self::Install => "Install",
            Self::AfterInstall => "AfterInstall",
            Self::AllowTestTraffic => "AllowTestTraffic",
            Self::AfterAllowTestTraffic => "AfterAllowTestTraffic",
            Self::BeforeAllowTraffic => "BeforeAllowTraffic",
            Self::AllowTraffic => "AllowTraffic",
            Self::AfterAllowTraffic => "AfterAllowTraffic",
            Self::ReadyWait | Self::TerminationWait => return None,
        })
    }

    /// Nothing happens in it but a hook.
    pub fn is_for_hook(self) -> bool {
        !matches!(
            self,
            Self::Install
                | Self::AllowTestTraffic
                | Self::AllowTraffic
                | Self::ReadyWait
                | Self::TerminationWait
        )
    }
}

/// A lifecycle event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub step: Step,
    /// Its name, as it is shown.
    pub name: String,
    pub status: &'static str,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// The function that is its hook.
    pub function: Option<String>,
    /// What the function names when it answers.
    pub execution: Option<String>,
    /// Whether all is well, as the function says.
    pub answer: Option<bool>,
    /// What went wrong.
    pub trouble: Option<String>,
}

/// What is deployed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Revision {
    /// `AppSpecContent` or `String`.
    pub kind: &'static str,
    pub content: Arc<str>,
    pub sha256: String,
}

impl Revision {
    /// The member of a revision that holds the content.
    pub fn member(kind: &str) -> &'static str {
        match kind {
            "String" => "string",
            _ => "appSpecContent",
        }
    }

    /// As deployments and groups show it: the content is never told, GetApplicationRevision has it
    /// by its hash.
    pub fn view(&self) -> Value {
        json!({"revisionType": self.kind, (Self::member(self.kind)): {"sha256": self.sha256}})
    }
}

/// Somebody stopped it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stop {
    /// When that takes effect.
    pub at: Timestamp,
    /// Whether it is to be undone, if that was said.
    pub undo: Option<bool>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deployment {
    pub id: String,
    /// Greater than that of each one before.
    pub serial: u64,
    pub application: String,
    pub group: String,
    pub config: String,
    pub revision: Option<Revision>,
    /// What was deployed before.
    pub previous: Option<Revision>,
    pub description: Option<String>,
    /// The group's members as they were when it began, and what was said in their place.
    pub settings: Arc<Object>,
    /// Cluster and name of the service.
    pub place: (String, String),
    pub status: Status,
    pub error: Option<(&'static str, String)>,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub updated: Timestamp,
    /// The deployment that this one undoes.
    pub undoes: Option<String>,
    /// The deployment that undoes this one.
    pub undone_by: Option<String>,
    pub steps: Vec<Step>,
    pub at: usize,
    /// When it came to the step that it is at.
    pub since: Timestamp,
    pub events: Vec<Event>,
    /// The task set that had the traffic when it began.
    pub blue: Option<String>,
    /// The task set that it made.
    pub green: Option<String>,
    /// Percent of the traffic that goes to the green one.
    pub weight: f64,
    /// `taskSetsInfo`
    pub sets: Vec<Value>,
    /// The wait before the blue task set goes has begun.
    pub terminating: bool,
    /// ContinueDeployment ended the wait that it is in.
    pub goes_on: bool,
    pub stop: Option<Stop>,
}

impl Deployment {
    pub fn step(&self) -> Option<Step> {
        self.steps.get(self.at).copied()
    }

    pub fn event_mut(&mut self, step: Step) -> Option<&mut Event> {
        self.events.iter_mut().find(|event| event.step == step)
    }

    pub fn event(&self, step: Step) -> Option<&Event> {
        self.events.iter().find(|event| event.step == step)
    }

    pub fn setting(&self, name: &str) -> &Value {
        self.settings.get(name).unwrap_or(&Value::Null)
    }

    /// Whether the group rolls back when this happens.
    pub fn rolls_back_on(&self, event: &str) -> bool {
        let set = self.setting("autoRollbackConfiguration");
        let mut events = set["events"].as_array().into_iter().flatten();
        set["enabled"] == true && events.any(|it| it == event)
    }

    /// The target's name: cluster and service.
    pub fn target(&self) -> String {
        format!("{}:{}", self.place.0, self.place.1)
    }
}

/// How long a deployment with these settings waits for a word before the traffic goes over, if it
/// does.
pub(super) fn ready_wait(settings: &Object) -> Option<SignedDuration> {
    let option = &settings.get("blueGreenDeploymentConfiguration")?["deploymentReadyOption"];
    let waits = option["actionOnTimeout"] == "STOP_DEPLOYMENT";
    waits.then(|| minutes(&option["waitTimeInMinutes"]))
}

/// How long the blue task set stays, if it goes at all.
pub(super) fn termination_wait(settings: &Object) -> Option<SignedDuration> {
    let set = settings.get("blueGreenDeploymentConfiguration")?;
    let option = &set["terminateBlueInstancesOnDeploymentSuccess"];
    (option["action"] != "KEEP_ALIVE").then(|| minutes(&option["terminationWaitTimeInMinutes"]))
}

fn minutes(value: &Value) -> SignedDuration {
    SignedDuration::from_mins(value.as_i64().unwrap_or(0))
}

/// The steps of a deployment with these settings and hooks.
pub(super) fn steps(settings: &Object, hooks: &BTreeMap<String, String>) -> Vec<Step> {
    let balancer = settings.get("loadBalancerInfo").unwrap_or(&Value::Null);
    let tested = balancer["targetGroupPairInfoList"][0]["testTrafficRoute"].is_object()
        || hooks.contains_key("AfterAllowTestTraffic");
    let mut steps = vec![Step::BeforeInstall, Step::Install, Step::AfterInstall];
    if tested {
        steps.extend([Step::AllowTestTraffic, Step::AfterAllowTestTraffic]);
    }
    steps.extend(ready_wait(settings).map(|_| Step::ReadyWait));
    steps.extend(SHIFT);
    steps.extend(termination_wait(settings).map(|_| Step::TerminationWait));
    steps
}

/// The steps in which traffic goes over, which is all there is to a rollback.
pub(super) const SHIFT: [Step; 3] = [
    Step::BeforeAllowTraffic,
    Step::AllowTraffic,
    Step::AfterAllowTraffic,
];

/// The lifecycle events of steps, none of which has begun.
pub(super) fn events(steps: &[Step], hooks: &BTreeMap<String, String>) -> Vec<Event> {
    let named = steps.iter().filter_map(|step| Some((*step, step.event()?)));
    named
        .map(|(step, name)| Event {
            step,
            name: name.to_owned(),
            status: "Pending",
            started: None,
            ended: None,
            function: hooks.get(name).cloned(),
            execution: None,
            answer: None,
            trouble: None,
        })
        .collect()
}
