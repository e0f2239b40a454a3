//! What a call answers when AWS refuses it.

use serde_json::{Map, Value};

/// An AWS error answer: HTTP status, exception name, sentence, and the members beside them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// HTTP status.
    pub status: u16,
    /// The exception's name, as the service model has it (`ServiceNotFoundException`).
    pub code: &'static str,
    /// The sentence for people.
    pub message: String,
    /// Further members of the exception (`CancellationReasons`, `resourceIds`).
    pub extra: Map<String, Value>,
}

impl Fault {
    /// The caller's mistake: status 400, which every awsJson service uses for its exceptions.
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
            extra: Map::new(),
        }
    }

    /// AWS's own failure: status 500.
    pub fn server(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 500,
            code,
            message: message.into(),
            extra: Map::new(),
        }
    }

    /// Adds a member to the exception.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.extra.insert(key.to_owned(), value);
        self
    }
}
