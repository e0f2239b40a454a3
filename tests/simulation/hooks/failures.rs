//! Each kind of hook but a function, which comes to no good end before everything else or after it:
//! what each `onFailure` makes of that, and what a pipeline hears that waits for the release.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{Cause, PartState};
use evenkeel::sandbox::WebhookAnswer;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, Stands, key, merge, pinned, release, rules, schedule, service, shop, stalled,
};
use crate::world::World;

const HOST: &str = "deploys.shop.example";
const JOB: &str = "evenkeel.dev/codepipeline-job";

/// How a hook comes to no good end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ill {
    /// It is told so.
    Fails,
    /// It goes on for longer than it may.
    Hangs,
}

/// A kind of hook: makes the world such that it goes wrong, and answers what the manifest says of it
/// and the words in which that is told.
type Kind = fn(&World, Ill) -> (Value, &'static str);

/// Tells which operation each try of a kind is.
struct Tried(&'static str);

fn task(world: &World, ill: Ill) -> (Value, &'static str) {
    let (then, words) = match ill {
        Ill::Fails => (json!({"exit": {"after": "5s", "exitCode": 3}}), "3"),
        Ill::Hangs => (json!({"healthy": {}}), "did not end within 2m"),
    };
    rules(world, &json!([{"when": {"family": "job"}, "then": then}]));
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    (json!({"timeout": "2m", "ecsTask": task}), words)
}

fn invalidation(world: &World, ill: Ill) -> (Value, &'static str) {
    let there = world.distribution();
    let (id, words) = match ill {
        Ill::Fails => ("ENONE".to_owned(), "NoSuchDistribution"),
        // An invalidation takes a minute.
        Ill::Hangs => (there, "was not complete within 30s"),
    };
    let invalidation = json!({"distributionId": id, "paths": ["/*"]});
    let hook = json!({"timeout": "30s", "cloudFrontInvalidation": invalidation});
    (hook, words)
}

fn post(world: &World, ill: Ill) -> (Value, &'static str) {
    let (answer, words) = match ill {
        Ill::Fails => (WebhookAnswer::Status(422), "the server answered 422"),
        Ill::Hangs => (WebhookAnswer::Hang, "within 2m"),
    };
    world.sandbox.answer_webhooks(HOST, answer);
    let url = format!("https://{HOST}/releases");
    (json!({"timeout": "2m", "http": {"url": url}}), words)
}

/// A service and a schedule, with these hooks.
fn declared(tag: &str, hooks: &Value) -> Value {
    let nightly = schedule("nightly", "cron(0 3 * * ? *)");
    let parts = json!({"services": [service("web")], "schedules": [nightly], "hooks": hooks});
    release("web", tag, &parts)
}

/// What the schedule would run.
fn scheduled(world: &World) -> String {
    let arn = world.targets("shop-web-nightly")[0]["EcsParameters"]["TaskDefinitionArn"].clone();
    world.image_in(arn.as_str().expect("an ARN"), "job")
}

/// Ready with v2, it is released with v3 and a hook that comes to no good end.
async fn goes_wrong(kind: Kind, tried: &Tried, when: &str, policy: &str, ill: Ill) {
    let what = format!("{} {when}, {ill:?}, onFailure {policy}", tried.0);
    let world = shop(Breaker::Rollback).await;
    world.put(&declared("v2", &json!({}))).await;
    assert_eq!(world.run(&key()).await, Stands::Ready, "{what}");
    world.sandbox.reset_calls();
    let (mut hook, words) = kind(&world, ill);
    merge(&mut hook, &json!({"name": "check", "onFailure": policy}));
    let job = world.job();
    let pipeline = json!({"name": "pipeline", "codePipelineJob": {}});
    let hooks = match when {
        "before" => json!({"before": [hook], "after": [pipeline]}),
        _ => json!({"after": [hook, pipeline]}),
    };
    let mut object = declared("v3", &hooks);
    object["metadata"]["annotations"] = json!({ JOB: job });
    world.put(&object).await;
    let expected = match policy {
        "Warn" => Stands::Ready,
        "Fail" => stalled("HookFailed"),
        _ => stalled("RolledBack"),
    };
    assert_eq!(world.settle(&key()).await, expected, "{what}");

    // What runs, and what would.
    let stays = policy == "Warn" || when == "after" && policy == "Fail";
    let runs = pinned(&world, if stays { "v3" } else { "v2" });
    assert_eq!(world.image_of("web"), runs, "{what}");
    assert_eq!(scheduled(&world), runs, "{what}");
    let moves = match (when, policy) {
        ("after", "Rollback") => 2,
        ("before", "Fail" | "Rollback") => 0,
        _ => 1,
    };
    assert_eq!(world.moves().len(), moves, "{what}: {:?}", world.moves());

    // What people are told.
    let check = world.hook("check").await;
    assert_eq!(check.state, PartState::Failed, "{what}");
    let message = check.message.expect("why");
    assert!(message.contains(words), "{what}: {message}");
    let ready = world.is(&key(), ConditionType::Ready).await;
    let answered = world.job_is(&job);
    if policy == "Warn" {
        assert_eq!(ready, Some(ConditionStatus::True), "{what}");
        assert_eq!(answered.0, "Succeeded", "{what}");
    } else {
        assert_eq!(ready, Some(ConditionStatus::False), "{what}");
        let why = world.why(&key()).await;
        for part in ["hook/check failed", words, "evenkeel retry shop/web"] {
            assert!(why.contains(part), "{what}: {why}");
        }
        let Stands::Stalled(reason) = expected else {
            panic!("{what}");
        };
        assert_eq!(answered, ("Failed".to_owned(), format!("{reason}: {why}")));
    }
    let back = world.status(&key()).await.rollback;
    let back = back.map(|it| (it.from, it.to, it.cause, it.state));
    let led = (2, Some(1), Cause::Failed, PartState::Done);
    assert_eq!(back, (policy == "Rollback").then_some(led), "{what}");

    // What failed was tried once.
    let tries = match tried.0 {
        "POST" => world.sandbox.webhooks().len(),
        operation => world.sent(operation).len(),
    };
    match (tried.0, ill) {
        ("POST", Ill::Hangs) => assert!((1..20).contains(&tries), "{what}: {tries} tries"),
        _ => assert_eq!(tries, 1, "{what}"),
    }
}

async fn each_policy(kind: Kind, tried: Tried) {
    for policy in ["Fail", "Warn", "Rollback"] {
        for (when, ill) in [
            ("before", Ill::Fails),
            ("after", Ill::Fails),
            ("before", Ill::Hangs),
            ("after", Ill::Hangs),
        ] {
            goes_wrong(kind, &tried, when, policy, ill).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_a_task_that_fails_or_hangs() {
    each_policy(task, Tried("RunTask")).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_an_invalidation_that_fails_or_hangs() {
    each_policy(invalidation, Tried("CreateInvalidation")).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_a_post_that_fails_or_hangs() {
    each_policy(post, Tried("POST")).await;
}
