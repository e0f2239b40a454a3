//! What is known of one group, who waits for what, and the calls under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use super::{Answered, CALLS, Fresh, Kind, Moment, Parts, REFUSED, SWEEPING, Same, is_about_one};
use crate::aws::error::{AwsError, ErrorClass};

pub(super) struct Group<K: Kind> {
    /// The newest reading of each name.
    pub(super) readings: BTreeMap<K::Name, Reading<K>>,
    /// Not asked for yet; whoever waits here gets a reading that begins later.
    pub(super) waiting: BTreeMap<K::Name, Vec<Waiter<K>>>,
    /// Those of them that somebody looks at afresh, in order of arrival: a sweep can wait.
    urgent: VecDeque<K::Name>,
    /// Calls under way, by the order in which they began.
    pub(super) flights: BTreeMap<u64, Flight<K>>,
    /// Whether a timer runs that ends the gathering.
    pub(super) gathering: bool,
    /// When everybody who asked in one call was refused, unless anybody was answered since.
    pub(super) refused: Option<Instant>,
    /// When the reading of a name was dropped because of a write: what it said is not known any more.
    pub(super) dropped: BTreeMap<K::Name, Moment>,
}

impl<K: Kind> Default for Group<K> {
    fn default() -> Self {
        Self {
            readings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            urgent: VecDeque::new(),
            flights: BTreeMap::new(),
            gathering: false,
            refused: None,
            dropped: BTreeMap::new(),
        }
    }
}

pub(super) struct Reading<K: Kind> {
    pub(super) began: Moment,
    /// When AWS answered so for the first time in a row.
    same_since: Moment,
    /// When the newest call began that AWS answered otherwise.
    differed: Option<Moment>,
    pub(super) told: Told<K>,
}

impl<K: Kind> Reading<K> {
    /// The reading that takes the place of this one, as it was answered just now.
    fn after(before: Option<&Self>, began: Moment, told: Told<K>, now: Moment) -> Self {
        let same = before.filter(|before| before.told.is_same(&told));
        Self {
            began,
            same_since: same.map_or(now, |before| before.same_since),
            differed: match same {
                Some(before) => before.differed,
                None => before.map(|before| before.began),
            },
            told,
        }
    }

    /// An older call was answered only now, and its answer taken by those who waited for it.
    fn outran(&mut self, began: Moment, told: &Told<K>) {
        let later = self.differed.is_none_or(|at| at.order < began.order);
        if later && !self.told.is_same(told) {
            self.differed = Some(began);
        }
    }

    fn is_one(&self, same: Same) -> bool {
        match same {
            Same::AsBefore(fresh, moment) => {
                fresh.admits_answer(self.began) && self.same_since.order < moment.order
            }
            Same::Only(since) => self.differed.is_none_or(|at| at.at < since),
            Same::SinceThen(moment) => {
                let before = |at: Moment| at.order < moment.order;
                !before(self.began) && self.differed.is_none_or(before)
            }
        }
    }
}

/// What AWS said of a name.
pub(super) struct Told<K: Kind> {
    answer: Answered<K>,
    /// The names of the call, where one of them alone may be why it was refused: it says nothing to
    /// those who do not ask for all of them.
    refused_with: Option<Arc<BTreeSet<K::Name>>>,
}

impl<K: Kind> Told<K> {
    fn is_same(&self, other: &Self) -> bool {
        matches!((&self.answer, &other.answer), (Ok(one), Ok(other)) if one == other)
    }

    /// Whether it is the answer to who asked for these.
    fn is_for(&self, asked: &BTreeSet<K::Name>) -> bool {
        let refused_with = self.refused_with.as_ref();
        refused_with.is_none_or(|names| names.is_subset(asked))
    }
}

pub(super) struct Waiter<K: Kind> {
    /// Everything that was asked for with it.
    pub(super) asked: Arc<BTreeSet<K::Name>>,
    pub(super) fresh: Fresh,
    pub(super) answer: oneshot::Sender<Answered<K>>,
    /// What it is waited for in.
    pub(super) span: Span,
}

pub(super) struct Flight<K: Kind> {
    pub(super) began: Moment,
    /// Whether it began because somebody looks afresh.
    pub(super) urgent: bool,
    pub(super) names: BTreeMap<K::Name, Vec<Waiter<K>>>,
    /// Names that we wrote to meanwhile.
    pub(super) outdated: BTreeSet<K::Name>,
}

impl<K: Kind> Flight<K> {
    /// The names, by what was asked for together. A name that was asked for with different others
    /// stands alone: each is to learn what it would be told by itself.
    pub(super) fn parts(&self) -> Parts<K> {
        let mut parts = Vec::new();
        let mut by_asked: BTreeMap<&BTreeSet<K::Name>, BTreeSet<K::Name>> = BTreeMap::new();
        for (name, waiters) in &self.names {
            let first = waiters.first().map(|waiter| &*waiter.asked);
            let same = |asked: &&BTreeSet<K::Name>| waiters.iter().all(|it| *it.asked == **asked);
            match first.filter(same) {
                Some(asked) => drop(by_asked.entry(asked).or_default().insert(name.clone())),
                None => parts.push([name.clone()].into()),
            }
        }
        parts.extend(by_asked.into_values());
        parts
    }
}

/// What came of one call.
pub(super) struct Landed<K: Kind> {
    pub(super) answers: BTreeMap<K::Name, Told<K>>,
    /// Everybody who asked was refused.
    pub(super) refused: bool,
}

impl<K: Kind> Landed<K> {
    /// What one call said of its names.
    pub(super) fn add(
        &mut self,
        kind: &K,
        names: BTreeSet<K::Name>,
        read: Result<BTreeMap<K::Name, K::Answer>, AwsError>,
    ) {
        let is_refused = is_about_one(kind, &read);
        self.refused &= is_refused;
        let told = |answer, refused_with| Told {
            answer,
            refused_with,
        };
        match read {
            Ok(found) => {
                let found = found.into_iter();
                let found = found.map(|(name, answer)| (name, told(Ok(answer), None)));
                self.answers.extend(found);
            }
            Err(error) => {
                let names = Arc::new(names);
                for name in &*names {
                    let together = is_refused.then(|| names.clone());
                    let told = told(Err(error.clone()), together);
                    self.answers.insert(name.clone(), told);
                }
            }
        }
    }
}

impl<K: Kind> Group<K> {
    /// The answer to who asks for these, one of which is the name.
    pub(super) fn known(
        &self,
        name: &K::Name,
        asked: &BTreeSet<K::Name>,
        fresh: Fresh,
    ) -> Option<Answered<K>> {
        let reading = self.readings.get(name)?;
        let answer = &reading.told.answer;
        let still = || {
            // Where everybody is refused anyway, a refusal of before needs no call to be repeated.
            matches!(fresh, Fresh::Since(at) if self.refused.is_some_and(|refused| refused >= at))
                && reading.began.at.elapsed() <= REFUSED
        };
        let is_fresh = match answer {
            Ok(_) => fresh.admits_answer(reading.began),
            Err(_) => fresh.admits(reading.began) || still(),
        };
        (is_fresh && reading.told.is_for(asked)).then(|| answer.clone())
    }

    /// What AWS said of a name last.
    pub(super) fn newest(&self, name: &K::Name) -> Option<Answered<K>> {
        Some(self.readings.get(name)?.told.answer.clone())
    }

    /// Whether what is known of a name is what it was.
    pub(super) fn is_same(&self, name: &K::Name, same: Same) -> bool {
        let dropped = matches!(
            (self.dropped.get(name), same),
            (Some(at), Same::SinceThen(moment)) if at.order > moment.order
        );
        let reading = self.readings.get(name);
        !dropped && reading.is_some_and(|it| it.told.answer.is_ok() && it.is_one(same))
    }

    /// Waits for a call under way that is fresh enough, or for the next.
    pub(super) fn join(&mut self, name: K::Name, waiter: Waiter<K>) {
        let mut flights = self.flights.values_mut().rev();
        let joined = flights.find_map(|flight| {
            let fresh = waiter.fresh.admits(flight.began) && !flight.outdated.contains(&name);
            flight.names.get_mut(&name).filter(|_| fresh)
        });
        match joined {
            Some(waiters) => waiters.push(waiter),
            None => self.wait(name, vec![waiter]),
        }
    }

    fn wait(&mut self, name: K::Name, waiters: Vec<Waiter<K>>) {
        if waiters.iter().any(|waiter| waiter.fresh.is_urgent()) {
            self.urgent.push_back(name.clone());
        }
        self.waiting.entry(name).or_default().extend(waiters);
    }

    /// Whether the next call is one that somebody looks afresh by.
    pub(super) fn is_urgent(&self) -> bool {
        let mut urgent = self.urgent.iter();
        urgent.any(|name| self.waiting.contains_key(name))
    }

    /// Whether the next call finds a place among those under way.
    pub(super) fn may_begin(&self) -> bool {
        let sweeping = self.flights.values().filter(|flight| !flight.urgent);
        self.flights.len() < CALLS && (self.is_urgent() || sweeping.count() < SWEEPING)
    }

    fn next_waiting(&mut self) -> Option<(K::Name, Vec<Waiter<K>>)> {
        while let Some(name) = self.urgent.pop_front() {
            if let Some(waiting) = self.waiting.remove_entry(&name) {
                return Some(waiting);
            }
        }
        self.waiting.pop_first()
    }

    /// The next names to ask for, without those that nobody wants any more.
    pub(super) fn take(&mut self) -> BTreeMap<K::Name, Vec<Waiter<K>>> {
        let mut names = BTreeMap::new();
        while names.len() < K::BATCH
            && let Some((name, mut waiters)) = self.next_waiting()
        {
            waiters.retain(|waiter| !waiter.answer.is_closed());
            if !waiters.is_empty() {
                names.insert(name, waiters);
            }
        }
        names
    }

    pub(super) fn land(&mut self, flight: u64, mut landed: Landed<K>, now: Moment) {
        let Some(flight) = self.flights.remove(&flight) else {
            return;
        };
        let began = flight.began;
        let answered = landed.answers.values().any(|told| told.answer.is_ok());
        for (name, waiters) in flight.names {
            if flight.outdated.contains(&name) {
                self.wait(name, waiters);
                continue;
            }
            // Those whose name has no answer learn it by the end of their channel.
            let Some(told) = landed.answers.remove(&name) else {
                continue;
            };
            // Who joined too late to be asked for apart is in the next call.
            let (meant, others): (Vec<_>, Vec<_>) = waiters
                .into_iter()
                .partition(|waiter| told.is_for(&waiter.asked));
            tell(meant, &told.answer);
            if !others.is_empty() {
                self.wait(name.clone(), others);
            }
            match self.readings.get_mut(&name) {
                Some(newer) if newer.began.order > began.order => newer.outran(began, &told),
                older if is_lasting(&told.answer) => {
                    let reading = Reading::after(older.as_deref(), began, told, now);
                    self.readings.insert(name, reading);
                }
                _ => {}
            }
        }
        if landed.refused {
            self.refused = Some(began.at);
            self.answer_refused();
        } else if answered {
            self.refused = None;
        }
    }

    /// Where everybody is refused, those who were refused before need not ask again.
    fn answer_refused(&mut self) {
        for (name, waiters) in std::mem::take(&mut self.waiting) {
            let mut left = Vec::new();
            for waiter in waiters {
                match self.known(&name, &waiter.asked, waiter.fresh) {
                    Some(answer) => tell(vec![waiter], &answer),
                    None => left.push(waiter),
                }
            }
            if !left.is_empty() {
                self.waiting.insert(name, left);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let known = !self.readings.is_empty() || !self.dropped.is_empty();
        !known && self.waiting.is_empty() && self.flights.is_empty()
    }
}

fn tell<K: Kind>(waiters: Vec<Waiter<K>>, answer: &Answered<K>) {
    for waiter in waiters {
        // Somebody who does not wait any more needs no answer.
        let _gone = waiter.answer.send(answer.clone());
    }
}

/// Whether asking again at once would end in the same way.
fn is_lasting<A>(answer: &Result<A, AwsError>) -> bool {
    answer.as_ref().map_or_else(
        |error| {
            matches!(
                error.class,
                ErrorClass::Denied
                    | ErrorClass::Credentials
                    | ErrorClass::NotFound
                    | ErrorClass::Refused
            )
        },
        |_| true,
    )
}
