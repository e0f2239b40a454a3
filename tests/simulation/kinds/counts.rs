//! How many tasks a service has: declared, left to others, none, or one on each instance.

use evenkeel::resource::status::PartState;
use serde_json::{Value, json};

use super::{described, told, update};
use crate::shop::{
    Breaker, CLUSTER, Stands, crash, key, merge, minutes, pass, pinned, release, service, shop,
    stalled,
};
use crate::world::World;

fn counted(tag: &str, count: Option<u32>) -> Value {
    let mut service = service("web");
    if let Some(count) = count {
        merge(&mut service, &json!({"desiredCount": count}));
    }
    release("web", tag, &json!({"services": [service]}))
}

async fn delivered(count: Option<u32>) -> World {
    let world = shop(Breaker::Rollback).await;
    world.put(&counted("v2", count)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world
}

fn count(world: &World) -> u64 {
    described(world)["desiredCount"].as_u64().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn a_declared_count_comes_with_the_move() {
    let world = shop(Breaker::Rollback).await;
    world.put(&counted("v2", Some(3))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let sent = world.sent("UpdateService");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["desiredCount"], 3);
    assert!(sent[0].get("deploymentConfiguration").is_none(), "{sent:?}");
    assert_eq!(count(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn another_count_alone_deploys_nothing() {
    let world = delivered(Some(1)).await;
    let id = described(&world)["deployments"][0]["id"].clone();
    world.put(&counted("v2", Some(4))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("UpdateService").len(), 1);
    pass(minutes(2)).await;
    assert_eq!(described(&world)["runningCount"], 4);
    assert_eq!(described(&world)["deployments"][0]["id"], id);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_not_declared_is_autoscalings() {
    let world = delivered(None).await;
    update(&world, &json!({"desiredCount": 5}));
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), Vec::<String>::new());
    world.put(&counted("v3", None)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(count(&world), 5);
}

#[tokio::test(start_paused = true)]
async fn a_declared_count_that_differs_is_put_right_and_a_fight_is_told() {
    let world = delivered(Some(2)).await;
    update(&world, &json!({"desiredCount": 1}));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(count(&world), 2);
    // Something scales it each time.
    for _ in 0..5 {
        pass(minutes(2)).await;
        update(&world, &json!({"desiredCount": 7}));
        world.run(&key()).await;
    }
    assert_eq!(world.run(&key()).await, stalled("DriftFight"));
    let why = world.why(&key()).await;
    assert!(
        why.contains("desiredCount") && why.contains("autoscaling"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_without_tasks_is_rolled_out_by_ecs_record() {
    for bake in [false, true] {
        let world = shop(Breaker::Rollback).await;
        update(&world, &json!({"desiredCount": 0}));
        pass(minutes(2)).await;
        let mut object = counted("v2", None);
        if bake {
            object["spec"]["services"][0]["rollout"]["bake"] = json!("2m");
        }
        world.put(&object).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.moves(), ["web -> web:2"]);
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));
        assert_eq!(told(&world).await.state, PartState::Done);
        // It is brought to nothing by its manifest as well.
        object["spec"]["services"][0]["desiredCount"] = json!(0);
        world.put(&object).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(count(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_staged_service_without_tasks_waits_for_ecs_record() {
    let world = super::configured(json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3})).await;
    update(&world, &json!({"desiredCount": 0}));
    pass(minutes(2)).await;
    world.put(&counted("v2", None)).await;
    world.run_for(minutes(1)).await;
    assert_eq!(told(&world).await.state, PartState::Progressing);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn going_back_changes_no_count_that_was_not_declared() {
    for declared in [None, Some(2)] {
        let world = delivered(declared).await;
        crash(&world, "bad");
        world.put(&counted("bad", Some(6))).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));
        let left = declared.map_or(6, u64::from);
        assert_eq!(count(&world), left, "{declared:?}");
    }
}

/// The release of a service that ECS runs on each instance.
fn daemon(tag: &str, more: &Value) -> Value {
    let mut service = json!({"name": "agent", "images": {"job": "web"}});
    merge(&mut service, more);
    release("web", tag, &json!({"services": [service]}))
}

async fn with_daemon() -> World {
    let world = shop(Breaker::Off).await;
    let input = json!({
        "cluster": CLUSTER, "serviceName": "agent", "taskDefinition": "job", "launchType": "EC2",
        "schedulingStrategy": "DAEMON",
    });
    world.aws("ecs", "CreateService", input);
    pass(minutes(2)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_daemon_is_released_as_any_service() {
    let world = with_daemon().await;
    world
        .put(&daemon("v2", &json!({"rollout": {"bake": "1m"}})))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["agent -> job:2"]);
    let sent = world.sent("UpdateService");
    assert!(sent[0].get("desiredCount").is_none(), "{sent:?}");
    assert_eq!(
        world.image_in(&world.runs(CLUSTER, "agent"), "job"),
        pinned(&world, "v2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_daemon_has_no_count_of_its_own() {
    let world = with_daemon().await;
    world.put(&daemon("v2", &json!({"desiredCount": 2}))).await;
    assert_eq!(world.settle(&key()).await, stalled("DesiredCountOfDaemon"));
    let why = world.why(&key()).await;
    assert!(
        why.contains("DAEMON") && why.contains("desiredCount"),
        "{why}"
    );
    assert_eq!(world.aws_writes(), Vec::<String>::new());
    world.put(&daemon("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}
