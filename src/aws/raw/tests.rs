use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::ErrorClass;
use crate::model::known::Known;

const ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/app:7";

/// What RegisterTaskDefinition takes, with members that no SDK knows and values that a careless
/// round trip loses.
fn content() -> Value {
    json!({
        "family": "app",
        "networkMode": "awsvpc",
        "madeUpAfterThisSdk": { "deep": [1, 2.5, null, { "x": "" }] },
        "containerDefinitions": [{
            "name": "app",
            "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1",
            "essential": true,
            "cpu": 0,
            "stopTimeout": 90,
            "newContainerMember": "kept",
            "environment": [
                { "name": "EMPTY_ON_PURPOSE", "value": "" },
                { "name": "UMLAUT", "value": "grün & <ok>" },
            ],
            "secrets": [{ "name": "KEY", "valueFrom": "arn:aws:ssm:eu-central-1:1:parameter/k" }],
        }],
        "runtimePlatform": { "cpuArchitecture": "ARM64" },
    })
}

fn described() -> Value {
    let mut definition = content();
    let members = definition.as_object_mut().unwrap();
    members.insert("taskDefinitionArn".into(), json!(ARN));
    members.insert("revision".into(), json!(7));
    members.insert("status".into(), json!("ACTIVE"));
    members.insert(
        "requiresAttributes".into(),
        json!([{ "name": "ecs.capability.x" }]),
    );
    members.insert("compatibilities".into(), json!(["EC2", "FARGATE"]));
    members.insert("registeredAt".into(), json!(1_754_000_000.123));
    members.insert(
        "registeredBy".into(),
        json!("arn:aws:iam::123456789012:user/terraform"),
    );
    json!({ "taskDefinition": definition, "tags": [{ "key": "team", "value": "" }] })
}

#[tokio::test(start_paused = true)]
async fn a_definition_survives_describe_and_register_whole() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "DescribeTaskDefinition" => Reply::Ok(described()),
        _ => Reply::Ok(json!({ "taskDefinition": { "taskDefinitionArn": ARN } })),
    });
    let ecs = canned.clients().ecs;

    let Known::Present(definition) = ecs.describe_task_definition("app").await.unwrap() else {
        panic!("it is there");
    };
    assert_eq!(definition.arn, ARN);
    assert_eq!(definition.family, "app");
    assert_eq!(definition.status, "ACTIVE");
    assert_eq!(
        definition.registered_by.as_deref(),
        Some("arn:aws:iam::123456789012:user/terraform")
    );
    let mut expected = content();
    expected["tags"] = json!([{ "key": "team", "value": "" }]);
    assert_eq!(*definition.content, expected);

    let arn = ecs
        .register_task_definition(&definition.content)
        .await
        .unwrap();
    assert_eq!(arn, ARN);
    let seen = canned.seen();
    assert_eq!(
        seen[0].body,
        json!({ "taskDefinition": "app", "include": ["TAGS"] })
    );
    assert_eq!(seen[1].body, expected);
    assert_eq!(seen[1].length, Some(seen[1].bytes.to_string()));
    assert!(seen[1].signed);
}

#[tokio::test(start_paused = true)]
async fn no_tags_are_no_member() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({
            "taskDefinition": { "taskDefinitionArn": ARN, "family": "app" },
            "tags": [],
        }))
    });
    let found = canned
        .clients()
        .ecs
        .describe_task_definition(ARN)
        .await
        .unwrap();
    assert_eq!(
        *found.present().unwrap().content,
        json!({ "family": "app" })
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_registration_is_repeated_with_the_same_body() {
    let canned = Canned::new(|_| error(400, "ThrottlingException", "Rate exceeded"));
    let failed = canned
        .clients()
        .ecs
        .register_task_definition(&content())
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Throttled);
    let seen = canned.seen();
    assert_eq!(seen.len(), 3, "the SDK repeats what certainly was not done");
    assert!(seen.iter().all(|request| request.body == content()));
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_is_lost_is_sent_once() {
    type Make = fn() -> Reply;
    let lost: [(&str, Make); 4] = [
        ("time ran out", || Reply::Silence),
        ("reset", || Reply::Reset),
        ("ServerException", || {
            error(
                500,
                "ServerException",
                "These errors are caused by a server issue.",
            )
        }),
        ("a proxy's page", || {
            Reply::Page(502, "<html><h1>Bad Gateway</h1></html>")
        }),
    ];
    for (name, make) in lost {
        let canned = Canned::new(move |_| make());
        let failed = canned
            .clients()
            .ecs
            .register_task_definition(&content())
            .await
            .unwrap_err();
        assert_eq!(failed.class, ErrorClass::Ambiguous, "{name}: {failed}");
        assert_eq!(canned.count("RegisterTaskDefinition"), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_never_connected_is_repeated_and_certainly_not_done() {
    let canned = Canned::new(|_| Reply::Refused);
    let failed = canned
        .clients()
        .ecs
        .register_task_definition(&content())
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
    assert_eq!(canned.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_success_without_an_arn_may_have_registered() {
    let canned = Canned::new(|_| Reply::Ok(json!({})));
    let failed = canned
        .clients()
        .ecs
        .register_task_definition(&content())
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_sdk_cannot_parse_is_still_read() {
    // An object where this SDK expects a string.
    let canned = Canned::new(|_| {
        Reply::Ok(json!({
            "taskDefinition": { "taskDefinitionArn": ARN, "family": "app", "cpu": { "new": 1 } },
        }))
    });
    let found = canned
        .clients()
        .ecs
        .describe_task_definition(ARN)
        .await
        .unwrap();
    assert_eq!(
        *found.present().unwrap().content,
        json!({ "family": "app", "cpu": { "new": 1 } })
    );
}
