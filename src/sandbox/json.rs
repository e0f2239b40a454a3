//! Reading inputs and writing answers of awsJson calls.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fault::Fault;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// A string member; null and absent are the same to AWS.
pub(super) fn text<'a>(input: &'a Object, key: &str) -> Option<&'a str> {
    input.get(key).and_then(Value::as_str)
}

/// A list member, empty when absent.
pub(super) fn list<'a>(input: &'a Object, key: &str) -> &'a [Value] {
    input
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The strings of a list member.
pub(super) fn texts<'a>(input: &'a Object, key: &str) -> Vec<&'a str> {
    list(input, key).iter().filter_map(Value::as_str).collect()
}

/// A whole number.
pub(super) fn int(input: &Object, key: &str) -> Option<i64> {
    input.get(key).and_then(Value::as_i64)
}

/// A boolean, false when absent.
pub(super) fn flag(input: &Object, key: &str) -> bool {
    input.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A time as awsJson writes it: seconds, to the millisecond.
pub(super) fn epoch(at: Timestamp) -> Value {
    let millis = at.as_millisecond();
    // Exact: milliseconds of this millennium fit a double's 53 bits.
    Value::from(millis as f64 / 1000.0)
}

/// Takes the nulls out of an object: to AWS they were never sent.
pub(super) fn without_nulls(input: &Object) -> Object {
    input
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// What a page holds, and how to ask for the next one.
pub(super) struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// One page of `items`, which come ordered by their keys. A token names the last key shown, so
/// that additions and removals between two pages neither repeat nor lose an item.
pub(super) fn page<T>(
    items: impl IntoIterator<Item = (String, T)>,
    token: Option<&str>,
    limit: usize,
    invalid: fn() -> Fault,
) -> Result<Page<T>, Fault> {
    let after = token
        .map(|token| unhex(token).ok_or_else(invalid))
        .transpose()?;
    let mut rest = items
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .peekable();
    let mut shown = Vec::new();
    let mut last = String::new();
    while shown.len() < limit
        && let Some((key, item)) = rest.next()
    {
        shown.push(item);
        last = key;
    }
    let next = rest.peek().map(|_| hex(&last));
    Ok(Page { items: shown, next })
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(token: &str) -> Option<String> {
    let digits: Vec<u8> = token
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes = digits
        .chunks(2)
        .map(|pair| pair[0] * 16 + pair[1])
        .collect();
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid() -> Fault {
        Fault::client("InvalidNextToken", "bad token")
    }

    #[test]
    fn pages_go_on_after_the_last_item_shown_whatever_came_or_went() {
        let named = |names: &[&str]| -> Vec<(String, String)> {
            names
                .iter()
                .map(|n| ((*n).to_owned(), (*n).to_owned()))
                .collect()
        };
        let first = page(named(&["a", "c", "e"]), None, 2, invalid).unwrap();
        assert_eq!(first.items, ["a", "c"]);
        let token = first.next.unwrap();
        let second = page(named(&["b", "d", "e"]), Some(&token), 2, invalid).unwrap();
        assert_eq!(second.items, ["d", "e"]);
        assert_eq!(second.next, None);
        for bad in ["zz", "0", "ff"] {
            assert!(page(named(&["a"]), Some(bad), 2, invalid).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let at: Timestamp = "2026-11-21T01:02:03.456Z".parse().unwrap();
        assert_eq!(epoch(at).to_string(), "1795222923.456");
    }
}
