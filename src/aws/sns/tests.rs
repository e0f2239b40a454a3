use serde_json::{Value, json};

use super::*;
use crate::aws::Aws;
use crate::aws::events::Event;
use crate::sandbox::{Sandbox, SandboxOptions};

const REGION: &str = "eu-west-1";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:releases";
const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:heard";

/// A sandbox with a topic, a FIFO topic, and a queue that hears both.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let call = |service, operation, input| sandbox.call(service, REGION, operation, input).unwrap();
    call("sqs", "CreateQueue", json!({"QueueName": "heard"}));
    call("sns", "CreateTopic", json!({"Name": "releases"}));
    let fifo = json!({"Name": "releases.fifo", "Attributes": {"FifoTopic": "true"}});
    call("sns", "CreateTopic", fifo);
    for topic in [TOPIC.to_owned(), format!("{TOPIC}.fifo")] {
        let input = json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": QUEUE});
        call("sns", "Subscribe", input);
    }
    sandbox
}

/// What the queue holds.
fn heard(sandbox: &Sandbox) -> Vec<Value> {
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/heard";
    let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
    let answer = sandbox
        .call("sqs", REGION, "ReceiveMessage", input)
        .unwrap();
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    let body = |message: &Value| serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
    messages.iter().map(body).collect()
}

fn message<'a>(topic: &'a str, id: &'a str) -> Message<'a> {
    Message {
        topic,
        id,
        group: "shop/web",
        subject: "shop/web: Ready",
        text: "a < b & \"c\"",
        attributes: &[("release", "shop/web"), ("event", "Ready")],
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_with_its_subject_and_attributes() {
    let sandbox = sandbox();
    let sns = Aws::for_test(sandbox.http_client(), REGION)
        .region(REGION)
        .sns;
    sns.publish(&message(TOPIC, "1")).await.unwrap();
    let heard = heard(&sandbox);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0]["Message"], "a < b & \"c\"");
    assert_eq!(heard[0]["Subject"], "shop/web: Ready");
    let event = &heard[0]["MessageAttributes"]["event"];
    assert_eq!(*event, json!({"Type": "String", "Value": "Ready"}));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_topic_takes_a_message_once() {
    let sandbox = sandbox();
    let sns = Aws::for_test(sandbox.http_client(), REGION)
        .region(REGION)
        .sns;
    let topic = format!("{TOPIC}.fifo");
    for id in ["1", "1", "2"] {
        sns.publish(&message(&topic, id)).await.unwrap();
    }
    assert_eq!(heard(&sandbox).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_by_its_class() {
    let sandbox = sandbox();
    let sns = Aws::for_test(sandbox.http_client(), REGION)
        .region(REGION)
        .sns;
    let none = sns.publish(&message(&format!("{TOPIC}-none"), "1")).await;
    assert_eq!(none.unwrap_err().class, ErrorClass::NotFound);
    let long = Message {
        subject: "two\nlines",
        ..message(TOPIC, "1")
    };
    let refused = sns.publish(&long).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    sandbox.update_settings(|it| it.deny = serde_json::from_value(json!(["sns:*"])).unwrap());
    let denied = sns.publish(&message(TOPIC, "1")).await.unwrap_err();
    assert_eq!(denied.class, ErrorClass::Denied);
    assert!(denied.to_string().contains("sns:Publish"), "{denied}");
    assert_eq!(sandbox.calls()["sns.Publish"], 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_put_on_a_bus_and_one_that_is_not_taken_is_an_error() {
    let sandbox = sandbox();
    let events = Aws::for_test(sandbox.http_client(), REGION)
        .region(REGION)
        .events;
    let pattern = json!({"source": ["evenkeel"]}).to_string();
    let call = |operation, input| sandbox.call("events", REGION, operation, input).unwrap();
    call("PutRule", json!({"Name": "all", "EventPattern": pattern}));
    let targets = json!([{"Id": "1", "Arn": QUEUE}]);
    call("PutTargets", json!({"Rule": "all", "Targets": targets}));
    let detail = json!({"event": "Ready"});
    let event = |bus, source| Event {
        bus,
        source,
        kind: "evenkeel Release State Change",
        detail: &detail,
        at: "2026-03-02T09:00:00Z".parse().unwrap(),
    };
    events
        .put_event(&event("default", "evenkeel"))
        .await
        .unwrap();
    let heard = heard(&sandbox);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0]["detail"], detail);
    assert_eq!(heard[0]["detail-type"], "evenkeel Release State Change");
    let foreign = events.put_event(&event("default", "aws.ecs")).await;
    assert_eq!(foreign.unwrap_err().class, ErrorClass::Denied);
    let none = events.put_event(&event("none", "evenkeel")).await;
    assert_eq!(none.unwrap_err().class, ErrorClass::NotFound);
}
