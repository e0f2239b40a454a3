//! How objects and records lie in the table.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::merge::{Divergence, within};
use super::{FieldOwnership, SetBy, StoreError};
use crate::aws::dynamodb::{Condition, Item, Key, normalize};
use crate::resource::meta::{API_VERSION, Kind, Object, ObjectMeta};

/// How many paths of removed fields are remembered with who removed them.
const REMEMBERED: usize = 50;

/// An Environment or Release as stored: everything but the status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub uid: String,
    pub generation: u64,
    /// The resourceVersion.
    pub version: u64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub spec: Value,
    pub created_at: Timestamp,
    /// When the spec last changed.
    pub applied_at: Timestamp,
    /// Who changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applier: Option<String>,
    /// The source revision that came with that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who last applied a manifest of it; `apply --prune` goes by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    #[serde(default)]
    pub orphan: bool,
    #[serde(default)]
    pub set_by: FieldOwnership,
}

impl Record {
    /// Labels, annotations and spec, as the merge sees them.
    pub fn document(&self) -> Value {
        document(&self.labels, &self.annotations, &self.spec)
    }

    /// Takes over a merged document; says whether the spec changed.
    pub fn set_document(&mut self, document: &Value) -> Result<bool, StoreError> {
        let text = |field: &str| -> Result<BTreeMap<String, String>, StoreError> {
            let value = document["metadata"]
                .get(field)
                .cloned()
                .unwrap_or_else(|| json!({}));
            serde_json::from_value(value).map_err(|error| {
                StoreError::Refused(format!("metadata.{field} cannot be merged: {error}"))
            })
        };
        self.labels = text("labels")?;
        self.annotations = text("annotations")?;
        let spec = document.get("spec").cloned().unwrap_or(Value::Null);
        let changed = spec != self.spec;
        self.spec = spec;
        Ok(changed)
    }

    /// Notes who changed which fields.
    pub fn note(&mut self, changes: &[Divergence], applier: &str, at: Timestamp) {
        for change in changes {
            self.set_by
                .retain(|path, _| path.is_empty() || !within(path, &change.path));
            let removed = change.right.is_none();
            let by = SetBy {
                applier: applier.to_owned(),
                at,
                removed,
            };
            self.set_by.insert(change.path.clone(), by);
        }
        let mut removed: Vec<_> = self
            .set_by
            .iter()
            .filter(|(_, by)| by.removed)
            .map(|(path, by)| (by.at, path.clone()))
            .collect();
        removed.sort();
        let surplus = removed.len().saturating_sub(REMEMBERED);
        for (_, path) in removed.drain(..surplus) {
            self.set_by.remove(&path);
        }
    }

    /// Who set a field: the entry of the field itself or of what it lies in.
    pub fn set_by(&self, path: &str) -> Option<&SetBy> {
        self.set_by
            .iter()
            .filter(|(outer, _)| within(path, outer))
            .max_by_key(|(outer, _)| outer.len())
            .map(|(_, by)| by)
    }

    /// The whole object, with a status from elsewhere.
    pub fn object<Spec: DeserializeOwned, Status>(
        &self,
        key: &Key,
        metadata: (Kind, String, Option<String>),
        status: Option<Status>,
    ) -> Result<Object<Spec, Status>, StoreError> {
        let (kind, name, namespace) = metadata;
        let spec =
            serde_json::from_value(self.spec.clone()).map_err(|error| StoreError::Malformed {
                key: key.clone(),
                why: error.to_string(),
            })?;
        Ok(Object {
            api_version: API_VERSION.to_owned(),
            kind,
            metadata: ObjectMeta {
                name,
                namespace,
                labels: self.labels.clone(),
                annotations: self.annotations.clone(),
                uid: Some(self.uid.clone()),
                generation: Some(self.generation),
                resource_version: Some(self.version.to_string()),
                creation_timestamp: Some(self.created_at),
                deletion_timestamp: self.deletion_timestamp,
            },
            spec,
            status,
        })
    }
}

/// What one applier applied last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastApplied {
    /// The object it was applied to: one made anew under the same name is another.
    pub uid: String,
    pub version: u64,
    pub document: Value,
    pub at: Timestamp,
}

/// Labels, annotations and spec in one value, with numbers as the table gives them back.
pub(super) fn document(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    spec: &Value,
) -> Value {
    normalize(json!({
        "metadata": { "labels": labels, "annotations": annotations },
        "spec": spec,
    }))
}

/// A record as an item under a key.
pub(super) fn to_item(key: &Key, record: &impl Serialize) -> Result<Item, StoreError> {
    let malformed = |why: String| StoreError::Malformed {
        key: key.clone(),
        why,
    };
    match serde_json::to_value(record).map_err(|error| malformed(error.to_string()))? {
        Value::Object(mut item) => {
            item.insert("pk".to_owned(), key.pk.clone().into());
            item.insert("sk".to_owned(), key.sk.clone().into());
            Ok(item)
        }
        other => Err(malformed(format!("{other} is no record"))),
    }
}

/// A record as an item under a key, one version newer than it was read.
pub(super) fn to_next_item(
    key: &Key,
    record: &impl Serialize,
    read: u64,
) -> Result<Item, StoreError> {
    let mut item = to_item(key, record)?;
    item.insert("version".to_owned(), (read + 1).into());
    Ok(item)
}

/// An item as the record it holds.
pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    let key = Key::of(&item);
    serde_json::from_value(Value::Object(item)).map_err(|error| StoreError::Malformed {
        key,
        why: error.to_string(),
    })
}

/// Nobody wrote since a record was read under this version; 0 is "not there".
pub(super) fn still(version: u64) -> Condition {
    match version {
        0 => Condition::Absent,
        version => Condition::Equals("version", version.into()),
    }
}
