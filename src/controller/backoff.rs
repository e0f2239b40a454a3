//! Pauses between tries of a Release whose passes fail.
//!
//! The `backoff` crate is used here only, and only to count: the waiting is tokio's.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// Pauses that grow from half a second to a minute, with jitter, for ever.
#[derive(Debug)]
pub struct Pauses(ExponentialBackoff);

impl Default for Pauses {
    fn default() -> Self {
        Self(ExponentialBackoff {
            initial_interval: Duration::from_millis(500),
            max_interval: Duration::from_secs(60),
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }
}

impl Pauses {
    /// The next pause.
    pub fn next(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut pauses = Pauses::default();
        let first = pauses.next();
        let last = (0..20).map(|_| pauses.next()).last().unwrap_or_default();
        assert!(first < Duration::from_secs(1), "{first:?}");
        assert!(
            last > Duration::from_secs(25) && last < Duration::from_secs(95),
            "{last:?}"
        );
    }
}
