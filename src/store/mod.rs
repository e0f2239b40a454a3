//! The table: what people want, what the controller found and did, and how neither loses the
//! other's writes.
//!
//! People and CI write through [`Store`]; the controller writes through [`ControllerStore`], which
//! is fenced: a controller that was replaced can change nothing any more.

mod apply;
mod check;
mod controller;
mod delete;
mod edit;
mod error;
mod hints;
pub mod keys;
pub mod lease;
mod ledger;
pub mod merge;
mod objects;
mod outbox;
mod record;
mod rejections;
mod requests;
mod requires;
mod setup;
mod watch;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::dynamodb::Table;
use crate::model::desired::Deletion;
use crate::model::notice::Announced;
use crate::resource::meta::{Kind, Release, ReleaseKey};
use crate::resource::status::ReleaseStatus;

pub use apply::ApplyOptions;
pub use controller::{ClaimOutcome, ControllerStore};
pub use delete::{Left, Pruned};
pub use edit::{EditOptions, NewTag};
pub use error::StoreError;
pub use objects::version_in_list;
pub use outbox::Telling;
pub use setup::InitReport;
pub use watch::Changed;

/// Reads, and the writes of people and CI. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    table: Table,
}

impl Store {
    /// The store in a table. Nothing is called yet.
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The table below.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

/// An object's identity across kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; an Environment has none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// An Environment's.
    pub fn environment(name: impl Into<String>) -> Self {
        Self {
            kind: Kind::Environment,
            namespace: None,
            name: name.into(),
        }
    }

    /// A Release's.
    pub fn release(key: &ReleaseKey) -> Self {
        let ReleaseKey { namespace, name } = key.clone();
        Self {
            kind: Kind::Release,
            namespace: Some(namespace),
            name,
        }
    }

    /// Namespace and name; the namespace is empty where there is none.
    pub fn release_key(&self) -> ReleaseKey {
        ReleaseKey::new(self.namespace.clone().unwrap_or_default(), &self.name)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A Release as the table has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRelease {
    /// The object, with its status, and metadata as the table keeps it.
    pub release: Release,
    /// Version of the status item, to be stated by the next [`ControllerStore::put_status`];
    /// 0 when there is none.
    pub status_version: u64,
    /// What people have been told of it.
    pub announced: Announced,
    /// Set when its deletion was asked for.
    pub deleting: Option<Deletion>,
    /// Who made the newest change of the spec.
    pub applier: Option<String>,
    /// The source revision that came with that change.
    pub source: Option<String>,
    /// When that was.
    pub applied_at: Timestamp,
    /// Who last applied a manifest of it.
    pub manager: Option<String>,
    /// Who set which field.
    pub set_by: FieldOwnership,
}

/// What is known of a Release whose spec this version cannot read.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadableRelease {
    /// The object's identity.
    pub uid: String,
    /// The spec's generation.
    pub generation: u64,
    /// Set when its deletion was asked for.
    pub deleting: Option<Deletion>,
    /// Its status.
    pub status: Option<ReleaseStatus>,
    /// As [`StoredRelease::status_version`].
    pub status_version: u64,
    /// What people have been told of it.
    pub announced: Announced,
}

impl StoredRelease {
    /// Namespace and name.
    pub fn key(&self) -> ReleaseKey {
        self.release.release_key()
    }

    /// The object's identity.
    pub fn uid(&self) -> &str {
        self.release.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The spec's generation.
    pub fn generation(&self) -> u64 {
        self.release.metadata.generation.unwrap_or_default()
    }
}

/// Field path -> who set it. A path speaks for everything within it that has no entry of its own.
pub type FieldOwnership = BTreeMap<String, SetBy>;

/// Who set a field, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetBy {
    /// The applier.
    pub applier: String,
    /// When.
    pub at: Timestamp,
    /// Whether it took the field out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// What came of an apply or an edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Whether anything was written.
    pub outcome: ApplyOutcome,
    /// The spec's generation afterwards.
    pub generation: u64,
    /// The resourceVersion afterwards.
    pub resource_version: String,
    /// Fields that were written, where the object was there before.
    pub changes: Vec<FieldChange>,
    /// Fields in which the table differs from the file, because somebody else set them since.
    pub kept: Vec<KeptField>,
}

/// Whether anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The object is new.
    Created,
    /// The object changed.
    Configured,
    /// The object is as it was.
    Unchanged,
    /// The same, and the controller is asked to try it again.
    TriedAgain,
}

impl std::fmt::Display for ApplyOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ApplyOutcome::Created => "created",
            ApplyOutcome::Configured => "configured",
            ApplyOutcome::Unchanged => "unchanged",
            ApplyOutcome::TriedAgain => "unchanged, to be tried again",
        })
    }
}

/// A field that was written. What may not be told is hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Where: `spec.images.app.tag`, `metadata.labels.team`.
    pub path: String,
    /// What was there.
    pub from: Option<Value>,
    /// What is there now.
    pub to: Option<Value>,
}

/// A field that was left as somebody else set it. What may not be told is hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptField {
    /// Where.
    pub path: String,
    /// What the file says.
    pub in_file: Option<Value>,
    /// What is there.
    pub in_table: Option<Value>,
    /// Who set it, as far as is known.
    pub set_by: Option<SetBy>,
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
