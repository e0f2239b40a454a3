use serde_json::{Value, json};

use super::*;
use crate::aws::ErrorClass;
use crate::aws::canned::{Canned, Reply, error};

fn stream() -> LogStream {
    LogStream {
        group: "/ecs/rails".to_owned(),
        stream: "app/app/0123".to_owned(),
    }
}

fn logs(canned: &Canned) -> Logs {
    canned.aws().without_retries().region("ap-northeast-1").logs
}

fn page(messages: &[&str], back: &str, forward: &str) -> Reply {
    let event = |message: &&str| json!({ "timestamp": 1_772_442_000_123_i64, "message": message });
    let events: Vec<Value> = messages.iter().map(event).collect();
    Reply::Ok(json!({
        "events": events, "nextBackwardToken": back, "nextForwardToken": forward,
    }))
}

fn messages(page: &LogPage) -> Vec<&str> {
    page.lines
        .iter()
        .map(|line| line.message.as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_tail_goes_back_over_short_pages_and_on_from_the_newest() {
    let canned = Canned::new(|seen| match seen.body["nextToken"].as_str() {
        None => page(&["four"], "b/1", "f/1"),
        Some("b/1") => page(&[], "b/2", "f/2"),
        Some("b/2") => page(&["one", "two", "three"], "b/3", "f/3"),
        Some("f/1") => page(&["five"], "b/9", "f/9"),
        other => panic!("{other:?} was not answered"),
    });
    let logs = logs(&canned);
    let Known::Present(tail) = logs.tail(&stream(), 3).await.unwrap() else {
        panic!("the stream is there");
    };
    assert_eq!(messages(&tail), ["two", "three", "four"]);
    let at = tail.lines[0].at.unwrap().to_string();
    assert_eq!(at, "2026-03-02T09:00:00.123Z");
    assert_eq!(tail.next.as_deref(), Some("f/1"));
    let first = &canned.seen()[0];
    assert_eq!(first.operation, "GetLogEvents");
    let asked = json!({
        "logGroupName": "/ecs/rails", "logStreamName": "app/app/0123", "limit": 3,
        "startFromHead": false,
    });
    assert_eq!(first.body, asked);
    let after = logs.after(&stream(), "f/1").await.unwrap();
    assert_eq!(messages(&after), ["five"]);
    // AWS refuses a forward token otherwise.
    assert_eq!(canned.seen()[3].body["startFromHead"], true);
}

#[tokio::test(start_paused = true)]
async fn the_same_token_again_is_the_beginning() {
    let canned = Canned::new(|seen| match seen.body["nextToken"].as_str() {
        None => page(&["one"], "b/1", "f/1"),
        Some(_) => page(&[], "b/1", "f/1"),
    });
    let Known::Present(tail) = logs(&canned).tail(&stream(), 100).await.unwrap() else {
        panic!("the stream is there");
    };
    assert_eq!(canned.seen().len(), 2);
    assert_eq!(messages(&tail), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn no_such_stream_is_none_and_a_denial_names_the_right() {
    let refuse = |code: &'static str| Canned::new(move |_| error(400, code, "no"));
    let canned = refuse("ResourceNotFoundException");
    let absent = logs(&canned).tail(&stream(), 10).await.unwrap();
    assert_eq!(absent, Known::Absent);
    let canned = refuse("AccessDeniedException");
    let denied = logs(&canned).tail(&stream(), 10).await.unwrap_err();
    assert_eq!(denied.class, ErrorClass::Denied);
    assert!(
        denied.to_string().contains("Allow logs:GetLogEvents"),
        "{denied}"
    );
}

#[test]
fn a_stream_is_cut_off_its_group_at_the_likeliest_slash() {
    let meant = |text: &str| -> Vec<(String, String)> {
        let all = LogStream::meant(text).into_iter();
        all.map(|it| (it.group, it.stream)).collect()
    };
    let pair = |group: &str, stream: &str| (group.to_owned(), stream.to_owned());
    assert_eq!(
        meant("/ecs/rails/app/app/0123"),
        [
            pair("/ecs/rails", "app/app/0123"),
            pair("/ecs", "rails/app/app/0123"),
        ]
    );
    assert_eq!(meant("rails/app/app/0123"), [pair("rails", "app/app/0123")]);
    assert!(meant("app/0123").is_empty());
}
