//! A whole task definition in a manifest, in RegisterTaskDefinition's shape.
//!
//! ECS checks the rest of it. What is checked here is what evenkeel itself relies on, and what
//! would otherwise be dropped without a word.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names;
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::suggest;

/// Members of RegisterTaskDefinition's request.
const MEMBERS: [&str; 18] = [
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "tags",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
];

/// Members that DescribeTaskDefinition answers and RegisterTaskDefinition does not take.
pub const DESCRIBE_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// Members of a container definition.
const CONTAINER_MEMBERS: [&str; 41] = [
    "name",
    "image",
    "repositoryCredentials",
    "cpu",
    "memory",
    "memoryReservation",
    "links",
    "portMappings",
    "essential",
    "restartPolicy",
    "entryPoint",
    "command",
    "environment",
    "environmentFiles",
    "mountPoints",
    "volumesFrom",
    "linuxParameters",
    "secrets",
    "dependsOn",
    "startTimeout",
    "stopTimeout",
    "versionConsistency",
    "hostname",
    "user",
    "workingDirectory",
    "disableNetworking",
    "privileged",
    "readonlyRootFilesystem",
    "dnsServers",
    "dnsSearchDomains",
    "extraHosts",
    "dockerSecurityOptions",
    "interactive",
    "pseudoTerminal",
    "dockerLabels",
    "ulimits",
    "logConfiguration",
    "healthCheck",
    "systemControls",
    "resourceRequirements",
    "firelensConfiguration",
];

/// One member more that older task definitions hold.
const CREDENTIAL_SPECS: &str = "credentialSpecs";

/// The most containers that a task definition has.
const CONTAINERS: usize = 10;

/// The most bytes that a task definition has.
const DEFINITION_LIMIT: usize = 64 * 1024;

pub(super) fn definition(
    definition: &Map<String, Value>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    for name in definition
        .keys()
        .filter(|name| !MEMBERS.contains(&name.as_str()))
    {
        errors.push(unknown_member(name, path));
    }
    match definition.get("family") {
        Some(Value::String(family)) => {
            names::ecs_name(
                family,
                "a task definition family",
                path.key("family"),
                errors,
            );
        }
        Some(_) => errors.push(FieldError::new(path.key("family"), "must be text")),
        None => errors.push(
            FieldError::new(path.clone(), "`family` is missing")
                .help("name the family that the definition is registered in"),
        ),
    }
    container_definitions(definition, path, errors);
    let length = serde_json::to_vec(definition).map_or(0, |bytes| bytes.len());
    if length > DEFINITION_LIMIT {
        errors.push(FieldError::new(
            path.clone(),
            "is longer than the 64 KiB that ECS takes",
        ));
    }
}

/// The names of the containers, where there are any.
pub(super) fn container_names(definition: &Map<String, Value>) -> Vec<&str> {
    containers(definition)
        .iter()
        .filter_map(|container| container.get("name").and_then(Value::as_str))
        .collect()
}

/// Every container must have an image, its own or one of the release's.
pub(super) fn images(
    definition: &Map<String, Value>,
    images: &BTreeMap<String, String>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    for container in containers(definition) {
        let Some(name) = container.get("name").and_then(Value::as_str) else {
            continue;
        };
        let has_image = container.get("image").is_some_and(Value::is_string);
        if !has_image && !images.contains_key(name) {
            let message = format!("the container `{name}` of the inline definition has no image");
            errors.push(
                FieldError::new(path.clone(), message)
                    .help(format!("map it to an image of the release: `{name}: ...`")),
            );
        }
    }
}

fn containers(definition: &Map<String, Value>) -> &[Value] {
    definition
        .get("containerDefinitions")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn unknown_member(name: &str, path: &FieldPath) -> FieldError {
    let here = path.key(name);
    if DESCRIBE_ONLY.contains(&name) {
        return FieldError::new(
            here,
            format!("`{name}` is told by DescribeTaskDefinition, and refused when registering"),
        )
        .help("take it out");
    }
    let mut error = FieldError::new(
        here,
        format!("RegisterTaskDefinition has no member `{name}`"),
    );
    error.help = suggest::did_you_mean(name, MEMBERS);
    error
}

fn container_definitions(
    definition: &Map<String, Value>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let here = path.key("containerDefinitions");
    match definition.get("containerDefinitions") {
        None => errors.push(FieldError::new(
            path.clone(),
            "`containerDefinitions` is missing",
        )),
        Some(Value::Array(items)) if items.is_empty() => {
            errors.push(FieldError::new(
                here,
                "there must be at least one container",
            ));
        }
        Some(Value::Array(items)) => {
            if items.len() > CONTAINERS {
                let message = format!(
                    "there are {} containers, and ECS takes {CONTAINERS}",
                    items.len()
                );
                errors.push(FieldError::new(here.clone(), message));
            }
            for (index, item) in items.iter().enumerate() {
                container(item, &items[..index], &here.index(index), errors);
            }
        }
        Some(_) => errors.push(FieldError::new(here, "must be a list")),
    }
}

fn container(item: &Value, before: &[Value], path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(members) = item.as_object() else {
        errors.push(FieldError::new(path.clone(), "must be a mapping"));
        return;
    };
    for name in members.keys() {
        if !CONTAINER_MEMBERS.contains(&name.as_str()) && name != CREDENTIAL_SPECS {
            let mut error = FieldError::new(
                path.key(name.as_str()),
                format!("a container definition has no member `{name}`"),
            );
            error.help = suggest::did_you_mean(name, CONTAINER_MEMBERS);
            errors.push(error);
        }
    }
    match members.get("name").and_then(Value::as_str) {
        Some(name) => {
            names::ecs_name(name, "a container", path.key("name"), errors);
            if before
                .iter()
                .any(|other| other.get("name").and_then(Value::as_str) == Some(name))
            {
                errors.push(FieldError::new(
                    path.key("name"),
                    format!("there are two containers named `{name}`"),
                ));
            }
        }
        None => errors.push(FieldError::new(
            path.clone(),
            "`name` is missing, or is not text",
        )),
    }
    environment(members.get("environment"), &path.key("environment"), errors);
}

/// Values of environment variables are text; `PORT: 3000` is a common slip.
fn environment(variables: Option<&Value>, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let variables = variables.and_then(Value::as_array).into_iter().flatten();
    for (index, variable) in variables.enumerate() {
        let value = variable.get("value");
        let found = match value {
            Some(Value::Number(_)) => "a number",
            Some(Value::Bool(_)) => "true or false",
            _ => continue,
        };
        // Which one is not told: values of variables may be secret.
        let here = path.index(index).key("value");
        errors.push(
            FieldError::new(here, format!("must be text, and is {found}")).help("put it in quotes"),
        );
    }
}
