//! Another try of a revision runs what did not succeed, and nothing else.

use evenkeel::resource::status::PartState;
use evenkeel::store::ApplyOutcome;
use serde_json::json;

use super::{hooked, lambda};
use crate::shop::{Breaker, Stands, key, pinned, rules, shop, stalled, web};

#[tokio::test(start_paused = true)]
async fn what_succeeded_is_not_run_again() {
    let world = shop(Breaker::Rollback).await;
    world.function("charge", 0, None);
    world.function("smoke", 0, Some("500 from /checkout"));
    world.function("tell", 0, None);
    let exits = json!({"exit": {"after": "5s"}});
    rules(&world, &json!([{"when": {"family": "job"}, "then": exits}]));
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hooks = json!({"after": [
        lambda("charge", &json!({})),
        {"name": "report", "ecsTask": task},
        lambda("smoke", &json!({})),
        lambda("tell", &json!({"on": "Always"})),
    ]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    // Whoever hears of failures hears of each.
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    assert_eq!(
        world.invoked_names(),
        ["charge", "smoke", "tell", "smoke", "tell"]
    );

    world.mended("smoke");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invoked_names()[5..], ["smoke", "tell"]);
    assert_eq!(world.invoked()[6].1, "Success");
    assert_eq!(world.sent("RunTask").len(), 1);
    for name in ["charge", "report", "smoke", "tell"] {
        assert_eq!(world.hook(name).await.state, PartState::Done, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forced_runs_what_failed() {
    let world = shop(Breaker::Rollback).await;
    world.function("smoke", 0, Some("500 from /checkout"));
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let hooks = json!({"after": [lambda("smoke", &json!({"onFailure": "Rollback"}))]});
    let object = hooked("v3", &hooks);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.mended("smoke");
    assert_eq!(world.forced(&object).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.invoked_names(), ["smoke", "smoke"]);
}
