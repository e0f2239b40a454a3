//! Bakes and alarms: what ECS calls successful counts once it stayed so, and its alarms quiet.

use evenkeel::model::ledger::{RevisionOutcome, Rollout, RolloutState};
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{Cause, PartState, ServiceStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, key, merge, minutes, pass, pinned, release, rules, schedule, seconds,
    service, shop, stalled,
};
use crate::world::World;

/// A service that bakes for five minutes and has an alarm.
fn baked(name: &str) -> Value {
    let mut service = service(name);
    merge(
        &mut service,
        &json!({"rollout": {"bake": "5m", "alarms": ["errors"]}}),
    );
    service
}

/// The release with one service that bakes, under a tag.
fn bake(tag: &str) -> Value {
    release("web", tag, &json!({"services": [baked("web")]}))
}

/// Makes an alarm, or sets the state of one that is there.
pub fn alarm(world: &World, name: &str, state: &str) {
    let there = world.aws(
        "cloudwatch",
        "DescribeAlarms",
        json!({"AlarmNames": [name]}),
    );
    if there["MetricAlarms"].as_array().is_none_or(Vec::is_empty) {
        let input = json!({
            "AlarmName": name, "Namespace": "AWS/ApplicationELB",
            "MetricName": "HTTPCode_Target_5XX_Count", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold",
        });
        world.aws("cloudwatch", "PutMetricAlarm", input);
    }
    let input = json!({
        "AlarmName": name, "StateValue": state,
        "StateReason": format!("Threshold Crossed: {name} is {state}."),
    });
    world.aws("cloudwatch", "SetAlarmState", input);
}

/// The shop with the alarm quiet.
async fn watched() -> World {
    let world = shop(Breaker::Rollback).await;
    alarm(&world, "errors", "OK");
    world
}

async fn rollout(world: &World, service: &str) -> Option<Rollout> {
    world.ledger(&key()).await.rollouts.get(service).cloned()
}

async fn told(world: &World, service: &str) -> ServiceStatus {
    let status = world.status(&key()).await;
    let part = status.services.iter().find(|part| part.name == service);
    part.cloned().unwrap_or_default()
}

/// Runs the controller until the service bakes.
async fn until_it_bakes(world: &World, service: &str) -> Timestamp {
    for _ in 0..60 {
        world.run_for(seconds(5)).await;
        if let Some(until) = told(world, service).await.baking_until {
            return until;
        }
    }
    panic!("{service} never bakes: {:#?}", world.status(&key()).await);
}

/// Runs the controller while something else goes on beside it.
async fn beside(world: &World, other: impl Future<Output = ()>) -> Stands {
    let key = key();
    let (stands, ()) = tokio::join!(world.run(&key), other);
    stands
}

/// Nothing is written in an hour to come.
async fn nothing_goes_on(world: &World) {
    world.sandbox.reset_calls();
    world.resync(&key(), minutes(60), minutes(10)).await;
    assert_eq!(world.writes(), [] as [&str; 0]);
}

/// Whether two moments are the same but for the time that calls take.
fn is_about(moment: Option<Timestamp>, other: Timestamp) -> bool {
    moment.is_some_and(|moment| moment.duration_since(other).as_secs() == 0)
}

#[tokio::test(start_paused = true)]
async fn a_service_counts_once_it_was_steady_for_its_bake() {
    let world = watched().await;
    let mut spec = bake("v2");
    spec["spec"]["schedules"] = json!([schedule("nightly", "rate(1 day)")]);
    world.put(&spec).await;
    let until = until_it_bakes(&world, "web").await;
    let since = rollout(&world, "web").await.and_then(|it| it.steady_since);
    assert!(
        is_about(since, until - SignedDuration::from_mins(5)),
        "{since:?}"
    );
    let part = told(&world, "web").await;
    assert_eq!(part.state, PartState::Progressing);
    let message = part.message.unwrap_or_default();
    assert!(message.contains("steady for 5m"), "{message}");
    let reconciling = world.condition(&key(), ConditionType::Reconciling).await;
    assert_eq!(reconciling.map(|it| it.reason), Some("Baking".to_owned()));

    // Nothing is written but the end of it, to the second; what comes after waits for it.
    world.sandbox.reset_calls();
    let left = until.duration_since(world.sandbox.now()).unsigned_abs() - seconds(1);
    world.run_for(left).await;
    assert_eq!(world.writes(), [] as [&str; 0]);
    assert!(!world.has_rule("shop-web-nightly"));
    world.run_for(seconds(10)).await;
    let ended = rollout(&world, "web").await.expect("a rollout");
    assert_eq!(ended.state, RolloutState::Succeeded);
    assert!(is_about(ended.finished_at, until), "{ended:?}");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(world.has_rule("shop-web-nightly"));
    assert_eq!(told(&world, "web").await.baking_until, None);
    nothing_goes_on(&world).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_bake_an_alarm_is_watched_for_as_long_as_the_rollout() {
    let world = watched().await;
    let mut spec = bake("v2");
    spec["spec"]["services"][0]["rollout"]["bake"] = json!("0s");
    world.put(&spec).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // An alarm of a release that is Ready is nobody's business here.
    alarm(&world, "errors", "ALARM");
    world.sandbox.reset_calls();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.called("cloudwatch.DescribeAlarms"), 0);

    alarm(&world, "errors", "OK");
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "3m"}}}]);
    rules(&world, &slow);
    let mut spec = spec.clone();
    spec["spec"]["images"]["web"]["tag"] = json!("v3");
    world.put(&spec).await;
    let stands = beside(&world, async {
        pass(minutes(1)).await;
        alarm(&world, "errors", "ALARM");
    })
    .await;
    assert_eq!(stands, stalled("RolledBack"));
    let cause = world.status(&key()).await.rollback.map(|it| it.cause);
    assert_eq!(cause, Some(Cause::Alarm));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_dies_in_the_bake_begins_it_anew() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    let first = until_it_bakes(&world, "web").await;
    world.run_for(minutes(2)).await;
    let tasks = world.tasks_of(CLUSTER, "web");
    for task in tasks {
        world.aws("ecs", "StopTask", json!({"cluster": CLUSTER, "task": task}));
    }
    world.run_for(seconds(10)).await;
    let part = told(&world, "web").await;
    assert_eq!(
        (part.state, part.baking_until),
        (PartState::Progressing, None)
    );
    let message = part.message.unwrap_or_default();
    assert!(message.starts_with("0 of 1 tasks run"), "{message}");
    let second = until_it_bakes(&world, "web").await;
    assert!(second.duration_since(first) > SignedDuration::from_mins(2));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(world.sandbox.now() >= second);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_die_again_and_again_fail_the_bake_in_the_end() {
    let world = watched().await;
    // Healthy for a while each time: the breaker has nothing to say.
    let dies = json!([{"when": {"image": "web:v2"}, "then": {"crash": {"after": "100s"}}}]);
    rules(&world, &dies);
    world.put(&bake("v2")).await;
    let before = world.sandbox.now();
    assert_eq!(world.run(&key()).await, stalled("RolledBack"));
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!((11..15).contains(&took), "{took}");
    let why = world.why(&key()).await;
    assert!(why.contains("did not stay steady within 11m"), "{why}");
    let cause = world.status(&key()).await.rollback.map(|it| it.cause);
    assert_eq!(cause, Some(Cause::Timeout));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_in_the_bake_rejects_the_revision_for_good() {
    let world = watched().await;
    let mut spec = bake("v2");
    let mut worker = service("worker");
    worker["dependsOn"] = json!(["web"]);
    spec["spec"]["services"] = json!([baked("web"), worker]);
    world.put(&spec).await;
    until_it_bakes(&world, "web").await;
    alarm(&world, "errors", "ALARM");
    assert_eq!(world.run(&key()).await, stalled("RolledBack"));
    let why = world.why(&key()).await;
    let named = "service/web: alarm errors is in ALARM: Threshold Crossed: errors is ALARM";
    assert!(why.contains(named), "{why}");
    let cause = world.status(&key()).await.rollback.map(|it| it.cause);
    assert_eq!(cause, Some(Cause::Alarm));
    let revisions = world.ledger(&key()).await.revisions;
    assert_eq!(revisions[&1].outcome, RevisionOutcome::Rejected);
    let worker = rollout(&world, "worker").await;
    assert!(worker.is_none_or(|it| it.back), "it was never moved");
    // Once it is quiet again nothing is tried by itself.
    alarm(&world, "errors", "OK");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    nothing_goes_on(&world).await;
}

#[tokio::test(start_paused = true)]
async fn another_try_after_an_alarm_bakes_anew() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    until_it_bakes(&world, "web").await;
    alarm(&world, "errors", "ALARM");
    assert_eq!(world.run(&key()).await, stalled("RolledBack"));
    alarm(&world, "errors", "OK");
    pass(minutes(30)).await;
    world.retry(&key()).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let took = world.sandbox.now().duration_since(before);
    assert!(took >= SignedDuration::from_mins(5), "{took:#}");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_active_already_is_waited_for() {
    let world = watched().await;
    alarm(&world, "errors", "ALARM");
    world.put(&bake("v2")).await;
    let stands = beside(&world, async {
        pass(minutes(4)).await;
        assert_eq!(world.moves(), [] as [&str; 0]);
        let told = world.condition(&key(), ConditionType::Reconciling).await;
        let told = told.expect("it waits");
        assert_eq!(told.reason, "AlarmActive");
        assert!(
            told.message.contains("alarm errors is in ALARM"),
            "{}",
            told.message
        );
        alarm(&world, "errors", "INSUFFICIENT_DATA");
    })
    .await;
    assert_eq!(stands, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_stays_active_stalls_and_goes_on_by_itself() {
    let world = watched().await;
    alarm(&world, "errors", "ALARM");
    world.put(&bake("v2")).await;
    assert_eq!(world.settle(&key()).await, stalled("AlarmActive"));
    assert_eq!(world.moves(), [] as [&str; 0]);
    nothing_goes_on(&world).await;
    alarm(&world, "errors", "OK");
    world.run_for(minutes(10)).await;
    assert_eq!(
        world.is(&key(), ConditionType::Ready).await,
        Some(ConditionStatus::True)
    );
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_does_not_exist_stops_everything_before_it_begins() {
    let world = shop(Breaker::Rollback).await;
    let mut spec = bake("v2");
    spec["spec"]["migrations"] =
        json!([{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}]);
    world.put(&spec).await;
    assert_eq!(world.settle(&key()).await, stalled("AlarmNotFound"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let why = world.why(&key()).await;
    assert!(why.contains("alarm errors does not exist"), "{why}");
    alarm(&world, "errors", "OK");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_composite_alarm_is_an_alarm() {
    let world = shop(Breaker::Rollback).await;
    let input = json!({"AlarmName": "errors", "AlarmRule": "ALARM(\"a\") OR ALARM(\"b\")"});
    world.aws("cloudwatch", "PutCompositeAlarm", input);
    world.put(&bake("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_bake_does_not_end_while_its_alarm_may_not_be_read() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    until_it_bakes(&world, "web").await;
    world.deny(&["cloudwatch:DescribeAlarms"]);
    pass(minutes(20)).await;
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    let why = world.why(&key()).await;
    assert!(why.contains("cloudwatch:DescribeAlarms"), "{why}");
    let state = rollout(&world, "web").await.map(|it| it.state);
    assert_eq!(state, Some(RolloutState::Requested));
    nothing_goes_on(&world).await;
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_while_an_alarm_cannot_be_read() {
    let world = watched().await;
    world.deny(&["cloudwatch:*"]);
    world.put(&bake("v2")).await;
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_bake_neither_loses_nor_prolongs_it() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    let until = until_it_bakes(&world, "web").await;
    // Each time a controller of its own.
    for _ in 0..4 {
        world.run_for(seconds(30)).await;
        pass(seconds(5)).await;
        let told = told(&world, "web").await.baking_until;
        assert!(is_about(told, until), "{told:?}");
    }
    assert_eq!(world.run(&key()).await, Stands::Ready);
    let finished = rollout(&world, "web").await.and_then(|it| it.finished_at);
    assert!(is_about(finished, until), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_ends_a_bake_at_once() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    until_it_bakes(&world, "web").await;
    world.put(&bake("v3")).await;
    let stands = beside(&world, async {
        pass(seconds(45)).await;
        assert_eq!(world.moves(), ["web -> web:2", "web -> web:3"]);
    })
    .await;
    assert_eq!(stands, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let revisions = world.ledger(&key()).await.revisions;
    assert_eq!(revisions[&1].outcome, RevisionOutcome::Superseded);
}

#[tokio::test(start_paused = true)]
async fn waves_wait_for_the_bake_of_what_goes_before() {
    let world = watched().await;
    let mut worker = baked("worker");
    worker["dependsOn"] = json!(["web"]);
    world
        .put(&release(
            "web",
            "v2",
            &json!({"services": [worker, baked("web")]}),
        ))
        .await;
    let first = until_it_bakes(&world, "web").await;
    assert_eq!(world.moves(), ["web -> web:2"]);
    world.run_for(minutes(4)).await;
    assert_eq!(world.moves(), ["web -> web:2"]);
    let second = until_it_bakes(&world, "worker").await;
    assert!(second > first + SignedDuration::from_mins(5));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(world.sandbox.now() >= second);
}

#[tokio::test(start_paused = true)]
async fn putting_drift_right_neither_bakes_nor_asks_an_alarm() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    alarm(&world, "errors", "ALARM");
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let took = world.sandbox.now().duration_since(before);
    assert!(took < SignedDuration::from_mins(4), "{took:#}");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_runs_its_target_already_does_not_bake() {
    let world = watched().await;
    let mut same = bake("v1");
    same["spec"]["images"]["web"]["pin"] = json!("Tag");
    world.put(&same).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let took = world.sandbox.now().duration_since(before);
    assert!(took < SignedDuration::from_mins(1), "{took:#}");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_calls_in_a_bake_is_small() {
    let world = watched().await;
    world.put(&bake("v2")).await;
    until_it_bakes(&world, "web").await;
    world.sandbox.reset_calls();
    world.run_for(minutes(4)).await;
    let asked = |name: &str| world.called(name);
    assert_eq!(asked("ecs.ListServiceDeployments"), 0);
    let looks = asked("cloudwatch.DescribeAlarms");
    assert!((40..60).contains(&looks), "{looks}");
    assert_eq!(asked("ecs.UpdateService"), 0);
}
