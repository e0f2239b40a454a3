//! Leases: which replica of the controller works on which keys.
//!
//! The keys are spread over shards, and each shard has a lease. A lease that is held has another
//! `version` with every renewal, so that an observer sees by its own clock whether somebody renews
//! it: no two clocks are ever compared. Whoever takes a lease raises the shard's epoch in the same
//! transaction. The epoch is an item of its own that renewals leave alone, so that writes which
//! check it do not collide with them.
//!
//! These are the plain conditional operations; when to do which is the controller's to decide.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::record::{from_item, to_item};
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Condition, Item, Write, WriteError};

/// Over how many leases the keys may be spread: a change of that number writes two items for each
/// in one transaction, which holds 100, and the number itself.
pub const MAX_SHARDS: u32 = 48;

/// The leases as the table has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// Over how many shards the keys are spread; absent before the first start ever.
    pub layout: Option<u32>,
    /// The lease of each shard that was ever taken under this layout.
    pub shards: BTreeMap<u32, Lease>,
    /// The replicas that share the work, by their ids.
    pub replicas: BTreeMap<String, Replica>,
}

/// A replica's heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Another one with each heartbeat.
    pub version: String,
    /// Over how many shards it was told to spread the keys.
    pub shards: u32,
}

/// A lease as the table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it; absent when it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Another one after each write.
    pub version: String,
    /// The epoch that began when it was taken; absent when it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// A lease that this replica took: the proof that its writes carry.
#[derive(Debug)]
pub struct Hold {
    shard: u32,
    layout: u32,
    epoch: u64,
    deadline: Duration,
    /// When the last renewal that was done was sent; absent when the lease is lost or given back.
    renewed: Mutex<Option<Instant>>,
    /// Transactions that check the same item at the same moment cancel each other, so those of one
    /// shard go one after the other.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Hold {
    /// The shard.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// Of how many shards it was one when it was taken.
    pub fn layout(&self) -> u32 {
        self.layout
    }

    /// The shard's epoch that began with it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it ends unless it is renewed before; absent when it has ended.
    pub fn ends(&self) -> Option<Instant> {
        self.renewed().map(|renewed| renewed + self.deadline)
    }

    /// Whether it was renewed in time, as far as this replica knows by its own clock. A process
    /// that was stopped for a while finds out here, before it asks anybody.
    pub fn is_fresh(&self) -> bool {
        self.ends().is_some_and(|end| Instant::now() < end)
    }

    /// It was renewed by a call that was sent at that moment. What has ended stays so.
    pub fn renew(&self, sent: Instant) {
        let mut renewed = self.renewed();
        if renewed.is_some_and(|before| Instant::now() < before + self.deadline) {
            *renewed = Some(sent);
        }
    }

    /// It is lost, or about to be given back: nothing is written under it any more.
    pub fn end(&self) {
        *self.renewed() = None;
    }

    /// # Errors
    /// [`StoreError::LostLease`] unless it is fresh.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.is_fresh() {
            true => Ok(()),
            false => Err(self.lost()),
        }
    }

    pub(super) fn lost(&self) -> StoreError {
        StoreError::LostLease {
            shard: self.shard,
            held: self.epoch,
        }
    }

    /// The table has an epoch that is not this one's: it ends at once, not with the next renewal.
    pub(super) fn replaced(&self) -> StoreError {
        self.end();
        self.lost()
    }

    fn renewed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn unaware(&self) -> Self {
        Self {
            renewed: Mutex::new(*self.renewed()),
            turn: tokio::sync::Mutex::default(),
            ..*self
        }
    }
}

/// What a lease is taken over from, and for whom.
#[derive(Clone, Debug)]
pub struct Taking<'a> {
    /// The shard.
    pub shard: u32,
    /// Over how many shards the keys are spread.
    pub layout: u32,
    /// Who takes it.
    pub holder: &'a str,
    /// The lease as it was seen; absent when there was none.
    pub seen: Option<&'a Lease>,
    /// What it is known by once it is taken, made by [`new_version`]: who got no answer sees by it
    /// that it was.
    pub version: String,
    /// For how long it is held without a renewal.
    pub deadline: Duration,
}

impl Store {
    /// Every lease, with one strongly consistent Query.
    ///
    /// # Errors
    /// When the call fails, or an item cannot be read.
    pub async fn leases(&self) -> Result<Leases, StoreError> {
        let mut leases = Leases::default();
        for item in self.table.query(keys::LEASES, "").await? {
            let place = item.get("sk").and_then(Value::as_str).unwrap_or_default();
            if let Some(shard) = keys::shard_of_lease(place) {
                leases.shards.insert(shard, from_item(item)?);
            } else if let Some(id) = place.strip_prefix(keys::REPLICA_PREFIX) {
                let id = id.to_owned();
                leases.replicas.insert(id, from_item(item)?);
            } else if place == keys::layout().sk {
                let Layout { shards } = from_item(item)?;
                leases.layout = Some(shards);
            }
        }
        Ok(leases)
    }

    /// Says for the first time over how many shards the keys are spread.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when that was said already; or what became of the call.
    pub async fn lay_out(&self, shards: u32) -> Result<(), StoreError> {
        let item = to_item(&keys::layout(), &Layout { shards })?;
        let put = Write::Put {
            item,
            condition: Some(Condition::Absent),
        };
        self.lease_write(vec![put], "the layout of the leases")
            .await
    }

    /// Takes a lease as it was seen, and raises its shard's epoch: whoever held it before can
    /// change nothing in the table any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody was faster, or the layout is another by now; or what
    /// became of a call.
    pub async fn take_lease(&self, taking: Taking<'_>) -> Result<Hold, StoreError> {
        let Taking { shard, layout, .. } = taking;
        let newest = self.newest_epoch(shard).await?;
        let epoch = newest + 1;
        let lease = Lease {
            holder: Some(taking.holder.to_owned()),
            version: taking.version,
            epoch: Some(epoch),
        };
        let as_seen = match taking.seen {
            Some(seen) => Condition::Equals("version", seen.version.clone().into()),
            None => Condition::Absent,
        };
        let writes = vec![
            raise(shard, newest)?,
            Write::Put {
                item: to_item(&keys::lease(shard), &lease)?,
                condition: Some(as_seen),
            },
            Write::Check {
                key: keys::layout(),
                condition: laid_out(layout),
            },
        ];
        let sent = Instant::now();
        self.lease_write(writes, &format!("the lease of shard {shard}"))
            .await?;
        Ok(Hold {
            shard,
            layout,
            epoch,
            deadline: taking.deadline,
            renewed: Mutex::new(Some(sent)),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Renews a lease and returns its new version. It is ours as long as its epoch is the one that
    /// we began, so a renewal whose answer was lost is in nobody's way.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has it; or what became of the call.
    pub async fn renew_lease(&self, hold: &Hold, holder: &str) -> Result<String, StoreError> {
        let sent = Instant::now();
        let version = new_version();
        let lease = Lease {
            holder: Some(holder.to_owned()),
            version: version.clone(),
            epoch: Some(hold.epoch),
        };
        self.put_held(hold, &lease).await?;
        hold.renew(sent);
        Ok(version)
    }

    /// Gives a lease back, so that others need not wait. Nothing is written under it any more,
    /// whatever becomes of the call.
    ///
    /// # Errors
    /// What became of the call. A lease that somebody else has by now is as good as given back.
    pub async fn release_lease(&self, hold: &Hold) -> Result<(), StoreError> {
        hold.end();
        let lease = Lease {
            holder: None,
            version: new_version(),
            epoch: None,
        };
        match self.put_held(hold, &lease).await {
            Err(StoreError::LostLease { .. }) => Ok(()),
            other => other,
        }
    }

    /// Spreads the keys over another number of shards. Every lease of the old layout must be held;
    /// all of them end, and their epochs are raised.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of them is somebody else's by now; or what became of the
    /// call.
    pub async fn change_layout(&self, held: &[&Hold], to: u32) -> Result<(), StoreError> {
        let from = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let mut writes = vec![Write::Put {
            item: to_item(&keys::layout(), &Layout { shards: to })?,
            condition: Some(laid_out(from)),
        }];
        for hold in held {
            writes.push(raise(hold.shard, hold.epoch)?);
            writes.push(Write::Delete {
                key: keys::lease(hold.shard),
                condition: Some(epoch_is(hold.epoch)),
            });
        }
        self.lease_write(writes, "the layout of the leases").await
    }

    /// Says that a replica is alive which was told of so many shards.
    ///
    /// # Errors
    /// What became of the call.
    pub async fn put_replica(&self, id: &str, shards: u32) -> Result<(), StoreError> {
        let heartbeat = Replica {
            version: new_version(),
            shards,
        };
        let put = Write::Put {
            item: to_item(&keys::replica(id), &heartbeat)?,
            condition: None,
        };
        self.lease_write(vec![put], &format!("replica {id}")).await
    }

    /// Forgets a replica: this one, which ends, or one whose heartbeat still is as it was seen.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was seen and has been heard of since; or what became of the
    /// call.
    pub async fn delete_replica(&self, id: &str, seen: Option<&str>) -> Result<(), StoreError> {
        let as_seen = |version: &str| Condition::Equals("version", version.into());
        let delete = Write::Delete {
            key: keys::replica(id),
            condition: seen.map(as_seen),
        };
        self.lease_write(vec![delete], &format!("replica {id}"))
            .await
    }

    /// The newest epoch of a shard; 0 before its lease was ever taken.
    pub(super) async fn newest_epoch(&self, shard: u32) -> Result<u64, StoreError> {
        let item = self.table.get(&keys::epoch(shard)).await?;
        Ok(item
            .and_then(|item| item.get("epoch").and_then(Value::as_u64))
            .unwrap_or(0))
    }

    async fn put_held(&self, hold: &Hold, lease: &Lease) -> Result<(), StoreError> {
        let item: Item = to_item(&keys::lease(hold.shard), lease)?;
        let put = Write::Put {
            item,
            condition: Some(epoch_is(hold.epoch)),
        };
        match self.table.write(vec![put]).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConditionFailed { .. }) => Err(hold.lost()),
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }

    async fn lease_write(&self, writes: Vec<Write>, what: &str) -> Result<(), StoreError> {
        match self.table.write(writes).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConditionFailed { .. }) => Err(StoreError::Conflict(what.to_owned())),
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Layout {
    shards: u32,
}

/// A version that nothing had before.
pub fn new_version() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The next epoch of a shard after this one.
fn raise(shard: u32, newest: u64) -> Result<Write, StoreError> {
    let condition = match newest {
        0 => Condition::Absent,
        newest => epoch_is(newest),
    };
    Ok(Write::Put {
        item: to_item(&keys::epoch(shard), &json!({ "epoch": newest + 1 }))?,
        condition: Some(condition),
    })
}

pub(super) fn epoch_is(epoch: u64) -> Condition {
    Condition::Equals("epoch", epoch.into())
}

fn laid_out(shards: u32) -> Condition {
    Condition::Equals("shards", shards.into())
}
