//! What is made of a service that bakes, and of its alarms.

use jiff::SignedDuration;

use super::books::{failed, succeeded};
use super::{Case, Draft, Failure, evidence_of, with_summary};
use crate::model::known::Known;
use crate::model::ledger::{Counts, Explanation, RevisionOutcome, Rollout, RolloutState};
use crate::model::plan::Step;
use crate::plan::bake::{self, Alarms, Verdict};
use crate::resource::status::{Cause, PartState, ServiceStatus};

/// How soon an alarm is looked at again that kept a rollout from beginning for too long.
const LATER: SignedDuration = SignedDuration::from_mins(1);

/// Tells of alarms that do not exist, before anything else is begun.
pub(super) fn check(draft: &mut Draft<'_>) {
    for service in &draft.input.desired.services {
        let known = &draft.input.observed.alarms;
        let absent = |name: &&String| known.get(*name) == Some(&Known::Absent);
        for name in service.alarms.iter().filter(absent) {
            missing(draft, &format!("service/{}", service.name), name);
        }
    }
}

fn missing(draft: &mut Draft<'_>, resource: &str, name: &str) {
    let region = &draft.input.desired.environment.region;
    let message = format!(
        "{resource}: alarm {name} does not exist in Region {region}; create it, or correct its name in rollout.alarms"
    );
    draft.stall(resource, "AlarmNotFound", message);
}

fn alarms<'a>(draft: &Draft<'a>, case: &Case<'a>) -> Alarms<'a> {
    bake::alarms(case.service, &draft.input.observed.alarms)
}

/// What keeps a service from being moved because of its alarms, if so: with one in ALARM the rollout
/// would be judged at once as failed. Putting drift right asks no alarm.
pub(super) fn held(draft: &mut Draft<'_>, case: &Case<'_>) -> Option<String> {
    if case.is_correction() {
        return None;
    }
    let resource = &case.resource;
    match alarms(draft, case) {
        Alarms::Quiet => None,
        Alarms::Active(..) => Some(waits_for_alarm(draft, case)),
        Alarms::Absent(name) => {
            missing(draft, resource, name);
            Some(format!("alarm {name} does not exist"))
        }
        Alarms::Unknown(why) => {
            draft.doubt(resource, format!("{resource}: {why}"));
            Some(why)
        }
        Alarms::Unread => {
            let message = "its alarms are looked at first".to_owned();
            draft.progress(resource, "Progressing", format!("{resource}: {message}"));
            Some(message)
        }
    }
}

/// Whether alarms keep the services from being moved, which is told.
pub fn wait_for_alarms(draft: &mut Draft<'_>) -> bool {
    let input = draft.input;
    let mut waits = false;
    for service in &input.desired.services {
        let resource = format!("service/{}", service.name);
        match bake::alarms(service, &input.observed.alarms) {
            Alarms::Quiet => continue,
            Alarms::Active(name, alarm) => {
                let message = bake::sentence(name, alarm);
                let told = format!("{resource}: {message}; nothing is moved until it is quiet");
                draft.progress(&resource, "AlarmActive", told);
            }
            Alarms::Unknown(why) => draft.doubt(&resource, format!("{resource}: {why}")),
            Alarms::Absent(_) | Alarms::Unread => {}
        }
        waits = true;
    }
    waits
}

/// An alarm was in ALARM before anything was begun. It is waited for, and a person is asked once it
/// takes too long.
fn waits_for_alarm(draft: &mut Draft<'_>, case: &Case<'_>) -> String {
    let Alarms::Active(name, alarm) = alarms(draft, case) else {
        return String::new();
    };
    let resource = &case.resource;
    let message = bake::sentence(name, alarm);
    let since = alarm.since.max(Some(case.revision.created_at));
    let limit = case.service.timeout;
    let waited = since.is_some_and(|since| draft.input.now.duration_since(since) > limit);
    if waited {
        let told = format!(
            "{resource}: {message}, for longer than {limit:#}; nothing is moved until it is quiet"
        );
        draft.stall(resource, "AlarmActive", told);
        draft.wake_after(LATER);
    } else {
        let told = format!("{resource}: {message}; nothing is moved until it is quiet");
        draft.progress(resource, "AlarmActive", told);
    }
    message
}

/// What an alarm in ALARM says of a rollout that is under way, if one is. Where ECS goes back by
/// itself, its own word is waited for.
pub(super) fn alarmed(draft: &Draft<'_>, case: &Case<'_>) -> Option<String> {
    let ours = case.rollout.is_some_and(|rollout| {
        rollout.state == RolloutState::Requested && rollout.target == case.arn
    });
    let pending = case.revision.outcome == RevisionOutcome::Pending;
    if !ours || !pending || case.found.task_definition != case.arn {
        return None;
    }
    match alarms(draft, case) {
        Alarms::Active(name, alarm) => Some(bake::sentence(name, alarm)),
        _ => None,
    }
}

/// ECS says that the service is where it shall be: does that count? A rollout that failed after all
/// is returned.
pub(super) fn arrived(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    deployment: Option<String>,
    status: &mut ServiceStatus,
) -> Option<Failure> {
    if let Some((state, message)) = given_up(case) {
        status.state = state;
        status.message = Some(message);
        return None;
    }
    let verdict = judged(draft, case);
    status.state = PartState::Progressing;
    status.deployment_id.clone_from(&deployment);
    match verdict {
        Verdict::Over => {
            succeeded(draft, case, deployment.as_ref());
            status.state = PartState::Done;
        }
        Verdict::Begins(counts) => {
            begin(draft, case, deployment, counts);
            let until = bake::end(draft.input.now, case.service.bake);
            bakes(draft, case, until, status);
        }
        Verdict::Bakes(until) => bakes(draft, case, until, status),
        Verdict::Unsteady(why, was) => {
            let bake = case.service.bake;
            let message = format!("{why}; its {bake:#} begin once it is steady");
            if was {
                shaken(draft, case, &why);
            }
            progress(draft, case, message, status);
        }
        Verdict::Failed(cause, message) => return Some(fails(draft, case, cause, message, status)),
        Verdict::Held => status.message = Some(waits_for_alarm(draft, case)),
        Verdict::Doubt(why) => {
            status.state = PartState::Unknown;
            draft.doubt(&case.resource, format!("{}: {why}", case.resource));
        }
        Verdict::Missing => status.message = Some("one of its alarms does not exist".to_owned()),
        Verdict::Unread => {
            progress(draft, case, "its alarms are looked at".to_owned(), status);
        }
    }
    None
}

fn judged(draft: &Draft<'_>, case: &Case<'_>) -> Verdict {
    // What was delivered before is only put right.
    if case.revision.outcome != RevisionOutcome::Pending {
        return Verdict::Over;
    }
    bake::judge(bake::Question {
        declared: case.service,
        service: case.found,
        target: &case.arn,
        rollout: case.rollout,
        revision: case.revision.number,
        alarms: &alarms(draft, case),
        now: draft.input.now,
    })
}

/// What is told of a service whose revision was rejected before it counted. It is not written down
/// that it succeeded: another try bakes it anew.
fn given_up(case: &Case<'_>) -> Option<(PartState, String)> {
    let rollout = case.rollout.filter(|rollout| rollout.target == case.arn)?;
    let rejected = case.revision.outcome == RevisionOutcome::Rejected;
    if !rejected || !bake::is_asked_for(case.service) {
        return None;
    }
    match rollout.state {
        RolloutState::Failed => Some((
            PartState::Failed,
            rollout.message.clone().unwrap_or_default(),
        )),
        RolloutState::Requested => {
            let number = case.revision.number;
            let message = format!("revision {number} was rejected before it counted");
            Some((PartState::Pending, message))
        }
        RolloutState::Succeeded | RolloutState::Superseded => None,
    }
}

/// Notes since when it has been steady, once, and of another try that it is one.
fn begin(draft: &mut Draft<'_>, case: &Case<'_>, deployment: Option<String>, with: Counts) {
    let Some(rollout) = case.rollout else { return };
    let now = draft.input.now;
    let again = rollout.state != RolloutState::Requested;
    let rollout = Rollout {
        state: RolloutState::Requested,
        revision: case.revision.number,
        deployment_id: deployment,
        requested_at: if again { now } else { rollout.requested_at },
        resumed_at: match rollout.paused {
            Some(_) => Some(now),
            None => rollout.resumed_at,
        },
        paused: None,
        steady_since: Some(now),
        steady_with: Some(with),
        message: None,
        cause: None,
        finished_at: None,
        ..rollout.clone()
    };
    let reason = format!("steady: it counts after {:#}", case.service.bake);
    let step = Step::RecordRollout(Box::new(rollout));
    draft.act(&case.resource, reason, step);
}

/// Notes that it is not steady any more, once.
fn shaken(draft: &mut Draft<'_>, case: &Case<'_>, why: &str) {
    let Some(rollout) = case.rollout else { return };
    let rollout = Rollout {
        steady_since: None,
        steady_with: None,
        ..rollout.clone()
    };
    let step = Step::RecordRollout(Box::new(rollout));
    draft.act(&case.resource, format!("not steady: {why}"), step);
}

/// The sentence is the same for as long as it bakes: each change would be a write.
fn bakes(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    until: jiff::Timestamp,
    status: &mut ServiceStatus,
) {
    let bake = case.service.bake;
    let message = format!("counts once it has been steady for {bake:#}, at {until:.0}");
    status.baking_until = Some(until);
    progress(draft, case, message, status);
    draft.wake_after(until.duration_since(draft.input.now));
}

fn progress(draft: &mut Draft<'_>, case: &Case<'_>, message: String, status: &mut ServiceStatus) {
    let resource = &case.resource;
    draft.progress(resource, "Baking", format!("{resource}: {message}"));
    status.message = Some(message);
}

/// A rollout failed for a reason that is not ECS's.
pub(super) fn fails(
    draft: &mut Draft<'_>,
    case: &Case<'_>,
    cause: Cause,
    message: String,
    status: &mut ServiceStatus,
) -> Failure {
    let found = evidence_of(draft, case);
    failed(draft, case, &message, cause, &found);
    let message = with_summary(message, &found);
    let told = format!("{}: {message}", case.resource);
    status.state = PartState::Failed;
    status.message = Some(message);
    status.evidence = found;
    Failure {
        service: Some(case.service.name.clone()),
        cause,
        why: Explanation {
            reason: "RolloutFailed".to_owned(),
            message: told,
        },
    }
}
