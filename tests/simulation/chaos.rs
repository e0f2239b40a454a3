//! For five minutes calls to AWS fail in every way that they can. Whatever was begun then is ended
//! afterwards, and nothing was done twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel::controller::ControllerOptions;
use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::crash::{account, started};
use crate::rails;
use crate::running::beside;
use crate::shop::{self, Breaker, minutes, pass, pinned, seconds};
use crate::world::{World, changes};

/// How long calls fail.
const BREAKING: Duration = Duration::from_secs(300);
/// How much longer it may take until everything is Ready.
const REPAIRED: Duration = Duration::from_secs(20 * 60);
/// Of a hundred calls, how many each kind of fault hits.
const SHARE: u64 = 20;
/// The same, once it gets better. Where all kinds hit a fifth each, a third of the calls gets
/// through and hardly a pass comes to its end; now passes do, and are broken at their writes.
const BETTER: u64 = 5;
const SEEDS: [u64; 2] = [1, 2];

/// How a call fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// AWS answers 500, and has done nothing.
    Internal,
    /// AWS answers that it was asked too often.
    Throttled,
    /// No answer comes in time, and AWS has done nothing.
    Timeout,
    /// The connection breaks, and AWS has done nothing.
    Reset,
    /// AWS does it, and no answer comes.
    Lost,
}

const EVERY: &[Fault] = &[
    Fault::Internal,
    Fault::Throttled,
    Fault::Timeout,
    Fault::Reset,
    Fault::Lost,
];

/// Hits each call with each of its faults in a share of all cases. Which ones follows from the seed
/// and the call's place in the order of calls alone.
struct Chaos {
    faults: &'static [Fault],
    seed: u64,
    share: AtomicU64,
    hit: AtomicU64,
}

impl Chaos {
    fn over(world: &World, faults: &'static [Fault], seed: u64) -> Arc<Self> {
        // Shown with whatever fails.
        println!("{faults:?} with seed {seed}");
        let chaos = Arc::new(Self {
            faults,
            seed,
            share: AtomicU64::new(SHARE),
            hit: AtomicU64::new(0),
        });
        world.sandbox.set_tap(Some(chaos.clone()));
        chaos
    }

    /// A number that looks like chance: one step of a linear congruential generator for each part of
    /// what it is made of.
    fn number(&self, call: u64, fault: Fault) -> u64 {
        let step = |state: u64, part: u64| {
            (state ^ part)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let parts = [self.seed, call, fault as u64, 0];
        // The low bits of such a generator are the worst.
        parts
            .into_iter()
            .fold(0, |state, part| step(state, part).rotate_left(32))
            >> 32
    }

    fn verdict(&self, call: &CallInfo<'_>, of: impl Fn(Fault) -> bool) -> Verdict {
        let share = self.share.load(Ordering::SeqCst);
        let mut faults = self.faults.iter().copied().filter(|fault| of(*fault));
        let hit = faults.find(|fault| self.number(call.index, *fault) % 100 < share);
        if hit.is_some() {
            self.hit.fetch_add(1, Ordering::SeqCst);
        }
        let refused = |status, code: &str| Verdict::Answer {
            status,
            code: code.to_owned(),
            message: "once more, please".to_owned(),
        };
        match hit {
            None => Verdict::Proceed,
            Some(Fault::Internal) => refused(500, "InternalServerError"),
            Some(Fault::Throttled) => refused(400, "ThrottlingException"),
            Some(Fault::Timeout) => Verdict::Timeout,
            Some(Fault::Reset) => Verdict::ConnectionError,
            Some(Fault::Lost) if call.index.is_multiple_of(2) => Verdict::Timeout,
            Some(Fault::Lost) => Verdict::ConnectionError,
        }
    }

    /// Does something that nothing happens to, while all else goes on as it does.
    async fn spares<T>(&self, what: impl Future<Output = T>) -> T {
        let share = self.share.swap(0, Ordering::SeqCst);
        let done = what.await;
        self.share.store(share, Ordering::SeqCst);
        done
    }

    /// Five minutes in which calls fail; where all kinds of faults come together, five more in which
    /// fewer do. `between` is done after the first five. From then on nothing fails.
    async fn rages(&self, world: &World, between: impl Future<Output = ()>) {
        pass(BREAKING).await;
        self.spares(between).await;
        if self.faults.len() > 1 {
            self.share.store(BETTER, Ordering::SeqCst);
            pass(BREAKING).await;
        }
        self.share.store(0, Ordering::SeqCst);
        let hit = self.hit.load(Ordering::SeqCst);
        assert!(hit > 50, "only {hit} calls failed");
        let registered = world.done("ecs.RegisterTaskDefinition").len();
        assert!(registered > 0, "nothing was done while calls failed");
    }
}

impl Tap for Chaos {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, |fault| !matches!(fault, Fault::Lost))
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, |fault| matches!(fault, Fault::Lost))
    }
}

impl World {
    /// What `run` does that hears of everything at once.
    fn hearing(&self) -> ControllerOptions {
        ControllerOptions {
            events: Some(self.queue()),
            ..ControllerOptions::default()
        }
    }

    /// Whether what is wanted now is Ready.
    async fn is_ready(&self, key: &ReleaseKey) -> bool {
        let stored = self.store.release(key).await.expect("reads");
        let release = stored.expect("is there").release;
        let status = release.status.unwrap_or_default();
        status.observed_generation == release.metadata.generation
            && is_true(&status.conditions, ConditionType::Ready)
    }

    async fn until_ready(&self, keys: &[ReleaseKey]) {
        let begin = Instant::now();
        for key in keys {
            while !self.is_ready(key).await {
                assert!(
                    begin.elapsed() < REPAIRED,
                    "{key}: {:#?}",
                    self.status(key).await
                );
                pass(seconds(5)).await;
            }
        }
    }

    /// Nothing that cannot be taken back was done twice.
    fn nothing_was_done_twice(&self) {
        for operation in ["ecs.RegisterTaskDefinition", "ecs.UpdateService"] {
            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            for call in self.done(operation) {
                *times.entry(call.input.to_string()).or_default() += 1;
            }
            times.retain(|_, times| *times > 1);
            assert!(times.is_empty(), "{operation}: {times:#?}");
        }
    }

    /// The rules that evenkeel made, each with the releases that own it.
    fn owned_rules(&self) -> BTreeMap<String, Vec<String>> {
        let listed = self.aws("events", "ListRules", json!({}));
        let rules = listed["Rules"].as_array().into_iter().flatten();
        let owners = |rule: &Value| {
            let tags = json!({"ResourceARN": rule["Arn"]});
            let tags = self.aws("events", "ListTagsForResource", tags);
            let tags = tags["Tags"].as_array().into_iter().flatten();
            let owners = tags.filter(|tag| tag["Key"] == "evenkeel:release");
            owners.map(|tag| text(&tag["Value"])).collect::<Vec<_>>()
        };
        rules
            .map(|rule| (text(&rule["Name"]), owners(rule)))
            .filter(|(_, owners)| !owners.is_empty())
            .collect()
    }

    /// Nothing is changed any more; the controller reads its queue. For an hour after the first
    /// seed, and for two sweeps after the others.
    async fn is_left_alone(&self, seed: u64) {
        pass(minutes(1)).await;
        self.sandbox.reset_calls();
        let first = seed == SEEDS[0];
        pass(minutes(if first { 60 } else { 11 })).await;
        let log = self.sandbox.log();
        let writes = log.iter().filter(|call| call.client && changes(call));
        let writes: Vec<_> = writes.filter(|call| call.service != "sqs").collect();
        assert!(writes.is_empty(), "{writes:#?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The Rails release, from its first look on.
async fn rails_under(faults: &'static [Fault]) {
    let calm = rails::applied().await;
    let controller = calm.controller_with(calm.hearing());
    beside(&controller, calm.until_ready(&[rails::key()])).await;
    let expected = account(&calm);
    assert_eq!(expected.started.len(), 1, "{:?}", expected.started);
    assert_eq!(calm.owned_rules().len(), 2, "{:?}", calm.owned_rules());
    let installation = calm.store.installation().await.expect("reads");

    for seed in SEEDS {
        let world = rails::applied().await;
        let controller = world.controller_with(world.hearing());
        let chaos = Chaos::over(&world, faults, seed);
        let work = async {
            chaos.rages(&world, async {}).await;
            world.until_ready(&[rails::key()]).await;
            world.nothing_was_done_twice();
            let mine = world.store.installation().await.expect("reads");
            // Each table is an installation of its own, and its rules are tagged with it.
            let found = format!("{:?}", account(&world)).replace(&mine, &installation);
            assert_eq!(found, format!("{expected:?}"));
            for (rule, owners) in world.owned_rules() {
                assert_eq!(owners, ["production/rails"], "{rule}");
            }
            assert_eq!(world.migration_tasks().len(), 1);
            world.is_left_alone(seed).await;
        };
        beside(&controller, work).await;
    }
}

/// Two releases of the shop; one of them gets another generation while calls fail.
async fn shop_under(faults: &'static [Fault]) {
    let other = ReleaseKey::new("shop", "worker");
    let web = |tag: &str| {
        let migration = json!({
            "name": "migrate", "timeout": "5m",
            "taskDefinition": {"family": "job"}, "images": {"job": "web"},
        });
        let spec = json!({
            "migrations": [migration], "services": [shop::service("web")],
            "schedules": [shop::schedule("sweep", "rate(1 hour)")],
        });
        shop::release("web", tag, &spec)
    };
    let worker = json!({
        "services": [shop::service("worker")],
        "schedules": [shop::schedule("count", "rate(1 hour)")],
    });
    for seed in SEEDS {
        let world = shop::shop(Breaker::Rollback).await;
        world.put(&web("v2")).await;
        world.put(&shop::release("worker", "v4", &worker)).await;
        world.sandbox.reset_calls();
        let controller = world.controller_with(world.hearing());
        let chaos = Chaos::over(&world, faults, seed);
        let work = async {
            chaos.rages(&world, world.put(&web("v3"))).await;
            world.until_ready(&[shop::key(), other.clone()]).await;
            world.nothing_was_done_twice();
            assert_eq!(world.image_of("web"), pinned(&world, "v3"));
            assert_eq!(world.image_of("worker"), pinned(&world, "v4"));
            let mut migrated: BTreeMap<String, u32> = BTreeMap::new();
            for run in started(&world) {
                let image = world.image_in(&text(&run["taskDefinition"]), "job");
                *migrated.entry(image).or_default() += 1;
            }
            assert_eq!(
                migrated.get(&pinned(&world, "v3")),
                Some(&1),
                "{migrated:?}"
            );
            assert!(migrated.values().all(|runs| *runs == 1), "{migrated:?}");
            let owned = [
                ("shop-web-sweep", "shop/web"),
                ("shop-worker-count", "shop/worker"),
            ];
            let owned = owned.map(|(rule, owner)| (rule.to_owned(), vec![owner.to_owned()]));
            assert_eq!(world.owned_rules(), owned.into());
            world.is_left_alone(seed).await;
        };
        beside(&controller, work).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_aws_answers_500() {
    rails_under(&[Fault::Internal]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_aws_throttles() {
    rails_under(&[Fault::Throttled]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_calls_time_out() {
    rails_under(&[Fault::Timeout]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_connections_break() {
    rails_under(&[Fault::Reset]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_answers_are_lost() {
    rails_under(&[Fault::Lost]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_twice_where_everything_fails_at_once() {
    rails_under(EVERY).await;
}

#[tokio::test(start_paused = true)]
async fn two_releases_and_a_newer_one_arrive_where_everything_fails_at_once() {
    shop_under(EVERY).await;
}
