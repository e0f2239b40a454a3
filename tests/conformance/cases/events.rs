//! moto's SQS before the inbox: events as AWS documents them, and garbage.

use std::path::Path;
use std::time::Duration;

use evenkeel::aws::Aws;
use evenkeel::aws::sqs::Queue;
use evenkeel::controller::events::Concern;
use evenkeel::controller::inbox::Inbox;
use evenkeel::controller::metrics::LoopMetrics;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::servers::{ACCOUNT, REGION, Server};

/// Longer than any of it takes, even on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

fn fixture(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read_to_string(root.join(path)).expect("the fixture is part of the project")
}

/// What a concern is about, in a word.
fn told(concern: &Concern) -> String {
    match concern {
        Concern::Service {
            cluster, service, ..
        } => format!("service {}/{service}", cluster.as_deref().unwrap_or("?")),
        Concern::Task { started_by, .. } => format!("task of {started_by}"),
        Concern::Image {
            repository, tag, ..
        } => format!(
            "image {}:{}",
            repository.name,
            tag.as_deref().unwrap_or("?")
        ),
    }
}

/// An AWS whose endpoint is the server, and the URL of a new queue there.
async fn queue(server: &Server) -> (Aws, String) {
    let made = server.call("sqs", "CreateQueue", &json!({"QueueName": "events"}));
    let url = made["QueueUrl"].as_str().expect("a URL").to_owned();
    let aws = server.aws().await;
    (aws, url)
}

/// How many messages are in the queue, be they with somebody or not.
fn left(server: &Server, url: &str) -> Value {
    let input = json!({"QueueUrl": url, "AttributeNames": ["All"]});
    let shown = server.call("sqs", "GetQueueAttributes", &input);
    let count = |name: &str| shown["Attributes"][name].clone();
    json!([
        count("ApproximateNumberOfMessages"),
        count("ApproximateNumberOfMessagesNotVisible"),
    ])
}

#[tokio::test]
async fn every_shape_arrives_through_motos_queue_and_garbage_stops_nothing() {
    let server = Server::moto();
    let (aws, url) = queue(&server).await;
    let sns = json!({
        "Type": "Notification",
        "TopicArn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:events"),
        "Message": fixture("events/ecr-image-action.json"),
    });
    let bodies = [
        "garbage".to_owned(),
        fixture("examples/replication/event.json"),
        "{\"detail-type\": [\"ECS Task State Change\"]}".to_owned(),
        fixture("events/ecs-task-state-change.json"),
        "[".repeat(10_000),
        fixture("events/ecs-deployment-state-change.json"),
        fixture("events/ecs-service-action.json"),
        fixture("events/ecr-image-action.json"),
        fixture("events/ecr-replication-action.json"),
        sns.to_string(),
        "x".repeat(200_000),
    ];
    for body in &bodies {
        let input = json!({"QueueUrl": url, "MessageBody": body});
        server.call("sqs", "SendMessage", &input);
    }
    let (sender, mut concerns) = mpsc::channel(1);
    let inbox = Inbox::new(Queue::new(&aws, url.as_str())).run(sender, LoopMetrics::default());
    let reading = tokio::spawn(inbox);
    let mut found = Vec::new();
    while found.len() < 7 {
        let next = tokio::time::timeout(LIMIT, concerns.recv()).await;
        let concern = next.unwrap_or_else(|_| panic!("only {found:?} came"));
        found.push(told(&concern.expect("the inbox reads on")));
    }
    found.sort();
    assert_eq!(
        found,
        [
            "image backend/api:?",
            "image rails/app:9d3c2f1",
            "image rails/app:9d3c2f1",
            "image rails/app:9d3c2f1",
            "service rails-production/app",
            "service rails-production/shoryuken",
            "task of evenkeel/6f1c",
        ]
    );
    // All of it is deleted, the garbage too.
    let empty = async {
        while left(&server, &url) != json!(["0", "0"]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, empty)
        .await
        .expect("the queue is empty");
    reading.abort();
}
