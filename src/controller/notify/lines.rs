//! Who waits for what: a line for each of those who are told.
//!
//! A line holds only so many. What comes when it is full stays in the table, and so does what comes
//! after that, until the line is short and the table is listed: so each is told in its turn.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::backoff::Pauses;
use super::courier::Errand;
use crate::model::notice::Outgoing;

/// Errands at once to those who could be told last time.
const AT_ONCE: usize = 32;
/// Errands at once to those who could not: they hang, most likely, and take no place of the others.
const AILING: usize = 8;
/// Messages in one line.
const WAITING: usize = 1000;
/// A line of so many is short: it takes what stayed in the table.
const SHORT: usize = WAITING / 4;

/// The shortest and the longest pause until somebody is tried again.
const FIRST: Duration = Duration::from_secs(1);
/// See [`FIRST`].
const LONGEST: Duration = Duration::from_secs(600);

/// Who is told: namespace and name of the notification.
pub type Recipient = (String, String);

/// All lines.
#[derive(Default)]
pub struct Lines {
    lines: BTreeMap<Recipient, Line>,
    /// Places in the table of what is in line or under way.
    known: HashSet<String>,
}

/// One line.
pub struct Line {
    waiting: VecDeque<Errand>,
    /// Places in the table of what was not put in line.
    left: HashSet<String>,
    /// The same, of what the table is being listed for.
    looked_for: HashSet<String>,
    pauses: Pauses,
    due: Instant,
    /// Whether an errand is under way.
    busy: bool,
    /// Whether the last one failed.
    ails: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            left: HashSet::new(),
            looked_for: HashSet::new(),
            pauses: Pauses::between(FIRST, LONGEST),
            due: Instant::now(),
            busy: false,
            ails: false,
        }
    }
}

impl Lines {
    /// Puts an errand at the end of its line, unless it is there or the line is full. What was not
    /// found by a list may be younger than what stayed in the table: it stays there, too.
    pub fn add(&mut self, errand: Errand, listed: bool) {
        if self.known.contains(&errand.place) {
            return;
        }
        let outgoing = &errand.outgoing;
        let namespace = outgoing.notice.release.namespace.clone();
        let recipient = (namespace, outgoing.notification.clone());
        let line = self.lines.entry(recipient).or_default();
        if line.waiting.len() >= WAITING || !listed && line.is_behind() {
            if !line.is_behind() {
                let id = &outgoing.notice.id;
                tracing::warn!(id, "too many wait to be told: the others wait in the table");
            }
            line.left.insert(errand.place);
            return;
        }
        line.left.remove(&errand.place);
        self.known.insert(errand.place.clone());
        line.waiting.push_back(errand);
    }

    /// Whether a line is short while something for it stays in the table.
    pub fn run_short(&self) -> bool {
        let mut lines = self.lines.values();
        lines.any(|line| !line.left.is_empty() && line.waiting.len() <= SHORT)
    }

    /// The table is being listed: that finds everything that stayed there until now.
    pub fn list_begins(&mut self) {
        for line in self.lines.values_mut() {
            line.looked_for.extend(line.left.drain());
        }
    }

    /// What a list found has been added; what it did not find is nobody's any more.
    pub fn list_ended(&mut self) {
        for line in self.lines.values_mut() {
            line.looked_for.clear();
        }
    }

    /// The table could not be listed.
    pub fn list_failed(&mut self) {
        for line in self.lines.values_mut() {
            line.left.extend(line.looked_for.drain());
        }
    }

    /// What stays in the table is for another replica.
    pub fn leave(&mut self) {
        for line in self.lines.values_mut() {
            line.left.clear();
        }
    }

    /// The next errand that may be run now.
    pub fn take(&mut self, now: Instant) -> Option<(Recipient, Errand)> {
        let busy = |ails: bool| {
            let lines = self.lines.values();
            lines.filter(|line| line.busy && line.ails == ails).count()
        };
        let room = (busy(false) < AT_ONCE, busy(true) < AILING);
        let fits = |line: &Line| if line.ails { room.1 } else { room.0 };
        let mut lines = self.lines.iter_mut();
        let (recipient, line) =
            lines.find(|(_, line)| line.is_due() && line.due <= now && fits(line))?;
        let errand = line.waiting.pop_front()?;
        line.busy = true;
        Some((recipient.clone(), errand))
    }

    /// The line of an errand that has ended.
    pub fn back(&mut self, recipient: &Recipient) -> Option<&mut Line> {
        let line = self.lines.get_mut(recipient)?;
        line.busy = false;
        Some(line)
    }

    /// A message is done with.
    pub fn forget(&mut self, place: &str) {
        self.known.remove(place);
        self.lines.retain(|_, line| {
            line.busy || line.ails || line.is_behind() || !line.waiting.is_empty()
        });
    }

    /// Nothing is under way any more, and everything is looked for in the table.
    pub fn free_all(&mut self) {
        self.known.clear();
        for line in self.lines.values_mut() {
            line.busy = false;
            self.known
                .extend(line.waiting.iter().map(|it| it.place.clone()));
        }
    }

    /// Drops what does not hold; errands that are under way end by themselves.
    pub fn retain(&mut self, keep: impl Fn(&Outgoing) -> bool) {
        for line in self.lines.values_mut() {
            let known = &mut self.known;
            line.waiting.retain(|errand| {
                let kept = keep(&errand.outgoing);
                if !kept {
                    known.remove(&errand.place);
                }
                kept
            });
        }
    }

    /// How many messages are in line or under way, or stayed in the table.
    pub fn len(&self) -> usize {
        let left = self.lines.values();
        let left = left.map(|line| line.left.len() + line.looked_for.len());
        self.known.len() + left.sum::<usize>()
    }

    /// When the next line may go on.
    pub fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let lines = self.lines.values();
        let due = lines.filter(|line| line.is_due()).map(|line| line.due);
        // One that is due already waits for room, which an errand that ends makes.
        due.filter(|due| *due > now).min()
    }

    /// Whether this holds of every line.
    pub fn all(&self, holds: impl Fn(&Line) -> bool) -> bool {
        self.lines.values().all(holds)
    }
}

impl Line {
    fn is_due(&self) -> bool {
        !self.busy && !self.waiting.is_empty()
    }

    /// Whether something for it stays in the table.
    fn is_behind(&self) -> bool {
        !(self.left.is_empty() && self.looked_for.is_empty())
    }

    /// Whether nothing of it can be sent just now.
    pub fn is_waiting_for_its_turn(&self) -> bool {
        !self.busy && (self.waiting.is_empty() || self.due > Instant::now())
    }

    /// Somebody was told.
    pub fn succeeded(&mut self) {
        self.ails = false;
        self.pauses.reset();
        self.due = Instant::now();
    }

    /// An errand is to be run again, before all others, after a pause that its recipient may ask for.
    pub fn again(&mut self, errand: Errand, after: Option<Duration>) {
        self.ails = true;
        let pause = self.pauses.next().max(after.unwrap_or_default());
        self.due = Instant::now() + pause.min(LONGEST);
        self.waiting.push_front(errand);
    }
}
