//! What people do meanwhile and afterwards.

use evenkeel::model::ledger::RevisionOutcome;
use serde_json::json;

use crate::shop::{
    Breaker, CLUSTER, Stands, definition, key, minutes, pass, pinned, ready, stalled, web,
};

#[tokio::test(start_paused = true)]
async fn what_is_moved_away_afterwards_is_put_back_and_a_repair_is_left() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);

    // Somebody who gives it more memory, with the same image, is not undone.
    let mut more = definition("web", "v2", &json!({"memory": "1024"}));
    more["containerDefinitions"][0]["image"] = json!(pinned(&world, "v2"));
    let answer = world.aws("ecs", "RegisterTaskDefinition", more);
    let arn = &answer["taskDefinition"]["taskDefinitionArn"];
    world.by_hand("web", arn.as_str().expect("an ARN"));
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves().len(), 2, "{:?}", world.moves());
    world.stays(&stalled("RolledBack")).await;
    // The fix starts from it.
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "1024");
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_is_not_active_any_more_is_registered_again() {
    let world = ready(Breaker::Stop).await;
    let gone = json!({"taskDefinition": "web:2"});
    world.aws("ecs", "DeregisterTaskDefinition", gone);
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:4"]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_release_does_not_go_back_until_it_is_resumed() {
    let world = ready(Breaker::Stop).await;
    let mut bad = web("bad");
    world.put(&bad).await;
    world
        .runs_until(async || {
            let ledger = world.ledger(&key()).await;
            let rejected = ledger.revisions.get(&2);
            rejected.is_some_and(|it| it.outcome == RevisionOutcome::Rejected)
                || world.moves().len() == 2
        })
        .await;
    bad["spec"]["suspend"] = json!(true);
    world.put(&bad).await;
    let moves = world.moves();
    assert_eq!(world.run(&key()).await, Stands::Suspended);
    assert_eq!(world.moves(), moves);
    bad["spec"]["suspend"] = json!(false);
    world.put(&bad).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
}
