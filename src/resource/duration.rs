//! Lengths of time as manifests write them: `90s`, `15m`, `1h 30m`, `PT1H30M`.

use std::borrow::Cow;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A positive length of time, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    written: String,
    length: SignedDuration,
}

impl Span {
    /// Reads `15m`, `1h 30m`, `PT15M`; zero and less are refused.
    ///
    /// # Errors
    /// A sentence that says what is wrong and shows what is right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let length: SignedDuration = text.parse().map_err(|_| {
            format!("`{text}` is not a length of time; write for example `90s`, `15m` or `1h 30m`")
        })?;
        if length <= SignedDuration::ZERO {
            return Err(format!("`{text}` is not a positive length of time"));
        }
        Ok(Self {
            written: text.to_owned(),
            length,
        })
    }

    /// Reads a length where none at all, such as `0s`, is one.
    ///
    /// # Errors
    /// As [`Span::parse`].
    pub fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let is_zero = |length: SignedDuration| length.is_zero();
        if text.parse().is_ok_and(is_zero) {
            let length = SignedDuration::ZERO;
            let written = text;
            return Ok(Some(Self { written, length }));
        }
        Self::parse(&text)
            .map(Some)
            .map_err(serde::de::Error::custom)
    }

    /// The length itself.
    pub fn length(&self) -> SignedDuration {
        self.length
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "example": "15m",
            "description": "A length of time: 90s, 15m, 1h 30m, PT1H30M",
        })
    }
}
