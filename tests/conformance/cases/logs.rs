//! moto's CloudWatch Logs: the tail of a stream, and what comes after it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel::aws::Logs;
use evenkeel::aws::logs::{LogPage, LogStream};
use evenkeel::model::known::Known;
use serde_json::{Value, json};

use crate::servers::{REGION, Server};

fn stream() -> LogStream {
    LogStream {
        group: "/ecs/rails".to_owned(),
        stream: "app/app/0123".to_owned(),
    }
}

async fn logs(server: &Server) -> Logs {
    let aws = server.aws().await;
    aws.region(REGION).logs
}

/// Writes lines, each a millisecond after the other.
#[expect(
    clippy::disallowed_methods,
    reason = "AWS takes no events that are older than two weeks"
)]
fn say(server: &Server, numbers: std::ops::Range<u64>) {
    let hour = Duration::from_secs(3600);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - hour;
    let began = u64::try_from(since.as_millis()).unwrap();
    let event = |n: u64| json!({"timestamp": began + n, "message": format!("line {n}")});
    let LogStream { group, stream } = stream();
    let events: Vec<Value> = numbers.map(event).collect();
    let input = json!({"logGroupName": group, "logStreamName": stream, "logEvents": events});
    server.call("logs", "PutLogEvents", &input);
}

fn messages(page: &LogPage) -> Vec<&str> {
    page.lines
        .iter()
        .map(|line| line.message.as_str())
        .collect()
}

async fn tail(logs: &Logs, lines: usize) -> LogPage {
    match logs.tail(&stream(), lines).await.expect("moto answers") {
        Known::Present(page) => page,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn motos_stream_is_read_from_its_end_and_on() {
    let server = Server::moto();
    let logs = logs(&server).await;
    let LogStream {
        group,
        stream: name,
    } = stream();
    let absent = || async { logs.tail(&stream(), 10).await.expect("moto answers") };
    assert_eq!(absent().await, Known::Absent, "no group");
    server.call("logs", "CreateLogGroup", &json!({"logGroupName": group}));
    assert_eq!(absent().await, Known::Absent, "no stream");
    let input = json!({"logGroupName": group, "logStreamName": name});
    server.call("logs", "CreateLogStream", &input);
    say(&server, 0..25);

    let newest = tail(&logs, 3).await;
    assert_eq!(messages(&newest), ["line 22", "line 23", "line 24"]);
    let whole = tail(&logs, 100).await;
    assert_eq!(whole.lines.len(), 25);
    assert_eq!(whole.lines[0].message, "line 0");

    let place = newest.next.expect("a place to go on at");
    let nothing = logs.after(&stream(), &place).await.expect("moto answers");
    assert_eq!(messages(&nothing), [] as [&str; 0]);
    say(&server, 25..27);
    let next = logs.after(&stream(), &place).await.expect("moto answers");
    assert_eq!(messages(&next), ["line 25", "line 26"]);
}
