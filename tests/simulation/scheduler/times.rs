//! When schedules fire, across both changes of summer time.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{only, scheduled, times};
use crate::shop::{Breaker, Stands, delivered, key, minutes, pinned, shop};
use crate::world::World;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn a_time_zone_is_kept_to_across_both_changes_of_summer_time() {
    let more = json!({"timeZone": "Europe/Berlin"});
    let world = delivered(&only(json!([scheduled("nightly", "30 2 * * *", &more)]))).await;
    world.fires();
    // From 2 March on.
    world.sandbox.skip(30 * DAY);
    let spring = times(&world.sandbox.firings());
    let around = [
        "2026-03-28T01:30:00Z",
        "2026-03-30T00:30:00Z",
        "2026-03-31T00:30:00Z",
    ];
    let begin = spring
        .iter()
        .position(|at| at == around[0])
        .expect("on the 28th");
    assert_eq!(
        spring[begin..begin + 3],
        around,
        "the 29th has no half past two"
    );
    world.sandbox.skip(215 * DAY);
    let autumn = times(&world.sandbox.firings());
    let around = [
        "2026-10-24T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ];
    let begin = autumn
        .iter()
        .position(|at| at == around[0])
        .expect("on the 24th");
    assert_eq!(
        autumn[begin..begin + 3],
        around,
        "the 25th has two, and the first counts"
    );
}

#[tokio::test(start_paused = true)]
async fn one_time_fires_once_and_a_release_after_it_does_not_fire_it_again() {
    let more = json!({"timeZone": "Asia/Tokyo"});
    let object = only(json!([scheduled("once", "at(2026-03-03T06:00:00)", &more)]));
    let world = delivered(&object).await;
    world.fires();
    world.sandbox.skip(DAY);
    assert_eq!(times(&world.sandbox.firings()), ["2026-03-02T21:00:00Z"]);
    let mut next = object.clone();
    next["spec"]["images"]["web"]["tag"] = json!("v3");
    world.put(&next).await;
    assert_eq!(
        world.settle(&crate::shop::key()).await,
        crate::shop::Stands::Ready
    );
    world.sandbox.skip(DAY);
    assert_eq!(world.sandbox.firings().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_stays_ended_whatever_is_released_after_it() {
    let more = json!({"start": "2026-03-03T00:00:00Z", "end": "2026-03-05T00:00:00Z"});
    let object = only(json!([scheduled("daily", "cron(0 12 * * ? *)", &more)]));
    let world = delivered(&object).await;
    world.fires();
    world.sandbox.skip(DAY);
    // It has begun: that is not said again, which AWS would refuse.
    let mut next = object.clone();
    next["spec"]["images"]["web"]["tag"] = json!("v3");
    world.put(&next).await;
    assert_eq!(
        world.settle(&crate::shop::key()).await,
        crate::shop::Stands::Ready
    );
    world.sandbox.skip(5 * DAY);
    let wanted = ["2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z"];
    assert_eq!(times(&world.sandbox.firings()), wanted);
    next["spec"]["images"]["web"]["tag"] = json!("v4");
    world.put(&next).await;
    assert_eq!(
        world.settle(&crate::shop::key()).await,
        crate::shop::Stands::Ready
    );
    world.sandbox.skip(5 * DAY);
    assert_eq!(times(&world.sandbox.firings()), wanted);
}

/// Another image, and nothing else.
async fn released(world: &World, object: &Value, tag: &str) {
    let mut next = object.clone();
    next["spec"]["images"]["web"]["tag"] = json!(tag);
    world.put(&next).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready, "{tag}");
}

/// The image that a schedule runs.
fn runs(world: &World, name: &str) -> String {
    let found = world.scheduled(name)["Target"]["EcsParameters"]["TaskDefinitionArn"].clone();
    world.image_in(found.as_str().expect("an ARN"), "job")
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_declared_any_more_ends_it_whatever_is_released_after_it() {
    let cron = "cron(0 12 * * ? *)";
    let ends = json!({"end": "2026-03-05T00:00:00Z"});
    let world = delivered(&only(json!([scheduled("daily", cron, &ends)]))).await;
    world.fires();
    // What is not declared stays as it is.
    let object = only(json!([scheduled("daily", cron, &json!({}))]));
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.scheduled("daily")["EndDate"], 1_772_668_800);
    world.sandbox.skip(5 * DAY);
    let wanted = [
        "2026-03-02T12:00:00Z",
        "2026-03-03T12:00:00Z",
        "2026-03-04T12:00:00Z",
    ];
    assert_eq!(times(&world.sandbox.firings()), wanted);
    for tag in ["v3", "v4"] {
        released(&world, &object, tag).await;
        world.sandbox.skip(5 * DAY);
        assert_eq!(times(&world.sandbox.firings()), wanted, "{tag}");
    }
    let status = world.status(&key()).await.schedules.remove(0);
    let message = status.message.expect("it is told");
    assert!(message.contains("last time has passed"), "{message}");
    // Declared anew, it goes on.
    let later = json!({"end": "2026-04-01T00:00:00Z"});
    let object = only(json!([scheduled("daily", cron, &later)]));
    released(&world, &object, "v4").await;
    assert_eq!(runs(&world, "daily"), pinned(&world, "v4"));
    world.sandbox.skip(DAY);
    assert_eq!(world.sandbox.firings().len(), wanted.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_had_passed_when_it_was_declared_ends_it_for_good() {
    let cron = "cron(0 12 * * ? *)";
    let object = only(json!([scheduled("daily", cron, &json!({}))]));
    let world = delivered(&object).await;
    world.fires();
    let past = json!({"end": "2026-03-01T00:00:00Z"});
    world
        .put(&only(json!([scheduled("daily", cron, &past)])))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.scheduled("daily")["State"], "DISABLED");
    world.sandbox.skip(minutes(5));
    released(&world, &object, "v3").await;
    world.sandbox.skip(5 * DAY);
    assert_eq!(times(&world.sandbox.firings()), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_fires_before_its_start_however_near_that_is() {
    let world = shop(Breaker::Off).await;
    world.fires();
    let now = world.sandbox.now().as_second();
    let start = Timestamp::from_second(now + 150).expect("a time");
    let more = json!({"start": start.to_string()});
    let object = only(json!([scheduled("often", "cron(* * * * ? *)", &more)]));
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.scheduled("often")["StartDate"], start.as_second());
    world.sandbox.skip(minutes(10));
    let fired = world.sandbox.firings();
    assert!(fired.iter().all(|it| it.at >= start), "{fired:?}");
    assert!(fired.len() >= 7, "{fired:?}");
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_rate_stay_when_they_are_whatever_is_released_between_them() {
    let more = json!({"start": "2026-03-03T06:00:00Z"});
    let object = only(json!([scheduled("daily", "rate(1 day)", &more)]));
    let world = delivered(&object).await;
    world.fires();
    world.sandbox.skip(DAY + 12 * 60 * minutes(1));
    released(&world, &object, "v3").await;
    assert_eq!(runs(&world, "daily"), pinned(&world, "v3"));
    world.sandbox.skip(2 * DAY);
    let wanted = [
        "2026-03-03T06:00:00Z",
        "2026-03-04T06:00:00Z",
        "2026-03-05T06:00:00Z",
    ];
    assert_eq!(times(&world.sandbox.firings()), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_release_while_one_time_is_being_started_does_not_take_it_back() {
    let more = json!({"flexibleTimeWindow": "1h"});
    let object = only(json!([scheduled("once", "at(2026-03-02T12:00:00)", &more)]));
    let world = delivered(&object).await;
    world.fires();
    let noon: Timestamp = "2026-03-02T12:00:00Z".parse().expect("a time");
    let left = noon.duration_since(world.sandbox.now());
    let left = Duration::try_from(left).expect("it is to come");
    world.sandbox.skip(left + minutes(5));
    assert_eq!(world.sandbox.firings().len(), 1);
    world.sandbox.reset_calls();
    released(&world, &object, "v3").await;
    assert!(world.sent("UpdateSchedule").is_empty());
    assert_eq!(world.scheduled("once")["State"], "ENABLED");
    // Nor afterwards, where nothing comes of it any more.
    world.sandbox.skip(DAY);
    released(&world, &object, "v4").await;
    assert!(world.sent("UpdateSchedule").is_empty());
    assert_eq!(world.sandbox.firings().len(), 1);
}
