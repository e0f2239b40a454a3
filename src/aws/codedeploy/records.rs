//! One deployment of CodeDeploy's as ECS would tell of it.

use std::collections::BTreeMap;

use aws_sdk_codedeploy::types::{
    DeploymentInfo, DeploymentStatus, EcsTarget, LifecycleEvent, LifecycleEventStatus, TargetLabel,
    TrafficRoutingConfig,
};
use jiff::SignedDuration;
use serde_json::Value;

use crate::aws::time::timestamp;
use crate::model::observed::{DeploymentRecord, Hook};
use crate::model::plan::CODE_DEPLOY_DESCRIPTION as OWN;

/// The deployments without those that only roll another one back, in the same order.
pub(super) fn of(found: &[DeploymentInfo]) -> Vec<DeploymentRecord> {
    let by_id: BTreeMap<&str, &DeploymentInfo> = found
        .iter()
        .filter_map(|info| Some((info.deployment_id()?, info)))
        .collect();
    // CodeDeploy notes it with either of the two, and not in one moment.
    let undone_by = |info: &DeploymentInfo| {
        let own = info
            .rollback_info()
            .and_then(|it| it.rollback_deployment_id());
        let own = own.and_then(|id| by_id.get(id).copied());
        own.or_else(|| found.iter().find(|it| undoes(it) == info.deployment_id()))
    };
    found
        .iter()
        .filter(|info| undoes(info).is_none())
        .map(|info| record(info, undone_by(info)))
        .collect()
}

/// The deployment that this one rolls back, if it does.
fn undoes(info: &DeploymentInfo) -> Option<&str> {
    let id = info.rollback_info()?.rollback_triggering_deployment_id()?;
    (!id.is_empty() && Some(id) != info.deployment_id()).then_some(id)
}

fn record(info: &DeploymentInfo, undone_by: Option<&DeploymentInfo>) -> DeploymentRecord {
    let id = info.deployment_id().unwrap_or_default().to_owned();
    let ready = info.status() == Some(&DeploymentStatus::Ready);
    let going_back = info.rollback_info().is_some_and(|it| {
        let named = it.rollback_deployment_id();
        named.is_some_and(|id| !id.is_empty())
    });
    DeploymentRecord {
        status: match undone_by {
            Some(other) => match other.status() {
                Some(DeploymentStatus::Succeeded) => "ROLLBACK_SUCCESSFUL",
                Some(DeploymentStatus::Failed | DeploymentStatus::Stopped) => "ROLLBACK_FAILED",
                _ => "ROLLBACK_IN_PROGRESS",
            },
            None if going_back => "ROLLBACK_IN_PROGRESS",
            None => status(info.status()),
        }
        .to_owned(),
        status_reason: info.error_information().map(|it| {
            let code = it.code().map_or("", |code| code.as_str());
            format!("{code}: {}", it.message().unwrap_or_default())
        }),
        task_definition: definition(info),
        created_at: timestamp(info.create_time()),
        finished_at: timestamp(info.complete_time()),
        stage: match info.status() {
            Some(DeploymentStatus::Ready) => Some("READY".to_owned()),
            _ if info.instance_termination_wait_time_started() => {
                Some("TERMINATION_WAIT".to_owned())
            }
            _ => None,
        },
        // It waits in its status, of which there is one for each deployment.
        hooks: Vec::from_iter(ready.then(|| Hook {
            id: id.clone(),
            kind: "PAUSE".to_owned(),
            status: "AWAITING_ACTION".to_owned(),
            ..Hook::default()
        })),
        arn: id,
        ..DeploymentRecord::default()
    }
}

/// ECS's word for it; a status that is not known here is passed on, as one that goes on.
fn status(status: Option<&DeploymentStatus>) -> &str {
    match status {
        Some(DeploymentStatus::Created | DeploymentStatus::Queued) => "PENDING",
        Some(DeploymentStatus::InProgress | DeploymentStatus::Baking | DeploymentStatus::Ready) => {
            "IN_PROGRESS"
        }
        Some(DeploymentStatus::Succeeded) => "SUCCESSFUL",
        Some(DeploymentStatus::Failed) => "FAILED",
        Some(DeploymentStatus::Stopped) => "STOPPED",
        Some(other) => other.as_str(),
        None => "PENDING",
    }
}

/// The task definition that it rolls out: as its AppSpec says, or where CodeDeploy tells only the
/// AppSpec's hash, as evenkeel's own description of it does.
fn definition(info: &DeploymentInfo) -> Option<String> {
    let revision = info.revision();
    let content = revision.and_then(|it| it.app_spec_content()?.content());
    let told = content.and_then(|content| serde_json::from_str::<Value>(content).ok());
    let named = told.as_ref().and_then(|spec| {
        let mut resources = spec["Resources"].as_array()?.iter();
        resources.find_map(|it| it["TargetService"]["Properties"]["TaskDefinition"].as_str())
    });
    let described = || {
        let own = info.description()?.strip_prefix(OWN)?;
        own.split_whitespace().last()
    };
    let arn = named.or_else(described)?;
    arn.contains(":task-definition/").then(|| arn.to_owned())
}

/// Adds how far it came, and what failed on the way. What a function wrote to its log stays there.
pub(super) fn add_target(record: &mut DeploymentRecord, target: &EcsTarget) {
    let events = target.lifecycle_events();
    let is = |wanted: LifecycleEventStatus| {
        move |event: &&LifecycleEvent| event.status() == Some(&wanted)
    };
    let name = |event: &LifecycleEvent| event.lifecycle_event_name().map(str::to_owned);
    let at = events.iter().find(is(LifecycleEventStatus::InProgress));
    if record.stage.is_none() && !record.is_final() {
        record.stage = at.and_then(name);
    }
    let mut sets = target.task_sets_info().iter();
    let green = sets.find(|it| it.task_set_label() == Some(&TargetLabel::Green));
    record.traffic_percent = green.map(|it| it.traffic_weight());
    let failed = events.iter().find(is(LifecycleEventStatus::Failed));
    if let Some((failed, name)) = failed.and_then(|it| Some((it, name(it)?))) {
        let says = failed.diagnostics().and_then(|it| it.message());
        let says = says.filter(|says| !says.is_empty());
        let says = says.map_or_else(String::new, |says| format!(" ({says})"));
        let reason = record.status_reason.take().unwrap_or_default();
        record.status_reason = Some(format!("{reason} {name} failed{says}").trim().to_owned());
    }
}

/// How long the old tasks are kept once all traffic goes to the new ones.
pub(super) fn termination_wait(info: &DeploymentInfo) -> SignedDuration {
    let settings = info.blue_green_deployment_configuration();
    let settings = settings.and_then(|it| it.terminate_blue_instances_on_deployment_success());
    let minutes = settings.map_or(0, |it| it.termination_wait_time_in_minutes());
    SignedDuration::from_mins(i64::from(minutes.max(0)))
}

/// How long traffic takes to go over, as the deployment configuration has it.
pub(super) fn shifting(routing: &TrafficRoutingConfig) -> SignedDuration {
    let canary = routing.time_based_canary().map(|it| it.canary_interval());
    let linear = routing.time_based_linear().map(|it| {
        let percent = it.linear_percentage().clamp(1, 100);
        it.linear_interval().saturating_mul((99 / percent).max(0))
    });
    let minutes = canary.unwrap_or(0).max(0).max(linear.unwrap_or(0));
    SignedDuration::from_mins(i64::from(minutes))
}
