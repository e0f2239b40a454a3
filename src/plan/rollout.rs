//! Where a service's rollout stands. The truth is ECS's own record, not counts.
//!
//! DescribeServiceDeployments keeps what became of each deployment
//! (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>). Where
//! there is no record (old, purged, another server), `deployments[]` speaks: a deployment that
//! the circuit breaker gave up is FAILED there, or gone with the service back on what it ran.

mod back;
mod beside;
mod pace;
mod records;
mod words;

use jiff::{SignedDuration, Timestamp};

use super::bake::is_baking;
pub use back::judge_back;
use beside::{about_to_go, asked_and_beside, beside, is_beside};
pub use pace::planned;
use records::{Ended, newest_record, records, superseded_by_other};
pub use records::{is_of, newest_of_all, open_record};
pub use words::is_going_back;
use words::{cause_of, explain, explain_record, failure};

use super::draft::SETTLING;
use crate::model::known::Known;
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::observed::{Deployment, DeploymentRecord, Service};
use crate::resource::status::Cause;

/// What ECS and the ledger say of a service and the definition it shall run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs the target, and ECS says so; with the deployment that brought it.
    Done(Option<String>),
    /// It is on its way.
    Underway(String),
    /// The rollout failed: why, in a sentence and in a word.
    Failed(String, Cause),
    /// Its time is up, and ECS is to stop the service deployment of this ARN, which brings back what
    /// ran before: a sentence, and the ARN.
    Overdue(String, String),
    /// Somebody else's deployment goes on; whether for longer than a deployment may take.
    Foreign(String, bool),
    /// Somebody else's deployment took the place of ours, and ended.
    Superseded,
    /// It has to be pointed at the target; once more, where it is but the deployment failed and a
    /// person asked for another try.
    Away,
    /// Nobody knows.
    Doubt(String),
}

/// The question: a service, its target, what was asked of it before.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// As observed.
    pub service: &'a Service,
    /// Task definition ARN it shall run.
    pub target: &'a str,
    /// The newest rollout that was asked for.
    pub rollout: Option<&'a Rollout>,
    /// The revision that is judged: what failed as part of another says nothing about it.
    pub revision: u64,
    /// How long a deployment may take.
    pub timeout: SignedDuration,
    /// Whether ECS is asked to stop a deployment that takes longer.
    pub stops: bool,
    /// Now.
    pub now: Timestamp,
}

/// Answers it.
pub fn judge(question: Question<'_>) -> Standing {
    let Question {
        service,
        target,
        rollout,
        ..
    } = question;
    let asked = rollout.filter(|rollout| rollout.target == target);
    if service.task_definition == target {
        return on_target(question, asked);
    }
    if let Some(rollout) = asked {
        match rollout.state {
            RolloutState::Failed if rollout.revision == question.revision => {
                let message = rollout.message.clone().unwrap_or_default();
                return Standing::Failed(message, rollout.cause.unwrap_or(Cause::Failed));
            }
            RolloutState::Requested => {
                match asked_and_away(question, rollout) {
                    // What took its place may go on still.
                    Some(Standing::Superseded) => {
                        return match foreign(question, None) {
                            Some(goes_on) => goes_on,
                            None => Standing::Superseded,
                        };
                    }
                    Some(standing) => return standing,
                    None => {}
                }
            }
            RolloutState::Failed | RolloutState::Succeeded | RolloutState::Superseded => {}
        }
    }
    away(question)
}

/// The PRIMARY has the target: is it steady?
fn on_target(question: Question<'_>, asked: Option<&Rollout>) -> Standing {
    let Question {
        service, target, ..
    } = question;
    let Some(primary) = service.primary() else {
        return Standing::Underway(format!(
            "waiting for ECS to show a deployment of {}",
            short(target)
        ));
    };
    if let Some(rollout) = asked.filter(|rollout| is_not_there_yet(rollout, primary)) {
        if let Some(standing) = asked_and_beside(question, rollout) {
            return standing;
        }
        return match settling(rollout, question.now) {
            true => Standing::Underway(format!(
                "waiting for ECS to show a new deployment of {}",
                short(target)
            )),
            false => Standing::Away,
        };
    }
    // Taken back by a person who asked for another try, overtaken by somebody else, or part of
    // another revision: what became of it says nothing about the next try.
    let again = asked.is_some_and(|rollout| match rollout.state {
        RolloutState::Superseded => true,
        RolloutState::Failed => rollout.revision != question.revision,
        RolloutState::Requested | RolloutState::Succeeded => false,
    });
    let failed = |standing: Standing| match again {
        true => Standing::Away,
        false => standing,
    };
    let settled = asked.is_some_and(|rollout| {
        (rollout.state == RolloutState::Succeeded || is_baking(rollout))
            && rollout.deployment_id.as_ref() == Some(&primary.id)
    });
    let completed = primary
        .rollout_state
        .as_deref()
        .is_none_or(|state| state == "COMPLETED");
    if settled && completed {
        return Standing::Done(Some(primary.id.clone()));
    }
    if primary.rollout_state.as_deref() == Some("FAILED") {
        return failed(failure(
            asked,
            explain(primary),
            words::cause_of_deployment(primary),
        ));
    }
    if service.records.is_none() && asked.is_some_and(|rollout| goes_on(service, rollout)) {
        return underway(question, primary, asked, None);
    }
    let record = match newest_record(service, target, asked) {
        Ok(record) => record,
        Err(why) => return Standing::Doubt(why),
    };
    let standing = match record.map(|record| (record, Ended::of(record))) {
        Some((_, Ended::Succeeded)) if completed => Standing::Done(Some(primary.id.clone())),
        Some((record, Ended::Failed | Ended::Stopped)) if asked.is_some() => {
            failure(asked, explain_record(record), cause_of(record))
        }
        Some((record, Ended::No)) => underway(question, primary, asked, Some(record)),
        // Without a record; or somebody else's newer deployment of it failed, and ECS went back to
        // this one.
        _ if is_steady(question, primary, asked) => Standing::Done(Some(primary.id.clone())),
        // CodeDeploy tells no definition of others' deployments: what goes on is not taken for the
        // target's.
        _ => match about_to_go(question).filter(|_| service.is_under_code_deploy()) {
            Some(standing) => standing,
            None => underway(question, primary, asked, None),
        },
    };
    match standing {
        Standing::Failed(..) => failed(standing),
        Standing::Done(_) => about_to_go(question).unwrap_or(standing),
        other => other,
    }
}

/// Whether a rollout that was asked for shows to have failed, and nobody wrote that down yet.
pub fn has_failed(question: Question<'_>) -> bool {
    let asked = question.rollout.is_some_and(|rollout| {
        rollout.state == RolloutState::Requested && rollout.target == question.target
    });
    asked && matches!(judge(question), Standing::Failed(..))
}

/// Whether the very deployment that a rollout led to is the PRIMARY and in progress. ECS's records
/// of it say no more then: it has ended once ECS calls it COMPLETED or FAILED, or shows another.
pub fn goes_on(service: &Service, rollout: &Rollout) -> bool {
    let ours = |primary: &Deployment| {
        rollout.deployment_id.as_ref() == Some(&primary.id)
            && primary.task_definition == rollout.target
            && primary.rollout_state.as_deref() == Some("IN_PROGRESS")
    };
    rollout.state == RolloutState::Requested && service.primary().is_some_and(ours)
}

/// A new deployment of what the service was pointed at already was asked for, and the one that
/// ECS shows is from before.
fn is_not_there_yet(rollout: &Rollout, primary: &Deployment) -> bool {
    rollout.forced && rollout.state == RolloutState::Requested && rollout.seen.contains(&primary.id)
}

/// Whether a deployment has ended well, where ECS keeps no record of it: records go back 90 days.
fn is_steady(question: Question<'_>, primary: &Deployment, asked: Option<&Rollout>) -> bool {
    let Question { service, now, .. } = question;
    // Of what goes through stages ECS keeps a record, which may not show yet.
    let unrecorded = service.is_staged()
        && asked.is_some_and(|rollout| {
            rollout.state == RolloutState::Requested && settling(rollout, now)
        });
    let runs = primary.running_count >= primary.desired_count && primary.pending_count == 0;
    match primary.rollout_state.as_deref() {
        // A task that is replaced long afterwards makes no deployment of it.
        Some("COMPLETED") => runs || ours(asked, primary).is_none(),
        Some(_) => false,
        None => runs && !unrecorded && !is_in_progress(service, primary),
    }
}

/// Whether ECS is still at a deployment. Behind a Classic Load Balancer it does not say so, but
/// lists the one before as well until that has drained
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html>).
fn is_in_progress(service: &Service, primary: &Deployment) -> bool {
    match primary.rollout_state.as_deref() {
        Some(state) => state == "IN_PROGRESS",
        None => match newest_of_all(service).filter(|_| service.is_staged()) {
            Some(record) => !record.is_final(),
            None => service.deployments.len() > 1,
        },
    }
}

/// What was asked for, unless it ended well and somebody deployed the same again since.
fn ours<'a>(asked: Option<&'a Rollout>, primary: &Deployment) -> Option<&'a Rollout> {
    asked.filter(|rollout| {
        rollout.state != RolloutState::Succeeded
            || rollout.deployment_id.as_ref() == Some(&primary.id)
    })
}

/// Still going on, unless its time is up; `record` is ECS's own of it, where there is one.
fn underway(
    question: Question<'_>,
    primary: &Deployment,
    asked: Option<&Rollout>,
    record: Option<&DeploymentRecord>,
) -> Standing {
    let Question { target, now, .. } = question;
    if let Some(paused) = pace::paused(target, record) {
        return paused;
    }
    let ours = ours(asked, primary);
    let since = ours
        .filter(|rollout| rollout.state == RolloutState::Requested)
        .map(Rollout::since)
        .or(primary.created_at)
        .unwrap_or(now);
    let (limit, stage) = (question.limit(), pace::stage(record));
    // It went on just now, which is not noted yet.
    let resumes = ours.is_some_and(|rollout| rollout.resumes(record));
    if !resumes && now.duration_since(since) > limit {
        let message = format!(
            "{}{stage} did not become steady within {limit:#}: {} of {} tasks run, {} failed",
            short(target),
            primary.running_count,
            primary.desired_count,
            primary.failed_tasks
        );
        // Nothing that evenkeel asked for is rejected on account of what somebody else did.
        return match ours {
            Some(rollout) => back::overdue(question, rollout, record, message),
            None => Standing::Foreign(foreign_message(primary), true),
        };
    }
    Standing::Underway(format!(
        "rolling out {}{stage}: {} of {} tasks run",
        short(target),
        primary.running_count,
        primary.desired_count
    ))
}

/// We asked for the target and the PRIMARY is something else. `None`: look at it afresh.
fn asked_and_away(question: Question<'_>, rollout: &Rollout) -> Option<Standing> {
    let Question {
        service,
        target,
        now,
        ..
    } = question;
    let record = match newest_record(service, target, Some(rollout)) {
        Ok(record) => record,
        Err(why) => return Some(Standing::Doubt(why)),
    };
    if let Some(record) = record {
        return Some(match Ended::of(record) {
            // The service was read a moment before its record.
            Ended::Succeeded if service.is_staged() && ended_lately(record, now) => {
                Standing::Underway(format!("waiting for ECS to show {}", short(target)))
            }
            Ended::Succeeded => Standing::Superseded,
            // CodeDeploy ends none because another begins.
            Ended::Stopped
                if !service.is_under_code_deploy() && superseded_by_other(service, record) =>
            {
                Standing::Superseded
            }
            Ended::Failed | Ended::Stopped => {
                failure(Some(rollout), explain_record(record), cause_of(record))
            }
            Ended::No if is_beside(service, record) => beside(question, rollout, record),
            Ended::No if is_going_back(record) || rolls_back(service, rollout) => {
                back::is_rolled_back(question, rollout)
            }
            // The service was moved away while ours was under way: the record lags behind.
            Ended::No => match settling(rollout, now) {
                true => {
                    Standing::Underway(format!("waiting for ECS to settle on {}", short(target)))
                }
                false => Standing::Superseded,
            },
        });
    }
    let ours = service.deployments.iter().find(|deployment| {
        deployment.task_definition == target && !rollout.seen.contains(&deployment.id)
    });
    match ours {
        Some(ours) if ours.rollout_state.as_deref() == Some("FAILED") => {
            Some(words::failed(rollout, ours))
        }
        // A task set alone does not tell what became of its deployment.
        Some(_) if service.is_under_code_deploy() => Some(match settling(rollout, now) {
            true => Standing::Underway(format!("waiting for CodeDeploy to show {}", short(target))),
            false => Standing::Doubt(format!(
                "{} has a task set, and the deployment group shows no deployment of it",
                short(target)
            )),
        }),
        Some(ours) if rolls_back(service, rollout) => Some(words::failed(rollout, ours)),
        Some(_) => Some(Standing::Superseded),
        None if settling(rollout, now) => Some(Standing::Underway(format!(
            "waiting for ECS to show {}",
            short(target)
        ))),
        // It was seen under way, left no trace, and the service is back on what it ran.
        None if rollout.deployment_id.is_some() => {
            let back = rollout.previous.as_deref() == Some(service.task_definition.as_str());
            Some(if back {
                let message = format!(
                    "the deployment of {} disappeared and the service is back on {}",
                    short(target),
                    short(&service.task_definition)
                );
                failure(Some(rollout), message, Cause::Failed)
            } else {
                Standing::Superseded
            })
        }
        // The request never arrived.
        None => None,
    }
}

fn ended_lately(record: &DeploymentRecord, now: Timestamp) -> bool {
    let lately = |at: Timestamp| now.duration_since(at) < SETTLING;
    record.finished_at.is_some_and(lately)
}

fn settling(rollout: &Rollout, now: Timestamp) -> bool {
    now.duration_since(rollout.requested_at) < SETTLING
}

/// Nothing of ours goes on toward the target: may the service be moved? What was there before is
/// noted with the request, so it has to be known.
fn away(question: Question<'_>) -> Standing {
    if let Some(goes_on) = foreign(question, question.rollout) {
        return goes_on;
    }
    records(question.service).map_or_else(Standing::Doubt, |_| Standing::Away)
}

/// A deployment in progress that is not of `rollout`.
fn foreign(question: Question<'_>, rollout: Option<&Rollout>) -> Option<Standing> {
    let Question { service, now, .. } = question;
    let primary = service.primary()?;
    if !is_in_progress(service, primary) {
        return None;
    }
    // A rollout of ours toward an older target, or ECS rolling one of ours back, is preempted: a
    // fix never queues behind the thing it fixes.
    let open = newest_of_all(service).filter(|_| service.is_under_code_deploy());
    let ours = match open.filter(|record| !record.is_final()) {
        // CodeDeploy's record tells whose it is, not what serves meanwhile.
        Some(record) => {
            is_going_back(record) || rollout.is_some_and(|rollout| is_of(rollout, record))
        }
        None => rollout.is_some_and(|rollout| {
            rollout.target == primary.task_definition || rolls_back(service, rollout)
        }),
    };
    if ours {
        return None;
    }
    let records = service.records.as_ref().and_then(Known::present);
    // A deployment that ECS brings back is older than what goes on.
    let since = records
        .and_then(|records| records.first()?.created_at)
        .max(primary.created_at)
        .unwrap_or(now);
    Some(Standing::Foreign(
        foreign_message(primary),
        now.duration_since(since) > question.limit(),
    ))
}

fn foreign_message(primary: &Deployment) -> String {
    format!(
        "somebody else's deployment of {} is in progress ({})",
        short(&primary.task_definition),
        primary.id
    )
}

/// Whether ECS is bringing the service back to what it ran before `rollout`.
fn rolls_back(service: &Service, rollout: &Rollout) -> bool {
    let Some(primary) = service.primary() else {
        return false;
    };
    let says = primary
        .rollout_state_reason
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let unfinished = matches!(
        rollout.state,
        RolloutState::Requested | RolloutState::Failed
    );
    // A deployment of the same that came up since was somebody's request.
    let was_there = rollout.seen.contains(&primary.id);
    unfinished
        && (says.contains("rolling back")
            || says.contains("rollback")
            || was_there && rollout.previous.as_deref() == Some(primary.task_definition.as_str()))
}

/// `family:revision` of a task definition ARN.
pub fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests;
