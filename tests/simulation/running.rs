//! `run`: a controller that works for ever, beside people, events and other replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use evenkeel::aws::sqs::Queue;
use evenkeel::controller::leadership::LeaseOptions;
use evenkeel::controller::metrics::LoopMetrics;
use evenkeel::controller::{Controller, ControllerOptions, What};
use evenkeel::reconcile::ReconcileError;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::shop::{
    Breaker, CLUSTER, delivered, digest, environment, key, merge, minutes, pass, pinned, ready,
    register, release, seconds, service, shop, web,
};
use crate::world::World;

const QUEUE: &str = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";

/// Nothing is looked at again by itself within a test.
pub fn patient() -> ControllerOptions {
    ControllerOptions {
        resync: SignedDuration::from_hours(24),
        ..ControllerOptions::default()
    }
}

fn named(identity: &str, shards: u32) -> ControllerOptions {
    ControllerOptions {
        leases: LeaseOptions {
            identity: identity.to_owned(),
            shards,
            ..LeaseOptions::default()
        },
        ..patient()
    }
}

/// Does something while a controller works.
pub async fn beside<T>(controller: &Controller, what: impl Future<Output = T>) -> T {
    tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        done = what => done,
    }
}

impl World {
    async fn until_called(&self, name: &str) -> Duration {
        let begin = Instant::now();
        while self.called(name) == 0 {
            assert!(
                begin.elapsed() < minutes(60),
                "no {name}: {:?}",
                self.sandbox.calls()
            );
            pass(Duration::from_millis(10)).await;
        }
        begin.elapsed()
    }

    pub async fn until(
        &self,
        key: &ReleaseKey,
        kind: ConditionType,
        status: ConditionStatus,
    ) -> Duration {
        let begin = Instant::now();
        while self.is(key, kind).await != Some(status) {
            assert!(
                begin.elapsed() < minutes(60),
                "{:#?}",
                self.status(key).await
            );
            pass(Duration::from_millis(100)).await;
        }
        begin.elapsed()
    }

    /// A queue that EventBridge sends what happens in ECS and ECR to.
    pub fn queue(&self) -> Queue {
        self.aws("sqs", "CreateQueue", json!({"QueueName": "events"}));
        let arn = "arn:aws:sqs:ap-northeast-1:123456789012:events";
        let pattern = json!({"source": ["aws.ecs", "aws.ecr"]}).to_string();
        self.aws(
            "events",
            "PutRule",
            json!({"Name": "events", "EventPattern": pattern}),
        );
        self.aws(
            "events",
            "PutTargets",
            json!({"Rule": "events", "Targets": [{"Id": "1", "Arn": arn}]}),
        );
        Queue::new(&self.client(), QUEUE)
    }
}

/// A second shop in a cluster of its own.
async fn another_environment(world: &World) -> ReleaseKey {
    world.aws("ecs", "CreateCluster", json!({"clusterName": "other"}));
    let input = json!({
        "cluster": "other", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
        "launchType": "EC2",
    });
    world.aws("ecs", "CreateService", input);
    pass(minutes(2)).await;
    let mut object = environment(&json!({"cluster": "other"}));
    merge(&mut object, &json!({"metadata": {"name": "other"}}));
    world.put(&object).await;
    let mut object = web("v1");
    merge(&mut object, &json!({"metadata": {"namespace": "other"}}));
    world.put(&object).await;
    ReleaseKey::new("other", "web")
}

/// What is listed while the lease is being taken does not tell of what changes until the table is
/// watched.
#[tokio::test(start_paused = true)]
async fn what_changes_while_a_controller_starts_is_not_missed() {
    let of_the_start = ["Query", "TransactWriteItems", "GetItem", "DescribeTable"];
    for call in of_the_start {
        let world = ready(Breaker::Rollback).await;
        let controller = world.controller_with(patient());
        world.sandbox.reset_calls();
        let took = beside(&controller, async {
            world.until_called(&format!("dynamodb.{call}")).await;
            world.put(&web("v3")).await;
            world.until_called("ecs.RegisterTaskDefinition").await
        })
        .await;
        assert!(took < Duration::from_secs(3), "{call}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_acted_on_at_once() {
    let world = ready(Breaker::Rollback).await;
    let controller = world.controller_with(patient());
    let took = beside(&controller, async {
        pass(minutes(1)).await;
        world.sandbox.reset_calls();
        world.put(&web("v3")).await;
        let took = world.until_called("ecs.RegisterTaskDefinition").await;
        world
            .until(&key(), ConditionType::Ready, ConditionStatus::True)
            .await;
        took
    })
    .await;
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_settled_release_is_left_alone_between_sweeps() {
    let world = ready(Breaker::Rollback).await;
    let controller = world.controller_with(patient());
    beside(&controller, async {
        pass(minutes(5)).await;
        world.sandbox.reset_calls();
        pass(minutes(60)).await;
    })
    .await;
    let calls = world.sandbox.calls();
    let others: Vec<_> = calls
        .keys()
        .filter(|name| !name.starts_with("dynamodb"))
        .collect();
    assert!(others.is_empty(), "{calls:?}");
    assert_eq!(world.writes(), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_what_nobody_told_of_and_writes_nothing_else() {
    let world = ready(Breaker::Rollback).await;
    let options = ControllerOptions::default();
    let controller = world.controller_with(options);
    beside(&controller, async {
        pass(minutes(20)).await;
        assert_eq!(world.writes(), [] as [String; 0]);
        world.by_hand("web", "web:1");
        pass(minutes(10)).await;
    })
    .await;
    assert_eq!(world.called("ecs.UpdateService"), 1);
    assert_eq!(
        world.is(&key(), ConditionType::Ready).await,
        Some(ConditionStatus::True)
    );
    assert!(world.image_of("web").contains(&digest(&world, "v2")));
}

#[tokio::test(start_paused = true)]
async fn an_event_brings_the_next_look_and_losing_it_costs_only_time() {
    let world = ready(Breaker::Rollback).await;
    let options = ControllerOptions {
        events: Some(world.queue()),
        ..patient()
    };
    let controller = world.controller_with(options);
    let took = beside(&controller, async {
        pass(minutes(1)).await;
        world.sandbox.reset_calls();
        // Drift, which ECS tells of as the deployment goes on.
        world.by_hand("web", "web:1");
        world.until_called("ecs.UpdateService").await
    })
    .await;
    assert!(took < minutes(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_finds_the_replica_that_works_on_its_release() {
    let world = shop(Breaker::Rollback).await;
    let names = ["web-a", "web-b", "web-c", "web-d"];
    for name in names {
        register(&world, name, "v1", &json!({}));
        crate::shop::create_service(&world, name, Breaker::Rollback, &json!({}));
        let services = json!({"services": [{"name": name, "images": {name: "web"}}]});
        world.put(&release(name, "v1", &services)).await;
    }
    let queue = world.queue();
    let with = |name| ControllerOptions {
        events: Some(queue.clone()),
        ..named(name, 4)
    };
    let (one, two) = (
        world.controller_with(with("one")),
        world.controller_with(with("two")),
    );
    let took = beside(
        &one,
        beside(&two, async {
            for name in names {
                let key = ReleaseKey::new("shop", name);
                world
                    .until(&key, ConditionType::Ready, ConditionStatus::True)
                    .await;
            }
            pass(minutes(1)).await;
            let leases = world.store.leases().await.expect("reads");
            let holders: Vec<_> = leases
                .shards
                .values()
                .filter_map(|it| it.holder.clone())
                .collect();
            assert!(holders.contains(&"one".to_owned()) && holders.contains(&"two".to_owned()));
            world.sandbox.reset_calls();
            let begin = Instant::now();
            for name in names {
                world.by_hand(name, &format!("{name}:1"));
            }
            while world.done("ecs.UpdateService").len() < names.len() {
                assert!(begin.elapsed() < minutes(60), "{:?}", world.sandbox.calls());
                pass(seconds(1)).await;
            }
            begin.elapsed()
        }),
    )
    .await;
    assert!(took < minutes(5), "{took:?}");
}

/// Calls about a cluster never come back; they are counted.
struct Hangs {
    cluster: &'static str,
    asked: AtomicU32,
}

impl Hangs {
    fn of(cluster: &'static str) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            asked: AtomicU32::new(0),
        })
    }
}

impl Tap for Hangs {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let about = call.input.get("cluster").and_then(Value::as_str);
        match about {
            Some(cluster) if cluster == self.cluster => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                Verdict::Timeout
            }
            _ => Verdict::Proceed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_does_not_answer_keeps_no_other_waiting() {
    let world = shop(Breaker::Rollback).await;
    let other = another_environment(&world).await;
    for index in 0..40 {
        let services = json!({"services": [service("web")]});
        world
            .put(&release(&format!("r{index}"), "v1", &services))
            .await;
    }
    world.sandbox.set_tap(Some(Hangs::of(CLUSTER)));
    let controller = world.controller_with(patient());
    let took = beside(&controller, async {
        pass(seconds(30)).await;
        let mut object = web("v2");
        merge(&mut object, &json!({"metadata": {"namespace": "other"}}));
        world.put(&object).await;
        let begin = Instant::now();
        world.until_called("ecs.UpdateService").await;
        begin.elapsed()
    })
    .await;
    assert!(took < seconds(5), "{took:?}");
    assert!(world.is(&other, ConditionType::Ready).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_is_reported_and_its_release_goes_on() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    let registry = prometheus::Registry::new();
    let passes = Arc::new(AtomicU32::new(0));
    let count = passes.clone();
    let options = ControllerOptions {
        observer: Some(Arc::new(move |happening| {
            let passed = matches!(happening.what, What::Passed { .. });
            if passed && count.fetch_add(1, Ordering::SeqCst) < 2 {
                panic!("a worker panics on purpose");
            }
        })),
        metrics: LoopMetrics::register(&registry).expect("registers"),
        ..patient()
    };
    let controller = world.controller_with(options);
    beside(
        &controller,
        world.until(&key(), ConditionType::Ready, ConditionStatus::True),
    )
    .await;
    let page = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
    let line = r#"controller_runtime_reconcile_panics_total{controller="release"} 2"#;
    assert!(page.expect("encodes").contains(line));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

/// Nothing that goes to the table comes back, while it is on.
struct NoTable(AtomicBool);

impl Tap for NoTable {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        match call.service.starts_with("dynamodb") && self.0.load(Ordering::SeqCst) {
            true => Verdict::ConnectionError,
            false => Verdict::Proceed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_away_for_an_hour_ends_nothing() {
    let world = ready(Breaker::Rollback).await;
    let tap = Arc::new(NoTable(false.into()));
    world.sandbox.set_tap(Some(tap.clone()));
    let options = patient();
    let health = options.health.clone();
    let controller = world.controller_with(options);
    beside(&controller, async {
        pass(minutes(1)).await;
        assert_eq!(health.ready(), Ok(()));
        tap.0.store(true, Ordering::SeqCst);
        pass(minutes(60)).await;
        assert_eq!(health.alive(), Ok(()));
        let why = health.ready().expect_err("the table is away");
        assert!(why.contains("table"), "{why}");
        tap.0.store(false, Ordering::SeqCst);
        pass(minutes(2)).await;
        assert_eq!(health.ready(), Ok(()));
        world.sandbox.reset_calls();
        world.put(&web("v3")).await;
        world.until_called("ecs.UpdateService").await;
    })
    .await;
}

/// DescribeServices takes for ever.
struct Slow;

impl Tap for Slow {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        match call.operation {
            "DescribeServices" => Verdict::Hang,
            _ => Verdict::Proceed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_asked_to_end_gives_its_lease_back_in_time() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    world.sandbox.set_tap(Some(Arc::new(Slow)));
    let controller = world.controller_with(named("old", 1));
    let asked = seconds(10);
    let begin = Instant::now();
    controller
        .run(tokio::time::sleep(asked))
        .await
        .expect("it ends well");
    let took = begin.elapsed() - asked;
    assert!(took < seconds(3), "{took:?}");
    let leases = world.store.leases().await.expect("reads");
    assert_eq!(leases.shards[&0].holder, None);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_by_is_ready_and_changes_nothing() {
    let world = shop(Breaker::Rollback).await;
    let leader = world.controller_with(named("leader", 1));
    let options = named("standby", 1);
    let health = options.health.clone();
    let standby = world.controller_with(options);
    beside(&leader, async {
        pass(seconds(5)).await;
        beside(&standby, async {
            pass(seconds(5)).await;
            assert_eq!(health.ready(), Ok(()));
            world.put(&web("v2")).await;
            world
                .until(&key(), ConditionType::Ready, ConditionStatus::True)
                .await;
            pass(minutes(30)).await;
        })
        .await;
    })
    .await;
    assert_eq!(world.done("ecs.RegisterTaskDefinition").len(), 1);
    assert_eq!(world.done("ecs.UpdateService").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_once_names_the_replica_that_keeps_the_lease() {
    let world = delivered(&web("v2")).await;
    let leader = world.controller_with(named("production-1", 1));
    let error = beside(&leader, async {
        pass(seconds(5)).await;
        world.run_once().await.expect_err("the lease is held")
    })
    .await;
    assert!(matches!(error, ReconcileError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("production-1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_always_fails_starves_no_other() {
    let world = shop(Breaker::Rollback).await;
    let other = another_environment(&world).await;
    let tap = Hangs::of("other");
    world.sandbox.set_tap(Some(tap.clone()));
    world.put(&web("v2")).await;
    let options = ControllerOptions {
        workers: 1,
        ..patient()
    };
    let controller = world.controller_with(options);
    beside(&controller, async {
        world
            .until(&key(), ConditionType::Ready, ConditionStatus::True)
            .await;
        pass(minutes(10)).await;
        tap.asked.store(0, Ordering::SeqCst);
        pass(minutes(60)).await;
    })
    .await;
    // Its pauses, of random length, have grown to a minute, and it is not left out either; each look
    // is tried three times and takes a minute itself.
    let looks = tap.asked.load(Ordering::SeqCst) / 3;
    assert!((20..200).contains(&looks), "{looks}");
    assert_ne!(
        world.is(&other, ConditionType::Ready).await,
        Some(ConditionStatus::True)
    );
}
