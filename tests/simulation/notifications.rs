//! People are told when a release stands otherwise than before: each thing once, by every kind of
//! target.

mod crashes;
mod many;
mod trouble;

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::sandbox::Webhook;
use serde_json::{Value, json};

use crate::holds::with;
use crate::shop::{
    Breaker, Stands, environment, held, key, merge, minutes, pass, shop, stalled, web,
};
use crate::world::World;

pub const HOOK: &str = "https://hooks.slack.com/services/T0/B0/s3cr3t";
pub const TOPIC: &str = "arn:aws:sns:ap-northeast-1:123456789012:releases";

/// A notification by webhook that says no more than what happened to which revision.
pub fn slack(more: &Value) -> Value {
    let mut found = json!({
        "name": "team", "slack": {"webhookUrl": {"ssmParameter": "/shop/slack"}},
        "template": "${event} ${revision} ${reason}",
    });
    merge(&mut found, more);
    found
}

/// A notification by topic.
pub fn sns(more: &Value) -> Value {
    let mut found = json!({
        "name": "topic", "sns": {"topicArn": TOPIC}, "template": "${event} ${revision} ${reason}",
    });
    merge(&mut found, more);
    found
}

/// The shop with these notifications, the webhook's URL and a topic.
pub async fn told(notifications: &Value) -> World {
    let world = shop(Breaker::Rollback).await;
    set_hook(&world, HOOK);
    world.aws("sns", "CreateTopic", json!({"Name": "releases"}));
    let spec = json!({ "notifications": notifications });
    world.put(&environment(&spec)).await;
    world
}

/// Says where the webhook is.
pub fn set_hook(world: &World, url: &str) {
    let input = json!({
        "Name": "/shop/slack", "Type": "SecureString", "Value": url, "Overwrite": true,
    });
    world.aws("ssm", "PutParameter", input);
}

/// What a post to a webhook says.
pub fn text(post: &Webhook) -> String {
    let body: Value = serde_json::from_str(&post.body).expect("JSON");
    body["text"].as_str().expect("a text").to_owned()
}

impl World {
    /// What reached the webhook, oldest first.
    pub fn heard(&self) -> Vec<String> {
        let posts = self.sandbox.webhooks();
        let taken = posts.iter().filter(|post| post.status == Some(200));
        taken.map(text).collect()
    }

    /// What was published, oldest first.
    pub fn published(&self) -> Vec<String> {
        let done = self.done("sns.Publish").into_iter();
        let message = |input: &Value| input["Message"].as_str().expect("a text").to_owned();
        done.map(|call| message(&call.input)).collect()
    }

    /// What waits in the table to be sent.
    pub async fn unsent(&self) -> usize {
        self.store.outbox().await.expect("reads").len()
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_target_is_told_what_it_asked_for() {
    let bus = json!({"name": "bus", "eventBridge": {"eventBusName": "default"}});
    let some = sns(&json!({"on": ["Ready"]}));
    let others = slack(&json!({"name": "others", "releases": ["api-*"]}));
    let world = told(&json!([slack(&json!({})), some, bus, others])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let heard = world.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].starts_with("Started 1 "), "{heard:?}");
    assert_eq!(heard[1], "Ready 1 Ready");
    assert_eq!(world.published(), ["Ready 1 Ready"]);
    let published = &world.sent("Publish")[0];
    assert_eq!(published["Subject"], "shop/web: Ready, revision 1");
    assert_eq!(published["TopicArn"], TOPIC);
    let events: Vec<Value> = world
        .sent("PutEvents")
        .iter()
        .map(|it| it["Entries"][0].clone())
        .collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["Source"], "evenkeel");
    assert_eq!(events[1]["DetailType"], "evenkeel Release State Change");
    let detail: Value =
        serde_json::from_str(events[1]["Detail"].as_str().expect("text")).expect("JSON");
    assert_eq!(detail["event"], "Ready");
    assert_eq!(detail["release"], "web");
    assert_eq!(detail["source"], "0123abc");
    assert_eq!(detail["revision"], 1);
    // The same message has the same id wherever it goes.
    let posts = world.sandbox.webhooks();
    assert_eq!(detail["id"], posts[1].headers["idempotency-key"]);
    assert_ne!(
        posts[0].headers["idempotency-key"],
        posts[1].headers["idempotency-key"]
    );
    assert_eq!(world.unsent().await, 0);
}

#[tokio::test(start_paused = true)]
async fn own_texts_are_escaped_for_slack_and_not_for_others() {
    let own = json!({"template": null});
    let (mut slack, mut sns) = (slack(&json!({})), sns(&json!({})));
    for found in [&mut slack, &mut sns] {
        merge(found, &own);
        found.as_object_mut().expect("an object").remove("template");
    }
    let templated = json!({
        "name": "templated", "slack": {"webhookUrl": {"ssmParameter": "/shop/slack"}},
        "template": "<!here> ${message}",
    });
    let world = told(&json!([slack, sns, templated])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.deny(&["ecs:DescribeServices"]);
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    let heard = world.heard();
    assert!(
        heard[0].starts_with("shop/web: revision 1 (generation 1) begins."),
        "{heard:?}"
    );
    assert!(
        heard[0].contains("web:v2") && heard[0].contains("0123abc"),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|text| text.starts_with("<!here> ")),
        "{heard:?}"
    );
    let last = heard
        .iter()
        .find(|text| text.contains("is Stalled"))
        .expect("told");
    assert!(last.contains("`evenkeel get shop/web`"), "{last}");
    assert!(
        !heard
            .iter()
            .any(|text| text.replace("<!here>", "").contains(['<', '>']))
    );
    assert!(
        world
            .published()
            .iter()
            .any(|text| text.contains("AccessDenied"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_told_once_and_its_end_once() {
    let world = told(&json!([slack(&json!({}))])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    world.deny(&["ecs:DescribeServices"]);
    let reconciler = world.takes_over().await;
    for number in 0..1000 {
        let what: &[&str] = match number % 5 {
            4 => &["ecs:Describe*"],
            _ => &["ecs:DescribeServices"],
        };
        world.deny(what);
        let pass = reconciler.reconcile(&key(), &|_, _| {}).await;
        pass.expect("a pass");
    }
    assert_eq!(world.unsent().await, 1, "written once");
    world.deny(&["ecs:DescribeServices"]);
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    let heard = world.heard();
    assert_eq!(heard[before..], ["Stalled 1 AccessDenied"]);
    // Restarts tell nothing.
    for _ in 0..3 {
        world.run(&key()).await;
    }
    assert_eq!(world.heard().len(), before + 1);
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard()[before + 1..], ["Ready 1 Ready"]);
    world.run(&key()).await;
    assert_eq!(world.heard().len(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn a_way_back_is_told_and_so_is_another_try() {
    let world = told(&json!([slack(
        &json!({"on": ["Ready", "Stalled", "RolledBack"]})
    )]))
    .await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.heard(), ["Ready 1 Ready", "RolledBack 2 RolledBack"]);
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.heard()[2..], ["RolledBack 2 RolledBack"]);
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard()[3..], ["Ready 3 Ready"]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_told_when_it_is_found_and_when_it_is_put_right() {
    let world = told(&json!([slack(&json!({}))])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let expected = ["DriftFound 1 Differences", "DriftCorrected 1 NoDifferences"];
    assert_eq!(world.heard()[before..], expected);
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_is_waited_for_is_told_once() {
    let world = told(&json!([slack(&json!({}))])).await;
    world
        .put(&with("v2", &json!({"approval": "required"})))
        .await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.run_for(minutes(30)).await;
    assert_eq!(world.heard(), ["WaitingForApproval 1 ApprovalPending"]);
    let approve = evenkeel::model::ledger::RequestKind::Approve { revision: 1 };
    world.request(&key(), approve).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let heard = world.heard();
    assert!(heard[1].starts_with("Started 1 "), "{heard:?}");
    assert_eq!(heard[2..], ["Ready 1 Ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_release_tells_nothing() {
    let world = told(&json!([slack(&json!({}))])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    let mut suspended = web("v2");
    merge(&mut suspended, &json!({"spec": {"suspend": true}}));
    world.put(&suspended).await;
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    assert_eq!(world.heard().len(), before);
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_listen_hears_of_what_changes_from_then_on() {
    let world = told(&json!([])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let spec = json!({"notifications": [slack(&json!({}))]});
    world.put(&environment(&spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard(), [] as [String; 0]);
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard().len(), 2, "{:?}", world.heard());
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_nobody_listens_is_known_to_have_happened() {
    let listened = |notifications: Value| {
        environment(&json!({"notifications": notifications, "drift": {"policy": "Report"}}))
    };
    let with = listened(json!([slack(&json!({}))]));
    let without = listened(json!([]));
    let world = told(&json!([])).await;
    let moves = async |definition: &str, drifted: ConditionStatus| {
        world.by_hand("web", definition);
        pass(minutes(2)).await;
        world.settle(&key()).await;
        let now = world.is(&key(), ConditionType::Drifted).await;
        assert_eq!(now, Some(drifted), "{definition}");
    };
    world.put(&with).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    moves("web:1", ConditionStatus::True).await;
    assert_eq!(world.heard()[before..], ["DriftFound 1 Differences"]);

    // It ends while nobody listens, and so does a failure that began meanwhile.
    world.put(&without).await;
    moves("web:2", ConditionStatus::False).await;
    world.deny(&["ecs:DescribeServices"]);
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&with).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard().len(), before + 1);

    moves("web:1", ConditionStatus::True).await;
    assert_eq!(world.heard()[before + 1..], ["DriftFound 1 Differences"]);
    moves("web:2", ConditionStatus::False).await;
    assert_eq!(
        world.heard()[before + 2..],
        ["DriftCorrected 1 NoDifferences"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_brings_nothing_is_no_news() {
    let world = told(&json!([slack(&json!({}))])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    let mut other = web("v2");
    merge(&mut other, &json!({"spec": {"revisionHistoryLimit": 5}}));
    world.put(&other).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.heard()[before..], [] as [String; 0]);
}
