//! What people ask of the controller: what a retry is for, and several requests at once.

use evenkeel::model::ledger::{RequestKind, RevisionOutcome, RollbackState};
use evenkeel::resource::conditions::ConditionType;
use serde_json::{Value, json};

use crate::shop::{Breaker, Stands, crash, held, key, minutes, pinned, push, ready, stalled, web};
use crate::world::World;

async fn reason(world: &World) -> String {
    let ready = world.condition(&key(), ConditionType::Ready).await;
    ready.expect("it is told").reason
}

async fn approve(world: &World, revision: u64) {
    world
        .request(&key(), RequestKind::Approve { revision })
        .await;
}

/// The release, of which somebody has to approve each new revision.
fn approved(tag: &str) -> Value {
    let mut object = web(tag);
    object["spec"]["approval"] = json!("required");
    object
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_not_of_what_was_declared_before() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.put(&web("v9")).await;
    world.run_for(minutes(1)).await;
    assert_eq!(reason(&world).await, "ImagePending");
    let moves = world.moves();

    world.retry(&key()).await;
    world.run_for(minutes(2)).await;
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.requests, []);
    let bad = &ledger.revisions[&2];
    assert_eq!(bad.outcome, RevisionOutcome::Rejected);
    let back = bad.rollback.as_ref().expect("it led back");
    assert_eq!((back.to, back.state), (1, RollbackState::Done));
    assert_eq!(reason(&world).await, "ImagePending");
    assert_eq!(world.moves(), moves);

    // What is pushed after all takes the place of what stays out.
    push(&world, "v9", "v9");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions[&2].outcome, RevisionOutcome::Rejected);
    assert_eq!(world.image_of("web"), pinned(&world, "v9"));
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_under_another_number_is_tried_again_once_it_is_approved() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // The content of revision 2, which nobody had to approve then.
    world.put(&approved("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let moves = world.moves();
    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    assert_eq!(world.moves(), moves);
    approve(&world, 4).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
}

#[tokio::test(start_paused = true)]
async fn two_who_ask_at_the_same_moment_are_in_nobodys_way() {
    let world = ready(Breaker::Rollback).await;
    world.put(&approved("v3")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    approve(&world, 2).await;
    approve(&world, 2).await;
    let reconciler = world.takes_over().await;
    for _ in 0..2 {
        let made = reconciler.reconcile(&key(), &|_, _| {}).await;
        let made = made.expect("a pass can be made");
        assert!(made.failed.is_none(), "{:?}", made.failed);
    }
    assert_eq!(world.ledger(&key()).await.requests, []);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}
