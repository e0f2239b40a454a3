//! Which leases to take and to give back: decided without asking anybody.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::LeaseOptions;
use crate::store::lease::{Lease, Leases, Replica};

/// Of a replica that was not heard of for so many lease durations not even the name is kept.
const FORGOTTEN: u32 = 4;

/// So many times in a row a lease may come to this replica unheard and is its own. A replica that
/// never hears of its takes waits after that as long as others do, so that one of them gets the lease.
const UNHEARD: usize = 3;

/// How many takes of a shard are remembered that may still land.
const ASKED: usize = 8;

/// Since when each version has been as it is, by this replica's own clock.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    shards: BTreeMap<u32, (String, Instant)>,
    replicas: BTreeMap<String, (String, Instant)>,
    /// The epoch under which this replica renewed each shard's lease last.
    kept: BTreeMap<u32, u64>,
    /// What this replica asked for of each shard since it last took its lease, or saw somebody else's.
    asked: BTreeMap<u32, Asked>,
}

/// Takes of one lease whose answers may be lost.
#[derive(Debug, Default)]
struct Asked {
    /// The versions that they give it.
    versions: VecDeque<String>,
    /// How many of them were seen to be done.
    unheard: usize,
}

impl Sightings {
    /// Notes what was just read.
    pub fn look(&mut self, leases: &Leases, now: Instant) {
        self.shards
            .retain(|shard, _| leases.shards.contains_key(shard));
        for (shard, lease) in &leases.shards {
            if !note(&mut self.shards, shard, &lease.version, now) {
                continue;
            }
            match self.asked.get_mut(shard) {
                Some(asked) if asked.versions.contains(&lease.version) => asked.unheard += 1,
                _ => drop(self.asked.remove(shard)),
            }
        }
        self.replicas
            .retain(|id, _| leases.replicas.contains_key(id));
        for (id, replica) in &leases.replicas {
            note(&mut self.replicas, id, &replica.version, now);
        }
    }

    /// Notes a renewal of our own.
    pub fn renewed(&mut self, shard: u32, epoch: u64, version: &str, now: Instant) {
        note(&mut self.shards, &shard, version, now);
        self.kept.insert(shard, epoch);
    }

    /// Notes a lease that this replica took and heard of. Should it never be renewed, those who see
    /// it taken come first, and this replica `later` than they.
    pub fn took(&mut self, shard: u32, version: &str, now: Instant, later: Duration) {
        note(&mut self.shards, &shard, version, now + later);
        self.asked.remove(&shard);
    }

    /// Notes that this replica asks for a lease: it may get it without being told.
    pub fn asks(&mut self, shard: u32, version: &str) {
        let asked = self.asked.entry(shard).or_default();
        asked.versions.truncate(ASKED - 1);
        asked.versions.push_front(version.to_owned());
    }

    /// Whether this replica got the lease without hearing of it, and not too often in a row.
    fn came_unheard(&self, shard: u32, lease: &Lease) -> bool {
        let asked = self.asked.get(&shard);
        asked.is_some_and(|it| it.unheard <= UNHEARD && it.versions.contains(&lease.version))
    }

    /// Whether nobody else took the lease since this replica did. The name alone does not tell: two
    /// processes may have been given the same. What it could never renew it does not take for its
    /// own, so that one which can gets it.
    fn is_ours(&self, shard: u32, lease: &Lease) -> bool {
        let kept = lease.epoch.is_some() && lease.epoch == self.kept.get(&shard).copied();
        kept || self.came_unheard(shard, lease)
    }

    /// The next moment after `now` at which something that was not written again by then has been
    /// left alone for `duration`.
    pub fn next_expiry(&self, duration: Duration, now: Instant) -> Option<Instant> {
        let shards = self.shards.values();
        let all = shards.chain(self.replicas.values());
        all.map(|(_, since)| *since + duration)
            .filter(|end| *end > now)
            .min()
    }
}

/// Says whether the version is another than before.
fn note<K: Ord + Clone>(
    seen: &mut BTreeMap<K, (String, Instant)>,
    key: &K,
    version: &str,
    now: Instant,
) -> bool {
    let is_news = seen.get(key).is_none_or(|(known, _)| known != version);
    if is_news {
        seen.insert(key.clone(), (version.to_owned(), now));
    }
    is_news
}

/// What this replica is and has.
pub(super) struct Own<'a> {
    pub options: &'a LeaseOptions,
    /// The shards whose leases it holds under the table's layout, and whether it is about to give
    /// them back.
    pub held: BTreeMap<u32, bool>,
}

/// One thing to do about the leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Say for the first time over how many shards the keys are spread.
    LayOut,
    /// Take the lease of a shard that nobody holds.
    Take(u32),
    /// Work no more on a shard, and give its lease back when its passes have ended.
    Retire(u32),
    /// Give a lease back at once that is of no use.
    GiveBack(u32),
    /// Every lease of another layout is held: spread the keys as this replica was told.
    ChangeLayout,
    /// Remove what a replica left that has been dead for long.
    Forget(String),
}

/// What is to be done, in this order, about leases as they were just read.
pub(super) fn decide(leases: &Leases, seen: &Sightings, own: &Own<'_>, now: Instant) -> Vec<Move> {
    let shards = own.options.shards;
    let left_alone = |since: Option<&(String, Instant)>, duration: Duration| {
        since.is_some_and(|(_, since)| now.duration_since(*since) >= duration)
    };
    let is_free = |shard: u32| match leases.shards.get(&shard) {
        None | Some(Lease { holder: None, .. }) => true,
        // One of our own that ran out, because this process stood still, or that came without an
        // answer, is waited for by others only: whatever was begun under it cannot write any more.
        Some(lease) => {
            seen.is_ours(shard, lease) || left_alone(seen.shards.get(&shard), own.options.duration)
        }
    };
    match leases.layout {
        None => return vec![Move::LayOut],
        Some(layout) if layout != shards => return change(layout, is_free, &own.held),
        Some(_) => {}
    }
    let share = (shards as usize).div_ceil(live(leases, seen, own.options, now));
    let dead = |id: &&String| {
        **id != own.options.identity
            && left_alone(seen.replicas.get(*id), own.options.duration * FORGOTTEN)
    };
    let mut moves: Vec<Move> = leases
        .replicas
        .keys()
        .filter(dead)
        .map(|id| Move::Forget(id.clone()))
        .collect();
    let active: Vec<u32> = own
        .held
        .iter()
        .filter(|(_, retiring)| !**retiring)
        .map(|(shard, _)| *shard)
        .collect();
    moves.extend(active.iter().skip(share).copied().map(Move::Retire));
    let wanted = share.saturating_sub(active.len());
    let mut free: Vec<u32> = (0..shards)
        .filter(|shard| !own.held.contains_key(shard) && is_free(*shard))
        .collect();
    // Nobody else takes before its time what is this replica's already.
    let is_others = |shard: &u32| {
        let lease = leases.shards.get(shard);
        !lease.is_some_and(|lease| seen.is_ours(*shard, lease))
    };
    free.sort_by_key(is_others);
    moves.extend(free.into_iter().take(wanted).map(Move::Take));
    moves
}

/// How many replicas share the work, this one included. Those that were told of another number of
/// shards wait, and have no share.
pub(super) fn live(
    leases: &Leases,
    seen: &Sightings,
    options: &LeaseOptions,
    now: Instant,
) -> usize {
    let shares = |(id, replica): &(&String, &Replica)| {
        let since = seen.replicas.get(*id).map(|(_, since)| *since);
        **id != options.identity
            && replica.shards == options.shards
            && since.is_some_and(|since| now.duration_since(since) < options.duration)
    };
    1 + leases.replicas.iter().filter(shares).count()
}

/// Another layout stays as long as a replica works under it: all of its leases are taken, or none
/// is held, so that two replicas that both want to change it are not in each other's way.
fn change(layout: u32, is_free: impl Fn(u32) -> bool, held: &BTreeMap<u32, bool>) -> Vec<Move> {
    let missing: Vec<u32> = (0..layout)
        .filter(|shard| !held.contains_key(shard))
        .collect();
    if missing.is_empty() {
        vec![Move::ChangeLayout]
    } else if missing.iter().all(|shard| is_free(*shard)) {
        missing.into_iter().map(Move::Take).collect()
    } else {
        held.keys().copied().map(Move::GiveBack).collect()
    }
}
