//! What cannot be done is told with its cure, nothing is half done, and the cure is enough.

use std::sync::Arc;
use std::time::Duration;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::conditions::ConditionStatus;
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::{CallInfo, Glob, Tap, Verdict};
use evenkeel::store::ApplyOptions;
use serde_json::json;

use crate::rails::key;
use crate::scene::{
    CLUSTER, MIGRATION, other, ready, release, release_of, stalled, standing, with,
};
use crate::world::{World, example};

/// One schedule of the released image.
const SCHEDULE: &str = "  schedules:
    - name: nightly
      expression: cron(0 18 * * ? *)
      taskDefinition: {family: rails-oneoff}
      images: {rails: app}
";

/// A release with a part of every kind.
fn whole() -> String {
    format!("{}{SCHEDULE}", release("9d3c2f1", MIGRATION))
}

fn environment() -> String {
    example("rails/environment.yaml")
}

/// Nothing is different in AWS, and nothing but the status is in the table.
async fn untouched(world: &World) {
    let aws: Vec<_> = world
        .writes()
        .into_iter()
        .filter(|call| !call.starts_with("dynamodb."))
        .collect();
    assert_eq!(aws, Vec::<String>::new());
    let ledger = world.ledger(&key()).await;
    assert!(ledger.revisions.is_empty(), "{:?}", ledger.revisions);
    assert!(ledger.claims.is_empty(), "{:?}", ledger.claims);
    let environment = world.store.environment("production").await.expect("reads");
    assert_eq!(
        environment.and_then(|found| found.status),
        None,
        "it is bound"
    );
}

/// The release is Stalled for this reason with all of these words, nothing is half done, and the
/// next pass writes nothing.
async fn refused(world: &World, reason: &str, words: &[&str]) {
    let message = world.stalls(reason).await;
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    untouched(world).await;
    world.is_settled().await;
}

/// The release became Ready in as many steps as if nothing had been in the way.
async fn as_if_nothing_had_been(world: &World) {
    world.becomes_ready().await;
    assert_eq!(world.revisions("rails-shoryuken"), 2);
    assert_eq!(world.revisions("rails-oneoff"), 2);
    assert_eq!(world.migration_tasks().len(), 1);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn no_such_cluster() {
    let world = with(&whole()).await;
    let wrong = environment().replace(CLUSTER, "rails-prodution");
    world.apply(&wrong).await;
    let words = ["rails-prodution", "Check the cluster and the region"];
    refused(&world, "ClusterNotFound", &words).await;
    world.apply(&environment()).await;
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn no_such_cluster_and_no_service_that_would_tell() {
    let migration_only = release_of("9d3c2f1", MIGRATION, "");
    let schedule_only = format!("{}{SCHEDULE}", release_of("9d3c2f1", "", ""));
    for only in [migration_only, schedule_only] {
        let world = with(&only).await;
        let wrong = environment().replace(CLUSTER, "rails-prodution");
        world.apply(&wrong).await;
        let words = ["rails-prodution", "Check the cluster and the region"];
        refused(&world, "ClusterNotFound", &words).await;
        world.apply(&environment()).await;
        world.becomes_ready().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_such_service() {
    let wrong = whole().replace("- name: shoryuken", "- name: shoryukn");
    let world = with(&wrong).await;
    let words = [
        "shoryukn does not exist in cluster rails-production",
        "create it",
    ];
    refused(&world, "ServiceNotFound", &words).await;
    world.apply(&whole()).await;
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn no_such_family() {
    let wrong = whole().replace("rails-oneoff", "rails-oneof");
    let world = with(&wrong).await;
    let words = ["family rails-oneof has no ACTIVE revision", "register one"];
    refused(&world, "TaskDefinitionNotFound", &words).await;
    world.apply(&whole()).await;
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn no_such_container() {
    let wrong = whole().replace("{shoryuken: app}", "{worker: app}");
    let world = with(&wrong).await;
    let words = [
        "service/shoryuken",
        "has no container worker",
        "it has shoryuken",
    ];
    refused(&world, "ContainerNotFound", &words).await;
    world.apply(&whole()).await;
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_there_is_told_while_an_image_is_waited_for() {
    let wrong = whole()
        .replace("{shoryuken: app}", "{worker: app}")
        .replace("9d3c2f1", "not-pushed");
    let world = with(&wrong).await;
    world.run_for(Duration::from_secs(60)).await;
    let (_, reason, message) = standing(&world.status(&key()).await);
    assert_eq!(reason, "ContainerNotFound", "{message}");
    untouched(&world).await;
}

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

fn deny(world: &World, actions: &[&str]) {
    let globs = serde_json::from_value(json!(actions)).expect("globs");
    let globs: Vec<Glob> = globs;
    world
        .sandbox
        .update_settings(|settings| settings.deny = globs);
}

/// With one action denied the release is Stalled, saying which and what to do; without the denial
/// it becomes Ready as if nothing had been.
async fn denied(world: &World, action: &str) {
    let call = action.replace(':', ".");
    let before = world.done(&call).len();
    deny(world, &[action]);
    let message = world.stalls("AccessDenied").await;
    assert!(message.contains(action), "{action}: {message}");
    assert!(
        message.contains(&format!("Allow {action}")),
        "{action}: {message}"
    );
    // The same again, and no better: whatever is tried once more is that call only.
    world.stalls("AccessDenied").await;
    assert_eq!(world.done(&call).len(), before, "{call}");
    deny(world, &[]);
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_denied() {
    for action in [
        "sts:GetCallerIdentity",
        "ecr:DescribeImages",
        "ecs:DescribeServices",
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceDeployments",
        "ecs:ListTaskDefinitions",
        "ecs:DescribeTaskDefinition",
        "events:ListRules",
    ] {
        let world = with(&whole()).await;
        denied(&world, action).await;
        let migrated = world.migration_tasks().len();
        assert_eq!(migrated, 0, "{action}");
        as_if_nothing_had_been(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_denied_once_it_is_under_way() {
    for action in [
        "ecs:DescribeTasks",
        "events:ListTagsForResource",
        "events:ListTargetsByRule",
    ] {
        let world = with(&whole()).await;
        denied(&world, action).await;
        as_if_nothing_had_been(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_are_denied() {
    for action in [
        "ecs:RegisterTaskDefinition",
        "ecs:RunTask",
        "ecs:UpdateService",
        "events:PutRule",
        "events:PutTargets",
    ] {
        let world = with(&whole()).await;
        denied(&world, action).await;
        as_if_nothing_had_been(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_denied_in_the_middle_of_a_rollout() {
    let world = with(&release("9d3c2f1", "")).await;
    world.run_for(Duration::from_secs(6)).await;
    let status = world.status(&key()).await;
    assert_eq!(status.services[0].state, PartState::Progressing);
    for action in ["ecs:DescribeServices", "ecs:ListServiceDeployments"] {
        denied(&world, action).await;
        let status = world.status(&key()).await;
        assert_eq!(status.services[0].state, PartState::Unknown);
    }
    world.becomes_ready().await;
    assert_eq!(world.called("ecs.UpdateService"), 1);
}

#[tokio::test(start_paused = true)]
async fn listing_tasks_is_denied_after_an_answer_was_lost() {
    let world = with(&whole()).await;
    world.dies_at("RunTask", true).await;
    denied(&world, "ecs:ListTasks").await;
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_is_denied() {
    let world = with(&release("9d3c2f1", &MIGRATION.replace("15m", "1m"))).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "3h"}}}]));
    deny(&world, &["ecs:StopTask"]);
    let message = world.stalls("AccessDenied").await;
    assert!(message.contains("Allow ecs:StopTask"), "{message}");
    deny(&world, &[]);
    world.stalls("MigrationFailed").await;
    assert_eq!(world.migration_tasks()[0]["lastStatus"], "STOPPED");
}

#[tokio::test(start_paused = true)]
async fn deregistering_is_denied() {
    let limited =
        |tag: &str| release(tag, "").replace("spec:\n", "spec:\n  revisionHistoryLimit: 1\n");
    let world = ready(&limited("9d3c2f1")).await;
    world.apply(&limited("1f0e8a7")).await;
    denied(&world, "ecs:DeregisterTaskDefinition").await;
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.DeregisterTaskDefinition").len(), 1);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn pruning_is_denied() {
    for action in ["events:RemoveTargets", "events:DeleteRule"] {
        let world = ready(&whole()).await;
        world.apply(&release("9d3c2f1", MIGRATION)).await;
        denied(&world, action).await;
        world.becomes_ready().await;
        let rules = world.aws("events", "ListRules", json!({"NamePrefix": "production-"}));
        assert_eq!(rules["Rules"], json!([]));
        world.is_settled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn adopting_is_denied() {
    let world =
        with(&whole().replace("- name: nightly", "- name: nightly\n      adopt: true")).await;
    let rule = json!({"Name": "production-rails-nightly", "ScheduleExpression": "rate(1 day)"});
    world.aws("events", "PutRule", rule);
    denied(&world, "events:TagResource").await;
    let rule = world.aws(
        "events",
        "DescribeRule",
        json!({"Name": "production-rails-nightly"}),
    );
    assert_eq!(rule["ScheduleExpression"], "rate(1 day)");
    as_if_nothing_had_been(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_denied_ends_the_run_with_a_sentence() {
    for action in [
        "dynamodb:Query",
        "dynamodb:GetItem",
        "dynamodb:TransactWriteItems",
    ] {
        let world = with(&whole()).await;
        deny(&world, &[action]);
        let error = world.run_once().await.expect_err("cannot run").to_string();
        assert!(error.contains(&format!("Allow {action}")), "{error}");
        let aws: Vec<_> = world
            .writes()
            .into_iter()
            .filter(|call| !call.starts_with("dynamodb."))
            .collect();
        assert_eq!(aws, Vec::<String>::new());
        deny(&world, &[]);
        as_if_nothing_had_been(&world).await;
    }
}

/// Changes an item of the table by hand.
fn by_hand(world: &World, pk: &str, sk: &str, set: &str, value: serde_json::Value) {
    let input = json!({
        "TableName": "evenkeel", "Key": {"pk": {"S": pk}, "sk": {"S": sk}},
        "UpdateExpression": format!("SET {set} = :value"),
        "ExpressionAttributeValues": {":value": value},
    });
    world.aws("dynamodb", "UpdateItem", input);
}

/// A second release that is fine.
async fn neighbour(world: &World) {
    let app = release_of("9d3c2f1", "", "\n    - name: app\n      images: {app: app}");
    world.apply(&app.replace("name: rails", "name: web")).await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_somebody_wrote_wrongly_by_hand() {
    for (set, value, word) in [
        (
            "spec.services[0].dependsOn",
            json!({"L": [{"S": "nobody"}]}),
            "nobody",
        ),
        ("spec.revisionHistoryLimit", json!({"S": "many"}), "many"),
        ("spec.serivces", json!({"L": []}), "serivces"),
    ] {
        let world = with(&whole()).await;
        neighbour(&world).await;
        by_hand(&world, "spec#production", "release#rails", set, value);
        let summary = world.run_once().await.expect("runs");
        let message = stalled(&summary, "InvalidSpec");
        assert!(message.contains(word), "{message}");
        // One bad release starves no other.
        assert_eq!(summary.ready, [other("web")]);
        assert_eq!(world.migration_tasks().len(), 0);
        assert_eq!(world.runs(CLUSTER, "shoryuken"), "rails-shoryuken:1");
        world.is_settled().await;
        world.run_for(Duration::from_secs(60)).await;
        assert_eq!(
            world.status_of(&other("web")).await.0,
            ConditionStatus::True
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_starves_no_other_release() {
    let world = ready(&whole()).await;
    neighbour(&world).await;
    by_hand(
        &world,
        "ledger#production/rails",
        "revision#0000000001",
        "outcome",
        json!({"S": "Fine"}),
    );
    let error = world
        .run_once()
        .await
        .expect_err("one cannot be worked on")
        .to_string();
    assert!(
        error.contains("revision#0000000001") && error.contains("Fine"),
        "{error}"
    );
    assert_eq!(
        world.status_of(&other("web")).await.0,
        ConditionStatus::True
    );
    world.run_for(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_is_gone() {
    let world = ready(&whole()).await;
    let input = json!({
        "TableName": "evenkeel",
        "Key": {"pk": {"S": "environment"}, "sk": {"S": "environment#production"}},
    });
    world.aws("dynamodb", "DeleteItem", input);
    let reconciler = world.reconciler();
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
    let reconciler = world.reconciler();
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
