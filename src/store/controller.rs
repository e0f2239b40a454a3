//! The controller's side: the only writer of statuses, ledgers, claims, registrations, definitions
//! and bindings.
//!
//! Every write is a transaction that also checks the epoch item. A controller takes the next epoch
//! with its first write, and from then on every older one is refused: it cannot change the table
//! any more, however late its calls arrive.

mod deletion;
mod records;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::record::{still, to_item};
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Condition, Write, WriteError};

pub use records::ClaimOutcome;

/// How often another controller may be faster at taking the next epoch.
const ATTEMPTS: usize = 20;

/// The controller's writes, fenced by its epoch. Clones share the epoch.
#[derive(Clone, Debug)]
pub struct ControllerStore {
    store: Store,
    /// Taken with the first write, so that a controller without anything to write writes nothing.
    epoch: Arc<OnceCell<u64>>,
    /// Transactions that check the same item at the same moment cancel each other, so those of one
    /// controller go one after the other.
    turn: Arc<Mutex<()>>,
}

/// Why a fenced write was not done.
enum Refusal {
    /// The condition of the caller's write at this place did not hold.
    Condition(usize),
    Error(StoreError),
}

impl Refusal {
    fn or_conflict(self, what: &str) -> StoreError {
        match self {
            Refusal::Condition(_) => StoreError::Conflict(what.to_owned()),
            Refusal::Error(error) => error,
        }
    }
}

impl ControllerStore {
    /// A controller that has not written yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            epoch: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Reads, which are not fenced.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether no other controller has taken over. True before the first write: then nothing was
    /// held yet that could be lost.
    ///
    /// # Errors
    /// When the call fails; nobody knows then.
    pub async fn holds_lease(&self) -> Result<bool, StoreError> {
        match self.epoch.get() {
            Some(held) => Ok(self.newest_epoch().await? == *held),
            None => Ok(true),
        }
    }

    /// Takes the next epoch now instead of with the first write, so that any older controller is
    /// shut out from here on.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn take_lease(&self) -> Result<u64, StoreError> {
        self.epoch
            .get_or_try_init(|| self.take_next())
            .await
            .copied()
    }

    async fn newest_epoch(&self) -> Result<u64, StoreError> {
        let item = self.store.table.get(&keys::epoch()).await?;
        Ok(item
            .and_then(|item| item.get("epoch").and_then(Value::as_u64))
            .unwrap_or(0))
    }

    async fn take_next(&self) -> Result<u64, StoreError> {
        for _ in 0..ATTEMPTS {
            let newest = self.newest_epoch().await?;
            let next = newest + 1;
            let item = to_item(&keys::epoch(), &json!({ "epoch": next }))?;
            let condition = if newest == 0 {
                Condition::Absent
            } else {
                epoch_is(newest)
            };
            let write = Write::Put {
                item,
                condition: Some(condition),
            };
            match self.store.table.write(vec![write]).await {
                Ok(()) => return Ok(next),
                Err(WriteError::ConditionFailed { .. }) => {}
                Err(WriteError::Table(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict("the controller's epoch".to_owned()))
    }

    /// Does all of the writes, if this controller's epoch is the newest.
    async fn write(&self, own: Vec<Write>) -> Result<(), Refusal> {
        let held = self.take_lease().await.map_err(Refusal::Error)?;
        let mut writes = vec![Write::Check {
            key: keys::epoch(),
            condition: epoch_is(held),
        }];
        writes.extend(own);
        let _turn = self.turn.lock().await;
        match self.store.table.write(writes).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConditionFailed { index: 0 }) => {
                Err(Refusal::Error(StoreError::LostLease { held }))
            }
            Err(WriteError::ConditionFailed { index }) => Err(Refusal::Condition(index - 1)),
            Err(WriteError::Table(error)) => Err(Refusal::Error(error.into())),
        }
    }

    /// Puts a record over the version it was read with.
    async fn put(
        &self,
        key: &crate::aws::dynamodb::Key,
        record: &impl serde::Serialize,
        read: u64,
        what: &str,
    ) -> Result<(), StoreError> {
        let item = super::record::to_next_item(key, record, read)?;
        let write = Write::Put {
            item,
            condition: Some(still(read)),
        };
        self.write(vec![write])
            .await
            .map_err(|refusal| refusal.or_conflict(what))
    }
}

fn epoch_is(epoch: u64) -> Condition {
    Condition::Equals("epoch", epoch.into())
}
