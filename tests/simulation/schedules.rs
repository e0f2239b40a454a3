//! Schedules: rules that are made, adopted, changed, renamed and taken away.

use std::collections::BTreeMap;

use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::PartState;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, ROLE, Stands, delivered, environment, key, merge, minutes, pass, pinned,
    release, schedule, seconds, shop, stalled,
};
use crate::world::{REGION, World};

const RULE: &str = "shop-web-nightly";

fn only(schedules: Value) -> Value {
    release("web", "v2", &json!({"schedules": schedules}))
}

fn nightly(more: &Value) -> Value {
    let mut nightly = schedule("nightly", "cron(0 18 * * ? *)");
    merge(&mut nightly, more);
    only(json!([nightly]))
}

fn cluster() -> String {
    format!("arn:aws:ecs:{REGION}:123456789012:cluster/{CLUSTER}")
}

/// A target that runs `job:1` in the shop's cluster.
fn target(id: &str, more: &Value) -> Value {
    let definition = format!("arn:aws:ecs:{REGION}:123456789012:task-definition/job:1");
    let mut target = json!({
        "Id": id, "Arn": cluster(), "RoleArn": ROLE,
        "EcsParameters": {"TaskDefinitionArn": definition},
    });
    merge(&mut target, more);
    target
}

fn strangers_rule(world: &World, name: &str, targets: &[Value]) {
    let rule = json!({
        "Name": name, "ScheduleExpression": "rate(2 hours)", "Description": "by hand",
        "Tags": [{"Key": "team", "Value": "shop"}],
    });
    world.aws("events", "PutRule", rule);
    if !targets.is_empty() {
        let targets = json!({"Rule": name, "Targets": targets});
        world.aws("events", "PutTargets", targets);
    }
}

fn tag(world: &World, rule: &str, release: &str, installation: &str) {
    let tags = json!([
        {"Key": "evenkeel:release", "Value": release},
        {"Key": "evenkeel:installation", "Value": installation},
    ]);
    let arn = world.rule(rule)["Arn"].clone();
    world.aws(
        "events",
        "TagResource",
        json!({"ResourceARN": arn, "Tags": tags}),
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_runs_the_released_image_as_declared() {
    let world = shop(Breaker::Off).await;
    let network = json!({"awsvpcConfiguration": {"subnets": ["subnet-1", "subnet-0"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}});
    let object = nightly(&json!({
        "state": "DISABLED", "description": "the report", "taskCount": 2,
        "tasks": {"launchType": "EC2", "networkConfiguration": network, "enableExecuteCommand": true},
        "overrides": {"containerOverrides": [{"name": "job", "command": ["report"], "environment": [{"name": "EMPTY", "value": ""}]}]},
    }));
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let rule = world.rule(RULE);
    assert_eq!(rule["ScheduleExpression"], "cron(0 18 * * ? *)");
    assert_eq!(
        (&rule["State"], &rule["Description"]),
        (&json!("DISABLED"), &json!("the report"))
    );
    let targets = world.targets(RULE);
    assert_eq!(targets.len(), 1);
    let input: Value =
        serde_json::from_str(targets[0]["Input"].as_str().expect("input")).expect("JSON");
    assert_eq!(
        input,
        json!({"containerOverrides": [{"name": "job", "command": ["report"], "environment": [{"name": "EMPTY", "value": ""}]}]})
    );
    let ecs = &targets[0]["EcsParameters"];
    assert_eq!(ecs["TaskCount"], 2);
    assert_eq!(ecs["LaunchType"], "EC2");
    assert_eq!(ecs["EnableExecuteCommand"], true);
    let vpc = &ecs["NetworkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(
        vpc,
        &json!({"Subnets": ["subnet-1", "subnet-0"], "SecurityGroups": ["sg-1"], "AssignPublicIp": "ENABLED"})
    );
    let definition = ecs["TaskDefinitionArn"].as_str().expect("an ARN");
    assert_eq!(world.image_in(definition, "job"), pinned(&world, "v2"));
    let installation = world.store.installation().await.expect("reads");
    let tags = BTreeMap::from([
        ("evenkeel:installation".to_owned(), installation),
        ("evenkeel:release".to_owned(), "shop/web".to_owned()),
    ]);
    assert_eq!(world.rule_tags(RULE), tags);
}

#[tokio::test(start_paused = true)]
async fn crontab_lines_are_translated() {
    let lines = [
        ("a", "*/15 * * * *"),
        ("b", "30 6 * * 1-5"),
        ("c", "0 0 1 * *"),
    ];
    let schedules: Vec<Value> = lines
        .iter()
        .map(|(name, line)| schedule(name, line))
        .collect();
    let world = delivered(&only(json!(schedules))).await;
    let expressions = ["a", "b", "c"].map(|name| {
        let rule = world.rule(&format!("shop-web-{name}"));
        rule["ScheduleExpression"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    assert_eq!(
        expressions,
        [
            "cron(0/15 * * * ? *)",
            "cron(30 6 ? * MON-FRI *)",
            "cron(0 0 1 * ? *)"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_declared_field_may_change() {
    let world = delivered(&nightly(&json!({}))).await;
    let changed = json!({
        "expression": "rate(1 hour)", "state": "DISABLED", "description": "new", "taskCount": 3,
        "overrides": {"containerOverrides": [{"name": "job", "command": ["x"]}]},
    });
    world.put(&nightly(&changed)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let rule = world.rule(RULE);
    assert_eq!(rule["ScheduleExpression"], "rate(1 hour)");
    assert_eq!(
        (&rule["State"], &rule["Description"]),
        (&json!("DISABLED"), &json!("new"))
    );
    assert_eq!(world.targets(RULE)[0]["EcsParameters"]["TaskCount"], 3);

    // Overrides and state taken out again.
    world.put(&nightly(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
    assert_eq!(world.targets(RULE)[0].get("Input"), None);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_rule_needs_adoption_and_stops_everything_before_it_begins() {
    let world = shop(Breaker::Off).await;
    strangers_rule(&world, RULE, &[target("old", &json!({}))]);
    let before = (world.rule(RULE), world.targets(RULE));
    let mut object = nightly(&json!({}));
    object["spec"]["migrations"] =
        json!([{"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}}]);
    object["spec"]["services"] = json!([{"name": "web", "images": {"web": "web"}}]);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("AdoptionRequired"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!((world.rule(RULE), world.targets(RULE)), before);
    let why = world.why(&key()).await;
    assert!(why.contains(RULE) && why.contains("adopt: true"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn adoption_keeps_what_is_not_declared() {
    let world = shop(Breaker::Off).await;
    let kept = json!({
        "DeadLetterConfig": {"Arn": "arn:aws:sqs:ap-northeast-1:123456789012:dead"},
        "RetryPolicy": {"MaximumRetryAttempts": 4, "MaximumEventAgeInSeconds": 600},
        "EcsParameters": {
            "LaunchType": "FARGATE", "PlatformVersion": "1.4.0", "Group": "nightly",
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-9"]}},
        },
    });
    let lambda = json!({"Id": "watch", "Arn": "arn:aws:lambda:ap-northeast-1:123456789012:function:watch", "Input": "{\"a\":1}"});
    strangers_rule(&world, RULE, &[target("old", &kept), lambda.clone()]);
    world.put(&nightly(&json!({"adopt": true}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let rule = world.rule(RULE);
    assert_eq!(rule["Description"], "by hand");
    assert_eq!(rule["ScheduleExpression"], "cron(0 18 * * ? *)");
    let targets = world.targets(RULE);
    assert_eq!(targets.len(), 2);
    assert!(targets.contains(&lambda), "{targets:?}");
    let ours = targets
        .iter()
        .find(|target| target["Id"] == "old")
        .expect("it is kept");
    for member in ["DeadLetterConfig", "RetryPolicy"] {
        assert_eq!(ours[member], kept[member]);
    }
    for member in [
        "LaunchType",
        "PlatformVersion",
        "Group",
        "NetworkConfiguration",
    ] {
        assert_eq!(ours["EcsParameters"][member], kept["EcsParameters"][member]);
    }
    let definition = ours["EcsParameters"]["TaskDefinitionArn"]
        .as_str()
        .expect("an ARN");
    assert_eq!(world.image_in(definition, "job"), pinned(&world, "v2"));
    let tags = world.rule_tags(RULE);
    assert_eq!(
        (tags.get("team").map(String::as_str), tags.len()),
        (Some("shop"), 3)
    );

    // No longer declared, it does not run our task any more, but it is not deleted: a stranger's
    // target hangs on it.
    world
        .put(&only(json!([schedule("hourly", "rate(1 hour)")])))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.targets(RULE), [lambda]);
    world.resync(&key(), minutes(20), minutes(5)).await;
    assert!(world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn an_input_that_excludes_overrides_is_replaced() {
    let world = shop(Breaker::Off).await;
    let transformed = json!({"InputTransformer": {"InputTemplate": "{}"}});
    strangers_rule(&world, RULE, &[target("old", &transformed)]);
    let overrides = json!({"containerOverrides": [{"name": "job", "command": ["x"]}]});
    world
        .put(&nightly(&json!({"adopt": true, "overrides": overrides})))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.targets(RULE)[0].get("InputTransformer"), None);
}

#[tokio::test(start_paused = true)]
async fn several_ecs_targets_are_not_guessed_among() {
    let world = shop(Breaker::Off).await;
    strangers_rule(
        &world,
        RULE,
        &[target("one", &json!({})), target("two", &json!({}))],
    );
    world.put(&nightly(&json!({"adopt": true}))).await;
    assert_eq!(world.settle(&key()).await, stalled("AdoptionAmbiguous"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let input = json!({"Rule": RULE, "Ids": ["one"]});
    world.aws("events", "RemoveTargets", input);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.targets(RULE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_managed_rule_is_never_touched() {
    let world = shop(Breaker::Off).await;
    world
        .sandbox
        .put_managed_rule(REGION, RULE, "autoscaling.amazonaws.com", "rate(1 hour)");
    world.put(&nightly(&json!({"adopt": true}))).await;
    assert_eq!(world.settle(&key()).await, stalled("ManagedRule"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_taken_is_never_taken_as_done() {
    let world = shop(Breaker::Off).await;
    let fail = |globs: &[&str]| {
        let globs = serde_json::from_value(json!(globs)).expect("globs");
        world
            .sandbox
            .update_settings(|settings| settings.fail_targets = globs);
    };
    fail(&["evenkeel"]);
    world.put(&nightly(&json!({}))).await;
    let error = world.run_once().await.expect_err("it goes on failing");
    assert!(error.to_string().contains(RULE), "{error}");
    assert_eq!(world.targets(RULE), [] as [Value; 0]);
    let status = world.status(&key()).await;
    assert_ne!(status.schedules[0].state, PartState::Done);
    assert_eq!(status.ready_revision, None);
    fail(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.targets(RULE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_taken_out_takes_its_rule_away() {
    let two = only(json!([
        schedule("nightly", "rate(1 day)"),
        schedule("hourly", "rate(1 hour)")
    ]));
    let world = delivered(&two).await;
    strangers_rule(&world, "shop-web-stranger", &[target("x", &json!({}))]);
    world
        .put(&only(json!([schedule("hourly", "rate(1 hour)")])))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(!world.has_rule(RULE));
    assert!(world.has_rule("shop-web-hourly"));
    assert!(world.has_rule("shop-web-stranger"));
    assert_eq!(world.ledger(&key()).await.claims.len(), 1);

    // And the last one.
    let mut none = only(json!([]));
    none["spec"]["services"] = json!([{"name": "web", "images": {"web": "web"}}]);
    world.put(&none).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(!world.has_rule("shop-web-hourly"));
    assert!(world.has_rule("shop-web-stranger"));
}

#[tokio::test(start_paused = true)]
async fn only_rules_with_both_our_tags_are_pruned() {
    let world = delivered(&nightly(&json!({}))).await;
    let installation = world.store.installation().await.expect("reads");
    for (rule, release, table) in [
        ("shop-web-other-table", "shop/web", "another"),
        (
            "shop-web-admin-nightly",
            "shop/web-admin",
            installation.as_str(),
        ),
    ] {
        strangers_rule(&world, rule, &[target("evenkeel", &json!({}))]);
        tag(&world, rule, release, table);
    }
    let other = ReleaseKey::new("shop", "web-admin");
    let mut admin = only(json!([schedule("hourly", "rate(1 hour)")]));
    admin["metadata"]["name"] = json!("web-admin");
    world.put(&admin).await;
    world
        .put(&nightly(&json!({"expression": "rate(1 day)"})))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.settle(&other).await, Stands::Ready);
    assert!(world.has_rule("shop-web-other-table"));
    assert!(world.has_rule("shop-web-admin-hourly"));
    // The other release's own leftover is pruned by that release.
    assert!(!world.has_rule("shop-web-admin-nightly"));
    assert!(world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn a_renamed_rule_leaves_nothing_behind() {
    let world = delivered(&nightly(&json!({"ruleName": "reports.nightly"}))).await;
    assert!(world.has_rule("reports.nightly"));
    world
        .put(&nightly(&json!({"ruleName": "reports.daily"})))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(!world.has_rule("reports.nightly"));
    assert!(world.has_rule("reports.daily"));
    let claims = world.ledger(&key()).await.claims;
    assert!(
        claims.keys().all(|arn| arn.ends_with("/reports.daily")),
        "{claims:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn prune_off_leaves_rules() {
    let mut object = only(json!([
        schedule("nightly", "rate(1 day)"),
        schedule("hourly", "rate(1 hour)")
    ]));
    object["spec"]["prune"] = json!(false);
    let world = delivered(&object).await;
    object["spec"]["schedules"] = json!([schedule("hourly", "rate(1 hour)")]);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(world.has_rule(RULE));
    object["spec"]["prune"] = json!(true);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(!world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pruned_after_a_read_that_failed() {
    for action in [
        "events:ListRules",
        "events:ListTagsForResource",
        "events:ListTargetsByRule",
    ] {
        let two = only(json!([
            schedule("nightly", "rate(1 day)"),
            schedule("hourly", "rate(1 hour)")
        ]));
        let world = delivered(&two).await;
        world.deny(&[action]);
        world
            .put(&only(json!([schedule("hourly", "rate(1 hour)")])))
            .await;
        assert_eq!(
            world.settle(&key()).await,
            stalled("AccessDenied"),
            "{action}"
        );
        assert_eq!(world.aws_writes(), [] as [&str; 0], "{action}");
        let why = world.why(&key()).await;
        assert!(why.contains(action), "{why}");
        world.deny(&[]);
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{action}");
        assert!(!world.has_rule(RULE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_lags_behind_is_pruned_once_and_for_all() {
    let two = only(json!([
        schedule("nightly", "rate(1 day)"),
        schedule("hourly", "rate(1 hour)")
    ]));
    let world = delivered(&two).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(20));
    world
        .put(&only(json!([schedule("hourly", "rate(1 hour)")])))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert!(!world.has_rule(RULE));
}

#[tokio::test(start_paused = true)]
async fn schedules_wait_for_the_services() {
    let world = shop(Breaker::Rollback).await;
    let mut object = nightly(&json!({}));
    object["spec"]["services"] = json!([{"name": "web", "images": {"web": "web"}}]);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let order: Vec<String> = world.aws_writes();
    let place = |name: &str| order.iter().position(|call| call == name).expect(name);
    assert!(
        place("ecs.UpdateService") < place("events.PutRule"),
        "{order:?}"
    );

    world.sandbox.reset_calls();
    object["spec"]["images"]["web"]["tag"] = json!("bad");
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert!(world.sent("PutTargets").is_empty());
    let definition = world.targets(RULE)[0]["EcsParameters"]["TaskDefinitionArn"].clone();
    let image = world.image_in(definition.as_str().expect("an ARN"), "job");
    assert_eq!(image, pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn capacity_providers_and_launch_types_replace_each_other() {
    let world = shop(Breaker::Off).await;
    let tasks = json!({"tasks": {"launchType": "EC2"}});
    world.put(&environment(&tasks)).await;
    world.put(&nightly(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let strategy = json!([{"capacityProvider": "spot", "weight": 1}]);
    world
        .put(&nightly(
            &json!({"tasks": {"capacityProviderStrategy": strategy}}),
        ))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let ecs = world.targets(RULE)[0]["EcsParameters"].clone();
    assert_eq!(ecs.get("LaunchType"), None);
    assert_eq!(ecs["CapacityProviderStrategy"], strategy);
    pass(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn two_releases_do_not_share_a_rule() {
    let world = delivered(&nightly(&json!({"ruleName": "shared"}))).await;
    let second = ReleaseKey::new("shop", "second");
    let mut object = nightly(&json!({"ruleName": "shared", "adopt": true}));
    object["metadata"]["name"] = json!("second");
    world.put(&object).await;
    assert_eq!(world.settle(&second).await, stalled("Conflict"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let tags = world.rule_tags("shared");
    assert_eq!(tags["evenkeel:release"], "shop/web");
}
