use jiff::SignedDuration;
use prometheus::TextEncoder;
use serde_json::json;

use super::*;
use crate::resource::conditions::Condition;
use crate::resource::status::{Difference, DriftStatus, MigrationStatus, ServiceStatus};

fn key() -> ReleaseKey {
    ReleaseKey::new("production", "rails")
}

fn start() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn minutes(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

/// Metrics, and what happens to one Release.
struct Scene {
    metrics: Metrics,
    status: ReleaseStatus,
    observed: bool,
    applied_at: Timestamp,
}

impl Scene {
    fn new() -> Self {
        Self {
            metrics: Metrics::new().unwrap(),
            status: ReleaseStatus::default(),
            observed: true,
            applied_at: start(),
        }
    }

    fn tell(&self, at: Timestamp, what: What) {
        self.metrics.observe(&Happening {
            at,
            release: key(),
            what,
        });
    }

    fn act(&self, resource: &str, step: Step) {
        let action = Action {
            resource: resource.to_owned(),
            reason: "arn:aws:ecs:eu-west-1:123456789012:service/a".to_owned(),
            step,
        };
        self.tell(start(), What::Acted(Box::new(action)));
    }

    fn stand(&mut self, generation: u64, ready: ConditionStatus, reason: &str) {
        self.status.observed_generation = Some(generation);
        self.status.conditions = vec![Condition {
            kind: ConditionType::Ready,
            status: ready,
            reason: reason.to_owned(),
            message: "a message".to_owned(),
            last_transition_time: start(),
            observed_generation: Some(generation),
        }];
    }

    fn pass(&self, at: Timestamp) {
        let plan = Plan {
            status: self.status.clone(),
            ..Plan::default()
        };
        let passed = What::Passed {
            plan: Box::new(plan),
            failed: false,
            observed: self.observed,
            generation: self.status.observed_generation,
            applied_at: Some(self.applied_at),
        };
        self.tell(at, passed);
    }

    /// A generation that takes ten minutes to become Ready.
    fn release(&mut self, generation: u64) {
        self.applied_at = minutes(60 * i64::try_from(generation).unwrap());
        self.status.revision = Some(generation);
        self.stand(generation, ConditionStatus::False, "Progressing");
        self.pass(self.applied_at);
        self.stand(generation, ConditionStatus::True, "Ready");
        self.status.ready_revision = Some(generation);
        self.pass(self.applied_at + SignedDuration::from_mins(10));
    }

    fn page(&self) -> String {
        let families = self.metrics.registry().gather();
        TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[track_caller]
    fn shows(&self, lines: &[&str]) {
        let page = self.page();
        for line in lines {
            let found = page.lines().any(|found| found == *line);
            assert!(found, "{line} is missing in\n{page}");
        }
    }

    /// How many series this Release has.
    fn series(&self) -> usize {
        let page = self.page();
        let own = page
            .lines()
            .filter(|line| line.contains(r#"release="rails""#));
        own.count()
    }
}

fn rollout(service: &str, state: &str, from: i64, to: i64) -> Step {
    let rollout = json!({
        "service": service, "revision": 1, "target": "arn", "state": state,
        "requestedAt": minutes(from), "finishedAt": minutes(to),
    });
    Step::RecordRollout(serde_json::from_value(rollout).unwrap())
}

/// A rollout that led back from a revision that was rejected.
fn back(state: &str) -> Step {
    let Step::RecordRollout(rollout) = rollout("app", state, 0, 0) else {
        panic!("a rollout is recorded");
    };
    Step::RecordRollout(Box::new(Rollout {
        back: true,
        finished_at: None,
        ..*rollout
    }))
}

fn migration(name: &str, state: &str, from: i64, to: i64) -> Step {
    let run = json!({
        "migration": name, "runKey": "k", "revision": 1, "attempt": 1, "state": state,
        "cluster": "c", "startedBy": "s", "clientToken": "t", "timeoutSeconds": 900,
        "intendedAt": minutes(from), "startedAt": minutes(from), "finishedAt": minutes(to),
    });
    Step::RecordMigration(serde_json::from_value(run).unwrap())
}

fn put_rule() -> Step {
    Step::PutRule { input: json!({}) }
}

fn difference(resource: &str, action: DifferenceAction, first_seen: Timestamp) -> Difference {
    Difference {
        resource: resource.to_owned(),
        field: "ScheduleExpression".to_owned(),
        desired: "rate(1 day)".to_owned(),
        actual: "rate(1 minute)".to_owned(),
        first_seen,
        action,
    }
}

#[test]
fn how_a_release_stands_is_told_in_one_series_each() {
    let mut scene = Scene::new();
    scene.status.revision = Some(3);
    scene.stand(7, ConditionStatus::False, "Suspended");
    scene.pass(minutes(1));
    scene.shows(&[
        r#"evenkeel_release_info{generation="7",namespace="production",release="rails",revision="3"} 1"#,
        r#"evenkeel_release_condition{namespace="production",release="rails",status="False",type="Ready"} 1"#,
        r#"evenkeel_release_condition{namespace="production",release="rails",status="True",type="Ready"} 0"#,
        r#"evenkeel_release_suspended{namespace="production",release="rails"} 1"#,
        r#"evenkeel_last_observed_timestamp_seconds{namespace="production",release="rails"} 1772359260"#,
    ]);
    // What could not be looked at was not observed, however surely it stands so.
    scene.stand(8, ConditionStatus::False, "AccessDenied");
    scene.observed = false;
    scene.pass(minutes(2));
    scene.shows(&[
        r#"evenkeel_release_info{generation="8",namespace="production",release="rails",revision="3"} 1"#,
        r#"evenkeel_release_suspended{namespace="production",release="rails"} 0"#,
        r#"evenkeel_last_observed_timestamp_seconds{namespace="production",release="rails"} 1772359260"#,
    ]);
    assert_eq!(scene.page().matches("evenkeel_release_info{").count(), 1);
}

#[test]
fn drift_is_counted_dated_and_forgotten_when_it_is_gone() {
    let mut scene = Scene::new();
    scene.stand(1, ConditionStatus::True, "Ready");
    scene.status.drift = DriftStatus {
        differences: vec![
            difference("schedule/a", DifferenceAction::Corrected, minutes(2)),
            difference("schedule/b", DifferenceAction::Reported, minutes(1)),
        ],
        corrections: Vec::new(),
    };
    // Several calls put one rule right; that which is only told is not put right.
    scene.act("schedule/a", put_rule());
    scene.act("schedule/a", put_rule());
    scene.act("schedule/b", put_rule());
    scene.pass(minutes(3));
    scene.shows(&[
        r#"evenkeel_drift_differences{namespace="production",release="rails",resource_kind="schedule"} 2"#,
        r#"evenkeel_drift_differences{namespace="production",release="rails",resource_kind="service"} 0"#,
        r#"evenkeel_drift_since_timestamp_seconds{namespace="production",release="rails"} 1772359260"#,
        r#"evenkeel_drift_corrections_total{namespace="production",release="rails",resource_kind="schedule"} 1"#,
        r#"evenkeel_drift_corrections_total{namespace="production",release="rails",resource_kind="service"} 0"#,
    ]);
    // The correction is told for a while; it was made once.
    scene.pass(minutes(4));
    scene.status.drift = DriftStatus::default();
    scene.pass(minutes(5));
    scene.shows(&[
        r#"evenkeel_drift_differences{namespace="production",release="rails",resource_kind="schedule"} 0"#,
        r#"evenkeel_drift_corrections_total{namespace="production",release="rails",resource_kind="schedule"} 1"#,
    ]);
    assert!(
        !scene
            .page()
            .contains("evenkeel_drift_since_timestamp_seconds{")
    );
}

#[test]
fn migrations_and_rollouts_are_counted_and_timed() {
    let scene = Scene::new();
    scene.act("migration/db", migration("db", "Started", 0, 0));
    scene.act("migration/db", migration("db", "Succeeded", 0, 4));
    scene.act("migration/db", migration("db", "Failed", 0, 4));
    scene.act("service/app", rollout("app", "Requested", 0, 0));
    scene.act("service/app", rollout("app", "Succeeded", 0, 2));
    scene.act("service/app", rollout("app", "Superseded", 0, 2));
    scene.act("service/app", back("Succeeded"));
    scene.act("service/app", back("Failed"));
    scene.shows(&[
        r#"evenkeel_migration_runs_total{migration="db",namespace="production",outcome="succeeded",release="rails"} 1"#,
        r#"evenkeel_migration_runs_total{migration="db",namespace="production",outcome="failed",release="rails"} 1"#,
        r#"evenkeel_migration_duration_seconds_sum{migration="db",namespace="production",release="rails"} 480"#,
        r#"evenkeel_rollouts_total{namespace="production",outcome="succeeded",release="rails",service="app"} 1"#,
        r#"evenkeel_rollouts_total{namespace="production",outcome="superseded",release="rails",service="app"} 1"#,
        r#"evenkeel_rollouts_total{namespace="production",outcome="rolled_back",release="rails",service="app"} 1"#,
        r#"evenkeel_rollouts_total{namespace="production",outcome="rollback_failed",release="rails",service="app"} 1"#,
        r#"evenkeel_rollout_duration_seconds_sum{namespace="production",release="rails",service="app"} 240"#,
    ]);
    assert!(!scene.page().contains("arn"), "{}", scene.page());
}

const LEAD: &str = r#"evenkeel_change_lead_time_seconds_"#;

#[test]
fn lead_time_is_taken_once_for_each_generation_that_becomes_ready() {
    let mut scene = Scene::new();
    let lead = |scene: &Scene, count: u64, sum: u64| {
        let labels = r#"{namespace="production",release="rails"}"#;
        scene.shows(&[
            &format!("{LEAD}count{labels} {count}"),
            &format!("{LEAD}sum{labels} {sum}"),
        ]);
    };
    scene.release(1);
    lead(&scene, 1, 600);
    // It drifts, and is Ready again: nobody applied anything.
    scene.stand(1, ConditionStatus::False, "Drifted");
    scene.pass(minutes(300));
    scene.stand(1, ConditionStatus::True, "Ready");
    scene.pass(minutes(301));
    lead(&scene, 1, 600);
    // The next generation needs nothing but a look.
    scene.applied_at = minutes(400);
    scene.stand(2, ConditionStatus::True, "Ready");
    scene.pass(minutes(401));
    lead(&scene, 2, 660);
}

#[test]
fn what_was_ready_before_this_process_began_has_no_lead_time() {
    let mut ready = Scene::new();
    ready.stand(5, ConditionStatus::True, "Ready");
    ready.pass(minutes(9000));
    let mut drifted = Scene::new();
    drifted.status.revision = Some(4);
    drifted.status.ready_revision = Some(4);
    drifted.stand(5, ConditionStatus::False, "Drifted");
    drifted.pass(minutes(9000));
    drifted.stand(5, ConditionStatus::True, "Ready");
    drifted.pass(minutes(9001));
    for scene in [ready, drifted] {
        assert!(!scene.page().contains(LEAD), "{}", scene.page());
    }
}

#[test]
fn a_thousand_generations_leave_no_more_series_than_one() {
    let mut scene = Scene::new();
    let mut after = |generation: u64| {
        // Even where each brings a migration and a service of a new name.
        let name = format!("part-{generation}");
        scene.act("migration/x", migration(&name, "Succeeded", 0, 1));
        scene.act("service/x", rollout(&name, "Succeeded", 0, 1));
        scene.status.migrations = vec![MigrationStatus {
            name: name.clone(),
            ..MigrationStatus::default()
        }];
        scene.status.services = vec![ServiceStatus {
            name,
            ..ServiceStatus::default()
        }];
        scene.release(generation);
        scene.series()
    };
    let first = after(1);
    assert!(first > 40, "{first}");
    for generation in 2..1000 {
        after(generation);
    }
    assert_eq!(after(1000), first);
}

#[test]
fn a_release_that_is_gone_takes_all_of_its_series_with_it() {
    let mut scene = Scene::new();
    scene.act("migration/db", migration("db", "Succeeded", 0, 1));
    scene.act("service/app", rollout("app", "Failed", 0, 1));
    scene.status.drift.differences =
        vec![difference("image/app", DifferenceAction::Reported, start())];
    scene.release(1);
    scene.metrics.observe(&Happening {
        at: start(),
        release: ReleaseKey::new("production", "other"),
        what: What::Passed {
            plan: Box::default(),
            failed: false,
            observed: true,
            generation: None,
            applied_at: None,
        },
    });
    scene.tell(minutes(1), What::Gone);
    assert_eq!(scene.series(), 0, "{}", scene.page());
    assert!(scene.page().contains(r#"release="other""#), "only its own");
    // One of the same name begins anew.
    scene.status = ReleaseStatus::default();
    scene.release(1);
    scene.shows(&[&format!(
        r#"{LEAD}count{{namespace="production",release="rails"}} 1"#
    )]);
}
