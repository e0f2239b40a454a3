//! Rollouts of tasks that crash, with a circuit breaker and without one.

use serde_json::json;

use super::*;

const BAD: &str = r#"[{"when": {"image": "*:bad"}, "then": {"crash": {"after": "1s"}}}]"#;

fn bad_images_crash() -> Value {
    serde_json::from_str(BAD).unwrap()
}

#[test]
fn the_breaker_rolls_back_to_the_completed_deployment() {
    let mut world = World::new(bad_images_crash());
    world.serve("app", "app:1", 3);
    world.pass(30);
    let good = world.service("app");
    world.register("app", "app:bad");
    let bad = world.update("app", json!({"taskDefinition": "app:2"}));
    let mut seen = Vec::new();
    for _ in 0..60 {
        world.pass(1);
        let status = text(&world.records("app")[0]["status"]);
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }
    assert_eq!(
        seen,
        ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]
    );
    let service = world.service("app");
    assert!(text(&service["taskDefinition"]).ends_with("app:1"));
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    let (bad, good) = (
        text(&bad["deployments"][0]["id"]),
        text(&good["deployments"][0]["id"]),
    );
    assert!(says(
        &service,
        &format!("(deployment {bad}) deployment failed: tasks failed to start.")
    ));
    assert!(says(
        &service,
        &format!("rolling back to deployment {good}.")
    ));
    let records = world.records("app");
    assert_eq!(
        records.len(),
        2,
        "the rollback is no service deployment of its own"
    );
    let record = &records[0];
    assert_eq!(
        record["deploymentCircuitBreaker"],
        json!({"status": "TRIGGERED", "failureCount": 3, "threshold": 3})
    );
    assert_eq!(
        record["statusReason"],
        "Service deployment rolled back because the circuit breaker threshold was exceeded."
    );
    assert_eq!(
        record["rollback"]["serviceRevisionArn"],
        records[1]["targetServiceRevision"]["arn"]
    );
}

#[test]
fn in_a_rollback_the_failed_deployment_stays_in_sight_until_it_drained() {
    let mut world = World::new(bad_images_crash());
    world.serve("app", "app:1", 3);
    world.pass(30);
    world.register("app", "app:bad");
    world.update("app", json!({"taskDefinition": "app:2"}));
    let rolling_back = (0..60).find_map(|_| {
        world.pass(1);
        let service = world.service("app");
        (service["deployments"][1]["rolloutState"] == "FAILED").then_some(service)
    });
    let service = rolling_back.expect("a moment with a FAILED deployment beside the PRIMARY");
    let (primary, failed) = (&service["deployments"][0], &service["deployments"][1]);
    assert_eq!(primary["rolloutState"], "IN_PROGRESS");
    assert_eq!(
        primary["rolloutStateReason"],
        format!(
            "ECS deployment circuit breaker: rolling back to deploymentId {}.",
            text(&primary["id"])
        )
    );
    assert_eq!(failed["status"], "ACTIVE");
    assert_eq!(
        failed["rolloutStateReason"],
        "ECS deployment circuit breaker: tasks failed to start."
    );
    assert!(text(&failed["taskDefinition"]).ends_with(":2"));
}

#[test]
fn the_breaker_stalls_where_nothing_ever_completed() {
    let mut world = World::new(bad_images_crash());
    world.serve("app", "app:bad", 1);
    world.pass(3600);
    let service = world.service("app");
    let deployment = &service["deployments"][0];
    assert_eq!(
        (&deployment["status"], &deployment["rolloutState"]),
        (&json!("PRIMARY"), &json!("FAILED"))
    );
    assert_eq!(service["runningCount"], 0);
    let record = &world.records("app")[0];
    assert_eq!(record["status"], "ROLLBACK_FAILED");
    assert_eq!(
        record["statusReason"],
        "No rollback candidate was found to run the rollback."
    );
    // Nothing is tried any more, until somebody asks.
    world.pass(3600);
    assert_eq!(
        world.list_tasks(json!({"desiredStatus": "STOPPED"})).len(),
        0
    );
    world.register("app", "app:1");
    world.update("app", json!({"taskDefinition": "app:2"}));
    world.pass(60);
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "COMPLETED"
    );
}

#[test]
fn a_breaker_without_rollback_leaves_the_old_tasks() {
    let mut world = World::new(bad_images_crash());
    world.register("app", "app:1");
    let mut input = service("app", 2);
    input["deploymentConfiguration"]["deploymentCircuitBreaker"]["rollback"] = json!(false);
    world.ok("CreateService", input);
    world.pass(30);
    world.register("app", "app:bad");
    world.update("app", json!({"taskDefinition": "app:2"}));
    world.pass(600);
    let service = world.service("app");
    assert_eq!(service["deployments"][0]["rolloutState"], "FAILED");
    assert!(text(&service["taskDefinition"]).ends_with(":2"));
    assert_eq!(service["deployments"][1]["runningCount"], 2);
    let record = &world.records("app")[0];
    assert_eq!(record["status"], "STOPPED");
    assert!(record["stoppedAt"].is_number());
}

#[test]
fn without_a_breaker_a_crash_loop_goes_on_with_growing_patience() {
    let mut world = World::new(bad_images_crash());
    world.register("app", "app:bad");
    let mut input = service("app", 1);
    input["deploymentConfiguration"] = json!({});
    world.ok("CreateService", input);
    world.pass(300);
    let early = world.service("app")["deployments"][0]["failedTasks"]
        .as_u64()
        .unwrap();
    assert!(early > 4, "{early}");
    world.pass(86_400);
    let service = world.service("app");
    let late = service["deployments"][0]["failedTasks"].as_u64().unwrap();
    assert!(late > early && late < early + 90, "{early} then {late}");
    assert_eq!(service["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert_eq!(world.records("app")[0]["status"], "IN_PROGRESS");
    world.pass(400_000);
    assert_eq!(
        world.service("app")["events"].as_array().unwrap().len(),
        100
    );
}
