//! What is written down of a rollout, each thing once.

use super::{Case, stages};
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::revision;
use crate::plan::rollout::{Standing, short};
use crate::plan::services::Gate;
use crate::resource::status::{Cause, Evidence};

/// Notes the deployment that came of a rollout, and where it waits for a person, each once.
pub(super) fn saw(draft: &mut Draft<'_>, case: &Case<'_>) {
    let (Some(before), Some(primary)) = (case.rollout, case.found.primary()) else {
        return;
    };
    if before.target != case.arn || before.state != RolloutState::Requested {
        return;
    }
    let mut rollout = stages::noted(draft, case, before.clone());
    let mut reason = match &rollout.paused {
        Some(_) => "it waits for a person",
        None => "it went on",
    }
    .to_owned();
    let came = primary.task_definition == case.arn;
    let is_new = before.deployment_id.as_ref() != Some(&primary.id);
    if came && (is_new || before.steady_since.is_some()) {
        rollout.deployment_id = Some(primary.id.clone());
        rollout.steady_since = None;
        rollout.steady_with = None;
        reason = format!("deployment {} came of it", primary.id);
    }
    if rollout != *before {
        let step = Step::RecordRollout(Box::new(rollout));
        draft.act(&case.resource, reason, step);
    }
}

/// Notes that ECS says it succeeded, once; also where somebody else brought the service there, so
/// that a settled service needs no second look.
pub(super) fn succeeded(draft: &mut Draft<'_>, case: &Case<'_>, deployment: Option<&String>) {
    let Case {
        service,
        revision,
        rollout,
        arn,
        ..
    } = case;
    let (service, revision) = (service.name.as_str(), revision.number);
    let noted = rollout.is_some_and(|rollout| {
        rollout.state == RolloutState::Succeeded
            && rollout.target == *arn
            && rollout.deployment_id.as_ref() == deployment
    });
    if noted {
        return;
    }
    let now = draft.input.now;
    let rollout = rollout.cloned().unwrap_or_else(|| Rollout {
        version: 0,
        service: service.to_owned(),
        revision,
        target: arn.to_owned(),
        previous: None,
        correction: false,
        forced: false,
        back: false,
        requested_at: now,
        seen: Vec::new(),
        deployment_id: None,
        state: RolloutState::Succeeded,
        message: None,
        cause: None,
        evidence: Evidence::default(),
        steady_since: None,
        steady_with: None,
        stopped_at: None,
        paused: None,
        passed: Vec::new(),
        resumed_at: None,
        answers: Vec::new(),
        finished_at: None,
    });
    let rollout = Rollout {
        state: RolloutState::Succeeded,
        // ECS may have brought it there by itself.
        revision: match rollout.target == *arn {
            true => rollout.revision,
            false => revision,
        },
        back: case.gate == Gate::Back || rollout.back && rollout.target == *arn,
        target: arn.to_owned(),
        deployment_id: deployment.cloned(),
        finished_at: Some(now),
        message: None,
        // What led back is told for as long as it is so.
        evidence: match case.gate {
            Gate::Back | Gate::Left => rollout.evidence.clone(),
            _ => Evidence::default(),
        },
        cause: None,
        stopped_at: None,
        paused: None,
        ..rollout
    };
    let reason = format!("ECS says that {} is steady", short(arn));
    draft.act(
        format!("service/{service}"),
        reason,
        Step::RecordRollout(Box::new(rollout)),
    );
}

/// Notes that a rollout failed, once, as part of which revision, and what ECS tells of it.
pub(super) fn failed(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    message: &str,
    cause: Cause,
    evidence: &Evidence,
) {
    let revision = case.revision;
    let Some(rollout) = case.rollout.filter(|rollout| rollout.target == case.arn) else {
        return;
    };
    if rollout.state == RolloutState::Failed {
        return;
    }
    let is_recorded = revision.version > 0;
    // A revision that says the same as the one before it takes over that one's rollouts, and is
    // rejected for them once it is in the table; noted now, it would be tried once more.
    let before = revision::newest(draft);
    if !is_recorded && before.is_some_and(|before| before.content == revision.content) {
        return;
    }
    let rollout = Rollout {
        state: RolloutState::Failed,
        revision: match is_recorded {
            true => revision.number,
            false => rollout.revision,
        },
        message: Some(message.to_owned()),
        cause: Some(cause),
        evidence: evidence.clone(),
        finished_at: Some(draft.input.now),
        ..rollout.clone()
    };
    draft.act(
        format!("service/{}", rollout.service),
        message,
        Step::RecordRollout(Box::new(rollout)),
    );
}

/// Has a rollout stopped whose time is up, and notes that first: it is asked once.
pub(super) fn stop(draft: &mut Draft<'_>, case: &Case<'_>, message: &str, record: String) {
    let Some(rollout) = case.rollout else {
        return;
    };
    let rollout = Rollout {
        message: Some(message.to_owned()),
        cause: Some(Cause::Timeout),
        stopped_at: Some(draft.input.now),
        ..rollout.clone()
    };
    let resource = &case.resource;
    let rollout = Box::new(rollout);
    let (who, step) = match case.found.is_under_code_deploy() {
        true => {
            let deployment = record;
            let step = Step::StopDeployment {
                rollout,
                deployment,
            };
            ("CodeDeploy", step)
        }
        false => {
            let arn = record;
            ("ECS", Step::StopServiceDeployment { rollout, arn })
        }
    };
    let told = format!("{resource}: {message}; {who} is asked to roll it back");
    draft.progress(resource, "RollingBack", told);
    draft.act(resource, message, step);
}

/// A rollout whose place somebody else's deployment took: no rejection, planned afresh.
pub(super) fn superseded(
    draft: &mut Draft<'_>,
    rollout: Rollout,
    standing: &Standing,
    arn: &str,
) -> Rollout {
    if *standing != Standing::Superseded || rollout.target != arn {
        return rollout;
    }
    let service = format!("service/{}", rollout.service);
    let step = Rollout {
        state: RolloutState::Superseded,
        finished_at: Some(draft.input.now),
        ..rollout.clone()
    };
    draft.act(
        service,
        "somebody else's deployment took its place",
        Step::RecordRollout(Box::new(step)),
    );
    // The version that the record will have once it is written.
    Rollout {
        version: rollout.version + 1,
        ..rollout
    }
}
