//! apiVersion, kind and metadata, as Kubernetes has them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::environment::{EnvironmentSpec, EnvironmentStatus};
use super::release::ReleaseSpec;
use super::status::ReleaseStatus;

/// The API group and version of every resource.
pub const API_VERSION: &str = "evenkeel.dev/v1alpha1";

/// What kind a manifest is of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Kind {
    /// Where releases go: a cluster in an account and Region, with its rules.
    Environment,
    /// One unit that moves together.
    Release,
}

impl Kind {
    /// The kind as it is written in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Environment => "Environment",
            Kind::Release => "Release",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Release's identity: its namespace (which names its Environment) and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseKey {
    /// The namespace, which is the Environment's name.
    pub namespace: String,
    /// The name within the namespace.
    pub name: String,
}

impl ReleaseKey {
    /// Makes a key of both parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ReleaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Metadata, in the part of Kubernetes' ObjectMeta that evenkeel keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectMeta {
    /// Name, unique in its namespace (a Release) or in the table (an Environment).
    pub name: String,
    /// The Environment that a Release belongs to; absent on an Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, for people and selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Identity of this object: a release deleted and made again has another. Set by the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Rises by one when and only when the spec changes. Set by the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Changes on every write; a write with a stale one is refused. Set by the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// When the object was made. Set by the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub creation_timestamp: Option<Timestamp>,
    /// When deletion was asked for; the controller finishes it. Set by the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub deletion_timestamp: Option<Timestamp>,
}

/// A whole object, as a manifest holds it and `get` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<Spec, Status> {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// The kind.
    pub kind: Kind,
    /// Name, namespace, labels and what the table adds.
    pub metadata: ObjectMeta,
    /// What people want; written by people and CI only.
    pub spec: Spec,
    /// What the controller found and did; written by the controller only.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

fn none<T>() -> Option<T> {
    None
}

/// A Release with its status.
pub type Release = Object<ReleaseSpec, ReleaseStatus>;
/// An Environment with its status.
pub type Environment = Object<EnvironmentSpec, EnvironmentStatus>;

impl<Spec, Status> Object<Spec, Status> {
    /// The key of a Release; the namespace is empty where there is none.
    pub fn release_key(&self) -> ReleaseKey {
        ReleaseKey::new(
            self.metadata.namespace.clone().unwrap_or_default(),
            &self.metadata.name,
        )
    }
}
