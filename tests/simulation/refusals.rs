//! What cannot be done is told with its cure, nothing is half done, and the cure is enough.

use std::time::Duration;

use evenkeel::resource::conditions::ConditionStatus;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Glob;
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
pub fn whole() -> String {
    format!("{}{SCHEDULE}", release("9d3c2f1", MIGRATION))
}

pub fn environment() -> String {
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
pub async fn refused(world: &World, reason: &str, words: &[&str]) {
    let message = world.stalls(reason).await;
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    untouched(world).await;
    world.is_settled().await;
}

/// The release became Ready in as many steps as if nothing had been in the way.
pub async fn as_if_nothing_had_been(world: &World) {
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
