//! Hooks of a release that is suspended and resumed.

use evenkeel::model::ledger::{RequestKind, RunState};
use serde_json::json;

use super::{hooked, lambda};
use crate::shop::{
    Breaker, Stands, key, minutes, pass, pinned, rules, seconds, shop, stalled, web,
};
use crate::world::World;

async fn suspend(world: &World, suspend: bool) {
    let now = world.sandbox.now();
    let set = world.store.set_suspend(&key(), suspend, "ann", now).await;
    set.expect("sets");
}

/// The release is suspended half a minute after it began, for five minutes.
async fn paused(world: &World) {
    let controller = world.controller();
    let pausing = async {
        pass(seconds(30)).await;
        suspend(world, true).await;
        pass(minutes(5)).await;
    };
    controller.run(pausing).await.expect("runs");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_written_down_while_suspended() {
    let world = shop(Breaker::Rollback).await;
    world.function("slow", 120, None);
    world.function("tell", 0, None);
    let hooks = json!({
        "before": [lambda("slow", &json!({}))],
        "after": [lambda("tell", &json!({}))],
    });
    world.put(&hooked("v2", &hooks)).await;
    paused(&world).await;
    let ledger = world.ledger(&key()).await;
    assert_eq!(
        ledger.revisions[&1].hooks["slow"].state,
        RunState::Succeeded
    );
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    assert_eq!(world.moves(), [] as [String; 0]);

    // Another process goes on from there.
    suspend(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.invoked_names(), ["slow", "tell"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_hook_is_the_same_after_a_pause() {
    let world = shop(Breaker::Rollback).await;
    let exits = json!({"exit": {"after": "120s"}});
    rules(&world, &json!([{"when": {"family": "job"}, "then": exits}]));
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hooks = json!({"before": [{"name": "snapshot", "ecsTask": task}]});
    world.put(&hooked("v2", &hooks)).await;
    paused(&world).await;
    suspend(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("RunTask").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_runs_nothing_again_while_a_revision_is_gone_back_to() {
    let world = shop(Breaker::Rollback).await;
    world.function("slow", 120, None);
    let hooks = json!({"before": [lambda("slow", &json!({}))]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let back = RequestKind::Rollback {
        to: 1,
        force: false,
    };
    world.request(&key(), back).await;
    paused(&world).await;
    suspend(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.invoked_names(), ["slow", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_tells_of_a_failure_only_once() {
    let world = shop(Breaker::Rollback).await;
    world.function("page", 0, None);
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let hooks = json!({"after": [lambda("page", &json!({"on": "Failure"}))]});
    world.put(&hooked("bad", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    for suspended in [true, false] {
        suspend(&world, suspended).await;
        world.run(&key()).await;
    }
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.invoked_names(), ["page"]);
}
