//! Which Release is looked at when: the loop around [`crate::reconcile`].

mod backoff;
pub mod health;
pub mod leadership;
mod list;
pub mod metrics;
mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::model::plan::{Action, Plan, Requeue};
use crate::reconcile::{Pass, ReconcileError, Reconciler};
use crate::resource::conditions::{ConditionStatus, ConditionType, find, is_true};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::ReleaseStatus;
use health::Health;
use leadership::LeaseOptions;
use list::List;
use metrics::LoopMetrics;
use queue::Queue;

/// How often the table is asked for what changed.
const POLL: Duration = Duration::from_secs(5);

/// `run --once` gives up on a Release that failed, or could not be observed, so often in a row.
const PATIENCE: u32 = 15;

/// How the loop runs.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Only this namespace; all when absent.
    pub namespace: Option<String>,
    /// How long after a Release settled it is looked at again.
    pub resync: SignedDuration,
    /// How many Releases of one Environment are worked on at once, so that a slow account keeps no
    /// other waiting.
    pub workers: usize,
    /// How leases are held.
    pub leases: LeaseOptions,
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
            leases: LeaseOptions::default(),
            health: Health::new(Duration::from_secs(600)),
            metrics: LoopMetrics::default(),
            observer: None,
        }
    }
}

/// Told of everything that happens.
pub type Observer = Arc<dyn Fn(&Happening) + Send + Sync>;

/// Something that happened to a Release.
#[derive(Clone, Debug)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// The Release.
    pub release: ReleaseKey,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A step was carried out.
    Acted(Box<Action>),
    /// A step was not carried out: which, and why.
    NotDone(String),
    /// A pass ended.
    Passed {
        /// The plan it followed, with the status it led to.
        plan: Box<Plan>,
        /// Whether a step was not carried out.
        failed: bool,
    },
    /// A pass could not be made.
    Failed(String),
}

/// How every Release stood when `run --once` ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Those that are Ready.
    pub ready: Vec<ReleaseKey>,
    /// Those that are Stalled, with reason and message.
    pub stalled: Vec<(ReleaseKey, String, String)>,
    /// Those that are suspended.
    pub suspended: Vec<ReleaseKey>,
}

/// The loop.
pub struct Controller {
    reconciler: Reconciler,
    options: ControllerOptions,
    /// How each Release stood when that was logged last.
    standing: Mutex<BTreeMap<ReleaseKey, String>>,
}

/// How a Release stands after a pass.
enum Standing {
    Ready,
    Stalled(String, String),
    Suspended,
    Gone,
    Moving,
    /// It could not be found out.
    Unknown(String),
}

impl Controller {
    /// A loop over what `reconciler` reaches.
    pub fn new(reconciler: Reconciler, options: ControllerOptions) -> Self {
        Self {
            reconciler,
            options,
            standing: Mutex::default(),
        }
    }

    /// Works until every Release is Ready, Stalled or suspended.
    ///
    /// # Errors
    /// When the table cannot be read or written, credentials are missing, or a Release could not
    /// be observed for a long time.
    pub async fn run_once(&self) -> Result<Summary, ReconcileError> {
        let mut queue = Queue::default();
        let mut list = List::new(self.options.namespace.clone(), self.resync());
        let keys = list.read(self.reconciler.store()).await?;
        if let Some(namespace) = &self.options.namespace
            && keys.is_empty()
        {
            self.reconciler.environment(namespace).await?;
        }
        for key in keys.into_keys() {
            queue.add(key, Instant::now());
        }
        let mut summary = Summary::default();
        let mut failures: BTreeMap<ReleaseKey, u32> = BTreeMap::new();
        // A release that cannot be worked on does not keep the others from being.
        let mut given_up: Option<ReconcileError> = None;
        while let Some(key) = queue.next().await {
            let patient = |failures: &mut BTreeMap<ReleaseKey, u32>| {
                let count = failures.entry(key.clone()).or_default();
                *count += 1;
                *count < PATIENCE
            };
            match self.pass(&key).await {
                Ok(pass) => match standing(&pass) {
                    _ if pass.is_retryable() => {
                        if patient(&mut failures) {
                            queue.retry(key);
                        } else {
                            given_up.get_or_insert(not_done(&key, &pass));
                        }
                    }
                    Standing::Ready => summary.ready.push(key),
                    Standing::Suspended => summary.suspended.push(key),
                    Standing::Stalled(reason, message) => {
                        summary.stalled.push((key, reason, message))
                    }
                    Standing::Gone => {}
                    Standing::Moving => {
                        failures.remove(&key);
                        queue.settle(&key);
                        queue.add(key, due(&pass, POLL));
                    }
                    Standing::Unknown(why) => {
                        if patient(&mut failures) {
                            queue.add(key, due(&pass, POLL));
                        } else {
                            let why = format!("release {key} could not be observed: {why}");
                            given_up.get_or_insert(ReconcileError::Invalid(why));
                        }
                    }
                },
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    self.tell(&key, What::Failed(error.to_string()));
                    if patient(&mut failures) {
                        queue.retry(key);
                    } else {
                        given_up.get_or_insert(error);
                    }
                }
            }
        }
        given_up.map_or(Ok(summary), Err)
    }

    /// Works until `shutdown` resolves; the pass that is under way then is finished.
    ///
    /// # Errors
    /// When another controller took over, or there are no credentials.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), ReconcileError> {
        tokio::pin!(shutdown);
        let mut queue = Queue::default();
        let mut list = List::new(self.options.namespace.clone(), self.resync());
        let mut known: BTreeMap<ReleaseKey, String> = BTreeMap::new();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                _ = poll.tick() => self.watch(&mut list, &mut queue, &mut known).await?,
                Some(key) = queue.next() => self.work(&mut queue, &mut known, key).await?,
            }
        }
    }

    /// Finds what changed in the table since the last look.
    async fn watch(
        &self,
        list: &mut List,
        queue: &mut Queue,
        known: &mut BTreeMap<ReleaseKey, String>,
    ) -> Result<(), ReconcileError> {
        let read = list.read(self.reconciler.store()).await;
        let keys = match read.map_err(ReconcileError::from) {
            Ok(keys) => keys,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the list of releases could not be read");
                return Ok(());
            }
        };
        for (key, version) in &keys {
            if known.get(key) != Some(version) {
                queue.add(key.clone(), Instant::now());
            }
        }
        known.retain(|key, _| keys.contains_key(key));
        known.extend(keys);
        Ok(())
    }

    async fn work(
        &self,
        queue: &mut Queue,
        known: &mut BTreeMap<ReleaseKey, String>,
        key: ReleaseKey,
    ) -> Result<(), ReconcileError> {
        match self.pass(&key).await {
            Ok(pass) if pass.is_retryable() => queue.retry(key),
            Ok(pass) if pass.gone => {
                queue.settle(&key);
                known.remove(&key);
            }
            Ok(pass) => {
                queue.settle(&key);
                queue.add(key, due(&pass, self.resync()));
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                tracing::warn!(release = %key, %error, "the pass could not be made");
                self.tell(&key, What::Failed(error.to_string()));
                queue.retry(key);
            }
        }
        Ok(())
    }

    fn resync(&self) -> Duration {
        Duration::try_from(self.options.resync).unwrap_or(Duration::from_secs(300))
    }

    async fn pass(&self, key: &ReleaseKey) -> Result<Pass, ReconcileError> {
        let on_step = |action: &Action, took: Option<Duration>| {
            let Some(took) = took else { return };
            tracing::info!(
                release = %key,
                resource = action.resource,
                action = action.step.kind(),
                reason = action.reason,
                millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "done"
            );
            self.tell(key, What::Acted(Box::new(action.clone())));
        };
        let pass = self.reconciler.reconcile(key, &on_step).await?;
        if let Some((action, error)) = &pass.failed {
            let step = action.step.kind();
            tracing::warn!(release = %key, resource = action.resource, action = step, %error, "not done");
            self.tell(
                key,
                What::NotDone(format!("{} {step}: {error}", action.resource)),
            );
        }
        self.log_standing(key, &pass.plan.status);
        let plan = Box::new(pass.plan.clone());
        let failed = pass.failed.is_some();
        self.tell(key, What::Passed { plan, failed });
        Ok(pass)
    }

    /// One line whenever a Release stands otherwise than after the pass before.
    fn log_standing(&self, key: &ReleaseKey, status: &ReleaseStatus) {
        let stalled = find(&status.conditions, ConditionType::Stalled)
            .filter(|condition| condition.status == ConditionStatus::True);
        let Some(told) = stalled.or_else(|| find(&status.conditions, ConditionType::Ready)) else {
            return;
        };
        let line = format!("{}: {}", told.reason, told.message);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.get(key) == Some(&line) {
            return;
        }
        let (reason, message) = (&told.reason, &told.message);
        if stalled.is_some() {
            tracing::warn!(release = %key, reason, message, "stalled");
        } else {
            tracing::info!(release = %key, reason, message, "stands");
        }
        standing.insert(key.clone(), line);
    }

    fn tell(&self, key: &ReleaseKey, what: What) {
        if let Some(observer) = &self.options.observer {
            observer(&Happening {
                at: self.reconciler.now(),
                release: key.clone(),
                what,
            });
        }
    }
}

/// When a Release is looked at again.
fn due(pass: &Pass, otherwise: Duration) -> Instant {
    if let Some(after) = pass.over_budget {
        return Instant::now() + after;
    }
    let pause = match pass.plan.requeue {
        Requeue::Resync => otherwise,
        Requeue::After(delay) => Duration::try_from(delay)
            .unwrap_or(Duration::ZERO)
            .min(otherwise),
    };
    Instant::now() + pause
}

fn standing(pass: &Pass) -> Standing {
    if pass.gone {
        return Standing::Gone;
    }
    let status: &ReleaseStatus = &pass.plan.status;
    let ready = find(&status.conditions, ConditionType::Ready);
    if let Some(stalled) = find(&status.conditions, ConditionType::Stalled)
        && is_true(&status.conditions, ConditionType::Stalled)
        && (pass.failed.is_some() || !is_under_way(&pass.plan))
    {
        return Standing::Stalled(stalled.reason.clone(), stalled.message.clone());
    }
    match ready {
        Some(ready) if ready.reason == "Suspended" && pass.plan.actions.is_empty() => {
            Standing::Suspended
        }
        Some(ready) if ready.status == ConditionStatus::True && pass.plan.actions.is_empty() => {
            Standing::Ready
        }
        Some(ready) if ready.status == ConditionStatus::Unknown => {
            Standing::Unknown(ready.message.clone())
        }
        _ => Standing::Moving,
    }
}

/// Whether something goes on beside what is stalled; it is followed to its end, which its timeout
/// bounds. The states of parts do not tell: those that this pass did not come to are from before.
fn is_under_way(plan: &Plan) -> bool {
    !plan.actions.is_empty() || plan.following
}

fn not_done(key: &ReleaseKey, pass: &Pass) -> ReconcileError {
    let why = pass
        .failed
        .as_ref()
        .map(|(_, error)| error.to_string())
        .unwrap_or_default();
    ReconcileError::Invalid(format!("release {key}: {why}"))
}
