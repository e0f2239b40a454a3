//! Keys that wait for their turn: each once, at its earliest moment.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::backoff::Pauses;
use crate::resource::meta::ReleaseKey;

/// The queue knows keys only: an event carries no state.
#[derive(Debug, Default)]
pub struct Queue {
    due: BTreeMap<ReleaseKey, Instant>,
    pauses: BTreeMap<ReleaseKey, Pauses>,
}

impl Queue {
    /// Adds a key, or moves it forward; it is never put off.
    pub fn add(&mut self, key: ReleaseKey, at: Instant) {
        let due = self.due.entry(key).or_insert(at);
        *due = (*due).min(at);
    }

    /// Adds a key whose pass failed, later each time.
    pub fn retry(&mut self, key: ReleaseKey) {
        let pause = self.pauses.entry(key.clone()).or_default().next();
        self.add(key, Instant::now() + pause);
    }

    /// Its passes do not fail any more.
    pub fn settle(&mut self, key: &ReleaseKey) {
        self.pauses.remove(key);
    }

    /// Waits for the key that is due first and takes it out; `None` at once when empty. Dropping
    /// the future loses no key.
    pub async fn next(&mut self) -> Option<ReleaseKey> {
        let (key, at) = self.due.iter().min_by_key(|(_, at)| **at)?;
        let (key, at) = (key.clone(), *at);
        tokio::time::sleep_until(at).await;
        self.due.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_come_once_and_in_time() {
        let mut queue = Queue::default();
        let start = Instant::now();
        let key = |name: &str| ReleaseKey::new("ns", name);
        queue.add(key("late"), start + Duration::from_secs(9));
        queue.add(key("soon"), start + Duration::from_secs(5));
        queue.add(key("late"), start + Duration::from_secs(2));
        queue.add(key("late"), start + Duration::from_secs(7));
        assert_eq!(queue.next().await, Some(key("late")));
        assert_eq!(start.elapsed().as_secs(), 2);
        assert_eq!(queue.next().await, Some(key("soon")));
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(queue.next().await, None);
    }
}
