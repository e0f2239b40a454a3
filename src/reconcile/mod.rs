//! One Release, one pass: load, observe, plan, execute, write status.

mod calls;
mod error;
mod execute;
mod observe;
mod pass;
mod preview;
mod reads;
mod settled;
mod telling;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

use crate::aws::error::ErrorClass;
use crate::aws::{Aws, AwsError};
use crate::model::build::{self, Provenance};
use crate::model::desired::{self, Access, Binding, Desired};
use crate::model::interest::Interest;
use crate::model::ledger::{Explanation, Ledger};
use crate::model::observed::Observed;
use crate::model::plan::{Action, Plan};
use crate::plan;
use crate::resource::meta::{Environment, ReleaseKey};
use crate::resource::status::ReleaseStatus;
use crate::store::{ControllerStore, Store, StoreError, StoredRelease, version_in_list};

use calls::Calls;
use reads::Reads;
use told::Told;

pub use error::ReconcileError;
use execute::Posting;
pub use execute::{Executor, StepError};
pub use observe::LookError;
pub use pass::Pass;
pub use reads::Settled;
pub use telling::Posted;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Told of each step before and after it is carried out.
pub type OnStep<'a> = &'a (dyn Fn(&Action, Option<Duration>) + Send + Sync);

/// Everything that a decision needs.
struct Ready {
    environment: Environment,
    desired: Desired,
    observed: Observed,
    interest: Interest,
}

impl Ready {
    /// See [`Pass::version`].
    fn version(&self, told: &Told) -> Option<String> {
        let environment = self.environment.metadata.resource_version.as_deref();
        let nothing_asked = self.observed.ledger.requests.is_empty();
        let release = told.version.as_deref().filter(|_| nothing_asked)?;
        Some(version_in_list(release, environment, &[]))
    }
}

/// What a look led to.
enum Looked {
    /// There is no such Release any more.
    Gone,
    /// Nothing can be planned.
    Stalled(Told, Explanation),
    /// A decision can be made.
    Ready(Told, Box<Ready>),
}

/// The account of a role, or why it could not be asked, and when the answer came.
type Account = Arc<tokio::sync::Mutex<Option<(Instant, Result<String, AwsError>)>>>;

/// Reconciles single Releases. Cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    aws: Aws,
    store: Store,
    /// The proof that writes carry; previews need none.
    writer: Option<ControllerStore>,
    clock: Clock,
    reads: Reads,
    since: Option<Instant>,
    calls: Calls,
    posting: Posting,
    accounts: Arc<Mutex<BTreeMap<Access, Account>>>,
    installation: Arc<OnceCell<String>>,
    /// Whoever sends what people are to be told.
    posts: Option<mpsc::UnboundedSender<Posted>>,
}

impl Reconciler {
    /// Reconciles what is in `store` with what `aws` reaches, by the clock given. It can only
    /// preview until it is [`Reconciler::writing`].
    pub fn new(aws: Aws, store: Store, clock: Clock) -> Self {
        Self {
            reads: Reads::new(aws.clone()),
            writer: None,
            store,
            clock,
            since: None,
            calls: Calls::default(),
            posting: Posting::new(&aws),
            aws,
            accounts: Arc::default(),
            installation: Arc::default(),
            posts: None,
        }
    }

    /// The same, writing with this proof.
    pub fn writing(&self, writer: ControllerStore) -> Self {
        Self {
            writer: Some(writer),
            ..self.clone()
        }
    }

    /// The same, content with what was read of AWS since then; otherwise it looks afresh. Whatever
    /// would lead to a write is looked at afresh anyway.
    pub fn content_with(&self, since: Instant) -> Self {
        Self {
            since: Some(since),
            ..self.clone()
        }
    }

    /// Whether everything that a pass looked at, which found nothing to do, stands as it did, by what
    /// was read since then.
    pub fn is_same(&self, interest: &Interest, since: Instant, settled: &Settled) -> bool {
        self.reads.is_same(interest, since, settled)
    }

    /// Reads for all of these at once what their next passes look at, so that those that are
    /// content with it make no call of their own. What cannot be read is left to them.
    pub async fn read_ahead(&self, interests: &[Interest]) {
        self.reads.ahead(interests).await;
    }

    fn writer(&self) -> Result<&ControllerStore, ReconcileError> {
        self.writer.as_ref().ok_or(ReconcileError::NoLease)
    }

    /// How many replicas share the request budgets of AWS.
    pub fn set_replicas(&self, replicas: usize) {
        self.aws.budget().set_replicas(replicas);
    }

    /// AWS, with everybody's credentials.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The table.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// One pass over one Release.
    ///
    /// # Errors
    /// When the table cannot be read or written, there are no credentials, or the lease is not held
    /// (any more). A step that failed is told in the [`Pass`].
    pub async fn reconcile(
        &self,
        key: &ReleaseKey,
        on_step: OnStep<'_>,
    ) -> Result<Pass, ReconcileError> {
        self.writer()?;
        let began = self.reads.begin();
        if let Some(since) = self.since
            && let Some(pass) = self.settled(key, since, began).await
        {
            return Ok(pass);
        }
        let (told, ready) = match self.prepare(key, None).await? {
            Looked::Gone => return Ok(Pass::gone(Plan::default())),
            Looked::Stalled(told, why) => return self.stalled(&told, why).await,
            Looked::Ready(told, ready) => (told, ready),
        };
        let Ready {
            environment,
            desired,
            ..
        } = &*ready;

        // 3. Decide. From here on nothing is decided any more.
        let plan = self.plan(&told.status, &ready);

        // 4. Carry it out, in order; the first step that fails ends the pass.
        if plan.actions.iter().any(|action| action.step.is_first_use()) {
            self.bind(desired, environment).await?;
        }
        let failed = self.execute(desired, &plan, on_step).await?;

        // 5. Say how it stands; nothing is written if nothing changed.
        let ledger = &ready.observed.ledger;
        let pass = self.conclude(&told, plan, failed, ledger).await?;
        let rests = pass.failed.is_none() && self.rests(&pass.plan, &ready);
        let settled = rests && self.has_told_all(&pass.plan, &ready);
        Ok(Pass {
            unread: ready.observed.unread,
            whole: ready.observed.is_whole(),
            settled: settled
                .then(|| {
                    let Ready {
                        interest, observed, ..
                    } = &*ready;
                    self.reads.settled_afresh(interest, observed, began)
                })
                .flatten(),
            version: ready.version(&told),
            ..pass.having_looked_at(ready.interest, told.applied_at)
        })
    }

    fn plan(&self, previous: &ReleaseStatus, ready: &Ready) -> Plan {
        plan::plan(plan::Input {
            desired: &ready.desired,
            observed: &ready.observed,
            previous,
            now: self.now(),
        })
    }

    /// Everything that a decision needs, read afresh or since then.
    async fn prepare(
        &self,
        key: &ReleaseKey,
        since: Option<Instant>,
    ) -> Result<Looked, ReconcileError> {
        // 1. Load what people want, and what was last said of it.
        let stored = match self.store.release(key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Looked::Gone),
            Err(error @ StoreError::Malformed { .. }) => return self.unreadable(key, error).await,
            Err(error) => return Err(error.into()),
        };
        tracing::Span::current().record("generation", stored.generation());
        let mut told = Told::of(&stored);
        let stalled = |told: Told, reason: &str, message: String| {
            let reason = reason.to_owned();
            Ok(Looked::Stalled(told, Explanation { reason, message }))
        };
        let environment = match self.environment_since(&key.namespace, since).await {
            Ok(environment) => environment,
            Err(error) => match cause_in_environment(&error) {
                Some(reason) => return stalled(told, reason, error.to_string()),
                None => return Err(error),
            },
        };
        told.notifications
            .clone_from(&environment.spec.notifications);
        let desired = match build::desired(&stored.release, &environment, provenance(&stored)) {
            Ok(desired) => desired.at(self.now()),
            Err(errors) => return stalled(told, "InvalidSpec", sentences(&errors)),
        };

        // 2. Look.
        let (desired, observed, interest) = match self.look(desired, since).await {
            Ok(looked) => looked,
            Err(ReconcileError::Aws(error)) if is_for_a_person(&error) => {
                return stalled(told, "AccessDenied", error.lasting());
            }
            Err(error) => return Err(error),
        };
        let ready = Ready {
            environment,
            desired,
            observed,
            interest,
        };
        Ok(Looked::Ready(told, Box::new(ready)))
    }

    /// What is wanted with what was written down, and everything that the plan of it needs.
    async fn look(
        &self,
        desired: Desired,
        since: Option<Instant>,
    ) -> Result<(Desired, Observed, Interest), ReconcileError> {
        let ledger = self.ledger(&desired, since).await?;
        let desired = desired.in_effect(&ledger);
        let orphaned = desired.deleting.is_some_and(|deletion| deletion.orphan);
        // A deletion that leaves everything must end also when the account refuses us.
        let account = if orphaned {
            String::new()
        } else {
            self.account(&desired.environment).await?
        };
        let installation = self.installation().await?;
        let environment = &desired.environment;
        let view = self
            .reads
            .view(&environment.access, &environment.region, since);
        let (store, clock) = (&self.store, &self.clock);
        let looked = observe::observe(
            view,
            store,
            &desired,
            ledger,
            &account,
            &installation,
            clock,
        );
        let (mut observed, interest) = looked.await?;
        // Who only previews made no call, and does not know of those that others make.
        let keys = plan::open_calls(&observed.ledger);
        let known = || self.calls.of(&desired.uid, &keys);
        observed.calls = self.writer.is_some().then(known);
        Ok((desired, observed, interest))
    }

    async fn ledger(
        &self,
        desired: &Desired,
        since: Option<Instant>,
    ) -> Result<Ledger, ReconcileError> {
        let (key, store) = (&desired.key, &self.store);
        if self.reads.is_asked(store, key, since).await? {
            return Ok(store.ledger(key, &desired.uid).await?);
        }
        Ok(store.ledger_unasked(key, &desired.uid).await?)
    }

    /// The account that an Environment's credentials belong to, asked once for each role.
    async fn account(&self, environment: &desired::Environment) -> Result<String, ReconcileError> {
        let access = &environment.access;
        let cell = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            accounts.entry(access.clone()).or_default().clone()
        };
        let came = Instant::now();
        let mut known = cell.lock().await;
        match &*known {
            Some((_, Ok(account))) => return Ok(account.clone()),
            // Those who waited for one failure do not wait for another, one after the other.
            Some((ended, Err(error))) if *ended > came => return Err(error.clone().into()),
            Some((_, Err(_))) | None => {}
        }
        let asked = match access.role_arn {
            None => self.aws.identity().await,
            Some(_) => {
                let clients = self.aws.at(access, &environment.region);
                clients.sts.identity().await
            }
        };
        let asked = asked
            .map(|identity| identity.account)
            .map_err(|error| observe::spare(error, access));
        *known = Some((Instant::now(), asked.clone()));
        Ok(asked?)
    }

    async fn installation(&self) -> Result<String, ReconcileError> {
        let read = self
            .installation
            .get_or_try_init(|| self.store.installation());
        Ok(read.await?.clone())
    }

    /// An Environment of the table.
    ///
    /// # Errors
    /// [`ReconcileError::EnvironmentNotFound`], or why it cannot be read.
    pub async fn environment(&self, name: &str) -> Result<Environment, ReconcileError> {
        self.environment_since(name, None).await
    }

    async fn environment_since(
        &self,
        name: &str,
        since: Option<Instant>,
    ) -> Result<Environment, ReconcileError> {
        let found = self.reads.environment(&self.store, name, since).await?;
        found.ok_or_else(|| ReconcileError::EnvironmentNotFound(name.to_owned()))
    }

    /// Records where an Environment's Releases go, at the first step of the first of them.
    async fn bind(
        &self,
        desired: &Desired,
        environment: &Environment,
    ) -> Result<(), ReconcileError> {
        if desired.environment.recorded.is_some() || desired.deleting.is_some() {
            return Ok(());
        }
        let binding = Binding {
            account: self.account(&desired.environment).await?,
            region: desired.environment.region.clone(),
            cluster: desired.environment.cluster.clone(),
        };
        let name = &environment.metadata.name;
        let bound = self.writer()?.bind_environment(name, &binding).await;
        self.reads.bound(name).await;
        Ok(bound?)
    }

    async fn execute(
        &self,
        desired: &Desired,
        plan: &Plan,
        on_step: OnStep<'_>,
    ) -> Result<Option<(Action, StepError)>, ReconcileError> {
        let (access, region) = (&desired.environment.access, &desired.environment.region);
        let executor = Executor {
            clients: self.aws.for_release(access, region, &desired.key),
            writer: self.writer()?,
            key: &desired.key,
            uid: &desired.uid,
            calls: &self.calls,
            posting: &self.posting,
            access,
            region,
            now: &*self.clock,
        };
        for action in &plan.actions {
            let before = tokio::time::Instant::now();
            let done = executor.carry_out(&action.step).await;
            self.reads.wrote(access, region, &action.step);
            match done {
                Ok(()) => on_step(action, Some(before.elapsed())),
                Err(StepError::Store(error @ StoreError::LostLease { .. })) => {
                    return Err(error.into());
                }
                Err(error) => {
                    on_step(action, None);
                    return Ok(Some((action.clone(), error)));
                }
            }
        }
        Ok(None)
    }
}

/// Whether a person has to let evenkeel in: into the account, or into the Environment's role.
fn is_for_a_person(error: &AwsError) -> bool {
    let of_role = error.is_of_role() && error.class == ErrorClass::Refused;
    of_role || error.class == ErrorClass::Denied
}

/// Whether it is the Environment that somebody has to put right: a word for programs.
fn cause_in_environment(error: &ReconcileError) -> Option<&'static str> {
    match error {
        ReconcileError::EnvironmentNotFound(_) => Some("EnvironmentNotFound"),
        ReconcileError::Store(StoreError::Malformed { .. }) => Some("InvalidEnvironment"),
        _ => None,
    }
}

fn provenance(stored: &StoredRelease) -> Provenance {
    Provenance {
        deleting: stored.deleting,
        applier: stored.applier.clone(),
        source: stored.source.clone(),
    }
}

fn sentences(errors: &[crate::resource::problem::FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
