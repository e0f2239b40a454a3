//! The end of a Release.

use super::{ControllerStore, Refusal};
use crate::aws::dynamodb::{Condition, Item, Key, Write, size_of};
use crate::resource::meta::ReleaseKey;
use crate::store::record::{Record, from_item};
use crate::store::{ObjectRef, StoreError, keys};

/// Room in a transaction, beside the checks: its items count with their size.
const MAX_WRITES: usize = 90;
const MAX_BYTES: usize = 3 * 1024 * 1024;

impl ControllerStore {
    /// Removes a Release whose deletion was asked for: its claims, revisions, rollouts, its pipeline's
    /// job, requests, status and, last of all, its spec, so that a crash in between leaves something
    /// to go on from. Its migrations' runs and the registrations stay: what was migrated stays
    /// migrated.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the Release of that `uid` is not being deleted;
    /// [`StoreError::LostLease`]; or what became of a call. Nothing happens to a Release that is
    /// gone already.
    pub async fn finish_deletion(&self, key: &ReleaseKey, uid: &str) -> Result<(), StoreError> {
        let object = ObjectRef::release(key);
        let Some(item) = self.store.table().get(&keys::release(key)).await? else {
            return Ok(());
        };
        let record: Record = from_item(item)?;
        if record.uid != uid {
            return Ok(());
        }
        if record.deletion_timestamp.is_none() {
            return Err(StoreError::Conflict(object.to_string()));
        }
        self.give_claims_back(key).await?;
        for batch in batches(self.leftovers(key, &object).await?) {
            let mut writes = vec![Write::Check {
                key: keys::release(key),
                condition: being_deleted(uid),
            }];
            writes.extend(batch.into_iter().map(|key| Write::Delete {
                key,
                condition: None,
            }));
            self.write(writes)
                .await
                .map_err(|refusal| refusal.or_conflict(&object.to_string()))?;
        }
        let last = vec![
            Write::Delete {
                key: keys::release(key),
                condition: Some(being_deleted(uid)),
            },
            Write::Delete {
                key: keys::status(key),
                condition: None,
            },
        ];
        match self.write(last).await {
            Ok(()) => Ok(()),
            Err(refusal @ Refusal::Condition(_)) => {
                // Nothing is told apart here but a repeated call whose first answer was lost.
                match self.store.table().get(&keys::release(key)).await? {
                    None => Ok(()),
                    Some(_) => Err(refusal.or_conflict(&object.to_string())),
                }
            }
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    async fn give_claims_back(&self, key: &ReleaseKey) -> Result<(), StoreError> {
        let pk = keys::ledger(key);
        for item in self.store.table().query(&pk, keys::CLAIM_PREFIX).await? {
            self.unclaim(&from_item(item)?).await?;
        }
        Ok(())
    }

    /// What goes before the spec.
    async fn leftovers(
        &self,
        key: &ReleaseKey,
        object: &ObjectRef,
    ) -> Result<Vec<Item>, StoreError> {
        let table = self.store.table();
        let mut items = table
            .query(&keys::ledger(key), keys::REVISION_PREFIX)
            .await?;
        items.extend(
            table
                .query(&keys::ledger(key), keys::ROLLOUT_PREFIX)
                .await?,
        );
        items.extend(table.get(&keys::pipeline_job(key)).await?);
        let requests = keys::requests(&key.namespace);
        items.extend(table.query(&requests, &keys::request_prefix(key)).await?);
        let specs = keys::specs(&key.namespace);
        items.extend(table.query(&specs, &keys::applied_prefix(object)).await?);
        Ok(items)
    }
}

fn being_deleted(uid: &str) -> Condition {
    let uid = Condition::Equals("uid", uid.into());
    Condition::All(vec![uid, Condition::Has("deletionTimestamp")])
}

/// Keys of as many items as fit into one transaction each.
fn batches(items: Vec<Item>) -> Vec<Vec<Key>> {
    let mut batches: Vec<Vec<Key>> = Vec::new();
    let mut room = 0;
    for item in &items {
        let bytes = size_of(item);
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_WRITES && bytes <= room => {
                batch.push(Key::of(item));
                room -= bytes;
            }
            _ => {
                batches.push(vec![Key::of(item)]);
                room = MAX_BYTES.saturating_sub(bytes);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items(count: usize, bytes: usize) -> Vec<Item> {
        let item = |number: usize| {
            let item = json!({ "pk": "p", "sk": number.to_string(), "x": "x".repeat(bytes) });
            item.as_object().cloned().unwrap_or_default()
        };
        (0..count).map(item).collect()
    }

    #[test]
    fn a_batch_fits_into_a_transaction_by_number_and_by_size() {
        let sizes = |items| batches(items).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(items(0, 1)), [0; 0]);
        assert_eq!(sizes(items(200, 1)), [90, 90, 20]);
        assert_eq!(sizes(items(20, 390_000)), [8, 8, 4]);
    }
}
