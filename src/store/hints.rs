//! Hints between replicas: an event reaches one of them, and concerns the Releases of another.
//!
//! A hint is not fenced and holds no condition. It changes nothing but when a Release is looked at,
//! so whoever reads the events may write it, and whoever comes later may replace it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::to_item;
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Write, WriteError};

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
    /// Tells the other replicas that something happened to `what`, by the table: its stream shows
    /// the hint at once. `what` is at most 1,024 bytes, as sort keys are.
    ///
    /// # Errors
    /// When the write fails. Nothing but time is lost then.
    pub async fn hint(&self, what: &str, now: Timestamp) -> Result<(), StoreError> {
        let hint = Hint {
            at: now,
            expires_at: now.checked_add(KEPT).unwrap_or(now).as_second(),
        };
        let item = to_item(&keys::hint(what), &hint)?;
        let condition = None;
        match self.table.write(vec![Write::Put { item, condition }]).await {
            Ok(()) => Ok(()),
            Err(WriteError::Table(error)) => Err(error.into()),
            Err(WriteError::ConditionFailed { .. }) => {
                Err(StoreError::Conflict(format!("the hint about {what}")))
            }
        }
    }
}
