use serde_json::{Value, json};

use super::*;

const REPLICATED: &str = include_str!("../../../tests/fixtures/examples/replication/event.json");
const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/shop";

fn event(source: &str, kind: &str, resources: Value, detail: Value) -> String {
    json!({
        "version": "0", "id": "c8b133b1-6029-ee73-e2a1-4f466b8ba999", "detail-type": kind,
        "source": source, "account": "123456789012", "time": "2026-01-21T03:04:05Z",
        "region": "eu-west-1", "resources": resources, "detail": detail,
    })
    .to_string()
}

fn task(detail: Value) -> String {
    event(
        "aws.ecs",
        "ECS Task State Change",
        json!(["arn:aws:ecs:eu-west-1:123456789012:task/shop/0a1b"]),
        detail,
    )
}

fn place() -> Place {
    Place {
        account: Some("123456789012".to_owned()),
        region: Some("eu-west-1".to_owned()),
    }
}

fn service(cluster: Option<&str>) -> News {
    let concern = Concern::Service {
        place: place(),
        cluster: cluster.map(str::to_owned),
        service: "web".to_owned(),
    };
    News::of("ecs", Some(concern))
}

fn image(region: &str, name: &str, tag: Option<&str>, digest: Option<&str>) -> Concern {
    Concern::Image {
        repository: EcrRepository {
            registry_id: "123456789012".to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        },
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    }
}

#[test]
fn a_task_of_a_service_concerns_the_service() {
    for status in ["RUNNING", "STOPPED", "A STATE THAT IS NEW"] {
        let body = task(json!({
            "clusterArn": CLUSTER, "group": "service:web", "startedBy": "ecs-svc/1",
            "lastStatus": status, "desiredStatus": "RUNNING", "version": 3,
        }));
        assert_eq!(read(&body), service(Some("shop")), "{status}");
    }
}

#[test]
fn a_task_by_itself_concerns_whoever_started_it() {
    let body = task(json!({
        "clusterArn": CLUSTER, "group": "family:migrate", "startedBy": "evenkeel/abc",
        "lastStatus": "STOPPED", "containers": [{"exitCode": 1}],
    }));
    let concern = Concern::Task {
        place: place(),
        cluster: Some("shop".to_owned()),
        started_by: "evenkeel/abc".to_owned(),
    };
    assert_eq!(read(&body), News::of("ecs", Some(concern)));
    let nobodys =
        task(json!({"clusterArn": CLUSTER, "group": "family:x", "lastStatus": "STOPPED"}));
    assert_eq!(read(&nobodys), News::of("ecs", None));
}

#[test]
fn states_that_a_task_only_passes_concern_nobody() {
    for status in PASSING {
        let body = task(json!({
            "clusterArn": CLUSTER, "group": "service:web", "lastStatus": status,
        }));
        assert_eq!(read(&body), News::of("ecs", None), "{status}");
    }
}

#[test]
fn deployments_and_actions_concern_their_service() {
    let arn = |path: &str| json!([format!("arn:aws:ecs:eu-west-1:123456789012:service/{path}")]);
    let deployment = json!({
        "eventType": "ERROR", "eventName": "SERVICE_DEPLOYMENT_FAILED",
        "deploymentId": "ecs-svc/1", "updatedAt": "2026-01-21T03:04:05Z", "reason": "why",
    });
    let kind = "ECS Deployment State Change";
    let body = event("aws.ecs", kind, arn("shop/web"), deployment.clone());
    assert_eq!(read(&body), service(Some("shop")));
    // Services made before 2018 may still have the short ARN.
    assert_eq!(
        read(&event("aws.ecs", kind, arn("web"), deployment)),
        service(None)
    );
    let action = json!({
        "eventType": "INFO", "eventName": "SERVICE_STEADY_STATE", "clusterArn": CLUSTER,
        "createdAt": "2026-01-21T03:04:05Z",
    });
    let body = event("aws.ecs", "ECS Service Action", arn("web"), action);
    assert_eq!(read(&body), service(Some("shop")));
}

#[test]
fn pushed_and_replicated_images_concern_their_repository() {
    let pushed = json!({
        "result": "SUCCESS", "repository-name": "shop/web", "image-digest": "sha256:7f5b",
        "action-type": "PUSH", "image-tag": "latest",
    });
    let body = event("aws.ecr", "ECR Image Action", json!([]), pushed);
    let concern = image("eu-west-1", "shop/web", Some("latest"), Some("sha256:7f5b"));
    assert_eq!(read(&body), News::of("ecr", Some(concern)));

    let replicated = json!({
        "result": "SUCCESS", "repository-name": "shop/web", "image-digest": "sha256:7f5b",
        "source-account": "123456789012", "action-type": "REPLICATE",
        "source-region": "us-west-2", "image-tag": "3.17.2",
    });
    let arn = json!(["arn:aws:ecr:eu-west-1:123456789012:repository/shop/web"]);
    let body = event("aws.ecr", "ECR Replication Action", arn, replicated);
    let concern = image("eu-west-1", "shop/web", Some("3.17.2"), Some("sha256:7f5b"));
    assert_eq!(read(&body), News::of("ecr", Some(concern)));
}

#[test]
fn what_cloudtrail_writes_of_a_replicated_image_concerns_its_repository() {
    let concern = image("ap-northeast-1", "backend/api", None, None);
    assert_eq!(read(REPLICATED), News::of("cloudtrail", Some(concern)));
    let other = REPLICATED.replace("ReplicateImage", "PutLifecyclePolicy");
    assert_eq!(read(&other), News::unknown());
}

#[test]
fn an_event_that_went_through_sns_is_the_same_event() {
    let notification = json!({
        "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        "Message": REPLICATED, "Timestamp": "2026-01-21T03:04:05Z", "Signature": "s",
    });
    assert_eq!(read(&notification.to_string()), read(REPLICATED));
    let confirmation = json!({"Type": "SubscriptionConfirmation", "Message": REPLICATED});
    assert_eq!(read(&confirmation.to_string()), News::unknown());
}

#[test]
fn whatever_else_comes_is_unknown_and_harms_nothing() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = json!({"Type": "Notification", "Message": deep.as_str()}).to_string();
    let detail = |kind: &str, detail: Value| event("aws.ecs", kind, json!([]), detail);
    for body in [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        "\u{0}\u{1f600}",
        "{\"detail-type\": 1, \"source\": [], \"detail\": {}}",
        deep.as_str(),
        nested.as_str(),
        &detail("ECS Task State Change", json!("text")),
        &detail("ECS Task State Change", json!({"group": 7})),
        &detail("ECS Service Action", json!({})),
        &detail("ECS Container Instance State Change", json!({})),
        &event("aws.ecr", "ECR Image Action", json!([]), json!({})),
        &event("aws.ecr", "ECR Image Scan", json!([]), json!({})),
        &event("aws.ec2", "ECS Service Action", json!(["x"]), json!({})),
        &event(
            "aws.ecs",
            "ECS Service Action",
            json!(["arn:aws:ecs:a:b:cluster/c"]),
            json!({}),
        ),
    ] {
        let start: String = body.chars().take(80).collect();
        assert_eq!(read(body), News::unknown(), "{start}");
    }
    // An ARN of something else beside one that is a repository's.
    let trail = json!({"eventName": "ReplicateImage", "resources": [
        {"ARN": "arn:aws:s3:::bucket"}, {"accountId": "1"}, {"ARN": "nonsense"},
    ]});
    let body = event("aws.ecr", "AWS API Call via CloudTrail", json!([]), trail);
    assert_eq!(read(&body).concerns, []);
}

#[test]
fn events_as_aws_documents_them_are_understood() {
    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/events/", $name, ".json"))
        };
    }
    let service = |name: &str| Concern::Service {
        place: Place {
            region: Some("ap-northeast-1".to_owned()),
            ..place()
        },
        cluster: Some("rails-production".to_owned()),
        service: name.to_owned(),
    };
    let task = Concern::Task {
        place: Place {
            region: Some("ap-northeast-1".to_owned()),
            ..place()
        },
        cluster: Some("rails-production".to_owned()),
        started_by: "evenkeel/6f1c".to_owned(),
    };
    let digest = "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd12345678";
    let image = image("ap-northeast-1", "rails/app", Some("9d3c2f1"), Some(digest));
    for (body, source, concern) in [
        (fixture!("ecs-task-state-change"), "ecs", task),
        (
            fixture!("ecs-deployment-state-change"),
            "ecs",
            service("app"),
        ),
        (fixture!("ecs-service-action"), "ecs", service("shoryuken")),
        (fixture!("ecr-image-action"), "ecr", image.clone()),
        (fixture!("ecr-replication-action"), "ecr", image),
    ] {
        assert_eq!(read(body), News::of(source, Some(concern)));
    }
}
