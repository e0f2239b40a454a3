//! Going back because a person asks for it, and what is not applied again by itself.

mod races;
mod revision_0;

use evenkeel::model::ledger::{Request, RequestKind, Revision, RevisionOutcome};
use evenkeel::resource::conditions::ConditionStatus;
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::resource::status::Rejection;
use evenkeel::store::{Applied, ApplyOptions, ApplyOutcome, StoreError};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, crash, delivered, key, minutes, pass, pinned, push, ready, register,
    release, schedule, service, web,
};
use crate::world::World;

const RULE: &str = "shop-web-nightly";

impl World {
    /// Applies one Release as `apply -f` does, or says why not.
    pub async fn tries(&self, object: &Value, force: bool) -> Result<Applied, StoreError> {
        let (manifests, problems) = manifest::parse("test.yaml", &object.to_string());
        assert!(problems.is_empty(), "{problems:?}");
        let options = ApplyOptions {
            applier: "ci".to_owned(),
            source: None,
            force,
            now: self.sandbox.now(),
        };
        let Some(Declared::Release(release)) = manifests.first().map(|it| &it.object) else {
            panic!("one Release");
        };
        self.store.apply_release(release, &options).await
    }

    /// Why a Release is refused, which writes nothing.
    async fn refuses(&self, object: &Value) -> String {
        let before = self.store.release(&key()).await.expect("reads");
        let error = self.tries(object, false).await.expect_err("refused");
        let after = self.store.release(&key()).await.expect("reads");
        assert_eq!(before, after);
        assert!(self.open_requests().await.is_empty());
        error.to_string()
    }

    pub async fn forced(&self, object: &Value) -> ApplyOutcome {
        self.tries(object, true).await.expect("applies").outcome
    }

    async fn open_requests(&self) -> Vec<Request> {
        self.store.requests(&key()).await.expect("reads")
    }

    pub async fn rolls_back(&self, to: u64) {
        let force = false;
        self.request(&key(), RequestKind::Rollback { to, force })
            .await;
    }

    async fn newest(&self) -> Revision {
        let ledger = self.ledger(&key()).await;
        ledger.newest().expect("a revision").clone()
    }

    async fn rejections(&self) -> Vec<Rejection> {
        self.status(&key()).await.rejections
    }

    /// The definition that the nightly rule runs.
    fn nightly(&self) -> Value {
        let targets = self.targets(RULE);
        let arn = targets[0]["EcsParameters"]["TaskDefinitionArn"].as_str();
        self.definition(arn.expect("an ARN"))["taskDefinition"].clone()
    }

    /// For an hour nothing is written, whoever looks.
    async fn keeps_still(&self) {
        let before = self.writes().len();
        let stands = self.resync(&key(), minutes(60), minutes(10)).await;
        assert_eq!(self.writes()[before..], [] as [String; 0], "{stands:?}");
    }

    async fn is_stalled(&self) -> bool {
        matches!(self.settle(&key()).await, Stands::Stalled(_))
    }
}

/// A migration, a service and a schedule, all of one image.
fn whole(tag: &str, expression: &str) -> Value {
    let spec = json!({
        "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
        "services": [service("web")],
        "schedules": [schedule("nightly", expression)],
    });
    release("web", tag, &spec)
}

/// The shop with v2 Ready as revision 1 and v3 as revision 2.
async fn twice() -> World {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn a_revision_is_run_as_it_was_recorded() {
    let world = delivered(&whole("v2", "rate(1 day)")).await;
    let first = pinned(&world, "v2");
    world.put(&whole("v3", "rate(2 days)")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.done("ecs.RunTask").len(), 1);

    // Since then the tag moved, the base changed, and what ran went INACTIVE.
    push(&world, "v2", "something else");
    assert_ne!(pinned(&world, "v2"), first);
    register(&world, "job", "v1", &json!({"memory": "1024"}));
    let gone = json!({"taskDefinition": "web:2"});
    world.aws("ecs", "DeregisterTaskDefinition", gone);
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);

    assert_eq!(world.image_of("web"), first);
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(1 day)");
    let nightly = world.nightly();
    assert_eq!(nightly["memory"], "512");
    assert_eq!(nightly["containerDefinitions"][0]["image"], first.as_str());
    let newest = world.newest().await;
    assert_eq!(newest.pinned, Some(1));
    assert_eq!(newest.applier.as_deref(), Some("ann"));
    assert_eq!(newest.outcome, RevisionOutcome::Ready);
    assert_eq!(world.done("ecs.RunTask").len(), 1, "no migration again");

    // Neither another push nor another base is followed.
    push(&world, "v2", "yet another one");
    register(&world, "job", "v1", &json!({"memory": "2048"}));
    world.keeps_still().await;
    assert_eq!(world.image_of("web"), first);

    // The next apply goes on from there.
    world.put(&whole("v4", "rate(2 days)")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));
    assert_eq!(world.nightly()["memory"], "2048");
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(2 days)");
}

#[tokio::test(start_paused = true)]
async fn what_was_gone_back_from_is_not_applied_again_by_itself() {
    let world = twice().await;
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let told = world.refuses(&web("v3")).await;
    for word in [
        "revision 2",
        "ann went back from it to revision 1",
        "--force",
    ] {
        assert!(told.contains(word), "{told}");
    }
    world.keeps_still().await;

    // What is declared is followed again where somebody says so.
    assert_eq!(world.forced(&web("v3")).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let newest = world.newest().await;
    assert_eq!((newest.generation, newest.pinned), (2, None));
    assert_eq!(world.rejections().await, []);
    let again = world.tries(&web("v3"), false).await.expect("applies");
    assert_eq!(again.outcome, ApplyOutcome::Unchanged);
    world.keeps_still().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_gone_back_from_may_be_forced_in_a_later_generation() {
    let world = twice().await;
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&web("v4")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.rejections().await.len(), 1);
    world.refuses(&web("v3")).await;
    assert_eq!(world.forced(&web("v3")).await, ApplyOutcome::Configured);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.rejections().await, []);
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_is_not_applied_again_by_itself() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert!(world.is_stalled().await);
    let told = world.refuses(&web("bad")).await;
    for word in ["revision 2", "generation 2", "web:3", "--force"] {
        assert!(told.contains(word), "{told}");
    }
    let moves = world.moves().len();
    world.keeps_still().await;

    // Forced it is tried once more, and no oftener.
    assert_eq!(world.forced(&web("bad")).await, ApplyOutcome::TriedAgain);
    assert!(world.is_stalled().await);
    assert!(world.moves().len() > moves);
    world.keeps_still().await;
    world.refuses(&web("bad")).await;
    crash(&world, "nothing");
    assert_eq!(world.forced(&web("bad")).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    assert_eq!(world.rejections().await, []);
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_before_a_fix_may_be_forced_after_it() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert!(world.is_stalled().await);
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let told = world.refuses(&web("bad")).await;
    assert!(told.contains("revision 2"), "{told}");
    crash(&world, "nothing");
    assert_eq!(world.forced(&web("bad")).await, ApplyOutcome::Configured);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    // History does not change its mind about what happened then.
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions[&2].outcome, RevisionOutcome::Rejected);
    assert_eq!(world.rejections().await, []);
}

#[tokio::test(start_paused = true)]
async fn suspending_is_free_and_ends_no_going_back() {
    let world = twice().await;
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let moves = world.moves().len();
    for suspend in [true, false] {
        let now = world.sandbox.now();
        let set = world.store.set_suspend(&key(), suspend, "ops", now).await;
        set.expect("suspends");
        pass(minutes(5)).await;
        world.settle(&key()).await;
    }
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves().len(), moves);
    world.refuses(&web("v3")).await;
    world.keeps_still().await;

    // While it is suspended nobody goes back.
    let now = world.sandbox.now();
    let set = world.store.set_suspend(&key(), true, "ops", now).await;
    set.expect("suspends");
    world.rolls_back(2).await;
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    assert!(world.open_requests().await.is_empty());
    assert_eq!(world.newest().await.pinned, Some(1));
}

#[tokio::test(start_paused = true)]
async fn going_back_may_be_gone_back_from() {
    let world = twice().await;
    for (to, tag) in [(1, "v2"), (2, "v3"), (1, "v2"), (0, "v1"), (2, "v3")] {
        world.rolls_back(to).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{to}");
        let expected = match to {
            0 => "web:1".to_owned(),
            _ => world.runs(CLUSTER, "web"),
        };
        assert_eq!(world.runs(CLUSTER, "web"), expected);
        if to > 0 {
            assert_eq!(world.image_of("web"), pinned(&world, tag));
        }
        assert_eq!(world.newest().await.pinned, Some(to));
    }
    assert_eq!(world.moves().len(), 5);
    assert_eq!(world.called("ecs.RegisterTaskDefinition"), 0);
    world.keeps_still().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_revision_that_is_gone_back_to_declares_may_be_applied() {
    let world = ready(Breaker::Rollback).await;
    world.rolls_back(0).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.refuses(&web("v2")).await;
    world.rolls_back(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let same = world.tries(&web("v2"), false).await.expect("applies");
    assert_eq!(same.outcome, ApplyOutcome::Unchanged);
    world.keeps_still().await;
    // Forced it is what is declared again, and runs already.
    let moves = world.moves();
    assert_eq!(world.forced(&web("v2")).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.newest().await.pinned, None);
    assert_eq!(world.moves(), moves);
    assert_eq!(world.rejections().await, []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_gone_back_to_is_refused_by_the_controller_too() {
    let world = twice().await;
    world.put(&web("bad")).await;
    assert!(world.is_stalled().await);
    world.put(&web("v4")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    // Never kept, what runs, and what never was Ready.
    for to in [9, 4, 3] {
        world.rolls_back(to).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{to}");
        assert!(world.open_requests().await.is_empty());
        assert_eq!(world.newest().await.number, 4);
    }
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let ready = world
        .condition(&key(), evenkeel::resource::conditions::ConditionType::Ready)
        .await
        .expect("it is told");
    assert_eq!(ready.status, ConditionStatus::True);

    crash(&world, "nothing");
    let (to, force) = (3, true);
    world
        .request(&key(), RequestKind::Rollback { to, force })
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_gone_back_to_after_all_is_rejected_like_any_other() {
    let world = twice().await;
    crash(&world, "v2");
    world.rolls_back(1).await;
    assert!(world.is_stalled().await);
    assert_eq!(world.newest().await.outcome, RevisionOutcome::Rejected);
    world.keeps_still().await;
    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.newest().await.pinned, Some(1));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}
