//! Counts of what becomes of Releases. Labels are closed sets: no ARN, digest, task id or message.
//! A Release that is gone takes its series with it, and a new generation those of the old one.

mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus::{
    Error, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::aws::AwsMetrics;
use crate::controller::metrics::LoopMetrics;
use crate::controller::{Happening, What};
use crate::model::ledger::{MigrationRun, Rollout, RolloutState, RunState};
use crate::model::plan::{Action, Plan, Step};
use crate::resource::conditions::{ConditionStatus, ConditionType, find, is_true};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::{DifferenceAction, ReleaseStatus};
use series::Series;

/// Kinds of resources that can differ.
const KINDS: [&str; 3] = ["image", "service", "schedule"];
const STATUSES: [ConditionStatus; 3] = [
    ConditionStatus::True,
    ConditionStatus::False,
    ConditionStatus::Unknown,
];
const CONDITIONS: [ConditionType; 4] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Drifted,
];

/// Buckets of migrations, in seconds: from a check to a night's work.
const MIGRATION_SECONDS: [f64; 12] = [
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0,
];
/// Buckets of rollouts, in seconds: ECS takes minutes, and gives up after three hours.
const ROLLOUT_SECONDS: [f64; 12] = [
    10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 10800.0,
];
/// Buckets from apply to Ready, in seconds.
const LEAD_SECONDS: [f64; 13] = [
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 86400.0,
];

/// Counters and gauges, fed by what happens. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    controller: LoopMetrics,
    aws: AwsMetrics,
    releases: Releases,
    seen: Mutex<BTreeMap<ReleaseKey, Seen>>,
}

/// What has to be remembered of a Release from one pass to the next.
#[derive(Default)]
struct Seen {
    /// Whether a pass was seen.
    passed: bool,
    /// The generation that was Ready last.
    ready: Option<u64>,
    /// What was changed in AWS since the last pass ended.
    moved: BTreeSet<String>,
}

/// The families with a series, or some, for each Release.
struct Releases {
    info: Series<IntGaugeVec>,
    conditions: Series<IntGaugeVec>,
    suspended: Series<IntGaugeVec>,
    observed: Series<GaugeVec>,
    differences: Series<IntGaugeVec>,
    drift_since: Series<GaugeVec>,
    corrections: Series<IntCounterVec>,
    migrations: Series<IntCounterVec>,
    migration_time: Series<HistogramVec>,
    rollouts: Series<IntCounterVec>,
    rollout_time: Series<HistogramVec>,
    lead_time: Series<HistogramVec>,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name, which is a mistake of ours.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let build = IntGauge::with_opts(
            Opts::new("evenkeel_build_info", "Always 1; the version is a label.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Self(Arc::new(Families {
            controller: LoopMetrics::register(&registry)?,
            aws: AwsMetrics::register(&registry)?,
            releases: Releases::register(&registry)?,
            seen: Mutex::default(),
            registry,
        })))
    }

    /// What is served at `/metrics`.
    pub fn registry(&self) -> Registry {
        self.0.registry.clone()
    }

    /// Counts what the loop does; for [`crate::controller::ControllerOptions`].
    pub fn controller(&self) -> LoopMetrics {
        self.0.controller.clone()
    }

    /// Counts calls to AWS; for [`crate::aws::AwsSettings`].
    pub fn aws(&self) -> AwsMetrics {
        self.0.aws.clone()
    }

    /// Takes note of something that happened.
    pub fn observe(&self, happening: &Happening) {
        let key = &happening.release;
        let releases = &self.0.releases;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &happening.what {
            What::Acted(action) => {
                releases.acted(key, action);
                seen.entry(key.clone()).or_default().note(action);
            }
            What::Same => releases.observed.of(key, &[]).set(seconds(happening.at)),
            What::NotDone(_) | What::Failed(_) => {}
            What::Passed {
                plan,
                generation,
                applied_at,
                observed,
                ..
            } => {
                let seen = seen.entry(key.clone()).or_default();
                releases.stands(key, plan, *generation);
                if *observed {
                    releases.observed.of(key, &[]).set(seconds(happening.at));
                }
                releases.corrected(key, &plan.status, &std::mem::take(&mut seen.moved));
                let ready = is_true(&plan.status.conditions, ConditionType::Ready);
                if seen.became_ready(&plan.status, *generation, ready)
                    && let Some(applied_at) = applied_at
                {
                    let lead = releases.lead_time.of(key, &[]);
                    lead.observe(seconds_between(*applied_at, happening.at));
                }
            }
            What::Gone => {
                seen.remove(key);
                releases.forget(key);
            }
        }
    }
}

impl Seen {
    fn note(&mut self, action: &Action) {
        if action.step.is_of_aws() {
            self.moved.insert(action.resource.clone());
        }
    }

    /// Whether this pass is the first to find this generation Ready, and the way there was watched.
    /// Of a Release that is Ready when this process begins, or was before, nobody knows when it
    /// became so.
    fn became_ready(
        &mut self,
        status: &ReleaseStatus,
        generation: Option<u64>,
        ready: bool,
    ) -> bool {
        let was_ready = status.revision.is_some() && status.revision == status.ready_revision;
        let first = !std::mem::replace(&mut self.passed, true);
        if first && (ready || was_ready) {
            self.ready = generation;
            return false;
        }
        let became = ready && generation.is_some() && self.ready != generation;
        if became {
            self.ready = generation;
        }
        became
    }
}

impl Releases {
    fn register(registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            info: gauges(
                registry,
                "evenkeel_release_info",
                "Always 1; the generation that was looked at last and the revision that is worked toward are labels.",
                &["generation", "revision"],
            )?,
            conditions: gauges(
                registry,
                "evenkeel_release_condition",
                "1 for the status that a condition of a release has.",
                &["type", "status"],
            )?,
            suspended: gauges(
                registry,
                "evenkeel_release_suspended",
                "1 while a release is suspended.",
                &[],
            )?,
            observed: moments(
                registry,
                "evenkeel_last_observed_timestamp_seconds",
                "When everything that a release declares was last looked at.",
            )?,
            differences: gauges(
                registry,
                "evenkeel_drift_differences",
                "Differences from what was declared.",
                &["resource_kind"],
            )?,
            drift_since: moments(
                registry,
                "evenkeel_drift_since_timestamp_seconds",
                "When the oldest difference was first seen; absent where nothing differs.",
            )?,
            corrections: counters(
                registry,
                "evenkeel_drift_corrections_total",
                "Resources that were put right.",
                &["resource_kind"],
            )?,
            migrations: counters(
                registry,
                "evenkeel_migration_runs_total",
                "Migration runs by outcome.",
                &["migration", "outcome"],
            )?,
            migration_time: durations(
                registry,
                "evenkeel_migration_duration_seconds",
                "Time from the start of a migration's task to its end.",
                &["migration"],
                &MIGRATION_SECONDS,
            )?,
            rollouts: counters(
                registry,
                "evenkeel_rollouts_total",
                "Rollouts by outcome.",
                &["service", "outcome"],
            )?,
            rollout_time: durations(
                registry,
                "evenkeel_rollout_duration_seconds",
                "Time from asking for a rollout to its end.",
                &["service"],
                &ROLLOUT_SECONDS,
            )?,
            lead_time: durations(
                registry,
                "evenkeel_change_lead_time_seconds",
                "Time from apply to Ready, once for each generation that became Ready.",
                &[],
                &LEAD_SECONDS,
            )?,
        })
    }

    /// A step was carried out.
    fn acted(&self, key: &ReleaseKey, action: &Action) {
        match &action.step {
            Step::RecordMigration(run) if !run.hook => self.migrated(key, run),
            Step::RecordRollout(rollout) => self.rolled_out(key, rollout),
            _ => {}
        }
    }

    fn migrated(&self, key: &ReleaseKey, run: &MigrationRun) {
        let outcome = match run.state {
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Unknown => "unknown",
            _ => return,
        };
        self.migrations.of(key, &[&run.migration, outcome]).inc();
        if let (Some(started), Some(finished)) = (run.started_at, run.finished_at) {
            let time = self.migration_time.of(key, &[&run.migration]);
            time.observe(seconds_between(started, finished));
        }
    }

    fn rolled_out(&self, key: &ReleaseKey, rollout: &Rollout) {
        let outcome = match (rollout.state, rollout.back) {
            (RolloutState::Succeeded, false) => "succeeded",
            (RolloutState::Succeeded, true) => "rolled_back",
            (RolloutState::Failed, false) => "failed",
            (RolloutState::Failed, true) => "rollback_failed",
            (RolloutState::Superseded, _) => "superseded",
            (RolloutState::Requested, _) => return,
        };
        self.rollouts.of(key, &[&rollout.service, outcome]).inc();
        if let Some(finished) = rollout.finished_at {
            let time = self.rollout_time.of(key, &[&rollout.service]);
            time.observe(seconds_between(rollout.requested_at, finished));
        }
    }

    /// How a Release stands now.
    fn stands(&self, key: &ReleaseKey, plan: &Plan, generation: Option<u64>) {
        let status = &plan.status;
        self.info(key, status, generation);
        self.conditions(key, status);
        let ready = find(&status.conditions, ConditionType::Ready);
        let suspended = ready.is_some_and(|ready| ready.reason == "Suspended");
        self.suspended.of(key, &[]).set(i64::from(suspended));
        self.drift(key, status);
        // What is no longer declared does not stay for ever.
        let all = is_true(&status.conditions, ConditionType::Ready);
        let services: BTreeSet<&str> = status.services.iter().map(|one| &*one.name).collect();
        if all || !services.is_empty() {
            let declared = |further: &[String]| services.contains(&*further[0]);
            self.rollouts.retain(key, declared);
            self.rollout_time.retain(key, declared);
        }
        let migrations: BTreeSet<&str> = status.migrations.iter().map(|one| &*one.name).collect();
        if all || !migrations.is_empty() {
            let declared = |further: &[String]| migrations.contains(&*further[0]);
            self.migrations.retain(key, declared);
            self.migration_time.retain(key, declared);
        }
    }

    /// One series: the new one takes the place of the old.
    fn info(&self, key: &ReleaseKey, status: &ReleaseStatus, generation: Option<u64>) {
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let labels = [generation, status.revision].map(|number| text(number).unwrap_or_default());
        self.info.retain(key, |further| further == labels);
        self.info.of(key, &[&labels[0], &labels[1]]).set(1);
    }

    fn conditions(&self, key: &ReleaseKey, status: &ReleaseStatus) {
        for kind in CONDITIONS {
            let found = find(&status.conditions, kind).map(|condition| condition.status);
            for status in STATUSES {
                let word = match status {
                    ConditionStatus::True => "True",
                    ConditionStatus::False => "False",
                    ConditionStatus::Unknown => "Unknown",
                };
                let series = self.conditions.of(key, &[kind.as_str(), word]);
                series.set(i64::from(found == Some(status)));
            }
        }
    }

    fn drift(&self, key: &ReleaseKey, status: &ReleaseStatus) {
        let differences = &status.drift.differences;
        for kind in KINDS {
            let of_kind = differences.iter().filter(|one| is_of(kind, &one.resource));
            let count = i64::try_from(of_kind.count()).unwrap_or(i64::MAX);
            self.differences.of(key, &[kind]).set(count);
        }
        match differences.iter().map(|one| one.first_seen).min() {
            Some(since) => self.drift_since.of(key, &[]).set(seconds(since)),
            None => self.drift_since.forget(key),
        }
    }

    /// Counts what a pass moved on account of a difference, and not of a new generation.
    fn corrected(&self, key: &ReleaseKey, status: &ReleaseStatus, moved: &BTreeSet<String>) {
        let corrected: BTreeSet<&str> = status
            .drift
            .differences
            .iter()
            .filter(|one| one.action == DifferenceAction::Corrected)
            .map(|one| one.resource.as_str())
            .filter(|resource| moved.contains(*resource))
            .collect();
        for kind in KINDS {
            let count = corrected
                .iter()
                .filter(|resource| is_of(kind, resource))
                .count();
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.corrections.of(key, &[kind]).inc_by(count);
        }
    }

    fn forget(&self, key: &ReleaseKey) {
        // Named one by one, so that a family that is added is not forgotten here.
        let Self {
            info,
            conditions,
            suspended,
            observed,
            differences,
            drift_since,
            corrections,
            migrations,
            migration_time,
            rollouts,
            rollout_time,
            lead_time,
        } = self;
        for gauges in [info, conditions, suspended, differences] {
            gauges.forget(key);
        }
        for moments in [observed, drift_since] {
            moments.forget(key);
        }
        for counters in [corrections, migrations, rollouts] {
            counters.forget(key);
        }
        for durations in [migration_time, rollout_time, lead_time] {
            durations.forget(key);
        }
    }
}

fn all_labels<'a>(further: &[&'a str]) -> Vec<&'a str> {
    [&["namespace", "release"], further].concat()
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    further: &[&str],
) -> Result<Series<IntGaugeVec>, Error> {
    let family = IntGaugeVec::new(Opts::new(name, help), &all_labels(further))?;
    Series::register(registry, family)
}

/// Gauges that hold a moment, in seconds of Unix time.
fn moments(registry: &Registry, name: &str, help: &str) -> Result<Series<GaugeVec>, Error> {
    let family = GaugeVec::new(Opts::new(name, help), &all_labels(&[]))?;
    Series::register(registry, family)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    further: &[&str],
) -> Result<Series<IntCounterVec>, Error> {
    let family = IntCounterVec::new(Opts::new(name, help), &all_labels(further))?;
    Series::register(registry, family)
}

fn durations(
    registry: &Registry,
    name: &str,
    help: &str,
    further: &[&str],
    buckets: &[f64],
) -> Result<Series<HistogramVec>, Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let family = HistogramVec::new(options, &all_labels(further))?;
    Series::register(registry, family)
}

fn is_of(kind: &str, resource: &str) -> bool {
    resource
        .split_once('/')
        .is_some_and(|(found, _)| found == kind)
}

/// Unix time; a millisecond is more than anybody asks for.
#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Two clocks may disagree: never less than nothing.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;
