//! Changes of single fields, without a manifest: `set image`, `suspend`, `resume`.
//!
//! They leave alone what anybody applied last, so a later apply of an unchanged manifest keeps
//! them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::apply::ATTEMPTS;
use super::check;
use super::merge::diff;
use super::record::{Record, from_item, still, to_item};
use super::rejections::{Rejections, Writer};
use super::{Applied, ApplyOutcome, FieldChange, ObjectRef, Store, StoreError, keys};
use crate::aws::dynamodb::{Write, WriteError};
use crate::resource::meta::{ObjectMeta, ReleaseKey};
use crate::resource::release::ReleaseSpec;
use crate::resource::validate::FieldError;

/// What an image is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewTag {
    /// A tag.
    Tag(String),
    /// A digest, `sha256:...`.
    Digest(String),
}

/// Who edits, when, and where it comes from.
#[derive(Clone, Debug)]
pub struct EditOptions {
    /// Who edits.
    pub applier: String,
    /// The source revision that the edit comes from.
    pub source: Option<String>,
    /// Has it tried again what was rejected or gone back from.
    pub force: bool,
    /// The time.
    pub now: Timestamp,
}

/// What an edit does to a spec.
type Change<'a> = &'a (dyn Fn(&mut Map<String, Value>) -> Result<(), StoreError> + Sync);

/// One edit of a spec.
#[derive(Clone, Copy)]
struct Edit<'a> {
    applier: &'a str,
    /// The source revision that it comes from, if it brings one or says that there is none;
    /// otherwise what is released still comes from where it came from.
    #[expect(
        clippy::option_option,
        reason = "saying that there is none is not saying nothing"
    )]
    origin: Option<Option<&'a str>>,
    /// Where what comes of it may have been turned down before: whether that is tried again.
    forced: Option<bool>,
    now: Timestamp,
    change: Change<'a>,
}

impl NewTag {
    /// `tag`, `sha256:...` or `@sha256:...`, as people write it behind `NAME=`.
    pub fn parse(text: &str) -> Self {
        let bare = text.strip_prefix('@').unwrap_or(text);
        if bare.starts_with("sha256:") {
            NewTag::Digest(bare.to_owned())
        } else {
            NewTag::Tag(text.to_owned())
        }
    }
}

impl Store {
    /// Sets tags or digests of images that the Release declares. Setting what is there already
    /// writes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a Release; [`StoreError::Refused`] for an image it
    /// does not declare, or while it is being deleted.
    pub async fn set_images(
        &self,
        key: &ReleaseKey,
        images: &BTreeMap<String, NewTag>,
        options: &EditOptions,
    ) -> Result<Applied, StoreError> {
        let object = ObjectRef::release(key);
        let change = |spec: &mut Map<String, Value>| set_images(&object, spec, images);
        let edit = Edit {
            applier: &options.applier,
            origin: Some(options.source.as_deref()),
            forced: Some(options.force),
            now: options.now,
            change: &change,
        };
        self.edit(&object, edit).await
    }

    /// Suspends a Release or resumes it.
    ///
    /// # Errors
    /// As [`Store::set_images`].
    pub async fn set_suspend(
        &self,
        key: &ReleaseKey,
        suspend: bool,
        applier: &str,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let change = |spec: &mut Map<String, Value>| {
            spec.shift_remove("suspendUntil");
            if suspend {
                spec.insert("suspend".to_owned(), true.into());
            } else if spec.get("suspend") != Some(&Value::Bool(false)) {
                spec.shift_remove("suspend");
            }
            Ok(())
        };
        self.change(key, &change, applier, now).await
    }

    /// Suspends a Release until a moment, at which it resumes by itself.
    ///
    /// # Errors
    /// As [`Store::set_images`].
    pub async fn suspend_until(
        &self,
        key: &ReleaseKey,
        until: Timestamp,
        applier: &str,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let change = |spec: &mut Map<String, Value>| {
            spec.insert("suspend".to_owned(), true.into());
            spec.insert("suspendUntil".to_owned(), until.to_string().into());
            Ok(())
        };
        self.change(key, &change, applier, now).await
    }

    /// Changes what no source revision is behind.
    async fn change(
        &self,
        key: &ReleaseKey,
        change: Change<'_>,
        applier: &str,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let edit = Edit {
            applier,
            origin: None,
            forced: None,
            now,
            change,
        };
        self.edit(&ObjectRef::release(key), edit).await
    }

    async fn edit(&self, object: &ObjectRef, edit: Edit<'_>) -> Result<Applied, StoreError> {
        let Edit { applier, now, .. } = edit;
        check::applier(applier)?;
        let rejections = match edit.forced {
            Some(_) => self.rejections(&object.release_key()).await?,
            None => Rejections::default(),
        };
        let writer = Writer {
            name: applier,
            force: edit.forced.unwrap_or_default(),
            now,
        };
        for _ in 0..ATTEMPTS {
            let mut record = self.record(object).await?;
            refuse_deleted(object, &record)?;
            let before = record.document();
            let mut after = before.clone();
            if let Some(spec) = after["spec"].as_object_mut() {
                (edit.change)(spec)?;
            }
            after["spec"] = check::canonical::<ReleaseSpec>(object, after["spec"].take())?;
            let changes = diff(&before, &after);
            let outcome = if changes.is_empty() {
                match rejections.judge(object, &record, &before["spec"], writer)? {
                    None => ApplyOutcome::Unchanged,
                    Some(again) => {
                        let check = Write::Check {
                            key: keys::object(object),
                            condition: still(record.version),
                        };
                        if !self.write(vec![check, again]).await? {
                            continue;
                        }
                        ApplyOutcome::TriedAgain
                    }
                }
            } else {
                introduces_no_errors(object, &before["spec"], &after["spec"])?;
                let read = record.version;
                record.version += 1;
                record.generation += 1;
                record.set_document(&after)?;
                record.note(&changes, applier, now);
                record.applier = Some(applier.to_owned());
                if let Some(source) = edit.origin {
                    record.source = source.map(str::to_owned);
                }
                record.applied_at = now;
                let again = rejections.judge(object, &record, &before["spec"], writer)?;
                let mut writes = vec![replacement(object, &record, read)?];
                writes.extend(again);
                if !self.write(writes).await? {
                    continue;
                }
                ApplyOutcome::Configured
            };
            return Ok(Applied {
                outcome,
                generation: record.generation,
                resource_version: record.version.to_string(),
                changes: changes.into_iter().map(FieldChange::from).collect(),
                kept: Vec::new(),
            });
        }
        Err(StoreError::Conflict(object.to_string()))
    }

    /// An object as stored.
    pub(super) async fn record(&self, object: &ObjectRef) -> Result<Record, StoreError> {
        match self.table.get(&keys::object(object)).await? {
            Some(item) => from_item(item),
            None => Err(StoreError::NotFound(object.to_string())),
        }
    }

    /// Writes an object over the version that was read; says whether that was still there.
    pub(super) async fn replace(
        &self,
        object: &ObjectRef,
        record: &Record,
        read: u64,
    ) -> Result<bool, StoreError> {
        self.write(vec![replacement(object, record, read)?]).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<bool, StoreError> {
        match self.table.write(writes).await {
            Ok(()) => Ok(true),
            Err(WriteError::ConditionFailed { .. }) => Ok(false),
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }
}

/// The write of an object over the version that was read.
fn replacement(object: &ObjectRef, record: &Record, read: u64) -> Result<Write, StoreError> {
    Ok(Write::Put {
        item: to_item(&keys::object(object), record)?,
        condition: Some(still(read)),
    })
}

/// Refuses an edit that makes the Release invalid. What was wrong before is not the edit's fault:
/// such a Release can still be suspended.
fn introduces_no_errors(
    object: &ObjectRef,
    before: &Value,
    after: &Value,
) -> Result<(), StoreError> {
    let metadata = ObjectMeta {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        ..ObjectMeta::default()
    };
    let errors = |spec: &Value| -> Result<Vec<FieldError>, StoreError> {
        Ok(check::release(
            &metadata,
            &check::typed(object, spec.clone())?,
        ))
    };
    let there = errors(before)?;
    let mut new = errors(after)?;
    new.retain(|error| !there.contains(error));
    check::valid(object, &new)
}

fn refuse_deleted(object: &ObjectRef, record: &Record) -> Result<(), StoreError> {
    match record.deletion_timestamp {
        Some(at) => Err(StoreError::Refused(format!(
            "{object} is being deleted since {at}"
        ))),
        None => Ok(()),
    }
}

fn set_images(
    object: &ObjectRef,
    spec: &mut Map<String, Value>,
    changes: &BTreeMap<String, NewTag>,
) -> Result<(), StoreError> {
    let mut none = Map::new();
    let images = spec
        .get_mut("images")
        .and_then(Value::as_object_mut)
        .unwrap_or(&mut none);
    let unknown: Vec<_> = changes
        .keys()
        .filter(|name| !images.contains_key(*name))
        .collect();
    if !unknown.is_empty() {
        let list = |names: Vec<&String>| {
            let names: Vec<_> = names.into_iter().map(String::as_str).collect();
            names.join(", ")
        };
        return Err(StoreError::Refused(format!(
            "{object} declares no image {}; it declares: {}",
            list(unknown),
            list(images.keys().collect())
        )));
    }
    let chosen: Vec<&str> = changes
        .keys()
        .filter(|name| images[*name].get("tagPattern").is_some())
        .map(String::as_str)
        .collect();
    if !chosen.is_empty() {
        return Err(StoreError::Refused(format!(
            "{object} follows the newest tag that matches of image {}, so there is no tag to set: push a newer one, or give `tag` instead of `tagPattern` in the manifest and apply it",
            chosen.join(", ")
        )));
    }
    for (name, change) in changes {
        let Some(image) = images.get_mut(name).and_then(Value::as_object_mut) else {
            continue;
        };
        let (set, other, value) = match change {
            NewTag::Tag(tag) => ("tag", "digest", tag),
            NewTag::Digest(digest) => ("digest", "tag", digest),
        };
        image.shift_remove(other);
        image.insert(set.to_owned(), value.clone().into());
    }
    Ok(())
}
