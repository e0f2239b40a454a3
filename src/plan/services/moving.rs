//! A service that is to run something else: what keeps it where it is, and what is written down before
//! it is moved.

use super::books::superseded;
use super::drifted::{note_drift, other_writer};
use super::{Case, Gate};
use super::{baking, code_deploy, settings};
use crate::model::known::Known;
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::observed;
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::drift;
use crate::plan::rollout::{Standing, short};
use crate::resource::status::{Evidence, PartState, ServiceStatus};

/// The service runs something else and nothing goes on: it is moved, where nothing keeps it.
pub(super) fn away(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    standing: &Standing,
    status: &mut ServiceStatus,
) {
    let rollout = case
        .rollout
        .cloned()
        .map(|rollout| superseded(draft, rollout, standing, &case.arn));
    // It is pointed there already, and a person asked for another try.
    let force = case.found.task_definition == case.arn;
    if case.is_correction() && !case.gate.only_follows() && !force {
        note_drift(draft, case);
        settings::note_drift(draft, case);
    }
    if let Some(message) = kept(draft, case) {
        status.message = Some(message);
        return;
    }
    if let Some(message) = baking::held(draft, case) {
        status.message = Some(message);
        return;
    }
    let actual = &case.found.task_definition;
    if case.is_correction()
        && let Err(left) =
            drift::may_correct(draft, &case.resource, |draft| other_writer(draft, actual))
    {
        status.state = left.state;
        status.message = left.message;
        return;
    }
    if let Some(message) = code_deploy::held(draft, case) {
        status.message = Some(message);
        return;
    }
    let from = short(actual);
    let reason = match (force, case.is_correction()) {
        (false, _) if case.gate == Gate::Back => {
            let number = case.revision.number;
            format!("{from} -> {}: back to revision {number}", short(&case.arn))
        }
        (true, _) => format!("another try of {from}"),
        (false, true) => format!("it was moved to {from}: back to {}", short(&case.arn)),
        (false, false) => format!("{from} -> {}", short(&case.arn)),
    };
    let alone = case.found.is_under_code_deploy();
    let mut fields = settings::differing(case.service, case.found);
    // CodeDeploy takes none of them: they have a call of their own afterwards.
    fields.retain(|_| !alone);
    let reason = match fields.is_empty() {
        true => reason,
        false => format!("{reason}, {}", settings::told(&fields)),
    };
    let resource = &case.resource;
    status.state = PartState::Progressing;
    status.message = Some(reason.clone());
    draft.progress(resource, "RollingOut", format!("{resource}: {reason}"));
    let rollout = Box::new(request(draft, case, rollout.as_ref(), force));
    let (cluster, service) = (
        draft.input.desired.environment.cluster.clone(),
        case.service.name.clone(),
    );
    let step = match code_deploy::input(draft, case) {
        Some(input) => Step::CreateDeployment {
            rollout,
            cluster,
            service,
            input,
        },
        None => Step::UpdateService {
            rollout,
            cluster,
            service,
            task_definition: case.arn.clone(),
            force,
            settings: settings::members(case.service, case.found),
        },
    };
    draft.act(resource, reason, step);
}

/// What keeps a service where it is, if so.
fn kept(draft: &mut Draft<'_>, case: &Case<'_>) -> Option<String> {
    let resource = &case.resource;
    let from = short(&case.found.task_definition);
    let message = match (case.gate, case.blocked) {
        (Gate::Rejected, _) => {
            let number = case.revision.number;
            return Some(format!("stays on {from}: revision {number} was rejected"));
        }
        (Gate::Held, _) => return Some(format!("stays on {from} while the release is stalled")),
        (Gate::Left, _) => return Some(format!("stays on {from}: the way back failed")),
        (Gate::Migrations, _) => {
            format!("{resource} stays on {from} until every migration has succeeded")
        }
        (Gate::Back, Some(name)) => {
            format!("{resource} stays on {from} until service/{name} is back")
        }
        (Gate::Open, Some(name)) => {
            format!("{resource} stays on {from} until service/{name} has moved")
        }
        (Gate::Open | Gate::Back, None) => return None,
    };
    draft.wait(resource, message.clone());
    Some(message)
}

/// What is written down before the service is moved.
fn request(draft: &Draft<'_>, case: &Case<'_>, before: Option<&Rollout>, force: bool) -> Rollout {
    Rollout {
        version: before.map_or(0, |rollout| rollout.version),
        service: case.service.name.clone(),
        revision: case.revision.number,
        target: case.arn.clone(),
        previous: match force {
            true => before.and_then(|rollout| rollout.previous.clone()),
            false => Some(case.found.task_definition.clone()),
        },
        correction: case.is_correction(),
        forced: force,
        back: case.gate == Gate::Back,
        requested_at: draft.input.now,
        seen: seen(case.found),
        deployment_id: None,
        state: RolloutState::Requested,
        message: None,
        cause: None,
        // What led back is told for as long as it is so.
        evidence: match before.filter(|_| case.gate == Gate::Back) {
            Some(before) => before.evidence.clone(),
            None => Evidence::default(),
        },
        steady_since: None,
        steady_with: None,
        stopped_at: None,
        paused: None,
        passed: Vec::new(),
        resumed_at: None,
        answers: Vec::new(),
        finished_at: None,
    }
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
