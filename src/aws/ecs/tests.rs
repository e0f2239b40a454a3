use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::ErrorClass;
use crate::model::known::Known;

const PREFIX: &str = "arn:aws:ecs:eu-central-1:123456789012";

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("s{n}")).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect()
}

fn service(name: &str) -> Value {
    json!({
        "serviceArn": format!("{PREFIX}:service/rails/{name}"),
        "serviceName": name,
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 2,
        "taskDefinition": format!("{PREFIX}:task-definition/{name}:1"),
    })
}

#[tokio::test(start_paused = true)]
async fn services_are_asked_for_by_tens_and_each_has_an_answer() {
    let canned = Canned::new(|request| {
        let asked = strings(&request.body["services"]);
        assert!(asked.len() <= 10);
        let (gone, there): (Vec<_>, Vec<_>) = asked.into_iter().partition(|it| it == "s3");
        let services: Vec<Value> = there
            .iter()
            .filter(|it| !["s4", "s5"].contains(&it.as_str()))
            .map(|it| service(it))
            .collect();
        let mut failures: Vec<Value> = gone
            .iter()
            .map(|it| json!({ "arn": format!("{PREFIX}:service/{it}"), "reason": "MISSING" }))
            .collect();
        if there.contains(&"s4".to_owned()) {
            failures.push(json!({ "arn": "s4", "reason": "ACCESS", "detail": "not yours" }));
        }
        Reply::Ok(json!({ "services": services, "failures": failures }))
    });
    let ecs = canned.clients().ecs;
    // A name given twice is asked for once: ECS refuses duplicates.
    let mut wanted = names(0..23);
    wanted.push("s0".to_owned());
    let found = ecs.describe_services("rails", &wanted).await.unwrap();
    assert_eq!(canned.seen().len(), 3);
    assert_eq!(found.len(), 23);
    assert_eq!(found["s22"].present().unwrap().name, "s22");
    assert_eq!(found["s3"], Known::Absent);
    assert_eq!(
        found["s4"],
        Known::Unknown(
            "ecs:DescribeServices could not tell about service s4 in cluster rails: ACCESS: not \
             yours"
                .to_owned()
        )
    );
    assert!(
        matches!(found["s5"], Known::Unknown(_)),
        "silence is not absence"
    );
    assert!(
        ecs.describe_services("rails", &[])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(canned.seen().len(), 3, "nothing is asked for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_there_is_named() {
    let canned = Canned::new(|_| error(400, "ClusterNotFoundException", "Cluster not found."));
    let failed = canned
        .clients()
        .ecs
        .describe_services("rails-prodcution", &["app".to_owned()])
        .await
        .unwrap_err();
    assert_eq!(
        failed.to_string(),
        "ecs:DescribeServices of service app in cluster rails-prodcution failed: \
         ClusterNotFoundException: Cluster not found (request req-1). Check the cluster and the \
         region of the Environment, and which account the credentials belong to."
    );
}

#[tokio::test(start_paused = true)]
async fn the_primary_says_what_a_service_runs() {
    let canned = Canned::new(|_| {
        let mut answer = service("app");
        answer["deployments"] = json!([
            { "id": "ecs-svc/1", "status": "ACTIVE", "taskDefinition": "app:1" },
            {
                "id": "ecs-svc/2", "status": "PRIMARY", "taskDefinition": "app:2",
                "desiredCount": 2, "pendingCount": 1, "failedTasks": 3,
                "rolloutState": "STATE_OF_NEXT_YEAR", "rolloutStateReason": "why",
                "createdAt": 1_754_000_000.5,
            },
        ]);
        answer["deploymentController"] = json!({ "type": "CODE_DEPLOY" });
        answer["deploymentConfiguration"] = json!({
            "strategy": "CANARY",
            "deploymentCircuitBreaker": { "enable": true, "rollback": false },
        });
        answer["events"] = json!((0..30)
            .map(|n| json!({ "id": "e", "createdAt": 1_754_000_000 + n, "message": n.to_string() }))
            .collect::<Vec<_>>());
        Reply::Ok(json!({ "services": [answer] }))
    });
    let found = canned
        .clients()
        .ecs
        .describe_services("rails", &["app".to_owned()])
        .await
        .unwrap();
    let service = found["app"].present().unwrap();
    assert_eq!(service.task_definition, "app:2");
    assert_eq!(service.deployments[0], *service.primary().unwrap());
    assert_eq!(service.deployments[0].failed_tasks, 3);
    assert_eq!(
        service.deployments[0].rollout_state.as_deref(),
        Some("STATE_OF_NEXT_YEAR")
    );
    assert_eq!(
        service.deployments[0].created_at.unwrap().to_string(),
        "2025-07-31T22:13:20.5Z"
    );
    assert_eq!(service.deployment_controller, "CODE_DEPLOY");
    assert_eq!(service.strategy, "CANARY");
    assert_eq!(service.circuit_breaker, (true, false));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_configuration_comes_and_goes_as_it_stands() {
    let whole = json!({
        "strategy": "LINEAR", "bakeTimeInMinutes": 5,
        "maximumPercent": 200, "minimumHealthyPercent": 100,
        "deploymentCircuitBreaker": {
            "enable": true, "rollback": true, "resetOnHealthyTask": false,
            "thresholdConfiguration": {"type": "COUNT", "value": 5},
        },
        "alarms": {"alarmNames": ["errors"], "rollback": true, "enable": true},
        "lifecycleHooks": [
            {
                "targetType": "AWS_LAMBDA", "hookTargetArn": "arn:f", "roleArn": "arn:r",
                "lifecycleStages": ["POST_SCALE_UP", "STAGE_OF_NEXT_YEAR"],
                "hookDetails": {"url": "https://x", "tries": 3, "list": [1.5, null, true, -2]},
            },
            {
                "targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
                "timeoutConfiguration": {"timeoutInMinutes": 9, "action": "CONTINUE"},
            },
        ],
        "linearConfiguration": {"stepPercent": 12.5, "stepBakeTimeInMinutes": 7},
        "canaryConfiguration": {"canaryPercent": 0.5, "canaryBakeTimeInMinutes": 8},
        "earlySuccessCriteria": {
            "enable": true, "healthyPercent": 60, "sourceServiceRevisionCleanup": "DEFERRED",
        },
    });
    let told = whole.clone();
    let canned = Canned::new(move |request| {
        let mut answer = service("app");
        answer["deploymentConfiguration"] = told.clone();
        answer["schedulingStrategy"] = json!("DAEMON");
        match request.operation.as_str() {
            "UpdateService" => Reply::Ok(json!({ "service": answer })),
            _ => Reply::Ok(json!({ "services": [answer] })),
        }
    });
    let ecs = canned.clients().ecs;
    let found = ecs
        .describe_services("rails", &["app".to_owned()])
        .await
        .unwrap();
    let service = found["app"].present().unwrap();
    assert_eq!(
        serde_json::Value::Object((*service.configuration).clone()),
        whole
    );
    assert_eq!(service.scheduling, "DAEMON");
    assert!(service.is_staged());

    let members = json!({"deploymentConfiguration": whole, "desiredCount": 0});
    let members = members.as_object().unwrap();
    ecs.configure_service("rails", "app", members)
        .await
        .unwrap();
    ecs.update_service("rails", "app", "app:2", true, members)
        .await
        .unwrap();
    let mut body = json!({
        "cluster": "rails", "service": "app", "desiredCount": 0, "deploymentConfiguration": whole,
    });
    assert_eq!(canned.seen()[1].body, body);
    body["taskDefinition"] = json!("app:2");
    body["forceNewDeployment"] = json!(true);
    assert_eq!(canned.seen()[2].body, body);
}

#[tokio::test(start_paused = true)]
async fn a_record_tells_its_stage_and_what_it_waits_for() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({"serviceDeployments": [{
            "serviceDeploymentArn": "d1", "status": "IN_PROGRESS",
            "lifecycleStage": "STAGE_OF_NEXT_YEAR",
            "targetServiceRevision": {"arn": "r1", "requestedProductionTrafficWeight": 12.5},
            "lifecycleHookDetails": [
                {"hookId": "h1", "targetType": "AWS_LAMBDA", "status": "SUCCEEDED"},
                {
                    "hookId": "h2", "targetType": "PAUSE", "status": "AWAITING_ACTION",
                    "expiresAt": 1_754_000_000, "timeoutAction": "ROLLBACK",
                },
            ],
        }]}))
    });
    let ecs = canned.clients().ecs;
    let found = ecs.describe_deployments(&["d1".to_owned()]).await.unwrap();
    let record = &found["d1"];
    assert_eq!(record.stage.as_deref(), Some("STAGE_OF_NEXT_YEAR"));
    assert_eq!(record.traffic_percent, Some(12.5));
    let hook = record.waits_for().unwrap();
    assert_eq!((hook.id.as_str(), hook.kind.as_str()), ("h2", "PAUSE"));
    ecs.continue_deployment("d1", "h2", true).await.unwrap();
    assert_eq!(
        canned.seen()[1].body,
        json!({"serviceDeploymentArn": "d1", "hookId": "h2", "action": "ROLLBACK"})
    );
}

#[tokio::test(start_paused = true)]
async fn what_ecs_leaves_out_has_its_default() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "services": [service("app")] })));
    let found = canned
        .clients()
        .ecs
        .describe_services("rails", &["app".to_owned()])
        .await
        .unwrap();
    let service = found["app"].present().unwrap();
    assert_eq!(service.deployment_controller, "ECS");
    assert_eq!(service.strategy, "ROLLING");
    assert_eq!(service.circuit_breaker, (false, false));
    assert!(service.task_definition.ends_with("app:1"));
}

#[tokio::test(start_paused = true)]
async fn an_update_changes_the_definition_and_nothing_else() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "service": service("app") })));
    let updated = canned
        .clients()
        .ecs
        .update_service("rails", "app", "app:2", false, &serde_json::Map::new())
        .await
        .unwrap();
    assert_eq!(updated.name, "app");
    assert_eq!(
        canned.seen()[0].body,
        json!({ "cluster": "rails", "service": "app", "taskDefinition": "app:2" })
    );
}

#[tokio::test(start_paused = true)]
async fn records_come_newest_first_and_are_described_by_twenties() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "ListServiceDeployments" => Reply::Ok(json!({
            "serviceDeployments": (0..50).map(|n| json!({
                "serviceDeploymentArn": format!("d{n}"),
                "targetServiceRevisionArn": format!("r{}", n % 30),
                "status": "IN_PROGRESS",
                "createdAt": 1_754_000_000 + n,
            })).collect::<Vec<_>>(),
        })),
        "DescribeServiceDeployments" => {
            let arns = strings(&request.body["serviceDeploymentArns"]);
            assert!(arns.len() <= 20);
            Reply::Ok(json!({
                "serviceDeployments": arns.iter().filter(|arn| *arn != "d48").map(|arn| json!({
                    "serviceDeploymentArn": arn,
                    "status": "ROLLBACK_SUCCESSFUL",
                    "statusReason": "rolled back",
                    "finishedAt": 1_754_000_100,
                    "rollback": { "reason": "circuit breaker" },
                })).collect::<Vec<_>>(),
                "failures": [{ "arn": "d48", "reason": "MISSING" }],
            }))
        }
        _ => {
            let arns = strings(&request.body["serviceRevisionArns"]);
            assert!(arns.len() <= 20);
            Reply::Ok(json!({
                "serviceRevisions": arns.iter().filter(|arn| *arn != "r17").map(|arn| json!({
                    "serviceRevisionArn": arn,
                    "taskDefinition": format!("app:{arn}"),
                })).collect::<Vec<_>>(),
            }))
        }
    });
    let ecs = canned.clients().ecs;
    let listed = ecs.list_deployments("rails", "app", 25).await.unwrap();
    assert_eq!(listed.len(), 25);
    assert_eq!(listed[0].arn, "d49");
    assert_eq!(listed[0].status, "IN_PROGRESS");
    assert_eq!(listed[0].service_revision.as_deref(), Some("r19"));

    let arns: Vec<String> = listed.iter().map(|record| record.arn.clone()).collect();
    let described = ecs.describe_deployments(&arns).await.unwrap();
    let newest = &described["d49"];
    assert_eq!(newest.status, "ROLLBACK_SUCCESSFUL");
    assert_eq!(newest.status_reason.as_deref(), Some("rolled back"));
    assert_eq!(newest.rollback_reason.as_deref(), Some("circuit breaker"));
    assert!(newest.finished_at.is_some());
    assert!(!described.contains_key("d48"), "it is gone");

    let revisions: Vec<String> = (10..30).map(|n| format!("r{n}")).collect();
    let definitions = ecs.definitions_of_revisions(&revisions).await.unwrap();
    assert_eq!(definitions["r19"], "app:r19");
    assert!(!definitions.contains_key("r17"), "it is gone");
    assert_eq!(canned.count("ListServiceDeployments"), 1);
    assert_eq!(canned.count("DescribeServiceDeployments"), 2);
    assert_eq!(canned.count("DescribeServiceRevisions"), 1);
}

fn revisions(numbers: &[u32]) -> Vec<String> {
    numbers
        .iter()
        .map(|n| format!("{PREFIX}:task-definition/app:{n}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn revisions_are_of_the_family_alone_and_newest_first() {
    // In text order, on two pages, with a family that only begins the same.
    let canned = Canned::new(|request| match request.body["nextToken"].as_str() {
        None => Reply::Ok(json!({
            "taskDefinitionArns": revisions(&[1, 10]),
            "nextToken": "more",
        })),
        Some(_) => Reply::Ok(json!({
            "taskDefinitionArns":
                [revisions(&[9])[0].clone(), format!("{PREFIX}:task-definition/app-worker:99")],
            "nextToken": "",
        })),
    });
    let ecs = canned.clients().ecs;
    let found = ecs.active_revisions("app", |_| false).await.unwrap();
    assert_eq!(found, revisions(&[10, 9, 1]));
    assert_eq!(
        canned.seen()[0].body,
        json!({ "familyPrefix": "app", "status": "ACTIVE", "sort": "DESC", "maxResults": 100 })
    );

    let enough = ecs
        .active_revisions("app", |seen| seen.len() == 2)
        .await
        .unwrap();
    assert_eq!(enough, revisions(&[10, 1]));
    assert_eq!(canned.seen().len(), 3, "the second page was not asked for");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_family_has_no_revisions_and_no_definition() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "ListTaskDefinitions" => Reply::Ok(json!({ "taskDefinitionArns": [] })),
        _ => error(
            400,
            "ClientException",
            "Unable to describe task definition.",
        ),
    });
    let ecs = canned.clients().ecs;
    assert!(
        ecs.active_revisions("nope", |_| false)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        ecs.describe_task_definition("nope").await.unwrap(),
        Known::Absent
    );
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_may_not_be_read_is_not_absent() {
    let canned = Canned::new(|_| error(400, "AccessDeniedException", "no"));
    let failed = canned.clients().ecs.describe_task_definition("app").await;
    assert_eq!(failed.unwrap_err().class, ErrorClass::Denied);
}

#[tokio::test(start_paused = true)]
async fn run_task_sends_its_input_as_it_stands_and_tells_failures() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({
            "tasks": [],
            "failures": [{ "reason": "RESOURCE:MEMORY", "arn": "arn:ci", "detail": "too small" }],
        }))
    });
    let input = json!({
        "cluster": "rails",
        "taskDefinition": "m:1",
        "clientToken": "token",
        "overrides": { "containerOverrides": [{
            "name": "m", "environment": [{ "name": "EMPTY", "value": "" }], "newMember": 1,
        }] },
    });
    let answer = canned.clients().ecs.run_task(&input).await.unwrap();
    assert_eq!(canned.seen()[0].body, input);
    assert!(answer.tasks.is_empty());
    assert_eq!(answer.failures[0].reason, "RESOURCE:MEMORY");
    assert_eq!(answer.failures[0].detail.as_deref(), Some("too small"));
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_start_was_not_answered_is_not_started_again_by_the_sdk() {
    let canned = Canned::new(|_| Reply::Silence);
    let input = json!({ "cluster": "rails", "taskDefinition": "m:1" });
    let failed = canned.clients().ecs.run_task(&input).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Ambiguous);
    assert_eq!(canned.count("RunTask"), 1);
}

fn task(arn: &str, started_by: &str) -> Value {
    json!({
        "taskArn": arn,
        "taskDefinitionArn": "m:1",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "startedBy": started_by,
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": [{ "name": "m", "exitCode": 0 }, { "name": "log", "reason": "never ran" }],
    })
}

#[tokio::test(start_paused = true)]
async fn tasks_are_found_by_who_started_them_running_and_stopped() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "ListTasks" => match request.body["desiredStatus"].as_str().unwrap() {
            "RUNNING" => Reply::Ok(json!({ "taskArns": ["t1"] })),
            _ if request.body["nextToken"].is_null() => {
                Reply::Ok(json!({ "taskArns": ["t1", "t2"], "nextToken": "n" }))
            }
            _ => Reply::Ok(json!({ "taskArns": ["t3"] })),
        },
        _ => {
            assert_eq!(strings(&request.body["tasks"]), ["t1", "t2", "t3"]);
            Reply::Ok(json!({
                "tasks": [task("t1", "key"), task("t2", "somebody"), task("t3", "key")],
            }))
        }
    });
    let found = canned
        .clients()
        .ecs
        .tasks_started_by("rails", "key")
        .await
        .unwrap();
    let arns: Vec<&str> = found.iter().map(|task| task.arn.as_str()).collect();
    assert_eq!(arns, ["t1", "t3"]);
    assert_eq!(
        found[0].stop_code.as_deref(),
        Some("EssentialContainerExited")
    );
    assert_eq!(found[0].containers[0].exit_code, Some(0));
    assert_eq!(
        found[0].containers[1].exit_code, None,
        "no exit code is not 0"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listed_task_that_cannot_be_described_is_not_left_out() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "ListTasks" => Reply::Ok(json!({ "taskArns": ["t1"] })),
        _ => Reply::Ok(json!({ "failures": [{ "arn": "t1", "reason": "MISSING" }] })),
    });
    let ecs = canned.clients().ecs;
    let failed = ecs.tasks_started_by("rails", "key").await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
    assert!(failed.resource.contains("t1"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_described_by_hundreds_and_a_forgotten_one_is_absent() {
    let canned = Canned::new(|request| {
        let asked = strings(&request.body["tasks"]);
        assert!(asked.len() <= 100);
        let (gone, there): (Vec<_>, Vec<_>) = asked.into_iter().partition(|it| it == "s7");
        Reply::Ok(json!({
            "tasks": there.iter().map(|arn| task(arn, "key")).collect::<Vec<_>>(),
            "failures":
                gone.iter().map(|it| json!({ "arn": it, "reason": "MISSING" })).collect::<Vec<_>>(),
        }))
    });
    let found = canned
        .clients()
        .ecs
        .describe_tasks("rails", &names(0..150))
        .await
        .unwrap();
    assert_eq!(canned.seen().len(), 2);
    assert_eq!(found.len(), 150);
    assert_eq!(found["s7"], Known::Absent);
    assert!(found["s149"].present().is_some());
}

#[tokio::test(start_paused = true)]
async fn stopping_a_forgotten_task_is_not_found() {
    let canned = Canned::new(|_| {
        error(
            400,
            "InvalidParameterException",
            "The referenced task was not found.",
        )
    });
    let failed = canned
        .clients()
        .ecs
        .stop_task("rails", "t1", "timeout")
        .await
        .unwrap_err();
    assert!(failed.is_not_found());
    assert_eq!(
        canned.seen()[0].body,
        json!({ "cluster": "rails", "task": "t1", "reason": "timeout" })
    );
}

#[tokio::test(start_paused = true)]
async fn deregistering_names_the_revision() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "taskDefinition": {} })));
    canned
        .clients()
        .ecs
        .deregister_task_definition("app:3")
        .await
        .unwrap();
    assert_eq!(canned.seen()[0].body, json!({ "taskDefinition": "app:3" }));
}
