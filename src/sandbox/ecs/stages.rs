//! Deployments that go through stages: blue/green, linear and canary.
//!
//! The new tasks come up beside the old ones, traffic goes over, both run on for a while, and then
//! the old ones go. Hooks may have their say at most stages; a rule with `stage` says what comes of
//! one.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::super::rules::StageBehavior;
use super::Ecs;
use super::agenda::Due;
use super::arn::record as record_key;
use super::json::{in_seconds, later, seconds, tidy};
use super::records::RecordStatus;
use super::scheduler::Member;
use super::service::Service;
use super::validate::{Input, invalid};

/// In order.
const STAGES: [&str; 11] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
];
const PRE_SCALE_UP: usize = 1;
const SCALE_UP: usize = 2;
const PRE_PRODUCTION: usize = 6;
const PRODUCTION: usize = 7;
const BAKE_TIME: usize = 9;
const CLEAN_UP: usize = 10;

/// How long a stage takes in which ECS only looks around, or a Lambda function answers.
const MOMENT: i64 = 2;
/// How long it takes until traffic goes elsewhere.
const SHIFT: i64 = 5;
/// How long a hook may take, in minutes, where nothing is said.
const HOOK_MINUTES: i64 = 1440;

/// Where a deployment in stages is.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    at: usize,
    since: Timestamp,
}

impl Staged {
    /// Whether new tasks are started.
    pub fn scales_up(&self) -> bool {
        self.at >= SCALE_UP
    }

    /// Whether the old tasks go.
    pub fn cleans_up(&self) -> bool {
        self.at == CLEAN_UP
    }
}

/// A hook of a deployment, from the stage on that it is at.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    id: String,
    kind: String,
    target: Option<String>,
    stage: usize,
    status: &'static str,
    expires_at: Timestamp,
    timeout_action: String,
}

impl Hook {
    /// As `lifecycleHookDetails` has it.
    pub fn view(&self) -> Value {
        tidy(json!({
            "hookId": self.id,
            "targetType": self.kind,
            "targetArn": self.target,
            "status": self.status,
            "expiresAt": seconds(self.expires_at),
            "timeoutAction": self.timeout_action,
        }))
    }
}

/// What becomes of a stage now.
enum Next {
    /// It is over.
    On,
    /// It goes on until then, or until a task takes a step.
    Wait(Option<Timestamp>),
    /// The deployment failed in it.
    Fails(String),
}

impl Ecs {
    /// The deployment that just began goes through stages, if the service is set so and there is one
    /// to stay beside.
    pub(super) fn begin_stages(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        service.staged = None;
        if service.strategy() == "ROLLING" || service.completed.is_none() {
            return;
        }
        // It gives way to another that was in progress: there is something to reconcile.
        let first = match service.deployments.len() > 2 {
            true => 0,
            false => PRE_SCALE_UP,
        };
        self.enter(cx, service, first);
    }

    fn enter(&mut self, cx: &mut Cx<'_>, service: &mut Service, at: usize) {
        let stage = STAGES[at];
        let now = cx.now;
        let hooks: Vec<Hook> = service
            .hooks_of(stage)
            .map(|hook| made(cx, hook, at, now))
            .collect();
        let shown = cx
            .rules
            .stage(&service.name, stage)
            .find_map(|it| match it {
                StageBehavior::Shows { stage } => Some(stage.clone()),
                _ => None,
            });
        let shown = shown.unwrap_or_else(|| stage.to_owned());
        service.staged = Some(Staged { at, since: now });
        let id = service.record.clone().unwrap_or_default();
        self.edit_record(cx, service, &id, |record| {
            record.stage = Some(shown);
            record.hooks.extend(hooks);
            if at == SCALE_UP {
                record.weight = Some(0.0);
            }
        });
    }

    /// Goes on with the stages of the service's deployment as far as it comes.
    pub(super) fn step_stages(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        while let Some(staged) = service.staged.clone() {
            let id = service.record.clone().unwrap_or_default();
            if self.record_status(service, &id) != Some(RecordStatus::InProgress) {
                service.staged = None;
                return;
            }
            match self.next(cx, service, &staged) {
                Next::On => {
                    let mut at = staged.at + 1;
                    if at == PRE_PRODUCTION && service.hooks_of(STAGES[at]).next().is_none() {
                        at += 1;
                    }
                    self.enter(cx, service, at);
                }
                Next::Wait(until) => {
                    if let Some(until) = until {
                        let due = Due::Service(service.key());
                        self.agenda.bring_forward(due, until);
                    }
                    return;
                }
                Next::Fails(why) => {
                    let why = format!("Service deployment rolled back because {why}.");
                    return self.roll_back(cx, service, &why, false);
                }
            }
        }
    }

    fn next(&mut self, cx: &mut Cx<'_>, service: &Service, staged: &Staged) -> Next {
        let rules: Vec<StageBehavior> = cx
            .rules
            .stage(&service.name, STAGES[staged.at])
            .cloned()
            .collect();
        let (mut answers, mut takes) = ("SUCCEEDED", None);
        for rule in &rules {
            match rule {
                StageBehavior::Fails { reason } => return Next::Fails(reason.clone()),
                StageBehavior::Hooks { status } => answers = status,
                StageBehavior::Takes { after } => {
                    takes = SignedDuration::try_from(*after).ok();
                }
                StageBehavior::Shows { .. } => {}
            }
        }
        match self.hooks(cx, service, staged, answers) {
            Next::On => {}
            other => return other,
        }
        let ends = match staged.at {
            SCALE_UP => {
                let own = self.steady_own(service);
                return match own >= u64::from(service.desired) {
                    true => Next::On,
                    false => Next::Wait(None),
                };
            }
            CLEAN_UP => return Next::Wait(None),
            PRODUCTION => match self.shifted(cx, service, staged) {
                Some(at) => at,
                None => later(
                    staged.since,
                    takes.unwrap_or(SignedDuration::from_secs(SHIFT)),
                ),
            },
            BAKE_TIME => {
                let bake = service.number(None, "bakeTimeInMinutes").unwrap_or(0.0);
                later(staged.since, takes.unwrap_or_else(|| minutes(bake)))
            }
            _ => later(
                staged.since,
                takes.unwrap_or(SignedDuration::from_secs(MOMENT)),
            ),
        };
        match cx.now >= ends {
            true => Next::On,
            false => Next::Wait(Some(ends)),
        }
    }

    /// What the hooks of a stage lead to.
    fn hooks(
        &mut self,
        cx: &mut Cx<'_>,
        service: &Service,
        staged: &Staged,
        answers: &str,
    ) -> Next {
        let id = service.record.clone().unwrap_or_default();
        let (now, since) = (cx.now, staged.since);
        let mut next = Next::On;
        self.edit_record(cx, service, &id, |record| {
            let mut soonest: Option<Timestamp> = None;
            for hook in record.hooks.iter_mut().filter(|it| it.stage == staged.at) {
                let answered = in_seconds(since, MOMENT);
                if hook.status == "IN_PROGRESS" && answers != "IN_PROGRESS" && now >= answered {
                    hook.status = match answers {
                        "FAILED" => "FAILED",
                        _ => "SUCCEEDED",
                    };
                }
                if matches!(hook.status, "IN_PROGRESS" | "AWAITING_ACTION") {
                    if now < hook.expires_at {
                        let waits = hook.status == "IN_PROGRESS" && answers != "IN_PROGRESS";
                        let until = if waits { answered } else { hook.expires_at };
                        soonest = Some(soonest.map_or(until, |at| at.min(until)));
                        continue;
                    }
                    hook.status = "TIMED_OUT";
                }
                let undone = hook.status == "TIMED_OUT" && hook.timeout_action == "ROLLBACK";
                if hook.status == "FAILED" || undone {
                    next = Next::Fails("of lifecycle hook execution failure(s)".to_owned());
                }
            }
            if let (Next::On, Some(at)) = (&next, soonest) {
                next = Next::Wait(Some(at));
            }
        });
        next
    }

    fn steady_own(&self, service: &Service) -> u64 {
        let primary = service.deployments.first().map(|it| it.id.clone());
        let ids = self.members.get(&service.key()).into_iter().flatten();
        let tasks = ids.filter_map(|id| self.tasks.get(&(service.cluster.clone(), id.clone())));
        let own = tasks.filter(|task| {
            let of = task.owner.as_ref().map(|owner| &owner.deployment);
            of == primary.as_ref() && task.steady && task.is_running() && !task.stopping
        });
        own.count() as u64
    }

    /// Sends as much of the traffic over as it is time for. Until when the next step waits; none where
    /// all goes over at once.
    fn shifted(&mut self, cx: &Cx<'_>, service: &Service, staged: &Staged) -> Option<Timestamp> {
        let (percent, wait) = match service.strategy() {
            "LINEAR" => {
                let of = |name| service.number(Some("linearConfiguration"), name);
                (of("stepPercent")?, of("stepBakeTimeInMinutes")?)
            }
            "CANARY" => {
                let of = |name| service.number(Some("canaryConfiguration"), name);
                (of("canaryPercent")?, of("canaryBakeTimeInMinutes")?)
            }
            _ => {
                self.weigh(cx, service, 100.0);
                return None;
            }
        };
        let linear = service.strategy() == "LINEAR";
        let (mut weight, mut at) = (percent, staged.since);
        while weight < 100.0 {
            at = later(at, minutes(wait));
            if cx.now < at {
                break;
            }
            weight = if linear { weight + percent } else { 100.0 };
        }
        self.weigh(cx, service, weight.min(100.0));
        Some(at)
    }

    fn weigh(&mut self, cx: &Cx<'_>, service: &Service, weight: f64) {
        let id = service.record.clone().unwrap_or_default();
        self.edit_record(cx, service, &id, |record| record.weight = Some(weight));
    }

    pub(super) fn continue_service_deployment(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let arn = "serviceDeploymentArn can not be blank.";
        let text = input.needed("serviceDeploymentArn", arn)?;
        let wanted = input.needed("hookId", "hookId can not be blank.")?;
        let rolls_back = match input.text("action")? {
            None | Some("CONTINUE") => false,
            Some("ROLLBACK") => true,
            Some(other) => return Err(invalid(format!("Unsupported action: {other}."))),
        };
        let missing = || {
            Fault::client(
                "ServiceDeploymentNotFoundException",
                "The service deployment cannot be found.",
            )
        };
        let key = record_key(cx, text, "service-deployment").ok_or_else(missing)?;
        let record = self.records.get(&key).ok_or_else(missing)?;
        let awaits = |hook: &&Hook| hook.id == wanted && hook.status == "AWAITING_ACTION";
        let waits = record.hooks.iter().any(|hook| awaits(&hook));
        if record.status != RecordStatus::InProgress || !waits {
            return Err(invalid(format!(
                "The lifecycle hook {wanted} is not awaiting an action."
            )));
        }
        let service_key = (key.0.clone(), key.1.clone());
        let service = self.services.get(&service_key).cloned();
        self.edit_record(cx, &service.ok_or_else(missing)?, &key.2, |record| {
            for hook in record.hooks.iter_mut().filter(|hook| hook.id == wanted) {
                hook.status = if rolls_back { "FAILED" } else { "SUCCEEDED" };
            }
            if rolls_back {
                record.status = RecordStatus::RollbackRequested;
                record.reason = Some("Service deployment rolled back by user.".to_owned());
            }
        });
        self.wake(cx, &service_key);
        Ok(json!({"serviceDeploymentArn": text}))
    }
}

/// A hook of deploymentConfiguration as it begins.
fn made(cx: &mut Cx<'_>, hook: &Value, stage: usize, now: Timestamp) -> Hook {
    let pauses = hook["targetType"] == "PAUSE";
    let timeout = &hook["timeoutConfiguration"];
    let wait = timeout["timeoutInMinutes"].as_i64().unwrap_or(HOOK_MINUTES);
    let action = timeout["action"].as_str().unwrap_or("ROLLBACK");
    let (prefix, kind, status) = match pauses {
        true => ("ecs-pause", "PAUSE", "AWAITING_ACTION"),
        false => ("ecs-lambda", "AWS_LAMBDA", "IN_PROGRESS"),
    };
    Hook {
        id: format!("{prefix}-{}", cx.ids.hex(32)),
        kind: kind.to_owned(),
        target: hook["hookTargetArn"].as_str().map(str::to_owned),
        stage,
        status,
        expires_at: later(now, SignedDuration::from_mins(wait)),
        timeout_action: action.to_owned(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a day of minutes at most")]
fn minutes(count: f64) -> SignedDuration {
    SignedDuration::from_mins(count as i64)
}

/// What to start and stop of a service whose deployment is in stages: how many to start, and which
/// to stop.
pub(super) fn moves(
    staged: &Staged,
    desired: usize,
    own: &[&Member],
    others: &[&Member],
) -> (usize, Vec<String>) {
    let start = match staged.scales_up() {
        true => desired.saturating_sub(own.len()),
        false => 0,
    };
    let surplus = own.iter().skip(desired);
    let old = others.iter().filter(|_| staged.cleans_up());
    (start, surplus.chain(old).map(|it| it.id.clone()).collect())
}
