//! A rollout that fails takes the whole release back to what it ran before, once.

mod dying;
mod unusual;

use evenkeel::model::ledger::RevisionOutcome;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{Cause, PartState, RollbackStatus};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, crash, create_service, delivered, key, merge, minutes, pass, pinned,
    ready, register, release, repository, rules, schedule, seconds, service, shop, stalled, web,
};
use crate::world::World;

/// Rule of the schedule `nightly`.
const RULE: &str = "shop-web-nightly";

/// `web`, then `worker`, beside a migration whose image stays the same.
pub fn both(tag: &str) -> Value {
    let mut worker = service("worker");
    worker["dependsOn"] = json!(["web"]);
    let migration = json!({
        "name": "migrate", "taskDefinition": {"family": "job"}, "images": {"job": "job"},
    });
    release(
        "web",
        tag,
        &json!({
            "images": {"job": {"repository": repository(), "tag": "v1"}},
            "migrations": [migration],
            "services": [web("v1")["spec"]["services"][0], worker],
            "schedules": [schedule("nightly", "rate(1 day)")],
        }),
    )
}

/// Tasks of an image tag crash in the service `worker` only.
pub fn crash_of_worker(world: &World, tag: &str) {
    rules(
        world,
        &json!([{"when": {"image": format!("web:{tag}"), "container": "worker"},
                 "then": {"crash": {"after": "2s"}}}]),
    );
}

/// The same release with another rollout of `web`.
fn with_rollout(mut object: Value, rollout: Value) -> Value {
    merge(
        &mut object["spec"]["services"][0],
        &json!({"rollout": rollout}),
    );
    object
}

impl World {
    /// Where a failed revision led back to.
    pub async fn rollback(&self) -> RollbackStatus {
        let status = self.status(&key()).await;
        status.rollback.expect("it says where it led")
    }

    /// For an hour nothing is written any more.
    pub async fn stays(&self, stands: &Stands) {
        let before = self.writes().len();
        let now = self.resync(&key(), minutes(60), minutes(5)).await;
        assert_eq!(now, *stands);
        assert_eq!(self.writes()[before..], [] as [String; 0], "in an hour");
    }

    /// How each deployment of a service ended, newest first.
    pub fn deployments(&self, name: &str) -> Vec<String> {
        let input = json!({"cluster": CLUSTER, "service": name});
        let answer = self.aws("ecs", "ListServiceDeployments", input);
        let listed = answer["serviceDeployments"]
            .as_array()
            .into_iter()
            .flatten();
        listed
            .map(|found| found["status"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn scheduled_image(&self) -> String {
        let arn = self.targets(RULE)[0]["EcsParameters"]["TaskDefinitionArn"].clone();
        self.image_in(arn.as_str().expect("an ARN"), "job")
    }

    /// Runs the controller until something is so.
    pub async fn runs_until(&self, mut so: impl AsyncFnMut() -> bool) {
        let controller = self.controller();
        let waiting = async {
            for _ in 0..36_000 {
                pass(std::time::Duration::from_millis(100)).await;
                if so().await {
                    return;
                }
            }
            panic!("an hour: {:#?}", self.status(&key()).await);
        };
        controller.run(waiting).await.expect("runs");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_breaker_rolls_back_is_not_rolled_back_twice() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    assert_eq!(world.deployments("web")[0], "ROLLBACK_SUCCESSFUL");
    let why = world.why(&key()).await;
    for part in [
        "generation 2 (revision 2)",
        "service/web",
        "circuit breaker",
        "revision 1",
        "release a fix",
        "evenkeel retry shop/web",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let told = world.rollback().await;
    assert_eq!((told.from, told.generation, told.to), (2, 2, Some(1)));
    assert_eq!(
        (told.cause, told.state),
        (Cause::CircuitBreaker, PartState::Done)
    );
    let ready = world.is(&key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::False));
    let ledger = world.ledger(&key()).await;
    let rejected = &ledger.revisions[&2];
    assert_eq!(rejected.outcome, RevisionOutcome::Rejected);
    assert_eq!(rejected.cause, Some(Cause::CircuitBreaker));
    world.stays(&stalled("RolledBack")).await;
    assert_eq!(world.deployments("web").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_only_stops_is_gone_on_from() {
    let world = ready(Breaker::Stop).await;
    world.put(&web("bad")).await;
    world
        .runs_until(async || {
            let told = world.condition(&key(), ConditionType::Reconciling).await;
            told.is_some_and(|told| told.reason == "RollingBack")
        })
        .await;
    let told = world.rollback().await;
    assert_eq!((told.to, told.state), (Some(1), PartState::Progressing));
    assert_eq!(world.is(&key(), ConditionType::Stalled).await, None);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_time_limit_ecs_is_asked_to_stop_and_goes_back() {
    let world = ready(Breaker::Off).await;
    world.put(&web("bad")).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!((6..9).contains(&took), "{took}");
    assert_eq!(world.sent("StopServiceDeployment").len(), 1);
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    assert_eq!(world.deployments("web")[0], "ROLLBACK_SUCCESSFUL");
    assert_eq!(world.rollback().await.cause, Cause::Timeout);
    let why = world.why(&key()).await;
    assert!(why.contains("within 6m"), "{why}");
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_may_not_be_stopped_is_overtaken() {
    let world = ready(Breaker::Off).await;
    world.deny(&["ecs:StopServiceDeployment"]);
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
    assert_eq!(world.rollback().await.cause, Cause::Timeout);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_somebody_stops_takes_the_release_back() {
    let world = ready(Breaker::Off).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "3m"}}}]),
    );
    world.put(&web("v3")).await;
    world.runs_until(async || !world.moves().is_empty()).await;
    world.run_for(seconds(20)).await;
    let input = json!({"cluster": CLUSTER, "service": "web"});
    let listed = world.aws("ecs", "ListServiceDeployments", input);
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
    world.aws("ecs", "StopServiceDeployment", input);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.rollback().await.cause, Cause::Stopped);
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn tasks_that_find_no_place_take_the_release_back() {
    for breaker in [Breaker::Off, Breaker::Rollback] {
        let world = ready(breaker).await;
        let rule = json!([{"when": {"image": "web:v3"}, "then": {"cannotPlace": {}}}]);
        rules(&world, &rule);
        world.put(&web("v3")).await;
        assert_eq!(
            world.settle(&key()).await,
            stalled("RolledBack"),
            "{breaker:?}"
        );
        assert_eq!(world.moves(), ["web -> web:3"], "{breaker:?}");
        assert_eq!(world.runs(CLUSTER, "web"), "web:2", "{breaker:?}");
        world.stays(&stalled("RolledBack")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_release_goes_back_to_what_ran_before_it() {
    let world = shop(Breaker::Stop).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:2", "web -> web:1"]);
    assert_eq!(world.rollback().await.to, Some(0));
    let why = world.why(&key()).await;
    assert!(why.contains("before evenkeel's first write"), "{why}");
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn what_did_not_run_well_before_is_nothing_to_go_back_to() {
    let world = shop(Breaker::Off).await;
    register(&world, "fresh", "bad", &json!({}));
    create_service(&world, "fresh", Breaker::Stop, &json!({}));
    pass(minutes(5)).await;
    crash(&world, "*");
    let fresh = json!({"services": [{"name": "fresh", "images": {"fresh": "web"}}]});
    world.put(&release("web", "v3", &fresh)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves(), ["fresh -> fresh:2"]);
    assert_eq!(world.rollback().await.to, None);
    world.stays(&stalled("RolloutFailed")).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_service_takes_the_first_one_back() {
    for breaker in [Breaker::Rollback, Breaker::Stop] {
        let world = shop(breaker).await;
        world.put(&both("v2")).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        world.sandbox.reset_calls();
        crash_of_worker(&world, "bad");
        world.put(&both("bad")).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        let moves = world.moves();
        assert_eq!(moves[..2], ["web -> web:3", "worker -> worker:3"]);
        // What ECS brought back itself is left to it; what depends on others goes first.
        match breaker {
            Breaker::Rollback => assert_eq!(moves[2..], ["web -> web:2"]),
            _ => assert_eq!(moves[2..], ["worker -> worker:2", "web -> web:2"]),
        }
        for name in ["web", "worker"] {
            assert_eq!(world.image_of(name), pinned(&world, "v2"), "{name}");
        }
        assert_eq!(world.scheduled_image(), pinned(&world, "v2"));
        let states = world.services(&key()).await;
        assert!(
            states.values().all(|it| *it == PartState::Done),
            "{states:?}"
        );
        world.stays(&stalled("RolledBack")).await;
        assert_eq!(world.moves().len(), moves.len());

        world.put(&both("v3")).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("worker"), pinned(&world, "v3"));
        assert_eq!(world.scheduled_image(), pinned(&world, "v3"));
        assert_eq!(world.status(&key()).await.rollback, None);
        let ran = world.sent("RunTask");
        assert!(ran.is_empty(), "the migration ran again: {ran:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_is_on_its_way_is_turned_back_at_once() {
    let world = shop(Breaker::Rollback).await;
    let two = |tag: &str| {
        let services = json!({"services": [service("web"), service("worker")]});
        release("web", tag, &services)
    };
    world.put(&two("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    rules(
        &world,
        &json!([
            {"when": {"image": "web:bad", "container": "worker"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:bad", "container": "web"}, "then": {"healthy": {"after": "5m"}}},
        ]),
    );
    world.put(&two("bad")).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!(took < 5, "{took}");
    assert_eq!(
        world.moves(),
        ["web -> web:3", "worker -> worker:3", "web -> web:2"]
    );
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn schedules_go_back_with_the_services() {
    let world = delivered(&both("v2")).await;
    // The next release gets as far as the schedule's rule, not to its target.
    let mut next = both("v3");
    next["spec"]["schedules"] = json!([schedule("nightly", "rate(2 days)")]);
    world.deny(&["events:PutTargets"]);
    world.put(&next).await;
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(2 days)");
    world.deny(&[]);
    crash_of_worker(&world, "bad");
    next["spec"]["images"]["web"]["tag"] = json!("bad");
    world.put(&next).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.rule(RULE)["ScheduleExpression"], "rate(1 day)");
    assert_eq!(world.scheduled_image(), pinned(&world, "v2"));
    for name in ["web", "worker"] {
        assert_eq!(world.image_of(name), pinned(&world, "v2"), "{name}");
    }
    assert_eq!(world.rollback().await.to, Some(1));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_new_goes_back_to_what_it_ran_before_it_was_declared() {
    let world = ready(Breaker::Stop).await;
    crash_of_worker(&world, "v3");
    let two = json!({"services": [service("web"), service("worker")]});
    world.put(&release("web", "v3", &two)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.runs(CLUSTER, "worker"), "worker:1");
    assert_eq!(world.rollback().await.to, Some(1));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn hold_leaves_everything_as_it_is() {
    let world = ready(Breaker::Off).await;
    let hold = with_rollout(web("bad"), json!({"onFailure": "Hold"}));
    world.put(&hold).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.runs(CLUSTER, "web"), "web:3");
    assert_eq!(world.sent("StopServiceDeployment").len(), 0);
    let told = world.rollback().await;
    assert_eq!((told.to, told.cause), (None, Cause::Timeout));
    world.stays(&stalled("RolloutFailed")).await;
}

#[tokio::test(start_paused = true)]
async fn hold_does_not_go_with_a_breaker_that_rolls_back() {
    let world = ready(Breaker::Rollback).await;
    let hold = with_rollout(web("v3"), json!({"onFailure": "Hold"}));
    world.put(&hold).await;
    assert_eq!(world.settle(&key()).await, stalled("BreakerRollsBack"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let why = world.why(&key()).await;
    for part in [
        "service/web",
        "deploymentCircuitBreaker",
        "breakerMayRollBack",
    ] {
        assert!(why.contains(part), "{why}");
    }
    let meant = json!({"onFailure": "Hold", "breakerMayRollBack": true});
    world.put(&with_rollout(web("v3"), meant)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_fails_is_left_to_a_person() {
    let world = ready(Breaker::Stop).await;
    crash(&world, "*");
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RollbackFailed"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
    assert_eq!(world.rollback().await.state, PartState::Failed);
    world.stays(&stalled("RollbackFailed")).await;

    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
    assert_eq!(world.moves().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_ecs_that_does_not_come_to_an_end_is_no_wait_without_end() {
    let world = ready(Breaker::Rollback).await;
    crash(&world, "bad");
    world.put(&web("bad")).await;
    world
        .runs_until(async || world.deployments("web")[0] != "SUCCESSFUL")
        .await;
    // All that ran the old image is gone, and what ECS starts instead never gets healthy.
    rules(
        &world,
        &json!([
            {"when": {"image": "web:v2"}, "then": {"healthy": {"after": "3h"}}},
            {"when": {"image": "web:bad"}, "then": {"crash": {"after": "2s"}}},
        ]),
    );
    for task in world.tasks_of(CLUSTER, "web") {
        let input = json!({"cluster": CLUSTER, "task": task});
        world.aws("ecs", "StopTask", input);
    }
    let before = world.sandbox.now();
    let stands = world.settle(&key()).await;
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!(took < 60, "{took}");
    assert_eq!(
        stands,
        stalled("RollbackFailed"),
        "{}",
        world.why(&key()).await
    );
    assert_eq!(world.moves(), ["web -> web:3"]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_overtakes_the_way_back() {
    let world = ready(Breaker::Stop).await;
    rules(
        &world,
        &json!([
            {"when": {"image": "web:bad"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:v2"}, "then": {"healthy": {"after": "5m"}}},
        ]),
    );
    world.put(&web("bad")).await;
    world.runs_until(async || world.moves().len() == 2).await;
    assert_eq!(world.moves()[1], "web -> web:2");
    world.put(&web("v3")).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!(took < 4, "{took}");
    assert_eq!(world.moves().len(), 3, "{:?}", world.moves());
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    world.stays(&Stands::Ready).await;
}

/// The same content under a spec that was not turned down itself.
fn bad_again() -> serde_json::Value {
    let mut again = web("bad");
    again["spec"]["revisionHistoryLimit"] = json!(5);
    again
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_stays_out_under_another_generation() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world.put(&bad_again()).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let told = world.rollback().await;
    assert_eq!((told.from, told.to), (4, Some(3)));
    world.stays(&stalled("RolledBack")).await;
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_another_rollout_what_was_rejected_goes_back_too() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "5m"}}}]);
    rules(&world, &slow);
    world.put(&web("v3")).await;
    world.sandbox.reset_calls();
    world.runs_until(async || !world.moves().is_empty()).await;
    world.put(&bad_again()).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:4", "web -> web:2"]);
    world.stays(&stalled("RolledBack")).await;
}
