//! Corners of planning: what follows what, going back, late successes, and the loop itself.

use std::future::pending;

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, create_service, delivered, environment, hold, key, minutes, pass,
    pinned, register, release, rules, schedule, seconds, service, shop, stalled, web,
};
use crate::world::{REGION, World};

#[tokio::test(start_paused = true)]
async fn migrations_and_schedules_may_follow_a_service() {
    // Both run the service's definition; one of its two containers has an image of its own.
    let world = shop(Breaker::Rollback).await;
    let sidecar = |image: &str| json!({"name": "side", "image": format!("{}:{image}", crate::shop::repository()), "essential": false});
    let mut content = crate::shop::definition("pair", "v1", &json!({}));
    content["containerDefinitions"]
        .as_array_mut()
        .expect("a list")
        .push(sidecar("v1"));
    world.aws("ecs", "RegisterTaskDefinition", content);
    create_service(&world, "pair", Breaker::Rollback, &json!({}));
    pass(minutes(2)).await;
    let source = json!({"service": "pair"});
    let spec = |tag: &str| {
        let spec = json!({
            "migrations": [{"name": "db", "taskDefinition": source, "images": {"pair": "web"}}],
            "services": [{"name": "pair", "images": {"pair": "web", "side": "web"}}],
            "schedules": [{"name": "nightly", "expression": "rate(1 day)", "taskDefinition": source, "images": {"pair": "web"}}],
        });
        release("web", tag, &spec)
    };
    for (count, tag) in [(1, "v2"), (2, "v3")] {
        world.put(&spec(tag)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.sent("RunTask").len(), count);
        assert_eq!(world.moves().len(), count);
        let targets = world.targets("shop-web-nightly");
        let arn = targets[0]["EcsParameters"]["TaskDefinitionArn"]
            .as_str()
            .expect("an ARN");
        for container in ["pair", "side"] {
            assert_eq!(world.image_in(arn, container), pinned(&world, tag));
        }
        let last = world.sent("RunTask").pop().expect("it ran");
        let arn = last["taskDefinition"].as_str().expect("an ARN");
        assert_eq!(world.image_in(arn, "pair"), pinned(&world, tag));
    }
}

#[tokio::test(start_paused = true)]
async fn going_back_registers_and_migrates_nothing_again() {
    let object = |tag: &str| {
        let spec = json!({
            "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
            "services": [service("web")],
        });
        release("web", tag, &spec)
    };
    let world = delivered(&object("v2")).await;
    world.put(&object("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world.put(&object("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.aws_writes(), ["ecs.UpdateService"]);
}

#[tokio::test(start_paused = true)]
async fn a_success_after_the_time_limit_counts_when_a_person_asks() {
    let world = shop(Breaker::Off).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v2"}, "then": {"healthy": {"after": "8m"}}}]),
    );
    world.put(&hold(web("v2"))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    pass(minutes(5)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_moved_by_hand_to_something_else_altogether_comes_back() {
    let object = web("v2");
    for allow in [json!({}), json!({"allow": {"families": ["web"]}})] {
        let world = delivered(&object).await;
        world.put(&environment(&allow)).await;
        world.by_hand("web", "worker:1");
        pass(minutes(2)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_environment_says_of_schedules_is_declared_and_no_drift() {
    let nightly =
        json!({"schedules": [schedule("nightly", "rate(1 day)")], "drift": {"policy": "Report"}});
    let world = delivered(&release("web", "v2", &nightly)).await;
    let role = "arn:aws:iam::123456789012:role/other";
    let changed = json!({"schedules": {"roleArn": role}, "tasks": {"launchType": "FARGATE"}});
    world.put(&environment(&changed)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let target = world.targets("shop-web-nightly").remove(0);
    assert_eq!(
        (&target["RoleArn"], &target["EcsParameters"]["LaunchType"]),
        (&json!(role), &json!("FARGATE"))
    );
    assert_eq!(world.differences(&key()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_may_be_named_by_its_arn() {
    let world = shop(Breaker::Rollback).await;
    let cluster = format!("arn:aws:ecs:{REGION}:123456789012:cluster/{CLUSTER}");
    let mut object = environment(&json!({"cluster": cluster}));
    object["metadata"]["name"] = json!("by-arn");
    world.put(&object).await;
    let spec = json!({
        "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
        "services": [service("web")],
        "schedules": [schedule("nightly", "rate(1 day)")],
    });
    let mut object = release("web", "v2", &spec);
    object["metadata"]["namespace"] = json!("by-arn");
    world.put(&object).await;
    let key = ReleaseKey::new("by-arn", "web");
    assert_eq!(world.settle(&key).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.targets("by-arn-web-nightly")[0]["Arn"], cluster);
}

#[tokio::test(start_paused = true)]
async fn many_services_move_together_within_aws_limits() {
    let world = shop(Breaker::Rollback).await;
    let names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    for name in &names {
        register(&world, name, "v1", &json!({}));
        create_service(&world, name, Breaker::Rollback, &json!({}));
    }
    pass(minutes(2)).await;
    world
        .sandbox
        .update_settings(|settings| settings.throttle = true);
    let services: Vec<Value> = names.iter().map(|name| service(name)).collect();
    world
        .put(&release("web", "v2", &json!({"services": services})))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    for name in &names {
        assert_eq!(world.image_of(name), pinned(&world, "v2"));
    }
    assert_eq!(world.moves().len(), 12);
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn lagging_reads_and_a_rollback_by_hand_are_corrected_once() {
    let world = delivered(&web("v2")).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(20));
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:2"]);
}

/// The loop runs beside what `story` does, until that ends.
async fn live(world: &World, story: impl Future<Output = ()>) {
    let controller = world.controller();
    tokio::select! {
        ran = controller.run(pending()) => ran.expect("goes on"),
        () = story => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_loop_hears_of_new_specs_drift_requests_and_deletions() {
    let world = shop(Breaker::Rollback).await;
    live(&world, async {
        world.put(&web("v2")).await;
        pass(minutes(2)).await;
        assert_eq!(
            world.is(&key(), ConditionType::Ready).await,
            Some(ConditionStatus::True)
        );
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));

        // Drift is found at the next resync.
        world.by_hand("web", "web:1");
        pass(minutes(8)).await;
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));

        // A person's request is heard at once.
        world.put(&web("bad")).await;
        pass(minutes(4)).await;
        let reason = world
            .condition(&key(), ConditionType::Stalled)
            .await
            .expect("stalled")
            .reason;
        assert_eq!(reason, "RolledBack");
        let moves = world.moves().len();
        world.retry(&key()).await;
        pass(seconds(20)).await;
        assert_eq!(world.moves().len(), moves + 1);

        // So is a fix, in the middle of the failing rollout.
        world.put(&web("v3")).await;
        pass(minutes(2)).await;
        assert_eq!(world.image_of("web"), pinned(&world, "v3"));
        assert_eq!(
            world.is(&key(), ConditionType::Ready).await,
            Some(ConditionStatus::True)
        );

        let now = world.sandbox.now();
        world
            .store
            .delete_release(&key(), false, now)
            .await
            .expect("deletes");
        pass(seconds(20)).await;
        assert!(world.store.release(&key()).await.expect("reads").is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_loop_writes_nothing_while_nothing_happens() {
    let world = shop(Breaker::Rollback).await;
    let spec =
        json!({"services": [service("web")], "schedules": [schedule("nightly", "rate(1 day)")]});
    world.put(&release("web", "v2", &spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    live(&world, pass(minutes(11))).await;
    assert_eq!(world.writes(), [] as [&str; 0]);
    assert!(world.sent("DescribeServices").len() >= 2);
}

#[tokio::test(start_paused = true)]
async fn one_service_that_fails_leaves_the_other_where_it_got() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([
            {"when": {"image": "web:v2", "container": "worker"}, "then": {"crash": {"after": "2s"}}},
            {"when": {"image": "web:v2", "container": "web"}, "then": {"healthy": {"after": "3m"}}},
        ]),
    );
    let both = json!({"services": [service("web"), service("worker")]});
    world.put(&hold(release("web", "v2", &both))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.runs(CLUSTER, "worker"), "worker:1");
    let states = world.services(&key()).await;
    let states: Vec<String> = states.values().map(|state| format!("{state:?}")).collect();
    assert_eq!(states, ["Done", "Failed"]);
    rules(&world, &json!([]));
    world.put(&release("web", "v3", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("worker"), pinned(&world, "v3"));
}

#[tokio::test(start_paused = true)]
async fn a_base_that_was_run_as_it_is_and_went_away_is_registered_once() {
    let mut same = web("v1");
    same["spec"]["images"]["web"]["pin"] = json!("Tag");
    let world = delivered(&same).await;
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
    let gone = json!({"taskDefinition": "web:1"});
    world.aws("ecs", "DeregisterTaskDefinition", gone);
    let other = register(&world, "web", "v2", &json!({}));
    world.by_hand("web", &other);
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:3"]);
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 1);
}
