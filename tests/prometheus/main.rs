//! The real Prometheus scrapes a real controller: `cargo test --test prometheus`. It must answer a
//! query for each metric, and Prometheus' own checker must find nothing wrong with the page.
//!
//! Needs the binaries `prometheus` and `promtool` (Debian's package `prometheus`) and real time, so
//! it is not part of `cargo test`; `.ci/run` runs it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod page;
#[path = "../rivals/replica.rs"]
mod replica;
#[path = "../rivals/scene.rs"]
mod scene;
mod server;

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use replica::Replica;
use scene::{QUEUE, REGION, Scene, example};
use server::Prometheus;

/// Longer than anything takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What answers with at least one sample after [`make_a_sample_of_each`]. A histogram is asked for by what its quantiles are made of.
const QUERIES: &[&str] = &[
    "controller_runtime_reconcile_total{result='success'} > 0",
    "controller_runtime_reconcile_total{result='error'}",
    "controller_runtime_reconcile_total{result='requeue'}",
    "controller_runtime_reconcile_total{result='requeue_after'} > 0",
    "controller_runtime_reconcile_errors_total",
    "controller_runtime_reconcile_panics_total == 0",
    "controller_runtime_reconcile_time_seconds_bucket{controller='release'}",
    "controller_runtime_active_workers",
    "controller_runtime_max_concurrent_reconciles == 16",
    "workqueue_depth{name='release'}",
    "workqueue_adds_total > 0",
    "workqueue_queue_duration_seconds_bucket",
    "workqueue_work_duration_seconds_bucket",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "workqueue_retries_total",
    "leader_election_master_status{name='evenkeel'} == 1",
    "evenkeel_release_info{namespace='production',release='rails',generation='3'} == 1",
    "evenkeel_release_condition{type='Ready',status='True'} == 1",
    "evenkeel_drift_differences{resource_kind='schedule'} > 0",
    "time() - evenkeel_drift_since_timestamp_seconds",
    "evenkeel_drift_corrections_total{resource_kind='schedule'} > 0",
    "evenkeel_last_observed_timestamp_seconds",
    "evenkeel_migration_runs_total{migration='db-migrate',outcome='succeeded'} == 1",
    "evenkeel_migration_runs_total{migration='db-migrate',outcome='failed'} == 1",
    "evenkeel_migration_duration_seconds_bucket",
    "evenkeel_rollouts_total{service='app',outcome='succeeded'} == 1",
    "evenkeel_rollout_duration_seconds_bucket{service='shoryuken'}",
    "evenkeel_change_lead_time_seconds_count{release='rails'} > 0",
    "evenkeel_aws_requests_total{service='ecs',operation='RunTask',code='OK'} == 2",
    "evenkeel_aws_request_duration_seconds_bucket{service='dynamodb'}",
    "evenkeel_aws_throttle_wait_seconds_bucket{service='ecs'}",
    "evenkeel_aws_budget_rate > 0",
    "evenkeel_events_received_total{source='table'} > 0",
    "evenkeel_events_received_total{source='ecs'} > 0",
    "evenkeel_notifications_total",
    "evenkeel_notifications_undelivered == 0",
    "evenkeel_release_suspended == 0",
    "evenkeel_build_info == 1",
    "histogram_quantile(0.99, rate(workqueue_queue_duration_seconds_bucket[1m]))",
    "up{job='evenkeel'} == 1",
];

/// Words after which a metric is a part of the histogram that is named before them.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

#[tokio::test(flavor = "multi_thread")]
async fn the_real_prometheus_answers_for_each_metric() {
    let scene = Scene::new().await;
    let address = free_address();
    let arguments = [
        "--http",
        &address,
        "--events-queue-url",
        QUEUE,
        "--resync",
        "10s",
    ];
    let mut replica = Replica::start("scraped", &scene.address, &arguments);
    let prometheus = Prometheus::start(&free_address(), &address);
    make_a_sample_of_each(&scene, &prometheus).await;

    for query in QUERIES {
        prometheus.until_answered(query, LIMIT).await;
    }
    let page = page::get(&address, "/metrics").await.expect("it is served");
    let checked = server::check(&page);
    assert_eq!(checked, "", "promtool check metrics");
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = family.split_once(' ').unwrap();
        let asked = |query: &&&str| {
            let of = |name: &str| query.contains(name);
            of(name) || PARTS.iter().any(|part| of(&format!("{name}{part}")))
        };
        assert!(
            QUERIES.iter().any(|query| asked(&query)),
            "nobody asks for {name}"
        );
    }
    replica.signal("TERM");
    assert!(replica.ended().await, "SIGTERM ends it with 0");
}

/// Ready, and drift that is put right; a migration that fails; Ready again, and drift that stays.
async fn make_a_sample_of_each(scene: &Scene, prometheus: &Prometheus) {
    scene.apply_example().await;
    let ready = || async { scene.is_ready().await.then_some(()) };
    scene.until("it does not become Ready", LIMIT, ready).await;
    let rule = "production-rails-sweep-carts";
    let call = |operation: &str, input| scene.sandbox.call("events", REGION, operation, input);
    let drift = |expression: &str| {
        let input = json!({"Name": rule, "ScheduleExpression": expression});
        call("PutRule", input).unwrap();
    };
    let is = || {
        let rule = call("DescribeRule", json!({"Name": rule})).unwrap();
        rule["ScheduleExpression"].clone()
    };
    let declared = is();
    drift("rate(1 minute)");
    let right = || async { (is() == declared).then_some(()) };
    scene.until("drift is not put right", LIMIT, right).await;

    let fails = json!([{"when": {"command": "*db:abort*"}, "then": {"exit": {"after": "8s", "exitCode": 1}}}]);
    let rules = serde_json::from_value(fails).unwrap();
    scene.sandbox.set_rules(rules);
    let release = example("release.yaml");
    let failing = release.replace("db:version", "db:abort_if_pending_migrations");
    assert_ne!(failing, release);
    scene.apply(&failing).await;
    let stalled = "evenkeel_release_condition{type='Stalled',status='True'} == 1";
    prometheus.until_answered(stalled, LIMIT).await;

    let reporting = release.replace("spec:\n", "spec:\n  drift: {policy: Report}\n");
    assert_ne!(reporting, release);
    scene.apply(&reporting).await;
    let again = "evenkeel_release_condition{type='Ready',status='True'} == 1";
    prometheus.until_answered(again, LIMIT).await;
    drift("rate(2 minutes)");
}

/// An address that nobody listens at; it is taken at once.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
