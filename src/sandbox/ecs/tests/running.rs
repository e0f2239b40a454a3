//! RunTask and its tasks.

use serde_json::json;

use super::*;

fn migrations() -> Value {
    json!([
        {"when": {"command": "*db:migrate*"}, "then": {"exit": {"after": "5s", "exitCode": 0}}},
        {"when": {"command": "*boom*"}, "then": {"crash": {"after": "1s", "exitCode": 3}}},
        {"when": {"command": "*stuck*"}, "then": {"neverStarts": {}}},
        {"when": {"command": "*ever*"}, "then": {"healthy": {"after": "1s"}}},
        {"when": {"command": "*big*"}, "then": {"cannotPlace": {"reason": "RESOURCE:MEMORY"}}},
    ])
}

fn command(words: &[&str]) -> Value {
    json!({"containerOverrides": [{"name": "job", "command": words}]})
}

fn world() -> World {
    let mut world = World::new(migrations());
    world.register("job", "app:1");
    world
}

#[test]
fn a_task_goes_through_its_life() {
    let mut world = world();
    let overrides = command(&["rails", "db:migrate"]);
    let answer =
        world.run(json!({"taskDefinition": "job", "overrides": overrides, "startedBy": "me/1"}));
    assert_eq!(answer["failures"], json!([]));
    let task = &answer["tasks"][0];
    let arn = task["taskArn"].clone();
    let id = text(&arn).rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(
        arn,
        format!("arn:aws:ecs:eu-west-1:123456789012:task/c/{id}")
    );
    assert_eq!(id.len(), 32);
    assert_eq!(task["group"], "family:job");
    assert_eq!(
        task["overrides"]["containerOverrides"],
        overrides["containerOverrides"]
    );
    let mut seen = Vec::new();
    let mut version = 0;
    for _ in 0..30 {
        let task = world.task(&arn);
        assert!(task["version"].as_u64().unwrap() >= version);
        version = task["version"].as_u64().unwrap();
        if seen.last() != Some(&text(&task["lastStatus"])) {
            seen.push(text(&task["lastStatus"]));
            let ended = seen.iter().any(|s| s == "DEPROVISIONING");
            assert_eq!(
                task["containers"][0].get("exitCode").is_some(),
                ended,
                "{seen:?}"
            );
        }
        world.pass(1);
    }
    assert_eq!(
        seen,
        [
            "PROVISIONING",
            "PENDING",
            "RUNNING",
            "DEPROVISIONING",
            "STOPPED"
        ]
    );
    let task = world.task(&arn);
    for (name, wanted) in [
        ("desiredStatus", json!("STOPPED")),
        ("stopCode", json!("EssentialContainerExited")),
        ("stoppedReason", json!("Essential container in task exited")),
        ("startedBy", json!("me/1")),
        ("launchType", json!("FARGATE")),
    ] {
        assert_eq!(task[name], wanted, "{name}");
    }
    assert_eq!(task["containers"][0]["exitCode"], 0);
    assert!(text(&task["containers"][0]["imageDigest"]).starts_with("sha256:"));
    let at = |name: &str| task[name].as_f64().unwrap();
    let order = [
        "createdAt",
        "pullStartedAt",
        "pullStoppedAt",
        "startedAt",
        "stoppingAt",
        "stoppedAt",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
}

#[test]
fn rules_and_defaults_say_how_a_task_ends() {
    let mut world = world();
    let ends = |world: &mut World, input: Value| {
        let arn = world.run(input)["tasks"][0]["taskArn"].clone();
        world.pass(60);
        world.task(&arn)
    };
    let quiet = ends(&mut world, json!({"taskDefinition": "job"}));
    assert_eq!(quiet["containers"][0]["exitCode"], 0);
    assert_eq!(quiet["healthStatus"], "HEALTHY");
    let crashed = ends(
        &mut world,
        json!({"taskDefinition": "job", "overrides": command(&["boom"])}),
    );
    assert_eq!(crashed["containers"][0]["exitCode"], 3);
    let stuck = ends(
        &mut world,
        json!({"taskDefinition": "job", "overrides": command(&["stuck"])}),
    );
    assert_eq!(stuck["lastStatus"], "PENDING");
    let runs = ends(
        &mut world,
        json!({"taskDefinition": "job", "overrides": command(&["ever"])}),
    );
    assert_eq!(runs["lastStatus"], "RUNNING");
    world.register("gone", "gone/app:1");
    let unpulled = ends(&mut world, json!({"taskDefinition": "gone"}));
    assert_eq!(unpulled["lastStatus"], "STOPPED");
    assert_eq!(unpulled["stopCode"], "TaskFailedToStart");
    assert!(text(&unpulled["stoppedReason"]).starts_with("CannotPullContainerError: "));
    assert!(unpulled["containers"][0].get("exitCode").is_none());
    let nowhere = world.run(json!({"taskDefinition": "job", "overrides": command(&["big"])}));
    assert_eq!(
        nowhere,
        json!({"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY"}]})
    );
}

#[test]
fn a_person_stops_a_task() {
    let mut world = world();
    for (command_line, exit_code) in [("ever", Some(143)), ("stuck", None)] {
        let answer =
            world.run(json!({"taskDefinition": "job", "overrides": command(&[command_line])}));
        let arn = answer["tasks"][0]["taskArn"].clone();
        world.pass(20);
        let stop = json!({"cluster": "c", "task": arn, "reason": "too slow"});
        let stopping = world.ok("StopTask", stop)["task"].clone();
        assert_eq!(stopping["desiredStatus"], "STOPPED");
        assert_ne!(stopping["lastStatus"], "STOPPED");
        world.pass(10);
        let task = world.task(&arn);
        assert_eq!(task["lastStatus"], "STOPPED");
        assert_eq!(task["stopCode"], "UserInitiated");
        assert_eq!(task["stoppedReason"], "too slow");
        assert_eq!(task["containers"][0]["exitCode"].as_i64(), exit_code);
    }
    let unknown = json!({"cluster": "c", "task": "nope"});
    assert_eq!(
        world.refused("StopTask", unknown).1,
        "The referenced task was not found."
    );
}

#[test]
fn stopped_tasks_are_gone_after_an_hour() {
    let mut world = world();
    let answer = world.run(json!({"taskDefinition": "job", "startedBy": "me"}));
    let arn = answer["tasks"][0]["taskArn"].clone();
    world.pass(30);
    let stopped_at = world.task(&arn)["stoppedAt"].as_f64().unwrap();
    let since = world.now.as_second() - stopped_at as i64;
    assert!(world.list_tasks(json!({"startedBy": "me"})).is_empty());
    let stopped = json!({"startedBy": "me", "desiredStatus": "STOPPED"});
    assert_eq!(
        world.list_tasks(stopped.clone()),
        std::slice::from_ref(&arn)
    );
    world.pass(3599 - since);
    assert_eq!(world.task(&arn)["lastStatus"], "STOPPED");
    world.pass(1);
    assert!(world.list_tasks(stopped).is_empty());
    let answer = world.ok("DescribeTasks", json!({"cluster": "c", "tasks": [arn]}));
    assert_eq!(
        answer["failures"],
        json!([{"arn": arn, "reason": "MISSING"}])
    );
    assert_eq!(world.ecs.next_event(), None);
}

#[test]
fn a_client_token_runs_one_task_until_it_dies() {
    let mut world = world();
    let input = json!({"taskDefinition": "job", "clientToken": "t", "startedBy": "me"});
    let first = world.run(input.clone())["tasks"][0]["taskArn"].clone();
    assert_eq!(world.run(input.clone())["tasks"][0]["taskArn"], first);
    let other = json!({
        "cluster": "c", "taskDefinition": "job", "clientToken": "t", "startedBy": "you",
        "launchType": "FARGATE", "networkConfiguration": network(),
    });
    let fault = world.call("RunTask", other).unwrap_err();
    assert_eq!(fault.code, "ConflictException");
    assert_eq!(fault.extra["resourceIds"], json!([first]));
    // Another cluster, another token.
    world.ok("CreateCluster", json!({"clusterName": "d"}));
    let mut elsewhere = input.clone();
    elsewhere["cluster"] = json!("d");
    assert_ne!(world.run(elsewhere)["tasks"][0]["taskArn"], first);
    world.pass(1800);
    assert_eq!(
        world.run(input.clone())["tasks"][0]["lastStatus"],
        "STOPPED"
    );
    // An hour after the task's end the token is dead, and runs the task again.
    world.pass(1900);
    let second = world.run(input.clone())["tasks"][0]["taskArn"].clone();
    assert_ne!(second, first);
    assert_eq!(world.run(input)["tasks"][0]["taskArn"], second);
}

#[test]
fn a_client_token_dies_after_a_day_though_its_task_runs_on() {
    let mut world = world();
    let input =
        json!({"taskDefinition": "job", "clientToken": "t", "overrides": command(&["ever"])});
    let first = world.run(input.clone())["tasks"][0]["taskArn"].clone();
    world.pass(86_399);
    assert_eq!(world.run(input.clone())["tasks"][0]["taskArn"], first);
    world.pass(1);
    assert_ne!(world.run(input)["tasks"][0]["taskArn"], first);
}

#[test]
fn a_token_whose_call_placed_nothing_is_still_free() {
    let mut world = world();
    let input =
        json!({"taskDefinition": "job", "clientToken": "t", "overrides": command(&["big"])});
    assert_eq!(world.run(input.clone())["tasks"], json!([]));
    world.rules = Rules::default();
    assert_eq!(world.run(input)["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn running_is_refused_in_ecs_words() {
    let mut world = world();
    world.register("job", "app:1");
    world.ok(
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "job:2"}),
    );
    let long = "x".repeat(8200);
    for (change, code, message) in [
        (
            json!({"cluster": "nope"}),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        (
            json!({"taskDefinition": "job:2"}),
            "ClientException",
            "TaskDefinition is inactive",
        ),
        (
            json!({"taskDefinition": "nope"}),
            "ClientException",
            "TaskDefinition not found.",
        ),
        (
            json!({"networkConfiguration": null}),
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            json!({"overrides": {"containerOverrides": [{"name": "web"}]}}),
            "InvalidParameterException",
            "Override for container named web is not a container in the TaskDefinition.",
        ),
        (
            json!({"overrides": command(&[&long])}),
            "InvalidParameterException",
            "Container Overrides length must be at most 8192",
        ),
    ] {
        let mut input = json!({
            "cluster": "c", "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network(),
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(world.refused("RunTask", input), (code, message.to_owned()));
    }
    for change in [
        json!({"count": 11}),
        json!({"startedBy": "a b"}),
        json!({"startedBy": "x".repeat(129)}),
        json!({"clientToken": "x".repeat(65)}),
        json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
        json!({"group": "service:app"}),
    ] {
        let mut input = json!({
            "cluster": "c", "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network(),
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(
            world.refused("RunTask", input).0,
            "InvalidParameterException",
            "{change}"
        );
    }
    assert!(world.list_tasks(json!({})).is_empty());
}

#[test]
fn started_by_filters_alone() {
    let mut world = world();
    let input = json!({"cluster": "c", "startedBy": "me", "family": "job"});
    assert_eq!(
        world.refused("ListTasks", input).0,
        "InvalidParameterException"
    );
    world.run(json!({"taskDefinition": "job", "count": 3}));
    assert_eq!(world.list_tasks(json!({"family": "job"})).len(), 3);
    assert!(world.list_tasks(json!({"family": "jo"})).is_empty());
    // ECS never wants a task to be PENDING.
    assert!(
        world
            .list_tasks(json!({"desiredStatus": "PENDING"}))
            .is_empty()
    );
    let unknown = json!({"cluster": "c", "serviceName": "nope"});
    assert_eq!(
        world.refused("ListTasks", unknown).0,
        "ServiceNotFoundException"
    );
}

#[test]
fn a_sidecar_ends_with_the_container_that_matters() {
    let mut world = World::new(migrations());
    let mut input = definition("job", "app:1");
    input["containerDefinitions"]
        .as_array_mut()
        .unwrap()
        .extend([
            json!({"name": "log", "image": "log:1", "essential": false}),
            json!({"name": "proxy", "image": "proxy:1"}),
        ]);
    world.ok("RegisterTaskDefinition", input);
    let answer = world.run(json!({"taskDefinition": "job", "overrides": command(&["boom"])}));
    let arn = answer["tasks"][0]["taskArn"].clone();
    world.pass(30);
    let task = world.task(&arn);
    let codes: Vec<_> = task["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["exitCode"].as_i64())
        .collect();
    assert_eq!(codes, [Some(3), Some(0), Some(0)]);
}

#[test]
fn a_sidecar_that_exits_or_lasts_does_not_change_the_task() {
    for sidecar in [json!({"exit": {"after": "1s"}}), json!({"healthy": {}})] {
        let mut world = World::new(json!([{"when": {"container": "log"}, "then": sidecar}]));
        let mut input = definition("job", "app:1");
        let containers = input["containerDefinitions"].as_array_mut().unwrap();
        containers.push(json!({"name": "log", "image": "log:1", "essential": false}));
        world.ok("RegisterTaskDefinition", input);
        let arn = world.run(json!({"taskDefinition": "job"}))["tasks"][0]["taskArn"].clone();
        world.pass(12);
        assert_eq!(world.task(&arn)["lastStatus"], "RUNNING", "{sidecar}");
        world.pass(20);
        assert_eq!(
            world.task(&arn)["containers"][0]["exitCode"],
            0,
            "{sidecar}"
        );
    }
}

#[test]
fn delayed_reads_show_the_past_and_writes_know_the_truth() {
    let mut world = world();
    world.delay_reads(5);
    world.pass(10);
    let answer = world.run(json!({"taskDefinition": "job", "startedBy": "me", "clientToken": "t"}));
    let arn = answer["tasks"][0]["taskArn"].clone();
    assert_eq!(world.task(&arn), Value::Null);
    assert!(world.list_tasks(json!({"startedBy": "me"})).is_empty());
    let again = world.run(json!({"taskDefinition": "job", "startedBy": "me", "clientToken": "t"}));
    assert_eq!(again["tasks"][0]["taskArn"], arn);
    world.pass(4);
    assert_eq!(world.task(&arn), Value::Null);
    world.pass(1);
    // It is PENDING by now; what is read is five seconds old.
    assert_eq!(world.task(&arn)["lastStatus"], "PROVISIONING");
    assert_eq!(
        world.list_tasks(json!({"startedBy": "me"})),
        std::slice::from_ref(&arn)
    );
    // A definition just registered cannot be described yet, but runs.
    world.register("new", "app:1");
    let unseen = json!({"taskDefinition": "new"});
    assert_eq!(
        world.refused("DescribeTaskDefinition", unseen.clone()).0,
        "ClientException"
    );
    world.run(unseen);
    world.serve("app", "app:1", 1);
    assert_eq!(world.service("app"), Value::Null);
    world.pass(40);
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "COMPLETED"
    );
    world.update("app", json!({"forceNewDeployment": true}));
    assert_eq!(
        world.service("app")["deployments"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(world.records("app").len(), 1);
    world.pass(5);
    assert_eq!(world.records("app").len(), 2);
}
