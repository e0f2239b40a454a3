//! Migrations that are stopped.

use std::time::Duration;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Verdict;
use serde_json::json;

use super::{migration, no_service_moved, succeeds_from_now_on};
use crate::scene::{CLUSTER, MIGRATION, release, with};
use crate::world::World;

/// A migration that may take two minutes, none of which ends by itself.
async fn in_two_minutes(then: serde_json::Value) -> World {
    let migration = MIGRATION.replace("timeout: 15m", "timeout: 2m");
    let world = with(&release("9d3c2f1", &migration)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": then}]));
    world
}

/// Runs until the migration's task is told to stop, and asks for a retry right before.
async fn times_out(world: &World) {
    world.run_for(Duration::from_secs(110)).await;
    assert_eq!(world.called("ecs.StopTask"), 0);
    assert_eq!(migration(world).await.state, PartState::Progressing);
    world.asks(RequestKind::Retry).await;
    world.stalls("MigrationFailed").await;
    assert!(world.called("ecs.StopTask") >= 1);
    let told = migration(world).await;
    let tasks = world.migration_tasks();
    assert_eq!(
        tasks.len(),
        1,
        "a retry before it is STOPPED starts nothing"
    );
    assert_eq!(tasks[0]["lastStatus"], "STOPPED");
    assert_eq!(told.state, PartState::Failed);
    assert_eq!(told.stop_code.as_deref(), Some("UserInitiated"));
    let message = told.message.unwrap_or_default();
    assert!(message.contains("did not end within 2m"), "{message}");
    no_service_moved(world);

    succeeds_from_now_on(world);
    world.asks(RequestKind::Retry).await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_starts_is_stopped_and_failed_once_it_is_stopped() {
    let world = in_two_minutes(json!({"neverStarts": {}})).await;
    times_out(&world).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_runs_too_long_is_stopped_and_failed_once_it_is_stopped() {
    let world = in_two_minutes(json!({"exit": {"after": "3h"}})).await;
    times_out(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_answer_was_lost_is_carried_out() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "3h"}}}]));
    world.run_for(Duration::from_secs(60)).await;
    world
        .asks(RequestKind::StopMigration {
            migration: "db-migrate".to_owned(),
        })
        .await;
    world.breaks("StopTask", 1, false, Verdict::ConnectionError);
    world.stalls("MigrationFailed").await;
    assert_eq!(world.migration_tasks()[0]["lastStatus"], "STOPPED");
}

#[tokio::test(start_paused = true)]
async fn a_person_stops_it_through_evenkeel() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "3h"}}}]));
    world.run_for(Duration::from_secs(60)).await;
    let stop = RequestKind::StopMigration {
        migration: "db-migrate".to_owned(),
    };
    world.asks(stop).await;
    world.stalls("MigrationFailed").await;
    assert_eq!(world.called("ecs.StopTask"), 1);
    let told = migration(&world).await;
    assert_eq!(told.stop_code.as_deref(), Some("UserInitiated"));
    assert_eq!(told.exit_code, Some(143));
    no_service_moved(&world);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn exit_code_0_of_a_task_that_somebody_stopped_is_no_success() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "60s"}}}]));
    world.run_for(Duration::from_secs(30)).await;
    let task = migration(&world).await.task_arn.expect("a task");
    // It exits 0 by itself in the very moment between the stop and its signal.
    tokio::time::sleep(Duration::from_secs(35)).await;
    let input = json!({"cluster": CLUSTER, "task": task, "reason": "deploy freeze"});
    world.aws("ecs", "StopTask", input);
    world.stalls("MigrationFailed").await;
    no_service_moved(&world);
}
