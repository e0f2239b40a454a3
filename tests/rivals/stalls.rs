//! How long this machine stood still: on a shared host others' work comes between. Told by a thread
//! that does nothing else, so that a runtime with much to do is no excuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(100);
/// A tick that is later than this was held up, and not only rounded.
const LATE: Duration = Duration::from_millis(100);

/// A clock that ticks, and what its ticks were late by. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stalls(Arc<AtomicU64>);

impl Stalls {
    /// Begins to watch, for as long as the process lives.
    pub fn watched() -> Self {
        let stalls = Self::default();
        let millis = stalls.0.clone();
        thread::spawn(move || {
            loop {
                let begin = Instant::now();
                thread::park_timeout(TICK);
                let late = begin.elapsed().saturating_sub(TICK);
                if late > LATE {
                    let late = u64::try_from(late.as_millis()).expect("no test takes as long");
                    millis.fetch_add(late, Ordering::Relaxed);
                }
            }
        });
        stalls
    }

    /// How long it has stood still by now.
    pub fn so_far(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
