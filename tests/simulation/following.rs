//! Tags that are followed: what is pushed is rolled out, each image accepted or rejected on its own.

mod passed_over;
mod patterns;
mod rules;

use std::collections::BTreeSet;

use evenkeel::model::ledger::RevisionOutcome;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::sandbox::Verdict;
use serde_json::{Value, json};

use crate::crash::{deaths_at_writes, die_at};
use crate::shop::{
    Breaker, CLUSTER, Stands, digest, key, minutes, pass, pinned, push, register, repository,
    rules, seconds, shop, stalled, web,
};
use crate::world::World;

/// The release `web` that follows `latest`.
fn follows() -> Value {
    let mut object = web("latest");
    object["spec"]["images"]["web"]["follow"] = json!(true);
    object
}

/// The release `web` that follows the newest tag of these.
fn newest(pattern: &str, order: &str) -> Value {
    let mut object = web("none");
    object["spec"]["images"]["web"] =
        json!({"repository": repository(), "tagPattern": pattern, "order": order});
    object
}

/// The same with a migration, by the family `job`.
fn migrating(mut object: Value) -> Value {
    object["spec"]["migrations"] = json!([{
        "name": "migrate", "taskDefinition": {"family": "job"}, "images": {"job": "web"},
    }]);
    object
}

/// `job` ends well after so long, and tasks of `bad` crash.
fn jobs_take(world: &World, time: &str) {
    let rules = json!([
        {"when": {"family": "job"}, "then": {"exit": {"after": time}}},
        {"when": {"image": "web:bad"}, "then": {"crash": {"after": "2s", "exitCode": 1}}},
    ]);
    self::rules(world, &rules);
}

/// The shop with this release Ready on v2, which `latest` points at.
async fn on_v2(object: &Value) -> World {
    let world = shop(Breaker::Rollback).await;
    push(&world, "latest", "v2");
    jobs_take(&world, "5s");
    world.put(object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.sandbox.reset_calls();
    world
}

impl World {
    async fn outcomes(&self) -> Vec<RevisionOutcome> {
        let revisions = self.ledger(&key()).await.revisions;
        let ours = revisions.values().filter(|it| it.number > 0);
        ours.map(|it| it.outcome).collect()
    }

    /// An hour in which nothing is to be done.
    async fn nothing_goes_on(&self) {
        let before = (self.status(&key()).await, self.outcomes().await);
        self.sandbox.reset_calls();
        self.resync(&key(), minutes(60), minutes(20)).await;
        assert_eq!(self.writes(), [] as [&str; 0]);
        assert_eq!((self.status(&key()).await, self.outcomes().await), before);
    }

    /// What is said of an image.
    async fn said_of(&self, image: &str) -> String {
        let told = self.status(&key()).await.images[image].message.clone();
        told.unwrap_or_default()
    }

    /// What the next pass gives as the reason for a new revision.
    async fn reason(&self) -> String {
        let plan = self.reconciler().preview(&key()).await.expect("plans");
        let new = plan
            .actions
            .iter()
            .find(|it| it.step.kind() == "RecordRevision");
        new.expect("a new revision").reason.clone()
    }

    fn delete_tag(&self, tag: &str) {
        let ids = json!([{"imageTag": tag}]);
        let input = json!({"repositoryName": "web", "imageIds": ids});
        self.aws("ecr", "BatchDeleteImage", input);
    }
}

const READY: RevisionOutcome = RevisionOutcome::Ready;
const REJECTED: RevisionOutcome = RevisionOutcome::Rejected;
const SUPERSEDED: RevisionOutcome = RevisionOutcome::Superseded;

#[tokio::test(start_paused = true)]
async fn what_is_pushed_is_rolled_out_as_a_revision_of_the_same_generation() {
    let world = on_v2(&migrating(follows())).await;
    world.nothing_goes_on().await;
    push(&world, "latest", "v3");
    let moved = format!("image web: latest moved to {}", digest(&world, "v3"));
    assert_eq!(world.reason().await, moved);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let revisions = world.ledger(&key()).await.revisions;
    assert_eq!(
        (revisions[&2].generation, revisions[&2].outcome),
        (1, READY)
    );
    let status = world.status(&key()).await;
    assert_eq!(
        status.images["web"].reference,
        format!("{}:latest", repository())
    );
    assert_eq!(status.images["web"].digest, Some(digest(&world, "v3")));
    assert_eq!(world.differences(&key()).await, []);
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn a_running_controller_finds_a_push_without_being_told() {
    let world = on_v2(&follows()).await;
    let pushes = async {
        pass(minutes(2)).await;
        push(&world, "latest", "v3");
        pass(minutes(20)).await;
    };
    world.controller().run(pushes).await.expect("runs");
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(
        world.is(&key(), ConditionType::Ready).await,
        Some(ConditionStatus::True)
    );
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn each_push_is_accepted_or_rejected_on_its_own() {
    let world = on_v2(&migrating(follows())).await;
    push(&world, "latest", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.outcomes().await, [READY, REJECTED]);
    let tried = world.moves();
    // The tag still points at it: neither time nor a restart tries it again.
    world.nothing_goes_on().await;
    world.run_for(minutes(20)).await;
    assert_eq!(world.writes(), [] as [&str; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));

    // A fix is taken while the controller runs, without anybody asking.
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));

    // What was rejected comes back under the tag: it was judged, and is passed over.
    world.sandbox.reset_calls();
    push(&world, "latest", "bad");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let told = world.said_of("web").await;
    let bad = format!("latest at {} is passed over", digest(&world, "bad"));
    assert!(told.starts_with(&bad), "{told}");
    assert!(!tried.is_empty());
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_back_brings_back_what_ran() {
    let world = on_v2(&migrating(follows())).await;
    push(&world, "latest", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.sandbox.reset_calls();
    push(&world, "latest", "v2");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    // It is what runs, and was migrated.
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    // So also over what was accepted.
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    push(&world, "latest", "v2");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.aws_writes(), ["ecs.UpdateService"]);
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_gone_or_cannot_be_read_moves_nothing() {
    let world = on_v2(&follows()).await;
    world.delete_tag("latest");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.differences(&key()).await, []);
    let verdict = Verdict::Answer {
        status: 500,
        code: "ServerException".to_owned(),
        message: "try later".to_owned(),
    };
    world.breaks("DescribeImages", 1000, false, verdict);
    world.run_for(minutes(10)).await;
    let drifted = world.is(&key(), ConditionType::Drifted).await;
    assert_eq!(drifted, Some(ConditionStatus::Unknown));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_push_preempts_a_rollout_at_once() {
    let world = on_v2(&follows()).await;
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "5m"}}}]);
    rules(&world, &slow);
    push(&world, "latest", "v3");
    world.run_for(seconds(60)).await;
    assert_eq!(world.moves(), ["web -> web:3"]);
    push(&world, "latest", "v4");
    world.run_for(seconds(20)).await;
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:4"]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));
    assert_eq!(world.outcomes().await, [READY, SUPERSEDED, READY]);
    world.nothing_goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_waits_for_a_migration_that_runs() {
    let world = on_v2(&migrating(follows())).await;
    jobs_take(&world, "10m");
    push(&world, "latest", "v3");
    world.run_for(minutes(2)).await;
    push(&world, "latest", "v4");
    world.run_for(minutes(2)).await;
    assert_eq!(world.called("ecs.StopTask"), 0);
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    assert_eq!(world.moves(), [] as [&str; 0]);
    let told = world
        .condition(&key(), ConditionType::Ready)
        .await
        .expect("told");
    assert!(
        told.message.contains("still running and ends first"),
        "{}",
        told.message
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.done("ecs.RunTask").len(), 2);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));
    assert_eq!(
        world.moves().len(),
        1,
        "v3 was never rolled out: {:?}",
        world.moves()
    );
}

#[tokio::test(start_paused = true)]
async fn a_structure_that_changes_with_the_push_comes_along() {
    let world = on_v2(&follows()).await;
    let by_hand = register(&world, "web", "latest", &json!({"memory": "1024"}));
    world.by_hand("web", &by_hand);
    pass(minutes(2)).await;
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "1024");
}

#[tokio::test(start_paused = true)]
async fn dying_anywhere_between_a_push_and_ready_ends_in_the_same_account() {
    let moved = async || {
        let world = on_v2(&migrating(follows())).await;
        push(&world, "latest", "v3");
        world.sandbox.reset_calls();
        world
    };
    let world = moved().await;
    world.run_once().await.expect("runs");
    let deaths = deaths_at_writes(&world);
    let wanted = (
        world.moves(),
        world.done("ecs.RunTask").len(),
        world.revisions("web"),
    );
    assert_eq!((wanted.0.len(), wanted.1), (1, 1));
    assert!(deaths.len() > 16, "only {} ways to die", deaths.len());
    for (at, moment) in deaths {
        let what = format!("{moment:?} call {at}");
        let world = moved().await;
        assert!(die_at(&world, at, moment).await, "{what}");
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{what}");
        assert_eq!(world.image_of("web"), pinned(&world, "v3"), "{what}");
        let started: BTreeSet<String> = world
            .done("ecs.RunTask")
            .iter()
            .map(|call| call.input["clientToken"].to_string())
            .collect();
        assert_eq!(started.len(), 1, "{what}");
        assert_eq!(world.revisions("web"), wanted.2, "{what}");
        assert_eq!(world.outcomes().await, [READY, READY], "{what}");
    }
}
