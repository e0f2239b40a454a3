//! What a task definition says, without what ECS fills in.
//!
//! ECS answers a describe with defaults that nobody wrote (`essential: true`, `cpu: 0`,
//! `hostPort`, empty arrays), and keeps no order where order carries no meaning. Comparing
//! without taking that away makes a diff that never ends. The rules follow
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>.

use serde_json::{Map, Value};

/// Members of a container or definition that are lists without order, and what to sort them by.
const UNORDERED: [(&str, &[&str]); 15] = [
    ("containerDefinitions", &["name"]),
    ("environment", &["name"]),
    ("secrets", &["name"]),
    (
        "portMappings",
        &[
            "containerPort",
            "protocol",
            "hostPort",
            "containerPortRange",
        ],
    ),
    ("mountPoints", &["containerPath", "sourceVolume"]),
    ("volumes", &["name"]),
    ("volumesFrom", &["sourceContainer"]),
    ("placementConstraints", &["type", "expression"]),
    ("requiresCompatibilities", &[]),
    ("tags", &["key"]),
    ("ulimits", &["name"]),
    ("systemControls", &["namespace"]),
    ("dependsOn", &["containerName", "condition"]),
    ("resourceRequirements", &["type", "value"]),
    ("extraHosts", &["hostname", "ipAddress"]),
];

/// Brings RegisterTaskDefinition's input into the one form that equal definitions share.
pub fn definition(content: &Value) -> Value {
    let mut value = content.clone();
    if let Value::Object(map) = &mut value {
        let awsvpc = map.get("networkMode").and_then(Value::as_str) == Some("awsvpc");
        for size in ["cpu", "memory"] {
            if let Some(text) = map.get(size).map(task_size) {
                map.insert(size.to_owned(), Value::String(text));
            }
        }
        drop_if(map, "enableFaultInjection", &Value::Bool(false));
        if let Some(Value::Array(containers)) = map.get_mut("containerDefinitions") {
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                normalize_container(container, awsvpc);
            }
        }
        map.retain(|_, member| member.as_str() != Some(""));
    }
    tidy(&mut value);
    value
}

/// Hash that equal definitions share.
pub fn definition_hash(content: &Value) -> String {
    crate::model::hash::of_value(&definition(content))
}

fn normalize_container(container: &mut Map<String, Value>, awsvpc: bool) {
    drop_if(container, "essential", &Value::Bool(true));
    drop_if(container, "cpu", &Value::from(0));
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        for (member, default) in [
            ("interval", 30),
            ("timeout", 5),
            ("retries", 3),
            ("startPeriod", 0),
        ] {
            drop_if(check, member, &Value::from(default));
        }
    }
    if let Some(Value::Array(mappings)) = container.get_mut("portMappings") {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            drop_if(mapping, "protocol", &Value::from("tcp"));
            drop_if(mapping, "hostPort", &Value::from(0));
            let same = mapping.get("hostPort") == mapping.get("containerPort");
            if awsvpc && same {
                mapping.remove("hostPort");
            }
        }
    }
    for (list, member) in [("mountPoints", "readOnly"), ("volumesFrom", "readOnly")] {
        if let Some(Value::Array(items)) = container.get_mut(list) {
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                drop_if(item, member, &Value::Bool(false));
            }
        }
    }
}

fn drop_if(map: &mut Map<String, Value>, member: &str, default: &Value) {
    if map.get(member) == Some(default) {
        map.remove(member);
    }
}

/// `0.25 vCPU` is 256 and `1GB` is 1024; numbers come as text.
fn task_size(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let lower = text.to_ascii_lowercase();
    for unit in ["vcpu", "gb"] {
        if let Some(number) = lower.strip_suffix(unit)
            && let Ok(amount) = number.trim().parse::<f64>()
        {
            return format!("{}", (amount * 1024.0).round());
        }
    }
    text
}

/// Drops nulls and what is empty, and sorts lists whose order carries no meaning.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for member in map.values_mut() {
                tidy(member);
            }
            map.retain(|_, member| !is_nothing(member));
            for (name, by) in UNORDERED {
                if let Some(Value::Array(items)) = map.get_mut(name) {
                    items.sort_by_key(|item| sort_key(item, by));
                }
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                tidy(item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An empty string is something: an environment variable may be empty on purpose.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn sort_key(item: &Value, by: &[&str]) -> Vec<String> {
    if by.is_empty() {
        return vec![item.to_string()];
    }
    by.iter()
        .map(|member| match item.get(member) {
            Some(Value::Number(number)) => format!("{:>20}", number.to_string()),
            Some(other) => other.to_string(),
            None => String::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_ecs_fills_in_makes_no_difference() {
        let written = json!({
            "family": "web", "networkMode": "awsvpc", "cpu": "0.25 vCPU", "memory": "1GB",
            "containerDefinitions": [
                {"name": "b", "image": "i", "portMappings": [{"containerPort": 80}]},
                {"name": "a", "image": "i", "environment": [
                    {"name": "Z", "value": ""}, {"name": "A", "value": "1"}]},
            ],
            "volumes": [{"name": "public"}],
        });
        let described = json!({
            "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "1024",
            "pidMode": "", "proxyConfiguration": null, "placementConstraints": [],
            "containerDefinitions": [
                {"name": "a", "image": "i", "essential": true, "cpu": 0, "mountPoints": [],
                 "environment": [{"name": "A", "value": "1"}, {"name": "Z", "value": ""}]},
                {"name": "b", "image": "i", "essential": true, "cpu": 0, "volumesFrom": [],
                 "environment": [],
                 "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]},
            ],
            "volumes": [{"name": "public", "host": {}}],
        });
        assert_eq!(definition(&written), definition(&described));
    }

    #[test]
    fn what_somebody_wrote_makes_one() {
        let base = json!({"containerDefinitions": [{"name": "a", "environment": [{"name": "E", "value": ""}]}]});
        let without = json!({"containerDefinitions": [{"name": "a"}]});
        let filled = json!({"containerDefinitions": [{"name": "a", "environment": [{"name": "E", "value": "x"}]}]});
        let optional = json!({"containerDefinitions": [{"name": "a", "essential": false}]});
        assert_ne!(definition_hash(&base), definition_hash(&without));
        assert_ne!(definition_hash(&base), definition_hash(&filled));
        assert_ne!(definition_hash(&without), definition_hash(&optional));
    }

    #[test]
    fn a_command_keeps_its_order() {
        let one = json!({"containerDefinitions": [{"name": "a", "command": ["x", "y"]}]});
        let other = json!({"containerDefinitions": [{"name": "a", "command": ["y", "x"]}]});
        assert_ne!(definition_hash(&one), definition_hash(&other));
    }
}
