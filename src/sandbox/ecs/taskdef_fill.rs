//! What ECS fills into a task definition: describing one never answers what was sent.

use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::json::{default_to, seconds};
use super::taskdef_checks::{Checked, is_empty, is_private_ecr, objects, text};

/// The definition as DescribeTaskDefinition answers it, without its status.
pub(super) fn described(
    cx: &Cx<'_>,
    checked: Checked,
    arn: &str,
    revision: u32,
) -> Map<String, Value> {
    let requires_attributes = requires_attributes(&checked.members);
    let compatibilities = compatibilities(&checked);
    let mut members = checked.members;
    let awsvpc = text(&members, "networkMode") == Some("awsvpc");
    for (name, value) in [("cpu", checked.cpu), ("memory", checked.memory)] {
        if let Some(value) = value {
            members.insert(name.to_owned(), json!(value.to_string()));
        }
    }
    if let Some(Value::Array(containers)) = members.get_mut("containerDefinitions") {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            fill_container(container, awsvpc);
        }
    }
    default_to(&mut members, "volumes", json!([]));
    if let Some(Value::Array(volumes)) = members.get_mut("volumes") {
        for volume in volumes.iter_mut().filter_map(Value::as_object_mut) {
            fill_volume(volume);
        }
    }
    default_to(&mut members, "placementConstraints", json!([]));
    for (name, value) in [
        ("taskDefinitionArn", json!(arn)),
        ("revision", json!(revision)),
        ("status", json!("ACTIVE")),
        ("requiresAttributes", requires_attributes),
        ("compatibilities", compatibilities),
        ("registeredAt", seconds(cx.now)),
        ("registeredBy", json!(cx.principal)),
    ] {
        members.insert(name.to_owned(), value);
    }
    members
}

fn fill_container(container: &mut Map<String, Value>, awsvpc: bool) {
    default_to(container, "cpu", json!(0));
    default_to(container, "essential", json!(true));
    for name in [
        "portMappings",
        "environment",
        "mountPoints",
        "volumesFrom",
        "systemControls",
    ] {
        default_to(container, name, json!([]));
    }
    if let Some(Value::Array(ports)) = container.get_mut("portMappings") {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            default_to(port, "protocol", json!("tcp"));
            let host = match port.get("containerPort") {
                Some(inside) if awsvpc => inside.clone(),
                _ => json!(0),
            };
            let unset = port.get("hostPort").is_none_or(|host| awsvpc && host == 0);
            if unset {
                port.insert("hostPort".to_owned(), host);
            }
        }
    }
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        for (name, value) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            default_to(check, name, json!(value));
        }
    }
    // ECS does not keep the order in which variables were sent.
    for (list, key) in [("environment", "name"), ("secrets", "name")] {
        if let Some(Value::Array(items)) = container.get_mut(list) {
            items.sort_by(|a, b| {
                let name = |item: &Value| item.get(key).and_then(Value::as_str).map(str::to_owned);
                name(b).cmp(&name(a))
            });
        }
    }
}

fn fill_volume(volume: &mut Map<String, Value>) {
    let elsewhere = [
        "host",
        "dockerVolumeConfiguration",
        "efsVolumeConfiguration",
        "fsxWindowsFileServerVolumeConfiguration",
        "s3filesVolumeConfiguration",
    ];
    let at_launch = volume.get("configuredAtLaunch") == Some(&Value::Bool(true));
    if !at_launch && !elsewhere.iter().any(|name| volume.contains_key(*name)) {
        volume.insert("host".to_owned(), json!({}));
    }
}

fn compatibilities(checked: &Checked) -> Value {
    let mut list = vec!["EC2"];
    if checked.fits_fargate {
        list.push("FARGATE");
    } else if text(&checked.members, "networkMode") != Some("awsvpc") {
        list.insert(0, "EXTERNAL");
    }
    json!(list)
}

/// The capabilities that an instance needs to run the definition.
fn requires_attributes(members: &Map<String, Value>) -> Value {
    let mut names: Vec<String> = Vec::new();
    let mut need = |name: &str| {
        if !names.iter().any(|have| have == name) {
            names.push(name.to_owned());
        }
    };
    let has_execution_role = members.contains_key("executionRoleArn");
    if members.contains_key("taskRoleArn") {
        need("com.amazonaws.ecs.capability.task-iam-role");
    }
    if text(members, "networkMode") == Some("awsvpc") {
        need("ecs.capability.task-eni");
    }
    need("com.amazonaws.ecs.capability.docker-remote-api.1.18");
    for container in objects(members, "containerDefinitions") {
        if text(container, "image").is_some_and(is_private_ecr) {
            need("com.amazonaws.ecs.capability.ecr-auth");
            if has_execution_role {
                need("ecs.capability.execution-role-ecr-pull");
            }
        }
        let log = container.get("logConfiguration").and_then(Value::as_object);
        if let Some(driver) = log.and_then(|log| text(log, "logDriver")) {
            need(&format!(
                "com.amazonaws.ecs.capability.logging-driver.{driver}"
            ));
            if has_execution_role && driver == "awslogs" {
                need("ecs.capability.execution-role-awslogs");
            }
        }
        for secret in objects(container, "secrets").filter_map(|s| text(s, "valueFrom")) {
            let store = if secret.contains(":secretsmanager:") {
                "asm"
            } else {
                "ssm"
            };
            need(&format!(
                "ecs.capability.secrets.{store}.environment-variables"
            ));
        }
        if container.contains_key("healthCheck") {
            need("com.amazonaws.ecs.capability.docker-remote-api.1.29");
            need("ecs.capability.container-health-check");
        }
        if container.contains_key("memoryReservation") {
            need("com.amazonaws.ecs.capability.docker-remote-api.1.21");
        }
        if !is_empty(container, "dependsOn") {
            need("ecs.capability.container-ordering");
        }
        let firelens = container
            .get("firelensConfiguration")
            .and_then(Value::as_object);
        if let Some(kind) = firelens.and_then(|firelens| text(firelens, "type")) {
            need(&format!("ecs.capability.firelens.{kind}"));
        }
    }
    names.iter().map(|name| json!({"name": name})).collect()
}
