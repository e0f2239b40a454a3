//! What was begun is finished, forward or back, for as long as what was released since may move
//! nothing.

mod rules;

use evenkeel::model::ledger::{RequestKind, RevisionOutcome, RollbackState};
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::PartState;
use serde_json::{Value, json};

use crate::bakes::alarm;
use crate::going_back::both;
use crate::shop::{
    Breaker, CLUSTER, Stands, crash, create_service, environment, held, key, merge, minutes, pass,
    pinned, push, ready, register, release, rules, service, shop, stalled, web,
};
use crate::world::World;

const HOURLY: &str = "shop-web-hourly";

impl World {
    fn runs_on(&self, tag: &str) {
        for name in ["web", "worker"] {
            assert_eq!(self.image_of(name), pinned(self, tag), "{name}");
        }
    }

    async fn outcome(&self, revision: u64) -> RevisionOutcome {
        self.ledger(&key()).await.revisions[&revision].outcome
    }

    async fn back(&self, revision: u64) -> Option<RollbackState> {
        let revisions = self.ledger(&key()).await.revisions;
        Some(revisions.get(&revision)?.rollback.as_ref()?.state)
    }

    async fn ready_reason(&self) -> String {
        let ready = self.condition(&key(), ConditionType::Ready).await;
        ready.expect("it is told").reason
    }

    /// A controller works until the way back is told beside this reason.
    async fn goes_back_beside(&self, reason: &str) {
        self.runs_until(async || {
            let told = self.status(&key()).await.rollback;
            let goes = told.is_some_and(|told| told.state == PartState::Progressing);
            goes && self.ready_reason().await == reason
        })
        .await;
        let told = self.rollback().await;
        assert_eq!((told.from, told.to), (2, Some(1)));
    }
}

/// `web` and `worker` on v2 as revision 1. Revision 2 failed in `worker`, and `worker` is on its way
/// back, which takes a minute; `web` runs what failed. No controller is running.
async fn on_the_way_back() -> World {
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    misbehave(&world, &json!([]));
    world.put(&both("bad")).await;
    world
        .runs_until(async || world.moves().len() == 3 && world.back(2).await.is_some())
        .await;
    assert_eq!(world.moves()[2], "worker -> worker:2");
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    world
}

/// Tasks of v2 take a minute, and those of `bad` crash in `worker`; and more.
fn misbehave(world: &World, more: &Value) {
    let mut all = json!([
        {"when": {"image": "web:bad", "container": "worker"}, "then": {"crash": {"after": "2s"}}},
        {"when": {"image": "web:v2"}, "then": {"healthy": {"after": "1m"}}},
    ]);
    let (Value::Array(all), Value::Array(more)) = (&mut all, more) else {
        panic!("two lists");
    };
    all.splice(0..0, more.iter().cloned());
    rules(world, &json!(all));
}

/// All moves but those of the failed release.
const BACK: [&str; 2] = ["worker -> worker:2", "web -> web:2"];

/// Revision 2 is undone, and revision 3 is the newest.
async fn is_back(world: &World) {
    world.runs_on("v2");
    assert_eq!(world.moves()[2..], BACK);
    assert_eq!(world.back(2).await, Some(RollbackState::Done));
    assert_eq!(world.status(&key()).await.rollback, None);
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_waits_for_its_window_does_not_stop_the_way_back() {
    let world = on_the_way_back().await;
    let mut fix = both("v3");
    let night = json!({"windows": {"allow": [{"cron": "0 12 * * *", "duration": "1h"}]}});
    merge(&mut fix["spec"], &night);
    world.put(&fix).await;
    world.goes_back_beside("WindowClosed").await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    is_back(&world).await;
    let states = world.services(&key()).await;
    assert!(
        states.values().all(|it| *it == PartState::Done),
        "{states:?}"
    );
    world.stays(&held("WindowClosed")).await;

    // What everything is back on is looked after until then.
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.run(&key()).await, held("WindowClosed"));
    let drifted = world.is(&key(), ConditionType::Drifted).await;
    assert_eq!(drifted, Some(ConditionStatus::True));

    pass(minutes(120)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v3");
}

#[tokio::test(start_paused = true)]
async fn a_fix_whose_image_is_not_there_does_not_stop_the_way_back() {
    let world = on_the_way_back().await;
    world.put(&both("v9")).await;
    world.goes_back_beside("ImagePending").await;
    assert_eq!(world.settle(&key()).await, stalled("ImageNotFound"));
    world.runs_on("v2");
    assert_eq!(world.moves()[2..], BACK);
    world.stays(&stalled("ImageNotFound")).await;

    push(&world, "v9", "v9");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v9");
    assert_eq!(world.outcome(3).await, RevisionOutcome::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_fix_from_a_repository_that_does_not_exist_does_not_stop_the_way_back() {
    let world = on_the_way_back().await;
    let mut fix = both("v3");
    let repository = fix["spec"]["images"]["web"]["repository"].to_string();
    let typo = repository.replace("/web", "/wbe").replace('"', "");
    fix["spec"]["images"]["web"]["repository"] = json!(typo);
    world.put(&fix).await;
    assert_eq!(world.settle(&key()).await, stalled("RepositoryNotFound"));
    world.runs_on("v2");
    assert_eq!(world.moves()[2..], BACK);
    world.stays(&stalled("RepositoryNotFound")).await;
}

/// The fix, whose migration runs again.
fn migrating(tag: &str) -> Value {
    let mut fix = both(tag);
    fix["spec"]["migrations"][0]["epoch"] = json!(tag);
    fix
}

#[tokio::test(start_paused = true)]
async fn a_fix_whose_migration_fails_does_not_stop_the_way_back() {
    let world = on_the_way_back().await;
    let fails =
        json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s", "exitCode": 3}}}]);
    misbehave(&world, &fails);
    world.put(&migrating("v3")).await;
    assert_eq!(world.settle(&key()).await, stalled("MigrationFailed"));
    is_back(&world).await;
    world.stays(&stalled("MigrationFailed")).await;

    misbehave(&world, &json!([]));
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v3");
    assert_eq!(world.sent("RunTask").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fix_whose_migration_takes_its_time_takes_over_after_it() {
    let world = on_the_way_back().await;
    let long = json!([{"when": {"family": "job"}, "then": {"exit": {"after": "20m"}}}]);
    misbehave(&world, &long);
    world.put(&migrating("v3")).await;
    world.goes_back_beside("MigrationRunning").await;
    world.run_for(minutes(10)).await;
    is_back(&world).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v3");
    assert_eq!(world.moves().len(), 6, "{:?}", world.moves());
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_keeps_the_fix_back_does_not_stop_the_way_back() {
    let world = shop(Breaker::Stop).await;
    alarm(&world, "errors", "OK");
    let watched = |tag: &str| {
        let mut object = both(tag);
        let alarms = json!({"rollout": {"alarms": ["errors"]}});
        merge(&mut object["spec"]["services"][0], &alarms);
        object
    };
    world.put(&watched("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    misbehave(&world, &json!([]));
    world.put(&watched("bad")).await;
    world.runs_until(async || world.moves().len() == 2).await;
    alarm(&world, "errors", "ALARM");
    world.runs_until(async || world.moves().len() == 3).await;
    world.put(&watched("v3")).await;
    world.goes_back_beside("AlarmActive").await;
    world.run_for(minutes(5)).await;
    is_back(&world).await;
    alarm(&world, "errors", "OK");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v3");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_back_to_may_be_applied_again_and_needs_no_approval() {
    let world = on_the_way_back().await;
    let asks = environment(&json!({"approval": "required"}));
    world.put(&asks).await;
    world.put(&both("v2")).await;
    world.goes_back_beside("ApprovalPending").await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    is_back(&world).await;
    world.stays(&Stands::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_takes_over_is_not_fought_with() {
    let world = on_the_way_back().await;
    world.put(&both("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v3");
    let moves = world.moves();
    assert_eq!(moves[3..], ["web -> web:4", "worker -> worker:4"]);
    world.stays(&Stands::Ready).await;
}

/// `web` and then `worker`, which follow `latest`, where each revision has to be approved.
fn followed() -> Value {
    let mut worker = service("worker");
    worker["dependsOn"] = json!(["web"]);
    let spec = json!({"services": [service("web"), worker], "approval": "required"});
    let mut object = release("web", "latest", &spec);
    object["spec"]["images"]["web"]["follow"] = json!(true);
    object
}

/// Revision 1 is Ready on v2. Revision 2, which is this tag, was approved and moved `web`; then v4 was
/// pushed, which nobody approved.
async fn in_the_middle_of(tag: &str) -> World {
    let world = shop(Breaker::Stop).await;
    push(&world, "latest", "v2");
    world.put(&followed()).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approves(1).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "2m"}}}]);
    misbehave(&world, &slow);
    push(&world, "latest", tag);
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approves(2).await;
    world.sandbox.reset_calls();
    world.runs_until(async || !world.moves().is_empty()).await;
    push(&world, "latest", "v4");
    world
}

impl World {
    async fn approves(&self, revision: u64) {
        self.request(&key(), RequestKind::Approve { revision })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_finished_while_the_next_revision_is_held() {
    let world = in_the_middle_of("v3").await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.runs_on("v3");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Ready);
    assert_eq!(world.outcome(3).await, RevisionOutcome::Pending);
    let status = world.status(&key()).await;
    assert_eq!((status.revision, status.ready_revision), (Some(3), Some(2)));
    world.stays(&held("ApprovalPending")).await;
    world.approves(3).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v4");
    assert_eq!(world.moves().len(), 4, "{:?}", world.moves());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_fails_goes_back_while_the_next_revision_is_held() {
    let world = in_the_middle_of("bad").await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.runs_on("v2");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Rejected);
    assert_eq!(world.back(2).await, Some(RollbackState::Done));
    world.stays(&held("ApprovalPending")).await;
    world.approves(3).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v4");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_approved_in_the_middle_of_another_takes_its_place() {
    let world = in_the_middle_of("v3").await;
    world
        .runs_until(async || world.status(&key()).await.revision == Some(3))
        .await;
    assert_eq!(world.outcome(2).await, RevisionOutcome::Pending);
    world.approves(3).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v4");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Superseded);
    let moves = world.moves();
    assert_eq!(
        moves,
        ["web -> web:3", "web -> web:4", "worker -> worker:4"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_finished_while_the_image_of_the_next_release_is_not_there() {
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "2m"}}}]);
    misbehave(&world, &slow);
    world.put(&both("v3")).await;
    world.runs_until(async || !world.moves().is_empty()).await;
    world.put(&both("v9")).await;
    assert_eq!(world.settle(&key()).await, stalled("ImageNotFound"));
    world.runs_on("v3");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Ready);
    push(&world, "v9", "v9");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v9");
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_a_wave_the_last_one_wins_after_its_migration() {
    let world = shop(Breaker::Stop).await;
    world.put(&both("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    let slow = json!([
        {"when": {"image": "web:v3"}, "then": {"healthy": {"after": "2m"}}},
        {"when": {"family": "job"}, "then": {"exit": {"after": "1m"}}},
    ]);
    misbehave(&world, &slow);
    world.put(&migrating("v3")).await;
    world.runs_until(async || !world.moves().is_empty()).await;
    world.put(&migrating("v4")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.runs_on("v4");
    assert_eq!(world.outcome(2).await, RevisionOutcome::Superseded);
    assert_eq!(world.sent("RunTask").len(), 2);
    let moves = world.moves();
    assert_eq!(
        moves,
        ["web -> web:3", "web -> web:4", "worker -> worker:4"]
    );
}

/// `web` for itself, and `worker` before `api`; and their families.
fn three(world: &World) -> impl Fn(&str) -> Value {
    register(world, "api", "v1", &json!({}));
    create_service(world, "api", Breaker::Stop, &json!({}));
    |tag: &str| {
        let mut api = service("api");
        api["dependsOn"] = json!(["worker"]);
        let services = json!([service("web"), service("worker"), api]);
        release("web", tag, &json!({ "services": services }))
    }
}

#[tokio::test(start_paused = true)]
async fn one_service_that_does_not_get_back_keeps_no_other_from_it() {
    let world = shop(Breaker::Stop).await;
    let three = three(&world);
    pass(minutes(2)).await;
    world.put(&three("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    rules(
        &world,
        &json!([
            {"when": {"image": "web:bad", "container": "api"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:v2", "container": "web"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:v2", "container": "api"}, "then": {"healthy": {"after": "3m"}}},
        ]),
    );
    world.put(&three("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RollbackFailed"));
    world.is_left_with("web").await;
    for name in ["worker", "api"] {
        assert_eq!(world.image_of(name), pinned(&world, "v2"), "{name}");
    }
    let why = world.why(&key()).await;
    assert!(why.contains("evenkeel rollback shop/web --to 1"), "{why}");
    world.stays(&stalled("RollbackFailed")).await;

    // Somebody finds out why, and deploys it once more.
    rules(&world, &json!([]));
    let again = json!({"cluster": CLUSTER, "service": "web", "forceNewDeployment": true});
    world.aws("ecs", "UpdateService", again);
    pass(minutes(5)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let states = world.services(&key()).await;
    assert!(
        states.values().all(|it| *it == PartState::Done),
        "{states:?}"
    );
    world.stays(&stalled("RolledBack")).await;
}

impl World {
    /// Which service alone did not get back.
    async fn is_left_with(&self, service: &str) {
        for (name, state) in self.services(&key()).await {
            let expected = match name == service {
                true => PartState::Failed,
                false => PartState::Done,
            };
            assert_eq!(state, expected, "{name}");
        }
        let revisions = self.ledger(&key()).await.revisions;
        let rollback = revisions[&2].rollback.as_ref().expect("it went back");
        assert_eq!(rollback.failed, [service]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_takes_too_long_is_gone_on_with_when_it_comes_to_its_end() {
    let world = shop(Breaker::Stop).await;
    let two = |tag: &str| {
        let mut worker = service("worker");
        worker["dependsOn"] = json!(["web"]);
        release("web", tag, &json!({"services": [service("web"), worker]}))
    };
    world.put(&two("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let slow = json!([
        {"when": {"image": "web:v2", "container": "worker"}, "then": {"healthy": {"after": "20m"}}},
    ]);
    misbehave(&world, &slow);
    world.put(&two("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RollbackFailed"));
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    world
        .stays_for(minutes(10), &stalled("RollbackFailed"))
        .await;
    pass(minutes(10)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.runs_on("v2");
    world.stays(&stalled("RolledBack")).await;
}

impl World {
    async fn stays_for(&self, time: std::time::Duration, stands: &Stands) {
        let before = self.writes().len();
        let now = self.resync(&key(), time, minutes(5)).await;
        assert_eq!(now, *stands);
        assert_eq!(self.writes()[before..], [] as [String; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_runs_for_an_hour_sees_one_failure_and_one_rollback() {
    let world = ready(Breaker::Rollback).await;
    let before = world.deployments("web").len();
    world.put(&web("bad")).await;
    world.run_for(minutes(15)).await;
    assert_eq!(world.ready_reason().await, "RolledBack");
    let writes = world.writes().len();
    world.run_for(minutes(45)).await;
    assert_eq!(world.writes().len(), writes);
    assert_eq!(world.moves(), ["web -> web:3"]);
    let deployments = world.deployments("web");
    assert_eq!(deployments.len(), before + 1);
    assert_eq!(deployments[0], "ROLLBACK_SUCCESSFUL");
    assert_eq!(world.ready_reason().await, "RolledBack");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_back_to_what_a_person_left() {
    let world = ready(Breaker::Stop).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    misbehave(&world, &json!([]));
    let back = RequestKind::Rollback {
        to: 1,
        force: false,
    };
    world.request(&key(), back).await;
    world
        .runs_until(async || world.ledger(&key()).await.revisions.contains_key(&3))
        .await;
    crash(&world, "bad");
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.outcome(3).await, RevisionOutcome::Superseded);
    assert_eq!(world.rollback().await.to, Some(1));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_a_person_has_to_open_is_not_asked_after_all_the_time() {
    let world = on_the_way_back().await;
    let other = environment(&json!({"allow": {"services": ["web"]}}));
    world.put(&other).await;
    world.run_for(minutes(5)).await;
    assert_eq!(world.ready_reason().await, "NotAllowed");
    world.sandbox.reset_calls();
    world.run_for(minutes(20)).await;
    let asked = world.called("ecs.DescribeServices");
    assert!(asked <= 8, "{asked}");
    assert_eq!(world.writes(), [] as [String; 0]);
    world
        .put(&environment(&json!({"allow": {"services": ["*"]}})))
        .await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.runs_on("v2");

    world.deny(&["ecs:DescribeServices"]);
    world.run_for(minutes(5)).await;
    assert_eq!(world.ready_reason().await, "AccessDenied");
    world.sandbox.reset_calls();
    world.run_for(minutes(20)).await;
    let asked = world.called("ecs.DescribeServices");
    assert!(asked <= 8, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn what_everything_is_back_on_may_be_applied_at_any_time() {
    let world = ready(Breaker::Stop).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let never = json!({"windows": {"deny": [{"cron": "0 0 * * *", "duration": "25h"}]}});
    world.put(&environment(&never)).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    let moves = world.moves().len();
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), moves);
}
