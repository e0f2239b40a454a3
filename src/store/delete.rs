//! Asking for deletion, and `apply --prune`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::apply::ATTEMPTS;
use super::objects::name_of;
use super::record::{Record, from_item, still};
use super::{ObjectRef, Store, StoreError, keys};
use crate::aws::dynamodb::{Key, Write, WriteError};
use crate::resource::meta::{Kind, ReleaseKey};

/// What `apply --prune` did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruned {
    /// Objects that were deleted (Environments) or whose deletion was asked for (Releases).
    pub removed: Vec<ObjectRef>,
    /// Objects that could not be deleted yet.
    pub left: Vec<Left>,
}

/// An object that could not be deleted yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// The object.
    pub object: ObjectRef,
    /// Why, in a sentence.
    pub reason: String,
}

impl Store {
    /// Asks for a Release's deletion, which the controller finishes. A deletion that was asked for
    /// may become one that leaves everything in AWS as it is (`orphan`), not the other way round.
    /// Says whether anything changed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a Release.
    pub async fn delete_release(
        &self,
        key: &ReleaseKey,
        orphan: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let object = ObjectRef::release(key);
        for _ in 0..ATTEMPTS {
            let mut record = self.record(&object).await?;
            let asked = record.deletion_timestamp.is_some();
            if asked && (record.orphan || !orphan) {
                return Ok(false);
            }
            let read = record.version;
            record.version += 1;
            record.orphan = orphan;
            if !asked {
                record.deletion_timestamp = Some(now);
            }
            if self.replace(&object, &record, read).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Conflict(object.to_string()))
    }

    /// Deletes an Environment that no Release refers to.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such an Environment; [`StoreError::Refused`] while it has
    /// Releases.
    pub async fn delete_environment(&self, name: &str) -> Result<(), StoreError> {
        let object = ObjectRef::environment(name);
        let record = self.record(&object).await?;
        let releases = self
            .table
            .query(&keys::specs(name), keys::RELEASE_PREFIX)
            .await?;
        if !releases.is_empty() {
            let names: Vec<_> = releases
                .iter()
                .take(5)
                .map(|item| format!("{name}/{}", name_of(item, keys::RELEASE_PREFIX)))
                .collect();
            let more = if releases.len() > names.len() {
                ", ..."
            } else {
                ""
            };
            return Err(StoreError::Refused(format!(
                "{object} has Releases ({}{more}): delete them first, and wait until they are gone",
                names.join(", ")
            )));
        }
        let applied = self
            .table
            .query(keys::ENVIRONMENTS, &keys::applied_prefix(&object))
            .await?
            .iter()
            .take(90)
            .map(|item| Write::Delete {
                key: Key::of(item),
                condition: None,
            })
            .collect::<Vec<_>>();
        let mut writes = vec![
            Write::Delete {
                key: keys::environment(name),
                condition: Some(still(record.version)),
            },
            Write::Delete {
                key: keys::binding(name),
                condition: None,
            },
        ];
        writes.extend(applied);
        match self.table.write(writes).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConditionFailed { .. }) => {
                Err(StoreError::Conflict(object.to_string()))
            }
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }

    /// Deletes the objects that `applier` was the last to apply and that are not among `keep`, in
    /// the namespaces of `keep` and of every Environment that the caller may list.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when that would be all of them, unless `allow_empty`.
    pub async fn prune(
        &self,
        applier: &str,
        keep: &BTreeSet<ObjectRef>,
        allow_empty: bool,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let mine = self.managed_by(applier, keep).await?;
        let gone: Vec<_> = mine
            .iter()
            .filter(|object| !keep.contains(*object))
            .collect();
        if !gone.is_empty() && gone.len() == mine.len() && !allow_empty {
            return Err(StoreError::Refused(format!(
                "--prune would delete everything that applier {applier} applied ({} objects): \
                 were the right files given? Say --allow-empty if this is meant",
                gone.len()
            )));
        }
        let mut pruned = Pruned::default();
        // Releases first: an Environment cannot go before them.
        for object in gone.iter().rev().copied() {
            let done = match object.kind {
                Kind::Release => self.delete_release(&object.release_key(), false, now).await,
                Kind::Environment => self.delete_environment(&object.name).await.map(|()| true),
            };
            match done {
                Ok(true) => pruned.removed.push(object.clone()),
                Ok(false) | Err(StoreError::NotFound(_)) => {}
                Err(StoreError::Refused(reason)) => {
                    pruned.left.push(Left {
                        object: object.clone(),
                        reason,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    /// Objects that an applier was the last to apply and whose deletion nobody asked for yet;
    /// Environments first.
    async fn managed_by(
        &self,
        applier: &str,
        keep: &BTreeSet<ObjectRef>,
    ) -> Result<Vec<ObjectRef>, StoreError> {
        let mut namespaces: BTreeSet<String> = keep
            .iter()
            .filter_map(|object| object.namespace.clone())
            .collect();
        let mut mine = Vec::new();
        for (name, record) in self
            .readable(keys::ENVIRONMENTS, keys::ENVIRONMENT_PREFIX)
            .await?
        {
            if record.manager.as_deref() == Some(applier) {
                mine.push(ObjectRef::environment(&name));
            }
            namespaces.insert(name);
        }
        for namespace in namespaces {
            let pk = keys::specs(&namespace);
            for (name, record) in self.readable(&pk, keys::RELEASE_PREFIX).await? {
                let alive = record.deletion_timestamp.is_none();
                if alive && record.manager.as_deref() == Some(applier) {
                    mine.push(ObjectRef::release(&ReleaseKey::new(&namespace, name)));
                }
            }
        }
        Ok(mine)
    }

    /// Objects of a partition by name; none where the caller may not look, and so cannot have
    /// applied anything.
    async fn readable(&self, pk: &str, prefix: &str) -> Result<Vec<(String, Record)>, StoreError> {
        let found = match self.table.query(pk, prefix).await {
            Ok(found) => found,
            Err(error) if error.is_access_denied() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        found
            .into_iter()
            .map(|item| Ok((name_of(&item, prefix), from_item(item)?)))
            .collect()
    }
}
