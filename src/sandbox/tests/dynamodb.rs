use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, KeySchemaElement, KeyType,
    Put, ReturnValue, ScalarAttributeType, StreamSpecification, StreamViewType, TableStatus,
    TimeToLiveSpecification, TransactWriteItem,
};

use super::*;

async fn table(sandbox: &Sandbox) -> Client {
    let client = client!(aws_sdk_dynamodb, sandbox);
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .unwrap()
    };
    let attribute = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    client
        .create_table()
        .table_name("evenkeel")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .attribute_definitions(attribute("pk"))
        .attribute_definitions(attribute("sk"))
        .stream_specification(
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(StreamViewType::NewAndOldImages)
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    client
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn put(sk: &str, version: &str) -> Put {
    Put::builder()
        .table_name("evenkeel")
        .item("pk", s("a"))
        .item("sk", s(sk))
        .item("version", AttributeValue::N(version.to_owned()))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_table_is_described_as_this_accounts() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    let described = client
        .describe_table()
        .table_name("evenkeel")
        .send()
        .await
        .unwrap();
    let table = described.table().unwrap();
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    assert_eq!(
        table.table_arn(),
        Some("arn:aws:dynamodb:ap-northeast-1:123456789012:table/evenkeel")
    );
    let tagged = client
        .tag_resource()
        .resource_arn(table.table_arn().unwrap())
        .tags(
            aws_sdk_dynamodb::types::Tag::builder()
                .key("team")
                .value("shop")
                .build()
                .unwrap(),
        )
        .send()
        .await;
    assert!(tagged.is_ok(), "{tagged:?}");
    let missing = client
        .describe_table()
        .table_name("other")
        .send()
        .await
        .unwrap_err();
    assert!(
        missing
            .as_service_error()
            .unwrap()
            .is_resource_not_found_exception()
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_writes_nothing_and_shows_the_item() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    let write = || {
        client
            .put_item()
            .table_name("evenkeel")
            .item("pk", s("a"))
            .item("sk", s("b"))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            )
    };
    write().item("who", s("first")).send().await.unwrap();
    let error = write().item("who", s("second")).send().await.unwrap_err();
    let error = error.into_service_error();
    assert!(error.is_conditional_check_failed_exception(), "{error:?}");
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
        failed,
    ) = error
    else {
        panic!("another error");
    };
    assert_eq!(failed.item().unwrap()["who"], s("first"));
    let updated = client
        .update_item()
        .table_name("evenkeel")
        .key("pk", s("a"))
        .key("sk", s("b"))
        .update_expression("SET who = :third")
        .condition_expression("who = :first")
        .expression_attribute_values(":first", s("first"))
        .expression_attribute_values(":third", s("third"))
        .return_values(ReturnValue::AllNew)
        .send()
        .await
        .unwrap();
    assert_eq!(updated.attributes().unwrap()["who"], s("third"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_transaction_says_which_condition_failed() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    let transact = |puts: Vec<Put>| {
        let items = puts
            .into_iter()
            .map(|put| TransactWriteItem::builder().put(put).build());
        client
            .transact_write_items()
            .set_transact_items(Some(items.collect()))
    };
    transact(vec![put("1", "1"), put("2", "1")])
        .send()
        .await
        .unwrap();
    let error = transact(vec![put("3", "1"), put("2", "2")])
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        panic!("{error:?}");
    };
    let codes: Vec<_> = cancelled
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code().unwrap())
        .collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    let there = client
        .query()
        .table_name("evenkeel")
        .key_condition_expression("pk = :a")
        .expression_attribute_values(":a", s("a"))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    assert_eq!(there.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_with_a_token_happens_once() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    let check = ConditionCheck::builder()
        .table_name("evenkeel")
        .key("pk", s("a"))
        .key("sk", s("none"))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .unwrap();
    for _ in 0..2 {
        let once = client
            .transact_write_items()
            .client_request_token("token-1")
            .transact_items(TransactWriteItem::builder().put(put("1", "1")).build())
            .transact_items(
                TransactWriteItem::builder()
                    .condition_check(check.clone())
                    .build(),
            )
            .send()
            .await;
        assert!(once.is_ok(), "{once:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_items_go_as_sandbox_time_passes() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expires")
        .build()
        .unwrap();
    client
        .update_time_to_live()
        .table_name("evenkeel")
        .time_to_live_specification(ttl)
        .send()
        .await
        .unwrap();
    let expires = sandbox.now().as_second() + 600;
    client
        .put_item()
        .table_name("evenkeel")
        .item("pk", s("a"))
        .item("sk", s("b"))
        .item("expires", AttributeValue::N(expires.to_string()))
        .send()
        .await
        .unwrap();
    let count = async || {
        let scan = client.scan().table_name("evenkeel").send().await.unwrap();
        scan.count()
    };
    tokio::time::advance(Duration::from_secs(590)).await;
    assert_eq!(count().await, 1);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn streams_carry_this_accounts_names_and_leave_items_alone() {
    let sandbox = sandbox();
    let client = table(&sandbox).await;
    // An item that looks like the engine's own name must come through as it is.
    let text = "arn:aws:dynamodb:dynoxide:000000000000:table/x";
    client
        .put_item()
        .table_name("evenkeel")
        .item("pk", s("a"))
        .item("sk", s(text))
        .send()
        .await
        .unwrap();
    let call = |operation: &str, input: Value| {
        sandbox
            .call("dynamodbstreams", REGION, operation, input)
            .unwrap()
    };
    let listed = call("ListStreams", json!({"TableName": "evenkeel"}));
    let arn = listed["Streams"][0]["StreamArn"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        arn.starts_with("arn:aws:dynamodb:ap-northeast-1:123456789012:table/evenkeel/stream/"),
        "{arn}"
    );
    let described = call("DescribeStream", json!({"StreamArn": arn}));
    let shard = described["StreamDescription"]["Shards"][0]["ShardId"].clone();
    assert!(shard.as_str().unwrap().len() >= 28, "{shard}");
    let iterator = call(
        "GetShardIterator",
        json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}),
    );
    let got = call(
        "GetRecords",
        json!({"ShardIterator": iterator["ShardIterator"]}),
    );
    let record = &got["Records"][0];
    assert_eq!(record["awsRegion"], REGION);
    assert_eq!(record["dynamodb"]["Keys"]["sk"]["S"], text);
}

#[tokio::test(start_paused = true)]
async fn regions_have_tables_of_their_own_and_mistakes_have_names() {
    let sandbox = sandbox();
    table(&sandbox).await;
    let elsewhere = sandbox
        .call("dynamodb", "eu-west-1", "ListTables", json!({}))
        .unwrap();
    assert_eq!(elsewhere["TableNames"], json!([]));
    for (input, code) in [
        (json!({"TableName": 5}), "SerializationException"),
        (json!({"TableName": "evenkeel"}), "ValidationException"),
        (
            json!({"TableName": "evenkeel", "Item": {"pk": {"S": "a"}}}),
            "ValidationException",
        ),
        (
            json!({"TableName": "evenkeel", "Item": {"pk": {"S": "a"}, "sk": {"S": "a", "N": "1"}}}),
            "ValidationException",
        ),
    ] {
        let error = sandbox
            .call("dynamodb", REGION, "PutItem", input)
            .unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(!error.message.contains("VALIDATION"), "{error}");
    }
}
