//! Event patterns, as far as rules about AWS's own events need them: exact values, `prefix`,
//! `suffix`, `exists` and `anything-but`. PutRule refuses the others, so that none is passed over.

use serde_json::Value;

use crate::sandbox::json::Object;

/// Why a pattern is not accepted.
pub(super) fn check(pattern: &Object) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("Empty event pattern is not allowed".to_owned());
    }
    pattern.iter().try_for_each(|(name, wanted)| match wanted {
        _ if name.starts_with('$') => Err(format!("the sandbox has no {name}")),
        Value::Object(inner) => check(inner),
        Value::Array(filters) if filters.is_empty() => {
            Err("Empty arrays are not allowed".to_owned())
        }
        Value::Array(filters) => filters.iter().try_for_each(check_filter),
        _ => Err(format!("\"{name}\" must be an object or an array")),
    })
}

fn check_filter(filter: &Value) -> Result<(), String> {
    let unknown = |name: &str| Err(format!("Unrecognized match type {name}"));
    match filter {
        Value::Array(_) => Err("Match value must be String, number, true, false, or null".into()),
        Value::Object(one) => match one.iter().next() {
            Some((name, Value::String(_))) if matches!(name.as_str(), "prefix" | "suffix") => {
                Ok(())
            }
            Some((name, Value::Bool(_))) if name == "exists" => Ok(()),
            Some((name, value)) if name == "anything-but" => match value {
                Value::Object(inner) => match inner.get("prefix") {
                    Some(Value::String(_)) => Ok(()),
                    _ => unknown(inner.keys().next().map_or("", String::as_str)),
                },
                _ => Ok(()),
            },
            other => unknown(other.map_or("", |(name, _)| name)),
        },
        _ => Ok(()),
    }
}

/// Whether an event is one of those that the pattern is about.
pub(super) fn matches(pattern: &Object, event: &Value) -> bool {
    pattern.iter().all(|(name, wanted)| {
        let found = event.get(name);
        match wanted {
            Value::Object(inner) => matches(inner, found.unwrap_or(&Value::Null)),
            Value::Array(filters) => filters.iter().any(|filter| covers(filter, found)),
            _ => false,
        }
    })
}

fn covers(filter: &Value, found: Option<&Value>) -> bool {
    if let Some(wanted) = filter.get("exists").and_then(Value::as_bool) {
        return found.is_some_and(|value| !value.is_object()) == wanted;
    }
    match found {
        None => false,
        // One of several is enough.
        Some(Value::Array(values)) => values.iter().any(|value| covers_one(filter, value)),
        Some(value) => covers_one(filter, value),
    }
}

fn covers_one(filter: &Value, value: &Value) -> bool {
    let Value::Object(filter) = filter else {
        return filter == value;
    };
    let text = value.as_str().unwrap_or_default();
    let named = |name: &str| filter.get(name).and_then(Value::as_str);
    if let Some(prefix) = named("prefix") {
        return value.is_string() && text.starts_with(prefix);
    }
    if let Some(suffix) = named("suffix") {
        return value.is_string() && text.ends_with(suffix);
    }
    match filter.get("anything-but") {
        Some(Value::Array(unwanted)) => !unwanted.contains(value),
        Some(Value::Object(inner)) => {
            let prefix = inner.get("prefix").and_then(Value::as_str);
            !prefix.is_some_and(|prefix| text.starts_with(prefix))
        }
        Some(unwanted) => unwanted != value,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_event_matches_in_every_member_that_the_pattern_names() {
        let event = json!({
            "source": "aws.ecr", "resources": ["arn:a", "arn:b"],
            "detail": {"action-type": "PUSH", "repository-name": "shop/web", "size": 3},
        });
        for (pattern, wanted) in [
            (json!({"source": ["aws.ecs", "aws.ecr"]}), true),
            (json!({"source": ["aws.ecs"]}), false),
            (json!({"resources": ["arn:b"]}), true),
            (json!({"detail": {"size": [3]}}), true),
            (json!({"detail": {"size": ["3"]}}), false),
            (
                json!({"source": ["aws.ecr"], "detail": {"action-type": ["DELETE"]}}),
                false,
            ),
            (
                json!({"detail": {"repository-name": [{"prefix": "shop/"}]}}),
                true,
            ),
            (
                json!({"detail": {"repository-name": [{"suffix": "/api"}]}}),
                false,
            ),
            (json!({"detail": {"image-tag": [{"exists": false}]}}), true),
            (json!({"detail": {"image-tag": [{"exists": true}]}}), false),
            (json!({"nothing": {"inner": [{"exists": false}]}}), true),
            (
                json!({"detail": {"action-type": [{"anything-but": "PUSH"}]}}),
                false,
            ),
            (
                json!({"detail": {"action-type": [{"anything-but": ["DELETE"]}]}}),
                true,
            ),
            (
                json!({"detail": {"action-type": [{"anything-but": {"prefix": "PU"}}]}}),
                false,
            ),
            (json!({"nothing": [{"anything-but": "x"}]}), false),
        ] {
            assert_eq!(check(&object(pattern.clone())), Ok(()), "{pattern}");
            let pattern = object(pattern);
            assert_eq!(matches(&pattern, &event), wanted, "{pattern:?}");
        }
    }

    #[test]
    fn what_is_not_played_is_refused() {
        for pattern in [
            json!({}),
            json!({"source": "aws.ecs"}),
            json!({"source": []}),
            json!({"detail": {}}),
            json!({"source": [["aws.ecs"]]}),
            json!({"detail": {"size": [{"numeric": [">", 1]}]}}),
            json!({"$or": [{"source": ["a"]}]}),
            json!({"source": [{"anything-but": {"wildcard": "a*"}}]}),
        ] {
            assert!(check(&object(pattern.clone())).is_err(), "{pattern}");
        }
    }
}
