//! Typed differences of two task definitions, field by field, after normalising.
//!
//! Values of environment variables are never told, only that they differ.

use serde_json::{Map, Value};

use super::normalize;
use crate::resource::hidden;

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

/// Fields in which two definitions differ, in a stable order. Tags count, the family does not.
pub fn definitions(desired: &Value, actual: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    let desired = normalize::definition(desired).to_value();
    let actual = normalize::definition(actual).to_value();
    compare("", &desired, &actual, &mut found);
    found
}

fn compare(path: &str, desired: &Value, actual: &Value, found: &mut Vec<FieldDifference>) {
    match (desired, actual) {
        (Value::Object(desired), Value::Object(actual)) => {
            compare_objects(path, desired, actual, found);
        }
        (Value::Array(desired_items), Value::Array(actual_items)) => {
            match (keyed(desired_items), keyed(actual_items)) {
                (Some(desired), Some(actual)) => compare_keyed(path, &desired, &actual, found),
                _ if desired_items != actual_items => {
                    found.push(changed(path, Some(desired), Some(actual)));
                }
                _ => {}
            }
        }
        _ if desired != actual => found.push(changed(path, Some(desired), Some(actual))),
        _ => {}
    }
}

/// A field that differs, or that only one side has.
fn changed(path: &str, desired: Option<&Value>, actual: Option<&Value>) -> FieldDifference {
    let (desired, actual) = hidden::told_apart(path, desired, actual);
    FieldDifference {
        field: path.to_owned(),
        desired: show(desired),
        actual: show(actual),
    }
}

fn compare_objects(
    path: &str,
    desired: &Map<String, Value>,
    actual: &Map<String, Value>,
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
        match (desired.get(name), actual.get(name)) {
            (Some(desired), Some(actual)) => compare(&field, desired, actual, found),
            (desired, actual) => found.push(changed(&field, desired, actual)),
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
    let mut keys: Vec<&String> = desired.iter().chain(actual).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let field = format!("{path}[{key}]");
        match (find(desired, key), find(actual, key)) {
            (Some(desired), Some(actual)) => compare(&field, desired, actual, found),
            (desired, actual) => found.push(changed(&field, desired, actual)),
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

fn show(value: Option<Value>) -> String {
    match value {
        None => ABSENT.to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
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
