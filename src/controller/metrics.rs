//! What the loop counts of itself, named as controller-runtime and client-go name theirs, so that
//! dashboards made for those show it.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};

use super::notify::NotificationMetrics;

/// The controller's and its queue's name, as a label.
const CONTROLLER: &str = "release";
/// What replicas compete for, as a label.
const ELECTION: &str = "evenkeel";

/// controller-runtime's buckets of `controller_runtime_reconcile_time_seconds`, in seconds.
const RECONCILE_SECONDS: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0,
    25.0, 30.0, 40.0, 50.0, 60.0,
];

/// Where events come from. What is told otherwise counts as the last of them.
const SOURCES: [&str; 7] = [
    "table",
    "poll",
    "ecs",
    "ecr",
    "cloudtrail",
    "hint",
    "unknown",
];

/// Counters, gauges and histograms of the loop. Cheap to clone. The default counts nothing.
#[derive(Clone, Debug, Default)]
pub struct LoopMetrics(Option<Arc<Families>>);

#[derive(Debug)]
struct Families {
    reconciles: IntCounterVec,
    errors: IntCounter,
    panics: IntCounter,
    time: Histogram,
    active: IntGauge,
    most: IntGauge,
    depth: IntGauge,
    adds: IntCounter,
    retries: IntCounter,
    queued: Histogram,
    worked: Histogram,
    unfinished: Gauge,
    longest: Gauge,
    leads: IntGauge,
    events: IntCounterVec,
    notifications: NotificationMetrics,
}

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

impl Outcome {
    const ALL: [Outcome; 4] = [
        Outcome::Success,
        Outcome::Error,
        Outcome::Requeue,
        Outcome::RequeueAfter,
    ];

    /// As controller-runtime labels it.
    fn label(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Error => "error",
            Outcome::Requeue => "requeue",
            Outcome::RequeueAfter => "requeue_after",
        }
    }
}

impl LoopMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When one of that name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        Families::register(registry).map(|families| Self(Some(Arc::new(families))))
    }

    /// What is counted of people who are told.
    pub fn notifications(&self) -> NotificationMetrics {
        let families = self.0.as_ref();
        families.map_or_else(NotificationMetrics::default, |it| it.notifications.clone())
    }

    /// Keys were added to the queue.
    pub fn added(&self, count: u64) {
        self.with(|families| families.adds.inc_by(count));
    }

    /// How many keys are due and wait for a worker.
    pub fn depth(&self, keys: usize) {
        self.with(|families| families.depth.set(whole(keys)));
    }

    /// A worker took a key that had been due for `waited`.
    pub fn began(&self, waited: Duration) {
        self.with(|families| {
            families.queued.observe(waited.as_secs_f64());
            families.active.inc();
        });
    }

    /// A worker is done with a key after `took`. Told once for each [`LoopMetrics::began`], also of
    /// a pass that panicked.
    pub fn ended(&self, outcome: Outcome, took: Duration) {
        self.with(|families| {
            families.active.dec();
            families.worked.observe(took.as_secs_f64());
            families.time.observe(took.as_secs_f64());
            let labels = [CONTROLLER, outcome.label()];
            families.reconciles.with_label_values(&labels).inc();
            if outcome == Outcome::Error {
                families.errors.inc();
            }
        });
    }

    /// A key goes back to the queue because its pass failed.
    pub fn retried(&self) {
        self.with(|families| families.retries.inc());
    }

    /// A worker panicked.
    pub fn panicked(&self) {
        self.with(|families| families.panics.inc());
    }

    /// Most passes at once, over all Environments.
    pub fn workers(&self, most: usize) {
        self.with(|families| families.most.set(whole(most)));
    }

    /// For how long each of the passes that go on has gone on. Told once a second.
    pub fn unfinished(&self, passes: &[Duration]) {
        self.with(|families| {
            let all: Duration = passes.iter().sum();
            let longest = passes.iter().max().copied().unwrap_or_default();
            families.unfinished.set(all.as_secs_f64());
            families.longest.set(longest.as_secs_f64());
        });
    }

    /// Whether this replica holds any lease.
    pub fn leads(&self, leads: bool) {
        self.with(|families| families.leads.set(i64::from(leads)));
    }

    /// An event came: `source` is one of `table`, `poll`, `ecs`, `ecr`, `cloudtrail`, `hint`,
    /// `unknown`.
    pub fn event(&self, source: &'static str) {
        let known = SOURCES.contains(&source);
        let source = if known { source } else { "unknown" };
        self.with(|families| families.events.with_label_values(&[source]).inc());
    }

    fn with(&self, act: impl FnOnce(&Families)) {
        if let Some(families) = &self.0 {
            act(families);
        }
    }
}

impl Families {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let of = |label: &str, value: &str, name: &str, help: &str| {
            Opts::new(name, help).const_label(label, value)
        };
        let controller = |name: &str, help: &str| of("controller", CONTROLLER, name, help);
        let queue = |name: &str, help: &str| of("name", CONTROLLER, name, help);
        // client-go's buckets: from 10 nanoseconds to 1000 seconds.
        let seconds = |name: &str, help: &str| {
            let buckets = exponential_buckets(1e-8, 10.0, 12)?;
            Histogram::with_opts(HistogramOpts::from(queue(name, help)).buckets(buckets))
        };
        let families = Self {
            reconciles: IntCounterVec::new(
                Opts::new(
                    "controller_runtime_reconcile_total",
                    "Passes by result: success, error, requeue, requeue_after.",
                ),
                &["controller", "result"],
            )?,
            errors: IntCounter::with_opts(controller(
                "controller_runtime_reconcile_errors_total",
                "Passes that could not be made or finished.",
            ))?,
            panics: IntCounter::with_opts(controller(
                "controller_runtime_reconcile_panics_total",
                "Passes that panicked.",
            ))?,
            time: Histogram::with_opts(
                HistogramOpts::from(controller(
                    "controller_runtime_reconcile_time_seconds",
                    "How long passes take.",
                ))
                .buckets(RECONCILE_SECONDS.to_vec()),
            )?,
            active: IntGauge::with_opts(controller(
                "controller_runtime_active_workers",
                "Workers that have a pass under way.",
            ))?,
            most: IntGauge::with_opts(controller(
                "controller_runtime_max_concurrent_reconciles",
                "Most passes at once, over all Environments.",
            ))?,
            depth: IntGauge::with_opts(queue(
                "workqueue_depth",
                "Releases that are due and wait for a worker.",
            ))?,
            adds: IntCounter::with_opts(queue(
                "workqueue_adds_total",
                "Releases added to the queue.",
            ))?,
            retries: IntCounter::with_opts(queue(
                "workqueue_retries_total",
                "Releases put back because their pass failed.",
            ))?,
            queued: seconds(
                "workqueue_queue_duration_seconds",
                "How long Releases are due before a worker takes them.",
            )?,
            worked: seconds(
                "workqueue_work_duration_seconds",
                "How long workers are busy with a Release.",
            )?,
            unfinished: Gauge::with_opts(queue(
                "workqueue_unfinished_work_seconds",
                "How long the passes under way have gone on, all together.",
            ))?,
            longest: Gauge::with_opts(queue(
                "workqueue_longest_running_processor_seconds",
                "How long the longest pass under way has gone on.",
            ))?,
            leads: IntGauge::with_opts(of(
                "name",
                ELECTION,
                "leader_election_master_status",
                "1 while this replica holds a lease.",
            ))?,
            events: IntCounterVec::new(
                Opts::new(
                    "evenkeel_events_received_total",
                    "Events that said which Release to look at, by where they came from.",
                ),
                &["source"],
            )?,
            notifications: NotificationMetrics::new()?,
        };
        // A series that begins with its first event has no rate for it.
        for outcome in Outcome::ALL {
            let labels = [CONTROLLER, outcome.label()];
            families.reconciles.with_label_values(&labels);
        }
        for source in SOURCES {
            families.events.with_label_values(&[source]);
        }
        for family in families.all() {
            registry.register(family)?;
        }
        Ok(families)
    }

    fn all(&self) -> Vec<Box<dyn Collector>> {
        let own: Vec<Box<dyn Collector>> = vec![
            Box::new(self.reconciles.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.panics.clone()),
            Box::new(self.time.clone()),
            Box::new(self.active.clone()),
            Box::new(self.most.clone()),
            Box::new(self.depth.clone()),
            Box::new(self.adds.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.queued.clone()),
            Box::new(self.worked.clone()),
            Box::new(self.unfinished.clone()),
            Box::new(self.longest.clone()),
            Box::new(self.leads.clone()),
            Box::new(self.events.clone()),
        ];
        own.into_iter().chain(self.notifications.all()).collect()
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn the_loop_is_counted_under_the_names_that_dashboards_know() {
        let registry = Registry::new();
        let metrics = LoopMetrics::register(&registry).unwrap();
        metrics.workers(16);
        metrics.added(3);
        metrics.depth(2);
        metrics.leads(true);
        metrics.event("ecs");
        metrics.event("a queue of somebody else's");
        for outcome in [Outcome::Success, Outcome::Error, Outcome::RequeueAfter] {
            metrics.began(Duration::from_millis(20));
            metrics.ended(outcome, Duration::from_millis(300));
        }
        metrics.began(Duration::ZERO);
        metrics.retried();
        metrics.panicked();
        metrics.unfinished(&[Duration::from_secs(2), Duration::from_secs(5)]);
        let page = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"controller_runtime_reconcile_total{controller="release",result="success"} 1"#,
            r#"controller_runtime_reconcile_total{controller="release",result="error"} 1"#,
            r#"controller_runtime_reconcile_total{controller="release",result="requeue"} 0"#,
            r#"controller_runtime_reconcile_total{controller="release",result="requeue_after"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="release"} 1"#,
            r#"controller_runtime_reconcile_panics_total{controller="release"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_bucket{controller="release",le="0.25"} 0"#,
            r#"controller_runtime_reconcile_time_seconds_bucket{controller="release",le="0.3"} 3"#,
            r#"controller_runtime_active_workers{controller="release"} 1"#,
            r#"controller_runtime_max_concurrent_reconciles{controller="release"} 16"#,
            r#"workqueue_depth{name="release"} 2"#,
            r#"workqueue_adds_total{name="release"} 3"#,
            r#"workqueue_retries_total{name="release"} 1"#,
            r#"workqueue_queue_duration_seconds_count{name="release"} 4"#,
            r#"workqueue_work_duration_seconds_count{name="release"} 3"#,
            r#"workqueue_unfinished_work_seconds{name="release"} 7"#,
            r#"workqueue_longest_running_processor_seconds{name="release"} 5"#,
            r#"leader_election_master_status{name="evenkeel"} 1"#,
            r#"evenkeel_events_received_total{source="ecs"} 1"#,
            r#"evenkeel_events_received_total{source="unknown"} 1"#,
            r#"evenkeel_events_received_total{source="table"} 0"#,
        ] {
            let found = page.lines().any(|found| found == line);
            assert!(found, "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn a_pass_that_ended_is_not_unfinished() {
        let registry = Registry::new();
        let metrics = LoopMetrics::register(&registry).unwrap();
        metrics.unfinished(&[Duration::from_secs(2)]);
        metrics.unfinished(&[]);
        let page = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        assert!(page.contains("workqueue_unfinished_work_seconds{name=\"release\"} 0\n"));
    }
}
