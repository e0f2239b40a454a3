//! The sandbox's time: tokio's clock, from a chosen start, at a chosen speed.
//!
//! Under a paused tokio clock this is virtual time. Nothing in the sandbox runs by itself: each
//! call first moves the world forward to the time that this clock shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A shared clock; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Timestamp,
    origin: Instant,
    speed: f64,
    /// Time jumped over, in milliseconds.
    skipped: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that shows `start` now and runs `speed` times as fast as tokio's. A speed that is
    /// not a positive number counts as 1.
    pub fn new(start: Timestamp, speed: f64) -> Self {
        Self {
            start,
            origin: Instant::now(),
            speed: if speed.is_finite() && speed > 0.0 {
                speed
            } else {
                1.0
            },
            skipped: Arc::default(),
        }
    }

    /// The time it shows. Stays at the end of representable time rather than overflow.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.origin.elapsed();
        // Exact at speed 1: tests compare times to the millisecond.
        let run = if self.speed == 1.0 {
            elapsed
        } else {
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
        };
        let skipped = Duration::from_millis(self.skipped.load(Ordering::SeqCst));
        SignedDuration::try_from(run.saturating_add(skipped))
            .ok()
            .and_then(|passed| self.start.checked_add(passed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// How long it takes, in tokio's time, until it shows `at`; a millisecond at least, as finer
    /// waits do not exist.
    pub fn until(&self, at: Timestamp) -> Duration {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO);
        let wait = if self.speed == 1.0 {
            wait
        } else {
            Duration::try_from_secs_f64(wait.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
        };
        wait.max(Duration::from_millis(1))
    }

    /// Jumps forward. There is no way back.
    pub fn skip(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // Saturates: a wrapped counter would run time backwards.
        let _ = self
            .skipped
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |skipped| {
                Some(skipped.saturating_add(millis))
            });
    }

    /// How many sandbox seconds pass in one of tokio's.
    pub fn speed(&self) -> f64 {
        self.speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_at_its_speed_and_skips_forward() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::new(start, 60.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), start + SignedDuration::from_secs(120));
        clock.clone().skip(Duration::from_secs(30));
        assert_eq!(clock.now(), start + SignedDuration::from_secs(150));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_time_holds() {
        let clock = Clock::new(Timestamp::UNIX_EPOCH, f64::NAN);
        assert_eq!(clock.speed(), 1.0);
        clock.skip(Duration::MAX);
        clock.skip(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
