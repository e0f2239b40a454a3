//! Controllers that die, and leases that go to another: what was written down is told, and once.

use evenkeel::controller::ControllerOptions;
use evenkeel::controller::leadership::LeaseOptions;
use evenkeel::sandbox::WebhookAnswer;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{slack, sns, told};
use crate::running::beside;
use crate::shop::{Stands, key, minutes, pass, seconds, web};
use crate::world::World;

async fn dies(operation: &'static str, after: bool, notification: &Value) -> World {
    let world = told(&json!([notification])).await;
    world.put(&web("v2")).await;
    world.dies_at(operation, after).await;
    world
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_by_one_that_died_is_sent_by_the_next() {
    let world = dies("POST", false, &slack(&json!({"on": ["Ready"]}))).await;
    assert_eq!(world.heard(), [] as [String; 0]);
    assert_eq!(world.unsent().await, 1);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard(), ["Ready 1 Ready"]);
    assert_eq!(world.unsent().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_in_the_moment_of_death_comes_once_more_under_the_same_id() {
    let world = dies("POST", true, &slack(&json!({"on": ["Ready"]}))).await;
    assert_eq!(world.heard(), ["Ready 1 Ready"]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let posts = world.sandbox.webhooks();
    assert_eq!(posts.len(), 2);
    let id = |index: usize| &posts[index].headers["idempotency-key"];
    assert_eq!(id(0), id(1));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_topic_hears_even_that_once() {
    let topic = format!("{}.fifo", super::TOPIC);
    let notification = sns(&json!({"on": ["Ready"], "sns": {"topicArn": topic}}));
    let world = told(&json!([notification])).await;
    let fifo = json!({"Name": "releases.fifo", "Attributes": {"FifoTopic": "true"}});
    world.aws("sns", "CreateTopic", fifo);
    world.aws("sqs", "CreateQueue", json!({"QueueName": "heard"}));
    let queue = "arn:aws:sqs:ap-northeast-1:123456789012:heard";
    let subscribe = json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue});
    world.aws("sns", "Subscribe", subscribe);
    world.put(&web("v2")).await;
    world.dies_at("Publish", true).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.published().len(), 2);
    let url = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/heard";
    let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
    let heard = world.aws("sqs", "ReceiveMessage", input);
    assert_eq!(heard["Messages"].as_array().map(Vec::len), Some(1));
}

fn replica(name: &str) -> ControllerOptions {
    ControllerOptions {
        resync: SignedDuration::from_hours(24),
        leases: LeaseOptions {
            identity: name.to_owned(),
            ..LeaseOptions::default()
        },
        ..ControllerOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn another_replica_sends_what_the_first_could_not_and_nobody_sends_it_twice() {
    let world = told(&json!([slack(&json!({"on": ["Ready"]}))])).await;
    let (hook, hang) = ("hooks.slack.com", WebhookAnswer::Hang);
    world.sandbox.answer_webhooks(hook, hang);
    let (one, two) = (
        world.controller_with(replica("one")),
        world.controller_with(replica("two")),
    );
    beside(&two, async {
        pass(seconds(1)).await;
        // It is killed with a post under way.
        tokio::select! {
            biased;
            ended = one.run(std::future::pending()) => panic!("it ended: {ended:?}"),
            () = async {
                world.put(&web("v2")).await;
                while world.sandbox.webhooks().is_empty() {
                    pass(seconds(1)).await;
                }
            } => {}
        }
        drop(one);
        world
            .sandbox
            .answer_webhooks(hook, WebhookAnswer::Status(200));
        pass(minutes(2)).await;
        assert_eq!(world.heard(), ["Ready 1 Ready"]);
        pass(minutes(60)).await;
        assert_eq!(world.heard().len(), 1);
    })
    .await;
    assert_eq!(world.unsent().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_by_sends_nothing() {
    let world = told(&json!([slack(&json!({}))])).await;
    let (one, two) = (
        world.controller_with(replica("one")),
        world.controller_with(replica("two")),
    );
    beside(&one, async {
        pass(seconds(5)).await;
        beside(&two, async {
            pass(seconds(5)).await;
            world.put(&web("v2")).await;
            pass(minutes(30)).await;
        })
        .await;
    })
    .await;
    let heard = world.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_asked_for_waits_a_little_for_those_who_are_told() {
    let world = told(&json!([slack(&json!({}))])).await;
    world
        .sandbox
        .answer_webhooks("hooks.slack.com", WebhookAnswer::Hang);
    let controller = world.controller_with(replica("one"));
    let begin = tokio::time::Instant::now();
    let asked = minutes(5);
    world.put(&web("v2")).await;
    let ended = controller.run(tokio::time::sleep(asked)).await;
    ended.expect("it ends well");
    let took = begin.elapsed() - asked;
    assert!(took < seconds(4), "{took:?}");
}
