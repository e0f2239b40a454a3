//! Hooks that post: signed, at least once, and each try of one attempt under one key.

use evenkeel::resource::status::PartState;
use evenkeel::sandbox::{Webhook, WebhookAnswer};
use serde_json::{Value, json};

use super::hooked;
use crate::shop::{Breaker, Stands, environment, key, minutes, pass, seconds, shop, stalled};
use crate::world::World;

const HOST: &str = "deploys.shop.example";
const SECRET: &str = "a-key-that-nobody-is-shown";

fn posts(more: &Value) -> Value {
    let mut hook = json!({"name": "tell", "http": {
        "url": format!("https://{HOST}/releases"),
        "signingKey": {"ssmParameter": "/shop/hook"},
    }});
    crate::shop::merge(&mut hook, more);
    json!({"after": [hook]})
}

async fn listening() -> World {
    let world = shop(Breaker::Rollback).await;
    let input = json!({"Name": "/shop/hook", "Type": "SecureString", "Value": SECRET});
    world.aws("ssm", "PutParameter", input);
    let allow = json!({"allow": {"secrets": ["/shop/*"]}});
    world.put(&environment(&allow)).await;
    world
}

fn keys(posts: &[Webhook]) -> Vec<String> {
    let keys = posts
        .iter()
        .map(|post| post.headers["idempotency-key"].clone());
    keys.collect()
}

#[tokio::test(start_paused = true)]
async fn a_release_is_posted_once_and_signed() {
    let world = listening().await;
    world.put(&hooked("v2", &posts(&json!({})))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let posts = world.sandbox.webhooks();
    assert_eq!(posts.len(), 1, "{posts:?}");
    let signature = &posts[0].headers["x-evenkeel-signature"];
    assert!(
        signature.starts_with("t=") && signature.contains(",v1="),
        "{signature}"
    );
    let body: Value = serde_json::from_str(&posts[0].body).expect("JSON");
    assert_eq!(
        (&body["release"], &body["outcome"]),
        (&json!("web"), &json!("Success"))
    );
    assert_eq!(json!(keys(&posts)[0]), body["key"]);
    // The key of the signature is told nowhere.
    let told = serde_json::to_string(&world.status(&key()).await).expect("JSON");
    let kept = format!("{:?}", world.ledger(&key()).await);
    assert!(!told.contains(SECRET) && !kept.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_tried_again_under_the_same_key() {
    for answer in [
        WebhookAnswer::Status(503),
        WebhookAnswer::Hang,
        WebhookAnswer::ConnectionError,
    ] {
        let world = listening().await;
        let told = format!("{answer:?}");
        world.sandbox.answer_webhooks(HOST, answer);
        world.put(&hooked("v2", &posts(&json!({})))).await;
        let controller = world.controller();
        let mended = async {
            pass(minutes(4)).await;
            world
                .sandbox
                .answer_webhooks(HOST, WebhookAnswer::Status(204));
            pass(minutes(10)).await;
        };
        controller.run(mended).await.expect("runs");
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{told}");
        let posts = world.sandbox.webhooks();
        assert!(
            (2..20).contains(&posts.len()),
            "{told}: {} tries",
            posts.len()
        );
        let mut keys = keys(&posts);
        keys.dedup();
        assert_eq!(keys.len(), 1, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_its_time_is_posted_to_once() {
    let world = listening().await;
    world
        .sandbox
        .answer_webhooks(HOST, WebhookAnswer::After(30, 200));
    let hooks = posts(&json!({"timeout": "5m"}));
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sandbox.webhooks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_fails_the_hook_when_its_time_is_up() {
    let world = listening().await;
    world.sandbox.answer_webhooks(HOST, WebhookAnswer::Hang);
    let hooks = posts(&json!({"timeout": "3m"}));
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let why = world.why(&key()).await;
    assert!(why.contains("within 3m"), "{why}");
    // Everything else stays as it is.
    assert_eq!(world.image_of("web"), crate::shop::pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_refuses_is_not_tried_again() {
    let world = listening().await;
    world
        .sandbox
        .answer_webhooks(HOST, WebhookAnswer::Status(422));
    world
        .put(&hooked("v2", &posts(&json!({"onFailure": "Warn"}))))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sandbox.webhooks().len(), 1);
    let hook = world.status(&key()).await.hooks.remove(0);
    assert_eq!(hook.state, PartState::Failed);
    assert!(hook.message.expect("why").contains("422"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_there_is_told_by_its_name() {
    let world = listening().await;
    let secret = json!({"http": {"signingKey": {"ssmParameter": "/shop/none"}}});
    world.put(&hooked("v2", &posts(&secret))).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let why = world.why(&key()).await;
    assert!(why.contains("SSM parameter /shop/none"), "{why}");
    assert_eq!(world.sandbox.webhooks().len(), 0);
    pass(seconds(1)).await;
}
