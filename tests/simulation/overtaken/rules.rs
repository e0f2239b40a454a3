//! Rules and schedules that were made on the way, or have yet to be.

use evenkeel::model::ledger::RevisionOutcome;
use serde_json::{Value, json};

use super::{HOURLY, misbehave};
use crate::going_back::{both, crash_of_worker};
use crate::notifications::{slack, told};
use crate::scheduler::scheduled;
use crate::shop::{Breaker, Stands, held, key, merge, pinned, schedule, shop, stalled};
use crate::world::World;

/// Revision 2 makes the rule `hourly` and comes no further; revision 3 fails.
async fn with_a_rule_that_was_made(prune: bool) -> World {
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let with = |tag: &str| {
        let mut object = both(tag);
        let nightly = schedule("nightly", "rate(1 day)");
        let hourly = schedule("hourly", "rate(1 hour)");
        object["spec"]["schedules"] = json!([hourly, nightly]);
        object["spec"]["prune"] = json!(prune);
        object
    };
    world.deny(&["events:PutTargets"]);
    world.put(&with("v3")).await;
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    assert!(world.has_rule(HOURLY));
    world.deny(&[]);
    assert_eq!(world.outcome(2).await, RevisionOutcome::Pending);
    crash_of_worker(&world, "bad");
    world.put(&with("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.runs_on("v2");
    world
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_was_made_on_the_way_goes_with_what_made_it() {
    let world = with_a_rule_that_was_made(true).await;
    assert!(!world.has_rule(HOURLY));
    assert!(world.has_rule("shop-web-nightly"));
    let why = world.why(&key()).await;
    assert!(why.contains("everything is back on revision 1"), "{why}");
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_may_not_be_pruned_is_told_of() {
    let world = with_a_rule_that_was_made(false).await;
    assert!(world.has_rule(HOURLY));
    let why = world.why(&key()).await;
    assert!(
        why.contains("everything but rule shop-web-hourly is back"),
        "{why}"
    );
    world.stays(&stalled("RolledBack")).await;
}

/// `web` and then `worker`, where each revision has to be approved, with these schedules.
fn asking(tag: &str, schedules: &Value) -> Value {
    let mut object = both(tag);
    let more = json!({"approval": "required", "schedules": schedules});
    merge(&mut object["spec"], &more);
    object
}

/// Revision 2 declares a schedule more, and moves `web`; revision 3, which does without, waits for
/// somebody, who is told. Everything of revision 2 is brought all the same.
async fn overtaken_with(more: &Value) -> World {
    let world = told(&json!([slack(&json!({"on": ["WaitingForApproval"]}))])).await;
    let nightly = schedule("nightly", "rate(1 day)");
    let one = json!([nightly]);
    world.put(&asking("v2", &one)).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approves(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "2m"}}}]);
    misbehave(&world, &slow);
    world.put(&asking("v3", &json!([nightly, more]))).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approves(2).await;
    world.sandbox.reset_calls();
    world.runs_until(async || !world.moves().is_empty()).await;
    world.put(&asking("v4", &one)).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.runs_on("v3");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Ready);
    assert_eq!(world.outcome(3).await, RevisionOutcome::Pending);
    let heard = world.heard();
    let waits = |revision: u64| format!("WaitingForApproval {revision} ApprovalPending");
    assert_eq!(heard, [waits(1), waits(2), waits(3)]);
    world
}

impl World {
    /// Revision 3 is approved: nothing is left of the schedule that it does without.
    async fn does_without(&self) {
        self.stays(&held("ApprovalPending")).await;
        self.approves(3).await;
        assert_eq!(self.settle(&key()).await, Stands::Ready);
        self.runs_on("v4");
        let claims = self.ledger(&key()).await.claims;
        let left: Vec<&String> = claims.keys().filter(|arn| arn.contains("hourly")).collect();
        assert_eq!(left, [] as [&String; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_not_made_yet_is_made_while_the_next_revision_is_held() {
    let world = overtaken_with(&schedule("hourly", "rate(1 hour)")).await;
    let runs = world.targets(HOURLY)[0]["EcsParameters"]["TaskDefinitionArn"].clone();
    let image = world.image_in(runs.as_str().expect("an ARN"), "job");
    assert_eq!(image, pinned(&world, "v3"));
    world.does_without().await;
    assert!(!world.has_rule(HOURLY));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_not_made_yet_is_made_while_the_next_revision_is_held() {
    let world = overtaken_with(&scheduled("hourly", "rate(1 hour)", &json!({}))).await;
    assert_eq!(world.in_group(), Some(vec!["hourly".to_owned()]));
    let found = world.scheduled("hourly");
    let runs = found["Target"]["EcsParameters"]["TaskDefinitionArn"].clone();
    let image = world.image_in(runs.as_str().expect("an ARN"), "job");
    assert_eq!(image, pinned(&world, "v3"));
    world.does_without().await;
    assert_eq!(world.in_group(), None);
}
