//! What is told of a Release to people, and what has been told already.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::meta::ReleaseKey;
use crate::resource::notification::NotificationEvent;

/// Something that people are told of a Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The same however often it is sent, and no other's.
    pub id: String,
    /// The Release.
    pub release: ReleaseKey,
    /// What happened.
    pub event: NotificationEvent,
    /// The condition's reason, a word for programs.
    pub reason: String,
    /// The condition's message, a sentence for people.
    pub message: String,
    /// The generation that it is about.
    pub generation: u64,
    /// The revision that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Images of that revision: name -> reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// The source revision that was given to `apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applier: Option<String>,
    /// Whether it is Ready once more, after people were told that it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// When it happened.
    pub at: Timestamp,
}

/// What people have been told of a Release so far, kept beside its status: what was told once is not
/// told again by a restart or another replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// The newest revision that was told to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The newest revision that was told to be Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// The newest revision that was told to wait for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Why it was told to be Stalled since it was Ready last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<StalledFor>,
    /// Whether drift was told that has not been told to be gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift: bool,
}

/// Why a Release was told to be Stalled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StalledFor {
    /// The generation that it was told of.
    pub generation: u64,
    /// The revision that it was told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The reasons that were told of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Announced {
    /// Whether nothing has been told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A notice to one of those who are told, until it has reached them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// Name of the notification in the Environment, which says how.
    pub notification: String,
    /// What is told.
    pub notice: Notice,
}
