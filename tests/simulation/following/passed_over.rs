//! What is passed over, and what has it tried again.

use evenkeel::store::ApplyOutcome;
use serde_json::{Value, json};

use super::{READY, REJECTED, follows, newest, on_v2};
use crate::shop::{
    Breaker, Stands, crash, key, minutes, pass, pinned, push, release, repository, service, shop,
    stalled, web,
};
use crate::world::World;

/// The release of `web` and `worker`, each of which follows a tag of its own.
fn two_tags() -> Value {
    let mut worker = service("worker");
    worker["images"] = json!({"worker": "side"});
    let services = json!({"services": [service("web"), worker]});
    let mut object = release("web", "none", &services);
    let tag = |tag: &str| json!({"repository": repository(), "tag": tag, "follow": true});
    object["spec"]["images"] = json!({"web": tag("a"), "side": tag("b")});
    object
}

/// That release Ready on v1 and v2, with `bad` pushed under the first tag and rejected.
async fn with_one_bad(object: &Value) -> World {
    let world = shop(Breaker::Rollback).await;
    for (tag, content) in [("a", "v1"), ("b", "v2")] {
        push(&world, tag, content);
    }
    world.put(object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "a", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    world.sandbox.reset_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn one_bad_push_keeps_no_other_tag_from_being_followed() {
    let world = with_one_bad(&two_tags()).await;
    for (tag, revisions) in [("v3", 3), ("v4", 4)] {
        push(&world, "b", tag);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("worker"), pinned(&world, tag));
        assert_eq!(world.image_of("web"), pinned(&world, "v1"));
        assert_eq!(world.outcomes().await.len(), revisions);
    }
    let moves = world.moves();
    assert!(
        moves.iter().all(|it| it.starts_with("worker ->")),
        "{moves:?}"
    );
    let told = world.said_of("web").await;
    assert!(told.contains("is passed over"), "{told}");
    world.nothing_goes_on().await;

    // A fix is taken by itself.
    push(&world, "a", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_has_a_push_tried_again_that_is_passed_over() {
    let world = with_one_bad(&two_tags()).await;
    push(&world, "b", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let same = world.tries(&two_tags(), false).await.expect("applies");
    assert_eq!(same.outcome, ApplyOutcome::Unchanged);
    // It fails once more, and is out once more.
    assert_eq!(world.forced(&two_tags()).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    assert_eq!(world.image_of("worker"), pinned(&world, "v3"));
    push(&world, "b", "v4");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    crash(&world, "nothing");
    assert_eq!(world.forced(&two_tags()).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    let same = world.tries(&two_tags(), true).await.expect("applies");
    assert_eq!(same.outcome, ApplyOutcome::Unchanged);
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_file_may_be_applied_while_the_newest_push_is_rejected() {
    let world = on_v2(&follows()).await;
    push(&world, "latest", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let same = world.tries(&follows(), false).await.expect("applies");
    assert_eq!(same.outcome, ApplyOutcome::Unchanged);
    world.nothing_goes_on().await;
    crash(&world, "nothing");
    assert_eq!(world.forced(&follows()).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_over_is_remembered_for_longer_than_history() {
    // A tag that is followed.
    let mut object = two_tags();
    object["spec"]["revisionHistoryLimit"] = json!(1);
    let world = with_one_bad(&object).await;
    for tag in ["v3", "v4", "v2", "v3"] {
        push(&world, "b", tag);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("worker"), pinned(&world, tag));
        assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    }
    // What was good is kept beside what was bad, and nothing else.
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    world.nothing_goes_on().await;
    // Once the tag leads elsewhere nothing is remembered of it.
    push(&world, "a", "v4");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.outcomes().await, [READY]);

    // The newest tag that matches.
    let world = shop(Breaker::Rollback).await;
    push(&world, "1.0.0", "v1");
    let mut object = newest(r"\d+\.\d+\.\d+", "semver");
    object["spec"]["revisionHistoryLimit"] = json!(1);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    for (tag, content) in [("1.0.1", "v2"), ("1.0.2", "v3"), ("1.0.3", "v4")] {
        push(&world, tag, content);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("web"), pinned(&world, content));
    }
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    world.nothing_goes_on().await;
    push(&world, "2.0.1", "fixed");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.outcomes().await, [READY]);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_went_back_from_is_remembered_for_longer_than_history() {
    let world = shop(Breaker::Rollback).await;
    let mut object = newest(r"\d+\.\d+\.\d+", "semver");
    object["spec"]["revisionHistoryLimit"] = json!(2);
    push(&world, "1.0.0", "v1");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "v2");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    for timeout in ["7m", "8m", "9m"] {
        object["spec"]["services"][0]["rollout"] = json!({"timeout": timeout});
        world.put(&object).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    }
    world.nothing_goes_on().await;
    assert_eq!(world.forced(&object).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.nothing_goes_on().await;
}

/// Suspends the release for a while, and resumes it.
async fn pauses(world: &World) {
    for suspend in [true, false] {
        let now = world.sandbox.now();
        let set = world.store.set_suspend(&key(), suspend, "ops", now).await;
        set.expect("suspends");
        pass(minutes(5)).await;
        world.run(&key()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_changes_nothing_of_what_is_run() {
    // A tag that moved and is not followed, and then is gone.
    let world = on_v2(&web("latest")).await;
    let ran = world.image_of("web");
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    pauses(&world).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.differences(&key()).await.len(), 1, "it is told");
    world.delete_tag("latest");
    pauses(&world).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), ran);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);

    // What is followed goes on being followed.
    let world = on_v2(&follows()).await;
    pauses(&world).await;
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    push(&world, "latest", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.sandbox.reset_calls();
    pauses(&world).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn another_generation_goes_back_to_no_older_tag() {
    let world = shop(Breaker::Rollback).await;
    push(&world, "1.0.0", "v1");
    push(&world, "1.1.0", "v2");
    let mut object = newest(r"1\..*", "semver");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world.delete_tag("1.1.0");
    object["spec"]["services"][0]["rollout"] = json!({"timeout": "7m"});
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves(), [] as [&str; 0]);
    // Another pattern is another choice.
    object["spec"]["images"]["web"]["tagPattern"] = json!(r"1\.0\..*");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
}
