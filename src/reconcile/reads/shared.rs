//! One kind of read, shared by all who ask at about the same time: names gather, calls take as many
//! as AWS allows, and everybody gets the answer that is fresh enough for them.

mod group;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::aws::error::AwsError;
use group::{Flight, Group, Landed, Waiter};

/// Calls of one group under way at once. While they wait, for AWS or for their budget, names
/// gather: the busier it is, the fuller are the calls.
const CALLS: usize = 4;

/// How many of them a sweep may have. Those who look afresh find a call free, and few before them in
/// the queue for the budget: a sweep of ten thousand services asks without a pause for a minute.
const SWEEPING: usize = 2;

/// How long names gather before a call that is not full.
const GATHER: Duration = Duration::from_millis(3);

/// How long a reading is kept.
pub(super) const KEPT: Duration = Duration::from_secs(30 * 60);

/// How long a refusal of one name stands while its whole group is refused: from one sweep to the
/// next, with the time that a sweep takes, and no longer.
const REFUSED: Duration = Duration::from_secs(7 * 60);

/// What is read.
pub(super) trait Kind: Send + Sync + 'static {
    /// What one call is about, such as a cluster.
    type Group: Clone + Ord + Send + Sync + Debug;
    /// What one call takes several of.
    type Name: Clone + Ord + Send + Sync + Debug;
    /// What is found out about a name.
    type Answer: Clone + PartialEq + Send + Sync;

    /// Most names that one call takes.
    const BATCH: usize;

    /// Reads these, at most [`Kind::BATCH`].
    fn read(
        &self,
        group: &Self::Group,
        names: &BTreeSet<Self::Name>,
    ) -> impl Future<Output = Result<BTreeMap<Self::Name, Self::Answer>, AwsError>> + Send;

    /// Whether one name alone can make a call fail in this way, so that others that were asked for
    /// with it must be asked for without it.
    fn may_be_about_one(&self, _error: &AwsError) -> bool {
        false
    }
}

/// When something began: in which order, and by the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    order: u64,
    at: Instant,
}

impl Moment {
    /// By the clock.
    pub(super) fn at(self) -> Instant {
        self.at
    }
}

/// Counts what begins. Clones count on: the clock alone does not tell apart what falls into one
/// instant.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Arc<AtomicU64>);

impl Order {
    pub(super) fn now(&self) -> Moment {
        Moment {
            order: self.0.fetch_add(1, Ordering::SeqCst),
            at: Instant::now(),
        }
    }
}

/// Which readings will do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fresh {
    /// Those that began after this.
    After(Moment),
    /// Those that began then or later.
    Since(Instant),
    /// The same, and answers of before that are not older than that; a refusal may be over.
    Lasting(Instant, Duration),
}

impl Fresh {
    fn admits(self, began: Moment) -> bool {
        match self {
            Fresh::After(moment) => began.order > moment.order,
            Fresh::Since(at) | Fresh::Lasting(at, _) => began.at >= at,
        }
    }

    /// The same for what was answered.
    fn admits_answer(self, began: Moment) -> bool {
        let old = |at: Instant, kept| at.saturating_duration_since(began.at) <= kept;
        self.admits(began) || matches!(self, Fresh::Lasting(at, kept) if old(at, kept))
    }

    /// Whether somebody looks afresh.
    fn is_urgent(self) -> bool {
        matches!(self, Fresh::After(_))
    }
}

/// Between when AWS is to have answered the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Same {
    /// What was known at that moment is what was read freshly enough.
    AsBefore(Fresh, Moment),
    /// It was read since that moment, and every call that began since then was answered so.
    SinceThen(Moment),
    /// No call that began since then was answered otherwise than is known.
    Only(Instant),
}

/// What each of several asks for at once.
pub(super) type Asked<N> = Vec<BTreeSet<N>>;

type Answered<K> = Result<<K as Kind>::Answer, AwsError>;
type Found<K> = BTreeMap<<K as Kind>::Name, Answered<K>>;
/// Names, by who is to be answered for them in one call.
type Parts<K> = Vec<BTreeSet<<K as Kind>::Name>>;
type ToCome<K> = (<K as Kind>::Name, oneshot::Receiver<Answered<K>>);

/// Reads of one kind. Clones share their answers.
pub(super) struct Shared<K: Kind>(Arc<Inner<K>>);

impl<K: Kind> Clone for Shared<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<K: Kind> {
    kind: K,
    order: Order,
    groups: Mutex<BTreeMap<K::Group, Group<K>>>,
}

impl<K: Kind> Shared<K> {
    pub(super) fn new(kind: K, order: &Order) -> Self {
        Self(Arc::new(Inner {
            kind,
            order: order.clone(),
            groups: Mutex::default(),
        }))
    }

    /// What is known of these names; asks AWS where nothing fresh enough is. A name whose call was
    /// lost on the way has no answer.
    pub(super) async fn ask(
        &self,
        group: &K::Group,
        names: BTreeSet<K::Name>,
        fresh: Fresh,
    ) -> Found<K> {
        let (mut found, open) = self.join(group, vec![names], fresh);
        for (name, answered) in open {
            if let Ok(answer) = answered.await {
                found.insert(name, answer);
            }
        }
        found
    }

    /// Whether what is known of all these names is what it was.
    pub(super) fn are_same<'a>(
        &self,
        group: &K::Group,
        names: impl IntoIterator<Item = &'a K::Name>,
        same: Same,
    ) -> bool {
        let groups = self.groups();
        let state = groups.get(group);
        let mut names = names.into_iter();
        names.all(|name| state.is_some_and(|state| state.is_same(name, same)))
    }

    /// Asks for several who will ask afterwards.
    pub(super) async fn ahead(&self, group: &K::Group, asked: Asked<K::Name>, fresh: Fresh) {
        for (_, answered) in self.join(group, asked, fresh).1 {
            // Kept, or left to those who ask.
            let _told = answered.await;
        }
    }

    /// What is known of a name, whenever that was read.
    pub(super) fn newest(
        &self,
        group: &K::Group,
        name: &K::Name,
    ) -> Option<Result<K::Answer, AwsError>> {
        self.groups().get(group)?.newest(name)
    }

    /// What is known of a name, where that is fresh enough.
    pub(super) fn at_hand(
        &self,
        group: &K::Group,
        name: &K::Name,
        fresh: Fresh,
    ) -> Option<Result<K::Answer, AwsError>> {
        let asked = [name.clone()].into();
        self.groups().get(group)?.known(name, &asked, fresh)
    }

    /// What is known already, and the answers that will come.
    fn join(
        &self,
        group: &K::Group,
        asked: Asked<K::Name>,
        fresh: Fresh,
    ) -> (Found<K>, Vec<ToCome<K>>) {
        let (mut found, mut open) = (BTreeMap::new(), Vec::new());
        let mut groups = self.groups();
        let state = groups.entry(group.clone()).or_default();
        for names in asked {
            let asked = Arc::new(names);
            for name in asked.iter().cloned() {
                if let Some(answer) = state.known(&name, &asked, fresh) {
                    found.insert(name, answer);
                    continue;
                }
                let (answer, answered) = oneshot::channel();
                let waiter = Waiter {
                    asked: asked.clone(),
                    fresh,
                    answer,
                    span: Span::current(),
                };
                state.join(name.clone(), waiter);
                open.push((name, answered));
            }
        }
        let begun = self.begin(group, state, false);
        drop(groups);
        self.spawn(group, begun);
        (found, open)
    }

    /// Whatever was read of these names before now is not used any more: we wrote to them.
    pub(super) fn forget(&self, group: &K::Group, mut is_written: impl FnMut(&K::Name) -> bool) {
        let mut groups = self.groups();
        let Some(state) = groups.get_mut(group) else {
            return;
        };
        let now = self.0.order.now();
        let written = state.readings.extract_if(.., |name, _| is_written(name));
        state.dropped.extend(written.map(|(name, _)| (name, now)));
        for flight in state.flights.values_mut() {
            let written = flight.names.keys().filter(|name| is_written(name));
            flight.outdated.extend(written.cloned());
        }
    }

    /// Drops what is older than that.
    pub(super) fn forget_older(&self, than: Duration) {
        let mut groups = self.groups();
        for state in groups.values_mut() {
            state
                .readings
                .retain(|_, reading| reading.began.at.elapsed() <= than);
            state.dropped.retain(|_, at| at.at.elapsed() <= than);
        }
        groups.retain(|_, state| !state.is_idle());
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<K::Group, Group<K>>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes names for calls: full ones at once, others once they have `gathered` for a moment.
    fn begin(&self, key: &K::Group, state: &mut Group<K>, gathered: bool) -> Begun<K> {
        let mut calls = Vec::new();
        while state.may_begin() && (gathered || state.waiting.len() >= K::BATCH) {
            let began = self.0.order.now();
            let urgent = state.is_urgent();
            let names = state.take();
            if names.is_empty() {
                break;
            }
            let asked = names.keys().cloned().collect();
            // A call has one parent: it belongs to one of those who wait for it.
            let one = names.values().flatten().next();
            let span = one.map_or_else(Span::none, |waiter| waiter.span.clone());
            let flight = Flight {
                began,
                urgent,
                names,
                outdated: BTreeSet::new(),
            };
            state.flights.insert(began.order, flight);
            let call = UnderWay {
                shared: self.clone(),
                key: key.clone(),
                flight: began.order,
                landed: false,
            };
            calls.push((call, asked, span));
        }
        let gathers = !state.waiting.is_empty() && state.may_begin() && !state.gathering;
        state.gathering |= gathers;
        Begun { calls, gathers }
    }

    /// Sets off what was begun, without holding the lock: a runtime that ends drops it at once.
    fn spawn(&self, key: &K::Group, begun: Begun<K>) {
        for (call, names, span) in begun.calls {
            tokio::spawn(call.fly(names).instrument(span));
        }
        if begun.gathers {
            let (shared, key) = (self.clone(), key.clone());
            tokio::spawn(async move {
                tokio::time::sleep(GATHER).await;
                let mut groups = shared.groups();
                let Some(state) = groups.get_mut(&key) else {
                    return;
                };
                state.gathering = false;
                let begun = shared.begin(&key, state, true);
                drop(groups);
                shared.spawn(&key, begun);
            });
        }
    }

    /// Answers those who wait for a call, and begins the next.
    fn land(&self, key: &K::Group, flight: u64, landed: Landed<K>) {
        let mut groups = self.groups();
        let Some(state) = groups.get_mut(key) else {
            return;
        };
        state.land(flight, landed, self.0.order.now());
        let begun = self.begin(key, state, false);
        drop(groups);
        self.spawn(key, begun);
    }

    /// What a refused call is taken apart into, by those who wait for it now.
    fn parts(&self, key: &K::Group, flight: u64) -> Parts<K> {
        let groups = self.groups();
        let flight = groups.get(key).and_then(|it| it.flights.get(&flight));
        flight.map(Flight::parts).unwrap_or_default()
    }

    /// A call that was dropped on its way: nobody may wait for it or for the next.
    fn lose(&self, key: &K::Group, flight: u64) {
        if let Some(state) = self.groups().get_mut(key) {
            state.flights.remove(&flight);
            state.waiting.clear();
        }
    }
}

/// What is to be set off.
struct Begun<K: Kind> {
    calls: Vec<(UnderWay<K>, BTreeSet<K::Name>, Span)>,
    gathers: bool,
}

/// A call under way. However it ends, nobody waits for it for ever.
struct UnderWay<K: Kind> {
    shared: Shared<K>,
    key: K::Group,
    flight: u64,
    landed: bool,
}

impl<K: Kind> UnderWay<K> {
    async fn fly(mut self, names: BTreeSet<K::Name>) {
        let landed = self.read(names).await;
        self.landed = true;
        self.shared.land(&self.key, self.flight, landed);
    }

    /// Reads it all in one call. Where that may have failed because of one name, those who wait
    /// are asked for apart, as they would be without the others.
    async fn read(&self, names: BTreeSet<K::Name>) -> Landed<K> {
        let kind = &self.shared.0.kind;
        let together = kind.read(&self.key, &names).await;
        let parts = match is_about_one(kind, &together) {
            true => self.shared.parts(&self.key, self.flight),
            false => Vec::new(),
        };
        let mut landed = Landed {
            answers: BTreeMap::new(),
            refused: true,
        };
        if parts.len() < 2 {
            landed.add(kind, names, together);
            landed.refused = false;
            return landed;
        }
        for part in parts {
            let alone = kind.read(&self.key, &part).await;
            landed.add(kind, part, alone);
        }
        landed
    }
}

impl<K: Kind> Drop for UnderWay<K> {
    fn drop(&mut self) {
        if !self.landed {
            self.shared.lose(&self.key, self.flight);
        }
    }
}

fn is_about_one<K: Kind, A>(kind: &K, read: &Result<A, AwsError>) -> bool {
    read.as_ref()
        .is_err_and(|error| kind.may_be_about_one(error))
}

#[cfg(test)]
mod tests;
