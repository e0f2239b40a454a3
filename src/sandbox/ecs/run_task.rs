//! RunTask, and the making of tasks for services too.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::agenda::Due;
use super::arn::arn;
use super::fate::{Fate, Whose, placement};
use super::json::{drop_nulls, in_seconds, later};
use super::records::Pin;
use super::service_checks::{Capacity, capacity};
use super::speech::LogTo;
use super::tags::{self, Tags};
use super::task::{Container, Health, Interface, Owner, Phase, Task, Times};
use super::taskdef::TaskDefinition;
use super::taskdef_checks::{objects, text, texts};
use super::validate::{Input, invalid};

/// A client token dies at the latest after a day.
const TOKEN_LIVES: SignedDuration = SignedDuration::from_hours(24);

/// What a client token was used for.
#[derive(Debug, Clone)]
pub(super) struct Token {
    input: Map<String, Value>,
    tasks: Vec<String>,
    used_at: Timestamp,
}

/// A task to be made.
pub(super) struct Launch<'a> {
    pub cluster: &'a str,
    pub cluster_arn: &'a str,
    pub definition: &'a TaskDefinition,
    pub group: String,
    pub started_by: Option<String>,
    pub owner: Option<Owner>,
    pub capacity: &'a Capacity,
    /// `awsvpcConfiguration` and so on.
    pub network: Option<&'a Value>,
    pub overrides: Option<&'a Map<String, Value>>,
    pub tags: Tags,
    pub enable_execute: bool,
    /// The digests that the deployment settled on.
    pub pins: &'a [Pin],
    pub token: Option<String>,
}

impl Ecs {
    pub(super) fn run_task(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let cluster = self.cluster(cx, input)?.clone();
        let cluster_name = self.cluster_name(cx, input)?;
        let count = input.int("count")?.unwrap_or(1);
        if !(1..=10).contains(&count) {
            return Err(invalid("Count must be between 1 and 10."));
        }
        let token = client_token(input)?;
        if let Some(answer) = self.replayed(cx, &cluster_name, token, input)? {
            return Ok(answer);
        }
        let reference = input.needed("taskDefinition", "TaskDefinition can not be blank.")?;
        let definition = self.runnable(cx, reference)?.clone();
        let capacity = capacity(&cluster, input, Some(&definition))?;
        let network = super::service_checks::network(input, Some(&definition))?;
        let overrides = overrides(input, &definition)?;
        let tags = run_tags(input, &definition, &cluster_name)?;
        let launch = Launch {
            cluster: &cluster_name,
            cluster_arn: &cluster.arn,
            definition: &definition,
            group: group(input, &definition)?,
            started_by: started_by(input)?,
            owner: None,
            capacity: &capacity,
            network: network.as_ref(),
            overrides: overrides.as_ref(),
            tags,
            enable_execute: input.flag("enableExecuteCommand")?,
            pins: &[],
            token: token.map(str::to_owned),
        };
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match self.launch(cx, &launch) {
                Ok(task) => tasks.push(task),
                Err(reason) => failures.push(json!({"reason": reason})),
            }
        }
        if let Some(token) = token.filter(|_| !tasks.is_empty()) {
            let used = Token {
                input: drop_nulls(input.members()),
                tasks: tasks.iter().map(|task| task.id.clone()).collect(),
                used_at: cx.now,
            };
            self.tokens
                .insert((cluster_name.clone(), token.to_owned()), used);
        }
        let views: Vec<_> = tasks.iter().map(|task| task.view(true)).collect();
        Ok(json!({"tasks": views, "failures": failures}))
    }

    /// The answer to a client token that is still alive.
    fn replayed(
        &self,
        cx: &Cx<'_>,
        cluster: &str,
        token: Option<&str>,
        input: Input<'_>,
    ) -> Result<Option<Value>, Fault> {
        let Some(token) = token else { return Ok(None) };
        let key = (cluster.to_owned(), token.to_owned());
        let Some(used) = self.tokens.get(&key) else {
            return Ok(None);
        };
        if cx.now >= later(used.used_at, TOKEN_LIVES) {
            return Ok(None);
        }
        // A task can be described until an hour after its end; the token lives as long.
        let tasks: Vec<_> = used
            .tasks
            .iter()
            .filter_map(|id| self.tasks.get(&(cluster.to_owned(), id.clone())))
            .collect();
        if tasks.is_empty() {
            return Ok(None);
        }
        if used.input != drop_nulls(input.members()) {
            let arns: Vec<_> = tasks.iter().map(|task| task.arn.as_str()).collect();
            let fault = Fault::client(
                "ConflictException",
                "The provided clientToken is already in use with a different RunTask request.",
            );
            return Err(fault.with("resourceIds", json!(arns)));
        }
        let views: Vec<_> = tasks.iter().map(|task| task.view(true)).collect();
        Ok(Some(json!({"tasks": views, "failures": []})))
    }

    /// Forgets the token of a task that was the last of its call to be purged.
    pub(super) fn forget_token(&mut self, task: &Task) {
        let Some(token) = &task.token else { return };
        let key = (task.cluster.clone(), token.clone());
        let over = self.tokens.get(&key).is_some_and(|used| {
            used.tasks.iter().all(|id| {
                self.tasks
                    .get(&(task.cluster.clone(), id.clone()))
                    .is_none()
            })
        });
        if over {
            self.tokens.remove(&key);
        }
    }

    /// Makes a task and starts its life, or says why it can be placed nowhere.
    pub(super) fn launch(&mut self, cx: &mut Cx<'_>, launch: &Launch<'_>) -> Result<Task, String> {
        let task = task(cx, launch);
        let whose = Whose {
            family: &task.family,
            group: &task.group,
            of_service: task.owner.is_some(),
        };
        if let Some(reason) = placement(cx, whose, &task.containers) {
            return Err(reason);
        }
        self.agenda
            .set(Due::Task(task.key()), in_seconds(cx.now, 2));
        self.tasks.put(cx, task.key(), task.clone());
        self.notice_task(cx, &task.key());
        Ok(task)
    }
}

fn task(cx: &mut Cx<'_>, launch: &Launch<'_>) -> Task {
    let id = cx.ids.hex(32);
    let definition = launch.definition;
    let is_fargate = launch.capacity.launch_type == "FARGATE";
    let containers = definition
        .containers()
        .iter()
        .filter_map(Value::as_object)
        .map(|wanted| container(cx, launch, &id, wanted))
        .collect();
    let mut fixed = Map::new();
    let level = |name: &str| {
        let over = launch.overrides.and_then(|overrides| text(overrides, name));
        over.or_else(|| definition.text(name))
            .map_or(Value::Null, Value::from)
    };
    let family = if is_fargate {
        json!("Linux")
    } else {
        Value::Null
    };
    let platform = if is_fargate {
        json!(launch.capacity.running_platform())
    } else {
        Value::Null
    };
    for (name, value) in [
        ("launchType", json!(launch.capacity.launch_type)),
        ("capacityProviderName", json!(launch.capacity.provider)),
        ("platformVersion", platform),
        ("platformFamily", family),
        ("availabilityZone", json!(format!("{}a", cx.region))),
        (
            "attributes",
            json!([{"name": "ecs.cpu-architecture", "value": architecture(definition)}]),
        ),
        ("cpu", level("cpu")),
        ("memory", level("memory")),
        ("enableExecuteCommand", json!(launch.enable_execute)),
        ("inferenceAccelerators", json!([])),
        ("overrides", echoed(launch.overrides, definition)),
        (
            "ephemeralStorage",
            if is_fargate {
                json!({"sizeInGiB": 20})
            } else {
                Value::Null
            },
        ),
    ] {
        fixed.insert(name.to_owned(), value);
    }
    Task {
        arn: arn(cx, &format!("task/{}/{id}", launch.cluster)),
        cluster: launch.cluster.to_owned(),
        cluster_arn: launch.cluster_arn.to_owned(),
        definition: definition.arn.clone(),
        family: definition.family.clone(),
        group: launch.group.clone(),
        started_by: launch.started_by.clone(),
        owner: launch.owner.clone(),
        token: launch.token.clone(),
        fixed,
        containers,
        interface: interface(cx, launch),
        tags: launch.tags.clone(),
        phase: Phase::Provisioning,
        stopping: false,
        times: Times {
            created: cx.now,
            connected: None,
            pull_started: None,
            pull_stopped: None,
            started: None,
            stopping: None,
            execution_stopped: None,
            stopped: None,
        },
        steady: false,
        was_steady: false,
        unhealthy: false,
        fate: Fate::default(),
        lived: 0,
        stop_code: None,
        stopped_reason: None,
        version: 1,
        id,
    }
}

fn container(
    cx: &mut Cx<'_>,
    launch: &Launch<'_>,
    task: &str,
    wanted: &Map<String, Value>,
) -> Container {
    let name = text(wanted, "name").unwrap_or_default();
    let over = launch
        .overrides
        .into_iter()
        .flat_map(|overrides| objects(overrides, "containerOverrides"))
        .find(|over| text(over, "name") == Some(name));
    let number = |member: &str| {
        let value = over
            .and_then(|over| over.get(member))
            .or_else(|| wanted.get(member));
        value.map_or(Value::Null, |value| json!(value.to_string()))
    };
    let command = match over.filter(|over| over.contains_key("command")) {
        Some(over) => over,
        None => wanted,
    };
    let words: Vec<_> = texts(wanted, "entryPoint")
        .chain(texts(command, "command"))
        .collect();
    let pin = launch.pins.iter().find(|pin| pin.container == name);
    let uuid = cx.ids.uuid();
    Container {
        arn: arn(cx, &format!("container/{}/{task}/{uuid}", launch.cluster)),
        name: name.to_owned(),
        image: text(wanted, "image").unwrap_or_default().to_owned(),
        digest: pin.map(|pin| pin.digest.clone()),
        essential: wanted.get("essential") != Some(&Value::Bool(false)),
        has_health_check: wanted.contains_key("healthCheck"),
        command: words.join(" "),
        runtime_id: None,
        status: "PENDING",
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        cpu: number("cpu"),
        memory: number("memory"),
        memory_reservation: number("memoryReservation"),
        log: log(wanted, name, task),
    }
}

/// Where a container's log goes, with the awslogs driver.
fn log(wanted: &Map<String, Value>, name: &str, task: &str) -> Option<LogTo> {
    let log = wanted.get("logConfiguration")?;
    if log.get("logDriver")?.as_str()? != "awslogs" {
        return None;
    }
    let option = |name: &str| log.get("options")?.get(name)?.as_str();
    let prefix = option("awslogs-stream-prefix")?;
    Some(LogTo {
        region: option("awslogs-region").map(str::to_owned),
        group: option("awslogs-group")?.to_owned(),
        stream: format!("{prefix}/{name}/{task}"),
    })
}

fn architecture(definition: &TaskDefinition) -> &'static str {
    let platform = definition.content.get("runtimePlatform");
    match platform.and_then(|platform| platform.get("cpuArchitecture")) {
        Some(name) if name == "ARM64" => "arm64",
        _ => "x86_64",
    }
}

fn interface(cx: &mut Cx<'_>, launch: &Launch<'_>) -> Option<Interface> {
    if !launch.definition.is_awsvpc() {
        return None;
    }
    let subnet = launch
        .network
        .and_then(|network| network.pointer("/awsvpcConfiguration/subnets/0"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let hex = cx.ids.hex(17);
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("01"), 16).unwrap_or(1);
    Some(Interface {
        attachment: cx.ids.uuid(),
        subnet: subnet.to_owned(),
        address: format!("10.0.{}.{}", byte(0), byte(2)),
        id: format!("eni-{hex}"),
    })
}

/// Overrides as a task shows them: every container has its entry.
fn echoed(overrides: Option<&Map<String, Value>>, definition: &TaskDefinition) -> Value {
    let mut members = overrides.cloned().unwrap_or_default();
    let given: Vec<Value> = objects(&members, "containerOverrides")
        .map(|over| Value::Object(over.clone()))
        .collect();
    let entries: Value = definition
        .containers()
        .iter()
        .filter_map(|container| container.get("name"))
        .map(|name| {
            let over = given.iter().find(|over| over.get("name") == Some(name));
            over.cloned().unwrap_or_else(|| json!({"name": name}))
        })
        .collect();
    members.insert("containerOverrides".to_owned(), entries);
    members.insert("inferenceAcceleratorOverrides".to_owned(), json!([]));
    Value::Object(members)
}

fn client_token(input: Input<'_>) -> Result<Option<&str>, Fault> {
    let token = input.text("clientToken")?.filter(|token| !token.is_empty());
    let fits = |token: &str| token.len() <= 64 && token.bytes().all(|b| (33..=126).contains(&b));
    match token {
        Some(token) if !fits(token) => Err(invalid(
            "clientToken must have at most 64 characters in the range of 33-126.",
        )),
        token => Ok(token),
    }
}

fn started_by(input: Input<'_>) -> Result<Option<String>, Fault> {
    let Some(text) = input.text("startedBy")? else {
        return Ok(None);
    };
    let fits = text.len() <= 128
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b));
    if fits {
        Ok(Some(text.to_owned()))
    } else {
        Err(invalid(
            "startedBy can contain up to 128 letters (uppercase and lowercase), numbers, hyphens (-), forward slash (/), and underscores (_).",
        ))
    }
}

fn group(input: Input<'_>, definition: &TaskDefinition) -> Result<String, Fault> {
    match input.text("group")? {
        None => Ok(format!("family:{}", definition.family)),
        Some(group) if group.starts_with("service:") => Err(invalid(
            "Invalid group: the prefix service: is reserved for the service scheduler.",
        )),
        Some(group) => Ok(group.to_owned()),
    }
}

fn overrides(
    input: Input<'_>,
    definition: &TaskDefinition,
) -> Result<Option<Map<String, Value>>, Fault> {
    let Some(overrides) = input.object("overrides")?.map(drop_nulls) else {
        return Ok(None);
    };
    let length = serde_json::to_string(&overrides).map_or(0, |text| text.chars().count());
    if length > 8192 {
        return Err(invalid("Container Overrides length must be at most 8192"));
    }
    let known = |name: &str| definition.containers().iter().any(|c| c["name"] == name);
    for over in objects(&overrides, "containerOverrides") {
        let name = text(over, "name").unwrap_or_default();
        if !known(name) {
            return Err(invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    Ok(Some(overrides))
}

fn run_tags(input: Input<'_>, definition: &TaskDefinition, cluster: &str) -> Result<Tags, Fault> {
    let mut tags = tags::read(input, "tags")?;
    match input.text("propagateTags")? {
        None | Some("NONE") => {}
        Some("TASK_DEFINITION") => tags.add_missing(&definition.tags),
        Some(other) => {
            return Err(invalid(format!(
                "Invalid propagateTags for a task: {other}."
            )));
        }
    }
    if input.flag("enableECSManagedTags")? {
        tags.put("aws:ecs:clusterName", cluster);
    }
    Ok(tags)
}
