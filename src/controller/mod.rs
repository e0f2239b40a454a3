//! Which Release is looked at when: the loop around [`crate::reconcile`].

mod backoff;
mod engine;
pub mod events;
mod happening;
pub mod health;
pub mod inbox;
pub mod index;
pub mod leadership;
mod list;
pub mod metrics;
mod notify;
mod once;
mod queue;
mod service;
pub mod watch;
mod worker;

use crate::resource::meta::ReleaseKey;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::aws::sqs::Queue;
use crate::model::plan::Requeue;
use crate::reconcile::{Pass, ReconcileError, Reconciler};
use engine::Engine;
use health::Health;
use leadership::{Leadership, LeaseOptions};
use list::List;
use metrics::LoopMetrics;
use notify::{Notifier, Posts};
use service::Service;
use watch::WatchOptions;
use worker::Worker;

pub use happening::{Happening, Observer, What};
pub use notify::NotificationMetrics;
pub use once::Summary;

/// How long `run --once` waits for the leases: longer than one takes to run out that a replica held
/// which died.
const LEASES: Duration = Duration::from_secs(30);

/// How often `run --once` takes a lease again that it lost.
const RETAKES: u32 = 10;

/// How long `run --once` goes on to tell people what came of it.
const TELLING: Duration = Duration::from_secs(15);

/// How the loop runs.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Only this namespace; all when absent.
    pub namespace: Option<String>,
    /// How often everything is looked at again, whether anything was heard of it or not.
    pub resync: SignedDuration,
    /// How many Releases of one Environment are worked on at once, so that a slow account keeps no
    /// other waiting.
    pub workers: usize,
    /// How long passes may go on after the loop was asked to end.
    pub grace: Duration,
    /// How leases are held.
    pub leases: LeaseOptions,
    /// How the table is watched.
    pub watch: WatchOptions,
    /// Where AWS's events come; without it changes in AWS are found by the sweeps alone.
    pub events: Option<Queue>,
    /// Told how the loop fares.
    pub health: Health,
    /// Counts what the loop does.
    pub metrics: LoopMetrics,
    /// Told of everything that happens, for narration; logs are written anyway.
    pub observer: Option<Observer>,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        Self {
            namespace: None,
            resync: SignedDuration::from_mins(5),
            workers: 16,
            grace: Duration::from_secs(2),
            leases: LeaseOptions::default(),
            watch: WatchOptions::default(),
            events: None,
            health: Health::new(Duration::from_secs(600)),
            metrics: LoopMetrics::default(),
            observer: None,
        }
    }
}

/// The loop.
pub struct Controller {
    worker: Worker,
    leadership: Leadership,
    list: Arc<List>,
    /// What people are to be told, as the passes write it down.
    posts: Posts,
    options: ControllerOptions,
}

impl Controller {
    /// A loop over what `reconciler` reaches.
    pub fn new(reconciler: Reconciler, options: ControllerOptions) -> Self {
        let (sender, posts) = mpsc::unbounded_channel();
        let reconciler = reconciler.posting_to(sender);
        Self {
            posts: Arc::new(tokio::sync::Mutex::new(posts)),
            leadership: Leadership::new(reconciler.store().clone(), options.leases.clone()),
            list: Arc::new(List::new(options.namespace.clone())),
            worker: Worker::new(reconciler, options.observer.clone()),
            options,
        }
    }

    /// Works until every Release is Ready, Stalled, suspended or held.
    ///
    /// # Errors
    /// When the table cannot be read or written, credentials are missing, another controller keeps
    /// its lease, the lease is lost again and again, or a Release could not be observed for a long
    /// time.
    pub async fn run_once(&self) -> Result<Summary, ReconcileError> {
        // Boxed, here and below: what is made of this many futures is too deep to lay out in another.
        let ended = Box::pin(async {
            self.leadership.hold_all(LEASES).await?;
            let notifier = self.notifier();
            let converge = async {
                let summary = self.converge().await;
                notifier.finish(TELLING).await;
                summary
            };
            tokio::select! {
                biased;
                summary = converge => summary,
                led = self.leadership.run() => Err(led.map_or_else(ReconcileError::from, |()| ReconcileError::NoLease)),
            }
        });
        let ended = ended.await;
        self.release().await;
        ended
    }

    /// Works until each of the Releases stands that there are at the start. A lease that ran out,
    /// because this machine stood still or the table was slow, is taken again, unless somebody else
    /// keeps it; what was done until then is found.
    async fn converge(&self) -> Result<Summary, ReconcileError> {
        let keys = self.keys().await?;
        for _ in 0..RETAKES {
            match self.converge_leading(&keys).await {
                Err(error) if error.is_lost_lease() => {
                    tracing::warn!(%error, "the lease is taken again, if nobody else keeps it");
                    self.leadership.hold_all(LEASES).await?;
                }
                ended => return ended,
            }
        }
        self.converge_leading(&keys).await
    }

    async fn keys(&self) -> Result<Vec<ReleaseKey>, ReconcileError> {
        let reconciler = self.worker.reconciler();
        self.list.search(reconciler.store()).await;
        let keys = self.list.read(reconciler.store()).await?;
        if let Some(namespace) = &self.options.namespace
            && keys.is_empty()
        {
            reconciler.environment(namespace).await?;
        }
        Ok(keys.into_keys().collect())
    }

    /// What is found out holds under the leases that are held now: once one is lost, others may change
    /// it, also where no pass noticed.
    async fn converge_leading(&self, keys: &[ReleaseKey]) -> Result<Summary, ReconcileError> {
        let epochs = self.leadership.epochs();
        let mut engine = self.engine();
        let ended = once::work(&mut engine, keys).await;
        engine.wind_down(Duration::ZERO).await;
        match ended {
            Err(error) if error.is_final() || error.is_lost_lease() => Err(error),
            ended if self.leadership.epochs() == epochs => ended,
            _ => Err(ReconcileError::NoLease),
        }
    }

    /// Works until `shutdown` resolves. The passes that are under way then have
    /// [`ControllerOptions::grace`] to end; after that the leases are given back.
    ///
    /// # Errors
    /// When at the start there are no credentials, or the table cannot be used.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), ReconcileError> {
        let mut service = Service::new(self);
        let notifier = self.notifier();
        let serve = async {
            let result = service.run(shutdown).await;
            notifier.finish(self.options.grace / 2).await;
            result
        };
        let mut leading = Box::pin(self.leadership.run());
        let result = tokio::select! {
            biased;
            result = Box::pin(serve) => result,
            led = &mut leading => {
                self.release().await;
                return led.map_err(ReconcileError::from);
            }
        };
        // Whatever is still under way must not go on without its lease.
        drop(service);
        // A lease that is just being taken is not forgotten: that turn ends first.
        let mut release = std::pin::pin!(self.release());
        tokio::select! {
            () = &mut release => {}
            _ = leading => release.await,
        }
        result
    }

    /// Gives back the leases of a controller that was stopped in the middle.
    pub async fn release(&self) {
        Box::pin(self.leadership.release()).await;
    }

    /// Tells people what the passes lead to, for as long as it lives.
    fn notifier(&self) -> Notifier {
        Notifier::start(
            self.worker.reconciler(),
            self.leadership.clone(),
            self.posts.clone(),
            self.options.metrics.notifications(),
        )
    }

    fn engine(&self) -> Engine {
        Engine::new(
            self.worker.clone(),
            self.leadership.clone(),
            self.options.workers,
            self.options.metrics.clone(),
            self.options.health.clone(),
        )
    }
}

/// When a Release that is not settled is looked at again.
fn due(pass: &Pass) -> Option<Instant> {
    if let Some(after) = pass.over_budget {
        return Some(Instant::now() + after);
    }
    match pass.plan.requeue {
        Requeue::Resync => None,
        Requeue::After(delay) => Some(Instant::now() + std_duration(delay)),
    }
}

/// A negative length is none.
fn std_duration(length: SignedDuration) -> Duration {
    Duration::try_from(length).unwrap_or(Duration::ZERO)
}
