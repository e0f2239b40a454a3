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
const DENIED: Duration = Duration::from_secs(60);
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
    pub async fn run(self, concerns: mpsc::Sender<Concern>, metrics: LoopMetrics) {
        let others = concerns.clone();
        tokio::select! {
            () = others.closed() => {}
            () = self.read(&concerns, &metrics) => {}
        }
    }

    async fn read(mut self, concerns: &mpsc::Sender<Concern>, metrics: &LoopMetrics) {
        loop {
            let asked = Instant::now();
            match self.turn(concerns, metrics).await {
                Ok(messages) => {
                    self.well();
                    if messages == 0 && asked.elapsed() < IDLE {
                        tokio::time::sleep(IDLE).await;
                    }
                }
                Err(error) => {
                    let pause = self.failed(&error);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Answers how many messages there were.
    async fn turn(
        &self,
        concerns: &mpsc::Sender<Concern>,
        metrics: &LoopMetrics,
    ) -> Result<usize, AwsError> {
        let messages = self.queue.receive().await?;
        for Message { body, .. } in &messages {
            let news = events::read(body);
            metrics.event(news.source);
            if news.source == "unknown" {
                tracing::debug!(bytes = body.len(), "a message is no event that is known");
            }
            for concern in news.concerns {
                if concerns.send(concern).await.is_err() {
                    // Nobody listens any more: it is left to whoever reads next.
                    return Ok(messages.len());
                }
            }
        }
        // Only now: a process that dies before it has told leaves them to the next reader.
        self.queue.delete(&messages).await?;
        Ok(messages.len())
    }

    fn well(&mut self) {
        if self.wrong.take().is_some() {
            tracing::info!(
                queue = self.queue.url(),
                "the queue of events can be used again"
            );
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
                "the queue of events cannot be used as it should; meanwhile the resync finds what changes"
            );
            self.wrong = Some(what);
        }
        let pause = self.pauses.next();
        match error.class {
            ErrorClass::Denied | ErrorClass::Credentials | ErrorClass::NotFound => DENIED,
            _ => pause,
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
