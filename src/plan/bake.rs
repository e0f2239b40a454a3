//! Whether a rollout counts that ECS calls successful: the service has to stay steady for a while,
//! and its alarms have to stay quiet.
//!
//! It is steady while as many of its tasks run as when the bake began, or as are wanted where that
//! is less, and none has failed since: what autoscaling adds disturbs nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::evidence::{SHORT, shortened};
use super::rollout::{planned, short};
use crate::model::desired;
use crate::model::known::Known;
use crate::model::ledger::{Counts, Rollout, RolloutState};
use crate::model::observed::{Alarm, Deployment, Service};
use crate::resource::status::Cause;

/// What the alarms of a service say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarms<'a> {
    /// None is in ALARM. One without data is quiet.
    Quiet,
    /// This one is.
    Active(&'a str, &'a Alarm),
    /// This one does not exist.
    Absent(&'a str),
    /// They could not be read: why.
    Unknown(String),
    /// They were not looked at by this pass.
    Unread,
}

/// Reads the alarms of a service: what is certainly wrong before what is not known.
pub fn alarms<'a>(
    service: &'a desired::Service,
    known: &'a BTreeMap<String, Known<Alarm>>,
) -> Alarms<'a> {
    let rank = |alarms: &Alarms<'a>| match alarms {
        Alarms::Active(..) => 0,
        Alarms::Absent(_) => 1,
        Alarms::Unknown(_) => 2,
        Alarms::Unread => 3,
        Alarms::Quiet => 4,
    };
    let each = service.alarms.iter().map(|name| match known.get(name) {
        Some(Known::Present(alarm)) if alarm.state == "ALARM" => Alarms::Active(name, alarm),
        Some(Known::Present(_)) => Alarms::Quiet,
        Some(Known::Absent) => Alarms::Absent(name),
        Some(Known::Unknown(why)) => Alarms::Unknown(why.clone()),
        None => Alarms::Unread,
    });
    each.min_by_key(rank).unwrap_or(Alarms::Quiet)
}

/// An alarm that is in ALARM, in a sentence.
pub fn sentence(name: &str, alarm: &Alarm) -> String {
    match alarm.reason.as_deref().map(str::trim) {
        None | Some("") => format!("alarm {name} is in ALARM"),
        Some(reason) => {
            let reason = shortened(reason.trim_end_matches('.'), SHORT);
            format!("alarm {name} is in ALARM: {reason}")
        }
    }
}

/// Whether anything has to be so of a service beyond what ECS says of its rollout.
pub fn is_asked_for(service: &desired::Service) -> bool {
    !service.bake.is_zero() || !service.alarms.is_empty()
}

/// Whether a rollout came to an end in ECS, and bakes. ECS's records of it say no more then.
pub fn is_baking(rollout: &Rollout) -> bool {
    rollout.state == RolloutState::Requested && rollout.steady_since.is_some()
}

/// The question: a service that runs its target, and the rollout that ECS says has succeeded.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// As declared.
    pub declared: &'a desired::Service,
    /// As observed.
    pub service: &'a Service,
    /// Task definition ARN that it runs.
    pub target: &'a str,
    /// The newest rollout that was asked for.
    pub rollout: Option<&'a Rollout>,
    /// The revision that is judged.
    pub revision: u64,
    /// What its alarms say.
    pub alarms: &'a Alarms<'a>,
    /// Now.
    pub now: Timestamp,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Over,
    /// The bake begins with what runs now.
    Begins(Counts),
    /// It counts at that moment, if nothing comes between.
    Bakes(Timestamp),
    /// It is not steady: why, and whether it was until now.
    Unsteady(String, bool),
    /// It failed after all.
    Failed(Cause, String),
    /// It would begin with an alarm that is in ALARM already.
    Held,
    /// Its alarms are not known.
    Doubt(String),
    /// An alarm does not exist, which is told elsewhere.
    Missing,
    /// Its alarms were not looked at.
    Unread,
}

/// Answers it.
pub fn judge(question: Question<'_>) -> Verdict {
    // What others brought, or an earlier revision, has nothing to prove.
    let asked = question.rollout.filter(|it| it.target == question.target);
    let Some(rollout) = asked.filter(|_| is_asked_for(question.declared)) else {
        return Verdict::Over;
    };
    match rollout.state {
        RolloutState::Succeeded => Verdict::Over,
        RolloutState::Requested => under_way(question, rollout),
        RolloutState::Failed if rollout.revision == question.revision => {
            let message = rollout.message.clone().unwrap_or_default();
            Verdict::Failed(rollout.cause.unwrap_or(Cause::Failed), message)
        }
        RolloutState::Failed | RolloutState::Superseded => again(question),
    }
}

/// It was not found good enough before, and is tried once more without being moved.
fn again(question: Question<'_>) -> Verdict {
    let primary = question.service.primary();
    match (question.alarms, primary) {
        (Alarms::Active(..), _) => Verdict::Held,
        (_, Some(primary)) if !question.declared.bake.is_zero() => match unrest(primary) {
            Some(why) => Verdict::Unsteady(why, false),
            None => Verdict::Begins(counts(primary)),
        },
        (alarms, _) => ended(alarms),
    }
}

fn under_way(question: Question<'_>, rollout: &Rollout) -> Verdict {
    let Question {
        declared,
        service,
        alarms,
        now,
        ..
    } = question;
    if let Alarms::Active(name, alarm) = alarms {
        return Verdict::Failed(Cause::Alarm, sentence(name, alarm));
    }
    let Some(primary) = service.primary().filter(|_| !declared.bake.is_zero()) else {
        return ended(alarms);
    };
    let ours = rollout.deployment_id.as_ref() == Some(&primary.id);
    let since = rollout.steady_since.filter(|_| ours);
    let unrest = match (since, rollout.steady_with) {
        (Some(_), Some(before)) => fallen(primary, before),
        _ => unrest(primary),
    };
    match (unrest, since) {
        (Some(why), since) => match late(question, rollout) {
            Some(limit) => {
                let target = short(question.target);
                let message = format!("{target} did not stay steady within {limit:#}: {why}");
                Verdict::Failed(Cause::Timeout, message)
            }
            None => Verdict::Unsteady(why, since.is_some()),
        },
        (None, None) => Verdict::Begins(counts(primary)),
        (None, Some(since)) => {
            let until = end(since, declared.bake);
            match ended(alarms) {
                Verdict::Over if now < until => Verdict::Bakes(until),
                verdict => verdict,
            }
        }
    }
}

/// What is left to say once it was steady for long enough.
fn ended(alarms: &Alarms<'_>) -> Verdict {
    match alarms {
        Alarms::Quiet => Verdict::Over,
        Alarms::Unknown(why) => Verdict::Doubt(why.clone()),
        Alarms::Absent(_) => Verdict::Missing,
        Alarms::Unread => Verdict::Unread,
        Alarms::Active(..) => Verdict::Held,
    }
}

/// When a bake ends that began then.
pub fn end(since: Timestamp, bake: SignedDuration) -> Timestamp {
    since.checked_add(bake).unwrap_or(Timestamp::MAX)
}

/// The whole time that a rollout has to become steady for good, if it is over.
fn late(question: Question<'_>, rollout: &Rollout) -> Option<SignedDuration> {
    let Question { declared, now, .. } = question;
    let limit = declared.timeout.saturating_add(declared.bake);
    let limit = limit.saturating_add(planned(question.service));
    (now.duration_since(rollout.since()) > limit).then_some(limit)
}

fn counts(primary: &Deployment) -> Counts {
    Counts {
        running: primary.running_count,
        failed: primary.failed_tasks,
    }
}

/// Why a deployment is not steady, if so.
fn unrest(primary: &Deployment) -> Option<String> {
    let rests = primary.running_count >= primary.desired_count && primary.pending_count == 0;
    (!rests).then(|| running(primary))
}

/// Why a deployment is not steady any more that was with these tasks, if so.
fn fallen(primary: &Deployment, before: Counts) -> Option<String> {
    if primary.failed_tasks > before.failed {
        let failed = primary.failed_tasks - before.failed;
        return Some(format!("{} ({failed} failed)", running(primary)));
    }
    let wanted = before.running.min(primary.desired_count);
    (primary.running_count < wanted).then(|| running(primary))
}

fn running(primary: &Deployment) -> String {
    format!(
        "{} of {} tasks run",
        primary.running_count, primary.desired_count
    )
}

#[cfg(test)]
mod tests;
