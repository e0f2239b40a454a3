//! The end of a release, the rest of one, and pauses.

use evenkeel::model::ledger::{RevisionOutcome, RunState};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::store::StoreError;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, environment, key, merge, minutes, pass, pinned, register, release,
    rules, schedule, seconds, service, shop, stalled, web,
};
use crate::world::{REGION, World};

const RULE: &str = "shop-web-nightly";

fn whole(tag: &str, more: &Value) -> Value {
    let mut spec = json!({
        "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
        "services": [service("web")],
        "schedules": [schedule("nightly", "rate(1 day)")],
    });
    merge(&mut spec, more);
    release("web", tag, &spec)
}

async fn ready(more: &Value) -> World {
    let world = shop(Breaker::Rollback).await;
    world.put(&whole("v2", more)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world
}

async fn delete(world: &World, orphan: bool) {
    let now = world.sandbox.now();
    let asked = world.store.delete_release(&key(), orphan, now).await;
    assert!(asked.expect("it is there"));
}

async fn is_there(world: &World) -> bool {
    world.store.release(&key()).await.expect("reads").is_some()
}

/// Revision 0 is what there is to go back to: of every part, also of those declared later.
#[tokio::test(start_paused = true)]
async fn revision_0_is_what_each_part_ran_before_it_was_declared() {
    let world = shop(Breaker::Rollback).await;
    let image = |name: &str| world.image_in(name, name.split(':').next().unwrap_or_default());
    let (web_before, worker_before) = (image("web:1"), image("worker:1"));
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let zero = world.ledger(&key()).await.revisions[&0].clone();
    assert_eq!(zero.parts.keys().collect::<Vec<_>>(), ["service/web"]);

    let both = json!({"services": [service("web"), service("worker")]});
    world.put(&release("web", "v3", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let now = world.ledger(&key()).await.revisions[&0].clone();
    assert_eq!(now.parts["service/web"], zero.parts["service/web"]);
    for (name, before) in [("web", web_before), ("worker", worker_before)] {
        let part = &now.parts[&format!("service/{name}")];
        assert_eq!(part.healthy, Some(true));
        let content = world.store.definition(&part.definition).await;
        let content = content.expect("reads").expect("it is stored");
        assert_eq!(content["containerDefinitions"][0]["image"], before);
    }
    // It is recorded once.
    world.put(&release("web", "v2", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.ledger(&key()).await.revisions[&0], now);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_release_leaves_its_rules_and_gives_its_claims_back() {
    let world = ready(&json!({})).await;
    let before = (
        world.rule(RULE),
        world.targets(RULE),
        world.runs(CLUSTER, "web"),
    );
    let claims: Vec<String> = world.ledger(&key()).await.claims.into_keys().collect();
    assert_eq!(claims.len(), 2);
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
    assert_eq!(
        (
            world.rule(RULE),
            world.targets(RULE),
            world.runs(CLUSTER, "web")
        ),
        before
    );
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert!(world.store.claims(&claims).await.expect("reads").is_empty());
    let ledger = world.store.ledger(&key(), "another").await.expect("reads");
    assert_eq!(ledger.migrations.len(), 1);
    assert!(ledger.rollouts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_release_made_anew_starts_afresh_and_migrates_nothing_twice() {
    let world = ready(&json!({})).await;
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    world.put(&whole("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("RunTask"), [] as [Value; 0]);
    assert_eq!(world.sent("RegisterTaskDefinition"), [] as [Value; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let ledger = world.ledger(&key()).await;
    let numbers: Vec<u64> = ledger.revisions.keys().copied().collect();
    assert_eq!(numbers, [0, 1]);
    // What ran before this object's first write, not before the other's.
    let zero = &ledger.revisions[&0].parts["service/web"];
    assert!(
        zero.arn.as_ref().is_some_and(|arn| arn.ends_with("web:1")),
        "{zero:?}"
    );
    assert_eq!(ledger.revisions[&1].outcome, RevisionOutcome::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_delete_policy_takes_the_rules_away() {
    let world = ready(&json!({"deletionPolicy": "Delete"})).await;
    let rule = json!({"Name": "shop-web-stranger", "ScheduleExpression": "rate(1 hour)"});
    world.aws("events", "PutRule", rule);
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
    assert!(!world.has_rule(RULE));
    assert!(world.has_rule("shop-web-stranger"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn rules_that_lag_behind_are_deleted_too() {
    let world = ready(&json!({"deletionPolicy": "Delete"})).await;
    pass(minutes(1)).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(15));
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
    pass(minutes(1)).await;
    assert!(!world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_was_just_written_is_deleted_too() {
    let world = ready(&json!({"deletionPolicy": "Delete", "schedules": []})).await;
    pass(minutes(1)).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(15));
    world
        .put(&whole("v2", &json!({"deletionPolicy": "Delete"})))
        .await;
    let reconciler = world.takes_over().await;
    while world.done("events.PutTargets").is_empty() {
        let ran = reconciler.reconcile(&key(), &|_, _| {}).await;
        ran.expect("a pass");
        pass(seconds(1)).await;
    }
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
    pass(minutes(1)).await;
    assert!(!world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_refused_waits_and_orphaning_always_ends() {
    let world = ready(&json!({"deletionPolicy": "Delete"})).await;
    for action in [
        "events:ListRules",
        "events:RemoveTargets",
        "events:DeleteRule",
    ] {
        world.deny(&[action]);
        if action == "events:ListRules" {
            delete(&world, false).await;
        }
        assert_eq!(world.run(&key()).await, stalled("AccessDenied"), "{action}");
        assert!(is_there(&world).await);
    }
    world.deny(&["ecs:*", "ecr:*", "events:*", "sts:*"]);
    delete(&world, true).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
    assert!(world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_became_invalid_can_be_deleted() {
    let world = ready(&json!({})).await;
    let mut without_role = environment(&json!({}));
    without_role["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("schedules");
    world.put(&without_role).await;
    assert_eq!(world.run(&key()).await, stalled("InvalidSpec"));
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(!is_there(&world).await);
}

#[tokio::test(start_paused = true)]
async fn a_release_is_deleted_in_the_middle_of_its_work() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "4m"}}}]),
    );
    world.put(&whole("v2", &json!({}))).await;
    let run = async {
        pass(minutes(1)).await;
        delete(&world, false).await;
    };
    let (ran, ()) = tokio::join!(world.run_once(), run);
    ran.expect("runs");
    assert!(!is_there(&world).await);
    assert_eq!(world.moves(), [] as [&str; 0]);

    // The task goes on; a release of the same name finds it and does not start another.
    world.put(&whole("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("RunTask").len(), 1);
    let runs = world.ledger(&key()).await.migrations;
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn an_environment_outlives_its_releases() {
    let world = ready(&json!({})).await;
    let refused = world.store.delete_environment("shop").await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    delete(&world, false).await;
    let refused = world.store.delete_environment("shop").await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    world.run_once().await.expect("runs");
    world
        .store
        .delete_environment("shop")
        .await
        .expect("deletes");
}

#[tokio::test(start_paused = true)]
async fn claims_given_back_by_one_release_are_anothers() {
    let world = ready(&json!({})).await;
    world
        .put(&release(
            "other",
            "v3",
            &json!({"services": [service("web")]}),
        ))
        .await;
    let other = ReleaseKey::new("shop", "other");
    assert_eq!(world.run(&other).await, stalled("Conflict"));
    // It is taken out of the first, which goes on with the rest.
    let mut without = whole("v2", &json!({}));
    without["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("services");
    world.put(&without).await;
    world.run_once().await.expect("runs");
    assert_eq!(world.settle(&other).await, Stands::Ready);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

async fn suspend(world: &World, suspend: bool) {
    let now = world.sandbox.now();
    let set = world.store.set_suspend(&key(), suspend, "ann", now).await;
    set.expect("sets");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_release_changes_nothing() {
    let world = ready(&json!({})).await;
    suspend(&world, true).await;
    world.by_hand("web", "web:1");
    world.aws("events", "DisableRule", json!({"Name": RULE}));
    pass(minutes(2)).await;
    world.put(&whole("v3", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);

    suspend(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_migration_is_written_down_while_suspended() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "3m"}}}]),
    );
    world.put(&whole("v2", &json!({}))).await;
    let pausing = async {
        pass(minutes(1)).await;
        suspend(&world, true).await;
    };
    let key = key();
    let (stands, ()) = tokio::join!(world.run(&key), pausing);
    assert_eq!(stands, Stands::Suspended);
    pass(minutes(4)).await;
    assert_eq!(world.settle(&key).await, Stands::Suspended);
    assert_eq!(
        world.ledger(&key).await.migrations[0].state,
        RunState::Succeeded
    );
    assert_eq!(world.moves(), [] as [&str; 0]);
    // ECS forgets stopped tasks; the ledger does not.
    pass(minutes(120)).await;
    suspend(&world, false).await;
    assert_eq!(world.settle(&key).await, Stands::Ready);
    assert_eq!(world.sent("RunTask").len(), 1);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_migration_is_not_stopped_when_its_time_is_up() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "10m"}}}]),
    );
    let timely = json!([{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}, "timeout": "3m"}]);
    world
        .put(&whole("v2", &json!({"migrations": timely})))
        .await;
    let pausing = async {
        pass(minutes(1)).await;
        suspend(&world, true).await;
    };
    let key = key();
    let (stands, ()) = tokio::join!(world.run(&key), pausing);
    assert_eq!(stands, Stands::Suspended);
    pass(minutes(5)).await;
    assert_eq!(world.settle(&key).await, Stands::Suspended);
    assert_eq!(world.sent("StopTask"), [] as [Value; 0]);
    suspend(&world, false).await;
    assert_eq!(world.settle(&key).await, stalled("MigrationFailed"));
    assert_eq!(world.sent("StopTask").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_under_way_is_taken_up_again_after_a_pause() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v2"}, "then": {"healthy": {"after": "2m"}}}]),
    );
    world.put(&web("v2")).await;
    let pausing = async {
        pass(minutes(1)).await;
        suspend(&world, true).await;
    };
    let key = key();
    let (stands, ()) = tokio::join!(world.run(&key), pausing);
    assert_eq!(stands, Stands::Suspended);
    pass(minutes(30)).await;
    suspend(&world, false).await;
    assert_eq!(world.settle(&key).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_made_anew_leaves_what_the_one_before_it_left_running() {
    for orphan in [false, true] {
        left_running(orphan).await;
    }
}

async fn left_running(orphan: bool) {
    let world = shop(Breaker::Off).await;
    // Two services of one family, each with its own shape.
    let shape = register(&world, "web", "v1", &json!({"memory": "700"}));
    world.by_hand("worker", &shape);
    pass(minutes(3)).await;
    let worker = json!({"name": "worker", "images": {"web": "web"}});
    let both = json!({"services": [service("web"), worker]});
    world.put(&release("web", "v2", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let left = world.runs(CLUSTER, "worker");
    let now = world.sandbox.now();
    let deleted = world.store.delete_release(&key(), orphan, now).await;
    deleted.expect("deletes");
    world.run_once().await.expect("runs");
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "worker"), left);
    let status = world.definition(&left)["taskDefinition"]["status"].clone();
    assert_eq!(status, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn another_spelling_of_the_cluster_is_no_other_cluster() {
    let world = shop(Breaker::Rollback).await;
    let done = json!([{"when": {"family": "job"}, "then": {"exit": {"after": "2s"}}}]);
    rules(&world, &done);
    let spec = json!({
        "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
        "services": [service("web")],
    });
    let object = release("web", "v2", &spec);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let cluster = format!("arn:aws:ecs:{REGION}:123456789012:cluster/{CLUSTER}");
    let spelled = environment(&json!({"cluster": cluster}));
    world.put(&spelled).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);

    // Nor is it one for what ran there before the Environment was made anew.
    let now = world.sandbox.now();
    let deleted = world.store.delete_release(&key(), false, now).await;
    deleted.expect("deletes");
    world.run_once().await.expect("runs");
    let deleted = world.store.delete_environment("shop").await;
    deleted.expect("deletes");
    world.put(&spelled).await;
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("RunTask").len(), 1);
}
