//! Services rolling out, failing, rolling back.

use serde_json::json;

use super::*;

#[test]
fn a_new_service_becomes_steady() {
    let mut world = World::new(json!([]));
    let made = world.serve("app", "app:1", 2);
    assert_eq!(made["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert_eq!(world.records("app")[0]["status"], "PENDING");
    world.pass(3);
    let early = world.service("app");
    assert_eq!(
        (&early["pendingCount"], &early["runningCount"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(world.records("app")[0]["status"], "IN_PROGRESS");
    world.pass(20);
    let service = world.service("app");
    let deployment = &service["deployments"][0];
    assert_eq!(deployment["status"], "PRIMARY");
    assert_eq!(deployment["rolloutState"], "COMPLETED");
    let id = text(&deployment["id"]);
    assert_eq!(
        deployment["rolloutStateReason"],
        format!("ECS deployment {id} completed.")
    );
    assert_eq!(id.len(), "ecs-svc/".len() + 19);
    assert_eq!(service["runningCount"], 2);
    let events: Vec<_> = service["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| text(&e["message"]))
        .collect();
    assert_eq!(events[0], "(service app) has reached a steady state.");
    assert_eq!(
        events[1],
        format!("(service app) (deployment {id}) deployment completed.")
    );
    assert!(
        events[2].starts_with("(service app) has started 2 tasks: (task "),
        "{}",
        events[2]
    );
    let record = &world.records("app")[0];
    assert_eq!(record["status"], "SUCCESSFUL");
    assert_eq!(record["targetServiceRevision"]["runningTaskCount"], 2);
    assert_eq!(record["sourceServiceRevisions"], json!([]));
    assert_eq!(
        record["deploymentCircuitBreaker"]["status"],
        "MONITORING_COMPLETE"
    );
    assert_eq!(
        service["currentServiceDeployment"],
        record["serviceDeploymentArn"]
    );
    // A service at rest costs nothing.
    assert_eq!(world.ecs.next_event(), None);
}

#[test]
fn a_rollout_keeps_the_old_tasks_until_the_new_ones_are_healthy() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 3);
    world.pass(30);
    world.register("app", "app:2");
    let updated = world.update("app", json!({"taskDefinition": "app"}));
    assert_eq!(updated["deployments"].as_array().unwrap().len(), 2);
    assert_eq!(updated["deployments"][1]["status"], "ACTIVE");
    assert!(text(&updated["taskDefinition"]).ends_with(":2"));
    let mut least = u64::MAX;
    let mut most = 0;
    for _ in 0..40 {
        world.pass(1);
        let service = world.service("app");
        least = least.min(service["runningCount"].as_u64().unwrap());
        most = most.max(
            service["runningCount"].as_u64().unwrap() + service["pendingCount"].as_u64().unwrap(),
        );
    }
    assert_eq!(least, 3, "minimumHealthyPercent 100");
    assert_eq!(most, 6, "maximumPercent 200");
    let service = world.service("app");
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    assert!(says(&service, "has stopped 3 running tasks: (task "));
    let record = &world.records("app")[0];
    assert_eq!(record["status"], "SUCCESSFUL");
    assert_eq!(
        record["sourceServiceRevisions"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn percentages_below_a_hundred_roll_within_the_capacity() {
    let mut world = World::new(json!([]));
    world.register("app", "app:1");
    let mut input = service("app", 4);
    input["deploymentConfiguration"] = json!({"maximumPercent": 100, "minimumHealthyPercent": 50});
    world.ok("CreateService", input);
    world.pass(30);
    world.register("app", "app:2");
    world.update("app", json!({"taskDefinition": "app:2"}));
    for _ in 0..80 {
        world.pass(1);
        let service = world.service("app");
        let (running, pending) = (&service["runningCount"], &service["pendingCount"]);
        assert!(running.as_u64().unwrap() >= 2);
        assert!(running.as_u64().unwrap() + pending.as_u64().unwrap() <= 4);
    }
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "COMPLETED"
    );
}

#[test]
fn percentages_that_leave_no_room_are_complained_of() {
    let mut world = World::new(json!([]));
    world.register("app", "app:1");
    let mut input = service("app", 1);
    input["deploymentConfiguration"] = json!({"maximumPercent": 150, "minimumHealthyPercent": 100});
    world.ok("CreateService", input);
    world.pass(30);
    world.update("app", json!({"forceNewDeployment": true}));
    world.pass(600);
    let stuck = world.service("app");
    assert_eq!(stuck["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert!(says(
        &stuck,
        "was unable to stop or start tasks during a deployment"
    ));
    world.update(
        "app",
        json!({"deploymentConfiguration": {"maximumPercent": 200}}),
    );
    world.pass(60);
    let service = world.service("app");
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    // What the update left out kept its value.
    assert_eq!(
        service["deploymentConfiguration"]["minimumHealthyPercent"],
        100
    );
}

#[test]
fn a_second_update_supersedes_the_first() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 2);
    world.pass(30);
    world.register("app", "app:2");
    world.register("app", "app:3");
    world.update("app", json!({"taskDefinition": "app:2"}));
    world.pass(4);
    let updated = world.update("app", json!({"taskDefinition": "app:3"}));
    assert_eq!(updated["deployments"].as_array().unwrap().len(), 3);
    assert_eq!(world.records("app")[1]["status"], "STOP_REQUESTED");
    world.pass(1);
    assert_eq!(world.records("app")[1]["status"], "STOPPED");
    assert!(says(&world.service("app"), "stopped 2 pending tasks."));
    world.pass(60);
    let service = world.service("app");
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert!(text(&service["taskDefinition"]).ends_with(":3"));
    let statuses: Vec<_> = world
        .records("app")
        .iter()
        .map(|r| text(&r["status"]))
        .collect();
    assert_eq!(statuses, ["SUCCESSFUL", "STOPPED", "SUCCESSFUL"]);
}

#[test]
fn only_what_matters_starts_a_deployment() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 1);
    world.pass(30);
    for quiet in [
        json!({"desiredCount": 2}),
        json!({"taskDefinition": "app:1", "networkConfiguration": network()}),
        json!({"deploymentConfiguration": {"minimumHealthyPercent": 50}}),
        json!({"enableExecuteCommand": true}),
    ] {
        world.update("app", quiet.clone());
        assert_eq!(world.records("app").len(), 1, "{quiet}");
    }
    for loud in [
        json!({"forceNewDeployment": true}),
        json!({"platformVersion": "1.4.0"}),
        json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-2"]}}}),
    ] {
        let before = world.records("app").len();
        world.update("app", loud.clone());
        assert_eq!(world.records("app").len(), before + 1, "{loud}");
        world.pass(60);
    }
    assert_eq!(world.service("app")["runningCount"], 2);
}

#[test]
fn a_service_scaled_to_nothing_completes() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 0);
    world.pass(2);
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "COMPLETED"
    );
    assert_eq!(world.records("app")[0]["status"], "SUCCESSFUL");
    world.update("app", json!({"desiredCount": 2}));
    world.pass(30);
    assert_eq!(world.service("app")["runningCount"], 2);
    world.update("app", json!({"desiredCount": 1}));
    world.pass(30);
    assert_eq!(world.service("app")["runningCount"], 1);
}

#[test]
fn a_task_that_crashes_after_the_rollout_is_replaced() {
    let mut world = World::new(json!([{"when": {}, "then": {"crash": {"after": "60s"}}}]));
    world.serve("app", "app:1", 1);
    world.pass(30);
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "COMPLETED"
    );
    world.pass(60);
    let service = world.service("app");
    assert_eq!(service["runningCount"], 1);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!(world.records("app").len(), 1);
    let stopped = world.list_tasks(json!({"desiredStatus": "STOPPED", "serviceName": "app"}));
    let task = world.task(&stopped[0]);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["containers"][0]["exitCode"], 1);
}

#[test]
fn unhealthy_tasks_trip_the_breaker_too() {
    let mut world =
        World::new(json!([{"when": {"image": "*:sick"}, "then": {"unhealthy": {"after": "2s"}}}]));
    world.serve("app", "app:1", 1);
    world.pass(30);
    world.register("app", "app:sick");
    world.update("app", json!({"taskDefinition": "app:2"}));
    world.pass(120);
    assert_eq!(world.records("app")[0]["status"], "ROLLBACK_SUCCESSFUL");
    assert!(says(
        &world.service("app"),
        "failed container health checks."
    ));
}

#[test]
fn what_cannot_be_placed_or_pulled_never_runs() {
    let rules = json!([
        {"when": {"image": "*:huge"}, "then": {"cannotPlace": {"reason": "RESOURCE:CPU"}}},
        {"when": {"image": "*:slow"}, "then": {"neverStarts": {}}},
    ]);
    let mut world = World::new(rules);
    world.serve("huge", "app:huge", 1);
    world.serve("gone", "gone/app:1", 1);
    world.serve("slow", "app:slow", 1);
    world.pass(3600);
    let huge = world.service("huge");
    assert!(says(
        &huge,
        "was unable to place a task. Reason: RESOURCE:CPU."
    ));
    assert_eq!(huge["deployments"][0]["rolloutState"], "FAILED");
    let gone = world.service("gone");
    assert!(says(
        &gone,
        "was unable to place a task. Reason: CannotPullContainerError"
    ));
    assert_eq!(gone["deployments"][0]["rolloutState"], "FAILED");
    let slow = world.service("slow");
    assert_eq!(slow["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert_eq!(slow["pendingCount"], 1);
}

#[test]
fn a_deleted_service_drains_and_is_still_described() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 1);
    world.pass(30);
    let delete = json!({"cluster": "c", "service": "app"});
    let (code, message) = world.refused("DeleteService", delete.clone());
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(
        message,
        "The service cannot be stopped while it is scaled above 0."
    );
    world.update("app", json!({"desiredCount": 0}));
    let gone = world.ok("DeleteService", delete.clone());
    assert_eq!(gone["service"]["status"], "DRAINING");
    let mut again = service("app", 1);
    let (_, message) = world.refused("CreateService", again.clone());
    assert_eq!(message, "Unable to Start a service that is still Draining.");
    world.pass(30);
    assert_eq!(world.service("app")["status"], "INACTIVE");
    assert!(
        world.ok("ListServices", json!({"cluster": "c"}))["serviceArns"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let update = json!({"cluster": "c", "service": "app", "desiredCount": 1});
    assert_eq!(
        world.refused("UpdateService", update).0,
        "ServiceNotActiveException"
    );
    again["desiredCount"] = json!(2);
    world.ok("CreateService", again);
    world.pass(30);
    assert_eq!(world.service("app")["runningCount"], 2);
    assert_eq!(world.records("app").len(), 1);
}

#[test]
fn a_service_is_made_once() {
    let mut world = World::new(json!([]));
    let first = world.serve("app", "app:1", 1);
    let second = world.ok("CreateService", service("app", 1))["service"].clone();
    assert_eq!(
        first["deployments"][0]["id"],
        second["deployments"][0]["id"]
    );
    let (_, message) = world.refused("CreateService", service("app", 2));
    assert_eq!(message, "Creation of service was not idempotent.");
}

#[test]
fn services_are_refused_as_ecs_refuses_them() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 1);
    let with = |member: &str, value: Value| {
        let mut input = service("new", 1);
        input["taskDefinition"] = json!("app");
        input[member] = value;
        input
    };
    for (input, code, message) in [
        (
            with("cluster", json!("nope")),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        (
            with("taskDefinition", json!("app:9")),
            "ClientException",
            "TaskDefinition not found.",
        ),
        (
            with("networkConfiguration", Value::Null),
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            with(
                "capacityProviderStrategy",
                json!([{"capacityProvider": "FARGATE", "weight": 1}]),
            ),
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ),
    ] {
        assert_eq!(
            world.refused("CreateService", input),
            (code, message.to_owned())
        );
    }
    let update =
        |definition: &str| json!({"cluster": "c", "service": "app", "taskDefinition": definition});
    world.register("app", "app:2");
    world.ok(
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "app:2"}),
    );
    let inactive = ("ClientException", "TaskDefinition is inactive".to_owned());
    assert_eq!(world.refused("UpdateService", update("app:2")), inactive);
    // The family alone means its newest ACTIVE revision, which the service has.
    world.ok("UpdateService", update("app"));
    assert_eq!(world.records("app").len(), 1);
    let missing = json!({"cluster": "c", "service": "nope", "desiredCount": 1});
    assert_eq!(
        world.refused("UpdateService", missing).0,
        "ServiceNotFoundException"
    );
}

#[test]
fn other_deployment_controllers_keep_their_task_definition() {
    let mut world = World::new(json!([]));
    world.register("app", "app:1");
    let mut input = service("app", 1);
    input["deploymentController"] = json!({"type": "CODE_DEPLOY"});
    world.ok("CreateService", input);
    world.pass(60);
    assert_eq!(world.service("app")["deployments"], json!([]));
    let update = json!({"cluster": "c", "service": "app", "taskDefinition": "app:1"});
    assert_eq!(
        world.refused("UpdateService", update).1,
        "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment."
    );
    world.update("app", json!({"desiredCount": 3}));
}

#[test]
fn describing_fills_in_what_nobody_sent() {
    let mut world = World::new(json!([]));
    world.register("app", "app:1");
    world.ok(
        "CreateService",
        json!({
            "cluster": "c", "serviceName": "app", "taskDefinition": "app", "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": network(),
            "tags": [{"key": "team", "value": "shop"}],
        }),
    );
    let service = world.service("app");
    for (name, wanted) in [
        ("platformVersion", json!("LATEST")),
        ("schedulingStrategy", json!("REPLICA")),
        ("deploymentController", json!({"type": "ECS"})),
        ("propagateTags", json!("NONE")),
        ("createdBy", json!("arn:aws:iam::123456789012:user/me")),
    ] {
        assert_eq!(service[name], wanted, "{name}");
    }
    assert_eq!(
        service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"],
        "DISABLED"
    );
    let configuration = &service["deploymentConfiguration"];
    assert_eq!(configuration["maximumPercent"], 200);
    assert_eq!(configuration["minimumHealthyPercent"], 100);
    assert_eq!(configuration["strategy"], "ROLLING");
    assert_eq!(configuration["deploymentCircuitBreaker"]["enable"], false);
    assert!(service.get("tags").is_none());
    let input = json!({"cluster": "c", "services": ["app", "nope"], "include": ["TAGS"]});
    let answer = world.ok("DescribeServices", input);
    assert_eq!(answer["services"][0]["tags"][0]["value"], "shop");
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
}
