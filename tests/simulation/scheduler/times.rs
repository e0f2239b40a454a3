//! When schedules fire, across both changes of summer time.

use std::time::Duration;

use serde_json::json;

use super::{only, scheduled, times};
use crate::shop::delivered;

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
