//! Pauses between tries: of a Release whose passes fail, and of somebody who cannot be told.
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
        Self::between(Duration::from_millis(500), Duration::from_secs(60))
    }
}

impl Pauses {
    /// Pauses that grow from the first to the longest, with jitter, for ever.
    pub fn between(first: Duration, longest: Duration) -> Self {
        Self(ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            max_interval: longest,
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// The next pause.
    pub fn next(&mut self) -> Duration {
        let longest = self.0.max_interval;
        self.0.next_backoff().unwrap_or(longest)
    }

    /// The next pause is the first one again.
    pub fn reset(&mut self) {
        self.0.reset();
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
