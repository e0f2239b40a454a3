//! Services that ECS rolls out blue/green, in steps, or with a canary.

use std::collections::BTreeSet;

use evenkeel::resource::status::{Cause, PartState};
use serde_json::{Value, json};

use super::{configured, described, rollout, stage, told, watched};
use crate::shop::{Stands, crash, hold, key, minutes, pass, pinned, rules, seconds, stalled, web};
use crate::world::World;

fn blue_green() -> Value {
    json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3})
}

fn linear() -> Value {
    json!({
        "strategy": "LINEAR", "bakeTimeInMinutes": 3,
        "linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 3},
    })
}

fn canary() -> Value {
    json!({
        "strategy": "CANARY", "bakeTimeInMinutes": 3,
        "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 5},
    })
}

fn hooked(target: &str, at: &str) -> Value {
    let mut configuration = blue_green();
    let mut hook = json!({"targetType": target, "lifecycleStages": [at]});
    if target == "AWS_LAMBDA" {
        hook["hookTargetArn"] =
            json!("arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test");
        hook["roleArn"] = json!("arn:aws:iam::123456789012:role/ecs-hooks");
    }
    configuration["lifecycleHooks"] = json!([hook]);
    configuration
}

/// ECS took the release back, and nothing was pointed anywhere but by the release itself.
async fn is_back(world: &World) {
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:2"]);
    assert_eq!(world.runs("shop", "web"), "web:1");
}

#[tokio::test(start_paused = true)]
async fn each_strategy_brings_the_release_through_its_stages() {
    for (configuration, percents) in [
        (blue_green(), vec![0.0, 100.0]),
        (linear(), vec![0.0, 25.0, 50.0, 75.0, 100.0]),
        (canary(), vec![0.0, 10.0, 100.0]),
    ] {
        let world = configured(configuration.clone()).await;
        world.put(&web("v2")).await;
        let seen = watched(&world, 90).await;
        let stages: BTreeSet<String> = seen.iter().filter_map(|it| it.stage.clone()).collect();
        // Those that are over in a few seconds may be missed.
        let shifts = configuration["strategy"] != "BLUE_GREEN";
        let long = ["BAKE_TIME", "PRODUCTION_TRAFFIC_SHIFT"];
        for stage in &long[..if shifts { 2 } else { 1 }] {
            assert!(stages.contains(*stage), "{configuration}: {stages:?}");
        }
        let mut shown: Vec<f64> = seen.iter().filter_map(|it| it.traffic_percent).collect();
        shown.dedup();
        assert_eq!(shown, percents, "{configuration}");
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.moves(), ["web -> web:2"]);
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));
        let part = told(&world).await;
        assert_eq!(part.strategy.as_deref(), configuration["strategy"].as_str());
        assert_eq!((part.stage, part.traffic_percent), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_steady_does_not_count_before_ecs_says_so() {
    let world = configured(blue_green()).await;
    world.put(&web("v2")).await;
    world.run_for(seconds(60)).await;
    // All of its tasks run; traffic went over, and ECS may still take it back.
    let part = told(&world).await;
    assert_eq!(part.stage.as_deref(), Some("BAKE_TIME"), "{part:?}");
    assert_eq!(part.running_count, part.desired_count);
    assert_eq!(part.state, PartState::Progressing);
    let message = part.message.unwrap_or_default();
    assert!(message.contains("BAKE_TIME"), "{message}");
    assert!(described(&world)["deployments"][0]["rolloutState"].is_null());
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_any_stage_is_gone_back_from() {
    for at in [
        "PRE_SCALE_UP",
        "SCALE_UP",
        "POST_SCALE_UP",
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
        "BAKE_TIME",
        "CLEAN_UP",
    ] {
        let world = configured(canary()).await;
        stage(&world, at, &json!({"fails": {"reason": "a test said so"}}));
        world.put(&web("v2")).await;
        is_back(&world).await;
        let why = world.why(&key()).await;
        assert!(why.contains("a test said so"), "{at}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_fails_the_rollout() {
    let world = configured(hooked("AWS_LAMBDA", "POST_SCALE_UP")).await;
    stage(
        &world,
        "POST_SCALE_UP",
        &json!({"hooks": {"status": "FAILED"}}),
    );
    world.put(&web("v2")).await;
    is_back(&world).await;
    let why = world.why(&key()).await;
    assert!(why.contains("lifecycle hook"), "{why}");
    // Another try goes well once the hook is content.
    rules(&world, &json!([]));
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_ends_is_ended_by_the_timeout_of_the_rollout() {
    let world = configured(hooked("AWS_LAMBDA", "POST_SCALE_UP")).await;
    stage(
        &world,
        "POST_SCALE_UP",
        &json!({"hooks": {"status": "IN_PROGRESS"}}),
    );
    world.put(&web("v2")).await;
    is_back(&world).await;
    assert_eq!(world.sent("StopServiceDeployment").len(), 1);
    assert_eq!(
        rollout(&world).await.target.rsplit('/').next(),
        Some("web:1")
    );
    let rollback = world.status(&key()).await.rollback.expect("a way back");
    assert_eq!(rollback.cause, Cause::Timeout);
    // Six minutes of its own, and the three that ECS is told to wait.
    assert!(world.why(&key()).await.contains("within 9m"));
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_have_a_timeout_of_its_own() {
    let mut configuration = hooked("AWS_LAMBDA", "POST_SCALE_UP");
    configuration["lifecycleHooks"][0]["timeoutConfiguration"] =
        json!({"timeoutInMinutes": 2, "action": "ROLLBACK"});
    let world = configured(configuration).await;
    stage(
        &world,
        "POST_SCALE_UP",
        &json!({"hooks": {"status": "IN_PROGRESS"}}),
    );
    world.put(&web("v2")).await;
    is_back(&world).await;
    assert_eq!(world.sent("StopServiceDeployment").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_crash_never_get_any_traffic() {
    let world = configured(blue_green()).await;
    crash(&world, "bad");
    world.put(&web("bad")).await;
    is_back(&world).await;
    let rollback = world.status(&key()).await.rollback.expect("a way back");
    assert_eq!(rollback.cause, Cause::Timeout);
    let evidence = told(&world).await.evidence;
    assert!(!evidence.tasks.is_empty(), "{evidence:?}");
}

#[tokio::test(start_paused = true)]
async fn where_it_is_meant_to_stay_nothing_is_stopped() {
    let world = configured(hooked("AWS_LAMBDA", "POST_SCALE_UP")).await;
    stage(
        &world,
        "POST_SCALE_UP",
        &json!({"hooks": {"status": "FAILED"}}),
    );
    world.put(&hold(web("v2"))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn stages_that_nobody_looked_at_are_no_obstacle() {
    let world = configured(linear()).await;
    world.put(&web("v2")).await;
    world.run_for(seconds(10)).await;
    pass(minutes(60)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_nobody_knows_goes_on() {
    let world = configured(hooked("AWS_LAMBDA", "PRE_PRODUCTION_TRAFFIC_SHIFT")).await;
    stage(
        &world,
        "BAKE_TIME",
        &json!({"shows": {"stage": "STAGE_OF_NEXT_YEAR"}}),
    );
    world.put(&web("v2")).await;
    let seen = watched(&world, 30).await;
    let stages: BTreeSet<String> = seen.iter().filter_map(|it| it.stage.clone()).collect();
    assert!(stages.contains("STAGE_OF_NEXT_YEAR"), "{stages:?}");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_fix_takes_the_place_of_what_is_in_its_stages() {
    let world = configured(blue_green()).await;
    world.put(&web("v2")).await;
    world.run_for(seconds(60)).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.moves(), ["web -> web:2", "web -> web:3"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed_anew_by_hand_is_no_obstacle() {
    let world = configured(blue_green()).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    super::update(&world, &json!({"forceNewDeployment": true}));
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.moves(), ["web -> web:2", "web -> web:3"]);
}

#[tokio::test(start_paused = true)]
async fn reads_may_lag_behind() {
    let world = configured(canary()).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(12));
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2"]);
}
