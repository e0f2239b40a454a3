//! Request budgets, against the buckets of AWS.

use std::time::Duration;

use evenkeel::aws::{Aws, Budget};
use evenkeel::reconcile::{Pass, Reconciler};
use evenkeel::resource::conditions::ConditionType;
use evenkeel::sandbox::Outcome;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::shop::{Breaker, Stands, definition, key, shop, web};
use crate::world::{REGION, World};

fn throttled(world: &World) -> usize {
    let log = world.sandbox.log();
    let refused = log.iter().filter(|call| {
        let Outcome::Refused { code, .. } = &call.outcome else {
            return false;
        };
        code == "ThrottlingException"
    });
    refused.count()
}

#[tokio::test(start_paused = true)]
async fn sixty_registrations_take_what_the_bucket_allows_and_are_never_throttled() {
    let world = World::empty().await;
    world
        .sandbox
        .update_settings(|settings| settings.throttle = true);
    let aws = Aws::for_test(world.sandbox.http_client(), REGION).with_budget(Budget::new(1.0));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..60 {
        let clients = aws.region(REGION);
        let content = definition(&format!("family-{number}"), "v1", &json!({}));
        callers.spawn(async move {
            let who = number.to_string();
            let admit = || clients.budget.admit("ecs", "RegisterTaskDefinition", &who);
            while let Err(over) = admit().await {
                tokio::time::sleep(over.after).await;
            }
            let registered = clients.ecs.register_task_definition(&content).await;
            registered.expect("registers");
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("no caller fails");
    }
    let took = began.elapsed().as_secs_f64();
    assert!((38.0..=42.0).contains(&took), "{took} s");
    assert_eq!(throttled(&world), 0);
    assert_eq!(world.sandbox.calls()["ecs.RegisterTaskDefinition"], 60);
}

async fn one_pass(reconciler: &Reconciler) -> Pass {
    let pass = reconciler.reconcile(&key(), &|_, _| {}).await;
    pass.expect("a pass")
}

async fn message(world: &World) -> String {
    let ready = world.condition(&key(), ConditionType::Ready).await;
    ready.expect("is told").message
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_has_begun_nothing_and_writes_nothing() {
    // One registration at once, which somebody else takes, and then one in a hundred seconds.
    let budget = Budget::new(0.01);
    let world = shop(Breaker::Rollback).await.within(budget.clone());
    let other = Aws::for_test(world.sandbox.http_client(), REGION).with_budget(budget);
    let taken = other.region(REGION).budget;
    let taken = taken.admit("ecs", "RegisterTaskDefinition", "other").await;
    taken.expect("there is one");
    world.put(&web("v2")).await;
    let reconciler = world.takes_over().await;
    let waits = one_pass(&reconciler).await;
    let after = waits.over_budget.expect("it has to wait");
    // Less what the reads of the pass waited for theirs.
    assert!((80..=100).contains(&after.as_secs()), "{after:?}");
    assert!(waits.failed.is_none() && !waits.is_retryable());
    let noted = world.store.registrations("123456789012", REGION, "web");
    assert_eq!(noted.await.expect("reads"), [], "nothing was begun");
    let (told, status) = (message(&world).await, world.status(&key()).await);
    assert!(told.contains("waits for its turn"), "{told}");
    assert_eq!(status.observed_generation, Some(1));

    world.sandbox.reset_calls();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let again = one_pass(&reconciler).await;
        assert!(again.over_budget.is_some());
    }
    assert_eq!(world.writes(), [] as [String; 0]);
    assert_eq!(world.status(&key()).await, status);

    // It comes back at its turn by itself.
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(throttled(&world), 0);
}
