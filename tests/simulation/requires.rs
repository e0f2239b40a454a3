//! Releases that wait for others: until those are ready, and without asking for it all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::controller::leadership::LeaseOptions;
use evenkeel::controller::{Controller, ControllerOptions, Happening, What};
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::Verdict;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::holds::{at, with};
use crate::running::beside;
use crate::shop::{
    Breaker, Stands, held, key, minutes, pass, ready, release, rules, seconds, service, shop,
    stalled,
};
use crate::world::World;

const API: &str = "api";

fn api() -> ReleaseKey {
    ReleaseKey::new("shop", API)
}

/// A release `api` of the service `worker`.
fn required(tag: &str) -> Value {
    release(API, tag, &json!({"services": [service("worker")]}))
}

fn requiring(tag: &str, at_least: &Value) -> Value {
    with(
        tag,
        &json!({"requires": [{"release": API, "atLeast": at_least}]}),
    )
}

#[tokio::test(start_paused = true)]
async fn a_release_waits_until_another_is_ready() {
    let world = ready(Breaker::Rollback).await;
    world.put(&requiring("v3", &json!("Ready"))).await;
    assert_eq!(world.settle(&key()).await, held("RequirementNotMet"));
    let told = world.message(&key()).await;
    assert_eq!(told, "revision 2 waits: release shop/api does not exist");
    world.rests_for_an_hour().await;

    // One that fails is not ready; nor is what it was before, once something newer is declared.
    world.put(&required("bad")).await;
    assert_eq!(world.settle(&api()).await, stalled("RolledBack"));
    assert_eq!(world.settle(&key()).await, held("RequirementNotMet"));
    let told = world.message(&key()).await;
    assert_eq!(told, "revision 2 waits: release shop/api is not Ready");
    assert_eq!(world.moves(), ["worker -> worker:2"]);

    // Both in one run: the one that waits goes last.
    world.put(&required("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves()[1..], ["worker -> worker:3", "web -> web:3"]);
    // What has been brought does not depend on it any more.
    let mut again = required("bad");
    again["spec"]["revisionHistoryLimit"] = json!(5);
    world.put(&again).await;
    assert_eq!(world.settle(&api()).await, stalled("RolledBack"));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

/// How long after `api` became ready `web` is moved.
async fn gap(world: &World) -> SignedDuration {
    let mut since = None;
    while !world.moves().contains(&"web -> web:3".to_owned()) {
        pass(seconds(1)).await;
        let ready = world.is(&api(), ConditionType::Ready).await;
        if ready == Some(ConditionStatus::True) && since.is_none() {
            since = Some(world.sandbox.now());
        }
        let now = world.sandbox.now();
        assert!(now < at("2026-03-02T10:00:00Z"), "{:?}", world.moves());
    }
    let since = since.expect("it is ready");
    world.sandbox.now().duration_since(since)
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_at_once_when_the_other_becomes_ready() {
    let world = ready(Breaker::Rollback).await;
    world.put(&requiring("v3", &json!(1))).await;
    world.put(&required("v2")).await;
    let controller = world.controller();
    let took = tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        took = gap(&world) => took,
    };
    assert!(took.as_secs() <= 3, "{took:#}");
    assert_eq!(world.moves(), ["worker -> worker:2", "web -> web:3"]);
}

/// Which replica looked at which release, last.
type Lookers = Arc<Mutex<BTreeMap<ReleaseKey, String>>>;

/// One of two that share the work.
fn replica(world: &World, name: &str, lookers: &Lookers) -> Controller {
    let (identity, lookers) = (name.to_owned(), lookers.clone());
    let leases = LeaseOptions {
        shards: 2,
        identity: identity.clone(),
        ..LeaseOptions::default()
    };
    let looks = move |happening: &Happening| {
        if matches!(happening.what, What::Passed { .. }) {
            let mut lookers = lookers.lock().expect("one thread");
            lookers.insert(happening.release.clone(), identity.clone());
        }
    };
    world.controller_with(ControllerOptions {
        leases,
        observer: Some(Arc::new(looks)),
        ..ControllerOptions::default()
    })
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_at_once_when_another_replica_makes_the_other_ready() {
    let world = ready(Breaker::Rollback).await;
    let slow = json!([
        {"when": {"image": "web:v2", "container": "worker"}, "then": {"healthy": {"after": "3m"}}},
    ]);
    rules(&world, &slow);
    let lookers = Lookers::default();
    let (one, two) = (
        replica(&world, "one", &lookers),
        replica(&world, "two", &lookers),
    );
    let applies = async {
        pass(minutes(1)).await;
        world.put(&requiring("v3", &json!("Ready"))).await;
        world.put(&required("v2")).await;
        gap(&world).await
    };
    let took = tokio::select! {
        ended = one.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        ended = two.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        took = applies => took,
    };
    assert!(took.as_secs() <= 3, "{took:#}");
    let lookers = lookers.lock().expect("one thread");
    assert_ne!(lookers[&key()], lookers[&api()], "{lookers:?}");
}

/// A controller that has come to rest makes no call of AWS more often than its sweeps do, which
/// read everything at once.
async fn sweeps_only(world: &World, time: u64) {
    let controller = world.controller();
    let looks = async {
        pass(minutes(6)).await;
        world.sandbox.reset_calls();
        pass(minutes(time)).await;
    };
    tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        () = looks => {}
    }
    // One comes every five minutes or a little sooner, and may look at two releases one by one.
    let most = 2 * (time / 4);
    for (call, count) in world.sandbox.calls() {
        let of_table = call.starts_with("dynamodb");
        assert!(of_table || count <= most, "{count} times {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_stalled_one_looks_no_more_often_than_a_sweep() {
    let world = ready(Breaker::Rollback).await;
    world.put(&required("bad")).await;
    assert_eq!(world.settle(&api()).await, stalled("RolledBack"));
    world.put(&requiring("v3", &json!("Ready"))).await;
    assert_eq!(world.settle(&key()).await, held("RequirementNotMet"));
    sweeps_only(&world, 60).await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_is_looked_at_when_somebody_changes_it() {
    let world = shop(Breaker::Rollback).await;
    world.put(&requiring("v2", &json!("Ready"))).await;
    let mut other = required("v2");
    other["spec"]["requires"] = json!([{"release": "shop/web"}]);
    world.put(&other).await;
    assert_eq!(world.settle(&key()).await, stalled("RequirementCycle"));
    sweeps_only(&world, 12).await;
    let reason = world.undoes_the_circle(seconds(3)).await;
    assert_eq!(reason, "RequirementNotMet");
}

#[tokio::test(start_paused = true)]
async fn a_circle_is_looked_at_as_soon_as_a_table_without_stream_is_listed() {
    let world = shop(Breaker::Rollback).await;
    let off = json!({"TableName": "evenkeel", "StreamSpecification": {"StreamEnabled": false}});
    world.aws("dynamodb", "UpdateTable", off);
    world.put(&requiring("v2", &json!("Ready"))).await;
    let mut other = required("v2");
    other["spec"]["requires"] = json!([{"release": "shop/web"}]);
    world.put(&other).await;
    assert_eq!(world.settle(&key()).await, stalled("RequirementCycle"));
    let reason = world.undoes_the_circle(seconds(8)).await;
    assert_eq!(reason, "RequirementNotMet");
}

impl World {
    /// Why `web` waits, so long after `api` stopped waiting for it.
    async fn undoes_the_circle(&self, after: Duration) -> String {
        let controller = self.controller();
        beside(&controller, async {
            pass(minutes(1)).await;
            self.put(&required("v2")).await;
            pass(after).await;
            self.reason_of(&key()).await
        })
        .await
    }
}

/// What is put away at the end of a rollout is nothing that others wait for.
#[tokio::test(start_paused = true)]
async fn it_goes_on_at_once_though_the_other_cannot_put_away_what_it_replaced() {
    let world = ready(Breaker::Rollback).await;
    for tag in ["v2", "v3"] {
        world.put(&required(tag)).await;
        assert_eq!(world.settle(&api()).await, Stands::Ready);
    }
    world.put(&required("bad")).await;
    assert_eq!(world.settle(&api()).await, stalled("RolledBack"));
    world.put(&requiring("v3", &json!("Ready"))).await;
    let mut short = required("v4");
    short["spec"]["revisionHistoryLimit"] = json!(1);
    world.put(&short).await;
    // It is done each time, and nobody hears of it.
    let lost = Verdict::ConnectionError;
    world.breaks("DeregisterTaskDefinition", u64::MAX, true, lost);
    let controller = world.controller();
    let took = beside(&controller, gap(&world)).await;
    assert!(took.as_secs() <= 3, "{took:#}");
    assert!(world.called("ecs.DeregisterTaskDefinition") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_is_asked_for_has_to_be_ready() {
    let world = shop(Breaker::Rollback).await;
    world.put(&required("v2")).await;
    assert_eq!(world.settle(&api()).await, Stands::Ready);
    world.put(&requiring("v2", &json!(2))).await;
    assert_eq!(world.settle(&key()).await, held("RequirementNotMet"));
    let told = world.message(&key()).await;
    assert!(
        told.ends_with("shop/api is not Ready in generation 2 or a later one"),
        "{told}"
    );
    world.put(&required("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn releases_that_wait_for_each_other_are_stalled_until_somebody_undoes_that() {
    let world = shop(Breaker::Rollback).await;
    // As two who apply at the same moment bring it about.
    world.put(&requiring("v2", &json!("Ready"))).await;
    let mut other = required("v2");
    other["spec"]["requires"] = json!([{"release": "shop/web"}]);
    world.put(&other).await;
    for (key, told) in [
        (key(), "shop/web -> shop/api -> shop/web"),
        (api(), "shop/api -> shop/web -> shop/api"),
    ] {
        assert_eq!(world.settle(&key).await, stalled("RequirementCycle"));
        let why = world.why(&key).await;
        assert!(why.contains(told), "{why}");
    }
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    world.rests_for_an_hour().await;
    world.put(&required("v2")).await;
    world.run_for(minutes(10)).await;
    assert_eq!(world.reason_of(&key()).await, "Ready");
    assert_eq!(world.moves(), ["worker -> worker:2", "web -> web:2"]);
}
