//! The stages of a deployment that ECS tells of, and the people it waits for.

use super::Case;
use crate::model::known::Known;
use crate::model::ledger::{Answer, Request, RequestKind, Rollout, RolloutState};
use crate::model::observed::{DeploymentRecord, Hook, Service};
use crate::model::plan::Step;
use crate::plan::draft::{Draft, SETTLING};
use crate::plan::rollout::{is_of, open_record, short};
use crate::resource::status::{Cause, PauseStatus, ServiceStatus};

/// Tells how far a deployment is that goes on; true where it waits for a person, which is told.
pub(super) fn tell(draft: &mut Draft<'_>, case: &Case<'_>, status: &mut ServiceStatus) -> bool {
    let Some(record) = open_record(case.found, &case.arn, case.rollout) else {
        return false;
    };
    status.stage.clone_from(&record.stage);
    status.traffic_percent = record.traffic_percent;
    let hook = record.waits_for();
    let answered = |hook: &&Hook| is_answered(draft, case.rollout, &hook.id);
    let Some(hook) = hook.filter(|hook| !answered(hook)) else {
        return false;
    };
    status.pause = Some(PauseStatus {
        hook: hook.id.clone(),
        expires_at: hook.expires_at,
        timeout_action: hook.timeout_action.clone(),
    });
    let message = question(draft, case, record, hook);
    status.message = Some(message.clone());
    draft.wait_for_person(&case.resource, format!("{}: {message}", case.resource));
    true
}

/// Whether a hook was answered a moment ago, which ECS may not show yet.
fn is_answered(draft: &Draft<'_>, rollout: Option<&Rollout>, hook: &str) -> bool {
    let mut answers = rollout.into_iter().flat_map(|it| &it.answers);
    let now = draft.input.now;
    answers.any(|it| it.hook == hook && now.duration_since(it.at) < SETTLING)
}

/// What is asked of a person at a pause hook.
fn question(draft: &Draft<'_>, case: &Case<'_>, record: &DeploymentRecord, hook: &Hook) -> String {
    let ours = case.rollout.is_some_and(|it| is_open(it, record));
    let (target, stage) = (short(&case.arn), stage(record));
    let until = match (hook.expires_at, hook.timeout_action.as_deref()) {
        (Some(at), Some("CONTINUE")) => format!(" (ECS goes on by itself at {at:.0})"),
        (Some(at), _) => format!(" (ECS rolls back at {at:.0})"),
        (None, _) => String::new(),
    };
    if !ours {
        return format!("{target} waits for approval {stage}{until}: whoever deployed it answers");
    }
    let (key, name) = (&draft.input.desired.key, &case.service.name);
    format!(
        "{target} waits for approval {stage}{until}: `evenkeel approve {key} --service {name}`, or the same with `--reject`"
    )
}

fn stage(record: &DeploymentRecord) -> String {
    match &record.stage {
        Some(stage) => format!("at {stage}"),
        None => "at a pause hook".to_owned(),
    }
}

/// A rollout with the pause noted at which its deployment waits now, or that it went on since, also
/// from one that no pass saw: how long that was nobody knows, and none of it is counted.
pub(super) fn noted(draft: &Draft<'_>, case: &Case<'_>, rollout: Rollout) -> Rollout {
    let record = open_record(case.found, &case.arn, case.rollout);
    // Where nothing is known of it now, what was noted stands.
    let Some(record) = record else {
        return rollout;
    };
    let paused = record.waits_for().map(|hook| hook.id.clone());
    let went_on = paused.is_none() && rollout.resumes(Some(record));
    let mut passed = rollout.passed.clone();
    let ended = record.ended_pauses().map(|hook| hook.id.clone());
    passed.extend(ended.filter(|id| !rollout.passed.contains(id)));
    Rollout {
        passed,
        resumed_at: match went_on {
            true => Some(draft.input.now),
            false => rollout.resumed_at,
        },
        paused,
        ..rollout
    }
}

/// Whether a deployment that goes on is what this rollout asked for.
fn is_open(rollout: &Rollout, record: &DeploymentRecord) -> bool {
    rollout.state == RolloutState::Requested && is_of(rollout, record)
}

/// Whether it is too early to carry out what is asked: nobody knows what waits, or an answer was
/// given a moment ago, which ECS may not show yet.
pub fn is_early(draft: &Draft<'_>, request: &Request) -> bool {
    let RequestKind::Continue { service, hook, .. } = &request.kind else {
        return false;
    };
    if draft.input.desired.suspend {
        return false;
    }
    let observed = draft.input.observed;
    let records = match observed.services.get(service) {
        Some(Known::Unknown(_)) => return true,
        Some(Known::Present(found)) => found.records.as_ref(),
        Some(Known::Absent) | None => None,
    };
    if matches!(records, Some(Known::Unknown(_))) {
        return true;
    }
    let rollout = observed.ledger.rollouts.get(service);
    waiting(draft, service, hook).is_some() && is_answered(draft, rollout, hook)
}

/// The deployment that waits at this hook.
fn waiting<'a>(draft: &Draft<'a>, service: &str, hook: &str) -> Option<&'a DeploymentRecord> {
    let found: &Service = draft.input.observed.services.get(service)?.present()?;
    let records = found.records.as_ref()?.present()?;
    let is_it = |it: &&DeploymentRecord| it.waits_for().is_some_and(|it| it.id == hook);
    records.iter().find(is_it)
}

/// A person says at a pause hook whether the deployment goes on; or why that is not done. Said twice
/// it is done once.
pub fn answer(
    draft: &mut Draft<'_>,
    service: &str,
    hook: &str,
    reject: bool,
    request: &Request,
) -> Result<(), String> {
    if draft.input.desired.suspend {
        return Err("the release is suspended".to_owned());
    }
    let rollout = draft.input.observed.ledger.rollouts.get(service);
    let Some(rollout) = rollout else {
        return Err(format!("no rollout of service {service} goes on"));
    };
    let Some(record) = waiting(draft, service, hook) else {
        let is_done = rollout.answers.iter().any(|it| it.hook == hook);
        return match is_done {
            true => Ok(()),
            false => Err(format!(
                "service {service} does not wait at that pause hook any more"
            )),
        };
    };
    if !is_open(rollout, record) {
        return Err(format!(
            "what service {service} waits with is not of this release"
        ));
    }
    let by = &request.by;
    let told = match reject {
        true => format!("{by} rejected {} {}", short(&rollout.target), stage(record)),
        false => format!("{by} approved {} {}", short(&rollout.target), stage(record)),
    };
    let now = draft.input.now;
    let mut answers = rollout.answers.clone();
    answers.retain(|it| it.hook != hook);
    answers.push(Answer {
        hook: hook.to_owned(),
        stage: record.stage.clone(),
        rejected: reject,
        by: by.clone(),
        at: now,
    });
    let mut rollout = Rollout {
        answers,
        ..rollout.clone()
    };
    if reject {
        rollout.message = Some(told.clone());
        rollout.cause = Some(Cause::Stopped);
        rollout.stopped_at = Some(now);
    }
    let rollout = Box::new(rollout);
    let found = draft.input.observed.services.get(service);
    let found = found.and_then(Known::present);
    let deployment = record.arn.clone();
    let step = match (found.is_some_and(Service::is_under_code_deploy), reject) {
        (true, false) => Step::ContinueDeployment {
            rollout,
            deployment,
        },
        (true, true) => Step::StopDeployment {
            rollout,
            deployment,
        },
        (false, rollback) => Step::ContinueServiceDeployment {
            rollout,
            arn: deployment,
            hook: hook.to_owned(),
            rollback,
        },
    };
    draft.act(format!("service/{service}"), told, step);
    Ok(())
}
