//! What cannot be read is not known: nothing is written, given up or forgotten on account of it.

use std::sync::Arc;

use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, create_service, key, minutes, pass, register, release, schedule,
    seconds, service, shop, stalled, web,
};
use crate::world::World;

const RULE: &str = "shop-web-nightly";

/// Answers calls of an operation that name something with an error of the server, or with a
/// success that says nothing.
struct Silent {
    operation: &'static str,
    about: &'static str,
    status: u16,
}

impl Tap for Silent {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let names_it = || json!(call.input).to_string().contains(self.about);
        if call.operation != self.operation || !names_it() {
            return Verdict::Proceed;
        }
        Verdict::Answer {
            status: self.status,
            code: "ServerException".to_owned(),
            message: "Service Unavailable. Please try again later.".to_owned(),
        }
    }
}

fn silence(world: &World, operation: &'static str, about: &'static str, status: u16) {
    let tap = Silent {
        operation,
        about,
        status,
    };
    world.sandbox.set_tap(Some(Arc::new(tap)));
}

#[tokio::test(start_paused = true)]
async fn no_service_is_moved_while_its_deployments_are_unknown() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    // Everything is decided, recorded and registered.
    world.deny(&["ecs:UpdateService"]);
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    world.deny(&[]);
    world.sandbox.reset_calls();
    silence(&world, "ListServiceDeployments", "", 500);
    world.run_for(minutes(3)).await;
    assert_eq!(world.moves(), [] as [&str; 0]);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_pass_tells_whether_it_could_look_at_everything() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let reconciler = world.takes_over().await;
    let whole = async || {
        let looked = reconciler.reconcile(&key(), &|_, _| {}).await;
        looked.expect("a pass can be made").whole
    };
    assert!(whole().await);
    world.deny(&["ecs:DescribeServices"]);
    assert!(!whole().await, "it is refused to us");
    world.deny(&[]);
    assert!(whole().await);
    silence(&world, "ListServiceDeployments", "", 500);
    world.by_hand("web", &register(&world, "web", "other", &json!({})));
    assert!(!whole().await, "it could not be read");
}

#[tokio::test(start_paused = true)]
async fn what_ran_before_is_recorded_whole() {
    let world = shop(Breaker::Stop).await;
    // It runs what failed, and starts from what succeeded.
    let broken = register(&world, "web", "bad", &json!({}));
    world.by_hand("web", &broken);
    pass(minutes(10)).await;
    world.put(&web("v2")).await;
    silence(&world, "DescribeTaskDefinition", "web:2", 500);
    world.run_for(seconds(30)).await;
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let ledger = world.ledger(&key()).await;
    let before = ledger.revisions[&0].parts.get("service/web");
    assert_eq!(before.and_then(|part| part.arn.clone()), Some(broken));
}

#[tokio::test(start_paused = true)]
async fn a_grace_time_outlasts_a_look_that_failed() {
    let world = shop(Breaker::Rollback).await;
    let mut web = service("web");
    web["taskDefinition"] = json!({"family": "web"});
    let spec = json!({
        "services": [web], "schedules": [schedule("nightly", "rate(1 day)")],
        "drift": {"after": "30m"},
    });
    world.put(&release("web", "v2", &spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.aws("events", "DisableRule", json!({"Name": RULE}));
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    world.run_for(minutes(12)).await;
    let before = world.differences(&key()).await;
    assert_eq!(before.len(), 2);
    for operation in ["ListTargetsByRule", "DescribeServices"] {
        silence(&world, operation, "", 500);
        world.run_for(minutes(6)).await;
        world.sandbox.set_tap(None);
        world.run_for(minutes(1)).await;
        assert_eq!(world.differences(&key()).await, before, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_runs_that_cannot_be_read_is_not_deregistered() {
    let world = shop(Breaker::Off).await;
    // More than one call describes: the last service is in the second.
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let last = "zz".to_owned();
    let all: Vec<String> = names.iter().chain([&last]).cloned().collect();
    for name in &all {
        let of_web = json!({"taskDefinition": "web"});
        create_service(&world, name, Breaker::Off, &of_web);
    }
    pass(minutes(2)).await;
    let object = |tag: &str, names: &[String]| {
        let service = |name: &String| json!({"name": name, "images": {"web": "web"}});
        let services: Value = names.iter().map(service).collect();
        let spec = json!({"services": services, "revisionHistoryLimit": 1});
        release("web", tag, &spec)
    };
    world.put(&object("v2", &all)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&object("v3", &names)).await;
    silence(&world, "DescribeServices", "zz", 200);
    assert_eq!(world.run(&key()).await, Stands::Ready);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let runs = world.definition(&world.runs(CLUSTER, "zz"));
    assert_eq!(runs["taskDefinition"]["revision"], 2);
    assert_eq!(runs["taskDefinition"]["status"], "ACTIVE");
}

/// The release, following the family `web` as far as one registrar registered it.
fn following(by: &str) -> Value {
    let mut object = web("v2");
    object["spec"]["services"][0]["taskDefinition"] = json!({"family": "web", "registeredBy": by});
    object
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_many_others_came_after_is_not_looked_for_without_end() {
    let world = shop(Breaker::Rollback).await;
    let others = || {
        for memory in 600..625 {
            let shape = json!({"memory": memory.to_string()});
            register(&world, "web", "v1", &shape);
        }
    };
    others();
    world
        .put(&following("arn:aws:iam::*:role/terraform*"))
        .await;
    let reason = stalled("TaskDefinitionNotFound");
    assert_eq!(world.settle(&key()).await, reason);
    let why = world.why(&key()).await;
    assert!(why.contains("role/terraform*"), "{why}");
}
