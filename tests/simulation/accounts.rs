//! Environments that are reached with a role of their own.

use std::sync::Arc;
use std::time::Duration;

use evenkeel::reconcile::ReconcileError;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::{CallInfo, CallRecord, Tap, Verdict, is_write};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::shop::{
    Breaker, Stands, environment, key, merge, minutes, pass, release, service, shop, web,
};
use crate::world::World;

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy/evenkeel-shop";

/// The shop whose Environment is reached with a role that asks for an external id.
async fn with_role(external_id: &str) -> World {
    let world = shop(Breaker::Rollback).await;
    world.sandbox.update_settings(|settings| {
        settings.external_ids = [(ROLE.to_owned(), "acme-7".to_owned())].into();
    });
    let spec = json!({"roleArn": ROLE, "externalId": external_id});
    world.put(&environment(&spec)).await;
    world
}

/// Calls of the controller to what the Environment is.
fn calls(world: &World) -> Vec<CallRecord> {
    let log = world.sandbox.log().into_iter();
    log.filter(|call| call.client && ["ecs", "ecr", "events"].contains(&call.service.as_str()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_for_everything_and_its_session_names_the_release() {
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let session = "arn:aws:sts::123456789012:assumed-role/evenkeel-shop";
    let made = calls(&world);
    for call in &made {
        let name = match is_write(&call.service, &call.operation) {
            true => "evenkeel-shop-web",
            false => "evenkeel",
        };
        let expected = format!("{session}/{name}");
        assert_eq!(call.principal, expected, "{}", call.operation);
    }
    let is = |name: &str| made.iter().any(|call| call.operation == name);
    assert!(is("UpdateService") && is("DescribeImages"), "{made:?}");
    let definition = world.definition("web");
    let by = &definition["taskDefinition"]["registeredBy"];
    assert_eq!(by, &json!(format!("{session}/evenkeel-shop-web")));
    // The table is evenkeel's own.
    let log = world.sandbox.log();
    let mut of_table = log.iter().filter(|call| call.service == "dynamodb");
    assert!(of_table.all(|call| call.principal.ends_with("user/sandbox")));
    // Once to look and once to change, however many passes there were.
    assert_eq!(world.called("sts.AssumeRole"), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_role_are_renewed_before_they_end() {
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world.resync(&key(), minutes(180), minutes(5)).await;
    let assumed = world.called("sts.AssumeRole");
    assert!((3..=4).contains(&assumed), "{assumed} in three hours");
    assert_eq!(
        world.is(&key(), ConditionType::Ready).await,
        Some(ConditionStatus::True)
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_refuses_stalls_its_own_releases_and_no_others() {
    let world = with_role("acme-8").await;
    world.put(&web("v2")).await;
    let mut other = environment(&json!({}));
    merge(&mut other, &json!({"metadata": {"name": "other"}}));
    world.put(&other).await;
    let mut of_other = release("worker", "v2", &json!({"services": [service("worker")]}));
    of_other["spec"]["services"][0]["images"] = json!({"worker": "web"});
    merge(&mut of_other, &json!({"metadata": {"namespace": "other"}}));
    world.put(&of_other).await;

    let summary = world.run_once().await.expect("one refusal ends nothing");
    assert_eq!(summary.ready, [ReleaseKey::new("other", "worker")]);
    let [(stalled, reason, message)] = &summary.stalled[..] else {
        panic!("one is stalled: {summary:?}");
    };
    assert_eq!((stalled, reason.as_str()), (&key(), "AccessDenied"));
    for word in [ROLE, "sts:AssumeRole", "trust policy", "externalId"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(!message.contains("acme"), "{message}");
    // Refused again in the same words, nothing is written.
    world.sandbox.reset_calls();
    world.run_once().await.expect("runs");
    assert_eq!(world.writes(), [] as [String; 0]);

    let right = json!({"roleArn": ROLE, "externalId": "acme-7"});
    world.put(&environment(&right)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

/// Answers calls of one service that are made with a role's credentials, or with our own.
struct Answers {
    service: &'static str,
    operation: &'static str,
    verdict: Verdict,
}

impl Tap for Answers {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let is_it = call.service == self.service && call.operation == self.operation;
        match is_it {
            true => self.verdict.clone(),
            false => Verdict::Proceed,
        }
    }
}

fn expired() -> Verdict {
    Verdict::Answer {
        status: 400,
        code: "ExpiredTokenException".to_owned(),
        message: "The security token included in the request is expired".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_not_answered_for_ends_the_pass_and_nothing_else() {
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    world.sandbox.set_tap(Some(Arc::new(Answers {
        service: "sts",
        operation: "AssumeRole",
        verdict: Verdict::Hang,
    })));
    let reconciler = world.takes_over().await;
    let key = key();
    let ended = reconciler.reconcile(&key, &|_, _| {});
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    let error = ended.expect("in time").expect_err("no credentials");
    assert!(matches!(error, ReconcileError::Aws(_)), "{error:?}");
    assert!(!error.is_final(), "{error}");
    world.sandbox.set_tap(None);
    pass(minutes(1)).await;
    assert_eq!(world.settle(&key).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn passes_that_wait_for_one_role_do_not_wait_one_after_the_other() {
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    world.sandbox.set_tap(Some(Arc::new(Answers {
        service: "sts",
        operation: "AssumeRole",
        verdict: Verdict::Hang,
    })));
    let reconciler = world.takes_over().await;
    let mut passes = JoinSet::new();
    for _ in 0..8 {
        let reconciler = reconciler.clone();
        passes.spawn(async move {
            let ended = reconciler.reconcile(&key(), &|_, _| {}).await;
            ended.expect_err("no credentials")
        });
    }
    let ended = tokio::time::timeout(Duration::from_secs(120), passes.join_all()).await;
    assert_eq!(ended.expect("in time").len(), 8);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_final_only_if_they_are_evenkeels_own() {
    let refuse = || {
        Some(Arc::new(Answers {
            service: "ecs",
            operation: "DescribeServices",
            verdict: expired(),
        }) as Arc<dyn Tap>)
    };
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    world.sandbox.set_tap(refuse());
    let told = world.takes_over().await.reconcile(&key(), &|_, _| {}).await;
    told.expect("the pass is made, and what it could not see is told");
    let ready = world.is(&key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::Unknown));

    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    world.sandbox.set_tap(refuse());
    let told = world.takes_over().await.reconcile(&key(), &|_, _| {}).await;
    assert!(told.expect_err("no credentials").is_final());
}

#[tokio::test(start_paused = true)]
async fn another_role_of_the_same_account_is_no_other_place() {
    let world = with_role("acme-7").await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&environment(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let other: Value = json!({"roleArn": "arn:aws:iam::210987654321:role/evenkeel"});
    world.put(&environment(&other)).await;
    assert_eq!(
        world.settle(&key()).await,
        Stands::Stalled("EnvironmentChanged".to_owned())
    );
}
