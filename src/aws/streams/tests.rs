use serde_json::{Value, json};

use super::*;
use crate::aws::canned::{Canned, Reply, Seen, error};

const ARN: &str = "arn:aws:dynamodb:eu-central-1:1:table/evenkeel/stream/2026-01-01T00:00:00.000";

/// A table with a stream, whose other calls are answered so.
async fn stream(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Canned, Stream) {
    let aws = Canned::new(move |seen| match seen.operation.as_str() {
        "DescribeTable" => Reply::Ok(json!({"Table": {
            "TableName": "evenkeel", "LatestStreamArn": ARN,
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        }})),
        _ => answer(seen),
    });
    let table = Table::new(&aws.aws(), "evenkeel");
    let stream = table.stream().await.unwrap().unwrap();
    (aws, stream)
}

async fn read(answer: Value) -> Page {
    let (_, stream) = stream(move |_| Reply::Ok(answer.clone())).await;
    match stream.read("iterator").await.unwrap() {
        Read::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_turned_off_is_none() {
    let aws = Canned::new(|_| {
        Reply::Ok(json!({"Table": {"TableName": "evenkeel", "LatestStreamArn": ARN}}))
    });
    let table = Table::new(&aws.aws(), "evenkeel");
    assert!(table.stream().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn all_pages_of_shards_are_read() {
    let page = |shards: Value, last: Option<&str>| {
        Reply::Ok(json!({"StreamDescription": {
            "StreamArn": ARN, "StreamStatus": "ENABLED", "Shards": shards,
            "LastEvaluatedShardId": last}}))
    };
    let (aws, stream) = stream(
        move |seen| match seen.body["ExclusiveStartShardId"].as_str() {
            None => page(json!([{"ShardId": "a"}]), Some("a")),
            Some(_) => page(json!([{"ShardId": "b", "ParentShardId": "a"}]), None),
        },
    )
    .await;
    let found = stream.describe().await.unwrap();
    let shard = |id: &str, parent: Option<&str>| Shard {
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
    };
    assert_eq!(found.shards, [shard("a", None), shard("b", Some("a"))]);
    assert!(found.enabled);
    assert_eq!(aws.count("DescribeStream"), 2);
}

#[tokio::test(start_paused = true)]
async fn records_are_keys_and_places() {
    let record = |event: &str, sk: &str, sequence: &str| {
        json!({"eventName": event, "dynamodb": {
            "Keys": {"pk": {"S": "spec#ns"}, "sk": {"S": sk}}, "SequenceNumber": sequence,
            "SizeBytes": 100, "NewImage": {"secret": {"S": "value"}}}})
    };
    let records = json!([
        record("INSERT", "release#a", "100000000000000000000000001"),
        record("REMOVE", "release#b", "100000000000000000000000002"),
    ]);
    let page = read(json!({"Records": records, "NextShardIterator": "next"})).await;
    let expected = |sk: &str, removed, sequence: &str| Record {
        key: Key::new("spec#ns", sk),
        removed,
        sequence: sequence.to_owned(),
    };
    let expected = [
        expected("release#a", false, "100000000000000000000000001"),
        expected("release#b", true, "100000000000000000000000002"),
    ];
    assert_eq!(page.records, expected);
    assert_eq!(page.next.as_deref(), Some("next"));
    assert!(!page.full);

    let large = json!([{"eventName": "MODIFY", "dynamodb": {
        "Keys": {"pk": {"S": "a"}, "sk": {"S": "b"}}, "SequenceNumber": "1", "SizeBytes": 600_000}}]);
    let page = read(json!({"Records": large})).await;
    assert!(page.full && page.next.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_reader_must_tell_apart_is_told_apart_and_nothing_is_repeated_by_the_sdk() {
    let answered = async |code: &'static str| {
        let (aws, stream) = stream(move |_| error(400, code, "no")).await;
        let read = stream.read("iterator").await;
        let located = stream.locate("a", &Start::After("1".to_owned())).await;
        assert_eq!(aws.count("GetRecords"), 1, "{code}");
        (read, located)
    };
    let (read, _) = answered("ExpiredIteratorException").await;
    assert_eq!(read.unwrap(), Read::Expired);
    let (read, located) = answered("TrimmedDataAccessException").await;
    assert_eq!(read.unwrap(), Read::Trimmed);
    assert_eq!(located.unwrap(), Located::Trimmed);
    for (code, class) in [
        ("LimitExceededException", ErrorClass::Throttled),
        ("ThrottlingException", ErrorClass::Throttled),
        ("ResourceNotFoundException", ErrorClass::NotFound),
        ("AccessDeniedException", ErrorClass::Denied),
        ("UnknownOperationException", ErrorClass::Refused),
    ] {
        let (read, _) = answered(code).await;
        let error = read.unwrap_err();
        assert_eq!(error.class, class, "{code}");
        assert!(error.to_string().contains(ARN), "{error}");
    }
    let (_, stream) = stream(|_| Reply::Reset).await;
    let error = stream.read("iterator").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Retry);
}
