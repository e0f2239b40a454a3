//! What a sweep does not look at, since it stands as it did, and what it looks at all the same.

use std::time::Duration;

use evenkeel::controller::ControllerOptions;
use evenkeel::controller::watch::WatchOptions;
use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::meta::ReleaseKey;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{RELEASES, expression, fleet, look};
use crate::running::beside;
use crate::shop::{
    self, Breaker, delivered, minutes, pass, register, release, schedule, service, web,
};
use crate::world::REGION;

/// A plan follows from what it is made of: what stands as it did needs none.
#[tokio::test(start_paused = true)]
async fn what_stands_as_it_did_is_not_planned_anew_and_what_does_not_is() {
    let world = fleet().await;
    let watch = WatchOptions {
        read: Duration::from_secs(5),
        ..WatchOptions::default()
    };
    let controller = world.controller_with(ControllerOptions {
        watch,
        ..ControllerOptions::default()
    });
    let read = |name: &str| world.called(&format!("dynamodb.{name}"));
    register(&world, "cron", "v1", &json!({}));
    let mut weekly = schedule("weekly", "0 3 * * 0");
    weekly["taskDefinition"] = json!({"family": "cron"});
    weekly["images"] = json!({"cron": "web"});
    let sweep = async || {
        let (before, begin) = (world.called("events.ListRules"), Instant::now());
        while world.called("events.ListRules") == before {
            assert!(begin.elapsed() < minutes(7), "nothing is swept");
            pass(Duration::from_secs(1)).await;
        }
        pass(Duration::from_secs(20)).await;
    };
    beside(&controller, async {
        // The first sweep finds out that nothing is to be done.
        pass(minutes(8)).await;
        world.sandbox.reset_calls();
        pass(minutes(6)).await;
        assert_eq!((read("GetItem"), read("BatchGetItem")), (0, 0));
        assert!(read("Query") < 10, "{:?}", world.sandbox.calls());
        assert!((10..=20).contains(&world.called("ecs.DescribeServices")));
        assert_eq!(world.writes(), [] as [String; 0]);

        // Nor is what was rolled out between two sweeps, though the list says for the first time that
        // it changed; nor what others have on the bus that it wrote to.
        sweep().await;
        for name in ["app07", "app08", "app09"] {
            let services = [0, 1, 2, 3].map(|number| service(&format!("{name}-{number}")));
            let mut spec = json!({"services": services});
            if name == "app08" {
                spec["schedules"] = json!([weekly]);
            }
            world.put(&release(name, "app06", &spec)).await;
        }
        pass(minutes(2)).await;
        for name in ["app07", "app08", "app09"] {
            let status = world.status(&ReleaseKey::new("shop", name)).await;
            let ready = is_true(&status.conditions, ConditionType::Ready);
            assert!(ready, "{status:#?}");
        }
        world.sandbox.reset_calls();
        sweep().await;
        assert_eq!((read("GetItem"), read("BatchGetItem")), (0, 0));
        assert_eq!(world.writes(), [] as [String; 0]);

        // A rule of a stranger is nobody's matter, unless it is called as one's own.
        let stranger = |name: &str| {
            let input = json!({"Name": name, "ScheduleExpression": "rate(1 day)"});
            world.aws("events", "PutRule", input);
        };
        stranger("shop-zapp-nightly");
        world.sandbox.reset_calls();
        pass(minutes(6)).await;
        assert_eq!((read("GetItem"), read("BatchGetItem")), (0, 0));
        stranger("shop-app08-nightly");
        world.sandbox.reset_calls();
        pass(minutes(6)).await;
        assert!(read("GetItem") > 0, "{:?}", world.sandbox.calls());

        expression(&world, "shop-app02-nightly", "cron(0 4 * * ? *)");
        world.sandbox.reset_calls();
        pass(minutes(6)).await;
        assert_eq!(world.aws_writes(), ["events.PutRule"]);

        // Once an hour it is looked at all the same.
        world.sandbox.reset_calls();
        pass(minutes(60)).await;
        assert!(read("GetItem") >= 2 * RELEASES as u64);
        assert_eq!(world.writes(), [] as [String; 0]);
    })
    .await;
}

/// A rollout lets go of what is not needed any more; what was still run then is found by a sweep.
#[tokio::test(start_paused = true)]
async fn what_was_left_registered_is_let_go_of_within_an_hour() {
    let world = delivered(&web("v2")).await;
    let key = shop::key();
    let reconciler = world.reconciler();
    let leave = async |memory: &str| {
        register(&world, "web", "v1", &json!({"memory": memory}));
        let arn = world.definition("web")["taskDefinition"]["taskDefinitionArn"].clone();
        let registered = world.store.registrations("123456789012", REGION, "web");
        let mut left = registered.await.expect("reads").remove(0);
        left.releases = vec![key.clone()];
        left.definition = memory.repeat(16);
        left.arn = arn.as_str().map(str::to_owned);
        (left.version, left.deregistered) = (0, false);
        let written = world.writer().await.put_registration(&left).await;
        written.expect("writes").arn.expect("an ARN")
    };
    let sweep = async || {
        let writing = reconciler.writing(world.writer().await);
        look(&writing.content_with(Instant::now()), &key).await;
    };
    let is_active = |arn: &str| world.definition(arn)["taskDefinition"]["status"] == "ACTIVE";
    let first = leave("1024").await;
    sweep().await;
    assert!(!is_active(&first));
    let second = leave("2048").await;
    pass(minutes(5)).await;
    sweep().await;
    assert!(is_active(&second), "not everything is read each time");
    pass(minutes(56)).await;
    sweep().await;
    assert!(!is_active(&second));
}

/// What another Release's claim stood against goes on once that is given back.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_given_back_is_found_by_the_next_sweep() {
    let world = shop::ready(Breaker::Rollback).await;
    let second = ReleaseKey::new("shop", "second");
    let spec = json!({"services": [service("web")]});
    world.put(&release("second", "v3", &spec)).await;
    let controller = world.controller_with(ControllerOptions::default());
    let took = beside(&controller, async {
        pass(minutes(12)).await;
        assert!(world.why(&second).await.contains("shop/web"));
        let now = world.sandbox.now();
        let deleted = world.store.delete_release(&shop::key(), false, now).await;
        deleted.expect("deletes");
        let begin = Instant::now();
        while world.called("ecs.UpdateService") == 0 && begin.elapsed() < minutes(180) {
            pass(Duration::from_secs(1)).await;
        }
        begin.elapsed()
    })
    .await;
    assert!(took < minutes(7), "{took:?}");
}

/// Where the stream cannot be read, two requests within one poll look alike at a glance.
#[tokio::test(start_paused = true)]
async fn a_second_request_within_one_poll_is_not_missed() {
    let world = delivered(&web("v2")).await;
    world.put(&web("v3")).await;
    let key = shop::key();
    assert_eq!(world.run(&key).await, shop::Stands::Ready);
    world.deny(&["dynamodb:GetRecords", "dynamodb:DescribeStream"]);
    let controller = world.controller_with(ControllerOptions::default());
    let took = beside(&controller, async {
        pass(minutes(12)).await;
        world.sandbox.reset_calls();
        let rollback = |to| RequestKind::Rollback { to, force: false };
        world.request(&key, rollback(99)).await;
        while !world.store.requests(&key).await.expect("reads").is_empty() {
            pass(Duration::from_millis(10)).await;
        }
        pass(Duration::from_secs(2)).await;
        world.request(&key, rollback(1)).await;
        let begin = Instant::now();
        while world.called("ecs.UpdateService") == 0 && begin.elapsed() < minutes(180) {
            pass(Duration::from_secs(1)).await;
        }
        begin.elapsed()
    })
    .await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// The same for a rule, of which nothing but the claim tells.
#[tokio::test(start_paused = true)]
async fn a_rule_that_is_given_back_is_found_by_the_next_sweep() {
    let nightly = |name: &str, more: &Value| {
        let mut one = schedule("nightly", "0 3 * * *");
        shop::merge(&mut one, &json!({"ruleName": "shared"}));
        shop::merge(&mut one, more);
        release(name, "v2", &json!({"schedules": [one]}))
    };
    let world = delivered(&nightly("web", &json!({}))).await;
    let second = ReleaseKey::new("shop", "second");
    world.put(&nightly("second", &json!({"adopt": true}))).await;
    let controller = world.controller_with(ControllerOptions::default());
    let took = beside(&controller, async {
        pass(minutes(22)).await;
        assert!(world.why(&second).await.contains("shared"));
        world.sandbox.reset_calls();
        let now = world.sandbox.now();
        let deleted = world.store.delete_release(&shop::key(), true, now).await;
        deleted.expect("deletes");
        let begin = Instant::now();
        while world.rule_tags("shared")["evenkeel:release"] != "shop/second"
            && begin.elapsed() < minutes(180)
        {
            pass(Duration::from_secs(1)).await;
        }
        begin.elapsed()
    })
    .await;
    assert!(took < minutes(7), "{took:?}");
}
