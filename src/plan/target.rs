//! An EventBridge rule's ECS target: what is there, with what is declared put in.
//!
//! PutTargets replaces a target whole
//! (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutTargets.html>), so a
//! dead-letter queue, a retry policy and every member that evenkeel does not declare is carried
//! over.

use serde_json::{Map, Value, json};

use crate::model::desired::Schedule;
use crate::model::observed::Rule;
use crate::resource::environment::TaskSettings;

/// Id of targets that evenkeel makes.
pub const TARGET_ID: &str = "evenkeel";

/// The target of a rule that runs our task: the one under our id, else the only one that runs a
/// definition of ours, else, where the rule is adopted, its only ECS target. All others are
/// strangers'.
pub fn ours(
    rule: &Rule,
    adopt: bool,
    is_ours: impl Fn(&str) -> bool,
) -> Option<(&str, &Map<String, Value>)> {
    let under_our_id = rule
        .targets
        .iter()
        .find(|target| id(target) == Some(TARGET_ID));
    let runs_ours = |target: &&Map<String, Value>| definition(target).is_some_and(&is_ours);
    let target = under_our_id
        .or_else(|| only(ecs_targets(rule).filter(runs_ours)))
        .or_else(|| only(ecs_targets(rule)).filter(|_| adopt))?;
    Some((id(target)?, target))
}

/// Targets that run ECS tasks.
pub fn ecs_targets(rule: &Rule) -> impl Iterator<Item = &Map<String, Value>> {
    let targets = rule.targets.iter();
    targets.filter(|target| target.contains_key("EcsParameters"))
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// ARN of the task definition that a target runs.
pub fn definition(target: &Map<String, Value>) -> Option<&str> {
    target
        .get("EcsParameters")?
        .get("TaskDefinitionArn")?
        .as_str()
}

fn id(target: &Map<String, Value>) -> Option<&str> {
    target.get("Id")?.as_str()
}

/// Where a schedule's task runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// ARN of the cluster.
    pub cluster: &'a str,
    /// ARN of the task definition.
    pub task_definition: &'a str,
}

/// The target as it shall be.
pub fn wanted(
    schedule: &Schedule,
    place: Place<'_>,
    existing: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut target = existing.cloned().unwrap_or_default();
    target.entry("Id").or_insert_with(|| json!(TARGET_ID));
    target.insert("Arn".to_owned(), json!(place.cluster));
    set(
        &mut target,
        "RoleArn",
        schedule.role_arn.as_ref().map(|role| json!(role)),
    );
    let overrides = schedule
        .overrides
        .as_ref()
        .map(|overrides| json!(json!(overrides).to_string()));
    set(&mut target, "Input", overrides);
    for other in ["InputPath", "InputTransformer"] {
        // EventBridge takes one of the three, and the task's overrides are declared.
        target.remove(other);
    }
    let mut ecs = match target.remove("EcsParameters") {
        Some(Value::Object(ecs)) => ecs,
        _ => Map::new(),
    };
    set(
        &mut ecs,
        "TaskDefinitionArn",
        Some(json!(place.task_definition)),
    );
    set(&mut ecs, "TaskCount", Some(json!(schedule.task_count)));
    place_tasks(&mut ecs, &schedule.tasks);
    target.insert("EcsParameters".to_owned(), Value::Object(ecs));
    failures(&mut target, schedule);
    target
}

/// What becomes of firings that come to nothing: what is declared of it, the rest as it stands.
fn failures(target: &mut Map<String, Value>, schedule: &Schedule) {
    if let Some(queue) = &schedule.dead_letters {
        target.insert("DeadLetterConfig".to_owned(), json!({ "Arn": queue }));
    }
    let declared = [
        (
            "MaximumEventAgeInSeconds",
            schedule.event_age.map(|age| json!(age)),
        ),
        (
            "MaximumRetryAttempts",
            schedule.retries.map(|times| json!(times)),
        ),
    ];
    if declared.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    let policy = target.entry("RetryPolicy").or_insert_with(|| json!({}));
    for (member, value) in declared {
        if let (Some(policy), Some(value)) = (policy.as_object_mut(), value) {
            policy.insert(member.to_owned(), value);
        }
    }
}

/// The target as it stands, running another definition.
pub fn pointed(place: Place<'_>, existing: &Map<String, Value>) -> Map<String, Value> {
    let mut target = existing.clone();
    if let Some(Value::Object(ecs)) = target.get_mut("EcsParameters") {
        let definition = json!(place.task_definition);
        ecs.insert("TaskDefinitionArn".to_owned(), definition);
    }
    target
}

/// How the task is placed: what is declared of it, the rest as it stands.
fn place_tasks(ecs: &mut Map<String, Value>, tasks: &TaskSettings) {
    let kind = tasks.launch_type.map(|kind| json!(kind.as_str()));
    // EventBridge spells this list's members as ECS does.
    let strategy = tasks.capacity_provider_strategy.as_ref();
    let strategy = strategy.map(|items| json!(items));
    if kind.is_some() || strategy.is_some() {
        // They exclude each other.
        set(ecs, "LaunchType", kind);
        set(ecs, "CapacityProviderStrategy", strategy);
    }
    let network = tasks.network_configuration.as_ref().map(|network| {
        let vpc = &network.awsvpc_configuration;
        let mut inner = json!({"Subnets": vpc.subnets});
        if let Some(groups) = &vpc.security_groups {
            inner["SecurityGroups"] = json!(groups);
        }
        if let Some(public) = &vpc.assign_public_ip {
            inner["AssignPublicIp"] = json!(public);
        }
        json!({"awsvpcConfiguration": inner})
    });
    let version = tasks.platform_version.as_ref();
    let tags = tasks.propagate_tags.as_ref();
    let declared = [
        ("NetworkConfiguration", network),
        ("PlatformVersion", version.map(|version| json!(version))),
        ("PropagateTags", tags.map(|tags| json!(tags))),
        (
            "EnableExecuteCommand",
            tasks.enable_execute_command.map(|on| json!(on)),
        ),
    ];
    for (member, value) in declared {
        if let Some(value) = value {
            ecs.insert(member.to_owned(), value);
        }
    }
}

fn set(map: &mut Map<String, Value>, member: &str, value: Option<Value>) {
    match value {
        Some(value) => map.insert(member.to_owned(), value),
        None => map.remove(member),
    };
}

/// Members in which two targets differ: path, wanted, actual. Overrides are told only as
/// differing, because they may hold environment values.
pub fn differences(
    wanted: &Map<String, Value>,
    actual: Option<&Map<String, Value>>,
) -> Vec<(String, String, String)> {
    let Some(actual) = actual else {
        return vec![(
            "target".to_owned(),
            "(present)".to_owned(),
            "(absent)".to_owned(),
        )];
    };
    let mut found = Vec::new();
    compare("target", &normal(wanted), &normal(actual), &mut found);
    found
}

fn compare(
    path: &str,
    wanted: &Map<String, Value>,
    actual: &Map<String, Value>,
    found: &mut Vec<(String, String, String)>,
) {
    let mut names: Vec<&String> = wanted.keys().chain(actual.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let field = format!("{path}.{name}");
        match (wanted.get(name), actual.get(name)) {
            (Some(one), Some(other)) if one == other => {}
            (Some(Value::Object(one)), Some(Value::Object(other))) if !is_input(name) => {
                compare(&field, one, other, found);
            }
            (one, other) if is_input(name) => found.push((
                field,
                one.map_or("(absent)", |_| "(overrides)").to_owned(),
                other
                    .map_or("(absent)", |_| "(overrides, differ)")
                    .to_owned(),
            )),
            (one, other) => found.push((field, show(one), show(other))),
        }
    }
}

/// Members that may hold environment values.
fn is_input(name: &str) -> bool {
    name.starts_with("Input")
}

fn show(value: Option<&Value>) -> String {
    match value {
        None => "(absent)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Without what EventBridge fills in, and with lists sorted whose order carries no meaning.
fn normal(target: &Map<String, Value>) -> Map<String, Value> {
    let mut target = target.clone();
    if let Some(input) = target.get("Input").and_then(Value::as_str)
        && let Ok(parsed) = serde_json::from_str::<Value>(input)
    {
        target.insert("Input".to_owned(), json!(crate::model::hash::of(&parsed)));
    }
    if let Some(Value::Object(ecs)) = target.get_mut("EcsParameters") {
        ecs.entry("TaskCount").or_insert(json!(1));
        for (member, default) in [
            ("EnableExecuteCommand", json!(false)),
            ("EnableECSManagedTags", json!(false)),
            ("Tags", json!([])),
            ("PlacementConstraints", json!([])),
            ("PlacementStrategy", json!([])),
        ] {
            if ecs.get(member) == Some(&default) {
                ecs.remove(member);
            }
        }
        if let Some(Value::Object(vpc)) = ecs
            .get_mut("NetworkConfiguration")
            .and_then(|network| network.get_mut("awsvpcConfiguration"))
        {
            for list in ["Subnets", "SecurityGroups"] {
                if let Some(Value::Array(items)) = vpc.get_mut(list) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            if vpc.get("AssignPublicIp") == Some(&json!("DISABLED")) {
                vpc.remove("AssignPublicIp");
            }
            if vpc.get("SecurityGroups") == Some(&json!([])) {
                vpc.remove("SecurityGroups");
            }
        }
        let strategy = ecs.get_mut("CapacityProviderStrategy");
        for item in strategy.and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(item) = item {
                item.retain(|_, number| *number != 0);
            }
        }
    }
    target.retain(|_, value| !value.is_null());
    target
}
