use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::time::Instant;

use crate::aws::budget::Budget;
use crate::aws::canned::{Canned, Reply, error};
use crate::aws::clients::Clients;
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::metrics::AwsMetrics;

/// A budget whose reads of services come one every five seconds after the first.
fn small() -> Budget {
    Budget::new(0.01)
}

async fn read(clients: &Clients) -> Result<(), AwsError> {
    let names = ["app".to_owned()];
    clients.ecs.describe_services("rails", &names).await?;
    Ok(())
}

async fn write(clients: &Clients) -> Result<(), AwsError> {
    let ecs = &clients.ecs;
    ecs.update_service("rails", "app", "app:2", false, &serde_json::Map::new())
        .await?;
    Ok(())
}

fn throttled() -> Reply {
    error(400, "ThrottlingException", "Rate exceeded")
}

fn nothing_there() -> Reply {
    Reply::Ok(json!({"services": [], "failures": [{"arn": "app", "reason": "MISSING"}]}))
}

/// Requests a second of a bucket, as they are served.
fn rate(registry: &prometheus::Registry, bucket: &str) -> f64 {
    let families = registry.gather();
    let mut series = families[0].get_metric().iter();
    let of_bucket = |label: &prometheus::proto::LabelPair| label.value() == bucket;
    let found = series.find(|one| one.get_label().iter().any(of_bucket));
    found.unwrap().get_gauge().get_value()
}

#[tokio::test(start_paused = true)]
async fn reads_wait_for_their_budget_and_the_wait_is_not_taken_for_a_slow_answer() {
    let registry = prometheus::Registry::new();
    let metrics = AwsMetrics::register(&registry).unwrap();
    let canned = Canned::new(|_| nothing_there());
    let aws = canned.aws().with_metrics(metrics).with_budget(small());
    let clients = aws.region("eu-central-1");
    let began = Instant::now();
    for _ in 0..5 {
        read(&clients).await.unwrap();
    }
    assert_eq!(began.elapsed().as_secs(), 20);
    // The last of these waits thirty seconds, twice as long as an attempt may take.
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let clients = clients.clone();
        waiting.spawn(async move { read(&clients).await });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(began.elapsed().as_secs(), 50);
    let mut told = Vec::new();
    let encoder = prometheus::TextEncoder::new();
    prometheus::Encoder::encode(&encoder, &registry.gather(), &mut told).unwrap();
    let told = String::from_utf8(told).unwrap();
    let series = "{operation=\"DescribeServices\",service=\"ecs\"}";
    let slow = format!("evenkeel_aws_request_duration_seconds_sum{series} 0\n");
    assert!(told.contains(&slow), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_found_no_place_was_throttled_and_never_sent() {
    let canned = Canned::new(|_| nothing_there());
    let clients = canned.aws().with_budget(small()).region("eu-central-1");
    for _ in 0..40 {
        clients.budget.charge("ecs", "DescribeServices");
    }
    let failed = read(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Throttled);
    assert!(failed.to_string().contains("request budget"), "{failed}");
    assert_eq!(canned.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_attempts_after_the_first_cost_a_write_more() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let canned = Canned::new(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::Refused,
        _ => Reply::Ok(json!({"service": {"serviceName": "app"}})),
    });
    // Five requests at once, and one in two seconds.
    let clients = canned
        .aws()
        .with_budget(Budget::new(0.1))
        .region("eu-central-1");
    for _ in 0..4 {
        clients
            .budget
            .admit("ecs", "UpdateService", "web")
            .await
            .unwrap();
    }
    let _ = write(&clients).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3, "attempts");
    let began = Instant::now();
    clients
        .budget
        .admit("ecs", "UpdateService", "web")
        .await
        .unwrap();
    let waited = began.elapsed().as_secs_f64();
    // One was left and two attempts were charged: two are to come, less what came in the pauses
    // between the attempts, which are one and two seconds at most; and the bucket's margin of 20 ms.
    assert!((0.9..=4.03).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn throttled_answers_lower_the_rate_of_their_bucket_alone() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "UpdateService" => throttled(),
        _ => nothing_there(),
    });
    let budget = Budget::new(1.0);
    let clients = canned
        .aws()
        .with_budget(budget.clone())
        .region("eu-central-1");
    let failed = write(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Throttled);
    read(&clients).await.unwrap();
    let registry = prometheus::Registry::new();
    budget.register(&registry).unwrap();
    assert!(rate(&registry, "service_writes") < 3.6);
    assert!(rate(&registry, "service_reads") > 19.9);
}

#[tokio::test(start_paused = true)]
async fn time_that_ran_out_is_told_as_such_and_a_write_is_not_repeated() {
    let canned = Canned::new(|_| Reply::Silence);
    let clients = canned.clients();
    let began = Instant::now();
    let failed = write(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Ambiguous);
    assert_eq!(failed.message, "no answer within the time allowed");
    assert_eq!((began.elapsed().as_secs(), canned.seen().len()), (15, 1));
    let failed = read(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
    assert_eq!(canned.count("DescribeServices"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_run_task_lowers_the_rate_of_fargate_too() {
    let canned = Canned::new(|_| throttled());
    let budget = Budget::new(1.0);
    let clients = canned
        .aws()
        .with_budget(budget.clone())
        .region("eu-central-1");
    clients.ecs.run_task(&json!({})).await.unwrap_err();
    let registry = prometheus::Registry::new();
    budget.register(&registry).unwrap();
    assert!(rate(&registry, "task_writes") < 28.1);
    assert!(rate(&registry, "task_starts") < 14.1);
    assert!(rate(&registry, "task_reads") > 19.9);
}

/// Answers that the credentials have expired, and then what is there.
fn expired_at_first() -> Canned {
    let calls = AtomicUsize::new(0);
    Canned::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => error(
            400,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        _ => nothing_there(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_read_whose_credentials_ended_while_it_waited_is_signed_anew() {
    let canned = expired_at_first();
    let clients = canned.aws().with_budget(small()).region("eu-central-1");
    clients.budget.charge("ecs", "DescribeServices");
    read(&clients).await.unwrap();
    assert_eq!(canned.count("DescribeServices"), 2);
    // One that did not wait was signed with what is ours now, which is no good.
    let clients = expired_at_first().clients();
    let failed = read(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Credentials);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_end_in_the_queue_again_and_again_are_no_reason_to_give_up() {
    let canned = Canned::new(|_| error(400, "ExpiredTokenException", "expired"));
    let clients = canned.aws().with_budget(small()).region("eu-central-1");
    clients.budget.charge("ecs", "DescribeServices");
    let failed = read(&clients).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
    assert_eq!(canned.count("DescribeServices"), 3);
}
