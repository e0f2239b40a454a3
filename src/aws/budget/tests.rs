use std::time::Duration;

use prometheus::{Encoder, Registry, TextEncoder};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

fn budget(share: f64) -> RegionBudget {
    Budget::new(share).of(None, "eu-central-1", None)
}

async fn register(budget: &RegionBudget) -> Result<(), OverBudget> {
    register_as(budget, "somebody").await
}

async fn register_as(budget: &RegionBudget, who: &str) -> Result<(), OverBudget> {
    budget.admit("ecs", "RegisterTaskDefinition", who).await
}

/// Takes what may be had at once.
async fn exhaust(budget: &RegionBudget) -> usize {
    let began = Instant::now();
    let mut taken = 0;
    while register(budget).await.is_ok() && began.elapsed().is_zero() {
        taken += 1;
    }
    taken
}

fn text(registry: &Registry) -> String {
    let mut text = Vec::new();
    let encoded = TextEncoder::new().encode(&registry.gather(), &mut text);
    encoded.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_ten_seconds_and_then_comes_back_at_its_turn() {
    let budget = budget(1.0);
    let began = Instant::now();
    let mut waiting = JoinSet::new();
    for caller in 0..100 {
        let budget = budget.clone();
        waiting.spawn(async move {
            (
                caller,
                register_as(&budget, &caller.to_string()).await,
                began.elapsed().as_secs(),
            )
        });
        // In this order, at one moment.
        tokio::task::yield_now().await;
    }
    let mut admitted = Vec::new();
    let mut turns = Vec::new();
    while let Some(done) = waiting.join_next().await {
        match done.unwrap() {
            (caller, Ok(()), at) => admitted.push((at, caller)),
            (_, Err(over), at) => turns.push(at + over.after.as_secs_f64().round() as u64),
        }
    }
    let times: Vec<u64> = admitted.iter().map(|(at, _)| *at).collect();
    let expected: Vec<u64> = std::iter::repeat_n(0, 20).chain(1..=10).collect();
    assert_eq!(times, expected);
    assert!(
        admitted.is_sorted(),
        "first come, first served: {admitted:?}"
    );
    assert_eq!(turns, (11..=80).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_leaves_the_place_to_the_next() {
    let budget = budget(1.0);
    for _ in 0..20 {
        register(&budget).await.unwrap();
    }
    let gave_up = tokio::time::timeout(Duration::from_millis(500), register(&budget)).await;
    gave_up.unwrap_err();
    let began = Instant::now();
    register(&budget).await.unwrap();
    // The token that comes after a second, and the margin of whoever waits.
    assert_eq!(began.elapsed().as_millis(), 520);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_the_budget() {
    let whole = Budget::new(0.5);
    let of_region = whole.of(None, "eu-central-1", None);
    whole.set_replicas(2);
    assert_eq!(exhaust(&of_region).await, 5);
    // What is made later as well.
    assert_eq!(exhaust(&whole.of(None, "eu-west-1", None)).await, 5);
    whole.set_replicas(0);
    assert_eq!(exhaust(&whole.of(None, "eu-west-2", None)).await, 10);
}

#[tokio::test(start_paused = true)]
async fn accounts_and_regions_have_budgets_of_their_own() {
    let whole = Budget::new(1.0);
    for (account, region) in [
        (None, "eu-central-1"),
        (None, "eu-west-1"),
        (Some("210987654321"), "eu-central-1"),
    ] {
        assert_eq!(exhaust(&whole.of(account, region, None)).await, 20);
        let again = whole.of(account, region, None);
        let began = Instant::now();
        register(&again).await.unwrap();
        assert!(!began.elapsed().is_zero(), "it is the same budget");
    }
}

#[tokio::test(start_paused = true)]
async fn fargate_has_a_bucket_more() {
    let budget = budget(1.0);
    let mut started = 0;
    let began = Instant::now();
    loop {
        budget
            .admit("fargate", "RunTask", "somebody")
            .await
            .unwrap();
        budget.admit("ecs", "RunTask", "somebody").await.unwrap();
        if !began.elapsed().is_zero() {
            break;
        }
        started += 1;
    }
    assert_eq!(started, 20);
}

#[tokio::test(start_paused = true)]
async fn without_a_bucket_or_a_budget_nothing_waits() {
    let began = Instant::now();
    let budget = budget(0.01);
    for _ in 0..500 {
        budget.take("ecr", "DescribeImages").await.unwrap();
    }
    let unbounded = Budget::unbounded();
    unbounded.set_replicas(3);
    let unbounded = unbounded.of(None, "eu-central-1", None);
    for _ in 0..500 {
        register(&unbounded).await.unwrap();
    }
    assert!(began.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_two_minutes_and_no_longer() {
    let budget = budget(0.01);
    // One at once, and one in five seconds.
    for _ in 0..23 {
        budget.charge("ecs", "DescribeServices");
    }
    let began = Instant::now();
    budget.take("ecs", "DescribeServices").await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 115);
    for _ in 0..24 {
        budget.charge("ecs", "DescribeServices");
    }
    let refused = budget.take("ecs", "DescribeServices").await.unwrap_err();
    assert!(refused.to_string().contains("within 120 s"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_least_rate_is_served_and_waits_are_counted() {
    let registry = Registry::new();
    let metrics = AwsMetrics::register(&registry).unwrap();
    let whole = Budget::new(0.5);
    whole.register(&registry).unwrap();
    let one = whole.of(None, "eu-central-1", Some(metrics.clone()));
    let other = whole.of(None, "eu-west-1", Some(metrics));
    let rate = |value: &str| {
        let line = "evenkeel_aws_budget_rate{bucket=\"service_writes\",service=\"ecs\"}";
        format!("{line} {value}\n")
    };
    assert!(
        text(&registry).contains(&rate("2.5")),
        "{}",
        text(&registry)
    );
    other.throttled("ecs", "UpdateService");
    assert!(
        text(&registry).contains(&rate("1.75")),
        "{}",
        text(&registry)
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(
        text(&registry).contains(&rate("2.5")),
        "{}",
        text(&registry)
    );

    for _ in 0..11 {
        register(&one).await.unwrap();
    }
    let told = text(&registry);
    let series = "{operation=\"RegisterTaskDefinition\",service=\"ecs\"}";
    for line in [
        format!("evenkeel_aws_throttle_wait_seconds_count{series} 11\n"),
        format!("evenkeel_aws_throttle_wait_seconds_sum{series} 2"),
    ] {
        assert!(told.contains(&line), "{line} in {told}");
    }
}
