//! Services: rollouts that succeed, fail, are overtaken, and wait for each other.

mod definitions;
mod unread;

use std::time::Duration;

use evenkeel::model::ledger::RevisionOutcome;
use evenkeel::resource::conditions::ConditionType;
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::PartState;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, arn, crash, create_service, definition, digest, key, merge, minutes,
    pass, pinned, push, ready, register, release, rules, schedule, seconds, service, shop, stalled,
    web,
};
use crate::world::World;

async fn outcome(world: &World, number: u64) -> RevisionOutcome {
    world.ledger(&key()).await.revisions[&number].outcome
}

/// How often the definition that fails was tried.
fn tries(world: &World) -> usize {
    let moves = world.moves();
    moves.iter().filter(|it| *it == "web -> web:3").count()
}

/// Runs the controller while somebody does something at a moment of it.
async fn while_running(world: &World, after: Duration, act: impl FnOnce()) -> Stands {
    let acting = async {
        pass(after).await;
        act();
    };
    beside(world, acting).await
}

/// Runs the controller beside something else.
async fn beside(world: &World, other: impl Future<Output = ()>) -> Stands {
    let key = key();
    let (stands, ()) = tokio::join!(world.run(&key), other);
    stands
}

#[tokio::test(start_paused = true)]
async fn a_service_runs_the_digest_and_keeps_the_rest_of_its_definition() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves(), ["web -> web:2"]);
    assert_eq!(world.runs(CLUSTER, "worker"), "worker:1");
    let status = world.status(&key()).await;
    assert_eq!(status.services[0].state, PartState::Done);
    assert_eq!(status.services[0].task_definition, Some(arn("web:2")));
    assert_eq!(status.images["web"].digest, Some(digest(&world, "v2")));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_the_breaker_rolls_back_is_not_tried_again() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    let stands = world.resync(&key(), minutes(300), minutes(30)).await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(outcome(&world, 2).await, RevisionOutcome::Rejected);
    let why = world.why(&key()).await;
    assert!(why.contains("circuit breaker"), "{why}");
    assert!(why.contains("evenkeel retry shop/web"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_the_time_limit_decides() {
    let world = ready(Breaker::Off).await;
    world.put(&web("bad")).await;
    let before = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let took = world.sandbox.now().duration_since(before).as_mins();
    assert!((6..8).contains(&took), "{took}");
    let stands = world.resync(&key(), minutes(120), minutes(30)).await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    let why = world.why(&key()).await;
    assert!(why.contains("6m"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_only_stops_rejects_too() {
    let world = ready(Breaker::Stop).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let stands = world.resync(&key(), minutes(120), minutes(30)).await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3", "web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_stopped_by_hand_is_rejected() {
    let world = ready(Breaker::Off).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "3m"}}}]),
    );
    world.put(&web("v3")).await;
    let stands = while_running(&world, seconds(60), || {
        let listed = world.aws(
            "ecs",
            "ListServiceDeployments",
            json!({"cluster": CLUSTER, "service": "web"}),
        );
        let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
        let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
        world.aws("ecs", "StopServiceDeployment", input);
    })
    .await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    assert_eq!(world.moves(), ["web -> web:3"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_tries_once_more_and_may_succeed() {
    for breaker in [Breaker::Rollback, Breaker::Stop, Breaker::Off] {
        let world = ready(breaker).await;
        world.put(&web("bad")).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        world.retry(&key()).await;
        assert_eq!(
            world.settle(&key()).await,
            stalled("RolledBack"),
            "{breaker:?}"
        );
        assert_eq!(tries(&world), 2, "{breaker:?}");

        crash(&world, "nothing");
        world.retry(&key()).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{breaker:?}");
        assert_eq!(tries(&world), 3, "{breaker:?}");
        assert_eq!(world.image_of("web"), pinned(&world, "bad"));
        assert_eq!(outcome(&world, 2).await, RevisionOutcome::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fix_after_a_rejection_goes_out_and_the_rejected_content_stays_out() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));

    // Also under another generation that says the same.
    world.sandbox.reset_calls();
    let mut same = web("bad");
    same["spec"]["revisionHistoryLimit"] = json!(5);
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn another_revision_with_what_failed_before_is_tried_once() {
    for breaker in [Breaker::Rollback, Breaker::Stop, Breaker::Off] {
        let world = ready(breaker).await;
        world.put(&web("bad")).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        let mut other = web("bad");
        other["spec"]["schedules"] = json!([schedule("nightly", "rate(1 day)")]);
        world.put(&other).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(tries(&world), 2, "{breaker:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_deployment_is_waited_for() {
    let world = ready(Breaker::Off).await;
    let hotfix = register(&world, "web", "v4", &json!({"memory": "1024"}));
    rules(
        &world,
        &json!([{"when": {"image": "web:v4"}, "then": {"healthy": {"after": "3m"}}}]),
    );
    world.by_hand("web", &hotfix);
    world.put(&web("v3")).await;
    let stands = beside(&world, async {
        pass(minutes(2)).await;
        assert_eq!(world.moves(), [] as [&str; 0]);
        let told = world.condition(&key(), ConditionType::Reconciling).await;
        assert_eq!(told.expect("at work").reason, "ForeignDeployment");
    })
    .await;
    assert_eq!(stands, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    // Planned afresh: from what the other one brought.
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "1024");
    assert_eq!(world.moves().len(), 1);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_somebody_overtakes_is_no_rejection() {
    let world = ready(Breaker::Off).await;
    let slow = |tag: &str| json!({"when": {"image": format!("web:{tag}")}, "then": {"healthy": {"after": "3m"}}});
    rules(&world, &json!([slow("v3"), slow("v4")]));
    let hotfix = register(&world, "web", "v4", &json!({}));
    world.put(&web("v3")).await;
    let stands = beside(&world, async {
        pass(minutes(1)).await;
        assert_eq!(world.moves().len(), 1);
        world.by_hand("web", &hotfix);
        // The other's deployment takes until 4m; nothing is written over it.
        pass(minutes(2)).await;
        assert_eq!(world.moves().len(), 1, "{:?}", world.moves());
    })
    .await;
    assert_eq!(stands, Stands::Ready);
    assert_eq!(world.moves().len(), 2);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_deployment_that_never_ends_stalls() {
    let world = ready(Breaker::Off).await;
    let broken = register(&world, "web", "bad", &json!({}));
    world.by_hand("web", &broken);
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, stalled("ForeignDeployment"));
    assert_eq!(world.moves(), [] as [&str; 0]);
    // Once it is over, the release goes on by itself.
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_preempts_a_rollout_at_once() {
    for breaker in [Breaker::Off, Breaker::Rollback] {
        let world = ready(breaker).await;
        world.put(&web("bad")).await;
        let stands = beside(&world, async {
            // Long enough for the breaker to trip and for ECS to be rolling back.
            for _ in 0..600 {
                pass(seconds(1)).await;
                let state = primary(&world, "web");
                let tripped = state["taskDefinition"] == arn("web:2").as_str();
                if world.moves().len() == 1 && (breaker == Breaker::Off || tripped) {
                    break;
                }
            }
            world.put(&web("v3")).await;
            pass(seconds(30)).await;
            assert_eq!(world.moves().len(), 2, "{breaker:?} {:?}", world.moves());
        })
        .await;
        assert_eq!(stands, Stands::Ready, "{breaker:?}");
        assert_eq!(world.image_of("web"), pinned(&world, "v3"));
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.moves().len(), 2);
    }
}

fn primary(world: &World, service: &str) -> Value {
    let input = json!({"cluster": CLUSTER, "services": [service]});
    world.aws("ecs", "DescribeServices", input)["services"][0]["deployments"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn services_go_in_waves() {
    let world = shop(Breaker::Rollback).await;
    let mut worker = service("worker");
    worker["dependsOn"] = json!(["web"]);
    // The one that waits comes first in the manifest.
    let both = json!({"services": [worker, service("web")]});
    world.put(&release("web", "v2", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2", "worker -> worker:2"]);
    let log = world.sandbox.log();
    let moved: Vec<_> = log
        .iter()
        .filter(|call| call.client && call.operation == "UpdateService")
        .map(|call| call.at)
        .collect();
    assert!(moved[1].duration_since(moved[0]).as_secs() > 10);

    // A first wave that fails holds the second back.
    world.sandbox.reset_calls();
    world.put(&release("web", "bad", &both)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.runs(CLUSTER, "worker"), "worker:2");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_rolled_out_stops_everything_before_it_begins() {
    let cases: [(&str, Value, &str); 4] = [
        ("absent", json!(null), "ServiceNotFound"),
        ("gone", json!({}), "ServiceNotActive"),
        (
            "green",
            json!({"deploymentController": {"type": "CODE_DEPLOY"}}),
            "CodeDeployNotDeclared",
        ),
        (
            "outer",
            json!({"deploymentController": {"type": "EXTERNAL"}}),
            "UnsupportedDeploymentController",
        ),
    ];
    for (name, more, reason) in cases {
        let world = shop(Breaker::Off).await;
        if !more.is_null() {
            let mut input = json!({"taskDefinition": "web"});
            merge(&mut input, &more);
            create_service(&world, name, Breaker::Off, &input);
        }
        if name == "gone" {
            pass(minutes(2)).await;
            let input = json!({"cluster": CLUSTER, "service": name, "force": true});
            world.aws("ecs", "DeleteService", input);
            pass(minutes(2)).await;
        }
        let broken = json!({"name": name, "images": {"web": "web"}});
        let spec = json!({
            "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
            "services": [service("web"), broken],
        });
        world.put(&release("web", "v2", &spec)).await;
        assert_eq!(world.settle(&key()).await, stalled(reason), "{name}");
        assert_eq!(world.aws_writes(), [] as [&str; 0], "{name}");
        let why = world.why(&key()).await;
        assert!(why.contains(name), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_without_tasks_moves_too() {
    let world = shop(Breaker::Rollback).await;
    let input = json!({"cluster": CLUSTER, "service": "web", "desiredCount": 0});
    world.aws("ecs", "UpdateService", input);
    pass(minutes(2)).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    // The number of tasks is not evenkeel's.
    assert_eq!(
        world.sent("UpdateService")[0]
            .as_object()
            .map(|it| it.len()),
        Some(3)
    );
}

#[tokio::test(start_paused = true)]
async fn equal_content_of_two_releases_is_registered_once() {
    let world = shop(Breaker::Rollback).await;
    let spec = json!({"schedules": [schedule("nightly", "rate(1 day)")]});
    world.put(&release("web", "v2", &spec)).await;
    world.put(&release("other", "v2", &spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(
        world.settle(&ReleaseKey::new("shop", "other")).await,
        Stands::Ready
    );
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_belongs_to_one_release() {
    let world = ready(Breaker::Rollback).await;
    let second = ReleaseKey::new("shop", "second");
    world
        .put(&release(
            "second",
            "v3",
            &json!({"services": [service("web")]}),
        ))
        .await;
    assert_eq!(world.settle(&second).await, stalled("Conflict"));
    let why = world.why(&second).await;
    assert!(why.contains("shop/web"), "{why}");
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));

    let now = world.sandbox.now();
    world
        .store
        .delete_release(&key(), false, now)
        .await
        .expect("deletes");
    world.run_once().await.expect("runs");
    assert_eq!(world.settle(&second).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_every_deployment_failed_starts_from_what_it_runs() {
    let world = shop(Breaker::Off).await;
    register(&world, "fresh", "bad", &json!({}));
    create_service(&world, "fresh", Breaker::Stop, &json!({}));
    pass(minutes(5)).await;
    let fresh = json!({"services": [{"name": "fresh", "images": {"fresh": "web"}}]});
    world.put(&release("web", "v2", &fresh)).await;
    let plan = world.reconciler().preview(&key()).await.expect("plans");
    let warning = "no deployment of fresh is known to have succeeded";
    let mut reasons = plan.actions.iter().map(|action| &action.reason);
    assert!(reasons.any(|reason| reason.contains(warning)), "{plan:?}");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("fresh"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_hand_made_deployment_is_no_base() {
    let world = ready(Breaker::Stop).await;
    let mut broken = definition("web", "bad", &json!({"memory": "1024"}));
    broken["containerDefinitions"][0]["command"] = json!(["broken"]);
    world.aws("ecs", "RegisterTaskDefinition", broken);
    world.by_hand("web", "web:3");
    pass(minutes(5)).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "512");
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_in_the_middle_does_not_change_what_goes_out() {
    let world = shop(Breaker::Rollback).await;
    let before = pinned(&world, "v2");
    let mut worker = service("worker");
    worker["dependsOn"] = json!(["web"]);
    let both = json!({"services": [service("web"), worker]});
    world.put(&release("web", "v2", &both)).await;
    let stands = while_running(&world, seconds(20), || push(&world, "v2", "moved")).await;
    assert_eq!(stands, Stands::Ready);
    assert_eq!(world.image_of("web"), before);
    assert_eq!(world.image_of("worker"), before);
}
