//! Which keys this replica works on, and the proof of it that each write carries.
//!
//! The keys are spread over shards, and whoever holds a shard's lease works on its keys. Leases are
//! held as client-go's leader election does, but for the fence: each lease that is taken begins a
//! new epoch of its shard, which every write checks. So a replica that was stopped for a while and
//! goes on in the belief that it leads changes nothing.

mod decide;
mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::resource::meta::ReleaseKey;
use crate::store::lease::Hold;
use crate::store::{ControllerStore, Store, StoreError};
use driver::Driver;

/// How leases are held, as client-go's leader election does.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Over how many leases the keys are spread: 1 to [`crate::store::lease::MAX_SHARDS`].
    pub shards: u32,
    /// How this replica calls itself in the table. No two processes may have the same name.
    pub identity: String,
    /// How long a lease is left alone that nobody renews.
    pub duration: Duration,
    /// How long the holder works on without having renewed it.
    pub renew_deadline: Duration,
    /// How often the holder renews it. Those who may want one look four times as often.
    pub retry_period: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            shards: 1,
            identity: format!("evenkeel_{}", uuid::Uuid::new_v4()),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl LeaseOptions {
    /// How often those look that want a lease. What they see late of a renewal is lost when its
    /// holder dies: a lease runs out so long after it was seen to be renewed.
    fn look_period(&self) -> Duration {
        self.retry_period / 4
    }

    /// How long a renewal may take: a connection that hangs leaves time for another try.
    fn patience(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// How long any other call may take: the renewals wait for it.
    fn haste(&self) -> Duration {
        self.retry_period
    }
}

/// The leases of this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    options: LeaseOptions,
    state: Mutex<State>,
    /// One at a time renews, takes and gives back, however many call [`Leadership::run`].
    driver: tokio::sync::Mutex<Driver>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether leases are taken at all: not before the start, and not after the end.
    open: bool,
    held: BTreeMap<u32, Held>,
    /// Shard and epoch of each lease that others were told of by `changed`.
    told: BTreeSet<(u32, u64)>,
    replicas: usize,
}

#[derive(Debug)]
struct Held {
    hold: Arc<Hold>,
    /// Since when it is to be given back as soon as its passes have ended.
    retiring: Option<Instant>,
}

impl Held {
    /// Whether its keys may be worked on, by a replica that was told of so many shards.
    fn works(&self, shards: u32) -> bool {
        self.retiring.is_none() && self.hold.layout() == shards && self.hold.is_fresh()
    }
}

impl State {
    /// Shard and epoch of each lease whose keys may be worked on.
    fn works(&self, shards: u32) -> BTreeSet<(u32, u64)> {
        let works = self.held.iter().filter(|(_, held)| held.works(shards));
        works
            .map(|(shard, held)| (*shard, held.hold.epoch()))
            .collect()
    }
}

impl Leadership {
    /// Nothing is held yet, and nothing called.
    pub fn new(store: Store, options: LeaseOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                options,
                state: Mutex::default(),
                driver: tokio::sync::Mutex::default(),
                changed: watch::Sender::new(0),
            }),
        }
    }

    /// Takes, renews and gives back leases, for ever. Trouble with the table does not end it: what
    /// could not be renewed in time is lost, and taken again as soon as nobody else has it; what could
    /// never be renewed is left to others first.
    ///
    /// # Errors
    /// When the table cannot be used from the start: it is missing, or access is denied. Later that
    /// is waited out, as any other trouble is.
    pub async fn run(&self) -> Result<(), StoreError> {
        self.state().open = true;
        loop {
            let next = {
                let mut driver = self.inner.driver.lock().await;
                // On the heap: whoever runs this among much else does not carry the depth of its
                // calls.
                let turn = Box::pin(driver.turn(self)).await;
                driver.bear(turn, self.inner.options.retry_period)?
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Waits until every lease is held. They are renewed by [`Leadership::run`] only, so that is to
    /// go on afterwards.
    ///
    /// # Errors
    /// When the table cannot be used, or somebody else keeps one for `patience`: it says who.
    pub async fn hold_all(&self, patience: Duration) -> Result<(), StoreError> {
        let mut changes = self.changes();
        let all = async {
            while !self.holds_all() {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = all => Ok(()),
            ended = self.run() => ended,
            () = tokio::time::sleep(patience) => Err(Box::pin(self.kept_by()).await),
        }
    }

    /// Gives back whatever is held, so that others need not wait, and takes nothing any more until
    /// [`Leadership::run`] is called again. A pass that is still under way writes nothing any more.
    pub async fn release(&self) {
        self.state().open = false;
        // What is just being renewed or taken would be there again after it was given back.
        let turn = timeout(self.inner.options.patience(), self.inner.driver.lock()).await;
        let held = std::mem::take(&mut self.state().held);
        let mut calls = JoinSet::new();
        for Held { hold, .. } in held.into_values() {
            hold.end();
            let leadership = self.clone();
            calls.spawn(async move { leadership.give_back(&hold).await });
        }
        self.tell();
        if self.inner.options.shards > 1 {
            let store = &self.inner.store;
            let gone = Box::pin(store.delete_replica(&self.inner.options.identity, None));
            if let Ok(Err(error)) = timeout(self.inner.options.patience(), gone).await {
                tracing::warn!(%error, "this replica could not be signed off");
            }
        }
        while calls.join_next().await.is_some() {}
        drop(turn);
    }

    /// Changes whenever another set of leases is held.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Writes for a key, if its lease is held; proof for as long as that lasts. It is to be dropped
    /// with the pass that it is for: a lease that goes to another replica waits for that.
    pub fn writer(&self, key: &ReleaseKey) -> Option<ControllerStore> {
        let shards = self.inner.options.shards;
        let state = self.state();
        let held = state.held.get(&shard_of(key, shards))?;
        held.works(shards)
            .then(|| ControllerStore::new(self.inner.store.clone(), held.hold.clone()))
    }

    /// Whether any lease is held.
    pub fn leads(&self) -> bool {
        let shards = self.inner.options.shards;
        self.state().held.values().any(|held| held.works(shards))
    }

    /// How many replicas share the work, this one included; 1 without shards.
    pub fn replicas(&self) -> usize {
        self.state().replicas.max(1)
    }

    /// Shard and epoch of each lease that is held; another epoch each time that one is taken.
    pub fn epochs(&self) -> BTreeSet<(u32, u64)> {
        self.state().works(self.inner.options.shards)
    }

    fn holds_all(&self) -> bool {
        let shards = self.inner.options.shards;
        let state = self.state();
        (0..shards).all(|shard| {
            let held = state.held.get(&shard);
            held.is_some_and(|held| held.works(shards))
        })
    }

    /// Why not every lease could be held.
    async fn kept_by(&self) -> StoreError {
        let leases = match self.inner.store.leases().await {
            Ok(leases) => leases,
            Err(error) => return error,
        };
        let own = &self.inner.options.identity;
        let holders: BTreeSet<&str> = leases
            .shards
            .values()
            .filter_map(|lease| lease.holder.as_deref())
            .filter(|holder| holder != own)
            .collect();
        let holders: Vec<&str> = holders.into_iter().collect();
        StoreError::Refused(match holders.as_slice() {
            [] => "the lease could not be taken in time: try again".to_owned(),
            [one] => format!("the lease is held by replica {one}: stop it first, or wait"),
            several => format!(
                "leases are held by the replicas {}: stop them first, or wait",
                several.join(", ")
            ),
        })
    }

    async fn give_back(&self, hold: &Hold) {
        let shard = hold.shard();
        let call = self.inner.store.release_lease(hold);
        match timeout(self.inner.options.haste(), call).await {
            Ok(Ok(())) => tracing::info!(shard, "gave the lease back"),
            Ok(Err(error)) => {
                tracing::warn!(shard, %error, "the lease could not be given back and runs out");
            }
            Err(_) => tracing::warn!(shard, "the lease could not be given back in time"),
        }
    }

    /// Tells those who wait for it that another set of leases is held.
    fn tell(&self) {
        let shards = self.inner.options.shards;
        let mut state = self.state();
        let works = state.works(shards);
        if works != state.told {
            state.told = works;
            drop(state);
            self.inner.changed.send_modify(|count| *count += 1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard of a key: the same in every replica and every version.
fn shard_of(key: &ReleaseKey, shards: u32) -> u32 {
    let digest = Sha256::digest(key.to_string().as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    u32::try_from(number % u64::from(shards.max(1))).unwrap_or(0)
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
