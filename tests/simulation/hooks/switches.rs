//! An invalidation after a service that ECS switches from blue to green: asked for once ECS is sure
//! of the new tasks, waited for, and made once wherever the controller dies.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{PartState, ServiceStatus};
use serde_json::{Value, json};

use super::hooked;
use crate::crash::{deaths_at_writes, die_at};
use crate::kinds::{configured, stage};
use crate::shop::{Stands, key, minutes, pass, pinned, seconds, stalled};
use crate::world::World;

/// A release that invalidates everything once it is there.
fn invalidating(distribution: &str) -> Value {
    let cdn = json!({"distributionId": distribution, "paths": ["/*"]});
    let hooks = json!({"after": [{"name": "cdn", "cloudFrontInvalidation": cdn}]});
    hooked("v2", &hooks)
}

/// Released as v2 to a service that stands behind a balancer, before any controller looks at it.
async fn released() -> (World, String) {
    let blue_green = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3});
    let world = configured(blue_green).await;
    let distribution = world.distribution();
    world.put(&invalidating(&distribution)).await;
    (world, distribution)
}

async fn web(world: &World) -> ServiceStatus {
    let services = world.status(&key()).await.services;
    services.into_iter().next().unwrap_or_default()
}

/// What CloudFront says of the only invalidation.
fn only_invalidation(world: &World, distribution: &str) -> String {
    let input = json!({"DistributionId": distribution});
    let answer = world.aws("cloudfront", "ListInvalidations", input);
    let items = answer["InvalidationList"]["Items"].as_array();
    let [only] = items.map(Vec::as_slice).unwrap_or_default() else {
        panic!("not one invalidation: {answer:#}");
    };
    only["Status"].as_str().expect("a status").to_owned()
}

#[tokio::test(start_paused = true)]
async fn pages_are_invalidated_once_ecs_is_sure_of_what_answers_for_them() {
    let (world, distribution) = released().await;
    world
        .runs_until(async || web(&world).await.stage.as_deref() == Some("BAKE_TIME"))
        .await;
    // All the traffic went over, and ECS may still take it back.
    world.run_for(minutes(2)).await;
    let part = web(&world).await;
    assert_eq!(part.stage.as_deref(), Some("BAKE_TIME"), "{part:?}");
    assert_eq!(part.traffic_percent, Some(100.0));
    assert_eq!(world.invalidations(&distribution), 0);
    assert_eq!(world.hook("cdn").await.state, PartState::Pending);

    world
        .runs_until(async || world.hook("cdn").await.invalidation_id.is_some())
        .await;
    assert_eq!(world.deployments("web")[0], "SUCCESSFUL");
    assert_eq!(only_invalidation(&world, &distribution), "InProgress");
    // A minute is what it takes.
    world.run_for(seconds(40)).await;
    assert_eq!(only_invalidation(&world, &distribution), "InProgress");
    let waiting = world.condition(&key(), ConditionType::Reconciling).await;
    assert_eq!(waiting.expect("it is waited for").reason, "HookRunning");
    let ready = world.is(&key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::False));

    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(only_invalidation(&world, &distribution), "Completed");
    assert_eq!(world.hook("cdn").await.state, PartState::Done);
    assert_eq!(world.sent("CreateInvalidation").len(), 1);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn what_ecs_takes_back_while_it_bakes_invalidates_nothing() {
    let (world, distribution) = released().await;
    let fails = json!({"fails": {"reason": "a test said so"}});
    stage(&world, "BAKE_TIME", &fails);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs("shop", "web"), "web:1");
    assert_eq!(world.invalidations(&distribution), 0);
    assert_eq!(world.hook("cdn").await.state, PartState::Pending);
}

/// The same, which ECS has switched while there was no controller: the first one died once ECS had
/// its call, and never heard the answer.
async fn switched() -> (World, String) {
    let (world, distribution) = released().await;
    world.dies_at("UpdateService", true).await;
    pass(minutes(15)).await;
    assert_eq!(world.deployments("web")[0], "SUCCESSFUL");
    world.sandbox.reset_calls();
    (world, distribution)
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_call_after_the_switch_makes_one_invalidation() {
    let (world, _) = switched().await;
    assert_eq!(world.run(&key()).await, Stands::Ready);
    let deaths = deaths_at_writes(&world);
    assert!(deaths.len() > 8, "only {} ways to die", deaths.len());
    let asks = |world: &World| world.sent("CreateInvalidation").len();
    let mut asked_again = 0;
    for (at, moment) in deaths {
        let what = format!("{moment:?} call {at}");
        let (world, distribution) = switched().await;
        assert!(die_at(&world, at, moment).await, "{what} was not made");
        assert_eq!(world.run(&key()).await, Stands::Ready, "{what}");
        assert_eq!(only_invalidation(&world, &distribution), "Completed");
        assert_eq!(world.hook("cdn").await.state, PartState::Done, "{what}");
        assert_eq!(world.moves(), [] as [String; 0], "{what}");
        assert_eq!(world.image_of("web"), pinned(&world, "v2"), "{what}");
        asked_again += usize::from(asks(&world) > 1);
    }
    // The answer was lost: CloudFront was asked again, under the same reference.
    assert!(asked_again >= 1, "{asked_again}");
}
