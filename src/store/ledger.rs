//! Reading what the controller wrote down.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::record::from_item;
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Item, Key};
use crate::model::ledger::{Claim, Ledger, Registration, Revision, Rollout};
use crate::resource::meta::ReleaseKey;

impl Store {
    /// Everything written down about a Release: revisions of the object `uid` only, migrations of
    /// every object that had this name, and what is asked. `registrations` stays empty: they are
    /// shared among Releases and read by family, with [`Store::registrations`].
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn ledger(&self, key: &ReleaseKey, uid: &str) -> Result<Ledger, StoreError> {
        let mut ledger = self.ledger_unasked(key, uid).await?;
        ledger.requests = self.requests(key).await?;
        Ok(ledger)
    }

    /// The same, of which nobody asks anything.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn ledger_unasked(&self, key: &ReleaseKey, uid: &str) -> Result<Ledger, StoreError> {
        let mut ledger = Ledger::default();
        for item in self.table.query(&keys::ledger(key), "").await? {
            let sk = Key::of(&item).sk;
            if sk.starts_with(keys::REVISION_PREFIX) {
                let revision: Revision = from_item(item)?;
                if revision.uid == uid {
                    ledger.revisions.insert(revision.number, revision);
                }
            } else if sk.starts_with(keys::MIGRATION_PREFIX) {
                ledger.migrations.push(from_item(item)?);
            } else if sk == keys::PIPELINE_JOB {
                ledger.job = Some(from_item(item)?);
            } else if sk.starts_with(keys::ROLLOUT_PREFIX) {
                let rollout: Rollout = from_item(item)?;
                ledger.rollouts.insert(rollout.service.clone(), rollout);
            } else if sk.starts_with(keys::CLAIM_PREFIX) {
                let claim: Claim = from_item(item)?;
                ledger.claims.insert(claim.arn.clone(), claim);
            }
        }
        Ok(ledger)
    }

    /// Every registration in a family, by the hash of what was registered.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn registrations(
        &self,
        account: &str,
        region: &str,
        family: &str,
    ) -> Result<Vec<Registration>, StoreError> {
        let found = self
            .table
            .query(&keys::registrations(account, region, family), "")
            .await?;
        found.into_iter().map(from_item).collect()
    }

    /// Those registrations that are there, by family and the hash of what was registered.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn registrations_of(
        &self,
        account: &str,
        region: &str,
        names: &[(String, String)],
    ) -> Result<Vec<Registration>, StoreError> {
        let keys: Vec<_> = names
            .iter()
            .map(|(family, hash)| keys::registration(account, region, family, hash))
            .collect();
        let found = self.table.batch_get(&keys).await?;
        found.into_iter().map(from_item).collect()
    }

    /// A task definition's content.
    ///
    /// # Errors
    /// When a call fails, or the item cannot be read.
    pub async fn definition(&self, hash: &str) -> Result<Option<Value>, StoreError> {
        self.table
            .get(&keys::definition(hash))
            .await?
            .map(content)
            .transpose()
    }

    /// Those of the task definitions' contents that are there, by hash.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn definitions<S: AsRef<str>>(
        &self,
        hashes: &[S],
    ) -> Result<BTreeMap<String, Arc<Value>>, StoreError> {
        let keys: Vec<_> = hashes
            .iter()
            .map(|hash| keys::definition(hash.as_ref()))
            .collect();
        let mut found = BTreeMap::new();
        for item in self.table.batch_get(&keys).await? {
            let Key { pk, .. } = Key::of(&item);
            let hash = pk.split_once('#').map_or("", |(_, hash)| hash).to_owned();
            found.insert(hash, Arc::new(content(item)?));
        }
        Ok(found)
    }

    /// Who holds an ECS service or rule.
    ///
    /// # Errors
    /// When a call fails, or the item cannot be read.
    pub async fn claim(&self, arn: &str) -> Result<Option<Claim>, StoreError> {
        self.table
            .get(&keys::claim(arn))
            .await?
            .map(from_item)
            .transpose()
    }

    /// Those of the services and rules that are held, by ARN.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn claims<S: AsRef<str>>(
        &self,
        arns: &[S],
    ) -> Result<BTreeMap<String, Claim>, StoreError> {
        let keys: Vec<_> = arns.iter().map(|arn| keys::claim(arn.as_ref())).collect();
        let mut found = BTreeMap::new();
        for item in self.table.batch_get(&keys).await? {
            let claim: Claim = from_item(item)?;
            found.insert(claim.arn.clone(), claim);
        }
        Ok(found)
    }
}

/// Contents are stored as text: their hash must stay what it is, to the last digit of a number.
fn content(item: Item) -> Result<Value, StoreError> {
    let text = item
        .get("content")
        .and_then(Value::as_str)
        .unwrap_or_default();
    serde_json::from_str(text).map_err(|error| StoreError::Malformed {
        key: Key::of(&item),
        why: error.to_string(),
    })
}
