//! Who is told when a Release stands otherwise than before: a part of an Environment.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretRef;

/// Somebody who is told when Releases of an Environment stand otherwise than before. Exactly one of
/// `slack`, `sns` and `eventBridge` says how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notification {
    /// Its name, unique in the Environment.
    pub name: String,
    /// A webhook of Slack, or of whatever takes the same messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackTarget>,
    /// An SNS topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sns: Option<SnsTarget>,
    /// An event bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_bridge: Option<EventBridgeTarget>,
    /// What is told; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<NotificationEvent>>,
    /// Globs of the names of the Releases that are told of; all of the Environment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<Vec<String>>,
    /// The text, in which `${release}`, `${namespace}`, `${event}`, `${reason}`, `${message}`,
    /// `${generation}`, `${revision}`, `${images}`, `${source}` and `${applier}` stand for what they
    /// say; one of evenkeel's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// A webhook of Slack, or of whatever takes the same messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlackTarget {
    /// Where the webhook's URL lies. The URL is a secret: whoever has it can post.
    pub webhook_url: SecretRef,
}

/// An SNS topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnsTarget {
    /// The topic's ARN.
    pub topic_arn: String,
}

/// An event bus of EventBridge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventBridgeTarget {
    /// The bus's name or ARN; `default` is every account's own.
    pub event_bus_name: String,
    /// The event's source; `evenkeel` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What is told of a Release.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum NotificationEvent {
    /// A revision begins.
    Started,
    /// Everything declared is so; also again, after it was Stalled.
    Ready,
    /// It cannot go on without a person.
    Stalled,
    /// A revision failed, and everything is back on an earlier one.
    RolledBack,
    /// Something declared is not so any more.
    DriftFound,
    /// Nothing differs any more.
    DriftCorrected,
    /// A revision waits for somebody to agree to it.
    WaitingForApproval,
}

impl NotificationEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Started,
        Self::Ready,
        Self::Stalled,
        Self::RolledBack,
        Self::DriftFound,
        Self::DriftCorrected,
        Self::WaitingForApproval,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Ready => "Ready",
            Self::Stalled => "Stalled",
            Self::RolledBack => "RolledBack",
            Self::DriftFound => "DriftFound",
            Self::DriftCorrected => "DriftCorrected",
            Self::WaitingForApproval => "WaitingForApproval",
        }
    }
}

impl fmt::Display for NotificationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may stand in `${...}` of a template.
pub const PLACEHOLDERS: [&str; 10] = [
    "release",
    "namespace",
    "event",
    "reason",
    "message",
    "generation",
    "revision",
    "images",
    "source",
    "applier",
];

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// What stands between `${` and `}`.
    Placeholder(&'a str),
    /// A `${` that nothing closes, and what follows it.
    Open(&'a str),
}

/// A template in its pieces. A `$` without `{` is text.
pub fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, inner)) = rest.split_once("${") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        match inner.split_once('}') {
            Some((name, after)) => {
                pieces.push(Piece::Placeholder(name));
                rest = after;
            }
            None => {
                pieces.push(Piece::Open(inner));
                return pieces;
            }
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_falls_into_text_and_placeholders() {
        use Piece::{Open, Placeholder, Text};
        assert_eq!(
            pieces("${release} costs $5: ${message}!"),
            [
                Placeholder("release"),
                Text(" costs $5: "),
                Placeholder("message"),
                Text("!")
            ]
        );
        assert_eq!(pieces("a ${b"), [Text("a "), Open("b")]);
        assert_eq!(pieces("${}"), [Placeholder("")]);
        assert_eq!(pieces(""), []);
    }
}
