//! Carries out what was decided about the leases, and renews those that are held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::decide::{Move, Own, Sightings, decide, live};
use super::{Held, Leadership};
use crate::store::StoreError;
use crate::store::lease::{Hold, Leases, Taking, new_version};

/// How often it is looked whether the passes of a lease that goes have ended.
const RETIRING: Duration = Duration::from_millis(200);

/// How often in a row it is read again what a move led to, before others get their turn.
const LOOKS: usize = 4;

/// What is remembered from turn to turn.
#[derive(Debug, Default)]
pub(super) struct Driver {
    seen: Sightings,
    renew_at: Option<Instant>,
    look_at: Option<Instant>,
    /// Whether the table could be used at least once.
    worked: bool,
    /// What only a person can put right, as it was logged.
    wrong: Option<String>,
}

impl Driver {
    /// When to come again after a turn. What only a person can put right ends it at the start, when
    /// a person is there to see it; in a replica that has worked it is logged once and waited out.
    ///
    /// # Errors
    /// When the table could not be used yet.
    pub fn bear(
        &mut self,
        turn: Result<Instant, StoreError>,
        pause: Duration,
    ) -> Result<Instant, StoreError> {
        match turn {
            Ok(next) => {
                self.worked = true;
                if self.wrong.take().is_some() {
                    tracing::info!("the leases can be used again");
                }
                Ok(next)
            }
            Err(error) if self.worked => {
                let what = error.to_string();
                if self.wrong.as_ref() != Some(&what) {
                    tracing::error!(%error, "the leases cannot be used");
                    self.wrong = Some(what);
                }
                Ok(Instant::now() + pause)
            }
            Err(error) => Err(error),
        }
    }

    /// Does what is due, and says when to come again.
    ///
    /// # Errors
    /// When the table can never be used.
    pub async fn turn(&mut self, of: &Leadership) -> Result<Instant, StoreError> {
        let period = of.inner.options.retry_period;
        if !of.state().open {
            return Ok(Instant::now() + of.inner.options.look_period());
        }
        drop_ended(of);
        if is_due(self.renew_at) {
            self.renew_at = Some(Instant::now() + period);
            self.renew(of).await?;
        }
        give_back_retired(of).await;
        if wants_more(of) && is_due(self.look_at) {
            self.look_at = Some(Instant::now() + of.inner.options.look_period());
            self.look(of).await?;
        }
        of.tell();
        Ok(self.next(of))
    }

    /// Renews all at once, so that a call that hangs holds up no other.
    async fn renew(&mut self, of: &Leadership) -> Result<(), StoreError> {
        let mut calls = JoinSet::new();
        let patience = of.inner.options.patience();
        for hold in holds(of) {
            let of = of.clone();
            calls.spawn(async move {
                let renewal = of
                    .inner
                    .store
                    .renew_lease(&hold, &of.inner.options.identity);
                let done = timeout(patience, renewal).await;
                (hold, done)
            });
        }
        if of.inner.options.shards > 1 {
            let options = &of.inner.options;
            let heartbeat = of
                .inner
                .store
                .put_replica(&options.identity, options.shards);
            match timeout(patience, heartbeat).await {
                Ok(done) => {
                    tolerate("the heartbeat could not be written", done)?;
                }
                Err(_) => tracing::warn!("the heartbeat could not be written in time"),
            }
        }
        while let Some(joined) = calls.join_next().await {
            let Ok((hold, done)) = joined else { continue };
            let shard = hold.shard();
            match done {
                Ok(Ok(version)) => {
                    let epoch = hold.epoch();
                    self.seen.renewed(shard, epoch, &version, Instant::now());
                }
                Ok(Err(error @ StoreError::LostLease { .. })) => {
                    tracing::warn!(shard, %error, "lost the lease");
                    hold.end();
                }
                Ok(Err(error)) => {
                    tolerate("the lease could not be renewed", Err(error))?;
                }
                Err(_) => tracing::warn!(shard, "the lease could not be renewed in time"),
            }
        }
        drop_ended(of);
        Ok(())
    }

    /// Reads the leases and does what is to be done about them.
    async fn look(&mut self, of: &Leadership) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            let read = match timeout(of.inner.options.haste(), of.inner.store.leases()).await {
                Ok(read) => read,
                Err(_) => {
                    tracing::warn!("the leases could not be read in time");
                    return Ok(());
                }
            };
            let leases = match read {
                Ok(leases) => leases,
                Err(error) => {
                    return tolerate("the leases could not be read", Err(error)).map(drop);
                }
            };
            let now = Instant::now();
            self.seen.look(&leases, now);
            of.state().replicas = live(&leases, &self.seen, &of.inner.options, now);
            drop_of_other_layouts(of, &leases);
            let own = Own {
                options: &of.inner.options,
                held: of
                    .state()
                    .held
                    .iter()
                    .map(|(shard, held)| (*shard, held.retiring.is_some()))
                    .collect(),
            };
            let moves = decide(&leases, &self.seen, &own, now);
            let changes_layout = leases.layout != Some(of.inner.options.shards);
            for one in &moves {
                let done = self.carry_out(of, &leases, one).await?;
                // What is held is not lost over what is to be had: after the renewals it goes on.
                if is_due(self.renew_at) {
                    self.look_at = Some(Instant::now());
                    return Ok(());
                }
                // All or none, and in order: of two that want to change it one gets on.
                if changes_layout && !done {
                    break;
                }
            }
            if moves.is_empty() || !changes_layout {
                break;
            }
        }
        if let Some(expiry) = self
            .seen
            .next_expiry(of.inner.options.duration, Instant::now())
        {
            self.look_at = self.look_at.map(|at| at.min(expiry));
        }
        Ok(())
    }

    /// Says whether it was done.
    async fn carry_out(
        &mut self,
        of: &Leadership,
        leases: &Leases,
        one: &Move,
    ) -> Result<bool, StoreError> {
        let (store, options) = (&of.inner.store, &of.inner.options);
        match one {
            Move::LayOut => {
                let done = timeout(options.haste(), store.lay_out(options.shards)).await;
                in_time("the leases could not be laid out", done)
            }
            Move::Take(shard) => self.take(of, leases, *shard).await,
            Move::Retire(shard) => {
                if let Some(held) = of.state().held.get_mut(shard) {
                    held.retiring = Some(Instant::now());
                }
                Ok(true)
            }
            Move::GiveBack(shard) => {
                let held = of.state().held.remove(shard);
                if let Some(held) = held {
                    of.give_back(&held.hold).await;
                }
                Ok(true)
            }
            Move::ChangeLayout => change_layout(of).await,
            Move::Forget(id) => {
                let seen = leases
                    .replicas
                    .get(id)
                    .map(|replica| replica.version.as_str());
                let done = timeout(options.haste(), store.delete_replica(id, seen)).await;
                in_time("a dead replica could not be forgotten", done)
            }
        }
    }

    async fn take(
        &mut self,
        of: &Leadership,
        leases: &Leases,
        shard: u32,
    ) -> Result<bool, StoreError> {
        let options = &of.inner.options;
        let version = new_version();
        self.seen.asks(shard, &version);
        let taking = Taking {
            shard,
            layout: leases.layout.unwrap_or(options.shards),
            holder: &options.identity,
            seen: leases.shards.get(&shard),
            version: version.clone(),
            deadline: options.renew_deadline,
        };
        let hold = match timeout(options.haste(), of.inner.store.take_lease(taking)).await {
            Ok(Ok(hold)) => Arc::new(hold),
            Ok(Err(error)) => return tolerate("the lease could not be taken", Err(error)),
            Err(_) => {
                tracing::warn!(shard, "the lease could not be taken in time");
                return Ok(false);
            }
        };
        tracing::info!(shard, epoch = hold.epoch(), "took the lease");
        let (now, later) = (Instant::now(), options.retry_period);
        self.seen.took(shard, &version, now, later);
        let is_wanted = {
            let mut state = of.state();
            if state.open {
                let held = Held {
                    hold: hold.clone(),
                    retiring: None,
                };
                state.held.insert(shard, held);
            }
            state.open
        };
        if !is_wanted {
            of.give_back(&hold).await;
        }
        Ok(is_wanted)
    }

    fn next(&self, of: &Leadership) -> Instant {
        let now = Instant::now();
        let mut next = self.renew_at.unwrap_or(now);
        if wants_more(of) {
            next = next.min(self.look_at.unwrap_or(now));
        }
        let state = of.state();
        for held in state.held.values() {
            if let Some(end) = held.hold.ends() {
                next = next.min(end);
            }
            if held.retiring.is_some() {
                next = next.min(now + RETIRING);
            }
        }
        next
    }
}

async fn change_layout(of: &Leadership) -> Result<bool, StoreError> {
    let shards = of.inner.options.shards;
    let held = holds(of);
    let all: Vec<&Hold> = held.iter().map(AsRef::as_ref).collect();
    let change = of.inner.store.change_layout(&all, shards);
    let done = timeout(of.inner.options.haste(), change).await;
    if matches!(done, Ok(Ok(()))) {
        tracing::info!(
            from = all.len(),
            to = shards,
            "changed the number of shards"
        );
        held.iter().for_each(|hold| hold.end());
        drop_ended(of);
    }
    in_time("the number of shards could not be changed", done)
}

/// Gives back what nobody writes under any more, or has had its time.
async fn give_back_retired(of: &Leadership) {
    let bound = of.inner.options.renew_deadline;
    let is_done = |held: &Held| {
        let over = |since: Instant| since.elapsed() >= bound;
        held.retiring
            .is_some_and(|since| Arc::strong_count(&held.hold) == 1 || over(since))
    };
    let done: Vec<Arc<Hold>> = {
        let mut state = of.state();
        let (done, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut state.held)
            .into_iter()
            .partition(|(_, held)| is_done(held));
        state.held = kept;
        done.into_values().map(|held| held.hold).collect()
    };
    let mut calls = JoinSet::new();
    for hold in done {
        let of = of.clone();
        calls.spawn(async move { of.give_back(&hold).await });
    }
    while calls.join_next().await.is_some() {}
}

/// What has run out, or turned out to be lost, is not held.
fn drop_ended(of: &Leadership) {
    of.state().held.retain(|shard, held| {
        let kept = held.hold.is_fresh();
        if !kept {
            tracing::info!(shard, "no longer holds the lease");
        }
        kept
    });
    of.tell();
}

/// Another replica spread the keys otherwise: what was held says nothing any more.
fn drop_of_other_layouts(of: &Leadership, leases: &Leases) {
    for hold in holds(of) {
        if Some(hold.layout()) != leases.layout {
            hold.end();
        }
    }
    drop_ended(of);
}

fn holds(of: &Leadership) -> Vec<Arc<Hold>> {
    let state = of.state();
    state.held.values().map(|held| held.hold.clone()).collect()
}

/// The only lease there is needs no look as long as it can be renewed.
fn wants_more(of: &Leadership) -> bool {
    of.inner.options.shards > 1 || !of.holds_all()
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_none_or(|at| Instant::now() >= at)
}

/// The same for a call that had to come back in time.
fn in_time(
    what: &str,
    done: Result<Result<(), StoreError>, tokio::time::error::Elapsed>,
) -> Result<bool, StoreError> {
    match done {
        Ok(done) => tolerate(what, done),
        Err(_) => {
            tracing::warn!("{what} in time");
            Ok(false)
        }
    }
}

/// What may go away, or only says that somebody was faster, is no reason to end. Says whether it was
/// done.
fn tolerate(what: &str, done: Result<(), StoreError>) -> Result<bool, StoreError> {
    match done {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) if error.is_transient() => {
            tracing::warn!(%error, "{what}");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
