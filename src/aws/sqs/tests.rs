use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::aws::canned::{Canned, Reply, error};

const URL: &str = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";

fn queue(canned: &Canned) -> Queue {
    Queue::new(&canned.aws(), URL)
}

fn messages(count: usize) -> Vec<Message> {
    let message = |n: usize| Message {
        body: "event".to_owned(),
        receipt: format!("receipt {n}"),
    };
    (0..count).map(message).collect()
}

#[test]
fn the_region_is_the_one_that_the_url_names() {
    for (url, region) in [
        (URL, Some("ap-northeast-1")),
        (
            "https://sqs-fips.us-gov-west-1.amazonaws.com/1/q",
            Some("us-gov-west-1"),
        ),
        (
            "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
            Some("cn-north-1"),
        ),
        ("https://sqs.eu-west-1.api.aws/1/q", Some("eu-west-1")),
        (
            "https://eu-west-1.queue.amazonaws.com/1/q",
            Some("eu-west-1"),
        ),
        ("https://queue.amazonaws.com/1/q", None),
        ("http://127.0.0.1:4566/123456789012/events", None),
        (
            "http://sqs.eu-west-1.localhost.localstack.cloud:4566/0/q",
            None,
        ),
        ("events", None),
    ] {
        assert_eq!(region_of(url), region, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_asked_for_by_tens_with_the_longest_wait() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({ "Messages": [
            { "MessageId": "1", "ReceiptHandle": "r", "Body": "hello" },
            { "MessageId": "2", "Body": "a message that nobody could delete" },
        ] }))
    });
    let received = queue(&canned).receive().await.unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, "hello");
    let seen = &canned.seen()[0];
    assert_eq!(seen.operation, "ReceiveMessage");
    let asked = json!({ "QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20 });
    assert_eq!(seen.body, asked);
    assert!(seen.uri.contains("ap-northeast-1"), "{}", seen.uri);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_outlasts_the_wait_and_not_much_more() {
    let canned = Canned::new(|_| Reply::Silence);
    let queue = Queue::new(&canned.aws().without_retries(), URL);
    let began = Instant::now();
    let failed = queue.receive().await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
    assert_eq!(began.elapsed(), ATTEMPT);
    assert!(ATTEMPT.as_secs() > 20);
}

#[tokio::test(start_paused = true)]
async fn messages_are_deleted_by_tens_and_a_failed_batch_keeps_no_other() {
    let canned = Canned::new(|request| {
        let entries = request.body["Entries"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_bad = |entry: &Value| entry["ReceiptHandle"] == "receipt 3";
        let done = |entry: &Value| json!({ "Id": entry["Id"] });
        let (bad, good): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(is_bad);
        let failed = |entry: &Value| {
            json!({ "Id": entry["Id"], "SenderFault": true, "Code": "ReceiptHandleIsInvalid",
                "Message": "The receipt handle has expired" })
        };
        Reply::Ok(json!({
            "Successful": good.iter().map(done).collect::<Vec<_>>(),
            "Failed": bad.iter().map(failed).collect::<Vec<_>>(),
        }))
    });
    let failed = queue(&canned).delete(&messages(25)).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Refused);
    assert_eq!(failed.code.as_deref(), Some("ReceiptHandleIsInvalid"));
    assert!(
        failed.message.starts_with("1 of 10 were not deleted"),
        "{failed}"
    );
    let seen = canned.seen();
    let sizes: Vec<usize> = seen
        .iter()
        .map(|it| it.body["Entries"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(sizes, [10, 10, 5]);
    let ids: Vec<&Value> = seen[1].body["Entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["Id"])
        .collect();
    assert_eq!(ids[0], "0");
    assert_eq!(ids[9], "9");
}

#[tokio::test(start_paused = true)]
async fn nothing_received_is_nothing_to_delete() {
    let canned = Canned::new(|_| error(500, "InternalError", "never asked"));
    queue(&canned).delete(&[]).await.unwrap();
    assert!(canned.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_queue_and_what_to_do() {
    let denied = Canned::new(|_| error(400, "AccessDeniedException", "not authorized"));
    let failed = queue(&denied).delete(&messages(1)).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Denied);
    let text = failed.to_string();
    assert!(text.contains(URL), "{text}");
    assert!(
        text.contains("Allow sqs:DeleteMessage on it"),
        "IAM has no action of the batch's name: {text}"
    );
    let missing = Canned::new(|_| error(400, "com.amazonaws.sqs#QueueDoesNotExist", "no queue"));
    let failed = queue(&missing).receive().await.unwrap_err();
    assert!(failed.is_not_found(), "{failed:?}");
    assert!(
        failed.to_string().contains("Check the queue's URL"),
        "{failed}"
    );
}
