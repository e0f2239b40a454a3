//! What is never told: values of containers' environment variables, and options of a log driver
//! that are called a secret.
//!
//! A place is a path, in a task definition or in an object that holds one or overrides it:
//! `containerDefinitions[app].environment[KEY].value`.

use serde_json::{Map, Value};

/// What is told instead of a value.
pub const HIDDEN: &str = "(hidden)";
/// What is told instead of a value beside another one that is hidden and not the same.
pub const HIDDEN_OTHER: &str = "(hidden, differs)";

/// Lists of what has an environment.
const CONTAINERS: [&str; 2] = ["containerDefinitions[", "containerOverrides["];
/// The list of variables, as a path goes on behind a container.
const VARIABLES: &str = "].environment";
/// Parts of the names of options that hold secrets.
const SECRETS: [&str; 5] = ["token", "secret", "password", "apikey", "api_key"];

/// Whether nothing of a value at this path may be told, unless it is a list of variables.
pub fn is_hidden(path: &str) -> bool {
    behind_variables(path).is_some() || is_secret_option(path)
}

/// A value without what may not be told. Of a list of variables the names are left.
pub fn told(path: &str, value: &Value) -> Value {
    let inside = |name: &str, member: &Value| told(&format!("{path}{name}"), member);
    match value {
        Value::Array(items) if behind_variables(path) == Some("") => {
            items.iter().map(name_only).collect()
        }
        _ if is_hidden(path) => HIDDEN.into(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), inside(&format!(".{name}"), member)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| inside("[]", item)).collect(),
        other => other.clone(),
    }
}

/// Two values at one path that differ; they differ in what is told, too.
pub fn told_apart(
    path: &str,
    one: Option<&Value>,
    other: Option<&Value>,
) -> (Option<Value>, Option<Value>) {
    let one = one.map(|value| told(path, value));
    let other = other.map(|value| told(path, value));
    if one.is_some() && one == other {
        return (one, Some(HIDDEN_OTHER.into()));
    }
    (one, other)
}

/// What of a path is behind a container's list of variables; none when it does not go there.
fn behind_variables(path: &str) -> Option<&str> {
    let behind = |list: &str| {
        let (_, container) = path.split_once(list)?;
        let (_, rest) = container.split_once(VARIABLES)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
    };
    CONTAINERS.into_iter().find_map(behind)
}

fn is_secret_option(path: &str) -> bool {
    path.rsplit_once(".options.").is_some_and(|(_, name)| {
        let name = name.to_ascii_lowercase();
        SECRETS.iter().any(|word| name.contains(word))
    })
}

/// The name of a variable; whatever else stands in its place may be a value.
fn name_only(item: &Value) -> Value {
    item.get("name")
        .filter(|name| name.is_string())
        .cloned()
        .unwrap_or_else(|| HIDDEN.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_values_of_variables_and_secret_options_are_hidden() {
        let container = "spec.migrations[db].overrides.containerOverrides[app]";
        let inline = "spec.services[web].taskDefinition.inline.containerDefinitions[app]";
        for hidden in [
            format!("{container}.environment[KEY].value"),
            format!("{container}.environment[\"A.B\"]"),
            format!("{inline}.environment[KEY]"),
            format!("{inline}.environment.KEY"),
            format!("{inline}.logConfiguration.options.splunk-token"),
            format!("{inline}.logConfiguration.options.\"a.Secret\""),
        ] {
            assert!(is_hidden(&hidden), "{hidden}");
            assert_eq!(told(&hidden, &json!("s3cr3t")), HIDDEN);
        }
        for open in [
            format!("{container}.command"),
            format!("{inline}.environmentFiles"),
            format!("{inline}.secrets[KEY].valueFrom"),
            format!("{inline}.logConfiguration.options.awslogs-group"),
            "spec.images.environment.tag".to_owned(),
            "metadata.labels.environment".to_owned(),
        ] {
            assert!(!is_hidden(&open), "{open}");
            assert_eq!(told(&open, &json!("shown")), "shown");
        }
    }

    #[test]
    fn a_whole_value_is_told_without_its_secrets() {
        let container = json!({
            "name": "app",
            "environment": [{"name": "KEY", "value": "s3cr3t"}, "LOOSE=s3cr3t"],
            "secrets": [{"name": "TOKEN", "valueFrom": "arn"}],
            "logConfiguration": {"options": {"token": "s3cr3t", "group": "g"}},
        });
        let expected = json!({
            "name": "app",
            "environment": ["KEY", HIDDEN],
            "secrets": [{"name": "TOKEN", "valueFrom": "arn"}],
            "logConfiguration": {"options": {"token": HIDDEN, "group": "g"}},
        });
        let whole = json!({"taskDefinition": {"inline": {"containerDefinitions": [container]}}});
        let found = &told("spec.services[web]", &whole)["taskDefinition"]["inline"];
        assert_eq!(found["containerDefinitions"][0], expected);
        let found = told("spec.x.containerDefinitions[app]", &container);
        assert_eq!(found, expected);
        let map = json!({"containerOverrides": [{"environment": {"KEY": "s3cr3t"}}]});
        let found = told("spec.x.overrides", &map);
        assert_eq!(found["containerOverrides"][0]["environment"], HIDDEN);
    }

    #[test]
    fn values_that_differ_are_told_apart() {
        let path = "containerOverrides[app].environment";
        let list =
            |value: &str| json!([{"name": "K", "value": value}, {"name": "K", "value": "x"}]);
        let (one, other) = told_apart(path, Some(&list("1")), Some(&list("2")));
        assert_eq!(one, Some(json!(["K", "K"])));
        assert_eq!(other, Some(HIDDEN_OTHER.into()));
        let (one, other) = told_apart("spec.suspend", Some(&json!(true)), None);
        assert_eq!((one, other), (Some(json!(true)), None));
    }
}
