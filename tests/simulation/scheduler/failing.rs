//! What becomes of a firing whose task cannot be started.

use std::time::Duration;

use serde_json::{Value, json};

use super::{only, scheduled};
use crate::shop::{Breaker, delivered, key, rules, schedule, shop, stalled};
use crate::world::{REGION, World};

const MINUTE: Duration = Duration::from_secs(60);

/// The same schedule with both backends.
fn both(more: &Value) -> [Value; 2] {
    let mut rule = schedule("daily", "cron(0 12 * * ? *)");
    crate::shop::merge(&mut rule, more);
    [rule, scheduled("daily", "cron(0 12 * * ? *)", more)]
}

fn policy(attempts: u32, age: &str) -> Value {
    json!({
        "deadLetterQueueArn": format!("arn:aws:sqs:{REGION}:123456789012:dead"),
        "retryPolicy": {"maximumEventAge": age, "maximumRetryAttempts": attempts},
        "overrides": {"containerOverrides": [{"name": "job", "command": ["report"]}]},
    })
}

async fn world(schedule: &Value) -> World {
    let world = delivered(&only(json!([schedule]))).await;
    world.aws("sqs", "CreateQueue", json!({"QueueName": "dead"}));
    world.fires();
    world
}

/// Tries to start a task, as ECS was asked.
fn tries(world: &World) -> usize {
    let log = world.sandbox.log();
    log.iter()
        .filter(|call| call.operation == "RunTask")
        .count()
}

fn dead(world: &World) -> Vec<String> {
    let url = format!("https://sqs.{REGION}.amazonaws.com/123456789012/dead");
    let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
    let answer = world.aws("sqs", "ReceiveMessage", input);
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    messages
        .iter()
        .map(|it| it["Body"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn no_room(world: &World) {
    let cannot = json!([{"when": {"family": "job"}, "then": {"cannotPlace": {}}}]);
    rules(world, &cannot);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_tried_again_and_then_put_into_the_queue() {
    for schedule in both(&policy(3, "24h")) {
        let world = world(&schedule).await;
        no_room(&world);
        world.sandbox.skip(4 * 60 * MINUTE);
        assert_eq!(tries(&world), 4, "{schedule}");
        let dead = dead(&world);
        assert_eq!(dead.len(), 1);
        let body: Value = serde_json::from_str(&dead[0]).expect("JSON");
        assert_eq!(body["containerOverrides"][0]["command"], json!(["report"]));
        assert_eq!(world.settle(&key()).await, crate::shop::Stands::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_room_in_time_is_started_and_not_dead() {
    for schedule in both(&policy(5, "1h")) {
        let world = world(&schedule).await;
        no_room(&world);
        // 12:00 has come, and one more try.
        world.sandbox.skip(180 * MINUTE);
        let before = tries(&world);
        assert!(before >= 1, "{before}");
        rules(&world, &json!([]));
        world.sandbox.skip(60 * MINUTE);
        assert_eq!(tries(&world), before + 1, "{schedule}");
        assert_eq!(dead(&world), [] as [&str; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_or_refused_is_dead_at_once() {
    for schedule in both(&policy(185, "60s")) {
        let world = world(&schedule).await;
        no_room(&world);
        world.sandbox.skip(24 * 60 * MINUTE);
        assert_eq!(tries(&world), 2, "one more within a minute: {schedule}");
        assert_eq!(dead(&world).len(), 1);
    }
    for schedule in both(&policy(185, "24h")) {
        let world = world(&schedule).await;
        let definition = match schedule["backend"].as_str() {
            Some(_) => {
                world.scheduled("daily")["Target"]["EcsParameters"]["TaskDefinitionArn"].clone()
            }
            None => {
                world.targets("shop-web-daily")[0]["EcsParameters"]["TaskDefinitionArn"].clone()
            }
        };
        world.aws(
            "ecs",
            "DeregisterTaskDefinition",
            json!({"taskDefinition": definition}),
        );
        world.sandbox.skip(24 * 60 * MINUTE);
        assert_eq!(tries(&world), 1, "{schedule}");
        assert_eq!(dead(&world).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_not_declared_stays_as_it_is() {
    for schedule in both(&json!({})) {
        let world = delivered(&only(json!([schedule]))).await;
        let mut later = schedule.clone();
        later["retryPolicy"] = json!({"maximumRetryAttempts": 2});
        world.put(&only(json!([later]))).await;
        world.settle(&key()).await;
        let policy = |world: &World| match schedule["backend"].as_str() {
            Some(_) => world.scheduled("daily")["Target"]["RetryPolicy"].clone(),
            None => world.targets("shop-web-daily")[0]["RetryPolicy"].clone(),
        };
        assert_eq!(policy(&world)["MaximumRetryAttempts"], 2, "{schedule}");
        world.put(&only(json!([schedule]))).await;
        world.settle(&key()).await;
        assert_eq!(policy(&world)["MaximumRetryAttempts"], 2, "{schedule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_another_region_is_refused_before_anything_is_begun() {
    let elsewhere = json!({"deadLetterQueueArn": "arn:aws:sqs:eu-west-1:123456789012:dead"});
    for schedule in both(&elsewhere) {
        let world = shop(Breaker::Off).await;
        world.put(&only(json!([schedule]))).await;
        assert_eq!(world.run(&key()).await, stalled("InvalidSpec"));
        assert_eq!(world.aws_writes(), [] as [&str; 0]);
        let why = world.why(&key()).await;
        assert!(
            why.contains("spec.schedules[0].deadLetterQueueArn") && why.contains(REGION),
            "{why}"
        );
    }
}
