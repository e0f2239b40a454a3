//! Why a rollout failed: ECS's sentence, and the word for it.

use super::{Standing, short};
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::observed::{Deployment, DeploymentRecord};
use crate::resource::status::Cause;

/// That a rollout failed: as it was noted when it did, or when ECS was asked to stop it; else in
/// ECS's words.
pub(super) fn failure(asked: Option<&Rollout>, message: String, cause: Cause) -> Standing {
    // What ECS says of one that goes on failing changes with each task.
    let noted = asked
        .filter(|rollout| rollout.stopped_at.is_some() || rollout.state == RolloutState::Failed);
    Standing::Failed(
        noted.and_then(|it| it.message.clone()).unwrap_or(message),
        noted.and_then(|it| it.cause).unwrap_or(cause),
    )
}

/// The same, where only the deployment tells.
pub(super) fn failed(rollout: &Rollout, deployment: &Deployment) -> Standing {
    let cause = cause_of_deployment(deployment);
    failure(Some(rollout), explain(deployment), cause)
}

/// Why a deployment failed, where only `deployments[]` tells.
pub(super) fn cause_of_deployment(deployment: &Deployment) -> Cause {
    let says = deployment.rollout_state_reason.as_deref();
    spoken_of(says.unwrap_or_default()).unwrap_or(Cause::Failed)
}

/// Why a deployment failed, as ECS's record of it tells.
pub(super) fn cause_of(record: &DeploymentRecord) -> Cause {
    let says = [&record.rollback_reason, &record.status_reason];
    let spoken = says.into_iter().flatten().find_map(|says| spoken_of(says));
    spoken.unwrap_or(match record.status.as_str() {
        "STOPPED" => Cause::Stopped,
        _ => Cause::Failed,
    })
}

/// The cause that a sentence of ECS's speaks of.
fn spoken_of(sentence: &str) -> Option<Cause> {
    let sentence = sentence.to_ascii_lowercase();
    let causes = [
        ("alarm", Cause::Alarm),
        ("circuit breaker", Cause::CircuitBreaker),
        ("by user", Cause::Stopped),
        ("manual_stop", Cause::Stopped),
        ("stopservicedeployment", Cause::Stopped),
    ];
    let found = causes.iter().find(|(word, _)| sentence.contains(word));
    found.map(|(_, cause)| *cause)
}

/// Whether ECS is bringing a service back within the record of the deployment that it undoes.
pub fn is_going_back(record: &DeploymentRecord) -> bool {
    matches!(
        record.status.as_str(),
        "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS"
    )
}

pub(super) fn explain(deployment: &Deployment) -> String {
    let reason = deployment
        .rollout_state_reason
        .as_deref()
        .unwrap_or("ECS gave no reason");
    format!(
        "deployment {} of {} failed: {reason} ({} tasks failed)",
        deployment.id,
        short(&deployment.task_definition),
        deployment.failed_tasks
    )
}

pub(super) fn explain_record(record: &DeploymentRecord) -> String {
    let definition = record
        .task_definition
        .as_deref()
        .map_or("its definition", short);
    let reason = record
        .rollback_reason
        .as_deref()
        .or(record.status_reason.as_deref())
        .unwrap_or("ECS gave no reason");
    format!(
        "deployment of {definition} ended {}: {reason}",
        record.status
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_ecs_words() {
        let record = |status: &str, says: Option<&str>| DeploymentRecord {
            status: status.to_owned(),
            status_reason: says.map(str::to_owned),
            ..DeploymentRecord::default()
        };
        let breaker =
            "Service deployment rolled back because the circuit breaker threshold was exceeded.";
        let by_hand = "Service deployment rolled back by user.";
        let alarm = "Service deployment rolled back because of 1 alarm(s) in ALARM state.";
        for (status, says, cause) in [
            ("ROLLBACK_SUCCESSFUL", Some(breaker), Cause::CircuitBreaker),
            ("ROLLBACK_SUCCESSFUL", Some(by_hand), Cause::Stopped),
            ("ROLLBACK_FAILED", Some(alarm), Cause::Alarm),
            ("STOPPED", None, Cause::Stopped),
            ("ROLLBACK_SUCCESSFUL", None, Cause::Failed),
        ] {
            assert_eq!(cause_of(&record(status, says)), cause, "{status} {says:?}");
        }
    }
}
