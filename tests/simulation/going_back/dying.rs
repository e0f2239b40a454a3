//! A controller that dies on the way.

use evenkeel::model::ledger::RollbackState;

use super::{both, crash_of_worker};
use crate::crash::{deaths, die_at};
use crate::shop::{Breaker, Stands, key, shop, stalled};
use crate::world::World;

/// Two services of which the second fails, before the controller looks at it.
async fn about_to_fail() -> World {
    let world = shop(Breaker::Rollback).await;
    world.put(&both("v2")).await;
    assert_eq!(world.run(&key()).await, Stands::Ready);
    crash_of_worker(&world, "bad");
    world.put(&both("bad")).await;
    world.sandbox.reset_calls();
    world
}

/// What must be the same however the controller died.
fn outcome(world: &World) -> (Vec<String>, Vec<Vec<String>>, Vec<usize>, String) {
    let mut moved: Vec<String> = world
        .done("ecs.UpdateService")
        .iter()
        .map(|call| call.input.to_string())
        .collect();
    moved.sort();
    let ended = ["web", "worker"].map(|name| world.deployments(name));
    let revisions = ["web", "worker", "job"].map(|family| world.revisions(family));
    (
        moved,
        ended.into(),
        revisions.into(),
        world.scheduled_image(),
    )
}

async fn die_on_the_way_back(remainder: usize, of: usize) {
    let world = about_to_fail().await;
    assert_eq!(world.run(&key()).await, stalled("RolledBack"));
    let expected = outcome(&world);
    assert_eq!(expected.0.len(), 3, "{:?}", expected.0);
    let deaths = deaths(&world);
    assert!(deaths.len() > 50, "only {} ways to die", deaths.len());
    for (at, moment) in deaths.into_iter().skip(remainder).step_by(of) {
        let world = about_to_fail().await;
        let died = die_at(&world, at, moment).await;
        assert!(died, "{moment:?} call {at} was not made");
        let stands = world.run(&key()).await;
        assert_eq!(stands, stalled("RolledBack"), "{moment:?} call {at}");
        assert_eq!(outcome(&world), expected, "{moment:?} call {at}");
        let rejected = world.ledger(&key()).await.revisions[&2].clone();
        let rollback = rejected.rollback.expect("it went back");
        assert_eq!(rollback.state, RollbackState::Done);
        let before = world.writes().len();
        assert_eq!(world.run(&key()).await, stands);
        assert_eq!(world.writes()[before..], [] as [String; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_write_leads_back_all_the_same_1() {
    die_on_the_way_back(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_write_leads_back_all_the_same_2() {
    die_on_the_way_back(1, 2).await;
}
