//! The queue and its workers: hands keys out, and takes back what came of them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::health::Health;
use super::leadership::Leadership;
use super::metrics::{LoopMetrics, Outcome};
use super::queue::{Look, Queue};
use super::worker::Worker;
use crate::model::plan::Requeue;
use crate::reconcile::{Pass, ReconcileError};
use crate::resource::meta::ReleaseKey;

/// What came of a key's turn.
pub struct Ended {
    /// The key.
    pub key: ReleaseKey,
    /// What its pass led to; none when the worker panicked.
    pub pass: Option<Result<Pass, ReconcileError>>,
}

/// A key that is worked on.
struct Running {
    key: ReleaseKey,
    since: Instant,
}

/// Queue and workers.
pub struct Engine {
    /// The keys that wait.
    pub queue: Queue,
    worker: Worker,
    leadership: Leadership,
    metrics: LoopMetrics,
    health: Health,
    passes: JoinSet<Result<Pass, ReconcileError>>,
    running: HashMap<Id, Running>,
}

impl Engine {
    /// Nothing waits and nothing is worked on yet.
    pub fn new(
        worker: Worker,
        leadership: Leadership,
        workers: usize,
        metrics: LoopMetrics,
        health: Health,
    ) -> Self {
        Self {
            queue: Queue::new(workers),
            worker,
            leadership,
            metrics,
            health,
            passes: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Adds a key.
    pub fn add(&mut self, key: ReleaseKey, due: Instant, look: Look) {
        self.metrics.added(1);
        self.queue.add(key, due, look);
    }

    /// Adds a key whose pass failed, later each time, unless it gets on: see [`Queue::retry`].
    pub fn retry(&mut self, key: ReleaseKey, got_to: Option<String>) -> bool {
        self.metrics.added(1);
        self.metrics.retried();
        self.queue.retry(key, got_to)
    }

    /// Gives every key that is due to a worker, as far as there are any. A key whose lease is held
    /// by somebody else is dropped, and told: it is theirs.
    pub fn start(&mut self) -> Vec<ReleaseKey> {
        let now = Instant::now();
        let mut dropped = Vec::new();
        while let Some(taken) = self.queue.take(now) {
            let Some(writer) = self.leadership.writer(&taken.key) else {
                self.queue.done(&taken.key);
                self.queue.remove(&taken.key);
                dropped.push(taken.key);
                continue;
            };
            self.metrics.began(now.duration_since(taken.due));
            self.health.begin(&taken.key);
            let (worker, key, look) = (self.worker.clone(), taken.key.clone(), taken.look);
            let pass = async move { worker.pass(&key, look, writer).await };
            let task = self.passes.spawn(pass);
            let running = Running {
                key: taken.key,
                since: now,
            };
            self.running.insert(task.id(), running);
        }
        dropped
    }

    /// Waits for the first of the passes that go on; for ever when there are none.
    pub async fn ended(&mut self) -> Ended {
        loop {
            match self.passes.join_next_with_id().await {
                Some(joined) => {
                    if let Some(ended) = self.take_back(joined) {
                        return ended;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    fn take_back(
        &mut self,
        joined: Result<(Id, Result<Pass, ReconcileError>), JoinError>,
    ) -> Option<Ended> {
        let (id, pass) = match joined {
            Ok((id, pass)) => (id, Some(pass)),
            Err(error) => {
                if error.is_panic() {
                    self.metrics.panicked();
                }
                (error.id(), None)
            }
        };
        let Running { key, since } = self.running.remove(&id)?;
        self.health.end(&key);
        let again = self.queue.done(&key);
        if pass.is_none() {
            tracing::error!(release = %key, "a worker panicked; the release is tried again");
        }
        self.metrics
            .ended(outcome(pass.as_ref(), again), since.elapsed());
        Some(Ended { key, pass })
    }

    /// What the loop counts once a second.
    pub fn measure(&self) {
        let now = Instant::now();
        let passes: Vec<Duration> = self.running.values().map(|it| it.since.elapsed()).collect();
        self.metrics.unfinished(&passes);
        self.metrics.depth(self.queue.depth(now));
        self.metrics.workers(self.queue.capacity());
        self.metrics.leads(self.leadership.leads());
        self.health.turn();
    }

    /// Lets the passes that go on end, for as long as `grace`; the rest is given up where it is. A
    /// pass that ends anywhere is found again by the next one, as after a crash.
    pub async fn wind_down(&mut self, grace: Duration) {
        let end = Instant::now() + grace;
        while !self.passes.is_empty() {
            let Ok(joined) = tokio::time::timeout_at(end, self.passes.join_next_with_id()).await
            else {
                break;
            };
            if let Some(joined) = joined {
                self.take_back(joined);
            }
        }
        self.passes.shutdown().await;
        for (_, Running { key, since }) in self.running.drain() {
            tracing::warn!(release = %key, "the pass is given up; the next one finds where it was");
            self.health.end(&key);
            self.metrics.ended(Outcome::Error, since.elapsed());
        }
    }
}

fn outcome(pass: Option<&Result<Pass, ReconcileError>>, again: bool) -> Outcome {
    match pass {
        None | Some(Err(_)) => Outcome::Error,
        Some(Ok(pass)) if pass.failed.is_some() => Outcome::Error,
        Some(Ok(_)) if again => Outcome::Requeue,
        Some(Ok(pass)) if pass.over_budget.is_some() => Outcome::RequeueAfter,
        Some(Ok(pass)) => match pass.plan.requeue {
            Requeue::Resync => Outcome::Success,
            Requeue::After(_) => Outcome::RequeueAfter,
        },
    }
}
