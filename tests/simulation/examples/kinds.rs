//! Services of every kind.

use std::collections::BTreeSet;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::status::ServiceStatus;
use serde_json::{Value, json};

use super::{applied, image, key, push, release};
use crate::shop::{Stands, held, minutes, pass, seconds};
use crate::world::World;

async fn told(world: &World, name: &str) -> ServiceStatus {
    let services = world.status(&key("shop")).await.services;
    let found = services.into_iter().find(|part| part.name == name);
    found.expect("it is told")
}

fn described(world: &World, name: &str) -> Value {
    let input = json!({"cluster": "shop", "services": [name]});
    world.aws("ecs", "DescribeServices", input)["services"][0].clone()
}

/// Ready with v1.4.0, and then v1.5.0 of `web` pushed and released.
async fn next(name: &str) -> World {
    let world = applied(name).await;
    pass(minutes(10)).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    push(&world, "web", "v1.5.0", 0x51);
    release(&world, name, "v1.4.0", "v1.5.0").await;
    world
}

#[tokio::test(start_paused = true)]
async fn rolling() {
    let world = next("rolling").await;
    let before = image(&world, "web");
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_ne!(image(&world, "web"), before);
    // Somebody sets another strategy.
    let hooks = json!({"bakeTimeInMinutes": 4});
    let input = json!({"cluster": "shop", "service": "web", "deploymentConfiguration": hooks});
    world.aws("ecs", "UpdateService", input);
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let found = described(&world, "web")["deploymentConfiguration"].clone();
    assert_eq!(
        (&found["strategy"], &found["bakeTimeInMinutes"]),
        (&json!("ROLLING"), &json!(4))
    );
}

/// `evenkeel approve shop --service web`
async fn approve(world: &World) {
    assert_eq!(world.settle(&key("shop")).await, held("WaitingForApproval"));
    let part = told(world, "web").await;
    assert_eq!(part.stage.as_deref(), Some("POST_TEST_TRAFFIC_SHIFT"));
    let kind = RequestKind::Continue {
        service: "web".to_owned(),
        hook: part.pause.expect("it waits").hook,
        reject: false,
    };
    world.request(&key("shop"), kind).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn blue_green() {
    let world = applied("blue-green").await;
    pass(minutes(10)).await;
    approve(&world).await;
    let before = image(&world, "web");
    push(&world, "web", "v1.5.0", 0x51);
    release(&world, "blue-green", "v1.4.0", "v1.5.0").await;
    approve(&world).await;
    assert_ne!(image(&world, "web"), before);
    let part = told(&world, "web").await;
    assert_eq!(part.strategy.as_deref(), Some("BLUE_GREEN"));
}

/// The percentages of the traffic that are told of `web`.
async fn percents(world: &World) -> Vec<f64> {
    let (mut seen, mut stages) = (Vec::new(), BTreeSet::new());
    for _ in 0..105 {
        world.run_for(seconds(10)).await;
        let part = told(world, "web").await;
        seen.extend(part.traffic_percent);
        stages.extend(part.stage);
    }
    assert!(stages.contains("BAKE_TIME"), "{stages:?}");
    seen.dedup();
    seen
}

#[tokio::test(start_paused = true)]
async fn linear() {
    let world = next("linear").await;
    assert_eq!(percents(&world).await, [0.0, 25.0, 50.0, 75.0, 100.0]);
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn canary() {
    let world = next("canary").await;
    assert_eq!(percents(&world).await, [0.0, 5.0, 100.0]);
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn code_deploy() {
    let world = applied("code-deploy").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let sent = world.sent("CreateDeployment");
    assert_eq!(sent.len(), 1);
    let spec = &sent[0]["revision"]["appSpecContent"]["content"];
    let spec = spec.as_str().expect("an AppSpec");
    for part in ["AfterAllowTestTraffic", "1.4.0", "3000"] {
        assert!(spec.contains(part), "{spec}");
    }
    let part = told(&world, "checkout").await;
    assert_eq!(part.strategy.as_deref(), Some("CODE_DEPLOY"));
}

#[tokio::test(start_paused = true)]
async fn daemon() {
    let world = applied("daemon").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_eq!(world.moves(), ["agent -> agent:2"]);
    let found = described(&world, "agent");
    assert_eq!(found["schedulingStrategy"], "DAEMON");
    assert_eq!(found["runningCount"], found["desiredCount"]);
}

#[tokio::test(start_paused = true)]
async fn desired_count() {
    let world = applied("desired-count").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    for name in ["web", "worker"] {
        let input = json!({"cluster": "shop", "service": name, "desiredCount": 5});
        world.aws("ecs", "UpdateService", input);
    }
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let count = |name: &str| described(&world, name)["desiredCount"].clone();
    assert_eq!((count("web"), count("worker")), (json!(3), json!(5)));
}
