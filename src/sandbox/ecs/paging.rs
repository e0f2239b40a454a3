//! `maxResults` and `nextToken`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::super::fault::Fault;
use super::validate::{Input, invalid};

/// Cuts the page that the call asks for out of `items` and names it `member` in the answer.
///
/// The token holds the last item given and its place, so that a list which changes between two
/// pages is taken up at the right spot.
pub(super) fn page(
    input: Input<'_>,
    member: &str,
    items: Vec<(String, Value)>,
    default_size: usize,
) -> Result<Value, Fault> {
    let size = page_size(input, default_size)?;
    let start = match input.text("nextToken")?.filter(|token| !token.is_empty()) {
        Some(token) => start_after(token, &items).ok_or_else(|| invalid("Invalid token."))?,
        None => 0,
    };
    let end = (start + size).min(items.len());
    let mut answer = Map::new();
    let next = (end < items.len())
        .then(|| items.get(end - 1).map(|(key, _)| token(end, key)))
        .flatten();
    let shown = items
        .into_iter()
        .skip(start)
        .take(end.saturating_sub(start));
    answer.insert(member.to_owned(), shown.map(|(_, value)| value).collect());
    if let Some(next) = next {
        answer.insert("nextToken".to_owned(), Value::from(next));
    }
    Ok(Value::Object(answer))
}

fn page_size(input: Input<'_>, default_size: usize) -> Result<usize, Fault> {
    match input.int("maxResults")? {
        None => Ok(default_size),
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|size| (1..=100).contains(size))
            .ok_or_else(|| invalid("maxResults must be between 1 and 100.")),
    }
}

fn token(end: usize, key: &str) -> String {
    format!("{end}:{key}")
        .bytes()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn start_after(token: &str, items: &[(String, Value)]) -> Option<usize> {
    let bytes = token
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect::<Option<Vec<u8>>>()?;
    let text = String::from_utf8(bytes).ok()?;
    let (end, key) = text.split_once(':')?;
    let end: usize = end.parse().ok()?;
    let found = items.iter().position(|(have, _)| have == key);
    Some(found.map_or(end, |at| at + 1).min(items.len()))
}
