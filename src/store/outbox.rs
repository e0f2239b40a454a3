//! What people are to be told of Releases, until it has reached them.
//!
//! It is put here in the transaction that writes the status it follows from, and taken away by
//! whoever holds the Release's lease, once it was delivered or given up. The time to live only sees
//! to what nobody looks after any more.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::controller::ControllerStore;
use super::record::{from_item, to_item};
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::Write;
use crate::model::notice::{Announced, Outgoing};

/// How long it stays in the table at the most.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What a status leads people to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telling {
    /// What they have been told then.
    pub announced: Announced,
    /// What they are to be told.
    pub outgoing: Vec<Outgoing>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutboxRecord {
    #[serde(flatten)]
    outgoing: Outgoing,
    /// Seconds since 1970, for DynamoDB's expiry.
    expires_at: i64,
}

impl Telling {
    /// What is put beside the status.
    pub(super) fn writes(&self) -> Result<Vec<Write>, StoreError> {
        let put = |outgoing: &Outgoing| {
            let record = OutboxRecord {
                outgoing: outgoing.clone(),
                expires_at: expiry(outgoing.notice.at),
            };
            let item = to_item(&keys::outgoing(outgoing), &record)?;
            let condition = None;
            Ok(Write::Put { item, condition })
        };
        self.outgoing.iter().map(put).collect()
    }
}

fn expiry(at: Timestamp) -> i64 {
    at.checked_add(KEPT).unwrap_or(at).as_second()
}

impl Store {
    /// Everything that somebody is still to be told, oldest first. What this version cannot read is
    /// left to one that can, or to its expiry.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn outbox(&self) -> Result<Vec<Outgoing>, StoreError> {
        let mut found = Vec::new();
        for item in self.table.query(keys::OUTBOX, "").await? {
            let place = item.get("sk").and_then(Value::as_str).unwrap_or_default();
            let place = place.to_owned();
            match from_item::<OutboxRecord>(item) {
                Ok(record) => found.push(record.outgoing),
                Err(error) => tracing::warn!(place, %error, "a notification cannot be read"),
            }
        }
        found.sort_by_key(|outgoing| outgoing.notice.at);
        Ok(found)
    }
}

impl ControllerStore {
    /// Somebody was told, or is not to be told any more. What is gone already is as good as taken
    /// away.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or what became of the call.
    pub async fn take_from_outbox(&self, outgoing: &Outgoing) -> Result<(), StoreError> {
        let place = keys::outgoing(outgoing);
        self.take(place).await
    }
}
