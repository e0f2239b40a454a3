//! ECS's records of a service's deployments, and which of them tells of what was asked for.

use crate::model::known::Known;
use crate::model::ledger::{Rollout, RolloutState};
use crate::model::observed::{DeploymentRecord, Service};

/// ECS's newest record of the service, whatever it is of.
pub fn newest_of_all(service: &Service) -> Option<&DeploymentRecord> {
    service.records.as_ref()?.present()?.first()
}

/// ECS's record of the deployment of `target` that goes on, where there is one that was asked for.
pub fn open_record<'a>(
    service: &'a Service,
    target: &str,
    rollout: Option<&Rollout>,
) -> Option<&'a DeploymentRecord> {
    let asked = rollout.filter(|rollout| rollout.target == target);
    let found = newest_record(service, target, asked).ok().flatten();
    found.filter(|record| !record.is_final())
}

/// The newest record of the target that is not older than what was asked for.
pub(super) fn newest_record<'a>(
    service: &'a Service,
    target: &str,
    asked: Option<&Rollout>,
) -> Result<Option<&'a DeploymentRecord>, String> {
    Ok(records(service)?
        .iter()
        .filter(|record| asked.is_none_or(|rollout| !rollout.seen.contains(&record.arn)))
        .find(|record| record.task_definition.as_deref() == Some(target)))
}

/// ECS's records of a service's deployments, or why they are not known.
pub(super) fn records(service: &Service) -> Result<&[DeploymentRecord], String> {
    match &service.records {
        Some(Known::Present(records)) => Ok(records),
        Some(Known::Absent) => Ok(&[]),
        Some(Known::Unknown(why)) => Err(why.clone()),
        None => Err(format!(
            "service {}: its deployment records were not read",
            service.name
        )),
    }
}

/// Whether a newer record than `record` is of another definition.
pub(super) fn superseded_by_other(service: &Service, record: &DeploymentRecord) -> bool {
    let Some(Known::Present(records)) = &service.records else {
        return false;
    };
    records
        .iter()
        .take_while(|newer| newer.arn != record.arn)
        .any(|newer| newer.task_definition != record.task_definition)
}

/// Whether a record is of what this rollout asked for, and that may go on.
pub fn is_of(rollout: &Rollout, record: &DeploymentRecord) -> bool {
    matches!(
        rollout.state,
        RolloutState::Requested | RolloutState::Failed
    ) && record.task_definition.as_ref() == Some(&rollout.target)
        && !rollout.seen.contains(&record.arn)
}

/// How a deployment ended, as its record tells.
pub(super) enum Ended {
    No,
    Succeeded,
    Failed,
    Stopped,
}

impl Ended {
    /// A status that is not known here is "still going".
    pub(super) fn of(record: &DeploymentRecord) -> Self {
        match record.status.as_str() {
            "SUCCESSFUL" => Ended::Succeeded,
            "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED" | "FAILED" => Ended::Failed,
            "STOPPED" => Ended::Stopped,
            _ => Ended::No,
        }
    }
}
