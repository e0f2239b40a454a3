//! The attributes of a queue: texts to its clients, mostly numbers to itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::queue::Queue;
use super::{Cx, Fault, Object, texts, unsupported};

/// Name, least, most and default.
const NUMBERS: [(&str, i64, i64, i64); 5] = [
    ("DelaySeconds", 0, 900, 0),
    ("MaximumMessageSize", 1024, 1_048_576, 1_048_576),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("VisibilityTimeout", 0, 43_200, 30),
];
/// Kept as it is, and not looked at.
const POLICY: &str = "Policy";

/// Those of a new queue.
pub(super) fn defaults() -> BTreeMap<String, String> {
    NUMBERS
        .iter()
        .map(|(name, _, _, value)| ((*name).to_owned(), value.to_string()))
        .collect()
}

/// Those of a call, checked.
pub(super) fn read(input: &Object) -> Result<BTreeMap<String, String>, Fault> {
    let given = input.get("Attributes").and_then(Value::as_object);
    given
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let value = value.as_str().unwrap_or_default();
            check(name, value)?;
            Ok((name.clone(), value.to_owned()))
        })
        .collect()
}

fn check(name: &str, value: &str) -> Result<(), Fault> {
    if matches!(name, "FifoQueue" | "RedrivePolicy" | "RedriveAllowPolicy") {
        return Err(unsupported(name));
    }
    let bounds = NUMBERS.iter().find(|(known, ..)| *known == name);
    let valid = match bounds {
        Some((_, least, most, _)) => value
            .parse::<i64>()
            .is_ok_and(|number| (*least..=*most).contains(&number)),
        None if name == POLICY => value.is_empty() || serde_json::from_str::<Object>(value).is_ok(),
        None => return Err(unknown(name)),
    };
    if valid {
        return Ok(());
    }
    Err(Fault::client(
        "InvalidAttributeValue",
        format!("Invalid value for the parameter {name}."),
    ))
}

fn unknown(name: &str) -> Fault {
    Fault::client("InvalidAttributeName", format!("Unknown Attribute {name}."))
}

/// As GetQueueAttributes answers them: those that are asked for.
pub(super) fn show(
    cx: &Cx<'_>,
    name: &str,
    queue: &Queue,
    input: &Object,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut all = queue.attributes.clone();
    let (visible, hidden, delayed) = queue.counts(cx.now);
    for (name, value) in [
        (
            "QueueArn",
            format!("arn:aws:sqs:{}:{}:{name}", cx.region, cx.account),
        ),
        ("ApproximateNumberOfMessages", visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", hidden.to_string()),
        ("ApproximateNumberOfMessagesDelayed", delayed.to_string()),
        ("CreatedTimestamp", queue.created.as_second().to_string()),
        (
            "LastModifiedTimestamp",
            queue.modified.as_second().to_string(),
        ),
        ("SqsManagedSseEnabled", "true".to_owned()),
    ] {
        all.insert(name.to_owned(), value);
    }
    let asked = texts(input, "AttributeNames");
    if asked.contains(&"All") {
        return Ok(all);
    }
    if let Some(strange) = asked
        .iter()
        .find(|name| !all.contains_key(**name) && **name != POLICY)
    {
        return Err(unknown(strange));
    }
    all.retain(|name, _| asked.contains(&name.as_str()));
    Ok(all)
}
