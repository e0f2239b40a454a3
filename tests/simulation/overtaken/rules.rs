//! Rules that were made on the way.

use evenkeel::model::ledger::RevisionOutcome;
use serde_json::json;

use super::HOURLY;
use crate::going_back::{both, crash_of_worker};
use crate::shop::{Breaker, Stands, key, schedule, shop, stalled};
use crate::world::World;

/// Revision 2 makes the rule `hourly` and comes no further; revision 3 fails.
async fn with_a_rule_that_was_made(prune: bool) -> World {
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let with = |tag: &str| {
        let mut object = both(tag);
        let nightly = schedule("nightly", "rate(1 day)");
        let hourly = schedule("hourly", "rate(1 hour)");
        object["spec"]["schedules"] = json!([hourly, nightly]);
        object["spec"]["prune"] = json!(prune);
        object
    };
    world.deny(&["events:PutTargets"]);
    world.put(&with("v3")).await;
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    assert!(world.has_rule(HOURLY));
    world.deny(&[]);
    assert_eq!(world.outcome(2).await, RevisionOutcome::Pending);
    crash_of_worker(&world, "bad");
    world.put(&with("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.runs_on("v2");
    world
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_was_made_on_the_way_goes_with_what_made_it() {
    let world = with_a_rule_that_was_made(true).await;
    assert!(!world.has_rule(HOURLY));
    assert!(world.has_rule("shop-web-nightly"));
    let why = world.why(&key()).await;
    assert!(why.contains("everything is back on revision 1"), "{why}");
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_may_not_be_pruned_is_told_of() {
    let world = with_a_rule_that_was_made(false).await;
    assert!(world.has_rule(HOURLY));
    let why = world.why(&key()).await;
    assert!(
        why.contains("everything but rule shop-web-hourly is back"),
        "{why}"
    );
    world.stays(&stalled("RolledBack")).await;
}
