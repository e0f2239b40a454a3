//! Hooks beside what an earlier revision began.

use evenkeel::model::ledger::RunState;
use serde_json::json;

use super::{hooked, lambda};
use crate::shop::{Breaker, Stands, key, merge, minutes, pass, pinned, rules, seconds, shop, web};

#[tokio::test(start_paused = true)]
async fn a_hook_before_waits_for_the_task_of_an_earlier_revision() {
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let mut migration = task.clone();
    migration["name"] = json!("db");
    let hook = json!({"name": "snapshot", "ecsTask": task});
    for earlier in [
        json!({"migrations": [migration]}),
        json!({"hooks": {"before": [hook]}}),
    ] {
        let world = shop(Breaker::Rollback).await;
        world.function("drain", 0, None);
        let exits = json!({"exit": {"after": "300s"}});
        rules(&world, &json!([{"when": {"family": "job"}, "then": exits}]));
        let mut object = web("v2");
        merge(&mut object["spec"], &earlier);
        world.put(&object).await;
        let controller = world.controller();
        let newer = async {
            pass(seconds(60)).await;
            assert_eq!(world.sent("RunTask").len(), 1, "{earlier}");
            let hooks = json!({"before": [lambda("drain", &json!({}))]});
            world.put(&hooked("v3", &hooks)).await;
            pass(minutes(3)).await;
            assert_eq!(world.invoked_names(), [] as [String; 0], "{earlier}");
            let told = world.message(&key()).await;
            assert!(told.contains("of revision 1 is still running"), "{told}");
            pass(minutes(20)).await;
        };
        controller.run(newer).await.expect("runs");
        assert_eq!(world.image_of("web"), pinned(&world, "v3"), "{earlier}");
        assert_eq!(world.invoked_names(), ["drain"], "{earlier}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_at_the_invalidation_of_a_revision_that_another_took_the_place_of() {
    let world = shop(Breaker::Rollback).await;
    let distribution = world.distribution();
    let hooks = json!({"after": [{"name": "cdn", "cloudFrontInvalidation": {
        "distributionId": distribution, "paths": ["/*"],
    }}]});
    world.put(&hooked("v2", &hooks)).await;
    let controller = world.controller();
    let asked = async {
        while world.sent("CreateInvalidation").is_empty() {
            pass(seconds(1)).await;
        }
        pass(seconds(10)).await;
        world.deny(&["cloudfront:GetInvalidation"]);
        world.put(&web("v3")).await;
    };
    let asked = tokio::time::timeout(minutes(30), controller.run(asked)).await;
    asked.expect("it is asked for").expect("runs");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let ledger = world.ledger(&key()).await;
    let run = &ledger.revisions[&1].hooks["cdn"];
    assert_eq!(run.state, RunState::Unknown);
    let why = run.message.as_deref().expect("why");
    assert!(why.contains("another revision came"), "{why}");

    world.sandbox.reset_calls();
    assert_eq!(
        world.resync(&key(), minutes(60), minutes(5)).await,
        Stands::Ready
    );
    assert_eq!(world.sent("GetInvalidation").len(), 0);
}
