//! The controller's side: the only writer of statuses, ledgers, claims, registrations, definitions
//! and bindings.
//!
//! Every write is a transaction that also checks the epoch of the shard whose lease is held. Whoever
//! takes the lease raises the epoch, and from then on every older holder is refused: it cannot
//! change the table any more, however late its calls arrive.

mod deletion;
mod records;

use std::sync::Arc;

use super::lease::{Hold, epoch_is};
use super::record::still;
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Write, WriteError};

pub use records::ClaimOutcome;

/// The controller's writes, fenced by the lease of a shard. Clones share the lease, which is given
/// back when none is left.
#[derive(Clone, Debug)]
pub struct ControllerStore {
    store: Store,
    hold: Arc<Hold>,
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
    /// Writes under a lease that was taken.
    pub fn new(store: Store, hold: Arc<Hold>) -> Self {
        Self { store, hold }
    }

    /// The same by one that does not know what this one finds out about the lease.
    #[cfg(test)]
    pub fn unaware(&self) -> Self {
        Self::new(self.store.clone(), Arc::new(self.hold.unaware()))
    }

    /// Reads, which are not fenced.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether AWS may be changed now: the lease was renewed in time, and nobody else has taken it.
    /// To be asked right before each call; what it says holds for as long as it took to ask.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or that the table could not be asked; nobody knows then.
    pub async fn may_write(&self) -> Result<(), StoreError> {
        self.hold.check()?;
        if self.store.newest_epoch(self.hold.shard()).await? != self.hold.epoch() {
            return Err(self.hold.replaced());
        }
        // The answer may have taken its time.
        self.hold.check()
    }

    /// Does all of the writes, if the lease is held.
    async fn write(&self, own: Vec<Write>) -> Result<(), Refusal> {
        let mut writes = vec![Write::Check {
            key: keys::epoch(self.hold.shard()),
            condition: epoch_is(self.hold.epoch()),
        }];
        writes.extend(own);
        let _turn = self.hold.turn.lock().await;
        self.hold.check().map_err(Refusal::Error)?;
        match self.store.table.write(writes).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConditionFailed { index: 0 }) => {
                Err(Refusal::Error(self.hold.replaced()))
            }
            Err(WriteError::ConditionFailed { index }) => Err(Refusal::Condition(index - 1)),
            Err(WriteError::Table(error)) => Err(Refusal::Error(error.into())),
        }
    }

    /// Takes an item away that nobody else writes.
    pub(super) async fn take(&self, key: crate::aws::dynamodb::Key) -> Result<(), StoreError> {
        let what = key.to_string();
        let write = Write::Delete {
            key,
            condition: None,
        };
        self.write(vec![write])
            .await
            .map_err(|refusal| refusal.or_conflict(&what))
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
