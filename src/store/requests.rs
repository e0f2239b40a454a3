//! What people and CI ask of the controller.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::record::{from_item, to_item};
use super::{ObjectRef, Store, StoreError, keys};
use crate::aws::dynamodb::{Condition, Key, Write, WriteError};
use crate::model::ledger::{Request, RequestKind};
use crate::resource::meta::ReleaseKey;

/// A new request about a Release, and the write of it.
pub(super) fn asked(
    key: &ReleaseKey,
    kind: RequestKind,
    by: &str,
    now: Timestamp,
) -> Result<(Request, Write), StoreError> {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    // Sorts by time until the year 2286.
    let id = format!("{:013}-{unique}", now.as_millisecond().max(0));
    let request = Request {
        id,
        kind,
        by: by.to_owned(),
        at: now,
    };
    let item = to_item(&keys::request(key, &request.id), &request)?;
    let write = Write::Put {
        item,
        condition: None,
    };
    Ok((request, write))
}

impl Store {
    /// Asks something of the controller about a Release that is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a Release.
    pub async fn request(
        &self,
        key: &ReleaseKey,
        kind: RequestKind,
        by: &str,
        now: Timestamp,
    ) -> Result<Request, StoreError> {
        let (request, write) = asked(key, kind, by, now)?;
        let writes = vec![
            Write::Check {
                key: keys::release(key),
                condition: Condition::Present,
            },
            write,
        ];
        match self.table.write(writes).await {
            Ok(()) => Ok(request),
            Err(WriteError::ConditionFailed { .. }) => {
                Err(StoreError::NotFound(ObjectRef::release(key).to_string()))
            }
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }

    /// Requests about a Release that were not carried out yet, oldest first.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn requests(&self, key: &ReleaseKey) -> Result<Vec<Request>, StoreError> {
        let pk = keys::requests(&key.namespace);
        let found = self.table.query(&pk, &keys::request_prefix(key)).await?;
        found.into_iter().map(from_item).collect()
    }

    /// Names of a namespace's Releases for which something is asked and not carried out yet.
    ///
    /// # Errors
    /// When the read fails.
    pub async fn requested(&self, namespace: &str) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.open_requests(namespace).await?.into_keys().collect())
    }

    /// The same with the ids of what is asked.
    ///
    /// # Errors
    /// When the read fails.
    pub async fn open_requests(
        &self,
        namespace: &str,
    ) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let found = self.table.query(&keys::requests(namespace), "").await?;
        let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for item in &found {
            let sk = Key::of(item).sk;
            if let Some((name, id)) = sk.split_once('#') {
                open.entry(name.to_owned()).or_default().push(id.to_owned());
            }
        }
        Ok(open)
    }
}
