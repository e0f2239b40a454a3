//! Drift: what somebody changed by hand is found, told, and put right, or left, as the policy says.

mod fights;

use std::sync::{Arc, Mutex};

use evenkeel::controller::{Controller, ControllerOptions, Happening, What};
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{Difference, DifferenceAction};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, ROLE, Stands, crash, definition, environment, key, merge, minutes, pass,
    pinned, push, register, release, rules, schedule, service, shop, stalled, web,
};
use crate::world::{REGION, World};

const RULE: &str = "shop-web-nightly";

/// One service and one schedule, with a migration before them.
fn whole(tag: &str, more: &Value) -> Value {
    let mut nightly = schedule("nightly", "rate(1 day)");
    nightly["overrides"] = json!({"containerOverrides": [{
        "name": "job", "command": ["report"],
        "environment": [{"name": "TOKEN", "value": "s3cr3t-of-the-override"}],
    }]});
    let mut spec = json!({
        "migrations": [{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}],
        "services": [service("web")],
        "schedules": [nightly],
    });
    merge(&mut spec, more);
    release("web", tag, &spec)
}

async fn ready_with(more: &Value) -> World {
    let world = shop(Breaker::Rollback).await;
    world.put(&whole("v2", more)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.differences(&key()).await, []);
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::False)
    );
    world.sandbox.reset_calls();
    world
}

async fn ready() -> World {
    ready_with(&json!({})).await
}

/// Somebody rolls the service back by hand, and ECS is done with it.
async fn roll_back(world: &World) {
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
}

/// Runs once and gives back every difference that a pass told of, in order.
async fn told(world: &World) -> (Stands, Vec<Difference>) {
    let seen: Arc<Mutex<Vec<Difference>>> = Arc::default();
    let into = seen.clone();
    let options = ControllerOptions {
        observer: Some(Arc::new(move |happening: &Happening| {
            if let What::Passed { plan, .. } = &happening.what {
                let found = plan.status.drift.differences.clone();
                into.lock().expect("not poisoned").extend(found);
            }
        })),
        ..ControllerOptions::default()
    };
    let controller = Controller::new(world.reconciler(), options);
    controller.run_once().await.expect("runs");
    let stands = world.settle(&key()).await;
    let seen = seen.lock().expect("not poisoned").clone();
    (stands, seen)
}

fn fields(differences: &[Difference]) -> Vec<(&str, &str, &str, &str)> {
    let mut fields: Vec<_> = differences
        .iter()
        .map(|d| {
            (
                d.resource.as_str(),
                d.field.as_str(),
                d.desired.as_str(),
                d.actual.as_str(),
            )
        })
        .collect();
    fields.dedup();
    fields
}

fn target_of(world: &World) -> Value {
    let targets = world.targets(RULE);
    assert_eq!(targets.len(), 1, "{targets:?}");
    targets[0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_service_rolled_back_by_hand_is_put_right_without_a_migration() {
    let world = ready().await;
    roll_back(&world).await;
    let (stands, differences) = told(&world).await;
    assert_eq!(stands, Stands::Ready);
    let actual = format!("{}:v1", crate::shop::repository());
    let field = "taskDefinition.containerDefinitions[web].image";
    assert_eq!(
        fields(&differences),
        [(
            "service/web",
            field,
            pinned(&world, "v2").as_str(),
            actual.as_str()
        )]
    );
    assert!(
        differences
            .iter()
            .all(|found| found.action == DifferenceAction::Corrected)
    );
    // Told until the service was back, not in one pass only.
    assert!(differences.len() > 2, "{}", differences.len());
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.moves(), ["web -> web:2"]);
    assert_eq!(world.sent("RunTask"), [] as [Value; 0]);
    assert_eq!(world.sent("RegisterTaskDefinition"), [] as [Value; 0]);
    assert_eq!(world.differences(&key()).await, []);
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::False)
    );
}

type Change = (&'static str, fn(&World), &'static [&'static str]);

fn change_expression(world: &World) {
    let rule = json!({"Name": RULE, "ScheduleExpression": "rate(2 days)", "State": "ENABLED"});
    world.aws("events", "PutRule", rule);
}

fn disable(world: &World) {
    world.aws("events", "DisableRule", json!({"Name": RULE}));
}

fn change_target(world: &World) {
    let mut target = target_of(world);
    let job = format!("arn:aws:ecs:{REGION}:123456789012:task-definition/job:1");
    target["EcsParameters"]["TaskDefinitionArn"] = json!(job);
    target["Input"] = json!(
        "{\"containerOverrides\":[{\"name\":\"job\",\"environment\":[{\"name\":\"TOKEN\",\"value\":\"s3cr3t-by-hand\"}]}]}"
    );
    world.aws(
        "events",
        "PutTargets",
        json!({"Rule": RULE, "Targets": [target]}),
    );
}

fn remove_target(world: &World) {
    world.aws(
        "events",
        "RemoveTargets",
        json!({"Rule": RULE, "Ids": ["evenkeel"]}),
    );
}

fn delete_rule(world: &World) {
    remove_target(world);
    world.aws("events", "DeleteRule", json!({"Name": RULE}));
}

fn add_rule(world: &World) {
    let tags: Vec<Value> = world
        .rule_tags(RULE)
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    let rule =
        json!({"Name": "shop-web-extra", "ScheduleExpression": "rate(1 hour)", "Tags": tags});
    world.aws("events", "PutRule", rule);
}

const CHANGES: [Change; 6] = [
    (
        "schedule/nightly",
        change_expression,
        &["ScheduleExpression"],
    ),
    ("schedule/nightly", disable, &["State"]),
    (
        "schedule/nightly",
        change_target,
        &["target.EcsParameters.TaskDefinitionArn", "target.Input"],
    ),
    ("schedule/nightly", remove_target, &["target"]),
    ("schedule/nightly", delete_rule, &["rule"]),
    ("rule/shop-web-extra", add_rule, &["rule"]),
];

fn account(world: &World) -> Value {
    let rules = world.aws("events", "ListRules", json!({}));
    let names = rules["Rules"].as_array().into_iter().flatten();
    let targets: Vec<Value> = names
        .map(|rule| json!(world.targets(rule["Name"].as_str().unwrap_or_default())))
        .collect();
    json!([rules, targets, world.runs(CLUSTER, "web")])
}

#[tokio::test(start_paused = true)]
async fn changes_of_rules_are_put_right() {
    let world = ready().await;
    let before = account(&world);
    for (resource, change, wanted) in CHANGES {
        pass(minutes(70)).await;
        change(&world);
        assert_ne!(account(&world), before);
        let (stands, differences) = told(&world).await;
        assert_eq!(stands, Stands::Ready, "{wanted:?}");
        assert_eq!(account(&world), before, "{wanted:?}");
        let found: Vec<&str> = fields(&differences).iter().map(|found| found.1).collect();
        assert_eq!(found, wanted);
        for found in &differences {
            assert_eq!(found.resource, resource);
            assert_eq!(found.action, DifferenceAction::Corrected);
        }
        assert_eq!(world.differences(&key()).await, []);
    }
    assert_eq!(world.sent("RunTask"), [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_only_told_where_the_policy_says_so() {
    for (resource, change, wanted) in CHANGES {
        let world = ready_with(&json!({"drift": {"policy": "Report"}})).await;
        change(&world);
        let after = account(&world);
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{wanted:?}");
        assert_eq!(account(&world), after, "{wanted:?}");
        assert_eq!(world.aws_writes(), [] as [&str; 0], "{wanted:?}");
        let differences = world.differences(&key()).await;
        let found: Vec<&str> = differences
            .iter()
            .map(|found| found.field.as_str())
            .collect();
        assert_eq!(found, wanted);
        assert!(differences.iter().all(|found| {
            found.resource == resource && found.action == DifferenceAction::Reported
        }));
        assert_eq!(
            world.is(&key(), ConditionType::Drifted).await,
            Some(ConditionStatus::True)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_only_told_of_where_the_policy_says_so() {
    let world = ready_with(&json!({"drift": {"policy": "Report"}})).await;
    roll_back(&world).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let first = world.differences(&key()).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].action, DifferenceAction::Reported);
    // First seen stays first seen, and telling it again writes nothing.
    world.sandbox.reset_calls();
    pass(minutes(90)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.differences(&key()).await, first);
    assert_eq!(world.writes(), [] as [&str; 0]);
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
}

#[tokio::test(start_paused = true)]
async fn a_grace_time_is_waited_for() {
    let world = ready_with(&json!({"drift": {"after": "30m"}})).await;
    disable(&world);
    roll_back(&world).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let first = world.differences(&key()).await;
    assert_eq!(first.len(), 2);
    assert!(
        first
            .iter()
            .all(|found| found.action == DifferenceAction::Pending)
    );
    pass(minutes(25)).await;
    // A read that fails for a while is no reason to begin the grace time anew.
    world.deny(&["events:ListRules"]);
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::Unknown)
    );
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let seen: Vec<_> = world
        .differences(&key())
        .await
        .iter()
        .map(|found| found.first_seen)
        .collect();
    assert_eq!(
        seen,
        first
            .iter()
            .map(|found| found.first_seen)
            .collect::<Vec<_>>()
    );
    pass(minutes(6)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.differences(&key()).await, []);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
}

#[tokio::test(start_paused = true)]
async fn the_release_says_more_than_its_environment() {
    // Neither of the two takes the other's word away where it says nothing itself.
    for (general, own, corrects) in [
        (json!({"policy": "Report"}), json!({}), false),
        (
            json!({"policy": "Report"}),
            json!({"policy": "Correct"}),
            true,
        ),
        (
            json!({"policy": "Correct"}),
            json!({"policy": "Report"}),
            false,
        ),
        (json!({"policy": "Report"}), json!({"after": "1m"}), false),
        (json!({"after": "1h"}), json!({"policy": "Correct"}), false),
        (json!({"after": "1h"}), json!({"after": "1s"}), true),
    ] {
        let world = shop(Breaker::Rollback).await;
        world.put(&environment(&json!({"drift": general}))).await;
        let mut spec = json!({"schedules": [schedule("nightly", "rate(1 day)")]});
        if own != json!({}) {
            spec["drift"] = own.clone();
        }
        world.put(&release("web", "v2", &spec)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        disable(&world);
        world.run(&key()).await;
        pass(minutes(2)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        let state = if corrects { "ENABLED" } else { "DISABLED" };
        assert_eq!(world.rule(RULE)["State"], state, "{general} {own}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_environment_value_is_told_anywhere() {
    let world = shop(Breaker::Rollback).await;
    let content = definition("web", "ignored", &json!({}));
    let inline =
        json!({"name": "web", "images": {"web": "web"}, "taskDefinition": {"inline": content}});
    let object = whole(
        "v2",
        &json!({"services": [inline], "drift": {"policy": "Report"}}),
    );
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let mut other = definition("web", "v1", &json!({}));
    other["containerDefinitions"][0]["environment"] = json!([{"name": "SECRET", "value": "s3cr3t-by-hand"}, {"name": "MORE", "value": "s3cr3t-too"}]);
    let answer = world.aws("ecs", "RegisterTaskDefinition", other);
    let arn = answer["taskDefinition"]["taskDefinitionArn"]
        .as_str()
        .expect("an ARN");
    world.by_hand("web", arn);
    change_target(&world);
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);

    let differences = world.differences(&key()).await;
    let found: Vec<&str> = differences
        .iter()
        .map(|found| found.field.as_str())
        .collect();
    assert!(
        found.contains(&"taskDefinition.containerDefinitions[web].environment[SECRET].value"),
        "{found:?}"
    );
    assert!(found.contains(&"target.Input"), "{found:?}");
    let status = serde_json::to_string(&world.status(&key()).await).expect("JSON");
    assert!(!status.contains("s3cr3t"), "{status}");
    let plan = world.reconciler().preview(&key()).await.expect("plans");
    let told = format!("{:?} {:?}", plan.waiting, plan.status);
    assert!(!told.contains("s3cr3t"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_correction_whose_rollout_fails_stalls_and_stays_so() {
    let world = ready().await;
    roll_back(&world).await;
    rules(
        &world,
        &json!([{"when": {"image": "web:v2", "container": "web"}, "then": {"crash": {"after": "2s"}}}]),
    );
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(
        world.resync(&key(), minutes(180), minutes(20)).await,
        stalled("RolloutFailed")
    );
    assert_eq!(world.moves(), ["web -> web:2"]);
    // It is not where it should be, and that is told.
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::True)
    );
    assert_eq!(world.differences(&key()).await.len(), 1);

    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), 2);
    assert_eq!(world.differences(&key()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_failed_correction_keeps_nothing_else_from_being_put_right() {
    let both = json!({"services": [service("web"), service("worker")]});
    let world = shop(Breaker::Rollback).await;
    world.put(&release("web", "v2", &both)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    rules(
        &world,
        &json!([{"when": {"image": "web:v2", "container": "worker"}, "then": {"crash": {"after": "2s"}}}]),
    );
    world.by_hand("worker", "worker:1");
    pass(minutes(2)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    roll_back(&world).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    assert_eq!(world.moves(), ["worker -> worker:2", "web -> web:2"]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_unknown_and_never_drift() {
    let world = ready().await;
    for action in [
        "ecs:DescribeServices",
        "events:ListTargetsByRule",
        "events:ListRules",
    ] {
        world.deny(&[action]);
        assert_eq!(world.run(&key()).await, stalled("AccessDenied"), "{action}");
        let drifted = world.is(&key(), ConditionType::Drifted).await;
        assert_eq!(drifted, Some(ConditionStatus::Unknown), "{action}");
        assert_eq!(world.differences(&key()).await, []);
        world.deny(&[]);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
    }
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_target_on_our_rule_stays_a_strangers() {
    let world = ready().await;
    let before = target_of(&world);
    let mut strangers = before.clone();
    strangers["Id"] = json!("theirs");
    strangers["RoleArn"] = json!(ROLE);
    let job = format!("arn:aws:ecs:{REGION}:123456789012:task-definition/worker:1");
    strangers["EcsParameters"]["TaskDefinitionArn"] = json!(job);
    world.aws(
        "events",
        "PutTargets",
        json!({"Rule": RULE, "Targets": [strangers]}),
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    remove_target(&world);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let targets = world.targets(RULE);
    assert!(
        targets.contains(&before) && targets.contains(&strangers),
        "{targets:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moved_is_told_and_not_followed() {
    let world = ready().await;
    let before = world.image_of("web");
    push(&world, "v2", "moved");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let differences = world.differences(&key()).await;
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].resource, "image/web");
    assert_eq!(differences[0].action, DifferenceAction::Reported);
    assert_eq!(world.image_of("web"), before);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_structure_changed_by_hand_is_kept_with_the_released_image() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let hotfix = register(&world, "web", "v1", &json!({"memory": "1024"}));
    world.by_hand("web", &hotfix);
    pass(minutes(2)).await;
    let (stands, told) = told(&world).await;
    assert_eq!(stands, Stands::Ready);
    let image = "taskDefinition.containerDefinitions[web].image";
    assert!(told.iter().all(|it| it.field == image), "{told:?}");
    assert_eq!(told[0].action, DifferenceAction::Corrected);
    assert!(told[0].actual.ends_with(":v1"), "{told:?}");
    assert_eq!(world.differences(&key()).await, []);
    let runs = world.definition(&world.runs(CLUSTER, "web"));
    assert_eq!(runs["taskDefinition"]["memory"], "1024");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn an_image_changed_by_hand_with_more_is_left_where_the_policy_says_so() {
    for policy in [
        json!({"policy": "Report"}),
        json!({"policy": "Correct", "after": "1h"}),
    ] {
        let world = shop(Breaker::Rollback).await;
        let mut object = web("v2");
        object["spec"]["drift"] = policy.clone();
        world.put(&object).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        let hotfix = register(&world, "web", "v1", &json!({"memory": "1024"}));
        world.by_hand("web", &hotfix);
        pass(minutes(2)).await;
        world.sandbox.reset_calls();
        world.resync(&key(), minutes(20), minutes(5)).await;
        assert_eq!(world.aws_writes(), [] as [&str; 0], "{policy}");
        let fields: Vec<String> = world
            .differences(&key())
            .await
            .into_iter()
            .map(|it| it.field)
            .collect();
        let image = "taskDefinition.containerDefinitions[web].image".to_owned();
        assert!(fields.contains(&image), "{fields:?}");
        world.resync(&key(), minutes(60), minutes(5)).await;
        let corrected = world.image_of("web") == pinned(&world, "v2");
        assert_eq!(corrected, policy["policy"] == "Correct");
    }
}
