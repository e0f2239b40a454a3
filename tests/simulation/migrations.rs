//! Migrations: at most once, and never guessed.

mod doubts;
mod stops;

use std::time::Duration;

use evenkeel::model::ledger::{RequestKind, RunState};
use evenkeel::resource::status::{MigrationStatus, PartState};
use evenkeel::resource::validate::DESCRIBE_ONLY;
use serde_json::json;

use crate::rails::key;
use crate::scene::{CLUSTER, MIGRATION, ready, release, release_of, standing, with};
use crate::shop;
use crate::world::{World, example};

const HOUR: Duration = Duration::from_secs(3600);

fn named(name: &str) -> RequestKind {
    RequestKind::RetryMigration {
        migration: name.to_owned(),
    }
}

async fn migration(world: &World) -> MigrationStatus {
    let status = world.status(&key()).await;
    status.migrations.first().expect("a migration").clone()
}

/// Nothing but the migration happened.
fn no_service_moved(world: &World) {
    assert_eq!(world.called("ecs.UpdateService"), 0);
    assert_eq!(world.runs(CLUSTER, "shoryuken"), "rails-shoryuken:1");
}

fn succeeds_from_now_on(world: &World) {
    world.rules(json!([]));
}

fn exits(code: i32) -> serde_json::Value {
    json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "8s", "exitCode": code}}}])
}

/// A described definition, as it can be registered.
fn registrable(mut definition: serde_json::Value) -> serde_json::Value {
    if let Some(members) = definition.as_object_mut() {
        for member in DESCRIBE_ONLY {
            members.shift_remove(member);
        }
    }
    definition
}

#[tokio::test(start_paused = true)]
async fn exit_code_3_stalls_and_retry_runs_it_exactly_once_more() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(exits(3));
    let message = world.stalls("MigrationFailed").await;
    assert!(message.contains("exited 3"), "{message}");
    assert!(
        message.contains("migration retry production/rails/db-migrate"),
        "{message}"
    );
    no_service_moved(&world);

    let told = migration(&world).await;
    let task = told.task_arn.expect("a task");
    let id = task.rsplit('/').next().unwrap_or_default();
    assert_eq!(told.state, PartState::Failed);
    assert_eq!(told.exit_code, Some(3));
    assert_eq!(told.stop_code.as_deref(), Some("EssentialContainerExited"));
    assert_eq!(
        told.stopped_reason.as_deref(),
        Some("Essential container in task exited")
    );
    assert_eq!(
        told.log_stream.as_deref(),
        Some(format!("/ecs/rails/rails/rails/{id}").as_str())
    );
    assert!(told.started_at < told.finished_at);
    world.is_settled().await;
    assert_eq!(world.migration_tasks().len(), 1);

    world.asks(RequestKind::Retry).await;
    world.stalls("MigrationFailed").await;
    assert_eq!(world.migration_tasks().len(), 2);
    assert_eq!(migration(&world).await.attempt, Some(2));
    no_service_moved(&world);

    succeeds_from_now_on(&world);
    world.is_settled().await;
    world.asks(named("db-migrate")).await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 3);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn asking_twice_for_another_try_makes_one() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(exits(1));
    world.stalls("MigrationFailed").await;
    world.asks(RequestKind::Retry).await;
    world.asks(named("db-migrate")).await;
    world.asks(RequestKind::Retry).await;
    world.stalls("MigrationFailed").await;
    assert_eq!(world.migration_tasks().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_pulled_has_no_exit_code() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"cannotPull": {}}}]));
    let message = world.stalls("MigrationFailed").await;
    assert!(message.contains("CannotPullContainerError"), "{message}");
    no_service_moved(&world);
    let told = migration(&world).await;
    assert_eq!(told.state, PartState::Failed);
    assert_eq!(told.exit_code, None);
    assert_eq!(told.stop_code.as_deref(), Some("TaskFailedToStart"));
    assert!(
        told.stopped_reason
            .is_some_and(|why| why.starts_with("CannotPullContainerError"))
    );
}

#[tokio::test(start_paused = true)]
async fn no_room_is_tried_again_and_not_for_ever() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"},
        "then": {"cannotPlace": {"reason": "RESOURCE:MEMORY"}}}]));
    world.run_for(Duration::from_secs(60)).await;
    let (_, reason, message) = standing(&world.status(&key()).await);
    assert_eq!(reason, "MigrationPending", "{message}");
    assert!(message.contains("RESOURCE:MEMORY"), "{message}");
    let message = world.stalls("MigrationNotStarted").await;
    assert!(
        message.contains("10 tries") && message.contains("RESOURCE:MEMORY"),
        "{message}"
    );
    assert_eq!(world.called("ecs.RunTask"), 10);
    no_service_moved(&world);
    let tokens: std::collections::BTreeSet<String> = world
        .done("ecs.RunTask")
        .iter()
        .map(|call| call.input["clientToken"].to_string())
        .collect();
    assert_eq!(tokens.len(), 1, "it is the same attempt");
    world.is_settled().await;

    succeeds_from_now_on(&world);
    world.asks(RequestKind::Retry).await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn room_that_comes_in_time_is_used() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"cannotPlace": {}}}]));
    world.run_for(Duration::from_secs(45)).await;
    succeeds_from_now_on(&world);
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
    assert_eq!(migration(&world).await.attempt, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_newer_generation_waits_for_a_running_migration_and_records_its_end() {
    let world = with(&release("1f0e8a7", MIGRATION)).await;
    world.rules(json!([
        {"when": {"family": "rails-oneoff", "image": "rails/app:1f0e8a7"},
         "then": {"exit": {"after": "5m", "exitCode": 7}}}]));
    world.run_for(Duration::from_secs(60)).await;
    let first = migration(&world).await;
    world.apply(&release("9d3c2f1", MIGRATION)).await;
    world.run_for(Duration::from_secs(60)).await;
    let (_, reason, message) = standing(&world.status(&key()).await);
    assert_eq!(reason, "MigrationRunning", "{message}");
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    no_service_moved(&world);

    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 2);
    let ledger = world.ledger(&key()).await;
    let old = ledger
        .migrations
        .iter()
        .find(|run| Some(&run.run_key) == first.run_key.as_ref())
        .expect("its record");
    assert_eq!((old.state, old.exit_code), (RunState::Failed, Some(7)));
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn going_back_to_an_image_runs_nothing_again() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    world.apply(&release("1f0e8a7", MIGRATION)).await;
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    world.apply(&release("9d3c2f1", MIGRATION)).await;
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    assert_eq!(migration(&world).await.state, PartState::Done);
    // Going back is no new content either.
    assert_eq!(world.revisions("rails-shoryuken"), 3);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn another_epoch_runs_it_again() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let epoch = format!("{MIGRATION}\n      epoch: \"restored-2026-03-01\"");
    world.apply(&release("9d3c2f1", &epoch)).await;
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    assert_eq!(
        world.called("ecs.UpdateService"),
        0,
        "the service is there already"
    );
    assert_eq!(world.called("ecs.RegisterTaskDefinition"), 0);
}

#[tokio::test(start_paused = true)]
async fn another_base_does_not_run_it_again() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let mut base = world.definition("rails-oneoff:1")["taskDefinition"].clone();
    base["cpu"] = json!("2048");
    base["memory"] = json!("4096");
    world.aws("ecs", "RegisterTaskDefinition", registrable(base));
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.RunTask").len(), 0);
    assert_eq!(world.status(&key()).await.revision, Some(2));
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn migrations_run_in_order() {
    let second = format!(
        "{MIGRATION}
    - name: data
      taskDefinition: {{family: rails-oneoff}}
      images: {{rails: app}}
      overrides: {{containerOverrides: [{{name: rails, command: [rails, data]}}]}}"
    );
    let world = with(&release("9d3c2f1", &second)).await;
    world.rules(json!([
        {"when": {"command": "rails data"}, "then": {"exit": {"after": "30s"}}},
        {"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "5m"}}}]));
    world.run_for(Duration::from_secs(120)).await;
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    no_service_moved(&world);
    world.becomes_ready().await;
    let mut tasks = world.migration_tasks();
    tasks.sort_by(|a, b| {
        let at = |task: &serde_json::Value| task["createdAt"].as_f64().unwrap_or(0.0);
        at(a).total_cmp(&at(b))
    });
    assert_eq!(tasks.len(), 2);
    assert!(tasks[0]["stoppedAt"].as_f64() <= tasks[1]["createdAt"].as_f64());
    let moved = world.done("ecs.UpdateService")[0].at.as_second();
    assert!(
        tasks[1]["stoppedAt"]
            .as_f64()
            .is_some_and(|at| at <= moved as f64)
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_that_fails_keeps_the_second_from_running() {
    let second = format!(
        "{MIGRATION}
    - name: data
      taskDefinition: {{family: rails-oneoff}}
      images: {{rails: app}}"
    );
    let world = with(&release("9d3c2f1", &second)).await;
    world.rules(exits(1));
    world.stalls("MigrationFailed").await;
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    let status = world.status(&key()).await;
    assert_eq!(status.migrations[1].state, PartState::Pending);
    no_service_moved(&world);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_no_longer_declared_ends_first() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "5m", "exitCode": 9}}}]));
    world.run_for(Duration::from_secs(60)).await;
    world.apply(&release("9d3c2f1", "")).await;
    world.run_for(Duration::from_secs(60)).await;
    no_service_moved(&world);
    world.becomes_ready().await;
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.migrations[0].state, RunState::Failed);
    assert_eq!(ledger.migrations[0].exit_code, Some(9));
    assert!(world.status(&key()).await.migrations.is_empty());
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn repairing_drift_runs_no_migration() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    let back =
        json!({"cluster": CLUSTER, "service": "shoryuken", "taskDefinition": "rails-shoryuken:1"});
    world.aws("ecs", "UpdateService", back);
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.becomes_ready().await;
    assert_eq!(world.done("ecs.UpdateService").len(), 1);
    assert_eq!(world.called("ecs.RunTask"), 0);
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_change_nothing_in_the_end() {
    for delay in [10, 20] {
        let world = with(&release("9d3c2f1", MIGRATION)).await;
        world
            .sandbox
            .update_settings(|settings| settings.read_delay = Duration::from_secs(delay));
        world.becomes_ready().await;
        assert_eq!(world.migration_tasks().len(), 1);
        assert_eq!(world.revisions("rails-oneoff"), 2);
        assert_eq!(world.revisions("rails-shoryuken"), 2);
        assert_eq!(world.called("ecs.UpdateService"), 1);
        assert_eq!(world.called("ecs.RunTask"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_repeated_while_reads_lag_behind() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "3h"}}}]));
    world.run_for(Duration::from_secs(60)).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = Duration::from_secs(20));
    let stop = RequestKind::StopMigration {
        migration: "db-migrate".to_owned(),
    };
    world.asks(stop).await;
    world.stalls("MigrationFailed").await;
    assert_eq!(world.called("ecs.StopTask"), 1);
}

/// What the main container of a task and a sidecar exit with, and what that says of a migration
/// that releases these images.
async fn with_sidecar(essential: bool, codes: (i32, i32), images: &str, more: &str) -> PartState {
    let world = World::new("rails/account.json").await;
    world.apply(&example("rails/environment.yaml")).await;
    let definition = json!({
        "family": "with-sidecar", "networkMode": "awsvpc",
        "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [
            {"name": "main", "image": "busybox:1", "essential": true},
            {"name": "log", "image": "fluent:1", "essential": essential}]});
    world.aws("ecs", "RegisterTaskDefinition", definition);
    let exit = |code: i32, after: &str| json!({"exit": {"after": after, "exitCode": code}});
    world.rules(json!([
        {"when": {"container": "log"}, "then": exit(codes.1, "1s")},
        {"when": {"container": "main"}, "then": exit(codes.0, if essential { "1s" } else { "8s" })}]));
    let declared = format!(
        "
    - name: db-migrate
      taskDefinition: {{family: with-sidecar}}
      images: {images}{more}"
    );
    world.apply(&release_of("9d3c2f1", &declared, "")).await;
    let summary = world.run_once().await.expect("runs");
    let told = migration(&world).await;
    assert!(told.exit_code.is_some(), "{summary:?}");
    told.state
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_decides_nothing() {
    let command = "
      overrides: {containerOverrides: [{name: main, command: [migrate]}]}";
    let done = PartState::Done;
    assert_eq!(with_sidecar(false, (0, 137), "{}", "").await, done);
    assert_eq!(
        with_sidecar(false, (0, 137), "{main: app, log: app}", "").await,
        done
    );
    assert_eq!(
        with_sidecar(false, (0, 137), "{main: app, log: app}", command).await,
        done
    );
}

#[tokio::test(start_paused = true)]
async fn every_essential_container_counts_where_nothing_says_which_one_does_the_work() {
    let failed = PartState::Failed;
    assert_eq!(
        with_sidecar(false, (2, 0), "{main: app, log: app}", "").await,
        failed
    );
    assert_eq!(with_sidecar(true, (2, 0), "{}", "").await, failed);
}

/// A release of two services, the second of which goes after the first, with a migration of an image
/// of its own.
fn two_services(tag: &str, migrated: &str) -> serde_json::Value {
    let mut worker = shop::service("worker");
    worker["dependsOn"] = json!(["web"]);
    let migration =
        json!({"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "db"}});
    let mut object = shop::release(
        "web",
        tag,
        &json!({"services": [shop::service("web"), worker], "migrations": [migration]}),
    );
    object["spec"]["images"]["db"] = json!({"repository": shop::repository(), "tag": migrated});
    object
}

/// The release whose second service failed with `bad`, after the migration of v3, and that went
/// back with both.
async fn failed_after_its_migration() -> World {
    let world = shop::delivered(&two_services("v2", "v1")).await;
    let second = json!({"when": {"family": "worker", "image": "web:bad"},
        "then": {"crash": {"after": "2s", "exitCode": 1}}});
    shop::rules(&world, &json!([second]));
    world.put(&two_services("bad", "v3")).await;
    let stands = world.settle(&shop::key()).await;
    assert_eq!(stands, shop::stalled("RolledBack"));
    for name in ["web", "worker"] {
        assert_eq!(world.image_of(name), shop::pinned(&world, "v2"));
    }
    assert_eq!(world.done("ecs.RunTask").len(), 1);
    world
}

#[tokio::test(start_paused = true)]
async fn the_fix_of_what_went_back_does_not_run_its_migration_again() {
    let world = failed_after_its_migration().await;
    world.put(&two_services("v4", "v3")).await;
    assert_eq!(world.settle(&shop::key()).await, shop::Stands::Ready);
    for name in ["web", "worker"] {
        assert_eq!(world.image_of(name), shop::pinned(&world, "v4"));
    }
    assert_eq!(world.done("ecs.RunTask").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_fix_of_what_went_back_runs_a_migration_that_is_another_by_now() {
    let world = failed_after_its_migration().await;
    world.put(&two_services("v4", "v4")).await;
    assert_eq!(world.settle(&shop::key()).await, shop::Stands::Ready);
    for name in ["web", "worker"] {
        assert_eq!(world.image_of(name), shop::pinned(&world, "v4"));
    }
    assert_eq!(world.done("ecs.RunTask").len(), 2);
}
