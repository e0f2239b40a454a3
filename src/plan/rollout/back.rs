//! Going back: ECS brings a service back by itself, is asked to, or has done neither.

use super::words::{failure, is_going_back};
use super::{
    Question, SETTLING, Standing, is_in_progress, judge, newest_record, records, rolls_back,
    settling, short,
};
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::observed::{DeploymentRecord, Service};
use crate::resource::status::Cause;

/// Answers where a service stands that shall run again what it ran before. What ECS does by itself
/// is waited for, wherever it leads; any other rollout of ours is preempted.
pub fn judge_back(question: Question<'_>) -> Standing {
    let Question {
        service,
        target,
        rollout,
        now,
        ..
    } = question;
    let Some(before) = rollout.filter(|rollout| rollout.target != target) else {
        return judge(question);
    };
    let there = service.task_definition == target;
    if there && before.state == RolloutState::Requested && settling(before, now) {
        let message = format!("waiting for ECS to show {}", short(&before.target));
        return Standing::Underway(message);
    }
    if !brings_back(service, before) {
        return judge(question);
    }
    match is_rolled_back(question, before) {
        // It leads elsewhere, and has had its time.
        Standing::Failed(..) if !there => {
            records(service).map_or_else(Standing::Doubt, |_| Standing::Away)
        }
        standing => standing,
    }
}

/// ECS is at its own rollback of `rollout`, which has as long as the rollout had.
pub(super) fn is_rolled_back(question: Question<'_>, rollout: &Rollout) -> Standing {
    let service = question.service;
    let timeout = question.limit();
    if !is_overdue(question, rollout) {
        return Standing::Underway(format!("ECS is rolling {} back", short(&rollout.target)));
    }
    let message = format!(
        "ECS's own rollback of {} to {} did not become steady within {timeout:#}",
        short(&rollout.target),
        short(&service.task_definition)
    );
    failure(Some(rollout), message, Cause::Timeout)
}

/// Whether ECS is bringing a service back from `rollout` by itself.
fn brings_back(service: &Service, rollout: &Rollout) -> bool {
    let record = newest_record(service, &rollout.target, Some(rollout));
    if let Ok(Some(record)) = record
        && (service.is_staged() || is_going_back(record))
    {
        return is_going_back(record);
    }
    let primary = service.primary();
    primary.is_some_and(|primary| is_in_progress(service, primary)) && rolls_back(service, rollout)
}

/// Whether ECS's own rollback has taken longer than the rollout itself might.
fn is_overdue(question: Question<'_>, rollout: &Rollout) -> bool {
    let timeout = question.limit();
    let (since, limit) = match rollout.stopped_at {
        Some(at) => (at, timeout),
        None => (rollout.since(), timeout * 2),
    };
    // Where it waited for a person until now, that is not noted yet. Of what leads elsewhere nothing
    // more is noted.
    let noted = rollout.target == question.target;
    let record = newest_record(question.service, &rollout.target, Some(rollout));
    let record = record.ok().flatten().filter(|_| noted);
    !rollout.resumes(record) && question.now.duration_since(since) > limit + SETTLING
}

/// The time of a rollout is up. Where it is to be undone, ECS is asked to do so, once; where ECS
/// does not begin, or knows no such deployment, it has failed as it stands.
pub(super) fn overdue(
    question: Question<'_>,
    rollout: &Rollout,
    record: Option<&DeploymentRecord>,
    message: String,
) -> Standing {
    let open = record.filter(|record| !record.is_final());
    match (rollout.stopped_at, open) {
        (_, Some(record)) if is_going_back(record) => is_rolled_back(question, rollout),
        (None, Some(record)) if question.stops && rollout.state == RolloutState::Requested => {
            Standing::Overdue(message, record.arn.clone())
        }
        (Some(at), Some(_)) if question.now.duration_since(at) < SETTLING => {
            let target = short(question.target);
            Standing::Underway(format!(
                "waiting for ECS to stop its deployment of {target}"
            ))
        }
        _ => failure(Some(rollout), message, Cause::Timeout),
    }
}
