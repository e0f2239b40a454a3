//! AppSpec files of ECS services.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The events that may have a hook.
const HOOKABLE: [&str; 5] = [
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
];

/// What an AppSpec says.
#[derive(Debug, PartialEq)]
pub(super) struct AppSpec {
    pub definition: String,
    pub container: String,
    pub port: i64,
    /// What else it says of the task set, in ECS's own words.
    pub members: Map<String, Value>,
    /// Functions by lifecycle event.
    pub hooks: BTreeMap<String, String>,
}

/// Reads an AppSpec in JSON or YAML; the error says what is wrong with it.
pub(super) fn read(content: &str) -> Result<AppSpec, String> {
    let whole: Value = match serde_json::from_str(content) {
        Ok(whole) => whole,
        Err(_) => serde_saphyr::from_str(content)
            .map_err(|_| "The input AppSpec file is not well-formed.".to_owned())?,
    };
    let missing = |what: &str| format!("The AppSpec file has no {what}.");
    let resource = whole["Resources"].get(0).and_then(Value::as_object);
    let resource = resource.and_then(|named| named.values().next());
    let resource = resource.ok_or_else(|| missing("Resources"))?;
    if resource["Type"] != "AWS::ECS::Service" {
        return Err("The resource is of another type than AWS::ECS::Service.".to_owned());
    }
    let properties = &resource["Properties"];
    let definition = properties["TaskDefinition"].as_str();
    let balancer = &properties["LoadBalancerInfo"];
    let container = balancer["ContainerName"].as_str();
    let port = &balancer["ContainerPort"];
    let port = port
        .as_i64()
        .or_else(|| port.as_str().and_then(|text| text.parse().ok()));
    Ok(AppSpec {
        definition: definition
            .ok_or_else(|| missing("TaskDefinition"))?
            .to_owned(),
        container: container
            .ok_or_else(|| missing("ContainerName"))?
            .to_owned(),
        port: port.ok_or_else(|| missing("ContainerPort"))?,
        members: members(properties),
        hooks: hooks(&whole["Hooks"])?,
    })
}

fn members(properties: &Value) -> Map<String, Value> {
    let mut members = Map::new();
    for (theirs, ours) in [
        ("PlatformVersion", "platformVersion"),
        ("NetworkConfiguration", "networkConfiguration"),
        ("CapacityProviderStrategy", "capacityProviderStrategy"),
    ] {
        let found = properties.get(theirs).filter(|value| !value.is_null());
        if let Some(value) = found {
            members.insert(ours.to_owned(), lowered(value));
        }
    }
    let network = members.get_mut("networkConfiguration");
    let network = network.and_then(|network| network.get_mut("awsvpcConfiguration"));
    if let Some(vpc) = network.and_then(Value::as_object_mut) {
        for (member, value) in [
            ("securityGroups", json!([])),
            ("assignPublicIp", json!("DISABLED")),
        ] {
            vpc.entry(member).or_insert(value);
        }
    }
    members
}

/// The value with its members' names as ECS writes them: an AppSpec begins them with a capital.
fn lowered(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| {
                    let mut letters = name.chars();
                    let first = letters.next().map(|first| first.to_ascii_lowercase());
                    let name = first.into_iter().chain(letters).collect();
                    (name, lowered(value))
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(lowered).collect(),
        other => other.clone(),
    }
}

fn hooks(given: &Value) -> Result<BTreeMap<String, String>, String> {
    let mut hooks = BTreeMap::new();
    let each = given.as_array().into_iter().flatten();
    for (event, function) in each.filter_map(Value::as_object).flatten() {
        if !HOOKABLE.contains(&event.as_str()) {
            return Err(format!("{event} is no lifecycle event with a hook."));
        }
        let function = function.as_str().filter(|name| !name.is_empty());
        let function = function.ok_or_else(|| format!("The hook of {event} has no function."))?;
        hooks.insert(event.clone(), function.to_owned());
    }
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2
        LoadBalancerInfo:
          ContainerName: web
          ContainerPort: 80
        PlatformVersion: 1.4.0
        NetworkConfiguration:
          AwsvpcConfiguration:
            Subnets: [subnet-1]
Hooks:
  - BeforeAllowTraffic: smoke-test
";

    #[test]
    fn yaml_and_json_say_the_same() {
        let spec = read(YAML).unwrap();
        let json: Value = serde_saphyr::from_str(YAML).unwrap();
        assert_eq!(read(&json.to_string()).unwrap(), spec);
        assert_eq!((spec.container.as_str(), spec.port), ("web", 80));
        assert_eq!(spec.hooks["BeforeAllowTraffic"], "smoke-test");
        let network = &spec.members["networkConfiguration"]["awsvpcConfiguration"];
        assert_eq!(network["subnets"][0], "subnet-1");
        assert_eq!(network["assignPublicIp"], "DISABLED");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (content, wanted) in [
            ("a: [", "not well-formed"),
            ("{}", "no Resources"),
            (
                &YAML.replace("AWS::ECS::Service", "AWS::Lambda::Function"),
                "another type",
            ),
            (
                &YAML.replace("ContainerPort: 80", "Port: 80"),
                "no ContainerPort",
            ),
            (
                &YAML.replace("BeforeAllowTraffic", "AllowTraffic"),
                "no lifecycle event",
            ),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
