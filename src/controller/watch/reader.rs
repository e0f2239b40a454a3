//! Reads one shard to its end and never loses its place silently.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::standing::Standing;
use super::{FAILURES, Notice, WatchOptions, is_lasting};
use crate::aws::streams::{Located, Page, Read, Start, Stream};
use crate::aws::{AwsError, ErrorClass};
use crate::controller::backoff::Pauses;
use crate::store::Changed;

/// So long without throttling, and it is read twice as often again.
const CALM: Duration = Duration::from_secs(10);

/// So long without anything that matters, and it is read less often: changes come together, and most
/// of the time there is none.
const QUIET: Duration = Duration::from_secs(60);

/// One shard.
pub(super) struct Reader {
    stream: Stream,
    shard: String,
    standing: Arc<Standing>,
    notices: Sender<Notice>,
    pace: Pace,
    pauses: Pauses,
    /// Failures in a row.
    failures: u32,
}

/// Why a shard is not read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has ended and was read to its end: its children follow.
    Ended,
    /// It is gone, or nobody listens any more.
    Gone,
}

/// What came of one step.
enum Step {
    /// Records came, or none.
    Read {
        full: bool,
    },
    /// There is an iterator.
    Located,
    /// The iterator is of no use any more.
    Lost,
    Over(Outcome),
}

/// From where the next step reads.
struct Place {
    /// Where that is without an iterator.
    start: Start,
    iterator: Option<String>,
}

impl Reader {
    pub fn new(
        stream: Stream,
        shard: String,
        options: WatchOptions,
        standing: Arc<Standing>,
        notices: Sender<Notice>,
    ) -> Self {
        Self {
            stream,
            shard,
            standing,
            notices,
            pace: Pace::new(&options),
            pauses: Pauses::default(),
            failures: 0,
        }
    }

    /// Reads from `start`, for which there may be an iterator already.
    pub async fn run(mut self, start: Start, iterator: Option<String>) -> (String, Outcome) {
        let mut place = Place { start, iterator };
        let outcome = loop {
            let began = Instant::now();
            let pause = match self.step(&mut place).await {
                Ok(Step::Over(outcome)) => break outcome,
                Ok(Step::Located) => Duration::ZERO,
                Ok(Step::Lost) => self.pace.pause(),
                Ok(Step::Read { full }) => {
                    self.succeeded();
                    // What waits already is fetched at once.
                    if full {
                        Duration::ZERO
                    } else {
                        self.pace.pause()
                    }
                }
                Err(error) if error.is_not_found() => break Outcome::Gone,
                Err(error) => self.failed(&error),
            };
            tokio::time::sleep_until(began + pause).await;
        };
        // It is no trouble any more, whatever it was.
        self.standing.works(&self.shard);
        (self.shard, outcome)
    }

    async fn step(&mut self, place: &mut Place) -> Result<Step, AwsError> {
        let Some(iterator) = &place.iterator else {
            return self.locate(place).await;
        };
        match self.stream.read(iterator).await? {
            Read::Page(page) => Ok(self.tell(page, place).await),
            Read::Expired => {
                place.iterator = None;
                Ok(Step::Lost)
            }
            Read::Trimmed => Ok(Self::trimmed(place, &self.shard)),
        }
    }

    /// Gets an iterator for the place. Where only what comes from now on can be read, the loop
    /// lists what came before.
    async fn locate(&mut self, place: &mut Place) -> Result<Step, AwsError> {
        match self.stream.locate(&self.shard, &place.start).await? {
            Located::At(iterator) => {
                place.iterator = Some(iterator);
                if place.start == Start::Latest && self.notices.send(Notice::List).await.is_err() {
                    return Ok(Step::Over(Outcome::Gone));
                }
                Ok(Step::Located)
            }
            Located::Ended => Ok(Step::Over(Outcome::Ended)),
            Located::Trimmed => Ok(Self::trimmed(place, &self.shard)),
        }
    }

    fn trimmed(place: &mut Place, shard: &str) -> Step {
        tracing::warn!(
            shard,
            "records of the stream were trimmed before they were read: everything is listed again"
        );
        *place = Place {
            start: Start::Latest,
            iterator: None,
        };
        Step::Lost
    }

    /// Tells each change of a page once.
    async fn tell(&mut self, page: Page, place: &mut Place) -> Step {
        let mut told = HashSet::from([Changed::Other]);
        for record in &page.records {
            let changed = Changed::of(record);
            if !matches!(changed, Changed::Lease | Changed::Other) {
                self.pace.heard();
            }
            if told.insert(changed.clone())
                && self.notices.send(Notice::Changed(changed)).await.is_err()
            {
                return Step::Over(Outcome::Gone);
            }
        }
        if let Some(last) = page.records.last() {
            place.start = Start::After(last.sequence.clone());
        }
        place.iterator = page.next;
        match place.iterator {
            Some(_) => Step::Read { full: page.full },
            None => Step::Over(Outcome::Ended),
        }
    }

    fn succeeded(&mut self) {
        self.pace.served();
        if self.failures > 0 {
            self.failures = 0;
            self.pauses = Pauses::default();
            self.standing.works(&self.shard);
        }
    }

    /// How long to wait after a failed call.
    fn failed(&mut self, error: &AwsError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES || is_lasting(error) {
            self.standing.breaks(&self.shard, &error.to_string());
        }
        if error.class == ErrorClass::Throttled {
            self.pace.throttled();
            self.pace.pause()
        } else {
            self.pauses.next()
        }
    }
}

/// How often a shard is read: as often as AWS lets all its readers together.
#[derive(Debug)]
struct Pace {
    period: Duration,
    fastest: Duration,
    slowest: Duration,
    since: Instant,
    idle: Duration,
    /// When something was heard of that matters.
    heard: Instant,
}

impl Pace {
    fn new(options: &WatchOptions) -> Self {
        Self {
            period: options.read,
            fastest: options.read,
            slowest: options.slowest,
            since: Instant::now(),
            idle: options.idle,
            heard: Instant::now(),
        }
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
    }

    fn pause(&self) -> Duration {
        match self.heard.elapsed() < QUIET {
            true => self.period,
            false => self.period.max(self.idle),
        }
    }

    fn throttled(&mut self) {
        self.period = (self.period * 2).min(self.slowest);
        self.since = Instant::now();
    }

    fn served(&mut self) {
        if self.period > self.fastest && self.since.elapsed() >= CALM {
            self.period = (self.period / 2).max(self.fastest);
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_tells_nothing_is_read_less_often_until_it_tells_something() {
        let options = WatchOptions::default();
        let mut pace = Pace::new(&options);
        assert_eq!(pace.pause(), options.read);
        tokio::time::sleep(QUIET).await;
        assert_eq!(pace.pause(), options.idle);
        pace.heard();
        assert_eq!(pace.pause(), options.read);
        for _ in 0..9 {
            pace.throttled();
        }
        tokio::time::sleep(QUIET).await;
        assert_eq!(pace.pause(), options.slowest);
    }
}
