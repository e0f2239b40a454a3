use std::collections::HashMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

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
async fn denied_partitions_are_denied_in_every_call_that_names_them() {
    let sandbox = sandbox();
    let table = json!({
        "TableName": "things", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"}],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"}]});
    sandbox
        .call("dynamodb", REGION, "CreateTable", table)
        .unwrap();
    sandbox.update_settings(|settings| settings.deny_keys = vec!["ledger#*".parse().unwrap()]);
    let client = client!(aws_sdk_dynamodb, sandbox);
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    for (pk, allowed) in [("ledger#a", false), ("spec#a", true)] {
        let key = HashMap::from([
            ("pk".to_owned(), text(pk)),
            ("sk".to_owned(), text("ledger#a")),
        ]);
        let get = client
            .get_item()
            .table_name("things")
            .set_key(Some(key.clone()));
        assert_eq!(get.send().await.is_ok(), allowed, "GetItem {pk}");
        let put = Put::builder()
            .table_name("things")
            .set_item(Some(key))
            .build()
            .unwrap();
        let write = client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build());
        assert_eq!(
            write.send().await.is_ok(),
            allowed,
            "TransactWriteItems {pk}"
        );
        let query = client
            .query()
            .table_name("things")
            .key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":sk", text("ledger#"));
        assert_eq!(query.send().await.is_ok(), allowed, "Query {pk}");
    }
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
