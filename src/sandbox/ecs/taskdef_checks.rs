//! What RegisterTaskDefinition refuses, in ECS's words where they are known.

use serde_json::{Map, Value};

use super::super::fault::Fault;
use super::json::drop_nulls;
use super::validate::{Input, is_name, refused};

/// Members that only describing answers; the SDKs refuse to send them.
const DESCRIBED_ONLY: [&str; 9] = [
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

const KNOWN: [&str; 18] = [
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

/// A definition that passed, without nulls and with numbers for its CPU units and MiB.
pub(super) struct Checked {
    pub family: String,
    pub members: Map<String, Value>,
    pub cpu: Option<u32>,
    pub memory: Option<u32>,
    /// It could run on Fargate, whether or not it asks for it.
    pub fits_fargate: bool,
}

/// Checks the whole definition.
pub(super) fn check(input: Input<'_>) -> Result<Checked, Fault> {
    no_described_members(input)?;
    // ECS answers "Tags can not be empty." to an empty list, which other calls take.
    if input.get("tags").is_some() && input.list("tags")?.is_empty() {
        return Err(refused("Tags can not be empty."));
    }
    let family = family(input)?;
    let mut members = drop_nulls(input.members());
    members.retain(|name, _| KNOWN.contains(&name.as_str()));
    members.remove("tags");
    let size = serde_json::to_vec(&members).map_or(0, |bytes| bytes.len());
    if size > 65_536 {
        return Err(refused(format!(
            "Actual length: '{size}'. Max allowed length is '65536' bytes."
        )));
    }
    let cpu = amount(&members, "cpu", "vcpu")?;
    let memory = amount(&members, "memory", "gb")?;
    containers(&members, memory)?;
    roles(&members)?;
    let wants_fargate = texts(&members, "requiresCompatibilities").any(|c| c == "FARGATE");
    let fargate = fargate(&members, cpu, memory);
    if wants_fargate {
        fargate
            .as_ref()
            .map_err(|message| refused(message.clone()))?;
    }
    Ok(Checked {
        family,
        members,
        cpu,
        memory,
        fits_fargate: fargate.is_ok(),
    })
}

fn no_described_members(input: Input<'_>) -> Result<(), Fault> {
    match DESCRIBED_ONLY.iter().find(|name| input.get(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Fault::client(
            "SerializationException",
            format!(
                "Unknown parameter in input: \"{name}\", must be one of: {}",
                KNOWN.join(", ")
            ),
        )),
    }
}

fn family(input: Input<'_>) -> Result<String, Fault> {
    match input.text("family")? {
        None | Some("") => Err(refused("Family should not be null or empty.")),
        Some(name) if !is_name(name) => Err(refused("Family contains invalid characters.")),
        Some(name) => Ok(name.to_owned()),
    }
}

/// `"256"`, `256`, `"0.25 vCPU"`; `"1024"`, `"1GB"`, `"0.5 GB"`.
fn amount(members: &Map<String, Value>, name: &str, unit: &str) -> Result<Option<u32>, Fault> {
    let text = match members.get(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let lower = text.trim().to_ascii_lowercase();
    let parsed = match lower.strip_suffix(unit) {
        Some(units) => thousands(units.trim()),
        None => lower.parse().ok(),
    };
    parsed
        .map(Some)
        .ok_or_else(|| refused(format!("Invalid '{name}' setting for task: {text}.")))
}

/// 1024 times a decimal number with at most three digits behind the point.
fn thousands(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 {
        return None;
    }
    let thousandths: u32 = format!("{whole}{part:0<3}").parse().ok()?;
    thousandths.checked_mul(1024).map(|value| value / 1000)
}

fn containers(members: &Map<String, Value>, memory: Option<u32>) -> Result<(), Fault> {
    let containers: Vec<_> = objects(members, "containerDefinitions").collect();
    if containers.is_empty() {
        return Err(refused("Container list cannot be empty."));
    }
    if containers.len() > 10 {
        return Err(refused(format!(
            "Too many containers: {}. A task definition can have at most 10.",
            containers.len()
        )));
    }
    let mut names = Vec::new();
    for container in &containers {
        let name = text(container, "name").unwrap_or_default();
        if name.is_empty() {
            return Err(refused("Container.name should not be null or empty."));
        }
        if !is_name(name) {
            return Err(refused("Container.name contains invalid characters."));
        }
        if names.contains(&name) {
            return Err(refused(format!(
                "Container.name should be unique within a task definition. Duplicate: '{name}'."
            )));
        }
        names.push(name);
        container_settings(members, container, name, memory)?;
    }
    let essential = |c: &&Map<String, Value>| c.get("essential") != Some(&Value::Bool(false));
    if !containers.iter().any(essential) {
        return Err(refused(
            "Task definition must have at least one essential container.",
        ));
    }
    depends_on(&containers, &names)
}

fn container_settings(
    members: &Map<String, Value>,
    container: &Map<String, Value>,
    name: &str,
    memory: Option<u32>,
) -> Result<(), Fault> {
    if text(container, "image").unwrap_or_default().is_empty() {
        return Err(refused("Container.image should not be null or empty."));
    }
    let has_memory = ["memory", "memoryReservation"]
        .iter()
        .any(|m| container.contains_key(*m));
    if memory.is_none() && !has_memory {
        return Err(refused(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
        )));
    }
    let awsvpc = text(members, "networkMode") == Some("awsvpc");
    for port in objects(container, "portMappings") {
        let (inside, outside) = (port.get("containerPort"), port.get("hostPort"));
        let differs = outside.is_some_and(|host| host != 0 && Some(host) != inside);
        if awsvpc && differs {
            return Err(refused(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ));
        }
    }
    let volumes: Vec<_> = objects(members, "volumes")
        .filter_map(|v| text(v, "name"))
        .collect();
    for mount in objects(container, "mountPoints") {
        let volume = text(mount, "sourceVolume").unwrap_or_default();
        if !volumes.contains(&volume) {
            return Err(refused(format!("Unknown volume '{volume}'.")));
        }
    }
    let variables: Vec<_> = objects(container, "environment")
        .filter_map(|v| text(v, "name"))
        .collect();
    let mut secrets = Vec::new();
    for secret in objects(container, "secrets").filter_map(|s| text(s, "name")) {
        if variables.contains(&secret) || secrets.contains(&secret) {
            return Err(refused(format!(
                "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{secret}'."
            )));
        }
        secrets.push(secret);
    }
    Ok(())
}

fn depends_on(containers: &[&Map<String, Value>], names: &[&str]) -> Result<(), Fault> {
    for container in containers {
        for other in objects(container, "dependsOn").filter_map(|d| text(d, "containerName")) {
            if !names.contains(&other) || text(container, "name") == Some(other) {
                return Err(refused(format!(
                    "Invalid 'dependsOn' setting for container '{}': container '{other}' is not another container of the task definition.",
                    text(container, "name").unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}

fn roles(members: &Map<String, Value>) -> Result<(), Fault> {
    let has_secrets = objects(members, "containerDefinitions").any(|c| !is_empty(c, "secrets"));
    if has_secrets && !members.contains_key("executionRoleArn") {
        return Err(refused(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    Ok(())
}

fn fargate(
    members: &Map<String, Value>,
    cpu: Option<u32>,
    memory: Option<u32>,
) -> Result<(), String> {
    if text(members, "networkMode") != Some("awsvpc") {
        return Err("Fargate only supports network mode ‘awsvpc’.".to_owned());
    }
    let needed = |name| format!("Fargate requires that '{name}' be defined at the task level.");
    let cpu = cpu.ok_or_else(|| needed("cpu"))?;
    let memory = memory.ok_or_else(|| needed("memory"))?;
    if !is_fargate_size(cpu, memory) {
        return Err(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
        ));
    }
    if members.contains_key("executionRoleArn") {
        return Ok(());
    }
    let requires = |what| {
        format!("Fargate requires task definition to have execution role ARN to support {what}.")
    };
    for container in objects(members, "containerDefinitions") {
        if text(container, "image").is_some_and(is_private_ecr) {
            return Err(requires("ECR images"));
        }
        let driver = container
            .get("logConfiguration")
            .and_then(|log| log.get("logDriver"));
        if driver.is_some_and(|driver| driver == "awslogs") {
            return Err(requires("log driver awslogs"));
        }
    }
    Ok(())
}

/// Whether the image lies in a private ECR registry.
pub(super) fn is_private_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr") && host.contains(".amazonaws.com")
}

fn is_fargate_size(cpu: u32, memory: u32) -> bool {
    let (least, most, step) = match cpu {
        256 => return [512, 1024, 2048].contains(&memory),
        512 => (1024, 4096, 1024),
        1024 => (2048, 8192, 1024),
        2048 => (4096, 16_384, 1024),
        4096 => (8192, 30_720, 1024),
        8192 => (16_384, 61_440, 4096),
        16_384 => (32_768, 122_880, 8192),
        32_768 => (61_440, 249_856, 4096),
        _ => return false,
    };
    (least..=most).contains(&memory) && (memory - least).is_multiple_of(step)
}

/// A text member.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// The texts of a list.
pub(super) fn texts<'a>(
    members: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a str> {
    items(members, name).iter().filter_map(Value::as_str)
}

/// The structures of a list.
pub(super) fn objects<'a>(
    members: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    items(members, name).iter().filter_map(Value::as_object)
}

/// Whether a list is absent or empty.
pub(super) fn is_empty(members: &Map<String, Value>, name: &str) -> bool {
    items(members, name).is_empty()
}

fn items<'a>(members: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    members
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
