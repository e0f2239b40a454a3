//! Killing the controller at any call of a release with hooks: nothing is called twice that must not
//! be, and an invalidation is made once.

use evenkeel::model::ledger::RunState;
use evenkeel::reconcile::Reconciler;
use evenkeel::sandbox::Verdict;
use serde_json::json;

use super::{hooked, lambda};
use crate::crash::{deaths_at_writes, die_at, started};
use crate::shop::{Breaker, Stands, key, pass, rules, seconds, shop, stalled};
use crate::world::World;

async fn with_hooks() -> (World, String) {
    let world = shop(Breaker::Rollback).await;
    world.function("warm-up", 5, None);
    let distribution = world.distribution();
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s"}}}]),
    );
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hooks = json!({
        "before": [{"name": "snapshot", "ecsTask": task}],
        "after": [
            {"name": "cdn", "cloudFrontInvalidation": {"distributionId": distribution, "paths": ["/*"]}},
            lambda("warm-up", &json!({})),
        ],
    });
    world.put(&hooked("v2", &hooks)).await;
    world.sandbox.reset_calls();
    (world, distribution)
}

async fn die_at_every(remainder: usize, of: usize) {
    let (world, _) = with_hooks().await;
    world.run_once().await.expect("runs");
    let deaths = deaths_at_writes(&world);
    assert!(deaths.len() > 40, "only {} ways to die", deaths.len());
    let mut lost = 0;
    for (at, moment) in deaths.into_iter().skip(remainder).step_by(of) {
        let (world, distribution) = with_hooks().await;
        let what = format!("{moment:?} call {at}");
        assert!(die_at(&world, at, moment).await, "{what} was not made");
        let stands = world.settle(&key()).await;
        assert_eq!(world.invalidations(&distribution), 1, "{what}");
        assert_eq!(started(&world).len(), 1, "{what}");
        assert!(world.invoked_names().len() <= 1, "{what}");
        // Whether a function ran whose caller died nobody knows: a person looks.
        if stands == stalled("HookUnknown") {
            lost += 1;
            world.retry(&key()).await;
            assert_eq!(world.settle(&key()).await, Stands::Ready, "{what}");
        } else {
            assert_eq!(stands, Stands::Ready, "{what}");
        }
        let warm_up = world.hook("warm-up").await;
        assert_eq!(warm_up.state, super::PartState::Done, "{what}");
    }
    // The call itself, and what is written from its intent to its answer.
    assert!((1..10).contains(&lost), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_call_makes_one_invalidation_and_invokes_nothing_twice_1() {
    die_at_every(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_call_makes_one_invalidation_and_invokes_nothing_twice_2() {
    die_at_every(1, 2).await;
}

impl World {
    /// Makes passes until a hook's run of revision 1 stands like this.
    async fn passes_until(&self, reconciler: &Reconciler, state: RunState) {
        for _ in 0..120 {
            let passed = reconciler.reconcile(&key(), &|_, _| {}).await;
            passed.expect("passes");
            let ledger = self.ledger(&key()).await;
            let revision = ledger.revisions.get(&1);
            let run = revision.and_then(|it| it.hooks.get("slow"));
            if run.is_some_and(|run| run.state == state) {
                return;
            }
            pass(seconds(1)).await;
        }
        panic!("it never was {state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_process_heard_of_an_earlier_try_invokes_nothing_twice() {
    let world = shop(Breaker::Rollback).await;
    world.function("slow", 600, None);
    let hooks = json!({"before": [lambda("slow", &json!({}))]});
    world.put(&hooked("v2", &hooks)).await;
    let too_many = Verdict::Answer {
        status: 429,
        code: "TooManyRequestsException".to_owned(),
        message: "Rate Exceeded.".to_owned(),
    };
    world.breaks("Invoke", 1, false, too_many);
    let first = world.takes_over().await;
    world.passes_until(&first, RunState::NotStarted).await;
    assert_eq!(world.invoked_names(), [] as [String; 0]);

    // Another process has the lease, invokes the function, and dies.
    let second = world.takes_over().await;
    world.passes_until(&second, RunState::Intended).await;
    pass(seconds(1)).await;
    assert_eq!(world.invoked_names(), ["slow"]);
    drop(second);

    // The first one has it again: nobody knows whether the function still runs.
    let first = first.writing(world.writer().await);
    world.passes_until(&first, RunState::Unknown).await;
    for _ in 0..30 {
        first.reconcile(&key(), &|_, _| {}).await.expect("passes");
        pass(seconds(5)).await;
    }
    assert_eq!(world.invoked_names(), ["slow"]);
}
