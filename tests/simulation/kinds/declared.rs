//! A deployment strategy that the manifest declares.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use serde_json::{Value, json};

use super::{balanced, configured, described, told, update};
use crate::shop::{
    Stands, environment, key, merge, minutes, pass, pinned, release, service, stalled,
};
use crate::world::World;

fn declaring(tag: &str, rollout: &Value) -> Value {
    let mut service = service("web");
    merge(&mut service, &json!({"rollout": rollout}));
    release("web", tag, &json!({"services": [service]}))
}

fn blue_green() -> Value {
    json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 2})
}

/// The deploymentConfiguration of `web`.
fn configuration(world: &World) -> Value {
    described(world)["deploymentConfiguration"].clone()
}

/// The shop with this declared and Ready on v2, and the log emptied.
async fn declared(rollout: &Value) -> World {
    let world = balanced().await;
    world.put(&declaring("v2", rollout)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn the_strategy_is_set_with_the_move_and_nothing_else_changes() {
    let world = balanced().await;
    update(
        &world,
        &json!({"deploymentConfiguration": {
            "maximumPercent": 150, "deploymentCircuitBreaker": {"enable": true, "rollback": true},
        }}),
    );
    let mut before = configuration(&world);
    world.put(&declaring("v2", &blue_green())).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let sent = world.sent("UpdateService");
    assert_eq!(sent.len(), 1, "{sent:?}");
    merge(&mut before, &blue_green());
    assert_eq!(sent[0]["deploymentConfiguration"], before);
    assert_eq!(configuration(&world), before);
    assert_eq!(told(&world).await.strategy.as_deref(), Some("BLUE_GREEN"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn every_strategy_can_be_declared_after_every_other() {
    let world = balanced().await;
    for (tag, rollout) in [
        (
            "v1",
            json!({"strategy": "LINEAR", "linear": {"stepPercent": 50, "stepBakeTimeInMinutes": 1}}),
        ),
        (
            "v2",
            json!({"strategy": "CANARY", "bakeTimeInMinutes": 1, "canary": {"canaryPercent": 0.5, "canaryBakeTimeInMinutes": 2}}),
        ),
        (
            "v3",
            json!({"strategy": "LINEAR", "linear": {"stepPercent": 33.3}}),
        ),
        ("v4", blue_green()),
        ("v1", json!({"strategy": "ROLLING", "bakeTimeInMinutes": 0})),
    ] {
        world.put(&declaring(tag, &rollout)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{rollout}");
        let found = configuration(&world);
        assert_eq!(found["strategy"], rollout["strategy"]);
        for (declared, member) in [
            ("linear", "linearConfiguration"),
            ("canary", "canaryConfiguration"),
        ] {
            for (name, value) in rollout[declared].as_object().into_iter().flatten() {
                assert_eq!(found[member][name].as_f64(), value.as_f64(), "{found}");
            }
        }
        assert_eq!(world.image_of("web"), pinned(&world, tag));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_strategy_alone_deploys_nothing() {
    let world = declared(&json!({"strategy": "ROLLING"})).await;
    let before = described(&world)["deployments"][0]["id"].clone();
    world.put(&declaring("v2", &blue_green())).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let sent = world.sent("UpdateService");
    assert_eq!(sent.len(), 1);
    assert!(sent[0].get("taskDefinition").is_none(), "{sent:?}");
    assert_eq!(configuration(&world)["strategy"], "BLUE_GREEN");
    assert_eq!(described(&world)["deployments"][0]["id"], before);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_declared_is_nobodys_business() {
    let world = declared(&blue_green()).await;
    update(
        &world,
        &json!({"deploymentConfiguration": {"maximumPercent": 150, "alarms": {
            "alarmNames": ["errors"], "enable": true, "rollback": false,
        }}}),
    );
    pass(minutes(1)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), Vec::<String>::new());
    assert_eq!(configuration(&world)["maximumPercent"], 150);
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_and_differs_is_put_right() {
    let world = declared(&blue_green()).await;
    update(
        &world,
        &json!({"deploymentConfiguration": {"bakeTimeInMinutes": 30, "maximumPercent": 150}}),
    );
    let id = described(&world)["deployments"][0]["id"].clone();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let sent = world.sent("UpdateService");
    assert_eq!(sent.len(), 1);
    let found = configuration(&world);
    assert_eq!(
        (&found["bakeTimeInMinutes"], &found["maximumPercent"]),
        (&json!(2), &json!(150))
    );
    assert_eq!(described(&world)["deployments"][0]["id"], id);
}

#[tokio::test(start_paused = true)]
async fn drift_is_only_told_where_that_is_wished() {
    let world = declared(&blue_green()).await;
    world
        .put(&environment(&json!({"drift": {"policy": "Report"}})))
        .await;
    update(
        &world,
        &json!({"deploymentConfiguration": {"strategy": "ROLLING"}}),
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::True)
    );
    let found = world.differences(&key()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].field, "deploymentConfiguration.strategy");
    assert_eq!(
        (found[0].desired.as_str(), found[0].actual.as_str()),
        ("BLUE_GREEN", "ROLLING")
    );
    assert_eq!(world.aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_ecs_refuses_is_told_in_its_words_and_nothing_moves() {
    let world = crate::shop::shop(crate::shop::Breaker::Off).await;
    world.put(&declaring("v2", &blue_green())).await;
    assert_eq!(world.run(&key()).await, stalled("Refused"));
    let why = world.why(&key()).await;
    assert!(why.contains("advancedConfiguration"), "{why}");
    assert_eq!(world.runs("shop", "web"), "web:1");
    // It is no fault of the image: once the balancer is there, the same goes on.
    update(&world, &json!({"loadBalancers": super::balancer()}));
    pass(minutes(5)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn going_back_keeps_the_strategy_that_there_is() {
    let world = configured(blue_green()).await;
    world.put(&declaring("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    super::stage(
        &world,
        "BAKE_TIME",
        &json!({"fails": {"reason": "a test said so"}}),
    );
    world
        .put(&declaring("v3", &json!({"strategy": "CANARY"})))
        .await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(configuration(&world)["strategy"], "CANARY");
    assert_eq!(world.sent("UpdateService").len(), 2);
}
