//! What an Environment does not allow, and what becomes of releases whose Environment is gone,
//! moved, or not to be read.

use std::sync::Arc;
use std::time::Duration;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::conditions::ConditionStatus;
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use evenkeel::store::ApplyOptions;
use serde_json::json;

use crate::rails::key;
use crate::refusals::{as_if_nothing_had_been, environment, refused, whole};
use crate::scene::{CLUSTER, MIGRATION, ready, release, standing, with};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn another_account_than_the_environments() {
    let world = with(&whole()).await;
    let elsewhere = environment().replace("spec:\n", "spec:\n  account: \"999999999999\"\n");
    world.apply(&elsewhere).await;
    let words = ["is for account 999999999999", "belong to 123456789012"];
    refused(&world, "WrongAccount", &words).await;
    // Right account this time.
    world
        .apply(&elsewhere.replace("999999999999", "123456789012"))
        .await;
    as_if_nothing_had_been(&world).await;
}

/// A second cluster and a Region that look just like the first.
fn twin(world: &World) {
    let create = json!({"clusterName": "twin"});
    world.aws("ecs", "CreateCluster", create);
    let service = json!({
        "cluster": "twin", "serviceName": "shoryuken", "taskDefinition": "rails-shoryuken:1",
        "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0a1b2c3d4e5f60718"]}}});
    world.aws("ecs", "CreateService", service);
}

/// Points the Environment elsewhere, past `apply`.
fn elsewhere(world: &World, field: &str, to: &str) {
    let input = json!({
        "TableName": "evenkeel",
        "Key": {"pk": {"S": "environment"}, "sk": {"S": "environment#production"}},
        "UpdateExpression": "SET spec.#field = :value",
        "ExpressionAttributeNames": {"#field": field},
        "ExpressionAttributeValues": {":value": {"S": to}},
    });
    world.aws("dynamodb", "UpdateItem", input);
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_changed_after_its_first_use() {
    let world = ready(&whole()).await;
    twin(&world);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let revisions = world.ledger(&key()).await.revisions.len();
    // `apply` refuses it; the controller does not rely on that.
    for (field, from, to) in [
        ("cluster", CLUSTER, "twin"),
        ("region", "ap-northeast-1", "eu-west-1"),
    ] {
        elsewhere(&world, field, to);
        // Neither a request nor a new generation gets through.
        world.asks(RequestKind::Retry).await;
        world.apply(&whole().replace("9d3c2f1", "1f0e8a7")).await;
        let message = world.stalls("EnvironmentChanged").await;
        assert!(message.contains(&format!("{from} -> {to}")), "{message}");
        world.is_settled().await;
        assert_eq!(world.ledger(&key()).await.revisions.len(), revisions);
        assert_eq!(world.runs("twin", "shoryuken"), "rails-shoryuken:1");
        elsewhere(&world, field, from);
        world.apply(&whole()).await;
    }
    world.becomes_ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_running_migration_is_not_lost_in_another_place() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "25m"}}}]));
    let long = release("9d3c2f1", &MIGRATION.replace("15m", "1h"));
    world.apply(&long).await;
    world.run_for(Duration::from_secs(60)).await;
    elsewhere(&world, "region", "eu-west-1");
    world.run_for(Duration::from_secs(12 * 60)).await;
    let (_, reason, message) = standing(&world.status(&key()).await);
    assert_eq!(reason, "EnvironmentChanged", "{message}");
    elsewhere(&world, "region", "ap-northeast-1");
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_environment_does_not_allow() {
    let with_role = whole().replace(
        "      images: {rails: app}\n      timeout: 15m",
        "      images: {rails: app}\n      timeout: 15m\n      overrides: {taskRoleArn: \"arn:aws:iam::123456789012:role/admin\"}",
    );
    assert_ne!(with_role, whole());
    for (list, allowed, name, release) in [
        ("services", "app*", "shoryuken", whole()),
        ("families", "rails-s*", "rails-oneoff", whole()),
        ("repositories", "*/web/*", "rails/app", whole()),
        ("ruleNames", "other-*", "production-rails-nightly", whole()),
        ("roles", "*/nobody", "role/admin", with_role),
    ] {
        let world = with(&release).await;
        let roles = environment();
        let (head, _) = roles.split_once("  allow:").expect("lists");
        world
            .apply(&format!("{head}  allow:\n    {list}: [\"{allowed}\"]\n"))
            .await;
        let add = format!("spec.allow.{list}");
        refused(&world, "NotAllowed", &[name, &add]).await;
        world.apply(head).await;
        world.apply(&whole()).await;
        as_if_nothing_had_been(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_environment_does_not_allow_any_more() {
    let with_role = whole().replace(
        "      timeout: 15m",
        "      timeout: 15m\n      overrides: {taskRoleArn: \"arn:aws:iam::123456789012:role/admin\"}",
    );
    let whole = environment();
    let (head, _) = whole.split_once("  allow:").expect("lists");
    let listed = format!("{head}  allow: {{roles: [\"*:role/*\"]}}\n");
    for (allow, name, list) in [
        (
            "{families: [rails-s*], roles: [\"*:role/*\"]}",
            "rails-oneoff",
            "families",
        ),
        ("{roles: [\"*/nobody\"]}", "role/admin", "roles"),
        ("{families: [\"*\"]}", "role/admin", "roles"),
    ] {
        let world = with(&with_role).await;
        world.apply(&listed).await;
        world.becomes_ready().await;
        world.apply(&format!("{head}  allow: {allow}\n")).await;
        let message = world.stalls("NotAllowed").await;
        assert!(message.contains(name), "{message}");
        assert!(message.contains(&format!("spec.allow.{list}")), "{message}");
        world.is_settled().await;
        world.apply(&listed).await;
        world.becomes_ready().await;
        assert_eq!(world.migration_tasks().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_is_gone() {
    let world = ready(&whole()).await;
    let input = json!({
        "TableName": "evenkeel",
        "Key": {"pk": {"S": "environment"}, "sk": {"S": "environment#production"}},
    });
    world.aws("dynamodb", "DeleteItem", input);
    let reconciler = world.takes_over().await;
    let pass = reconciler
        .reconcile(&key(), &|_, _| {})
        .await
        .expect("a pass");
    assert!(pass.plan.actions.is_empty());
    let (ready, reason, message) = standing(&world.status(&key()).await);
    assert_eq!(
        (ready, reason.as_str()),
        (ConditionStatus::False, "EnvironmentNotFound")
    );
    assert!(message.contains("production"), "{message}");
    world.apply(&environment()).await;
    world.becomes_ready().await;
}

/// CI may not read Environments, so its first release of a namespace may come before them.
#[tokio::test(start_paused = true)]
async fn an_environment_that_is_not_there_yet() {
    let world = with(&whole()).await;
    let input = json!({
        "TableName": "evenkeel",
        "Key": {"pk": {"S": "environment"}, "sk": {"S": "environment#production"}},
    });
    world.aws("dynamodb", "DeleteItem", input);
    let message = world.stalls("EnvironmentNotFound").await;
    assert!(message.contains("production"), "{message}");
    world.is_settled().await;

    // The loop finds it as well, and goes on when the Environment comes.
    world.run_for(Duration::from_secs(10)).await;
    world.apply(&environment()).await;
    world.run_for(Duration::from_secs(20 * 60)).await;
    let (ready, _, message) = standing(&world.status(&key()).await);
    assert_eq!(ready, ConditionStatus::True, "{message}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_environments_is_told_that_nothing_can_be_planned() {
    struct Unseen;
    impl Tap for Unseen {
        fn before(&self, call: &CallInfo<'_>) -> Verdict {
            match call.input.get("Key").map(|key| &key["pk"]["S"]) {
                Some(pk) if pk == "environment" => Verdict::Answer {
                    status: 400,
                    code: "AccessDeniedException".to_owned(),
                    message: "not yours".to_owned(),
                },
                _ => Verdict::Proceed,
            }
        }
    }
    let text = release("9d3c2f1", "");
    let world = with(&text).await;
    let (manifests, _) = manifest::parse("test.yaml", &text);
    let Declared::Release(file) = &manifests[0].object else {
        panic!("a release")
    };
    let options = ApplyOptions {
        applier: "ci".to_owned(),
        source: None,
        force: false,
        now: world.sandbox.now(),
    };
    world.sandbox.set_tap(Some(Arc::new(Unseen)));
    let reconciler = world.takes_over().await;
    let by_file = reconciler.preview_manifest(file, None, &options).await;
    let by_name = reconciler.preview(&key()).await;
    for error in [by_file.expect_err("denied"), by_name.expect_err("denied")] {
        let told = error.to_string();
        assert!(
            told.contains("environment production may not be read"),
            "{told}"
        );
        assert!(told.contains("not yours"), "{told}");
    }
}
