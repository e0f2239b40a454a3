//! Small things about JSON and time.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// A time as awsJson has it: seconds since 1970, with milliseconds.
pub(super) fn seconds(at: Timestamp) -> Value {
    // Exact for every millisecond of the next millennia: 2^53 is far beyond.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
    let millis = at.as_millisecond() as f64;
    Value::from(millis / 1000.0)
}

/// As [`seconds`], for a time that may not have come yet.
pub(super) fn maybe_seconds(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, seconds)
}

/// The object without its null members: ECS leaves out what it does not know.
pub(super) fn tidy(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .collect(),
        ),
        other => other,
    }
}

/// The value without nulls at any depth: to ECS a null member is an absent one.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(drop_nulls(members)),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .filter(|item| !item.is_null())
                .map(without_nulls)
                .collect(),
        ),
        other => other.clone(),
    }
}

/// As [`without_nulls`], of an object's members.
pub(super) fn drop_nulls(members: &Map<String, Value>) -> Map<String, Value> {
    members
        .iter()
        .filter(|(_, member)| !member.is_null())
        .map(|(name, member)| (name.clone(), without_nulls(member)))
        .collect()
}

/// Puts a member where there is none.
pub(super) fn default_to(members: &mut Map<String, Value>, name: &str, value: Value) {
    if !members.contains_key(name) {
        members.insert(name.to_owned(), value);
    }
}

/// `at` plus `wait`; the end of time stays the end of time.
pub(super) fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// `at` plus whole seconds.
pub(super) fn in_seconds(at: Timestamp, wait: i64) -> Timestamp {
    later(at, SignedDuration::from_secs(wait))
}
