//! Typed differences of two task definitions, field by field, after normalising.
//!
//! Values of environment variables are never told, only that they differ.

use serde_json::{Map, Value};

use super::normalize;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDifference {
    /// Path: `containerDefinitions[app].image`.
    pub field: String,
    /// What was declared.
    pub desired: String,
    /// What is there.
    pub actual: String,
}

/// What is shown for a member that is not there.
const ABSENT: &str = "(absent)";
/// What is shown for a value that may be secret.
const HIDDEN: &str = "(hidden)";
const HIDDEN_OTHER: &str = "(hidden, differs)";

/// Fields in which two definitions differ, in a stable order. Tags count, the family does not.
pub fn definitions(desired: &Value, actual: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    let desired = normalize::definition(desired).to_value();
    let actual = normalize::definition(actual).to_value();
    compare("", &desired, &actual, false, &mut found);
    found
}

fn compare(
    path: &str,
    desired: &Value,
    actual: &Value,
    secret: bool,
    found: &mut Vec<FieldDifference>,
) {
    match (desired, actual) {
        (Value::Object(desired), Value::Object(actual)) => {
            compare_objects(path, desired, actual, secret, found);
        }
        (Value::Array(desired_items), Value::Array(actual_items)) => {
            match (keyed(desired_items), keyed(actual_items)) {
                (Some(desired), Some(actual)) => compare_keyed(path, &desired, &actual, found),
                _ if desired_items != actual_items => {
                    found.push(changed(path, desired, actual, secret));
                }
                _ => {}
            }
        }
        _ if desired != actual => found.push(changed(path, desired, actual, secret)),
        _ => {}
    }
}

fn changed(path: &str, desired: &Value, actual: &Value, secret: bool) -> FieldDifference {
    FieldDifference {
        field: path.to_owned(),
        desired: show(path, desired, secret, HIDDEN),
        actual: show(path, actual, secret, HIDDEN_OTHER),
    }
}

/// A member that only one side has.
fn one_sided(
    field: String,
    desired: Option<&Value>,
    actual: Option<&Value>,
    secret: bool,
) -> FieldDifference {
    let side = |value: Option<&Value>| {
        value.map_or(ABSENT.to_owned(), |value| {
            show(&field, value, secret, HIDDEN)
        })
    };
    FieldDifference {
        desired: side(desired),
        actual: side(actual),
        field,
    }
}

fn compare_objects(
    path: &str,
    desired: &Map<String, Value>,
    actual: &Map<String, Value>,
    secret: bool,
    found: &mut Vec<FieldDifference>,
) {
    let mut names: Vec<&String> = desired.keys().chain(actual.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let field = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let secret = secret || is_secret(path, name);
        match (desired.get(name), actual.get(name)) {
            (Some(desired), Some(actual)) => compare(&field, desired, actual, secret, found),
            (desired, actual) => found.push(one_sided(field, desired, actual, secret)),
        }
    }
}

type Keyed<'a> = Vec<(String, &'a Value)>;

fn compare_keyed(
    path: &str,
    desired: &Keyed<'_>,
    actual: &Keyed<'_>,
    found: &mut Vec<FieldDifference>,
) {
    let environment = path.ends_with(".environment");
    let mut keys: Vec<&String> = desired.iter().chain(actual).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let field = format!("{path}[{key}]");
        match (find(desired, key), find(actual, key)) {
            (Some(desired), Some(actual)) => compare(&field, desired, actual, environment, found),
            (desired, actual) => found.push(one_sided(field, desired, actual, environment)),
        }
    }
}

fn find<'a>(items: &Keyed<'a>, key: &str) -> Option<&'a Value> {
    items
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| *value)
}

/// Items by their name, where every one has its own.
fn keyed(items: &[Value]) -> Option<Keyed<'_>> {
    let mut found: Keyed<'_> = Vec::with_capacity(items.len());
    for item in items {
        let key = [
            "name",
            "key",
            "containerName",
            "containerPath",
            "containerPort",
        ]
        .iter()
        .find_map(|member| item.get(member))?;
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        if found.iter().any(|(name, _)| *name == key) {
            return None;
        }
        found.push((key, item));
    }
    Some(found)
}

/// Values of environment variables may be anything; so may a log driver's tokens.
fn is_secret(path: &str, name: &str) -> bool {
    let named = || {
        let name = name.to_ascii_lowercase();
        ["token", "secret", "password", "apikey", "api_key"]
            .iter()
            .any(|word| name.contains(word))
    };
    (path.contains(".environment[") && name == "value") || (path.ends_with(".options") && named())
}

fn show(path: &str, value: &Value, secret: bool, hidden: &str) -> String {
    match value {
        _ if secret => hidden.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if path.ends_with(".environment") => names_only(items).to_string(),
        other => redacted("", other).to_string(),
    }
}

/// The value without what may be secret: a container shown whole still has environment values.
fn redacted(path: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, member)| match (name.as_str(), member) {
                    ("environment", Value::Array(items)) => (name.clone(), names_only(items)),
                    _ if is_secret(path, name) => (name.clone(), Value::from(HIDDEN)),
                    _ => (name.clone(), redacted(&format!("{path}.{name}"), member)),
                })
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| redacted(path, item)).collect())
        }
        other => other.clone(),
    }
}

fn names_only(items: &[Value]) -> Value {
    items
        .iter()
        .filter_map(|item| item.get("name").cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(desired: &Value, actual: &Value) -> Vec<String> {
        definitions(desired, actual)
            .into_iter()
            .map(|d| format!("{}: {} -> {}", d.field, d.desired, d.actual))
            .collect()
    }

    #[test]
    fn fields_are_named_by_container() {
        let desired = json!({"cpu": "256", "containerDefinitions": [
            {"name": "app", "image": "a:2"}, {"name": "log", "image": "l"}]});
        let actual = json!({"cpu": "512", "containerDefinitions": [
            {"name": "log", "image": "l", "essential": false}, {"name": "app", "image": "a:1", "cpu": 0}]});
        assert_eq!(
            lines(&desired, &actual),
            [
                "containerDefinitions[app].image: a:2 -> a:1",
                "containerDefinitions[log].essential: (absent) -> false",
                "cpu: 256 -> 512",
            ]
        );
    }

    #[test]
    fn no_environment_value_is_ever_shown() {
        let secret = "s3cr3t";
        let with = |environment: Value| json!({"containerDefinitions": [{"name": "app", "environment": environment}]});
        let set = with(json!([{"name": "K", "value": secret}]));
        let cases = [
            (set.clone(), with(json!([{"name": "K", "value": "other"}]))),
            (set.clone(), with(json!([]))),
            (with(json!([{"name": "L", "value": "1"}])), set.clone()),
            (
                set.clone(),
                with(json!([{"name": "K", "value": "1"}, {"name": "K", "value": "2"}])),
            ),
            (set.clone(), json!({"containerDefinitions": []})),
            (set, json!({})),
        ];
        for (desired, actual) in cases {
            let found = format!("{:?}", definitions(&desired, &actual));
            assert!(
                !found.contains(secret) && !found.contains("other"),
                "{found}"
            );
            assert!(
                found.contains("containerDefinitions"),
                "a difference is told: {found}"
            );
        }
    }
}
