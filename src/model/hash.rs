//! Content hashes: SHA-256 over canonical JSON (keys sorted, no white space).

use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::resource::release::ReleaseSpec;

/// Hash of any serialisable value, 64 hexadecimal characters. Key order carries no meaning.
pub fn of<T: Serialize + ?Sized>(value: &T) -> String {
    // A value that does not serialise has no content to tell apart; none of ours is one.
    of_value(&serde_json::to_value(value).unwrap_or(Value::Null))
}

/// Hash of what a spec declares. Being suspended is no part of it: it says when, not what.
pub fn of_spec(spec: &ReleaseSpec) -> String {
    of(&ReleaseSpec {
        suspend: None,
        suspend_until: None,
        ..spec.clone()
    })
}

/// Hash of JSON, as [`of`].
pub fn of_value(value: &Value) -> String {
    of_canonical(&Sorted(value))
}

/// As [`of`], for a value that serialises to canonical JSON by itself.
pub fn of_canonical<T: Serialize + ?Sized>(value: &T) -> String {
    let canonical = serde_json::to_vec(value).unwrap_or_default();
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    Sha256::digest(canonical)
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// JSON whose members serialise in the order of their names.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let mut members: Vec<(&String, &Value)> = map.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                serializer.collect_map(
                    members
                        .into_iter()
                        .map(|(name, member)| (name, Sorted(member))),
                )
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            other => other.serialize(serializer),
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
