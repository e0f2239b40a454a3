//! The Rails shop: migration gate, role override, two services on one image, schedules.

use evenkeel::resource::meta::ReleaseKey;

use crate::world::{World, example};

/// The release's key.
pub fn key() -> ReleaseKey {
    ReleaseKey::new("production", "rails")
}

/// The account with the release applied, not yet reconciled.
pub async fn applied() -> World {
    let world = World::new("rails/account.json").await;
    world.apply(&example("rails/environment.yaml")).await;
    world.apply(&example("rails/release.yaml")).await;
    world.sandbox.reset_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn it_converges_and_the_next_run_does_nothing() {
    let world = applied().await;
    let summary = world.run_once().await.expect("runs");
    let status = world.status(&key()).await;
    assert_eq!(
        summary.ready,
        [key()],
        "{summary:?} {status:#?} {:#?}",
        world.writes()
    );

    world.sandbox.reset_calls();
    let summary = world.run_once().await.expect("runs");
    assert_eq!(summary.ready, [key()]);
    assert_eq!(world.writes(), Vec::<String>::new());
}
