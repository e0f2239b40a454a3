//! The one place where verbs read the clock.

use jiff::Timestamp;

/// The time, to the second: finer is noise in tables and records.
#[expect(
    clippy::disallowed_methods,
    reason = "an edge: the clock is passed on from here"
)]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
