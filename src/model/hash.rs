//! Content hashes: SHA-256 over canonical JSON (keys sorted, no white space).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Hash of any serialisable value, 64 hexadecimal characters. Key order carries no meaning.
pub fn of<T: Serialize + ?Sized>(value: &T) -> String {
    // A value that does not serialise has no content to tell apart; none of ours is one.
    let json = serde_json::to_value(value).unwrap_or(Value::Null);
    let digest = Sha256::digest(canonical(&json).to_string().as_bytes());
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> = map
                .iter()
                .map(|(key, value)| (key, canonical(value)))
                .collect();
            Value::Object(
                sorted
                    .into_iter()
                    .map(|(key, value)| (key.clone(), value))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}
