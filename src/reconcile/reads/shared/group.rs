//! What is known of one group, who waits for what, and the calls under way.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answered, Asker, Fresh, KEPT, Kind, Moment};
use crate::aws::error::{AwsError, ErrorClass};

pub(super) struct Group<K: Kind> {
    /// The newest reading of each name.
    pub(super) readings: BTreeMap<K::Name, Reading<K>>,
    /// Not asked for yet; whoever waits here gets a reading that begins later.
    pub(super) waiting: BTreeMap<K::Name, Vec<Waiter<K>>>,
    /// Calls under way, by the order in which they began.
    pub(super) flights: BTreeMap<u64, Flight<K>>,
    /// Whether a timer runs that ends the gathering.
    pub(super) gathering: bool,
    /// When everybody who asked in one call was refused, unless anybody was answered since.
    pub(super) refused: Option<Instant>,
}

impl<K: Kind> Default for Group<K> {
    fn default() -> Self {
        Self {
            readings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            flights: BTreeMap::new(),
            gathering: false,
            refused: None,
        }
    }
}

pub(super) struct Reading<K: Kind> {
    pub(super) began: Moment,
    pub(super) answer: Answered<K>,
}

pub(super) struct Waiter<K: Kind> {
    pub(super) asker: Asker,
    pub(super) fresh: Fresh,
    pub(super) answer: oneshot::Sender<Answered<K>>,
}

pub(super) struct Flight<K: Kind> {
    pub(super) began: Moment,
    pub(super) names: BTreeMap<K::Name, Vec<Waiter<K>>>,
    /// Names that we wrote to meanwhile.
    pub(super) outdated: BTreeSet<K::Name>,
}

/// What came of one call.
pub(super) struct Landed<K: Kind> {
    pub(super) answers: BTreeMap<K::Name, Answered<K>>,
    /// Everybody who asked was refused.
    pub(super) refused: bool,
}

impl<K: Kind> Group<K> {
    pub(super) fn known(&self, name: &K::Name, fresh: Fresh) -> Option<Answered<K>> {
        let reading = self.readings.get(name)?;
        let still = || {
            // Where everybody is refused anyway, a refusal of before needs no call to be repeated.
            reading.answer.is_err()
                && matches!(fresh, Fresh::Since(at) if self.refused.is_some_and(|refused| refused >= at))
                && reading.began.at.elapsed() <= KEPT
        };
        (fresh.admits(reading.began) || still()).then(|| reading.answer.clone())
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
            None => self.waiting.entry(name).or_default().push(waiter),
        }
    }

    /// The next names to ask for, without those that nobody wants any more.
    pub(super) fn take(&mut self) -> BTreeMap<K::Name, Vec<Waiter<K>>> {
        let mut names = BTreeMap::new();
        while names.len() < K::BATCH
            && let Some((name, mut waiters)) = self.waiting.pop_first()
        {
            waiters.retain(|waiter| !waiter.answer.is_closed());
            if !waiters.is_empty() {
                names.insert(name, waiters);
            }
        }
        names
    }

    pub(super) fn land(&mut self, flight: u64, mut landed: Landed<K>) {
        let Some(flight) = self.flights.remove(&flight) else {
            return;
        };
        let began = flight.began;
        let answered = landed.answers.values().any(Result::is_ok);
        for (name, waiters) in flight.names {
            if flight.outdated.contains(&name) {
                self.waiting.entry(name).or_default().extend(waiters);
                continue;
            }
            // Those whose name has no answer learn it by the end of their channel.
            let Some(answer) = landed.answers.remove(&name) else {
                continue;
            };
            tell(waiters, &answer);
            let newest = self.readings.get(&name);
            let newer = newest.is_some_and(|known| known.began.order > began.order);
            if !newer && is_lasting(&answer) {
                self.readings.insert(name, Reading { began, answer });
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
                match self.known(&name, waiter.fresh) {
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
        self.readings.is_empty() && self.waiting.is_empty() && self.flights.is_empty()
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
