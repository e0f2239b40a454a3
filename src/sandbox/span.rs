//! Durations as people write them (`5s`, `2m 30s`, `PT1M`), for serde.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes `5s`.
pub(super) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
    let signed = SignedDuration::try_from(*value).unwrap_or(SignedDuration::MAX);
    out.serialize_str(&format!("{signed:#}"))
}

/// Reads a duration, or a number of seconds.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }
    match Written::deserialize(input)? {
        Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|e| D::Error::custom(format!("{seconds} is no duration: {e}"))),
        Written::Text(text) => parse(&text).map_err(D::Error::custom),
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text
        .parse()
        .map_err(|e| format!("\"{text}\" is no duration, write one like 5s or 2m: {e}"))?;
    Duration::try_from(signed).map_err(|_| format!("\"{text}\" is a negative duration"))
}
