//! A controller that is replaced in the middle by another one, whether that stays or not.

use std::sync::Arc;

use evenkeel::sandbox::{CallInfo, Sandbox, Tap, Verdict};
use evenkeel::store::keys;
use serde_json::{Value, json};

use crate::scene::{MIGRATION, ready, release, with};
use crate::table::{account, limited, whole};
use crate::world::{REGION, World};

/// One call of the controller, as far as a [`Takeover`] is planned by it.
struct Seen {
    name: String,
    input: String,
}

impl Seen {
    /// The look at the epoch that stands before each AWS call that changes something.
    fn looks_at_the_epoch(&self) -> bool {
        self.name == "dynamodb.GetItem" && self.input.contains(r#""pk":{"S":"epoch"}"#)
    }

    /// A renewal of the lease, which may fall between any two calls.
    fn renews(&self) -> bool {
        self.name == "dynamodb.PutItem" && self.input.contains(r#""pk":{"S":"lease"}"#)
    }
}

/// Another controller takes the lease, right when one call of this one has been done.
struct Takeover {
    sandbox: Sandbox,
    at: u64,
    /// Whether it keeps the lease; otherwise it gives it back at once.
    stays: bool,
}

impl Takeover {
    fn update(&self, (pk, sk): (&str, &str), change: &str, values: &Value) {
        let input = json!({
            "TableName": "evenkeel", "Key": {"pk": {"S": pk}, "sk": {"S": sk}},
            "UpdateExpression": change, "ExpressionAttributeValues": values});
        let done = self.sandbox.call("dynamodb", REGION, "UpdateItem", input);
        done.expect("the other one writes");
    }
}

impl Tap for Takeover {
    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        let lease = (keys::LEASES, "shard#0000");
        if call.index == self.at {
            self.update(
                ("epoch", "shard#0000"),
                "ADD epoch :one",
                &json!({":one": {"N": "1"}}),
            );
            let given_back = json!({":version": {"S": "given back"}});
            let change = "SET version = :version REMOVE holder, epoch";
            self.update(lease, change, &given_back);
        }
        if call.index >= self.at && self.stays {
            // It renews it whenever anything else is done.
            let renewed = json!({
                ":holder": {"S": "another"}, ":version": {"S": call.index.to_string()}});
            let change = "SET holder = :holder, version = :version";
            self.update(lease, change, &renewed);
        }
        Verdict::Proceed
    }
}

/// The last thing that a controller does before its first call of this name, which must be to write
/// down `intent` where there is one.
fn last_before(name: &str, intent: Option<&str>, calm: &World) -> u64 {
    let log = calm.sandbox.log();
    let calls: Vec<Seen> = log
        .iter()
        .filter(|call| call.client)
        .map(|call| Seen {
            name: format!("{}.{}", call.service, call.operation),
            input: call.input.to_string(),
        })
        .collect();
    let first = calls.iter().position(|call| call.name == name);
    let first = first.unwrap_or_else(|| panic!("{name} is not called"));
    let last = calls[..first]
        .iter()
        .rposition(|call| !call.looks_at_the_epoch() && !call.renews());
    let last = last.expect("something comes before it");
    if let Some(intent) = intent {
        let Seen { name: call, input } = &calls[last];
        assert_eq!(call, "dynamodb.TransactWriteItems", "before {name}");
        assert!(input.contains(intent), "before {name}: {input}");
    }
    last.try_into().expect("a small number")
}

/// A controller is replaced between the last thing that it does before the first call of this name
/// and that call.
async fn replaced_right_before(name: &str, intent: Option<&str>, scene: impl AsyncFn() -> World) {
    let calm = scene().await;
    calm.sandbox.reset_calls();
    let expected = calm.run_once().await.expect("runs");
    let at = last_before(name, intent, &calm);
    let replaced = async |stays: bool| {
        let world = scene().await;
        world.sandbox.reset_calls();
        let sandbox = world.sandbox.clone();
        let tap = Takeover { sandbox, at, stays };
        world.sandbox.set_tap(Some(Arc::new(tap)));
        let ended = world.run_once().await;
        world.sandbox.set_tap(None);
        (world, ended)
    };
    let (world, ended) = replaced(true).await;
    assert_eq!(world.called(name), 0, "{name} by the one that was replaced");
    let error = ended.expect_err(name).to_string();
    assert!(error.contains("held by replica another"), "{name}: {error}");
    // The next one goes on from what was written down, and does all of it once.
    let next = world.run_once().await;
    let (alone, ended) = replaced(false).await;
    for (world, ended) in [(world, next), (alone, ended)] {
        let summary = ended.expect("runs");
        assert_eq!(summary.ready, expected.ready, "{name}: {summary:?}");
        assert_eq!(world.done(name).len(), calm.done(name).len(), "{name}");
        assert_eq!(account(&world), account(&calm), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_replaced_between_intent_and_call_does_not_call() {
    for (name, intent) in [
        ("ecs.RegisterTaskDefinition", "registration#"),
        ("ecs.RunTask", "migration#"),
        ("ecs.UpdateService", "rollout#"),
    ] {
        replaced_right_before(name, Some(intent), async || with(&whole()).await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_replaced_stops_no_task() {
    let endless = async || {
        let migration = MIGRATION.replace("timeout: 15m", "timeout: 2m");
        let world = with(&release("9d3c2f1", &migration)).await;
        world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": {"healthy": {}}}]));
        world
    };
    replaced_right_before("ecs.StopTask", Some("migration#"), endless).await;
}

/// The rules of schedules are written without an intent: each write says the whole of what it
/// sets, and the look at the epoch is all that stands before it.
#[tokio::test(start_paused = true)]
async fn one_that_was_replaced_writes_and_deletes_no_rule() {
    let made = async || with(&whole()).await;
    replaced_right_before("events.PutRule", None, made).await;
    replaced_right_before("events.PutTargets", None, made).await;

    // Somebody else's rule gets our tags when it is adopted.
    let adopted = async || {
        let text = whole().replace("- name: nightly", "- name: nightly\n      adopt: true");
        let world = with(&text).await;
        let rule = json!({"Name": "production-rails-nightly", "ScheduleExpression": "rate(1 day)"});
        world.aws("events", "PutRule", rule);
        world
    };
    replaced_right_before("events.TagResource", None, adopted).await;

    let taken_out = async || {
        let world = ready(&whole()).await;
        world.apply(&release("9d3c2f1", MIGRATION)).await;
        world
    };
    replaced_right_before("events.RemoveTargets", None, taken_out).await;
    replaced_right_before("events.DeleteRule", None, taken_out).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_replaced_deregisters_nothing() {
    let grown = async || {
        let world = ready(&limited("9d3c2f1", 1)).await;
        world.push("rails/app", "a", "a");
        world.apply(&limited("a", 1)).await;
        world
    };
    replaced_right_before("ecs.DeregisterTaskDefinition", None, grown).await;
}
