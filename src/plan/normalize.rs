//! What a task definition says, without what ECS fills in.
//!
//! ECS answers a describe with defaults that nobody wrote (`essential: true`, `cpu: 0`,
//! `hostPort`, empty arrays), and keeps no order where order carries no meaning. Comparing
//! without taking that away makes a diff that never ends. The rules follow
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A definition in the one form that equal definitions share. It borrows from what it was made of:
/// every plan of a new revision makes some.
#[derive(Clone, Debug, PartialEq)]
pub enum Normal<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number or boolean.
    Plain(&'a Value),
    /// A list; sorted where its order carries no meaning.
    List(Vec<Normal<'a>>),
    /// An object's members, sorted by name.
    Members(Vec<(&'a str, Normal<'a>)>),
}

/// Where in a definition an object stands: defaults differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Definition,
    Container,
    HealthCheck,
    PortMapping,
    Mount,
    Volume,
    Efs,
    EfsAuthorization,
    Elsewhere,
}

/// Brings RegisterTaskDefinition's input into the form that equal definitions share.
pub fn definition(content: &Value) -> Normal<'_> {
    let network = content.get("networkMode").and_then(Value::as_str);
    Normalizer {
        awsvpc: network == Some("awsvpc"),
    }
    .value(content, Place::Definition)
}

/// Hash that equal definitions share.
pub fn definition_hash(content: &Value) -> String {
    definition(content).hash()
}

impl<'a> Normal<'a> {
    /// Hash that equal definitions share.
    pub fn hash(&self) -> String {
        crate::model::hash::of_canonical(self)
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Normal::Text(text) => Value::from(text.as_ref()),
            Normal::Plain(value) => (*value).clone(),
            Normal::List(items) => items.iter().map(Normal::to_value).collect(),
            Normal::Members(members) => members
                .iter()
                .map(|(name, member)| ((*name).to_owned(), member.to_value()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// Puts an image into a container.
    pub fn set_image(&mut self, container: &str, image: &'a str) {
        let Some(Normal::List(containers)) = self.member_mut("containerDefinitions") else {
            return;
        };
        for found in containers {
            if !matches!(found.member("name"), Some(Normal::Text(name)) if name == container) {
                continue;
            }
            let Normal::Members(members) = found else {
                continue;
            };
            let image = Normal::Text(Cow::Borrowed(image));
            match members.binary_search_by_key(&"image", |(name, _)| *name) {
                Ok(at) => members[at].1 = image,
                Err(at) => members.insert(at, ("image", image)),
            }
        }
    }

    fn member(&self, name: &str) -> Option<&Normal<'a>> {
        let Normal::Members(members) = self else {
            return None;
        };
        let at = members
            .binary_search_by_key(&name, |(name, _)| *name)
            .ok()?;
        Some(&members[at].1)
    }

    fn member_mut(&mut self, name: &str) -> Option<&mut Normal<'a>> {
        let Normal::Members(members) = self else {
            return None;
        };
        let at = members
            .binary_search_by_key(&name, |(name, _)| *name)
            .ok()?;
        Some(&mut members[at].1)
    }

    /// An empty string is something: an environment variable may be empty on purpose.
    fn is_nothing(&self) -> bool {
        match self {
            Normal::Text(_) => false,
            Normal::Plain(value) => value.is_null(),
            Normal::List(items) => items.is_empty(),
            Normal::Members(members) => members.is_empty(),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Normal::Text(one), Normal::Text(two)) => one.cmp(two),
            (Normal::Plain(Value::Number(one)), Normal::Plain(Value::Number(two))) => {
                let number = |value: &serde_json::Number| value.as_f64().unwrap_or_default();
                number(one).total_cmp(&number(two))
            }
            _ => Ordering::Equal,
        }
    }
}

/// Canonical JSON: its members are sorted already.
impl Serialize for Normal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Normal::Text(text) => serializer.serialize_str(text),
            Normal::Plain(value) => value.serialize(serializer),
            Normal::List(items) => serializer.collect_seq(items),
            Normal::Members(members) => {
                serializer.collect_map(members.iter().map(|(name, member)| (name, member)))
            }
        }
    }
}

struct Normalizer {
    awsvpc: bool,
}

impl Normalizer {
    fn value<'a>(&self, value: &'a Value, place: Place) -> Normal<'a> {
        match value {
            Value::Object(map) => self.object(map, place),
            Value::Array(items) => {
                Normal::List(items.iter().map(|item| self.value(item, place)).collect())
            }
            Value::String(text) => Normal::Text(Cow::Borrowed(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Normal::Plain(value),
        }
    }

    fn object<'a>(&self, map: &'a Map<String, Value>, place: Place) -> Normal<'a> {
        let mut members: Vec<(&str, Normal<'a>)> = Vec::with_capacity(map.len());
        for (name, value) in map {
            if is_default(place, name, value) || self.is_implied(place, name, value, map) {
                continue;
            }
            let mut member =
                if place == Place::Definition && matches!(name.as_str(), "cpu" | "memory") {
                    Normal::Text(task_size(value))
                } else {
                    self.value(value, place.of(name))
                };
            if place == Place::Definition && name == "tags" {
                drop_tags_of_aws(&mut member);
            }
            if member.is_nothing() {
                continue;
            }
            if let (Normal::List(items), Some(by)) = (&mut member, sorted_by(name)) {
                items.sort_by(|one, two| order(one, two, by));
            }
            members.push((name, member));
        }
        members.sort_unstable_by_key(|(name, _)| *name);
        Normal::Members(members)
    }

    /// With awsvpc the host's port is the container's.
    fn is_implied(
        &self,
        place: Place,
        name: &str,
        value: &Value,
        map: &Map<String, Value>,
    ) -> bool {
        self.awsvpc
            && place == Place::PortMapping
            && name == "hostPort"
            && map.get("containerPort") == Some(value)
    }
}

impl Place {
    fn of(self, member: &str) -> Self {
        match (self, member) {
            (Place::Definition, "containerDefinitions") => Place::Container,
            (Place::Container, "healthCheck") => Place::HealthCheck,
            (Place::Container, "portMappings") => Place::PortMapping,
            (Place::Container, "mountPoints" | "volumesFrom") => Place::Mount,
            (Place::Definition, "volumes") => Place::Volume,
            (Place::Volume, "efsVolumeConfiguration") => Place::Efs,
            (Place::Efs, "authorizationConfig") => Place::EfsAuthorization,
            _ => Place::Elsewhere,
        }
    }
}

/// AWS's own tags are nobody's to write.
fn drop_tags_of_aws(tags: &mut Normal<'_>) {
    if let Normal::List(items) = tags {
        items.retain(
            |tag| !matches!(tag.member("key"), Some(Normal::Text(key)) if key.starts_with("aws:")),
        );
    }
}

/// Whether a member says what ECS takes for granted.
fn is_default(place: Place, name: &str, value: &Value) -> bool {
    match (place, name) {
        (Place::Definition, "enableFaultInjection") | (Place::Mount, "readOnly") => {
            *value == Value::Bool(false)
        }
        // Some servers answer "" for what was not said.
        (Place::Definition, _) => value.as_str() == Some(""),
        (Place::Container, "essential") => *value == Value::Bool(true),
        (Place::Container, "cpu") | (Place::PortMapping, "hostPort") => *value == 0,
        (Place::HealthCheck, "interval") => *value == 30,
        (Place::HealthCheck, "timeout") => *value == 5,
        (Place::HealthCheck, "retries") => *value == 3,
        (Place::HealthCheck, "startPeriod") => *value == 0,
        (Place::PortMapping, "protocol") => *value == "tcp",
        (Place::Efs, "rootDirectory") => *value == "/",
        (Place::Efs, "transitEncryption") | (Place::EfsAuthorization, "iam") => {
            *value == "DISABLED"
        }
        _ => false,
    }
}

/// `0.25 vCPU` is 256 and `1GB` is 1024; numbers come as text.
fn task_size(value: &Value) -> Cow<'_, str> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.trim()),
        other => Cow::Owned(other.to_string()),
    };
    let lower = text.to_ascii_lowercase();
    for unit in ["vcpu", "gb"] {
        if let Some(number) = lower.strip_suffix(unit)
            && let Ok(amount) = number.trim().parse::<f64>()
        {
            return Cow::Owned(format!("{}", (amount * 1024.0).round()));
        }
    }
    text
}

/// What a list without order is sorted by; nothing for one whose order carries meaning.
fn sorted_by(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "containerDefinitions" | "environment" | "secrets" | "volumes" | "ulimits" => &["name"],
        "portMappings" => &[
            "containerPort",
            "protocol",
            "hostPort",
            "containerPortRange",
        ],
        "mountPoints" => &["containerPath", "sourceVolume"],
        "volumesFrom" => &["sourceContainer"],
        "placementConstraints" => &["type", "expression"],
        "requiresCompatibilities" => &[],
        "tags" => &["key"],
        "systemControls" => &["namespace"],
        "dependsOn" => &["containerName", "condition"],
        "resourceRequirements" => &["type", "value"],
        "extraHosts" => &["hostname", "ipAddress"],
        _ => return None,
    })
}

fn order(one: &Normal<'_>, two: &Normal<'_>, by: &[&str]) -> Ordering {
    if by.is_empty() {
        return one.compare(two);
    }
    by.iter()
        .map(|name| match (one.member(name), two.member(name)) {
            (Some(one), Some(two)) => one.compare(two),
            (one, two) => one.is_some().cmp(&two.is_some()),
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
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
    fn what_ecs_fills_in_of_a_file_system_makes_no_difference() {
        let volume = |more: serde_json::Value| {
            let mut efs = json!({"fileSystemId": "fs-1"});
            for (name, value) in more.as_object().into_iter().flatten() {
                efs[name] = value.clone();
            }
            json!({"volumes": [{"name": "public", "efsVolumeConfiguration": efs}]})
        };
        let written = volume(json!({}));
        let described = volume(json!({
            "rootDirectory": "/", "transitEncryption": "DISABLED",
            "authorizationConfig": {"iam": "DISABLED"},
        }));
        assert_eq!(definition(&written), definition(&described));
        assert_ne!(
            definition(&written),
            definition(&volume(json!({"rootDirectory": "/public"})))
        );
    }

    #[test]
    fn tags_of_aws_are_no_ones_difference() {
        let with =
            json!({"tags": [{"key": "aws:x", "value": "1"}, {"key": "team", "value": "shop"}]});
        let without = json!({"tags": [{"key": "team", "value": "shop"}]});
        assert_eq!(definition(&with), definition(&without));
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
