use super::*;

/// A table with a stream: the stream's ARN.
fn stream(sandbox: &Sandbox) -> String {
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let input = json!({"TableName": "evenkeel", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("sk")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}});
    let made = sandbox.call("dynamodb", REGION, "CreateTable", input);
    let arn = &made.unwrap()["TableDescription"]["LatestStreamArn"];
    arn.as_str().unwrap().to_owned()
}

fn put(sandbox: &Sandbox, sk: &str) {
    let item = json!({"pk": {"S": "a"}, "sk": {"S": sk}, "at": {"S": sandbox.now().to_string()}});
    let input = json!({"TableName": "evenkeel", "Item": item});
    sandbox.call("dynamodb", REGION, "PutItem", input).unwrap();
}

fn call(sandbox: &Sandbox, operation: &str, input: Value) -> Result<Value, CallError> {
    sandbox.call("dynamodbstreams", REGION, operation, input)
}

fn shards(sandbox: &Sandbox, arn: &str) -> Vec<Value> {
    let answer = call(sandbox, "DescribeStream", json!({"StreamArn": arn})).unwrap();
    answer["StreamDescription"]["Shards"]
        .as_array()
        .unwrap()
        .clone()
}

fn locate(sandbox: &Sandbox, arn: &str, shard: &Value, kind: &str) -> Value {
    let input = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind});
    let answer = call(sandbox, "GetShardIterator", input).unwrap();
    answer["ShardIterator"].clone()
}

/// The sort keys of the records, and the next iterator.
fn read(sandbox: &Sandbox, iterator: &Value) -> Result<(Vec<String>, Option<Value>), CallError> {
    let answer = call(sandbox, "GetRecords", json!({"ShardIterator": iterator}))?;
    let records = answer["Records"].as_array().unwrap().iter();
    let sort_key = |record: &Value| {
        record["dynamodb"]["Keys"]["sk"]["S"]
            .as_str()
            .map(str::to_owned)
    };
    let keys = records.filter_map(sort_key).collect();
    Ok((keys, answer.get("NextShardIterator").cloned()))
}

#[tokio::test(start_paused = true)]
async fn a_shard_ends_and_its_children_divide_what_follows() {
    let sandbox = sandbox();
    let arn = stream(&sandbox);
    put(&sandbox, "before");
    let open = shards(&sandbox, &arn);
    assert_eq!(open.len(), 1);
    let range = &open[0]["SequenceNumberRange"];
    assert!(range["StartingSequenceNumber"].is_string());
    assert!(
        range["EndingSequenceNumber"].is_null(),
        "it is open: {range}"
    );
    let latest = locate(&sandbox, &arn, &open[0], "LATEST");

    sandbox.roll_stream(REGION, "evenkeel", 2).unwrap();
    let after: Vec<String> = (0..20).map(|number| format!("after-{number}")).collect();
    after.iter().for_each(|sk| put(&sandbox, sk));
    let all = shards(&sandbox, &arn);
    assert_eq!(all.len(), 3);
    let parent = &all[0];
    assert!(parent["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    let horizon = locate(&sandbox, &arn, parent, "TRIM_HORIZON");
    assert_eq!(
        read(&sandbox, &horizon).unwrap(),
        (vec!["before".to_owned()], None)
    );
    assert_eq!(read(&sandbox, &latest).unwrap(), (Vec::new(), None));
    let mut found = Vec::new();
    for child in &all[1..] {
        assert_eq!(child["ParentShardId"], parent["ShardId"]);
        let (keys, next) = read(&sandbox, &locate(&sandbox, &arn, child, "TRIM_HORIZON")).unwrap();
        assert!(next.is_some() && !keys.is_empty());
        found.extend(keys);
    }
    found.sort_unstable();
    let mut after = after;
    after.sort_unstable();
    assert_eq!(found, after);

    let page = json!({"StreamArn": arn, "Limit": 2});
    let page = call(&sandbox, "DescribeStream", page).unwrap();
    let last = &page["StreamDescription"]["LastEvaluatedShardId"];
    assert_eq!(last, &all[1]["ShardId"]);
    let rest = json!({"StreamArn": arn, "ExclusiveStartShardId": last});
    let rest = call(&sandbox, "DescribeStream", rest).unwrap();
    assert_eq!(rest["StreamDescription"]["Shards"], json!([all[2]]));
    assert!(rest["StreamDescription"]["LastEvaluatedShardId"].is_null());
}

#[tokio::test(start_paused = true)]
async fn iterators_expire_and_records_are_trimmed_as_sandbox_time_passes() {
    let sandbox = sandbox();
    let arn = stream(&sandbox);
    put(&sandbox, "old");
    let shard = shards(&sandbox, &arn).remove(0);
    let iterator = locate(&sandbox, &arn, &shard, "TRIM_HORIZON");
    let input = json!({"ShardIterator": iterator});
    let answer = call(&sandbox, "GetRecords", input).unwrap();
    let sequence = &answer["Records"][0]["dynamodb"]["SequenceNumber"];

    sandbox.skip(Duration::from_secs(15 * 60));
    assert_eq!(read(&sandbox, &iterator).unwrap().0, ["old"]);
    sandbox.skip(Duration::from_secs(1));
    let error = read(&sandbox, &iterator).unwrap_err();
    assert_eq!(error.code, "ExpiredIteratorException");

    // AWS ends a shard after some hours by itself, and forgets it when its records are gone.
    sandbox.skip(Duration::from_secs(4 * 3600));
    assert_eq!(shards(&sandbox, &arn).len(), 2);
    sandbox.skip(Duration::from_secs(20 * 3600));
    let horizon = locate(&sandbox, &arn, &shard, "TRIM_HORIZON");
    assert_eq!(read(&sandbox, &horizon).unwrap(), (Vec::new(), None));
    let after = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "SequenceNumber": sequence,
        "ShardIteratorType": "AFTER_SEQUENCE_NUMBER"});
    let error = call(&sandbox, "GetShardIterator", after).unwrap_err();
    assert_eq!(error.code, "TrimmedDataAccessException");
    sandbox.skip(Duration::from_secs(5 * 3600));
    let left = shards(&sandbox, &arn);
    assert!(!left.contains(&shard) && !left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_table_made_anew_has_another_stream() {
    let sandbox = sandbox();
    let old = stream(&sandbox);
    let shard = shards(&sandbox, &old).remove(0);
    let iterator = locate(&sandbox, &old, &shard, "LATEST");
    tokio::time::advance(Duration::from_secs(5)).await;
    let table = json!({"TableName": "evenkeel"});
    sandbox
        .call("dynamodb", REGION, "DeleteTable", table)
        .unwrap();
    assert_ne!(stream(&sandbox), old);
    let error = read(&sandbox, &iterator).unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException");
}
