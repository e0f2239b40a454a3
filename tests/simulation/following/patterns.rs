//! The newest tag of a pattern, and what looking for it costs.

use std::collections::BTreeSet;

use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::PartState;
use evenkeel::store::ApplyOutcome;
use serde_json::json;
use tokio::time::Instant;

use super::{READY, follows, newest, on_v2};
use crate::shop::{
    Breaker, Stands, crash, digest, key, minutes, pass, pinned, push, repository, seconds, service,
    shop, stalled, web,
};

#[tokio::test(start_paused = true)]
async fn the_newest_version_is_followed_and_never_an_older_one() {
    let world = shop(Breaker::Rollback).await;
    for (tag, content) in [("1.2.0", "v1"), ("1.10.0", "v2"), ("1.9.0", "v3")] {
        push(&world, tag, content);
    }
    world.put(&newest(r"1\..*", "semver")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "1.10.0"));
    let told = world.status(&key()).await.images["web"].clone();
    assert_eq!(told.reference, format!("{}:1.10.0", repository()));
    assert_eq!(told.digest, Some(digest(&world, "v2")));
    world.nothing_goes_on().await;

    push(&world, "1.11.0", "v4");
    let reason = world.reason().await;
    let wanted = format!(
        "image web: 1.11.0 ({}) takes the place of 1.10.0",
        digest(&world, "v4")
    );
    assert_eq!(reason, wanted);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "1.11.0"));

    // Neither a late patch of an older version nor what another pattern is for.
    push(&world, "1.10.1", "late");
    push(&world, "2.0.0", "other");
    world.nothing_goes_on().await;
    // Nor the one before where the newest is taken away.
    world.delete_tag("1.11.0");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));
    assert_eq!(world.outcomes().await, [READY, READY]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_rejected_is_passed_over_until_a_person_retries() {
    let world = shop(Breaker::Rollback).await;
    push(&world, "1.0.0", "v1");
    let object = newest(r"\d+\.\d+\.\d+", "semver");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.nothing_goes_on().await;
    assert_eq!(world.image_of("web"), pinned(&world, "1.0.0"));

    // A fix of what runs is taken, and says what it passes over.
    push(&world, "1.0.1", "v2");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "1.0.1"));
    let told = world.status(&key()).await.images["web"].message.clone();
    assert!(
        told.as_ref().is_some_and(|it| it.contains("2.0.0")),
        "{told:?}"
    );

    // Another generation does not try it either.
    let mut other = object.clone();
    other["spec"]["services"][0]["rollout"] = json!({"timeout": "7m"});
    world.sandbox.reset_calls();
    world.put(&other).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), [] as [&str; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "1.0.1"));

    // A person has it tried again, and once it is good it stays.
    let same = world.tries(&other, false).await.expect("applies");
    assert_eq!(same.outcome, ApplyOutcome::Unchanged);
    assert_eq!(world.forced(&other).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "1.0.1"));
    crash(&world, "nothing");
    pass(minutes(2)).await;
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "2.0.0"));
    push(&world, "2.0.1", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "2.0.1"));
    assert_eq!(world.status(&key()).await.images["web"].message, None);
}

#[tokio::test(start_paused = true)]
async fn how_to_have_rejected_tags_tried_again_is_told_once_nothing_else_helps() {
    let world = shop(Breaker::Rollback).await;
    push(&world, "2.0.0", "bad");
    let mut object = newest(r"\d+\.\d+\.\d+", "semver");
    object["spec"]["imageTimeout"] = json!("2m");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    object["spec"]["services"][0]["rollout"] = json!({"timeout": "7m"});
    world.put(&object).await;
    world.run_for(seconds(30)).await;
    let told = world.said_of("web").await;
    assert!(
        told.contains("were rejected") && !told.contains("--force"),
        "{told}"
    );
    assert_eq!(world.settle(&key()).await, stalled("ImageNotFound"));
    let told = world.said_of("web").await;
    assert!(
        told.ends_with("tried again with `evenkeel apply --force`"),
        "{told}"
    );
    crash(&world, "nothing");
    assert_eq!(world.forced(&object).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "2.0.0"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_tries_a_rejected_version_again() {
    let world = shop(Breaker::Rollback).await;
    push(&world, "1.0.0", "v1");
    world.put(&newest(r"\d+\.\d+\.\d+", "semver")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    crash(&world, "nothing");
    pass(minutes(2)).await;
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "2.0.0"));
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_nothing_matches_waits_and_then_tells() {
    let world = shop(Breaker::Rollback).await;
    let mut object = newest("release-.*", "alphabetical");
    object["spec"]["imageTimeout"] = json!("2m");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("ImageNotFound"));
    let why = world.why(&key()).await;
    for words in ["release-.*", "5 tags were looked at", "2m", "push one"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!(
        world.status(&key()).await.images["web"].state,
        PartState::Failed
    );
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let pushes = async {
        pass(minutes(1)).await;
        push(&world, "release-7", "v2");
        pass(minutes(20)).await;
    };
    world.controller().run(pushes).await.expect("runs");
    assert_eq!(world.image_of("web"), pinned(&world, "release-7"));
}

#[tokio::test(start_paused = true)]
async fn the_newest_push_is_found_in_a_repository_of_many_pages() {
    let world = shop(Breaker::Rollback).await;
    for number in 0..1500 {
        push(
            &world,
            &format!("main-{number}"),
            &format!("content {number}"),
        );
    }
    pass(minutes(1)).await;
    push(&world, "main-new", "new");
    world.put(&newest("main-.*", "pushedAt")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "main-new"));
    pass(minutes(1)).await;
    push(&world, "main-0000", "brand new");
    push(&world, "pr-17", "newer still");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "main-0000"));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_lists_a_repository_once_for_all_who_follow_it() {
    let world = shop(Breaker::Rollback).await;
    push(&world, "1.0.0", "v2");
    let keys = ["web", "worker"].map(|name| ReleaseKey::new("shop", name));
    for key in &keys {
        let mut object = newest(r"1\..*", "semver");
        object["metadata"]["name"] = json!(key.name);
        object["spec"]["services"] = json!([service(&key.name)]);
        world.put(&object).await;
    }
    world.run_once().await.expect("runs");
    let reconciler = world.takes_over().await;
    let mut interests = Vec::new();
    for key in &keys {
        let looked = reconciler.reconcile(key, &|_, _| {}).await.expect("a pass");
        interests.extend(looked.interest);
    }
    world.sandbox.reset_calls();
    let since = Instant::now();
    reconciler.read_ahead(&interests).await;
    let content = reconciler.content_with(since);
    for key in &keys {
        let looked = content.reconcile(key, &|_, _| {}).await.expect("a pass");
        assert!(is_true(
            &looked.plan.status.conditions,
            ConditionType::Ready
        ));
    }
    assert_eq!(world.called("ecr.DescribeImages"), 1);
    assert_eq!(world.writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_followed_tag_costs_a_sweep_no_call() {
    let mut counts = BTreeSet::new();
    for object in [web("latest"), follows()] {
        let world = on_v2(&object).await;
        world
            .controller()
            .run(pass(minutes(17)))
            .await
            .expect("runs");
        let calls = world.sandbox.calls();
        counts.insert((calls["ecr.DescribeImages"], calls["ecs.DescribeServices"]));
        assert_eq!(world.writes(), [] as [&str; 0]);
    }
    assert_eq!(counts.len(), 1, "{counts:?}");
}
