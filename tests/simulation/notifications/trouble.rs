//! Targets that do not answer, and secrets that are not what they were: nothing else waits for them.

use std::time::Duration;

use evenkeel::controller::ControllerOptions;
use evenkeel::controller::metrics::LoopMetrics;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::sandbox::{Verdict, WebhookAnswer};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{HOOK, set_hook, slack, sns, told};
use crate::running::beside;
use crate::shop::{Stands, key, minutes, pass, seconds, web};
use crate::world::World;

/// A controller that counts, and looks at nothing again by itself; and what it counted.
fn counting() -> (ControllerOptions, impl Fn() -> String) {
    let registry = prometheus::Registry::new();
    let options = ControllerOptions {
        resync: SignedDuration::from_hours(24),
        metrics: LoopMetrics::register(&registry).expect("registers"),
        ..ControllerOptions::default()
    };
    let page = move || {
        let encoder = prometheus::TextEncoder::new();
        encoder
            .encode_to_string(&registry.gather())
            .expect("encodes")
    };
    (options, page)
}

fn total(page: &str, target: &str, event: &str, outcome: &str) -> u64 {
    let labels = format!(r#"{{event="{event}",outcome="{outcome}",target="{target}"}} "#);
    let name = format!("evenkeel_notifications_total{labels}");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("counted").parse().expect("a number")
}

async fn becomes_ready(world: &World) -> Duration {
    let begin = Instant::now();
    while world.is(&key(), ConditionType::Ready).await != Some(ConditionStatus::True) {
        assert!(
            begin.elapsed() < minutes(60),
            "{:#?}",
            world.status(&key()).await
        );
        pass(Duration::from_millis(100)).await;
    }
    begin.elapsed()
}

/// How long a rollout takes whose target answers so, and what comes of it when it recovers.
async fn rollout(answer: Option<WebhookAnswer>) -> Duration {
    let both = json!([slack(&json!({})), sns(&json!({}))]);
    let world = told(&both).await;
    if let Some(answer) = answer {
        world.sandbox.answer_webhooks("hooks.slack.com", answer);
    }
    let (options, page) = counting();
    let controller = world.controller_with(options);
    let took = beside(&controller, async {
        pass(seconds(5)).await;
        world.put(&web("v2")).await;
        let took = becomes_ready(&world).await;
        pass(seconds(2)).await;
        let published = world.published();
        assert_eq!(published.len(), 2, "no other waits: {published:?}");
        if answer.is_some() {
            pass(minutes(20)).await;
            assert_eq!(world.heard(), [] as [String; 0]);
            assert!(total(&page(), "slack", "Started", "failed") > 3);
            assert!(page().contains("\nevenkeel_notifications_undelivered 2\n"));
            let tries = world.sandbox.webhooks().len();
            assert!(tries < 60, "{tries} tries in 20 minutes");
            let well = WebhookAnswer::Status(200);
            world.sandbox.answer_webhooks("hooks.slack.com", well);
            pass(minutes(16)).await;
        }
        let heard = world.heard();
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0].starts_with("Started 1 "), "in order: {heard:?}");
        assert_eq!(total(&page(), "slack", "Ready", "sent"), 1);
        assert_eq!(total(&page(), "sns", "Ready", "sent"), 1);
        assert!(page().contains("\nevenkeel_notifications_undelivered 0\n"));
        took
    })
    .await;
    assert_eq!(world.unsent().await, 0);
    took
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_delays_nothing_and_is_told_when_it_does() {
    let usual = rollout(None).await;
    for answer in [
        WebhookAnswer::Hang,
        WebhookAnswer::Status(500),
        WebhookAnswer::ConnectionError,
        WebhookAnswer::RetryAfter(429, 30),
    ] {
        let took = rollout(Some(answer)).await;
        assert!(
            took <= usual + seconds(1),
            "{answer:?}: {took:?}, and {usual:?} without"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_dropped_and_what_is_old_too() {
    let world = told(&json!([slack(&json!({"on": ["Ready"]}))])).await;
    let refused = WebhookAnswer::Status(400);
    world.sandbox.answer_webhooks("hooks.slack.com", refused);
    let (options, page) = counting();
    let controller = world.controller_with(options);
    beside(&controller, async {
        world.put(&web("v2")).await;
        becomes_ready(&world).await;
        pass(seconds(5)).await;
        assert_eq!(world.sandbox.webhooks().len(), 1);
        assert_eq!(total(&page(), "slack", "Ready", "dropped"), 1);
        let dead = WebhookAnswer::Status(503);
        world.sandbox.answer_webhooks("hooks.slack.com", dead);
        world.put(&web("v3")).await;
        pass(minutes(5)).await;
        assert_eq!(total(&page(), "slack", "Ready", "dropped"), 1);
        world.sandbox.skip(minutes(7 * 60));
        pass(minutes(16)).await;
        assert_eq!(total(&page(), "slack", "Ready", "dropped"), 2);
        let tries = world.sandbox.webhooks().len();
        pass(minutes(16)).await;
        assert_eq!(world.sandbox.webhooks().len(), tries, "given up");
    })
    .await;
    assert_eq!(world.unsent().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_was_changed_is_found_at_once() {
    let world = told(&json!([slack(&json!({"on": ["Ready"]}))])).await;
    let (options, _) = counting();
    let controller = world.controller_with(options);
    beside(&controller, async {
        world.put(&web("v2")).await;
        becomes_ready(&world).await;
        pass(seconds(2)).await;
        assert_eq!(world.heard(), ["Ready 1 Ready"]);
        let gone = WebhookAnswer::Status(404);
        world
            .sandbox
            .answer_webhooks(&HOOK["https://".len()..], gone);
        set_hook(&world, "https://hooks.slack.com/services/T0/B1/other");
        world.put(&web("v3")).await;
        pass(seconds(1)).await;
        becomes_ready(&world).await;
        pass(seconds(2)).await;
        assert_eq!(world.heard(), ["Ready 1 Ready", "Ready 2 Ready"]);
    })
    .await;
    let posts = world.sandbox.webhooks();
    assert!(posts.last().expect("posts").url.ends_with("/B1/other"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_ails_no_release() {
    let world = told(&json!([slack(&json!({"on": ["Ready"]}))])).await;
    world.aws("ssm", "DeleteParameter", json!({"Name": "/shop/slack"}));
    let (options, page) = counting();
    let controller = world.controller_with(options);
    beside(&controller, async {
        world.put(&web("v2")).await;
        becomes_ready(&world).await;
        pass(minutes(5)).await;
        assert!(total(&page(), "slack", "Ready", "failed") > 1);
        set_hook(&world, HOOK);
        pass(minutes(16)).await;
        assert_eq!(world.heard(), ["Ready 1 Ready"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_whose_key_cannot_be_used_is_told_once_it_can() {
    for code in [
        "KMSAccessDenied",
        "KMSDisabled",
        "KMSInvalidState",
        "KMSNotFound",
        "KMSOptInRequired",
    ] {
        let world = told(&json!([sns(&json!({"on": ["Ready"]}))])).await;
        let answer = Verdict::Answer {
            status: 400,
            code: code.to_owned(),
            message: "The topic's key cannot be used.".to_owned(),
        };
        world.breaks("Publish", u64::MAX, false, answer);
        let (options, page) = counting();
        let controller = world.controller_with(options);
        beside(&controller, async {
            world.put(&web("v2")).await;
            becomes_ready(&world).await;
            pass(minutes(5)).await;
            assert!(total(&page(), "sns", "Ready", "failed") > 1, "{code}");
            assert_eq!(world.unsent().await, 1, "{code}");
            world.sandbox.set_tap(None);
            pass(minutes(16)).await;
            assert_eq!(world.published(), ["Ready 1 Ready"], "{code}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_out_of_the_environment_is_not_told_any_more() {
    let world = told(&json!([slack(&json!({"on": ["Ready"]}))])).await;
    let dead = WebhookAnswer::Status(500);
    world.sandbox.answer_webhooks("hooks.slack.com", dead);
    let (options, page) = counting();
    let controller = world.controller_with(options);
    beside(&controller, async {
        world.put(&web("v2")).await;
        becomes_ready(&world).await;
        pass(minutes(1)).await;
        world.put(&crate::shop::environment(&json!({}))).await;
        pass(minutes(20)).await;
        assert_eq!(total(&page(), "unknown", "Ready", "dropped"), 1);
    })
    .await;
    assert_eq!(world.unsent().await, 0);
}

/// Nothing that is kept or counted shows a webhook's URL.
#[tokio::test(start_paused = true)]
async fn a_webhook_is_shown_nowhere() {
    let world = told(&json!([slack(&json!({}))])).await;
    let (options, page) = counting();
    let controller = world.controller_with(options);
    beside(&controller, async {
        world.put(&web("v2")).await;
        becomes_ready(&world).await;
    })
    .await;
    assert!(!page().contains("T0/B0"));
    let table = world.aws("dynamodb", "Scan", json!({"TableName": "evenkeel"}));
    assert!(!table.to_string().contains("T0/B0"), "{table}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_settled_releases_reads_and_writes_nothing_for_those_who_are_told() {
    let mut reads: Vec<u64> = Vec::new();
    for notifications in [json!([]), json!([slack(&json!({})), sns(&json!({}))])] {
        let world = told(&notifications).await;
        world.put(&web("v2")).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        let controller = world.controller_with(ControllerOptions::default());
        beside(&controller, async {
            pass(minutes(5)).await;
            world.sandbox.reset_calls();
            pass(minutes(60)).await;
        })
        .await;
        assert_eq!(world.writes(), [] as [String; 0]);
        let log = world.sandbox.log();
        let about = |input: &Value| input.to_string().contains("outbox");
        assert!(!log.iter().any(|call| call.client && about(&call.input)));
        reads.push(world.called("dynamodb.GetItem"));
    }
    // Sweeps begin at moments of their own.
    assert!(reads[0].abs_diff(reads[1]) <= 20, "{reads:?}");
}
