use super::*;

fn say(sandbox: &Sandbox, lines: &[&str]) {
    let now = sandbox.now().as_millisecond();
    let event = |message: &&str| json!({"timestamp": now, "message": message});
    let events: Vec<Value> = lines.iter().map(event).collect();
    let input = json!({"logGroupName": "/web", "logStreamName": "a/b/c", "logEvents": events});
    sandbox.call("logs", REGION, "PutLogEvents", input).unwrap();
}

fn stream(sandbox: &Sandbox) {
    for (operation, input) in [
        ("CreateLogGroup", json!({"logGroupName": "/web"})),
        (
            "CreateLogStream",
            json!({"logGroupName": "/web", "logStreamName": "a/b/c"}),
        ),
    ] {
        sandbox.call("logs", REGION, operation, input).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_back_and_forth_until_the_token_stays() {
    let sandbox = sandbox();
    stream(&sandbox);
    say(&sandbox, &["1", "2", "3", "4", "5"]);
    let client = client!(aws_sdk_cloudwatchlogs, sandbox);
    let get = |token: Option<&str>, head: bool| {
        let call = client
            .get_log_events()
            .log_group_name("/web")
            .log_stream_name("a/b/c");
        let call = call
            .limit(2)
            .start_from_head(head)
            .set_next_token(token.map(str::to_owned));
        async move {
            let answer = call.send().await.unwrap();
            let events = answer.events().iter();
            let text: String = events.filter_map(|event| event.message()).collect();
            let token = |token: Option<&str>| token.unwrap().to_owned();
            (
                text,
                token(answer.next_backward_token()),
                token(answer.next_forward_token()),
            )
        }
    };
    let (newest, back, forward) = get(None, false).await;
    assert_eq!(newest, "45");
    let (older, back, _) = get(Some(&back), false).await;
    assert_eq!(older, "23");
    let (oldest, back, _) = get(Some(&back), false).await;
    assert_eq!(oldest, "1");
    let (none, same, _) = get(Some(&back), false).await;
    assert_eq!((none.as_str(), &same), ("", &back));

    let (none, _, same) = get(Some(&forward), true).await;
    assert_eq!((none.as_str(), &same), ("", &forward));
    say(&sandbox, &["6"]);
    let (new, _, next) = get(Some(&forward), true).await;
    assert_eq!(new, "6");
    assert_ne!(next, forward);
    let head = get(None, true).await;
    assert_eq!(head.0, "12");
    let refused = client
        .get_log_events()
        .log_group_name("/web")
        .log_stream_name("a/b/c");
    let refused = refused.next_token(forward).send().await.unwrap_err();
    assert_eq!(told(&refused).0, "InvalidParameterException");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_told_and_lists_find_what_is() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_cloudwatchlogs, sandbox);
    let get = || {
        client
            .get_log_events()
            .log_group_name("/web")
            .log_stream_name("a/b/c")
    };
    let sentence = "The specified log group does not exist.".to_owned();
    let missing = ("ResourceNotFoundException".to_owned(), sentence);
    assert_eq!(told(&get().send().await.unwrap_err()), missing);
    stream(&sandbox);
    assert!(get().send().await.unwrap().events().is_empty());
    say(&sandbox, &["GET /", "error: no such table", "GET /"]);
    let streams = client.describe_log_streams().log_group_name("/web");
    let streams = streams.send().await.unwrap();
    assert_eq!(streams.log_streams()[0].log_stream_name(), Some("a/b/c"));
    let found = client
        .filter_log_events()
        .log_group_name("/web")
        .filter_pattern("error");
    let found = found.send().await.unwrap();
    assert_eq!(found.events()[0].message(), Some("error: no such table"));
    assert_eq!(found.events().len(), 1);
    let again = client
        .create_log_group()
        .log_group_name("/web")
        .send()
        .await;
    assert_eq!(
        told(&again.unwrap_err()).0,
        "ResourceAlreadyExistsException"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_write_to_their_awslogs_streams() {
    let sandbox = sandbox();
    let rules = r#"[{"then": {"exit": {"after": "5s", "exitCode": 3}}, "log": "one\ntwo"}]"#;
    sandbox.set_rules(serde_json::from_str(rules).unwrap());
    let log = |driver: &str| {
        json!({"logDriver": driver, "options": {
            "awslogs-group": "/job", "awslogs-region": REGION, "awslogs-stream-prefix": "ecs",
        }})
    };
    let containers = json!([
        {"name": "job", "image": "busybox", "memory": 64, "logConfiguration": log("awslogs"),
         "environment": [{"name": "TOKEN", "value": "s3cr3t"}]},
        {"name": "quiet", "image": "busybox", "memory": 64, "logConfiguration": log("json-file")},
    ]);
    let definition = json!({"family": "job", "containerDefinitions": containers});
    let ecs =
        |operation: &str, input: Value| sandbox.call("ecs", REGION, operation, input).unwrap();
    ecs("CreateCluster", json!({}));
    ecs("RegisterTaskDefinition", definition);
    let run = ecs(
        "RunTask",
        json!({"taskDefinition": "job", "launchType": "EC2"}),
    );
    let arn = run["tasks"][0]["taskArn"].as_str().unwrap();
    let id = arn.rsplit('/').next().unwrap();
    sandbox.skip(Duration::from_secs(60));
    let input = json!({"logGroupName": "/job"});
    let streams = sandbox
        .call("logs", REGION, "DescribeLogStreams", input)
        .unwrap();
    assert_eq!(streams["logStreams"].as_array().unwrap().len(), 1);
    let input = json!({"logGroupName": "/job", "logStreamName": format!("ecs/job/{id}")});
    let events = sandbox.call("logs", REGION, "GetLogEvents", input).unwrap();
    let lines: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["message"].as_str())
        .collect();
    assert_eq!(
        lines,
        [
            "job starts, image busybox",
            "one",
            "two",
            "job exits with code 3"
        ]
    );
}
