//! Content hashes: SHA-256 over canonical JSON (keys sorted, no white space).

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Hash of any serialisable value, 64 hexadecimal characters. Key order carries no meaning.
pub fn of<T: Serialize + ?Sized>(value: &T) -> String {
    // A value that does not serialise has no content to tell apart; none of ours is one.
    of_value(&serde_json::to_value(value).unwrap_or(Value::Null))
}

/// Hash of JSON, as [`of`].
pub fn of_value(value: &Value) -> String {
    let mut canonical = String::new();
    write(value, &mut canonical);
    let digest = Sha256::digest(canonical.as_bytes());
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Canonical JSON: keys sorted, no white space.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                write(member, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_content_counts() {
        let one = json!({"b": [1, {"y": null, "x": "\"q\""}], "a": true});
        let other = json!({"a": true, "b": [1, {"x": "\"q\"", "y": null}]});
        assert_eq!(of(&one), of(&other));
        assert_ne!(
            of(&one),
            of(&json!({"a": true, "b": [{"x": "\"q\"", "y": null}, 1]}))
        );
        assert_ne!(of(&json!({"a": "1"})), of(&json!({"a": 1})));
    }

    #[test]
    fn the_hash_is_of_canonical_json() {
        // sha256 of {"a":1,"b":[true,null]}
        assert_eq!(
            of(&json!({"b": [true, null], "a": 1})),
            "1cc69c7fa23616ca2ec3ee70d24390a6225c8832db8a4c814c7e0e7f942f8668"
        );
    }
}
