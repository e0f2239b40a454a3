//! Services, wave by wave: each is pointed at its target once what goes before it is done.

mod books;

use std::collections::BTreeSet;

use super::base::{self, Registered};
use super::diff;
use super::draft::Draft;
use super::drift;
use books::{failed, saw, succeeded, superseded};

use super::rollout::{Question, Standing, judge, short};
use crate::model::desired::Service;
use crate::model::known::Known;
use crate::model::ledger::{
    Explanation, PartTarget, Revision, RevisionOutcome, Rollout, RolloutState,
};
use crate::model::observed;
use crate::model::plan::Step;
use crate::resource::status::{DifferenceAction, PartState, ServiceStatus};

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
}

impl Gate {
    fn only_follows(self) -> bool {
        matches!(self, Gate::Rejected | Gate::Held)
    }
}

/// Tells of services that cannot be rolled out at all, before anything else is begun.
pub fn check(draft: &mut Draft<'_>) {
    for service in &draft.input.desired.services {
        if let Some(Known::Present(found)) = draft.input.observed.services.get(&service.name)
            && let Some((reason, message)) = refusal(found)
        {
            let resource = format!("service/{}", service.name);
            draft.stall(&resource, reason, format!("{resource}: {message}"));
        }
    }
}

/// Moves what may move; true once every service runs its target. A rollout that failed is
/// returned: its revision is rejected.
pub fn roll(draft: &mut Draft<'_>, revision: &Revision, gate: Gate) -> Result<bool, Explanation> {
    let desired = draft.input.desired;
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut rejected = None;
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
            let status = one(draft, revision, service, gate, blocked, &mut rejected);
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
    match rejected {
        Some(why) => {
            // What was decided before the failure was seen is not begun any more; what was
            // delivered before is put right whatever fails beside it.
            if revision.outcome != RevisionOutcome::Ready {
                draft.actions.retain(|action| {
                    !matches!(
                        action.step,
                        Step::UpdateService { .. } | Step::RegisterTaskDefinition { .. }
                    )
                });
            }
            Err(why)
        }
        None => Ok(done.len() == desired.services.len()),
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

fn one(
    draft: &mut Draft<'_>,
    revision: &Revision,
    service: &Service,
    gate: Gate,
    blocked: Option<&String>,
    rejected: &mut Option<Explanation>,
) -> ServiceStatus {
    let resource = format!("service/{}", service.name);
    let mut status = ServiceStatus {
        name: service.name.clone(),
        ..ServiceStatus::default()
    };
    let Some(found) = usable(draft, service, &mut status) else {
        return status;
    };
    let Some(target) = revision.parts.get(&resource) else {
        return status;
    };
    let registered = match gate {
        Gate::Rejected | Gate::Held => base::registered(draft, target),
        Gate::Open | Gate::Migrations => base::ensure(draft, &resource, target),
    };
    let arn = match registered {
        Registered::Active(arn) => arn,
        Registered::Pending if gate.only_follows() => return status,
        Registered::Pending => {
            let message = format!(
                "{resource} runs {} and waits for its new task definition to be registered",
                short(&found.task_definition)
            );
            draft.progress(&resource, "Progressing", message.clone());
            status.message = Some(message);
            return status;
        }
        Registered::Doubt(why) => {
            draft.doubt(&resource, format!("{resource}: {why}"));
            status.state = PartState::Unknown;
            return status;
        }
    };
    status.task_definition = Some(arn.clone());
    let rollout = draft.input.observed.ledger.rollouts.get(&service.name);
    let question = Question {
        service: found,
        target: &arn,
        rollout,
        revision: revision.number,
        timeout: service.timeout,
        now: draft.input.now,
    };
    let standing = judge(question);
    if revision.outcome == RevisionOutcome::Ready {
        still_drifted(draft, &resource, target, found, &arn, &standing);
    }
    match standing {
        Standing::Done(deployment) => {
            succeeded(
                draft,
                &service.name,
                revision.number,
                rollout,
                &arn,
                deployment.as_ref(),
            );
            status.state = PartState::Done;
            status.deployment_id = deployment;
        }
        Standing::Underway(message) => {
            saw(draft, found, rollout, &arn);
            status.state = PartState::Progressing;
            status.deployment_id = found.primary().map(|primary| primary.id.clone());
            status.desired_count = Some(found.desired_count);
            status.running_count = found.primary().map(|primary| primary.running_count);
            draft.progress(&resource, "RollingOut", format!("{resource}: {message}"));
            status.message = Some(message);
        }
        Standing::Failed(message) => {
            let told = format!("{resource}: {message}");
            failed(draft, revision, rollout, &arn, &message);
            status.state = PartState::Failed;
            status.message = Some(message);
            rejected.get_or_insert(Explanation {
                reason: "RolloutFailed".to_owned(),
                message: told,
            });
        }
        // What somebody else does meanwhile is no business of a release that moves nothing.
        Standing::Foreign(message, _) if gate.only_follows() => status.message = Some(message),
        Standing::Foreign(message, true) => {
            let limit = service.timeout;
            let told = format!(
                "{resource}: {message} for longer than {limit:#}: end or stop it, the release goes on then"
            );
            status.message = Some(message);
            draft.stall(&resource, "ForeignDeployment", told);
        }
        Standing::Foreign(message, false) => {
            status.message = Some(message.clone());
            draft.progress(
                &resource,
                "ForeignDeployment",
                format!("{resource}: {message}; waiting until it ends"),
            );
        }
        Standing::Doubt(message) => {
            status.state = PartState::Unknown;
            draft.doubt(&resource, format!("{resource}: {message}"));
        }
        standing @ (Standing::Away | Standing::Superseded) => {
            let rollout = rollout
                .cloned()
                .map(|rollout| superseded(draft, rollout, &standing, &arn));
            let move_to = Move {
                revision,
                target,
                found,
                arn: &arn,
                rollout: rollout.as_ref(),
            };
            away(draft, service, gate, blocked, &move_to, &mut status);
        }
    }
    status
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
    let refused = refusal(found);
    if let Some((reason, message)) = refused {
        status.state = PartState::Failed;
        status.message = Some(message.clone());
        draft.stall(&resource, reason, format!("{resource}: {message}"));
        return None;
    }
    Some(found)
}

/// Why a service cannot be rolled out, if so: a word for programs, and a sentence.
fn refusal(found: &observed::Service) -> Option<(&'static str, String)> {
    if found.status != "ACTIVE" {
        Some((
            "ServiceNotActive",
            format!(
                "it is {}: create it again, or remove it from the release",
                found.status
            ),
        ))
    } else if !matches!(found.deployment_controller.as_str(), "" | "ECS") {
        Some((
            "UnsupportedDeploymentController",
            format!(
                "its deployment controller is {}; evenkeel rolls out services under ECS's own",
                found.deployment_controller
            ),
        ))
    } else if !matches!(found.strategy.as_str(), "" | "ROLLING") {
        Some((
            "UnsupportedDeploymentStrategy",
            format!(
                "its deployment strategy is {}; evenkeel rolls out ROLLING services",
                found.strategy
            ),
        ))
    } else {
        None
    }
}

/// Everything that moving a service needs.
struct Move<'a> {
    revision: &'a Revision,
    target: &'a PartTarget,
    found: &'a observed::Service,
    arn: &'a str,
    rollout: Option<&'a Rollout>,
}

/// The service runs something else and nothing goes on.
fn away(
    draft: &mut Draft<'_>,
    service: &Service,
    gate: Gate,
    blocked: Option<&String>,
    to: &Move<'_>,
    status: &mut ServiceStatus,
) {
    let resource = format!("service/{}", service.name);
    let from = short(&to.found.task_definition);
    if gate.only_follows() {
        status.message = Some(match gate {
            Gate::Rejected => format!(
                "stays on {from}: revision {} was rejected",
                to.revision.number
            ),
            _ => format!("stays on {from} while the release is stalled"),
        });
        return;
    }
    let correction = to.revision.outcome == RevisionOutcome::Ready;
    // It is pointed there already, and a person asked for another try.
    let force = to.found.task_definition == to.arn;
    if correction && !force {
        note_drift(draft, &resource, to.target, to.found, to.arn);
    }
    if gate == Gate::Migrations {
        let message = format!("{resource} stays on {from} until every migration has succeeded");
        draft.wait(&resource, message.clone());
        status.message = Some(message);
        return;
    }
    if let Some(name) = blocked {
        let message = format!("{resource} stays on {from} until service/{name} has moved");
        draft.wait(&resource, message.clone());
        status.message = Some(message);
        return;
    }
    let actual = &to.found.task_definition;
    if correction
        && let Err(left) = drift::may_correct(draft, &resource, |draft| other_writer(draft, actual))
    {
        status.state = left.state;
        status.message = left.message;
        return;
    }
    let rollout = Rollout {
        version: to.rollout.map_or(0, |rollout| rollout.version),
        service: service.name.clone(),
        revision: to.revision.number,
        target: to.arn.to_owned(),
        previous: match force {
            true => to.rollout.and_then(|rollout| rollout.previous.clone()),
            false => Some(to.found.task_definition.clone()),
        },
        correction,
        forced: force,
        requested_at: draft.input.now,
        seen: seen(to.found),
        deployment_id: None,
        state: RolloutState::Requested,
        message: None,
        finished_at: None,
    };
    let reason = match (force, correction) {
        (true, _) => format!("another try of {from}"),
        (false, true) => format!("it was moved to {from}: back to {}", short(to.arn)),
        (false, false) => format!("{from} -> {}", short(to.arn)),
    };
    status.state = PartState::Progressing;
    status.message = Some(reason.clone());
    draft.progress(&resource, "RollingOut", format!("{resource}: {reason}"));
    let step = Step::UpdateService {
        rollout: Box::new(rollout),
        cluster: draft.input.desired.environment.cluster.clone(),
        service: service.name.clone(),
        task_definition: to.arn.to_owned(),
        force,
    };
    draft.act(resource, reason, step);
}

/// Deployments and records that tell nothing about the next rollout.
fn seen(service: &observed::Service) -> Vec<String> {
    let records = service
        .records
        .as_ref()
        .and_then(Known::present)
        .into_iter()
        .flatten();
    let deployments = service
        .deployments
        .iter()
        .map(|deployment| deployment.id.clone());
    deployments
        .chain(records.map(|record| record.arn.clone()))
        .collect()
}

/// A difference stands until the service is back, whatever goes on.
fn still_drifted(
    draft: &mut Draft<'_>,
    resource: &str,
    target: &PartTarget,
    found: &observed::Service,
    arn: &str,
    standing: &Standing,
) {
    match standing {
        Standing::Underway(_) => drift::being_corrected(draft, resource),
        Standing::Failed(_) | Standing::Foreign(..) if found.task_definition != arn => {
            note_drift(draft, resource, target, found, arn);
        }
        _ => {}
    }
}

/// Tells in which fields the service's definition differs from the revision's.
fn note_drift(
    draft: &mut Draft<'_>,
    resource: &str,
    target: &PartTarget,
    found: &observed::Service,
    arn: &str,
) {
    let desired = draft.contents.get(&target.definition).cloned();
    let actual = draft.input.observed.definitions.get(&found.task_definition);
    let mut fields: Vec<(String, String, String)> = match (desired, actual.and_then(Known::present))
    {
        (Some(desired), Some(actual)) => diff::definitions(&desired, &actual.content)
            .into_iter()
            .map(|field| {
                let path = format!("taskDefinition.{}", field.field);
                (path, field.desired, field.actual)
            })
            .collect(),
        _ => Vec::new(),
    };
    if fields.is_empty() {
        let (desired, actual) = (short(arn), short(&found.task_definition));
        fields.push((
            "taskDefinition".to_owned(),
            desired.to_owned(),
            actual.to_owned(),
        ));
    }
    for (field, desired, actual) in fields {
        let action = DifferenceAction::Pending;
        drift::differs(draft, resource, &field, desired, actual, action);
    }
}

/// Who moves a service back each time, and what to do about it.
fn other_writer(draft: &Draft<'_>, actual: &str) -> String {
    let definition = draft.input.observed.definitions.get(actual);
    let by = definition
        .and_then(Known::present)
        .and_then(|definition| definition.registered_by.as_deref());
    format!(
        "set back to {} (registered by {}): find that writer (Terraform needs `ignore_changes = [task_definition]`)",
        short(actual),
        by.unwrap_or("somebody ECS does not name")
    )
}
