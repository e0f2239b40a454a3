//! The queue of events: receives, says what each is about, and deletes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff::Pauses;
use super::events::{self, Concern};
use super::metrics::LoopMetrics;
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::sqs::{Message, Queue};

/// How often it is tried again what only a person can put right.
const REFUSED: Duration = Duration::from_secs(60);
/// How often a server is asked that answers nothing without waiting, as some do.
const IDLE: Duration = Duration::from_secs(1);

/// Reads one queue. Several replicas may read the same one: each event reaches one of them.
#[derive(Debug)]
pub struct Inbox {
    queue: Queue,
    pauses: Pauses,
    /// What is wrong, as it was logged; `None` while all is well.
    wrong: Option<String>,
}

impl Inbox {
    /// Of this queue. Nothing is called yet.
    pub fn new(queue: Queue) -> Self {
        Self {
            queue,
            pauses: Pauses::default(),
            wrong: None,
        }
    }

    /// Receives until nobody takes the concerns any more.
    ///
    /// Nothing depends on it: an event that is lost costs the wait for the next resync. So whatever
    /// fails is logged once for as long as it fails in the same way, and tried again later.
    pub async fn run(mut self, concerns: mpsc::Sender<Concern>, metrics: LoopMetrics) {
        loop {
            let asked = Instant::now();
            let done = self.turn(&concerns, &metrics).await;
            match done {
                Ok(Turn::Closed) => return,
                Ok(Turn::Empty) if asked.elapsed() < IDLE => {
                    self.well();
                    tokio::time::sleep(IDLE).await;
                }
                Ok(Turn::Empty | Turn::Some) => self.well(),
                Err(error) => {
                    let pause = self.failed(&error);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn turn(
        &self,
        concerns: &mpsc::Sender<Concern>,
        metrics: &LoopMetrics,
    ) -> Result<Turn, AwsError> {
        let messages = self.queue.receive().await?;
        if messages.is_empty() {
            return Ok(Turn::Empty);
        }
        for Message { body, .. } in &messages {
            let news = events::read(body);
            metrics.event(news.source);
            if news.source == "unknown" {
                tracing::debug!(bytes = body.len(), "a message is no event that is known");
            }
            for concern in news.concerns {
                if concerns.send(concern).await.is_err() {
                    // What was not taken comes again, to whoever reads then.
                    return Ok(Turn::Closed);
                }
            }
        }
        // Only now: a process that dies before it has told leaves them to the next reader.
        self.queue.delete(&messages).await?;
        Ok(Turn::Some)
    }

    fn well(&mut self) {
        if self.wrong.take().is_some() {
            tracing::info!(queue = self.queue.url(), "events are received again");
            self.pauses = Pauses::default();
        }
    }

    /// Logs what is new about it, and answers how long to wait.
    fn failed(&mut self, error: &AwsError) -> Duration {
        let what = error.lasting();
        if self.wrong.as_ref() != Some(&what) {
            tracing::warn!(
                queue = self.queue.url(),
                %error,
                "events are not received; changes are found by the resync meanwhile"
            );
            self.wrong = Some(what);
        }
        let pause = self.pauses.next();
        match error.class {
            ErrorClass::Denied
            | ErrorClass::Credentials
            | ErrorClass::NotFound
            | ErrorClass::Refused => REFUSED,
            _ => pause,
        }
    }
}

/// What came of one look into the queue.
enum Turn {
    Empty,
    Some,
    Closed,
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
