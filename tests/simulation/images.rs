//! Images: nothing moves before every one is there, and what was resolved once stays.

use std::time::Duration;

use evenkeel::resource::conditions::{ConditionStatus, ConditionType, find};
use evenkeel::resource::status::{DifferenceAction, PartState};
use evenkeel::sandbox::Verdict;
use serde_json::json;

use crate::rails::key;
use crate::scene::{CLUSTER, MIGRATION, ready, release, standing, with};
use crate::world::World;

const REPOSITORY: &str = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/app";

/// The image that the service's definition names.
fn image(world: &World) -> String {
    let definition = world.definition(&world.runs(CLUSTER, "shoryuken"));
    let image = &definition["taskDefinition"]["containerDefinitions"][0]["image"];
    image.as_str().expect("an image").to_owned()
}

/// Nothing was registered, run or moved.
fn untouched(world: &World) {
    for operation in ["RegisterTaskDefinition", "RunTask", "UpdateService"] {
        assert_eq!(world.called(&format!("ecs.{operation}")), 0, "{operation}");
    }
    assert_eq!(world.runs(CLUSTER, "shoryuken"), "rails-shoryuken:1");
}

/// What is drifted, as `resource field`.
async fn differences(world: &World) -> Vec<String> {
    let status = world.status(&key()).await;
    let drift = status.drift.differences.iter();
    drift
        .map(|found| {
            assert_eq!(found.action, DifferenceAction::Reported);
            format!("{} {}", found.resource, found.field)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_not_there_is_waited_for_and_then_told() {
    let world = with(&release("ffff000", MIGRATION)).await;
    world.run_for(Duration::from_secs(120)).await;
    let status = world.status(&key()).await;
    let (ready, reason, message) = standing(&status);
    assert_eq!(
        (ready, reason.as_str()),
        (ConditionStatus::False, "ImagePending")
    );
    assert!(
        message.contains(&format!("{REPOSITORY}:ffff000")),
        "{message}"
    );
    assert_eq!(status.images["app"].state, PartState::Pending);
    let since = status.images["app"].missing_since.expect("a moment");

    let message = world.stalls("ImageNotFound").await;
    assert!(
        message.contains("push it") && message.contains("10m"),
        "{message}"
    );
    let waited = world.sandbox.now().duration_since(since);
    assert!((600..620).contains(&waited.as_secs()), "{waited}");
    untouched(&world);
    world.is_settled().await;

    world.push("rails/app", "ffff000", "new");
    world.becomes_ready().await;
    assert!(image(&world).starts_with(&format!("{REPOSITORY}@sha256:")));
}

#[tokio::test(start_paused = true)]
async fn a_push_revives_a_running_controller() {
    let world = with(&release("ffff000", MIGRATION)).await;
    let push = async {
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
        let (_, reason, _) = standing(&world.status(&key()).await);
        assert_eq!(reason, "ImageNotFound");
        untouched(&world);
        world.push("rails/app", "ffff000", "new");
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    };
    let controller = world.controller();
    controller.run(push).await.expect("runs");
    let (ready, _, message) = standing(&world.status(&key()).await);
    assert_eq!(ready, ConditionStatus::True, "{message}");
}

#[tokio::test(start_paused = true)]
async fn imagetimeout_is_the_releases_own_and_starts_anew_with_another_tag() {
    let short = release("ffff000", MIGRATION).replace("spec:\n", "spec:\n  imageTimeout: 2m\n");
    let world = with(&short).await;
    let start = world.sandbox.now();
    world.stalls("ImageNotFound").await;
    let took = world.sandbox.now().duration_since(start).as_secs();
    assert!((120..140).contains(&took), "{took}");

    world.apply(&short.replace("ffff000", "ffff001")).await;
    let start = world.sandbox.now();
    world.stalls("ImageNotFound").await;
    let took = world.sandbox.now().duration_since(start).as_secs();
    assert!((120..140).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_cannot_be_read_meanwhile_does_not_start_the_wait_anew() {
    let world = with(&release("ffff000", MIGRATION)).await;
    let start = world.sandbox.now();
    let trouble = async {
        tokio::time::sleep(Duration::from_secs(500)).await;
        let verdict = Verdict::Answer {
            status: 500,
            code: "ServerException".to_owned(),
            message: "try later".to_owned(),
        };
        world.breaks("DescribeImages", 6, false, verdict);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = world.stalls("ImageNotFound") => {}
        () = trouble => {}
    }
    let took = world.sandbox.now().duration_since(start).as_secs();
    assert!((600..660).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn one_missing_image_of_two_holds_everything() {
    let two = release("9d3c2f1", MIGRATION).replace(
        "  images:\n",
        "  images:\n    nginx: {repository: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/nginx, tag: nope}\n",
    );
    let world = with(&two.replace("{shoryuken: app}", "{shoryuken: nginx}")).await;
    world.stalls("ImageNotFound").await;
    untouched(&world);
    let status = world.status(&key()).await;
    assert_eq!(status.images["app"].state, PartState::Done);
    assert_eq!(status.images["nginx"].state, PartState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_is_told_and_not_followed() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let before = image(&world);
    world.push("rails/app", "9d3c2f1", "moved");
    world.becomes_ready().await;
    assert_eq!(differences(&world).await, ["image/app tag"]);
    let status = world.status(&key()).await;
    let drifted = find(&status.conditions, ConditionType::Drifted).expect("a condition");
    assert_eq!(drifted.status, ConditionStatus::True);
    assert_eq!(image(&world), before);
    assert_eq!(
        world.called("ecs.UpdateService") + world.called("ecs.RunTask"),
        0
    );
    world.is_settled().await;

    // A new structure of a base is rolled out with the image that was released.
    let base = json!({
        "family": "rails-oneoff", "cpu": "2048", "memory": "4096", "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
        "containerDefinitions": [{"name": "rails", "image": format!("{REPOSITORY}:9d3c2f1")}]});
    world.aws("ecs", "RegisterTaskDefinition", base);
    world.becomes_ready().await;
    assert_eq!(image(&world), before);
    assert_eq!(world.called("ecs.RunTask"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_while_it_is_rolled_out_changes_nothing() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "2m"}}}]));
    world.run_for(Duration::from_secs(60)).await;
    let resolved = world.status(&key()).await.images["app"].digest.clone();
    world.push("rails/app", "9d3c2f1", "moved");
    world.becomes_ready().await;
    assert_eq!(
        Some(image(&world)),
        resolved.map(|digest| format!("{REPOSITORY}@{digest}"))
    );
    assert_eq!(world.migration_tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_image_that_is_gone_is_told() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let digest = world.status(&key()).await.images["app"].digest.clone();
    let input = json!({"repositoryName": "rails/app", "imageIds": [{"imageDigest": digest}]});
    world.aws("ecr", "BatchDeleteImage", input);
    world.becomes_ready().await;
    assert_eq!(differences(&world).await, ["image/app digest"]);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_cannot_be_read_is_no_drift_and_not_taken_for_none() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let verdict = Verdict::Answer {
        status: 500,
        code: "ServerException".to_owned(),
        message: "try later".to_owned(),
    };
    world.breaks("DescribeImages", 1000, false, verdict);
    world.run_for(Duration::from_secs(30)).await;
    let status = world.status(&key()).await;
    let drifted = find(&status.conditions, ConditionType::Drifted).expect("a condition");
    assert_eq!(
        drifted.status,
        ConditionStatus::Unknown,
        "{}",
        drifted.message
    );
    assert!(status.drift.differences.is_empty());
    world.sandbox.set_tap(None);
    world.becomes_ready().await;
    let status = world.status(&key()).await;
    let drifted = find(&status.conditions, ConditionType::Drifted).expect("a condition");
    assert_eq!(drifted.status, ConditionStatus::False);
}

#[tokio::test(start_paused = true)]
async fn pin_tag_puts_the_tag_in() {
    let tagged =
        release("9d3c2f1", MIGRATION).replace("tag: \"9d3c2f1\"", "tag: \"9d3c2f1\", pin: Tag");
    let world = ready(&tagged).await;
    assert_eq!(image(&world), format!("{REPOSITORY}:9d3c2f1"));
    world.is_settled().await;

    // The tag is what new tasks pull: without it they cannot start.
    let input = json!({"repositoryName": "rails/app", "imageIds": [{"imageTag": "9d3c2f1"}]});
    world.push("rails/app", "another", "x");
    world.aws("ecr", "PutImage", same_image_under_another_tag(&world));
    world.aws("ecr", "BatchDeleteImage", input);
    world.becomes_ready().await;
    assert_eq!(differences(&world).await, ["image/app tag"]);
}

/// The released image has a second tag, so that it outlives its first.
fn same_image_under_another_tag(world: &World) -> serde_json::Value {
    let ids = json!({"repositoryName": "rails/app", "imageIds": [{"imageTag": "9d3c2f1"}]});
    let answer = world.aws("ecr", "BatchGetImage", ids);
    json!({
        "repositoryName": "rails/app", "imageTag": "kept",
        "imageManifest": answer["images"][0]["imageManifest"],
    })
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_gone_does_not_matter_where_the_digest_is_pinned() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    world.aws("ecr", "PutImage", same_image_under_another_tag(&world));
    let input = json!({"repositoryName": "rails/app", "imageIds": [{"imageTag": "9d3c2f1"}]});
    world.aws("ecr", "BatchDeleteImage", input);
    world.becomes_ready().await;
    assert!(differences(&world).await.is_empty());
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_digest_is_run_as_it_is_given() {
    let world = with("").await;
    let digest = world.push("rails/app", "b", "b");
    let by_digest = release("x", MIGRATION).replace("tag: \"x\"", &format!("digest: \"{digest}\""));
    world.apply(&by_digest).await;
    world.becomes_ready().await;
    assert_eq!(image(&world), format!("{REPOSITORY}@{digest}"));
    world.is_settled().await;

    // The same content by its tag is the same content.
    world.apply(&release("b", MIGRATION)).await;
    world.becomes_ready().await;
    assert_eq!(world.called("ecs.RunTask"), 0);
    assert_eq!(world.called("ecs.RegisterTaskDefinition"), 0);
    assert_eq!(world.called("ecs.UpdateService"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_is_not_there_is_waited_for_too() {
    let missing = format!("sha256:{}", "a".repeat(64));
    let by_digest =
        release("x", MIGRATION).replace("tag: \"x\"", &format!("digest: \"{missing}\""));
    let world = with(&by_digest).await;
    let message = world.stalls("ImageNotFound").await;
    assert!(message.contains(&missing), "{message}");
    untouched(&world);
}

#[tokio::test(start_paused = true)]
async fn foreign_registries_are_not_asked() {
    let foreign = release("9d3c2f1", MIGRATION).replace(REPOSITORY, "ghcr.io/shop/app");
    let world = ready(&foreign).await;
    assert_eq!(image(&world), "ghcr.io/shop/app:9d3c2f1");
    assert_eq!(world.called("ecr.DescribeImages"), 0);
    world.is_settled().await;
    assert_eq!(world.called("ecr.DescribeImages"), 0);

    let digest = format!("sha256:{}", "b".repeat(64));
    let by_digest = foreign.replace("tag: \"9d3c2f1\"", &format!("digest: \"{digest}\""));
    world.apply(&by_digest).await;
    world.becomes_ready().await;
    assert_eq!(image(&world), format!("ghcr.io/shop/app@{digest}"));
}

#[tokio::test(start_paused = true)]
async fn an_ecr_of_another_region_is_asked_there() {
    let elsewhere = REPOSITORY.replace("ap-northeast-1", "eu-west-1");
    let far = release("9d3c2f1", MIGRATION).replace(REPOSITORY, &elsewhere);
    let world = with(&far).await;
    let create = json!({"repositoryName": "rails/app"});
    let call = |operation: &str, input| world.sandbox.call("ecr", "eu-west-1", operation, input);
    call("CreateRepository", create).expect("is made");
    world.stalls("ImageNotFound").await;
    let mut image_there = same_image_under_another_tag(&world);
    image_there["imageTag"] = json!("9d3c2f1");
    call("PutImage", image_there).expect("is pushed");
    world.becomes_ready().await;
    assert!(image(&world).starts_with(&format!("{elsewhere}@sha256:")));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_not_there_is_told_at_once() {
    let wrong = release("9d3c2f1", MIGRATION).replace("rails/app", "rails/apps");
    let world = with(&wrong).await;
    let start = world.sandbox.now();
    let message = world.stalls("RepositoryNotFound").await;
    for words in [
        "rails/apps",
        "123456789012",
        "ap-northeast-1",
        "Check the image's repository",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(world.sandbox.now().duration_since(start).as_secs() < 60);
    untouched(&world);
    assert!(world.ledger(&key()).await.revisions.is_empty());
    world.is_settled().await;

    world.aws(
        "ecr",
        "CreateRepository",
        json!({"repositoryName": "rails/apps"}),
    );
    world.push("rails/apps", "9d3c2f1", "x");
    world.becomes_ready().await;
}
