//! Answers that are lost, and tasks that ECS has forgotten.

use std::time::Duration;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Verdict;
use serde_json::json;

use super::{HOUR, migration, named, no_service_moved, registrable};
use crate::rails::key;
use crate::scene::{MIGRATION, release, with};
use crate::world::World;

/// ECS need not list a task that has stopped, so that none is listed does not say that none was.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_starts_nothing_twice_after_a_pause_either() {
    for (pause, stands, tasks) in [(30, "Ready", 1), (120, "MigrationUnknown", 0)] {
        let world = with(&release("9d3c2f1", MIGRATION)).await;
        world
            .sandbox
            .update_settings(|settings| settings.hide_stopped = true);
        world.breaks("RunTask", 1, true, Verdict::Timeout);
        let reconciler = world.takes_over().await;
        while world.called("ecs.RunTask") == 0 {
            let pass = reconciler.reconcile(&key(), &|_, _| {}).await;
            pass.expect("a pass");
        }
        let now = world.sandbox.now();
        let held = world.store.set_suspend(&key(), true, "ada", now).await;
        held.expect("suspends");
        // Nobody looks while it runs.
        tokio::time::sleep(Duration::from_secs(60 * 5)).await;
        world.run_for(Duration::from_secs(60 * 20)).await;
        tokio::time::sleep(Duration::from_secs(60 * (pause - 25))).await;
        let now = world.sandbox.now();
        let resumed = world.store.set_suspend(&key(), false, "ada", now).await;
        resumed.expect("resumes");
        match stands {
            "Ready" => world.becomes_ready().await,
            reason => drop(world.stalls(reason).await),
        }
        world
            .sandbox
            .update_settings(|settings| settings.hide_stopped = false);
        // Within the hour of its token a repetition answers the task that was started.
        let tokens: std::collections::BTreeSet<String> = world
            .done("ecs.RunTask")
            .iter()
            .map(|call| call.input["clientToken"].to_string())
            .collect();
        assert_eq!((tokens.len(), world.migration_tasks().len()), (1, tasks));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_run_task_starts_nothing_twice() {
    for delay in [0, 10, 20] {
        for verdict in [
            Verdict::ConnectionError,
            Verdict::Timeout,
            Verdict::Answer {
                status: 500,
                code: "ServerException".to_owned(),
                message: "Service Unavailable".to_owned(),
            },
        ] {
            let world = with(&release("9d3c2f1", MIGRATION)).await;
            world
                .sandbox
                .update_settings(|settings| settings.read_delay = Duration::from_secs(delay));
            world.breaks("RunTask", 1, true, verdict.clone());
            world.becomes_ready().await;
            assert_eq!(world.migration_tasks().len(), 1, "{delay} {verdict:?}");
            assert_eq!(migration(&world).await.attempt, Some(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_task_that_never_arrived_is_made_again() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.breaks("RunTask", 3, false, Verdict::ConnectionError);
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_adopted_although_its_definition_changed_meanwhile() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.dies_at("RunTask", true).await;
    // Terraform registers another structure before the controller is back.
    let mut base = world.definition("rails-oneoff:1")["taskDefinition"].clone();
    base["cpu"] = json!("2048");
    base["memory"] = json!("4096");
    let base = registrable(base);
    world.aws("ecs", "RegisterTaskDefinition", base);
    // ECS does not show the task yet, so it is asked again under the same token.
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = Duration::from_secs(20));
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
}

/// The controller dies between RunTask and its record and comes back after ECS forgot the task.
async fn lost_for_two_hours(migration: &str) -> World {
    let world = with(&release("9d3c2f1", migration)).await;
    world.dies_at("RunTask", true).await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(world.migration_tasks().len(), 0, "ECS forgot it");
    world
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_know_any_more_is_not_guessed() {
    let world = lost_for_two_hours(MIGRATION).await;
    let message = world.stalls("MigrationUnknown").await;
    assert!(
        message.contains("migration resolve production/rails/db-migrate --succeeded"),
        "{message}"
    );
    assert_eq!(world.called("ecs.RunTask"), 1);
    assert_eq!(migration(&world).await.state, PartState::Unknown);
    no_service_moved(&world);
    world.is_settled().await;

    // `retry` is for what failed; this needs a person who looked.
    world.asks(RequestKind::Retry).await;
    world.stalls("MigrationUnknown").await;

    world
        .asks(RequestKind::MigrationSucceeded {
            migration: "db-migrate".to_owned(),
        })
        .await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 0);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_may_have_an_unknown_migration_run_again() {
    let world = lost_for_two_hours(MIGRATION).await;
    world.stalls("MigrationUnknown").await;
    world.asks(named("db-migrate")).await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
    assert_eq!(migration(&world).await.attempt, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_one_runs_again_by_itself() {
    let world = lost_for_two_hours(&format!("{MIGRATION}\n      idempotent: true")).await;
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
    assert_eq!(migration(&world).await.attempt, Some(2));
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_ended_while_the_controller_was_away_for_hours_is_unknown() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.run_for(Duration::from_secs(4)).await;
    assert_eq!(migration(&world).await.state, PartState::Progressing);
    tokio::time::sleep(2 * HOUR).await;
    world.stalls("MigrationUnknown").await;
    no_service_moved(&world);
}

#[tokio::test(start_paused = true)]
async fn one_that_ended_while_the_controller_was_away_for_a_while_is_known() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    world.run_for(Duration::from_secs(4)).await;
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    world.becomes_ready().await;
    assert_eq!(world.called("ecs.StopTask"), 0);
    assert_eq!(world.done("ecs.RunTask").len(), 1);
}
