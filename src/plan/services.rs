//! Services, wave by wave: each is pointed at its target once what goes before it is done.

mod baking;
mod books;
mod code_deploy;
mod drifted;
mod moving;
mod settings;
mod stages;

use std::collections::BTreeSet;

use super::base::{self, Registered};
use super::draft::Draft;
use super::evidence;
pub use baking::wait_for_alarms;
use books::{failed, saw, stop};
use drifted::still_drifted;
use moving::away;
pub use stages::{answer, is_early};

use super::going_back;
use super::rollout::{Question, Standing, judge, judge_back, short};
use crate::model::desired::Service;
use crate::model::known::Known;
use crate::model::ledger::{Explanation, PartTarget, Revision, RevisionOutcome, Rollout};
use crate::model::observed;
use crate::model::plan::Step;
use crate::resource::release::OnFailure;
use crate::resource::status::{Cause, Evidence, PartState, ServiceStatus};

/// What goes before the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing any more.
    Open,
    /// Migrations have not all succeeded.
    Migrations,
    /// The revision was rejected: what is under way is followed, nothing is moved.
    Rejected,
    /// Something stands in the way that only a person can solve: as if rejected.
    Held,
    /// A rejected revision is undone: the services go back to what they ran before it.
    Back,
    /// Going back failed: as on the way back, but nothing is moved any more.
    Left,
}

/// A rollout that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the service; none where a hook failed that takes everything back.
    pub service: Option<String>,
    /// Why, in a word.
    pub cause: Cause,
    /// Why, in a sentence.
    pub why: Explanation,
}

impl Gate {
    fn only_follows(self) -> bool {
        matches!(self, Gate::Rejected | Gate::Held | Gate::Left)
    }
}

/// Tells of services that cannot be rolled out at all, before anything else is begun.
pub fn check(draft: &mut Draft<'_>) {
    for service in &draft.input.desired.services {
        if let Some(Known::Present(found)) = draft.input.observed.services.get(&service.name)
            && let Some((reason, message)) =
                refusal(service, found).or_else(|| undone_by_ecs(service, found))
        {
            let resource = format!("service/{}", service.name);
            draft.stall(&resource, reason, format!("{resource}: {message}"));
        }
    }
    baking::check(draft);
    code_deploy::check(draft);
}

/// ECS would undo what `onFailure: Hold` leaves as it is.
fn undone_by_ecs(service: &Service, found: &observed::Service) -> Option<(&'static str, String)> {
    let meant = service.on_failure == OnFailure::Rollback || service.breaker_may_roll_back;
    if meant || found.circuit_breaker != (true, true) {
        return None;
    }
    let message = "its circuit breaker rolls back by itself, which `onFailure: Hold` does not: switch off `rollback` in the service's deploymentCircuitBreaker, or say `breakerMayRollBack: true` in its rollout";
    Some(("BreakerRollsBack", message.to_owned()))
}

/// What came of all services in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// Whether every service runs its target.
    pub whole: bool,
    /// Rollouts that failed.
    pub failed: Vec<Failure>,
}

/// Moves what may move; true once every service runs its target. A rollout that failed is
/// returned: its revision is rejected.
pub fn roll(draft: &mut Draft<'_>, revision: &Revision, gate: Gate) -> Result<bool, Failure> {
    let rolled = each(draft, revision, gate);
    let Some(why) = rolled.failed.into_iter().next() else {
        return Ok(rolled.whole);
    };
    // What was decided before the failure was seen is not begun any more; what was delivered
    // before is put right whatever fails beside it.
    if revision.outcome != RevisionOutcome::Ready {
        draft.actions.retain(|action| {
            let registers = matches!(action.step, Step::RegisterTaskDefinition { .. });
            !registers && action.step.moves().is_none()
        });
    }
    Err(why)
}

/// Moves what may move, also beside what fails.
pub fn each(draft: &mut Draft<'_>, revision: &Revision, gate: Gate) -> Rolled {
    let desired = draft.input.desired;
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut failed = Vec::new();
    // Dependencies first, whatever the manifest's order; validation refused cycles.
    let mut left: Vec<&Service> = desired.services.iter().collect();
    let mut states = Vec::new();
    while !left.is_empty() {
        let (ready, rest): (Vec<&Service>, Vec<&Service>) = left.into_iter().partition(|service| {
            let goes_before = |name: &String| states.iter().any(|(known, _)| known == name);
            service.depends_on.iter().all(goes_before)
        });
        if ready.is_empty() {
            break;
        }
        for service in ready {
            let blocked = service
                .depends_on
                .iter()
                .find(|name| !done.contains(name.as_str()));
            let status = one(draft, revision, service, gate, blocked, &mut failed);
            if status.state == PartState::Done {
                done.insert(&service.name);
            }
            states.push((service.name.clone(), status));
        }
        left = rest;
    }
    for service in &desired.services {
        if let Some((_, status)) = states.iter().find(|(name, _)| *name == service.name) {
            draft.status.services.push(status.clone());
        }
    }
    Rolled {
        whole: done.len() == desired.services.len(),
        failed,
    }
}

/// A service that does not exist: evenkeel makes none.
pub fn not_found(draft: &mut Draft<'_>, name: &str) {
    let cluster = draft.input.desired.environment.cluster.clone();
    let message = format!(
        "service {name} does not exist in cluster {cluster}; create it (evenkeel never creates services), or correct its name"
    );
    draft.stall(&format!("service/{name}"), "ServiceNotFound", message);
}

/// A service with all that is known of what it shall run.
struct Case<'a> {
    service: &'a Service,
    /// `service/app`.
    resource: String,
    revision: &'a Revision,
    target: &'a PartTarget,
    /// Task definition ARN of the target.
    arn: String,
    /// As observed.
    found: &'a observed::Service,
    /// The newest rollout that was asked for.
    rollout: Option<&'a Rollout>,
    gate: Gate,
    /// A service that has to move before it.
    blocked: Option<&'a String>,
}

impl Case<'_> {
    /// Whether ECS is asked to stop a deployment that takes too long: where the whole release goes
    /// back then.
    fn stops(&self, draft: &Draft<'_>) -> bool {
        let new = self.gate == Gate::Open && self.revision.outcome == RevisionOutcome::Pending;
        new && going_back::way(draft, self.revision, Some(&self.service.name)).is_some()
    }

    /// Whether what it was brought to before is put right, and nothing new is rolled out.
    fn is_correction(&self) -> bool {
        self.revision.outcome == RevisionOutcome::Ready
    }
}

/// Judges one service, and moves it where it may; a rollout that failed is left in `failed`.
fn one(
    draft: &mut Draft<'_>,
    revision: &Revision,
    service: &Service,
    gate: Gate,
    blocked: Option<&String>,
    failed: &mut Vec<Failure>,
) -> ServiceStatus {
    let resource = format!("service/{}", service.name);
    let mut status = ServiceStatus {
        name: service.name.clone(),
        ..ServiceStatus::default()
    };
    let Some(found) = usable(draft, service, &mut status) else {
        return status;
    };
    let rolls = matches!(found.strategy.as_str(), "" | "ROLLING");
    status.strategy = match found.is_under_code_deploy() {
        true => Some(found.deployment_controller.clone()),
        false => (!rolls).then(|| found.strategy.clone()),
    };
    let Some(target) = revision.parts.get(&resource) else {
        return status;
    };
    let Some(arn) = registered(draft, &resource, target, found, gate, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    let case = Case {
        service,
        resource,
        revision,
        target,
        arn,
        found,
        rollout: draft.input.observed.ledger.rollouts.get(&service.name),
        gate,
        blocked,
    };
    let question = Question {
        service: found,
        target: &case.arn,
        rollout: case.rollout,
        revision: revision.number,
        timeout: service.timeout,
        stops: case.stops(draft),
        now: draft.input.now,
    };
    let standing = match gate {
        Gate::Back | Gate::Left => judge_back(question),
        _ => judge(question),
    };
    if case.is_correction() {
        still_drifted(draft, &case, &standing);
    }
    // What is noted with a move is not read as long as nothing may move.
    let early = gate == Gate::Migrations && revision.outcome == RevisionOutcome::Pending;
    let standing = match standing {
        Standing::Doubt(_) if early && found.records.is_none() => Standing::Away,
        standing => standing,
    };
    match standing {
        Standing::Away | Standing::Superseded => away(draft, &case, &standing, &mut status),
        standing => {
            if let Some(why) = stands(draft, &case, standing, &mut status) {
                failed.push(why);
            }
        }
    }
    status
}

/// The definition to run, once it is registered.
fn registered(
    draft: &mut Draft<'_>,
    resource: &str,
    target: &PartTarget,
    found: &observed::Service,
    gate: Gate,
    status: &mut ServiceStatus,
) -> Option<String> {
    let registered = match gate {
        Gate::Rejected | Gate::Held | Gate::Left => base::registered(draft, target),
        Gate::Open | Gate::Migrations | Gate::Back => base::ensure(draft, resource, target),
    };
    match registered {
        Registered::Active(arn) => return Some(arn),
        Registered::Pending if gate.only_follows() => {}
        Registered::Pending => {
            let message = format!(
                "{resource} runs {} and waits for its new task definition to be registered",
                short(&found.task_definition)
            );
            draft.progress(resource, "Progressing", message.clone());
            status.message = Some(message);
        }
        Registered::Doubt(why) => {
            draft.doubt(resource, format!("{resource}: {why}"));
            status.state = PartState::Unknown;
        }
    }
    None
}

/// Tells of a service that is where it shall be, on its way, or in somebody else's hands. A
/// rollout that failed is returned.
fn stands(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    standing: Standing,
    status: &mut ServiceStatus,
) -> Option<Failure> {
    let Case {
        resource, found, ..
    } = case;
    match standing {
        Standing::Done(deployment) => {
            let failed = baking::arrived(draft, case, deployment, status);
            if failed.is_none() {
                settings::bring(draft, case, status);
            }
            return failed;
        }
        Standing::Underway(message) => {
            if let Some(why) = baking::alarmed(draft, case) {
                return Some(baking::fails(draft, case, Cause::Alarm, why, status));
            }
            saw(draft, case);
            status.state = PartState::Progressing;
            status.deployment_id = found.primary().map(|primary| primary.id.clone());
            status.desired_count = Some(found.desired_count);
            status.running_count = found.primary().map(|primary| primary.running_count);
            if !stages::tell(draft, case, status) {
                draft.progress(resource, "RollingOut", format!("{resource}: {message}"));
                status.message = Some(message);
            }
        }
        Standing::Failed(message, cause) => {
            let found = evidence_of(draft, case);
            failed(draft, case, &message, cause, &found);
            let message = with_summary(message, &found);
            let told = format!("{resource}: {message}");
            status.state = PartState::Failed;
            status.message = Some(message);
            status.evidence = found;
            return Some(Failure {
                service: Some(case.service.name.clone()),
                cause,
                why: Explanation {
                    reason: "RolloutFailed".to_owned(),
                    message: told,
                },
            });
        }
        Standing::Overdue(message, record) => {
            stop(draft, case, &message, record);
            status.state = PartState::Progressing;
            status.message = Some(message);
        }
        Standing::Foreign(message, overdue) => {
            foreign(draft, case, &message, overdue);
            status.message = Some(message);
        }
        Standing::Doubt(message) => {
            status.state = PartState::Unknown;
            draft.doubt(resource, format!("{resource}: {message}"));
        }
        // Nothing of it stands anywhere: it has to be moved.
        Standing::Away | Standing::Superseded => {}
    }
    None
}

/// What ECS tells of the tasks of a rollout that failed.
fn evidence_of(draft: &Draft<'_>, case: &Case<'_>) -> Evidence {
    let content = draft.contents.get(&case.target.definition).cloned();
    let (found, arn) = (case.found, case.arn.as_str());
    evidence::of(draft, found, case.rollout, arn, content.as_deref())
}

fn with_summary(message: String, found: &Evidence) -> String {
    match evidence::summary(found) {
        Some(summary) => format!("{}; {summary}", message.trim_end_matches('.')),
        None => message,
    }
}

/// Somebody else's deployment is waited for, and a person is asked once it takes too long.
fn foreign(draft: &mut Draft<'_>, case: &Case<'_>, message: &str, overdue: bool) {
    // What somebody else does meanwhile is no business of a release that moves nothing.
    if case.gate.only_follows() {
        return;
    }
    let (resource, limit) = (&case.resource, case.service.timeout);
    if overdue {
        let told = format!(
            "{resource}: {message} for longer than {limit:#}: end or stop it, the release goes on then"
        );
        draft.stall(resource, "ForeignDeployment", told);
    } else {
        let told = format!("{resource}: {message}; waiting until it ends");
        draft.progress(resource, "ForeignDeployment", told);
    }
}

/// The service as observed, if it is one that can be rolled out.
fn usable<'a>(
    draft: &mut Draft<'a>,
    service: &Service,
    status: &mut ServiceStatus,
) -> Option<&'a observed::Service> {
    let resource = format!("service/{}", service.name);
    let known = draft.input.observed.services.get(&service.name);
    let Some(found) = draft.seen(&resource, known) else {
        status.state = PartState::Unknown;
        return None;
    };
    let Some(found) = found else {
        status.state = PartState::Failed;
        not_found(draft, &service.name);
        return None;
    };
    let refused = refusal(service, found);
    if let Some((reason, message)) = refused {
        status.state = PartState::Failed;
        status.message = Some(message.clone());
        draft.stall(&resource, reason, format!("{resource}: {message}"));
        return None;
    }
    Some(found)
}

/// Why a service cannot be rolled out, if so: a word for programs, and a sentence.
fn refusal(service: &Service, found: &observed::Service) -> Option<(&'static str, String)> {
    if found.status != "ACTIVE" {
        let message = format!(
            "it is {}: create it again, or remove it from the release",
            found.status
        );
        return Some(("ServiceNotActive", message));
    }
    let elsewhere = match found.deployment_controller.as_str() {
        "" | "ECS" | "CODE_DEPLOY" => None,
        "EXTERNAL" => Some("whoever makes its task sets releases it"),
        _ => Some("something else releases it"),
    };
    if let Some(who) = elsewhere {
        let message = format!(
            "its deployment controller is {}: {who}, and evenkeel rolls out services under ECS's own and under CODE_DEPLOY; remove it from the release, or set its deploymentController to ECS",
            found.deployment_controller
        );
        return Some(("UnsupportedDeploymentController", message));
    }
    if let Some(refused) = code_deploy::refusal(service, found) {
        return Some(refused);
    }
    let counted = service.settings.desired_count.is_some();
    if counted && found.scheduling == "DAEMON" {
        let message = "it is a DAEMON service, of which ECS runs one task on each instance: take desiredCount out of the manifest";
        return Some(("DesiredCountOfDaemon", message.to_owned()));
    }
    None
}
