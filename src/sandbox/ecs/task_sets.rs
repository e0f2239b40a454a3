//! The task sets of a service that CodeDeploy releases.
//!
//! ECS makes the first one with the service, and keeps each at the service's desired count.
//! CodeDeploy makes the others, and says which is the PRIMARY and which goes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::notice::Notice;
use super::Ecs;
use super::agenda::Due;
use super::arn::arn;
use super::json::{later, seconds, tidy};
use super::patience::{IMPAIRED, begins_to_wait, wait_after};
use super::rollout::{Deployment, Rollout, digits};
use super::scheduler::{Member, unplaced};
use super::service::{Service, Status};
use super::service_events::{started, stopped};

/// How long a task waits that found no place.
const PLACE_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Members of what a task set deploys, as it shows them.
const SHOWN: [&str; 8] = [
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
];

/// What a task set has beyond a deployment.
#[derive(Debug, Clone)]
pub(super) struct TaskSet {
    /// The deployment of CodeDeploy that made it; the service's first one was made by none.
    pub external: Option<String>,
    /// It is to have no tasks any more.
    pub draining: bool,
    /// All its tasks run, and since when it is so or is not.
    pub steady: bool,
    steady_at: Timestamp,
    /// Failures in a row.
    crashes: u32,
    not_before: Option<Timestamp>,
}

impl TaskSet {
    /// A task of it is well.
    pub fn calm_down(&mut self) {
        self.crashes = 0;
        self.not_before = None;
    }
}

impl Deployment {
    fn is_draining(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.draining)
    }

    /// How many tasks a task set is to have, of a service with this desired count.
    pub fn wanted(&self, desired: u32) -> u32 {
        if self.is_draining() { 0 } else { desired }
    }
}

impl Service {
    /// A task set by the digits of its name.
    pub fn set_mut(&mut self, id: &str) -> Option<&mut TaskSet> {
        self.deployment_mut(id)?.set.as_mut()
    }

    /// `PRIMARY`, `ACTIVE` or `DRAINING`.
    pub fn set_status(&self, at: usize) -> &'static str {
        let drains = self
            .deployments
            .get(at)
            .is_some_and(Deployment::is_draining);
        match (drains || self.status != Status::Active, at) {
            (true, _) => "DRAINING",
            (false, 0) => "PRIMARY",
            (false, _) => "ACTIVE",
        }
    }
}

/// A task of a task set failed: that set loses patience, the others do not.
pub(super) fn note_failure(cx: &mut Cx<'_>, service: &mut Service, id: &str) {
    let now = cx.now;
    service.steady = false;
    let Some(set) = service.set_mut(id) else {
        return;
    };
    set.crashes += 1;
    let failures = set.crashes;
    if let Some(wait) = wait_after(failures) {
        set.not_before = Some(later(now, wait));
    }
    if begins_to_wait(failures) {
        service.say_of(cx, &format!("ecs-svc/{id}"), IMPAIRED);
    }
}

impl Ecs {
    /// Adds a task set to the service, behind those that it has. Answers its name.
    pub(super) fn begin_task_set(
        &mut self,
        cx: &mut Cx<'_>,
        service: &mut Service,
        goal: Arc<Map<String, Value>>,
        external: Option<String>,
    ) -> String {
        let set = TaskSet {
            external,
            draining: false,
            steady: false,
            steady_at: cx.now,
            crashes: 0,
            not_before: None,
        };
        let deployment = Deployment {
            id: digits(cx),
            goal,
            rollout: Rollout::Completed,
            reason: String::new(),
            failed_tasks: 0,
            strikes: 0,
            created_at: cx.now,
            updated_at: cx.now,
            pending: 0,
            running: 0,
            pins: Arc::default(),
            set: Some(set),
        };
        let name = deployment.name();
        service.deployments.push(deployment);
        service.steady = false;
        self.wake(cx, &service.key());
        name
    }

    /// Looks at a service with task sets and does what is to be done.
    pub(super) fn tick_task_sets(&mut self, cx: &mut Cx<'_>, mut service: Service) {
        self.stop_unhealthy(cx, &mut service);
        for at in 0..service.deployments.len() {
            self.scale_set(cx, &mut service, at);
        }
        self.recount(&mut service);
        self.settle_sets(cx, &mut service);
        self.services.put(cx, service.key(), service);
    }

    fn scale_set(&mut self, cx: &mut Cx<'_>, service: &mut Service, at: usize) {
        let Some(deployment) = service.deployments.get(at) else {
            return;
        };
        let wanted = usize::try_from(deployment.wanted(service.desired)).unwrap_or(usize::MAX);
        let members = self.members_of(&service.key());
        let mut own: Vec<&Member> = members
            .iter()
            .filter(|it| it.deployment == deployment.id && !it.stopping && !it.unhealthy)
            .collect();
        own.sort_by_key(|it| (!it.steady, !it.running, it.created, it.id.clone()));
        let missing = wanted.saturating_sub(own.len());
        let surplus: Vec<&Member> = own.into_iter().skip(wanted).collect();
        let name = deployment.name();
        self.stop_of_set(cx, service, &name, &surplus);
        self.start_of_set(cx, service, at, missing);
    }

    fn stop_of_set(
        &mut self,
        cx: &mut Cx<'_>,
        service: &mut Service,
        name: &str,
        surplus: &[&Member],
    ) {
        if surplus.is_empty() {
            return;
        }
        service.steady = false;
        let reason = format!("Scaling activity initiated by (taskSet {name})");
        for member in surplus {
            let key = (service.cluster.clone(), member.id.clone());
            self.stop(cx, &key, "ServiceSchedulerInitiated", &reason);
        }
        let running = surplus.iter().filter(|it| it.running);
        let running: Vec<String> = running.map(|it| it.id.clone()).collect();
        let pending = surplus.len() - running.len();
        if pending > 0 {
            service.say_of(cx, name, &format!("stopped {pending} pending tasks."));
        }
        if !running.is_empty() {
            service.say_of(cx, name, &stopped(&running));
        }
    }

    fn start_of_set(&mut self, cx: &mut Cx<'_>, service: &mut Service, at: usize, count: usize) {
        let due = Due::Service(service.key());
        let Some(deployment) = service.deployments.get(at).filter(|_| count > 0) else {
            return;
        };
        let (id, name) = (deployment.id.clone(), deployment.name());
        let not_before = deployment.set.as_ref().and_then(|set| set.not_before);
        if let Some(until) = not_before.filter(|until| *until > cx.now) {
            return self.agenda.bring_forward(due, until);
        }
        service.steady = false;
        let (mut ids, mut refused) = (Vec::new(), None);
        for _ in 0..count {
            match self.start_member(cx, service, at) {
                Ok(id) => ids.push(id),
                Err(reason) => refused = Some(reason),
            }
        }
        if !ids.is_empty() {
            service.say_of(cx, &name, &started(&ids));
        }
        if let Some(reason) = refused {
            service.say_once(cx, &unplaced(service, &reason));
            let action = ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE");
            self.notice_action(cx, service, action, Some(&reason));
            note_failure(cx, service, &id);
            let again = later(cx.now, PLACE_AGAIN);
            if let Some(set) = service.set_mut(&id) {
                let again = again.max(set.not_before.unwrap_or(again));
                set.not_before = Some(again);
                self.agenda.bring_forward(due, again);
            }
        }
    }

    /// Lets go of what has drained, and says so when a task set is as it should be.
    fn settle_sets(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let members = self.members_of(&service.key());
        service
            .deployments
            .retain(|it| !it.is_draining() || of(&members, &it.id).next().is_some());
        if service.status == Status::Draining {
            if members.is_empty() {
                service.status = Status::Inactive;
                service.deployments.clear();
            }
            return;
        }
        let (now, desired) = (cx.now, service.desired);
        let mut settled = Vec::new();
        for deployment in &mut service.deployments {
            let name = deployment.name();
            let wanted = usize::try_from(deployment.wanted(desired)).unwrap_or(usize::MAX);
            let own = || of(&members, &deployment.id);
            let steady = own().count() == wanted && own().all(|it| it.steady && !it.stopping);
            if let Some(set) = deployment.set.as_mut().filter(|set| set.steady != steady) {
                (set.steady, set.steady_at) = (steady, now);
                deployment.updated_at = now;
                settled.extend(steady.then_some(name));
            }
        }
        for name in settled {
            service.say_of(cx, &name, "updated state to STEADY_STATE.");
            self.notice_steady_set(cx, service, &name);
        }
        let mut sets = service.deployments.iter().filter_map(|it| it.set.as_ref());
        if !service.steady && sets.all(|set| set.steady) {
            service.steady = true;
            service.say(cx, "has reached a steady state.");
            self.notice_action(cx, service, ("INFO", "SERVICE_STEADY_STATE"), None);
        }
    }

    fn notice_steady_set(&mut self, cx: &Cx<'_>, service: &Service, name: &str) {
        self.notices.tell(|| Notice {
            at: cx.now,
            source: "aws.ecs".to_owned(),
            kind: "ECS Service Action".to_owned(),
            resources: vec![service.arn.clone()],
            detail: json!({
                "eventType": "INFO",
                "eventName": "TASKSET_STEADY_STATE",
                "clusterArn": service.cluster_arn,
                "taskSetArns": [set_arn(cx, service, name)],
                "createdAt": cx.now.to_string(),
            }),
        });
    }
}

/// The tasks of a task set.
fn of<'a>(members: &'a [Member], id: &'a str) -> impl Iterator<Item = &'a Member> {
    members.iter().filter(move |it| it.deployment == id)
}

fn set_arn(cx: &Cx<'_>, service: &Service, name: &str) -> String {
    arn(
        cx,
        &format!("task-set/{}/{}/{name}", service.cluster, service.name),
    )
}

/// As `taskSets` of DescribeServices.
pub(super) fn views(cx: &Cx<'_>, service: &Service) -> Value {
    let rows = service.deployments.iter().enumerate();
    let rows = rows.filter_map(|(at, it)| Some((at, it, it.set.as_ref()?)));
    rows.map(|(at, it, set)| view(cx, service, at, it, set))
        .collect()
}

fn view(cx: &Cx<'_>, service: &Service, at: usize, it: &Deployment, set: &TaskSet) -> Value {
    let name = it.name();
    let stability = match set.steady {
        true => "STEADY_STATE",
        false => "STABILIZING",
    };
    let scale = if set.draining { 0.0 } else { 100.0 };
    let mut view = Map::new();
    for (member, value) in [
        ("id", json!(name)),
        ("taskSetArn", json!(set_arn(cx, service, &name))),
        ("serviceArn", json!(service.arn)),
        ("clusterArn", json!(service.cluster_arn)),
        ("startedBy", json!("CODE_DEPLOY")),
        ("externalId", json!(set.external)),
        ("status", json!(service.set_status(at))),
        ("computedDesiredCount", json!(it.wanted(service.desired))),
        ("pendingCount", json!(it.pending)),
        ("runningCount", json!(it.running)),
        ("createdAt", seconds(it.created_at)),
        ("updatedAt", seconds(it.updated_at)),
        ("scale", json!({"value": scale, "unit": "PERCENT"})),
        ("stabilityStatus", json!(stability)),
        ("stabilityStatusAt", seconds(set.steady_at)),
        ("tags", json!([])),
    ] {
        view.insert(member.to_owned(), value);
    }
    for member in SHOWN {
        if let Some(value) = it.goal.get(member) {
            view.insert(member.to_owned(), value.clone());
        }
    }
    // A task set shows the version that LATEST stood for when it began.
    if let Some(version) = view.get_mut("platformVersion").filter(|it| *it == "LATEST") {
        *version = json!("1.4.0");
    }
    tidy(Value::Object(view))
}
