//! Going back while something else goes on.

use std::time::Duration;

use evenkeel::model::ledger::RevisionOutcome;
use evenkeel::store::ApplyOutcome;
use serde_json::{Value, json};

use super::{RULE, twice, whole};
use crate::shop::{
    CLUSTER, Stands, delivered, key, minutes, pass, pinned, release, rules, seconds, service, web,
};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn asked_for_twice_it_is_done_once() {
    let world = twice().await;
    world.rolls_back(1).await;
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.newest().await.number, 3);
    assert!(world.open_requests().await.is_empty());
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_dies_goes_back_once() {
    for (operation, after) in [
        ("TransactWriteItems", true),
        ("UpdateService", false),
        ("UpdateService", true),
    ] {
        let world = twice().await;
        world.rolls_back(1).await;
        world.dies_at(operation, after).await;
        pass(minutes(1)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.newest().await.number, 3, "{operation}");
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));
        assert_eq!(world.rejections().await.len(), 1);
    }
}

/// Tasks of these tags take so long to be healthy.
fn slow(world: &World, tags: &[&str]) {
    let slow = |tag: &&str| json!({"when": {"image": format!("web:{tag}")}, "then": {"healthy": {"after": "3m"}}});
    let slow: Vec<Value> = tags.iter().map(slow).collect();
    rules(world, &json!(slow));
}

/// What happens while the controller works.
async fn meanwhile(world: &World, other: impl Future<Output = ()>) {
    let day = Duration::from_secs(24 * 60 * 60);
    let (ran, ()) = tokio::join!(tokio::time::timeout(day, world.run_once()), other);
    ran.expect("ends").expect("runs");
}

#[tokio::test(start_paused = true)]
async fn the_last_word_counts_in_the_middle_of_a_wave() {
    let both = |tag: &str| {
        let mut worker = service("worker");
        worker["dependsOn"] = json!(["web"]);
        release("web", tag, &json!({"services": [service("web"), worker]}))
    };
    let world = delivered(&both("v2")).await;
    slow(&world, &["v3"]);
    world.put(&both("v3")).await;
    meanwhile(&world, async {
        pass(minutes(1)).await;
        assert_eq!(world.moves(), ["web -> web:3"]);
        world.put(&both("v4")).await;
    })
    .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let moves = ["web -> web:3", "web -> web:4", "worker -> worker:4"];
    assert_eq!(world.moves(), moves);
    for name in ["web", "worker"] {
        assert_eq!(world.image_of(name), pinned(&world, "v4"));
    }
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions[&2].outcome, RevisionOutcome::Superseded);
}

#[tokio::test(start_paused = true)]
async fn going_back_preempts_a_rollout_and_is_preempted_by_the_next_one() {
    let world = twice().await;
    slow(&world, &["v2", "v4"]);
    world.put(&web("v4")).await;
    meanwhile(&world, async {
        pass(minutes(1)).await;
        assert_eq!(world.moves(), ["web -> web:4"]);
        world.rolls_back(1).await;
        pass(minutes(1)).await;
        assert_eq!(world.moves(), ["web -> web:4", "web -> web:2"]);
        // What is applied next wins.
        rules(&world, &json!([]));
        world.put(&web("bad")).await;
    })
    .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    let ledger = world.ledger(&key()).await;
    let ends: Vec<RevisionOutcome> = ledger.revisions.values().map(|it| it.outcome).collect();
    let (ready, superseded) = (RevisionOutcome::Ready, RevisionOutcome::Superseded);
    assert_eq!(ends, [ready, ready, ready, superseded, superseded, ready]);
    world.keeps_still().await;
}

#[tokio::test(start_paused = true)]
async fn a_migration_ends_before_anybody_goes_back() {
    let world = delivered(&whole("v2", "rate(1 day)")).await;
    let rule = json!([{"when": {"family": "job", "image": "web:v3"},
        "then": {"exit": {"after": "5m", "exitCode": 0}}}]);
    rules(&world, &rule);
    world.put(&whole("v3", "rate(2 days)")).await;
    meanwhile(&world, async {
        pass(minutes(1)).await;
        world.rolls_back(1).await;
        pass(minutes(2)).await;
        let told = world.newest().await;
        assert_eq!(
            (told.pinned, told.outcome),
            (Some(1), RevisionOutcome::Pending)
        );
        assert_eq!(world.called("ecs.StopTask"), 0);
    })
    .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let runs = world.ledger(&key()).await.migrations;
    assert_eq!(runs.len(), 2);
    let ended = runs.iter().all(|run| run.exit_code == Some(0));
    assert!(ended, "{runs:?}");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves(), [] as [&str; 0], "it never moved");
    // And once more forwards: what ran does not run again.
    assert_eq!(
        world.forced(&whole("v3", "rate(2 days)")).await,
        ApplyOutcome::TriedAgain
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    pass(seconds(1)).await;
}

#[tokio::test(start_paused = true)]
async fn three_applies_there_and_back_leave_what_the_first_left() {
    let world = delivered(&whole("v2", "rate(1 day)")).await;
    let first = (world.runs(CLUSTER, "web"), world.nightly());
    world.put(&whole("v3", "rate(2 days)")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world.put(&whole("v2", "rate(1 day)")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!((world.runs(CLUSTER, "web"), world.nightly()), first);
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(1 day)");
    let calls = ["ecs.UpdateService", "events.PutRule", "events.PutTargets"];
    assert_eq!(world.aws_writes(), calls);
    assert_eq!(world.rejections().await, []);
}
