//! Queues, long polls, and the events that come into queues.

use super::*;
use tokio::time::Instant;

type Sqs = aws_sdk_sqs::Client;

const ARN: &str = "arn:aws:sqs:ap-northeast-1:123456789012:events";

async fn queue(sqs: &Sqs) -> String {
    let made = sqs.create_queue().queue_name("events").send().await;
    made.unwrap().queue_url.unwrap()
}

async fn send(sqs: &Sqs, url: &str, body: &str) {
    let sent = sqs.send_message().queue_url(url).message_body(body);
    sent.send().await.unwrap();
}

/// Bodies and receipt handles.
async fn receive(sqs: &Sqs, url: &str, wait: i32) -> Vec<(String, String)> {
    let call = sqs.receive_message().queue_url(url).wait_time_seconds(wait);
    let answer = call.max_number_of_messages(10).send().await.unwrap();
    let messages = answer.messages.unwrap_or_default().into_iter();
    messages
        .map(|it| (it.body.unwrap(), it.receipt_handle.unwrap()))
        .collect()
}

async fn bodies(sqs: &Sqs, url: &str, wait: i32) -> Vec<String> {
    let received = receive(sqs, url, wait).await.into_iter();
    received.map(|(body, _)| body).collect()
}

/// A queue that gets the events of a pattern.
async fn listening(sandbox: &Sandbox, sqs: &Sqs, pattern: Value) -> String {
    let rule = json!({"Name": "all", "EventPattern": pattern.to_string()});
    sandbox.call("events", REGION, "PutRule", rule).unwrap();
    let target = json!({"Rule": "all", "Targets": [{"Id": "queue", "Arn": ARN}]});
    sandbox
        .call("events", REGION, "PutTargets", target)
        .unwrap();
    queue(sqs).await
}

/// Everything that is in the queue, as JSON, deleted as it is read.
async fn drain(sandbox: &Sandbox, url: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
        let answer = sandbox
            .call("sqs", REGION, "ReceiveMessage", input)
            .unwrap();
        let Some(messages) = answer["Messages"].as_array() else {
            return events;
        };
        for message in messages {
            events.push(serde_json::from_str(message["Body"].as_str().unwrap()).unwrap());
            let input = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
            sandbox.call("sqs", REGION, "DeleteMessage", input).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_while_somebody_has_it_and_comes_again_until_it_is_deleted() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let url = queue(&sqs).await;
    assert_eq!(
        url,
        "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events"
    );
    assert_eq!(queue(&sqs).await, url, "made again, it is the same");
    send(&sqs, &url, "hello").await;
    let first = receive(&sqs, &url, 0).await;
    assert_eq!(first[0].0, "hello");
    assert!(receive(&sqs, &url, 0).await.is_empty());
    tokio::time::advance(Duration::from_secs(30)).await;
    let second = receive(&sqs, &url, 0).await;
    assert_eq!(second[0].0, "hello");
    let delete = |handle: &str| {
        let call = sqs.delete_message().queue_url(&url);
        call.receipt_handle(handle).send()
    };
    // An older handle deletes nothing any more, and says so to nobody.
    delete(&first[0].1).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    let third = receive(&sqs, &url, 0).await;
    assert_eq!(third.len(), 1);
    delete(&third[0].1).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(receive(&sqs, &url, 0).await.is_empty());
    let refused = delete("nonsense").await.unwrap_err();
    assert_eq!(told(&refused).0, "ReceiptHandleIsInvalid");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_first_message_and_costs_no_real_time() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let url = queue(&sqs).await;
    let began = Instant::now();
    assert!(receive(&sqs, &url, 20).await.is_empty());
    assert_eq!(began.elapsed().as_secs(), 20);

    let began = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        send(&sqs, &url, "at last").await;
    };
    let (received, ()) = tokio::join!(bodies(&sqs, &url, 20), later);
    assert_eq!(received, ["at last"]);
    assert_eq!(began.elapsed().as_secs(), 7);
    // It is hidden now, and its reader does not come back: the next poll gets it in time.
    let began = Instant::now();
    assert!(receive(&sqs, &url, 20).await.is_empty());
    assert_eq!(bodies(&sqs, &url, 20).await, ["at last"]);
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_poll_sees_what_happens_in_ecs_by_itself() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let pattern = json!({"detail-type": ["ECS Task State Change"], "detail": {
        "lastStatus": ["STOPPED"]}});
    let url = listening(&sandbox, &sqs, pattern).await;
    for (operation, input) in [
        ("CreateCluster", json!({"clusterName": "c"})),
        (
            "RegisterTaskDefinition",
            json!({"family": "once", "containerDefinitions": [
                {"name": "main", "image": "once", "memory": 64}]}),
        ),
    ] {
        sandbox.call("ecs", REGION, operation, input).unwrap();
    }
    let rules = json!([{"then": {"exit": {"after": "3s", "exitCode": 7}}}]);
    sandbox.set_rules(serde_json::from_value(rules).unwrap());
    let run = json!({"cluster": "c", "taskDefinition": "once", "startedBy": "me"});
    sandbox.call("ecs", REGION, "RunTask", run).unwrap();
    let began = sandbox.now();
    let body = bodies(&sqs, &url, 20).await.remove(0);
    let event: Value = serde_json::from_str(&body).unwrap();
    let detail = &event["detail"];
    assert_eq!(event["source"], "aws.ecs");
    assert_eq!(event["account"], "123456789012");
    assert_eq!(event["resources"][0], detail["taskArn"]);
    assert_eq!(detail["startedBy"], "me");
    assert_eq!(detail["containers"][0]["exitCode"], 7);
    let stopped: jiff::Timestamp = detail["stoppedAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(stopped, sandbox.now(), "told when it happened");
    assert!(stopped > began);
}

#[tokio::test(start_paused = true)]
async fn deployments_and_pushes_are_told_as_aws_tells_them() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let kinds = [
        "ECS Deployment State Change",
        "ECS Service Action",
        "ECR Image Action",
    ];
    let url = listening(&sandbox, &sqs, json!({ "detail-type": kinds })).await;
    let account = include_str!("../../../tests/fixtures/examples/replication/account.json");
    sandbox
        .load_account(&parse_account(account).unwrap(), REGION)
        .unwrap();
    sandbox.skip(Duration::from_secs(120));
    let events = drain(&sandbox, &url).await;
    let named: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            let detail = &event["detail"];
            let name = detail.get("eventName").or(detail.get("action-type"));
            (
                event["detail-type"].as_str().unwrap(),
                name.unwrap().as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("ECR Image Action", "PUSH"),
            (
                "ECS Deployment State Change",
                "SERVICE_DEPLOYMENT_IN_PROGRESS"
            ),
            (
                "ECS Deployment State Change",
                "SERVICE_DEPLOYMENT_COMPLETED"
            ),
            ("ECS Service Action", "SERVICE_STEADY_STATE"),
        ]
    );
    let pushed = &events[0]["detail"];
    assert_eq!(pushed["repository-name"], "backend/api");
    assert_eq!(pushed["image-tag"], "latest");
    assert!(
        pushed["image-digest"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    let service = "arn:aws:ecs:ap-northeast-1:123456789012:service/verification/api";
    assert_eq!(events[2]["resources"], json!([service]));
    assert!(
        events[2]["detail"]["deploymentId"]
            .as_str()
            .unwrap()
            .starts_with("ecs-svc/")
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_is_told_as_failed() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let pattern = json!({"detail": {"eventName": [{"suffix": "_FAILED"}]}});
    let url = listening(&sandbox, &sqs, pattern).await;
    let rules = json!([{"then": {"crash": {"after": "1s"}}}]);
    sandbox.set_rules(serde_json::from_value(rules).unwrap());
    let account = include_str!("../../../tests/fixtures/examples/replication/account.json");
    sandbox
        .load_account(&parse_account(account).unwrap(), REGION)
        .unwrap();
    let breaker = json!({"cluster": "verification", "service": "api",
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": false}}});
    sandbox
        .call("ecs", REGION, "UpdateService", breaker)
        .unwrap();
    sandbox.skip(Duration::from_secs(600));
    let events = drain(&sandbox, &url).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        events[0]["detail"]["eventName"],
        "SERVICE_DEPLOYMENT_FAILED"
    );
    assert_eq!(events[0]["detail"]["eventType"], "ERROR");
}

#[tokio::test(start_paused = true)]
async fn anybody_puts_events_but_awss_own() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let events = client!(aws_sdk_eventbridge, sandbox);
    let url = listening(&sandbox, &sqs, json!({"detail": {"n": [1]}})).await;
    let entry = |source: &str, detail: &str| {
        aws_sdk_eventbridge::types::PutEventsRequestEntry::builder()
            .source(source)
            .detail_type("a kind")
            .detail(detail)
            .build()
    };
    let put = events.put_events().entries(entry("shop", r#"{"n": 1}"#));
    let put = put.entries(entry("shop", r#"{"n": 2}"#));
    let put = put.entries(entry("aws.ecs", r#"{"n": 1}"#));
    let answer = put.entries(entry("shop", "hello")).send().await.unwrap();
    assert_eq!(answer.failed_entry_count, 2);
    let codes: Vec<_> = answer.entries().iter().map(|it| it.error_code()).collect();
    let (ours, broken) = ("NotAuthorizedForSourceException", "MalformedDetail");
    assert_eq!(codes, [None, None, Some(ours), Some(broken)]);
    sandbox.put_event(REGION, &json!({"source": "aws.ecs", "detail": {"n": 1}}));
    let sources: Vec<Value> = drain(&sandbox, &url).await;
    let sources: Vec<&Value> = sources.iter().map(|event| &event["source"]).collect();
    assert_eq!(sources, ["shop", "aws.ecs"]);
}

#[tokio::test(start_paused = true)]
async fn events_are_dropped_doubled_delayed_and_overtake_each_other_on_request() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let url = listening(&sandbox, &sqs, json!({"detail": {"n": [{"exists": true}]}})).await;
    let put = |count: u32| {
        for n in 0..count {
            sandbox.put_event(REGION, &json!({"detail": {"n": n}}));
        }
    };
    let numbers = async |patience: u64| {
        tokio::time::advance(Duration::from_secs(patience)).await;
        let events = drain(&sandbox, &url).await;
        let number = |event: &Value| event["detail"]["n"].as_u64().unwrap();
        events.iter().map(number).collect::<Vec<_>>()
    };
    let set = |change: fn(&mut Delivery)| {
        sandbox.update_settings(|settings| {
            settings.delivery = Delivery::default();
            change(&mut settings.delivery);
        });
    };
    set(|delivery| delivery.drop = 0.5);
    put(100);
    let came = numbers(0).await.len();
    assert!((25..75).contains(&came), "{came} of 100 came");
    set(|delivery| delivery.duplicate = 1.0);
    put(3);
    assert_eq!(numbers(0).await, [0, 0, 1, 1, 2, 2]);
    set(|delivery| delivery.delay = Duration::from_secs(10));
    put(20);
    let early = numbers(0).await.len() + numbers(3).await.len();
    assert!((1..20).contains(&early), "{early} of 20 came within 3 s");
    assert_eq!(early + numbers(7).await.len(), 20);
    set(|delivery| delivery.redeliver = 1.0);
    put(2);
    assert_eq!(
        numbers(0).await.len(),
        4,
        "each comes twice, though it was deleted"
    );
}

#[tokio::test(start_paused = true)]
async fn batches_tell_what_was_refused_beside_what_was_done() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let url = queue(&sqs).await;
    let call = |operation: &str, mut input: Value| {
        input["QueueUrl"] = json!(url);
        sandbox.call("sqs", REGION, operation, input)
    };
    let entries = json!({"Entries": [
        {"Id": "a", "MessageBody": "abc"}, {"Id": "b", "MessageBody": ""}]});
    let sent = call("SendMessageBatch", entries).unwrap();
    assert_eq!(sent["Successful"][0]["Id"], "a");
    assert_eq!(
        sent["Successful"][0]["MD5OfMessageBody"],
        "900150983cd24fb0d6963f7d28e17f72"
    );
    assert_eq!(sent["Failed"][0]["Id"], "b");
    let handle = receive(&sqs, &url, 0).await.remove(0).1;
    let entries = json!({"Entries": [
        {"Id": "x", "ReceiptHandle": "?"}, {"Id": "y", "ReceiptHandle": handle}]});
    let deleted = call("DeleteMessageBatch", entries).unwrap();
    assert_eq!(deleted["Successful"], json!([{"Id": "y"}]));
    assert_eq!(deleted["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    for (entries, code) in [
        (json!([]), "EmptyBatchRequest"),
        (
            json!([{"Id": "a"}, {"Id": "a"}]),
            "BatchEntryIdsNotDistinct",
        ),
        (
            (0..11).map(|n| json!({"Id": n.to_string()})).collect(),
            "TooManyEntriesInBatchRequest",
        ),
    ] {
        let refused = call("DeleteMessageBatch", json!({ "Entries": entries })).unwrap_err();
        assert_eq!(refused.code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn attributes_are_kept_checked_and_shown() {
    let sandbox = sandbox();
    let sqs = client!(aws_sdk_sqs, sandbox);
    let url = queue(&sqs).await;
    let call = |operation: &str, input: Value| sandbox.call("sqs", REGION, operation, input);
    let set = |attributes: Value| {
        call(
            "SetQueueAttributes",
            json!({"QueueUrl": url, "Attributes": attributes}),
        )
    };
    set(json!({"VisibilityTimeout": "5", "Policy": "{}"})).unwrap();
    send(&sqs, &url, "one").await;
    send(&sqs, &url, "two").await;
    receive(&sqs, &url, 0).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let shown = call(
        "GetQueueAttributes",
        json!({"QueueUrl": url, "AttributeNames": ["All"]}),
    );
    let shown = &shown.unwrap()["Attributes"];
    assert_eq!(shown["QueueArn"], ARN);
    assert_eq!(shown["VisibilityTimeout"], "5");
    assert_eq!(
        shown["ApproximateNumberOfMessages"], "2",
        "they are visible again"
    );
    call("PurgeQueue", json!({"QueueUrl": url})).unwrap();
    assert!(receive(&sqs, &url, 0).await.is_empty());
    for (attributes, code) in [
        (json!({"VisibilityTimeout": "-1"}), "InvalidAttributeValue"),
        (json!({"Colour": "red"}), "InvalidAttributeName"),
        (json!({"FifoQueue": "true"}), "UnsupportedOperation"),
    ] {
        assert_eq!(set(attributes).unwrap_err().code, code);
    }
    let other = json!({"QueueName": "events", "Attributes": {"VisibilityTimeout": "6"}});
    assert_eq!(
        call("CreateQueue", other).unwrap_err().code,
        "QueueNameExists"
    );
    assert_eq!(
        call("ListQueues", json!({})).unwrap()["QueueUrls"],
        json!([url])
    );
    call("DeleteQueue", json!({"QueueUrl": url})).unwrap();
    let gone = sqs
        .receive_message()
        .queue_url(&url)
        .send()
        .await
        .unwrap_err();
    assert_eq!(told(&gone).0, "AWS.SimpleQueueService.NonExistentQueue");
}
