//! Reads that lag behind, are denied or fail.

use std::sync::Arc;

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::json;

use super::while_running;
use crate::shop::{
    Breaker, Stands, key, minutes, ready, release, rules, schedule, seconds, service, shop,
    stalled, web,
};

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_do_no_harm() {
    for delay in [10, 20] {
        let world = shop(Breaker::Rollback).await;
        world
            .sandbox
            .update_settings(|settings| settings.read_delay = seconds(delay));
        let spec = json!({
            "services": [service("web"), service("worker")],
            "schedules": [schedule("nightly", "rate(1 day)")],
        });
        world.put(&release("web", "v2", &spec)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.sent("RegisterTaskDefinition").len(), 3);
        assert_eq!(world.moves(), ["web -> web:2", "worker -> worker:2"]);
        let puts = world.sent("PutRule").len() + world.sent("PutTargets").len();
        assert!(puts <= 12, "{puts} writes of one rule");

        world.sandbox.reset_calls();
        world.put(&release("web", "bad", &spec)).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        world.resync(&key(), minutes(60), minutes(10)).await;
        assert_eq!(world.moves().len(), 2, "{:?}", world.moves());
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_may_not_be_read_stall_it() {
    let world = shop(Breaker::Rollback).await;
    world.deny(&["ecs:ListServiceDeployments"]);
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let why = world.why(&key()).await;
    assert!(why.contains("ecs:ListServiceDeployments"), "{why}");
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_permission_lost_in_the_middle_of_a_rollout_stalls_and_comes_back() {
    let world = ready(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "2m"}}}]),
    );
    world.put(&web("v3")).await;
    let stands = while_running(&world, minutes(1), || {
        world.deny(&["ecs:ListServiceDeployments"]);
    })
    .await;
    assert_eq!(stands, stalled("AccessDenied"));
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:3"]);
}

/// Answers every call of one operation with an error of the server.
struct Failing(&'static str);

impl Tap for Failing {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        if call.operation != self.0 {
            return Verdict::Proceed;
        }
        Verdict::Answer {
            status: 500,
            code: "ServerException".to_owned(),
            message: "Service Unavailable. Please try again later.".to_owned(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_read_are_unknown_and_nothing_is_written() {
    let world = shop(Breaker::Rollback).await;
    world
        .sandbox
        .set_tap(Some(Arc::new(Failing("ListServiceDeployments"))));
    world.put(&web("v2")).await;
    let error = world.run_once().await.expect_err("it cannot be observed");
    assert!(
        error.to_string().contains("ListServiceDeployments"),
        "{error}"
    );
    let ready = world.is(&key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::Unknown));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}
