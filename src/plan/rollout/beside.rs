//! Deployments that go on beside the PRIMARY, whose place they take in a later stage.

use jiff::Timestamp;

use super::words::{cause_of, explain_record, failure, is_going_back};
use super::{
    Ended, Question, SETTLING, Standing, back, is_of, newest_of_all, newest_record, pace, short,
};
use crate::model::ledger::Rollout;
use crate::model::observed::{DeploymentRecord, Service};

/// Where the target runs and something else is about to take its place: a newer deployment goes on
/// beside it, which becomes the PRIMARY in a later stage. One of ours is preempted, as any other
/// whose target is not wanted any more.
pub(super) fn about_to_go(question: Question<'_>) -> Option<Standing> {
    let Question { service, now, .. } = question;
    let newest = newest_of_all(service).filter(|_| service.is_staged())?;
    let other = newest.task_definition.as_deref();
    // CodeDeploy tells no definition of others' deployments.
    let unknown = other.is_none() && !service.is_under_code_deploy();
    if unknown || other == Some(question.target) || !matches!(Ended::of(newest), Ended::No) {
        return None;
    }
    let Some(rollout) = question.rollout.filter(|rollout| is_of(rollout, newest)) else {
        let since = newest.created_at.unwrap_or(now);
        let overdue = now.duration_since(since) > question.limit();
        let message = format!(
            "somebody else's deployment of {} is in progress",
            other.map_or(newest.arn.as_str(), short)
        );
        return Some(Standing::Foreign(message, overdue));
    };
    let lately = |at: Timestamp| now.duration_since(at) < SETTLING;
    if is_going_back(newest) || rollout.stopped_at.is_some_and(lately) {
        let waits = back::is_rolled_back(question, rollout);
        return Some(match waits {
            Standing::Failed(..) => Standing::Away,
            waits => waits,
        });
    }
    Some(Standing::Away)
}

/// Whether a deployment in stages goes on that is not the PRIMARY yet.
pub(super) fn is_beside(service: &Service, record: &DeploymentRecord) -> bool {
    let newest = newest_of_all(service) == Some(record);
    service.is_staged() && newest && !is_going_back(record)
}

/// Where another try of what the PRIMARY runs stands, whose tasks are beside it still.
pub(super) fn asked_and_beside(question: Question<'_>, rollout: &Rollout) -> Option<Standing> {
    let Question {
        service, target, ..
    } = question;
    let record = match newest_record(service, target, Some(rollout)) {
        Ok(record) => record.filter(|_| service.is_staged())?,
        Err(why) => return Some(Standing::Doubt(why)),
    };
    match Ended::of(record) {
        Ended::No => Some(beside(question, rollout, record)),
        Ended::Failed | Ended::Stopped => {
            let message = explain_record(record);
            Some(failure(Some(rollout), message, cause_of(record)))
        }
        Ended::Succeeded => None,
    }
}

/// What was asked for goes on beside the PRIMARY, whose place it takes in a later stage.
pub(super) fn beside(
    question: Question<'_>,
    rollout: &Rollout,
    record: &DeploymentRecord,
) -> Standing {
    let Question { target, now, .. } = question;
    if let Some(paused) = pace::paused(target, Some(record)) {
        return paused;
    }
    let (limit, stage) = (question.limit(), pace::stage(Some(record)));
    if !rollout.resumes(Some(record)) && now.duration_since(rollout.since()) > limit {
        let message = format!(
            "{}{stage} did not become steady within {limit:#}",
            short(target)
        );
        return back::overdue(question, rollout, Some(record), message);
    }
    Standing::Underway(format!("rolling out {}{stage}", short(target)))
}
