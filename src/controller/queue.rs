//! Keys that wait for their turn: each once, at its earliest moment, and one pass a key at a time.
//!
//! The queue knows keys only: an event carries no state. Keys stand in lanes, one for each
//! namespace, and each lane has workers of its own, so that an account that is slow or refuses
//! keeps only its own Releases waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tokio::time::Instant;

use super::backoff::Pauses;
use crate::resource::meta::ReleaseKey;

/// How old the readings may be that a pass is content with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It looks for itself.
    Afresh,
    /// Whatever was read since then will do.
    Since(Instant),
}

impl Look {
    /// What satisfies both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Look::Since(one), Look::Since(two)) => Look::Since(one.max(two)),
            _ => Look::Afresh,
        }
    }
}

/// A key whose turn has come.
#[derive(Debug)]
pub struct Taken {
    /// The key.
    pub key: ReleaseKey,
    /// What its pass is content with.
    pub look: Look,
    /// When it was due.
    pub due: Instant,
}

/// When a key is due, and for what.
#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    look: Look,
}

impl Turn {
    fn and(self, other: Self) -> Self {
        Self {
            due: self.due.min(other.due),
            look: self.look.and(other.look),
        }
    }
}

/// The passes of a key fail.
#[derive(Debug, Default)]
struct Failing {
    pauses: Pauses,
    /// The steps at which those passes failed that had done something before.
    got_to: HashSet<String>,
}

/// The keys of one namespace.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeSet<(Instant, ReleaseKey)>,
    running: usize,
}

/// The queue. One owner; nothing in it waits.
#[derive(Debug)]
pub struct Queue {
    workers: usize,
    lanes: BTreeMap<String, Lane>,
    turns: HashMap<ReleaseKey, Turn>,
    /// Keys that are worked on, and what was asked of them meanwhile.
    running: HashMap<ReleaseKey, Option<Turn>>,
    failing: HashMap<ReleaseKey, Failing>,
}

impl Queue {
    /// An empty one; in each lane so many keys are worked on at once.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            lanes: BTreeMap::new(),
            turns: HashMap::new(),
            running: HashMap::new(),
            failing: HashMap::new(),
        }
    }

    /// Adds a key, or moves it forward; it is never put off. One that is worked on comes again
    /// afterwards.
    pub fn add(&mut self, key: ReleaseKey, due: Instant, look: Look) {
        let turn = Turn { due, look };
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(again.map_or(turn, |before| before.and(turn)));
            return;
        }
        let merged = match self.turns.get(&key) {
            Some(before) => before.and(turn),
            None => turn,
        };
        self.place(key, merged);
    }

    fn place(&mut self, key: ReleaseKey, turn: Turn) {
        let lane = self.lanes.entry(key.namespace.clone()).or_default();
        if let Some(before) = self.turns.insert(key.clone(), turn) {
            lane.waiting.remove(&(before.due, key.clone()));
        }
        lane.waiting.insert((turn.due, key));
    }

    /// Adds a key whose pass failed, later each time. Where it did something before the step that is
    /// named, and none that did failed there yet, it gets on: the pauses begin anew. Says whether it
    /// does.
    pub fn retry(&mut self, key: ReleaseKey, got_to: Option<String>) -> bool {
        let failing = self.failing.entry(key.clone()).or_default();
        let gets_on = got_to.is_some_and(|step| failing.got_to.insert(step));
        if gets_on {
            failing.pauses.reset();
        }
        let pause = failing.pauses.next();
        self.add(key, Instant::now() + pause, Look::Afresh);
        gets_on
    }

    /// Its passes do not fail any more.
    pub fn settle(&mut self, key: &ReleaseKey) {
        self.failing.remove(key);
    }

    /// Forgets a key that waits.
    pub fn remove(&mut self, key: &ReleaseKey) {
        self.failing.remove(key);
        if let Some(turn) = self.turns.remove(key)
            && let Some(lane) = self.lanes.get_mut(&key.namespace)
        {
            lane.waiting.remove(&(turn.due, key.clone()));
        }
        if let Some(again) = self.running.get_mut(key) {
            *again = None;
        }
        self.close_lane(&key.namespace);
    }

    /// A lane that nobody works or waits in is no more.
    fn close_lane(&mut self, name: &str) {
        let is_empty = |lane: &Lane| lane.running == 0 && lane.waiting.is_empty();
        if self.lanes.get(name).is_some_and(is_empty) {
            self.lanes.remove(name);
        }
    }

    /// Takes out the key that has been due longest, of those whose lane has a worker free.
    pub fn take(&mut self, now: Instant) -> Option<Taken> {
        let lane = self
            .first()
            .filter(|(due, _)| *due <= now)
            .map(|(_, lane)| lane.to_owned())?;
        let lane = self.lanes.get_mut(&lane)?;
        let (due, key) = lane.waiting.pop_first()?;
        lane.running += 1;
        let look = self.turns.remove(&key).map_or(Look::Afresh, |it| it.look);
        self.running.insert(key.clone(), None);
        Some(Taken { key, look, due })
    }

    /// When [`Queue::take`] will have something, as far as that is known.
    pub fn next_due(&self) -> Option<Instant> {
        self.first().map(|(due, _)| due)
    }

    fn first(&self) -> Option<(Instant, &str)> {
        let free = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.running < self.workers);
        free.filter_map(|(name, lane)| Some((lane.waiting.first()?.0, name.as_str())))
            .min()
    }

    /// A key is not worked on any more. Says whether it was added again meanwhile.
    pub fn done(&mut self, key: &ReleaseKey) -> bool {
        let again = self.running.remove(key).flatten();
        if let Some(lane) = self.lanes.get_mut(&key.namespace) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.close_lane(&key.namespace);
        if let Some(turn) = again {
            self.place(key.clone(), turn);
        }
        again.is_some()
    }

    /// How many keys are due.
    pub fn depth(&self, now: Instant) -> usize {
        let due = |lane: &Lane| lane.waiting.iter().take_while(|(at, _)| *at <= now).count();
        self.lanes.values().map(due).sum()
    }

    /// Whether nothing waits and nothing is worked on.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.running.is_empty()
    }

    /// Most keys that can be worked on at once, over the lanes that there are.
    pub fn capacity(&self) -> usize {
        self.workers * self.lanes.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> ReleaseKey {
        ReleaseKey::new("ns", name)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn taken(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.take(now).map(|taken| taken.key.name)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_come_once_and_in_time() {
        let mut queue = Queue::new(9);
        let start = Instant::now();
        queue.add(key("late"), start + secs(9), Look::Afresh);
        queue.add(key("soon"), start + secs(5), Look::Afresh);
        queue.add(key("late"), start + secs(2), Look::Afresh);
        queue.add(key("late"), start + secs(7), Look::Afresh);
        assert_eq!(queue.next_due(), Some(start + secs(2)));
        assert_eq!(taken(&mut queue, start + secs(1)), None);
        let later = start + secs(60);
        assert_eq!(taken(&mut queue, later).as_deref(), Some("late"));
        assert_eq!(taken(&mut queue, later).as_deref(), Some("soon"));
        assert_eq!(taken(&mut queue, later), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_worked_on_comes_again_afterwards_and_only_once() {
        let mut queue = Queue::new(9);
        let now = Instant::now();
        queue.add(key("a"), now, Look::Afresh);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        queue.add(key("a"), now + secs(5), Look::Afresh);
        queue.add(key("a"), now, Look::Afresh);
        assert_eq!(taken(&mut queue, now), None);
        assert!(queue.done(&key("a")));
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        assert!(!queue.done(&key("a")));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_whose_workers_are_busy_keeps_no_other_waiting() {
        let mut queue = Queue::new(2);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            queue.add(ReleaseKey::new("slow", name), now, Look::Afresh);
        }
        queue.add(ReleaseKey::new("quick", "d"), now + secs(1), Look::Afresh);
        let later = now + secs(2);
        assert_eq!(taken(&mut queue, later).as_deref(), Some("a"));
        assert_eq!(taken(&mut queue, later).as_deref(), Some("b"));
        assert_eq!(taken(&mut queue, later).as_deref(), Some("d"));
        assert_eq!(taken(&mut queue, later), None);
        assert_eq!(queue.next_due(), None);
        queue.done(&ReleaseKey::new("slow", "b"));
        assert_eq!(taken(&mut queue, later).as_deref(), Some("c"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_always_fails_is_passed_by_the_others() {
        let mut queue = Queue::new(1);
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let start = Instant::now();
        for name in ["fails", "b", "c"] {
            queue.add(key(name), start, Look::Afresh);
        }
        for _ in 0..300 {
            let Some(due) = queue.next_due() else { break };
            let now = due.max(Instant::now());
            tokio::time::sleep_until(now).await;
            let Some(one) = queue.take(now) else { continue };
            *seen.entry(one.key.name.clone()).or_default() += 1;
            queue.done(&one.key);
            if one.key.name == "fails" {
                // Whatever it does before.
                queue.retry(one.key, Some("service/web UpdateService".to_owned()));
            } else {
                queue.add(one.key, now + secs(1), Look::Afresh);
            }
        }
        assert!(seen["b"] > 100 && seen["c"] > 100, "{seen:?}");
        assert!(seen["fails"] < 15, "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gets_further_waits_as_after_a_first_failure() {
        let mut queue = Queue::new(1);
        let mut failed = |got_to: Option<&str>| {
            queue.retry(key("a"), got_to.map(str::to_owned));
            let due = queue.next_due().unwrap();
            queue.take(due).unwrap();
            queue.done(&key("a"));
            due - Instant::now()
        };
        for _ in 0..20 {
            failed(None);
        }
        assert!(failed(None) > secs(25));
        assert!(failed(Some("register")) < secs(1));
        for _ in 0..10 {
            failed(None);
            failed(Some("register"));
        }
        assert!(failed(Some("register")) > secs(25));
        assert!(failed(Some("run")) < secs(1));
        for _ in 0..10 {
            failed(Some("register"));
            failed(Some("run"));
        }
        assert!(failed(Some("register")) > secs(25), "it goes in a circle");
    }

    #[tokio::test(start_paused = true)]
    async fn who_must_look_afresh_does_so_whatever_else_is_asked() {
        let mut queue = Queue::new(1);
        let now = Instant::now();
        queue.add(key("a"), now, Look::Since(now));
        queue.add(key("a"), now, Look::Since(now + secs(1)));
        let look = queue.take(now).map(|taken| taken.look);
        assert_eq!(look, Some(Look::Since(now + secs(1))));
        queue.add(key("a"), now, Look::Since(now));
        queue.add(key("a"), now, Look::Afresh);
        queue.done(&key("a"));
        assert_eq!(queue.take(now).map(|taken| taken.look), Some(Look::Afresh));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_removed_does_not_come() {
        let mut queue = Queue::new(1);
        let now = Instant::now();
        queue.add(key("a"), now, Look::Afresh);
        queue.remove(&key("a"));
        assert!(queue.is_empty() && queue.take(now).is_none());
        queue.add(key("a"), now, Look::Afresh);
        queue.take(now).unwrap();
        queue.add(key("a"), now, Look::Afresh);
        queue.remove(&key("a"));
        assert!(!queue.done(&key("a")));
        assert!(queue.is_empty());
    }
}
