use super::*;

#[tokio::test(start_paused = true)]
async fn denied_actions_answer_with_awss_sentence() {
    let sandbox = sandbox();
    sandbox.update_settings(|settings| settings.deny = vec!["events:Put*".parse().unwrap()]);
    let client = client!(aws_sdk_eventbridge, sandbox);
    let denied = client
        .put_rule()
        .name("nightly")
        .schedule_expression("rate(1 day)")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        told(&denied),
        (
            "AccessDeniedException".to_owned(),
            "User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform: \
             events:PutRule on resource: \
             arn:aws:events:ap-northeast-1:123456789012:rule/nightly because no identity-based \
             policy allows the events:PutRule action"
                .to_owned()
        )
    );
    assert!(client.list_rules().send().await.unwrap().rules().is_empty());
    // Somebody else may.
    let input = json!({"Name": "nightly", "ScheduleExpression": "rate(1 day)"});
    sandbox.call("events", REGION, "PutRule", input).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_sdk_rides_out_throttling_in_virtual_time() {
    let sandbox = sandbox();
    sandbox.update_settings(|settings| settings.throttle = true);
    let client = client!(aws_sdk_eventbridge, sandbox);
    let began = tokio::time::Instant::now();
    for _ in 0..200 {
        client.list_rules().send().await.unwrap();
    }
    assert!(
        sandbox.calls()["events.ListRules"] > 200,
        "nothing was throttled"
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn unknown_operations_and_services_say_so() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_eventbridge, sandbox);
    let error = client.list_event_buses().send().await.unwrap_err();
    assert_eq!(
        told(&error),
        (
            "UnknownOperationException".to_owned(),
            "The sandbox's events has no operation ListEventBuses".to_owned()
        )
    );
    let service = sandbox.call("s3", REGION, "ListBuckets", json!({}));
    assert_eq!(service.unwrap_err().code, "UnknownOperationException");
}

#[tokio::test(start_paused = true)]
async fn only_clients_are_counted_and_all_is_logged() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_eventbridge, sandbox);
    let input = json!({"Name": "nightly", "ScheduleExpression": "rate(1 day)"});
    sandbox.call("events", REGION, "PutRule", input).unwrap();
    client.list_rules().send().await.unwrap();
    client
        .describe_rule()
        .name("none")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        sandbox.calls(),
        BTreeMap::from([
            ("events.DescribeRule".to_owned(), 1),
            ("events.ListRules".to_owned(), 1),
        ])
    );
    let log = sandbox.log();
    let names: Vec<_> = log
        .iter()
        .map(|r| (r.operation.as_str(), r.client))
        .collect();
    assert_eq!(
        names,
        [
            ("PutRule", false),
            ("ListRules", true),
            ("DescribeRule", true)
        ]
    );
    assert_eq!(log[0].input["Name"], "nightly");
    assert!(
        matches!(&log[2].outcome, Outcome::Refused { code, .. } if code == "ResourceNotFoundException")
    );
    sandbox.reset_calls();
    assert!(sandbox.calls().is_empty() && sandbox.log().is_empty());
}

#[test]
fn writes_are_told_from_reads() {
    for write in [
        "UpdateService",
        "RunTask",
        "StopTask",
        "PutTargets",
        "PutItem",
        "UpdateItem",
        "TransactWriteItems",
        "BatchWriteItem",
        "BatchDeleteImage",
        "TagResource",
        "CreateTable",
    ] {
        assert!(is_write("x", write), "{write}");
    }
    for read in [
        "DescribeServices",
        "ListTasks",
        "GetItem",
        "BatchGetItem",
        "BatchGetImage",
        "Query",
        "Scan",
        "TransactGetItems",
        "GetAuthorizationToken",
    ] {
        assert!(!is_write("x", read), "{read}");
    }
    assert!(!is_write("sts", "AssumeRole"));
}
