//! Pause hooks: ECS waits for a person, and so does the release.

use evenkeel::resource::conditions::ConditionType;
use evenkeel::resource::status::{Cause, PartState};
use evenkeel::sandbox::Verdict;
use serde_json::{Value, json};

use super::{configured, rollout, say, says, told};
use crate::shop::{Stands, held, key, minutes, pass, pinned, seconds, stalled, web};
use crate::world::World;

fn paused(stages: &[&str]) -> Value {
    json!({
        "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1,
        "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": stages}],
    })
}

/// A service that waits for a person with v2.
async fn waiting(stages: &[&str]) -> World {
    let world = configured(paused(stages)).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
    world
}

const AFTER_TEST: &[&str] = &["POST_TEST_TRAFFIC_SHIFT"];

#[tokio::test(start_paused = true)]
async fn a_pause_waits_for_a_person_as_long_as_it_takes() {
    let world = waiting(AFTER_TEST).await;
    let part = told(&world).await;
    assert_eq!(part.state, PartState::Progressing);
    assert_eq!(part.stage.as_deref(), Some("POST_TEST_TRAFFIC_SHIFT"));
    let pause = part.pause.expect("it waits");
    assert!(pause.expires_at.is_some());
    assert_eq!(pause.timeout_action.as_deref(), Some("ROLLBACK"));
    let reconciling = world.condition(&key(), ConditionType::Reconciling).await;
    let reconciling = reconciling.expect("it is under way");
    assert_eq!(reconciling.reason, "WaitingForApproval");
    let command = "`evenkeel approve shop/web --service web`";
    assert!(reconciling.message.contains(command), "{reconciling:?}");

    // Far longer than the rollout may take by itself; and nothing is written meanwhile.
    world.sandbox.reset_calls();
    let stands = world.resync(&key(), minutes(300), minutes(15)).await;
    assert_eq!(stands, held("WaitingForApproval"));
    assert_eq!(world.writes(), Vec::<String>::new());
    assert_eq!(world.sent("StopServiceDeployment").len(), 0);

    says(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 1);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let answers = rollout(&world).await.answers;
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].by.as_str(), answers[0].rejected),
        ("ann", false)
    );
    assert_eq!(told(&world).await.pause, None);
}

#[tokio::test(start_paused = true)]
async fn each_pause_is_approved_by_itself() {
    let world = waiting(&["POST_SCALE_UP", "POST_PRODUCTION_TRAFFIC_SHIFT"]).await;
    let first = says(&world, false).await;
    assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
    let part = told(&world).await;
    assert_eq!(part.stage.as_deref(), Some("POST_PRODUCTION_TRAFFIC_SHIFT"));
    // What was said of the first says nothing of the second.
    say(&world, &first, false).await;
    assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 1);
    says(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_approved_twice_goes_on_once() {
    let world = waiting(AFTER_TEST).await;
    let hook = says(&world, false).await;
    say(&world, &hook, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 1);
    // Long afterwards it is nothing any more.
    say(&world, &hook, true).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_approval_outlives_the_controller() {
    for after in [false, true] {
        let world = waiting(AFTER_TEST).await;
        says(&world, false).await;
        world.dies_at("ContinueServiceDeployment", after).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{after}");
        assert_eq!(world.done("ecs.ContinueServiceDeployment").len(), 1);
        assert_eq!(rollout(&world).await.answers.len(), 1);
        let open = world.store.requests(&key()).await.expect("reads");
        assert!(open.is_empty(), "{open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_given_again_until_ecs_shows_it() {
    let world = waiting(AFTER_TEST).await;
    says(&world, false).await;
    world.breaks(
        "ContinueServiceDeployment",
        1,
        false,
        Verdict::ConnectionError,
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.done("ecs.ContinueServiceDeployment").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_told() {
    let world = waiting(AFTER_TEST).await;
    world.deny(&["ecs:ContinueServiceDeployment"]);
    says(&world, false).await;
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    let why = world.why(&key()).await;
    assert!(why.contains("ecs:ContinueServiceDeployment"), "{why}");
    world.deny(&[]);
    pass(minutes(1)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_wait_is_not_approved() {
    let world = waiting(AFTER_TEST).await;
    say(&world, "ecs-pause-of-another", false).await;
    assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
    assert_eq!(world.sent("ContinueServiceDeployment").len(), 0);
    let open = world.store.requests(&key()).await.expect("reads");
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_is_gone_back_from() {
    let world = waiting(AFTER_TEST).await;
    says(&world, true).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let sent = world.sent("ContinueServiceDeployment");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["action"], "ROLLBACK");
    assert_eq!(world.moves(), ["web -> web:2"]);
    assert_eq!(world.runs("shop", "web"), "web:1");
    let why = world.why(&key()).await;
    assert!(
        why.contains("ann rejected web:2 at POST_TEST_TRAFFIC_SHIFT"),
        "{why}"
    );
    let rollback = world.status(&key()).await.rollback.expect("a way back");
    assert_eq!(rollback.cause, Cause::Stopped);
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_and_ecs_goes_back() {
    let mut configuration = paused(AFTER_TEST);
    configuration["lifecycleHooks"][0]["timeoutConfiguration"] = json!({"timeoutInMinutes": 90});
    let world = configured(configuration).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
    pass(minutes(95)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.moves(), ["web -> web:2"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_answers_ecs_itself() {
    let world = waiting(AFTER_TEST).await;
    pass(minutes(120)).await;
    let hook = told(&world).await.pause.expect("it waits").hook;
    let records = world.aws(
        "ecs",
        "ListServiceDeployments",
        json!({"cluster": "shop", "service": "web"}),
    );
    let arn = &records["serviceDeployments"][0]["serviceDeploymentArn"];
    let input = json!({"serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE"});
    world.aws("ecs", "ContinueServiceDeployment", input);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

/// The service deployment that waits, and its hook, as ECS tells them.
fn waits(world: &World) -> (Value, Value) {
    let input = json!({"cluster": "shop", "service": "web"});
    let listed = world.aws("ecs", "ListServiceDeployments", input);
    let arn = listed["serviceDeployments"][0]["serviceDeploymentArn"].clone();
    let input = json!({"serviceDeploymentArns": [arn]});
    let told = world.aws("ecs", "DescribeServiceDeployments", input);
    let hook = &told["serviceDeployments"][0]["lifecycleHookDetails"][0];
    assert_eq!(hook["status"], "AWAITING_ACTION");
    (arn, hook["hookId"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_nobody_looked_at_is_no_time_of_the_rollout() {
    for stage in [
        "POST_SCALE_UP",
        "POST_TEST_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
    ] {
        for by_ecs in [true, false] {
            let world = configured(paused(&[stage])).await;
            world.put(&web("v2")).await;
            world.dies_at("UpdateService", true).await;
            pass(minutes(120)).await;
            assert_eq!(rollout(&world).await.paused, None);
            let (arn, hook) = waits(&world);
            match by_ecs {
                true => {
                    let input = json!({
                        "serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE",
                    });
                    world.aws("ecs", "ContinueServiceDeployment", input);
                }
                false => say(&world, hook.as_str().expect("an id"), false).await,
            }
            assert_eq!(
                world.settle(&key()).await,
                Stands::Ready,
                "{stage} {by_ecs}"
            );
            assert_eq!(
                world.sent("StopServiceDeployment").len(),
                0,
                "{stage} {by_ecs}"
            );
            assert_eq!(world.image_of("web"), pinned(&world, "v2"));
            assert_eq!(world.moves(), ["web -> web:2"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn time_counts_again_once_it_goes_on() {
    let world = waiting(AFTER_TEST).await;
    pass(minutes(120)).await;
    // Whatever comes after the pause takes for ever.
    super::stage(
        &world,
        "POST_PRODUCTION_TRAFFIC_SHIFT",
        &json!({"takes": {"after": "10h"}}),
    );
    says(&world, false).await;
    world.run_for(minutes(5)).await;
    assert_eq!(world.sent("StopServiceDeployment").len(), 0);
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.sent("StopServiceDeployment").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_running_controller_hears_of_an_approval() {
    let world = configured(paused(AFTER_TEST)).await;
    world.put(&web("v2")).await;
    world.run_for(minutes(3)).await;
    let hook = told(&world).await.pause.expect("it waits").hook;
    let asks = async {
        pass(seconds(40)).await;
        say(&world, &hook, false).await;
    };
    tokio::join!(world.run_for(minutes(4)), asks);
    assert_eq!(told(&world).await.state, PartState::Done);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_pause_on_the_way_back_waits_too() {
    let world = configured(paused(AFTER_TEST)).await;
    world.put(&web("v2")).await;
    assert_eq!(world.run(&key()).await, held("WaitingForApproval"));
    says(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // It goes on, and a person goes back from it.
    let back = evenkeel::model::ledger::RequestKind::Rollback {
        to: 0,
        force: false,
    };
    world.request(&key(), back).await;
    assert_eq!(world.run(&key()).await, held("WaitingForApproval"));
    says(&world, false).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs("shop", "web"), "web:1");
}
