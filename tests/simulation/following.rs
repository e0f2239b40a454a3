//! Tags that are followed: what is pushed is rolled out, each image accepted or rejected on its own.

use std::collections::BTreeSet;

use evenkeel::model::ledger::RevisionOutcome;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType, is_true};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Verdict;
use evenkeel::store::ApplyOutcome;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::crash::{Moment, calls_of, die_at};
use crate::shop::{
    Breaker, CLUSTER, Stands, crash, digest, environment, key, minutes, pass, pinned, push,
    register, release, repository, rules, seconds, service, shop, stalled, web,
};
use crate::world::{World, example};

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
    let places = calls_of(&world);
    let wanted = (
        world.moves(),
        world.done("ecs.RunTask").len(),
        world.revisions("web"),
    );
    assert_eq!((wanted.0.len(), wanted.1), (1, 1));
    let writes = places.iter().filter(|(_, is_write)| *is_write).count();
    assert!(writes > 8, "only {writes} writes to die at");
    for (at, _) in places.into_iter().filter(|(_, is_write)| *is_write) {
        for moment in [Moment::Before, Moment::After] {
            let world = moved().await;
            assert!(die_at(&world, at, moment).await, "{moment:?} {at}");
            assert_eq!(world.settle(&key()).await, Stands::Ready, "{moment:?} {at}");
            assert_eq!(
                world.image_of("web"),
                pinned(&world, "v3"),
                "{moment:?} {at}"
            );
            let started: BTreeSet<String> = world
                .done("ecs.RunTask")
                .iter()
                .map(|call| call.input["clientToken"].to_string())
                .collect();
            assert_eq!(started.len(), 1, "{moment:?} {at}");
            assert_eq!(world.revisions("web"), wanted.2, "{moment:?} {at}");
            assert_eq!(world.outcomes().await, [READY, READY], "{moment:?} {at}");
        }
    }
}

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

/// An Environment whose rule is about every repository, as this Release's image.
fn ruled(release: &str) -> Value {
    let rules = json!([{"repository": "(?<service>[a-z]+)", "release": release, "image": "web"}]);
    environment(&json!({"imageRules": rules}))
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_the_environment_follows_without_the_release_saying_so() {
    let world = on_v2(&web("latest")).await;
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.differences(&key()).await.len(), 1, "it is told");

    world.put(&ruled("another")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));

    world.put(&ruled("$service")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.differences(&key()).await, []);

    // Who says that it does not want to be followed is not.
    let mut object = web("latest");
    object["spec"]["images"]["web"]["follow"] = json!(false);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "latest", "v4");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.differences(&key()).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_images_of_a_release_are_followed_each_for_itself() {
    let world = shop(Breaker::Rollback).await;
    for (tag, content) in [("1.0.0", "v1"), ("latest", "v2")] {
        push(&world, tag, content);
    }
    let images = json!({
        "web": {"repository": repository(), "tagPattern": r"\d+\.\d+\.\d+"},
        "side": {"repository": repository(), "tag": "latest", "follow": true},
    });
    let mut worker = service("worker");
    worker["images"] = json!({"worker": "side"});
    let mut object = release(
        "web",
        "none",
        &json!({"services": [service("web"), worker]}),
    );
    object["spec"]["images"] = images;
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.sandbox.reset_calls();
    // What comes after does not try the bad version again.
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("worker"), pinned(&world, "v3"));
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    world.nothing_goes_on().await;
}

/// The example that images come to by replication, settled.
mod replicated {
    use super::*;

    pub fn key() -> ReleaseKey {
        ReleaseKey::new("verification", "api")
    }

    pub async fn ready() -> World {
        let world = World::new("replication/account.json").await;
        world.apply(&example("replication/environment.yaml")).await;
        world.apply(&example("replication/release.yaml")).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(runs(&world), latest(&world));
        world.sandbox.reset_calls();
        world
    }

    /// The image that the service runs.
    pub fn runs(world: &World) -> String {
        world.image_in(&world.runs("verification", "api"), "api")
    }

    /// The image behind `latest`, as it stands in what evenkeel registers.
    pub fn latest(world: &World) -> String {
        let ids = json!([{"imageTag": "latest"}]);
        let input = json!({"repositoryName": "backend/api", "imageIds": ids});
        let found = world.aws("ecr", "DescribeImages", input);
        let digest = found["imageDetails"][0]["imageDigest"]
            .as_str()
            .expect("a digest");
        format!("123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/backend/api@{digest}")
    }

    pub fn push(world: &World) {
        let calls = evenkeel::sandbox::parse_account(&example("replication/push.json"));
        world.load(&calls.expect("calls"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_replication_example_runs_what_is_replicated_without_any_event() {
    let world = replicated::ready().await;
    let before = replicated::runs(&world);
    let pushes = async {
        pass(minutes(1)).await;
        replicated::push(&world);
        pass(minutes(15)).await;
    };
    world.controller().run(pushes).await.expect("runs");
    assert_ne!(replicated::runs(&world), before);
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    let ready = world.is(&replicated::key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::True));
    assert_eq!(
        world.aws_writes(),
        ["ecs.RegisterTaskDefinition", "ecs.UpdateService"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_replicated_image_brings_it_within_seconds() {
    let world = replicated::ready().await;
    // Nothing but what CloudTrail writes down tells of it.
    world.aws("sqs", "CreateQueue", json!({"QueueName": "events"}));
    let url = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";
    let options = evenkeel::controller::ControllerOptions {
        events: Some(evenkeel::aws::sqs::Queue::new(&world.client(), url)),
        resync: jiff::SignedDuration::from_hours(24),
        ..Default::default()
    };
    let controller = world.controller_with(options);
    let events = async {
        pass(minutes(5)).await;
        replicated::push(&world);
        pass(minutes(5)).await;
        assert_eq!(world.called("ecs.UpdateService"), 0, "nobody knows of it");
        let body = example("replication/event.json");
        world.aws(
            "sqs",
            "SendMessage",
            json!({"QueueUrl": url, "MessageBody": body}),
        );
        pass(seconds(30)).await;
        assert_eq!(world.called("ecs.UpdateService"), 1);
        pass(minutes(10)).await;
    };
    controller.run(events).await.expect("runs");
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    let ready = world.is(&replicated::key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::True));
}

#[tokio::test(start_paused = true)]
async fn a_bad_replicated_image_is_rejected_and_a_good_one_after_it_taken() {
    let world = replicated::ready().await;
    let before = replicated::runs(&world);
    replicated::push(&world);
    let bad = replicated::latest(&world);
    let crashing = json!([{"when": {"image": bad}, "then": {"crash": {"after": "2s"}}}]);
    rules(&world, &crashing);
    // Its service has no circuit breaker: time judges it.
    let stands = world.settle(&replicated::key()).await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(replicated::runs(&world), before);
    world.push("backend/api", "latest", "fixed");
    assert_eq!(world.settle(&replicated::key()).await, Stands::Ready);
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    assert!(![before, bad].contains(&replicated::runs(&world)));
}
