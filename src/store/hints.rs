//! Hints between replicas: an event reaches one of them, and the Release may be another's.
//!
//! A hint is not fenced and holds no condition. It changes nothing but when its Release is looked
//! at, so whoever reads the events may write it, and whoever comes later may replace it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::{from_item, to_item};
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Key, Write, WriteError};
use crate::resource::meta::ReleaseKey;

/// How long a hint stays in the table; by then the resync has come.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hint {
    at: Timestamp,
    /// Seconds since 1970, for DynamoDB's expiry.
    expires_at: i64,
}

impl Store {
    /// Tells the owner of a Release that it should look, by the table: its stream shows the hint at
    /// once, and [`Self::hints`] shows it to a poll. One hint is kept for each Release, the newest.
    ///
    /// # Errors
    /// When the write fails. Nothing but time is lost then.
    pub async fn hint(&self, key: &ReleaseKey, now: Timestamp) -> Result<(), StoreError> {
        let hint = Hint {
            at: now,
            expires_at: now.checked_add(KEPT).unwrap_or(now).as_second(),
        };
        let item = to_item(&keys::hint(key), &hint)?;
        let condition = None;
        match self.table.write(vec![Write::Put { item, condition }]).await {
            Ok(()) => Ok(()),
            Err(WriteError::Table(error)) => Err(error.into()),
            Err(WriteError::ConditionFailed { .. }) => {
                Err(StoreError::Conflict(format!("the hint for release {key}")))
            }
        }
    }

    /// The Releases that were hinted at later than `since`, and when. Clocks of replicas differ: a
    /// caller that wants to miss none asks from a little before its last look.
    ///
    /// # Errors
    /// When the read fails.
    pub async fn hints(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(ReleaseKey, Timestamp)>, StoreError> {
        let found = self.table.query(keys::HINTS, "").await?;
        let hint = |item| {
            let Key { sk, .. } = Key::of(&item);
            let (namespace, name) = sk.split_once('/')?;
            // One that cannot be read is a newer version's, and costs its Release only time.
            let hint: Hint = from_item(item).ok()?;
            (hint.at > since).then(|| (ReleaseKey::new(namespace, name), hint.at))
        };
        Ok(found.into_iter().filter_map(hint).collect())
    }
}
