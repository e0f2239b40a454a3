//! What was rejected stays out until a person says otherwise, and nothing is rejected that did not
//! fail.

use evenkeel::model::ledger::RevisionOutcome;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, crash, create_service, definition, hold, key, minutes, pass, pinned,
    ready, register, release, rules, schedule, seconds, service, shop, stalled, web,
};
use crate::world::World;

/// As [`ready`], and v2's successor was rejected.
async fn rejected(breaker: Breaker) -> World {
    let world = ready(breaker).await;
    world.put(&hold(web("bad"))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves(), ["web -> web:3"]);
    world
}

/// The bad image with something else beside it: another content.
fn bad_with_a_schedule() -> Value {
    let mut other = web("bad");
    other["spec"]["schedules"] = json!([schedule("nightly", "rate(1 day)")]);
    other
}

fn deploy_again(world: &World) {
    let input = json!({"cluster": CLUSTER, "service": "web", "forceNewDeployment": true});
    world.aws("ecs", "UpdateService", input);
}

#[tokio::test(start_paused = true)]
async fn what_failed_during_a_pause_is_not_tried_again_after_it() {
    for breaker in [Breaker::Rollback, Breaker::Stop] {
        let world = ready(breaker).await;
        let mut bad = hold(web("bad"));
        world.put(&bad).await;
        world.run_for(seconds(8)).await;
        bad["spec"]["suspend"] = json!(true);
        world.put(&bad).await;
        assert_eq!(world.run(&key()).await, Stands::Suspended);
        pass(minutes(20)).await;
        bad["spec"]["suspend"] = json!(false);
        world.put(&bad).await;
        assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
        assert_eq!(world.moves(), ["web -> web:3"], "{breaker:?}");
        let newest = world.ledger(&key()).await.revisions[&3].outcome;
        assert_eq!(newest, RevisionOutcome::Rejected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_by_hand_is_no_reason_to_try_again() {
    let world = rejected(Breaker::Rollback).await;
    let hotfix = register(&world, "web", "v1", &json!({"memory": "1024"}));
    world.by_hand("web", &hotfix);
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves().len(), 1);
    // A fix starts from what was brought by hand.
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "1024");
}

#[tokio::test(start_paused = true)]
async fn what_the_rejected_revision_moved_itself_is_no_reason_to_try_again() {
    let world = shop(Breaker::Rollback).await;
    let mut pair = definition("pair", "v1", &json!({}));
    let mut side = pair["containerDefinitions"][0].clone();
    side["name"] = json!("side");
    pair["containerDefinitions"]
        .as_array_mut()
        .expect("a list")
        .push(side);
    world.aws("ecs", "RegisterTaskDefinition", pair);
    create_service(&world, "pair", Breaker::Rollback, &json!({}));
    pass(minutes(2)).await;
    // One service fails while the other, which a schedule follows, is on its way still.
    rules(
        &world,
        &json!([
            {"when": {"image": "web:v2", "container": "worker"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:v2", "container": "pair"}, "then": {"healthy": {"after": "4m"}}},
        ]),
    );
    let mut nightly = schedule("nightly", "rate(1 day)");
    nightly["taskDefinition"] = json!({"service": "pair"});
    nightly["images"] = json!({"pair": "web"});
    let pair = json!({"name": "pair", "images": {"pair": "web", "side": "web"}});
    let spec = json!({"services": [pair, service("worker")], "schedules": [nightly]});
    world.put(&hold(release("web", "v2", &spec))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.runs(CLUSTER, "pair"), "pair:2");
    assert_eq!(world.moves(), ["pair -> pair:2", "worker -> worker:2"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_failure_that_shows_first_is_not_the_answer() {
    let world = rejected(Breaker::Rollback).await;
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // What made it fail is gone, and it goes out with something else; the new deployment shows
    // only after the old one's record.
    crash(&world, "nothing");
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(10));
    pass(minutes(1)).await;
    world.put(&bad_with_a_schedule()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "bad"));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_failed_deployment_of_what_runs_is_no_rejection() {
    let world = shop(Breaker::Rollback).await;
    crash(&world, "v1");
    deploy_again(&world);
    pass(minutes(60)).await;
    crash(&world, "nothing");
    // The service runs what is declared, and ran it well before.
    let mut same = web("v1");
    same["spec"]["images"]["web"]["pin"] = json!("Tag");
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed_by_hand_after_a_rollback_is_waited_for() {
    let world = rejected(Breaker::Rollback).await;
    let slow = json!([{"when": {"image": "web:v2"}, "then": {"healthy": {"after": "3m"}}}]);
    rules(&world, &slow);
    deploy_again(&world);
    world.put(&web("v3")).await;
    world.run_for(minutes(2)).await;
    assert_eq!(world.moves().len(), 1, "{:?}", world.moves());
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_put_right_beside_a_service_that_fails() {
    let world = shop(Breaker::Rollback).await;
    let spec =
        json!({"services": [service("web")], "schedules": [schedule("nightly", "rate(1 day)")]});
    world.put(&release("web", "v2", &spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    crash(&world, "v2");
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    world.aws("events", "DisableRule", json!({"Name": "shop-web-nightly"}));
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.rule("shop-web-nightly")["State"], "ENABLED");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_to_stop_a_deployment_is_told() {
    let world = ready(Breaker::Off).await;
    world.deny(&["ecs:StopServiceDeployment"]);
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let why = world.why(&key()).await;
    for part in ["within 6m", "ecs:StopServiceDeployment", "was denied"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}
