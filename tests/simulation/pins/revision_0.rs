//! What ran before evenkeel moved a part.

use evenkeel::model::ledger::RequestKind;
use evenkeel::store::ApplyOutcome;
use serde_json::{Value, json};

use super::{RULE, whole};
use crate::shop::{
    Breaker, CLUSTER, ROLE, Stands, arn, definition, held, key, minutes, pass, pinned, register,
    release, rules, schedule, seconds, service, shop, stalled, web,
};
use crate::world::{REGION, World};

#[tokio::test(start_paused = true)]
async fn revision_0_is_what_ran_before() {
    let world = shop(Breaker::Rollback).await;
    let rule = json!({"Name": RULE, "ScheduleExpression": "rate(5 minutes)"});
    world.aws("events", "PutRule", rule);
    let target = json!({
        "Id": "theirs", "RoleArn": ROLE,
        "Arn": format!("arn:aws:ecs:{REGION}:123456789012:cluster/{CLUSTER}"),
        "EcsParameters": {"TaskDefinitionArn": world.definition("job")["taskDefinition"]["taskDefinitionArn"],
            "TaskCount": 2},
    });
    let targets = json!({"Rule": RULE, "Targets": [target]});
    world.aws("events", "PutTargets", targets);
    let mut object = whole("v2", "rate(1 day)");
    object["spec"]["schedules"][0]["adopt"] = json!(true);
    let more = schedule("hourly", "rate(1 hour)");
    let schedules = object["spec"]["schedules"].as_array_mut();
    schedules.expect("a list").push(more);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_ne!(world.runs(CLUSTER, "web"), "web:1");

    world.rolls_back(0).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
    let old = definition("job", "v1", &json!({}));
    let image = &old["containerDefinitions"][0]["image"];
    assert_eq!(world.nightly()["containerDefinitions"][0]["image"], *image);
    // Of the rule nothing else is known from then, and what was made since stays.
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(1 day)");
    assert!(world.has_rule("shop-web-hourly"));
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    world.keeps_still().await;
    assert_eq!(world.forced(&object).await, ApplyOutcome::TriedAgain);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

/// The release of `web`, which somebody has to agree to.
fn approved(tag: &str) -> Value {
    let mut object = web(tag);
    object["spec"]["approval"] = json!("required");
    object
}

/// Another pipeline deploys a service, and well; the name of the definition.
async fn deployed_by_others(world: &World, service: &str, tag: &str) -> String {
    let theirs = register(world, service, tag, &json!({}));
    world.by_hand(service, &theirs);
    pass(minutes(5)).await;
    theirs.rsplit('/').next().expect("a name").to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed_while_the_first_revision_waits_is_what_ran_before_it() {
    let world = shop(Breaker::Stop).await;
    world.put(&approved("bad")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    let theirs = deployed_by_others(&world, "web", "v3").await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.keeps_still().await;
    let zero = world.ledger(&key()).await.revisions[&0].clone();
    let web = &zero.parts["service/web"];
    assert_eq!(web.arn, Some(arn(&theirs)));

    world
        .request(&key(), RequestKind::Approve { revision: 1 })
        .await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
    world.keeps_still().await;
    // What runs since then is no more what ran before.
    world.put(&approved("v4")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    assert_eq!(world.ledger(&key()).await.revisions[&0], zero);
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed_while_the_first_migration_fails_is_what_ran_before_it() {
    let world = shop(Breaker::Stop).await;
    let fails =
        json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s", "exitCode": 1}}}]);
    rules(&world, &fails);
    world.put(&whole("bad", "rate(1 day)")).await;
    assert_eq!(world.settle(&key()).await, stalled("MigrationFailed"));
    let theirs = deployed_by_others(&world, "web", "v3").await;
    assert_eq!(world.settle(&key()).await, stalled("MigrationFailed"));
    world.keeps_still().await;
    let succeeds = json!([
        {"when": {"family": "job"}, "then": {"exit": {"after": "5s"}}},
        {"when": {"image": "web:bad"}, "then": {"crash": {"after": "2s", "exitCode": 1}}},
    ]);
    rules(&world, &succeeds);
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    // What it was to run was registered before theirs.
    assert_eq!(theirs, "web:3");
    assert_eq!(world.moves(), ["web -> web:2", "web -> web:3"]);
    world.keeps_still().await;
}

#[tokio::test(start_paused = true)]
async fn how_a_service_ran_before_is_told_by_the_moment_it_is_moved() {
    let world = shop(Breaker::Stop).await;
    let slow = json!([
        {"when": {"image": "web:v3"}, "then": {"healthy": {"after": "3m"}}},
        {"when": {"image": "web:bad"}, "then": {"crash": {"after": "2s", "exitCode": 1}}},
    ]);
    rules(&world, &slow);
    let theirs = register(&world, "web", "v3", &json!({}));
    world.by_hand("web", &theirs);
    pass(seconds(1)).await;
    world.put(&approved("bad")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    let recorded = async || {
        let revisions = world.ledger(&key()).await.revisions;
        let web = revisions[&0].parts["service/web"].clone();
        (web.arn, web.healthy)
    };
    assert_eq!(recorded().await, (Some(theirs.clone()), Some(false)));
    pass(minutes(10)).await;
    world.keeps_still().await;
    world
        .request(&key(), RequestKind::Approve { revision: 1 })
        .await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(recorded().await, (Some(theirs), Some(true)));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_back_goes_back_to_what_it_ran_meanwhile() {
    let both = |tag: &str| {
        let services = json!({"services": [service("web"), service("worker")]});
        release("web", tag, &services)
    };
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let theirs = deployed_by_others(&world, "worker", "v3").await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);

    world.put(&both("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs(CLUSTER, "worker"), theirs);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.keeps_still().await;
}
