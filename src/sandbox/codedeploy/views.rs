//! How deployments and their targets are shown.

use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::json::{epoch, without_nulls};
use super::deployment::{Deployment, Event, Revision, Status};

/// `deploymentInfo`
pub(super) fn info(it: &Deployment) -> Value {
    let error = it
        .error
        .as_ref()
        .map(|(code, message)| json!({"code": code, "message": message}));
    tidy(json!({
        "applicationName": it.application,
        "deploymentGroupName": it.group,
        "deploymentConfigName": it.config,
        "deploymentId": it.id,
        "previousRevision": it.previous.as_ref().map(Revision::view),
        "revision": it.revision.as_ref().map(Revision::view),
        "status": it.status.name(),
        "errorInformation": error,
        "createTime": epoch(it.created),
        "startTime": it.started.map(epoch),
        "completeTime": it.completed.map(epoch),
        "deploymentOverview": overview(it),
        "description": it.description,
        "creator": if it.undoes.is_some() { "codeDeployRollback" } else { "user" },
        "ignoreApplicationStopFailures": false,
        "autoRollbackConfiguration": it.setting("autoRollbackConfiguration"),
        "updateOutdatedInstancesOnly": false,
        "rollbackInfo": rollback(it),
        "deploymentStyle": it.setting("deploymentStyle"),
        "instanceTerminationWaitTimeStarted": it.terminating,
        "blueGreenDeploymentConfiguration": it.setting("blueGreenDeploymentConfiguration"),
        "loadBalancerInfo": it.setting("loadBalancerInfo"),
        "fileExistsBehavior": "DISALLOW",
        "deploymentStatusMessages": [],
        "computePlatform": "ECS",
    }))
}

/// How many targets are how far: told once it is over.
fn overview(it: &Deployment) -> Value {
    if !it.status.is_over() {
        return Value::Null;
    }
    let succeeded = u8::from(it.status == Status::Succeeded);
    json!({
        "Pending": 0,
        "InProgress": 0,
        "Succeeded": succeeded,
        "Failed": 1 - succeeded,
        "Skipped": 0,
        "Ready": 0,
    })
}

fn rollback(it: &Deployment) -> Value {
    let (id, undoes, by) = (&it.id, &it.undoes, &it.undone_by);
    match (undoes, by) {
        (Some(undoes), _) => json!({
            "rollbackTriggeringDeploymentId": undoes,
            "rollbackMessage": format!("Deployment {id} is triggered to roll back deployment {undoes}."),
        }),
        (None, Some(by)) => json!({
            "rollbackDeploymentId": by,
            "rollbackMessage": format!(
                "Deployment {id} terminated. Automatic rollback is triggered with a DeploymentId {by}."
            ),
        }),
        (None, None) => Value::Null,
    }
}

/// `deploymentTarget`
pub(super) fn target(cx: &Cx<'_>, it: &Deployment) -> Value {
    let status = match it.status {
        Status::Created | Status::Queued => "Pending",
        Status::InProgress => "InProgress",
        Status::Ready => "Ready",
        Status::Succeeded => "Succeeded",
        Status::Failed | Status::Stopped => "Failed",
    };
    let (cluster, service) = &it.place;
    let arn = format!(
        "arn:aws:ecs:{}:{}:service/{cluster}/{service}",
        cx.region, cx.account
    );
    let events: Vec<Value> = it.events.iter().map(event).collect();
    json!({
        "deploymentTargetType": "ECSTarget",
        "ecsTarget": {
            "deploymentId": it.id,
            "targetId": it.target(),
            "targetArn": arn,
            "lastUpdatedAt": epoch(it.updated),
            "lifecycleEvents": events,
            "status": status,
            "taskSetsInfo": it.sets,
        },
    })
}

fn event(it: &Event) -> Value {
    let diagnostics = it.trouble.as_ref().map(|trouble| {
        json!({
            "errorCode": "UnknownError",
            "scriptName": it.function.as_deref().unwrap_or_default(),
            "message": trouble,
            "logTail": "",
        })
    });
    tidy(json!({
        "lifecycleEventName": it.name,
        "diagnostics": diagnostics,
        "startTime": it.started.map(epoch),
        "endTime": it.ended.map(epoch),
        "status": it.status,
    }))
}

/// CodeDeploy leaves out what it does not know.
fn tidy(view: Value) -> Value {
    match view {
        Value::Object(members) => Value::Object(without_nulls(&members)),
        other => other,
    }
}
