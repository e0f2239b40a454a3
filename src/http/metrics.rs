//! Counts of what the controller does. Labels are closed sets: no ARN, digest, task id or message.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::aws::AwsMetrics;
use crate::controller::{Happening, What};
use crate::model::ledger::{RolloutState, RunState};
use crate::model::plan::{Plan, Requeue, Step};
use crate::resource::conditions::ConditionStatus;
use crate::resource::meta::ReleaseKey;

/// The controller's name, as controller-runtime labels its own.
const CONTROLLER: &str = "release";
/// Kinds of resources that can differ.
const KINDS: [&str; 3] = ["image", "service", "schedule"];
const STATUSES: [ConditionStatus; 3] = [
    ConditionStatus::True,
    ConditionStatus::False,
    ConditionStatus::Unknown,
];

/// Counters and gauges, fed by what happens. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    conditions: IntGaugeVec,
    differences: IntGaugeVec,
    migrations: IntCounterVec,
    rollouts: IntCounterVec,
    aws: AwsMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name, which is a mistake of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = IntGauge::with_opts(
            Opts::new("evenkeel_build_info", "Always 1; the version is a label.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(build))?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            reconciles: counter(
                "controller_runtime_reconcile_total",
                "Passes by result: success, error, requeue_after.",
                &["controller", "result"],
            )?,
            errors: counter(
                "controller_runtime_reconcile_errors_total",
                "Passes that failed.",
                &["controller"],
            )?,
            conditions: gauge(
                "evenkeel_release_condition",
                "1 for the status that a condition of a release has.",
                &["namespace", "release", "type", "status"],
            )?,
            differences: gauge(
                "evenkeel_drift_differences",
                "Differences from what was declared.",
                &["namespace", "release", "resource_kind"],
            )?,
            migrations: counter(
                "evenkeel_migration_runs_total",
                "Migration runs by outcome.",
                &["namespace", "release", "migration", "outcome"],
            )?,
            rollouts: counter(
                "evenkeel_rollouts_total",
                "Rollouts by outcome.",
                &["namespace", "release", "service", "outcome"],
            )?,
            aws: AwsMetrics::register(&registry)?,
            registry,
        })
    }

    /// What is served at `/metrics`.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Counts calls to AWS; for [`crate::aws::AwsSettings`].
    pub fn aws(&self) -> AwsMetrics {
        self.aws.clone()
    }

    /// Takes note of something that happened.
    pub fn observe(&self, happening: &Happening) {
        match &happening.what {
            What::Acted(action) => self.outcome(&happening.release, &action.step),
            What::NotDone(_) => {}
            What::Passed { plan, failed, .. } => {
                self.result(match (failed, plan.requeue) {
                    (true, _) => "error",
                    (false, Requeue::Resync) => "success",
                    (false, Requeue::After(_)) => "requeue_after",
                });
                self.stands(&happening.release, plan);
            }
            What::Failed(_) => self.result("error"),
            What::Gone => {}
        }
    }

    /// One pass more that ended so.
    fn result(&self, result: &str) {
        self.reconciles
            .with_label_values(&[CONTROLLER, result])
            .inc();
        if result == "error" {
            self.errors.with_label_values(&[CONTROLLER]).inc();
        }
    }

    /// How a Release stands now.
    fn stands(&self, key: &ReleaseKey, plan: &Plan) {
        self.conditions(key, plan);
        for kind in KINDS {
            let differences = &plan.status.drift.differences;
            let prefix = format!("{kind}/");
            let count = differences
                .iter()
                .filter(|one| one.resource.starts_with(&prefix))
                .count();
            self.differences
                .with_label_values(&[&key.namespace, &key.name, kind])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn conditions(&self, key: &ReleaseKey, plan: &Plan) {
        use crate::resource::conditions::{ConditionType, find};
        for kind in [
            ConditionType::Ready,
            ConditionType::Reconciling,
            ConditionType::Stalled,
            ConditionType::Drifted,
        ] {
            let found = find(&plan.status.conditions, kind).map(|condition| condition.status);
            for status in STATUSES {
                let word = match status {
                    ConditionStatus::True => "True",
                    ConditionStatus::False => "False",
                    ConditionStatus::Unknown => "Unknown",
                };
                self.conditions
                    .with_label_values(&[&key.namespace, &key.name, kind.as_str(), word])
                    .set(i64::from(found == Some(status)));
            }
        }
    }

    fn outcome(&self, key: &ReleaseKey, step: &Step) {
        match step {
            Step::RecordMigration(run) => {
                let outcome = match run.state {
                    RunState::Succeeded => "succeeded",
                    RunState::Failed => "failed",
                    RunState::Unknown => "unknown",
                    _ => return,
                };
                self.migrations
                    .with_label_values(&[&key.namespace, &key.name, &run.migration, outcome])
                    .inc();
            }
            Step::RecordRollout(rollout) => {
                let outcome = match rollout.state {
                    RolloutState::Succeeded => "succeeded",
                    RolloutState::Failed => "failed",
                    RolloutState::Superseded => "superseded",
                    _ => return,
                };
                self.rollouts
                    .with_label_values(&[&key.namespace, &key.name, &rollout.service, outcome])
                    .inc();
            }
            _ => {}
        }
    }
}
