//! What CodeDeploy refuses of a deployment group, and what it fills in.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::json::{Object, list, text};
use super::needed;
use super::traffic::{AT_ONCE, Shift};

/// The longest wait before the blue task set goes: two days.
const LONGEST_WAIT: i64 = 2880;
const ROLLBACK_EVENTS: [&str; 3] = [
    "DEPLOYMENT_FAILURE",
    "DEPLOYMENT_STOP_ON_ALARM",
    "DEPLOYMENT_STOP_ON_REQUEST",
];

/// Cluster and name of the one service that a group deploys to.
pub(super) fn place(members: &Object) -> Result<(String, String), Fault> {
    let wrong = || {
        Fault::client(
            "InvalidECSServiceException",
            "For ECS deployment group, ecsServices must contain exactly one service",
        )
    };
    let [service] = list(members, "ecsServices") else {
        return Err(wrong());
    };
    let part = |member: &str| {
        let found = service[member].as_str().filter(|text| !text.is_empty());
        found.map(str::to_owned).ok_or_else(wrong)
    };
    Ok((part("clusterName")?, part("serviceName")?))
}

/// Checks the members of a group, and puts in what nobody said.
pub(super) fn whole(mut members: Object) -> Result<Object, Fault> {
    let role = needed(
        &members,
        "serviceRoleArn",
        "RoleRequiredException",
        "Role ARN is missing",
    )?;
    if !role.starts_with("arn:aws:iam::") {
        return Err(Fault::client("InvalidRoleException", "Role ARN is invalid"));
    }
    config(text(&members, "deploymentConfigName").unwrap_or(AT_ONCE))?;
    style(&members)?;
    balancer(&members)?;
    members
        .entry("deploymentConfigName")
        .or_insert_with(|| AT_ONCE.into());
    let given = members.get("blueGreenDeploymentConfiguration");
    let filled = blue_green(given.unwrap_or(&Value::Null))?;
    members.insert("blueGreenDeploymentConfiguration".to_owned(), filled);
    let given = members.get("autoRollbackConfiguration");
    let filled = auto_rollback(given.unwrap_or(&Value::Null))?;
    members.insert("autoRollbackConfiguration".to_owned(), filled);
    Ok(members)
}

/// Whether there is such a deployment configuration for ECS.
pub(super) fn config(name: &str) -> Result<(), Fault> {
    let missing = || {
        Fault::client(
            "DeploymentConfigDoesNotExistException",
            format!("No Deployment Config found for name: {name}"),
        )
    };
    Shift::of(name).map(|_| ()).ok_or_else(missing)
}

fn style(members: &Object) -> Result<(), Fault> {
    let style = members.get("deploymentStyle").unwrap_or(&Value::Null);
    let kind = style["deploymentType"] == "BLUE_GREEN";
    match kind && style["deploymentOption"] == "WITH_TRAFFIC_CONTROL" {
        true => Ok(()),
        false => Err(Fault::client(
            "InvalidDeploymentStyleException",
            "For ECS deployment group, deploymentStyle must be BLUE_GREEN and WITH_TRAFFIC_CONTROL",
        )),
    }
}

fn balancer(members: &Object) -> Result<(), Fault> {
    let info = members.get("loadBalancerInfo").unwrap_or(&Value::Null);
    let refuse = |what: &str| {
        let message = format!("For ECS deployment group, loadBalancerInfo must {what}");
        Err(Fault::client("InvalidLoadBalancerInfoException", message))
    };
    for list in ["elbInfoList", "targetGroupInfoList"] {
        if !info[list].is_null() {
            return refuse(&format!("not contain {list}"));
        }
    }
    let pairs = info["targetGroupPairInfoList"].as_array();
    let Some([pair]) = pairs.map(Vec::as_slice) else {
        return refuse("contain exactly one targetGroupPairInfo");
    };
    let groups = pair["targetGroups"].as_array();
    let mut groups = groups.into_iter().flatten();
    let named = groups.all(|group| group["name"].as_str().is_some_and(|it| !it.is_empty()));
    let routes = &pair["prodTrafficRoute"]["listenerArns"];
    let one = routes.as_array().is_some_and(|arns| arns.len() == 1);
    let two = pair["targetGroups"]
        .as_array()
        .is_some_and(|it| it.len() == 2);
    match named && one && two {
        true => Ok(()),
        false => Err(Fault::client(
            "InvalidTargetGroupPairException",
            "A target group pair has exactly two target groups with names, and one production listener",
        )),
    }
}

fn blue_green(given: &Value) -> Result<Value, Fault> {
    let refuse = |what: &str| {
        let code = "InvalidBlueGreenDeploymentConfigurationException";
        Err(Fault::client(code, what))
    };
    let ready = &given["deploymentReadyOption"];
    let action = ready["actionOnTimeout"].as_str();
    let action = action.unwrap_or("CONTINUE_DEPLOYMENT");
    let wait = ready["waitTimeInMinutes"].as_i64().unwrap_or(0);
    match action {
        "CONTINUE_DEPLOYMENT" if wait == 0 => {}
        "CONTINUE_DEPLOYMENT" => {
            return refuse("waitTimeInMinutes goes with STOP_DEPLOYMENT only");
        }
        "STOP_DEPLOYMENT" if wait > 0 => {}
        "STOP_DEPLOYMENT" => return refuse("STOP_DEPLOYMENT needs waitTimeInMinutes"),
        other => return refuse(&format!("{other} is no actionOnTimeout")),
    }
    let blue = &given["terminateBlueInstancesOnDeploymentSuccess"];
    let end = blue["action"].as_str().unwrap_or("TERMINATE");
    if !["TERMINATE", "KEEP_ALIVE"].contains(&end) {
        return refuse(&format!("{end} is no action for blue instances"));
    }
    let minutes = blue["terminationWaitTimeInMinutes"].as_i64().unwrap_or(0);
    if !(0..=LONGEST_WAIT).contains(&minutes) {
        return refuse("terminationWaitTimeInMinutes must be between 0 and 2880");
    }
    Ok(json!({
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": end,
            "terminationWaitTimeInMinutes": minutes,
        },
        "deploymentReadyOption": {"actionOnTimeout": action, "waitTimeInMinutes": wait},
    }))
}

/// Checks an autoRollbackConfiguration, of a group or of a single deployment.
pub(super) fn auto_rollback(given: &Value) -> Result<Value, Fault> {
    let enabled = given["enabled"].as_bool().unwrap_or(false);
    let events = given["events"].as_array().cloned().unwrap_or_default();
    let known = |it: &Value| it.as_str().is_some_and(|it| ROLLBACK_EVENTS.contains(&it));
    if !events.iter().all(known) || enabled && events.is_empty() {
        return Err(Fault::client(
            "InvalidAutoRollbackConfigException",
            "An enabled rollback configuration needs events, of those that there are",
        ));
    }
    Ok(json!({"enabled": enabled, "events": events}))
}
