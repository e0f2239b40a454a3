//! Schedules of EventBridge Scheduler: made in the release's group, changed, taken away, and moved
//! from rules and back.

mod failing;
mod moving;
mod times;

use std::collections::BTreeMap;

use evenkeel::resource::release::ScheduleBackend;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Firing;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, Stands, delivered, key, merge, minutes, pinned, release, schedule, seconds, shop,
    stalled,
};
use crate::world::{REGION, World};

const GROUP: &str = "shop-web";

pub fn only(schedules: Value) -> Value {
    release("web", "v2", &json!({"schedules": schedules}))
}

/// A schedule that EventBridge Scheduler fires.
pub fn scheduled(name: &str, expression: &str, more: &Value) -> Value {
    let mut scheduled = schedule(name, expression);
    merge(&mut scheduled, &json!({"backend": "Scheduler"}));
    merge(&mut scheduled, more);
    scheduled
}

fn nightly(more: &Value) -> Value {
    only(json!([scheduled("nightly", "cron(0 18 * * ? *)", more)]))
}

impl World {
    pub fn scheduled(&self, name: &str) -> Value {
        self.aws(
            "scheduler",
            "GetSchedule",
            json!({"GroupName": GROUP, "Name": name}),
        )
    }

    /// Names of what is in the release's group; none where there is no group.
    pub fn in_group(&self) -> Option<Vec<String>> {
        let input = json!({"GroupName": GROUP});
        let answer = self
            .sandbox
            .call("scheduler", REGION, "ListSchedules", input)
            .ok()?;
        let listed = answer["Schedules"].as_array().cloned().unwrap_or_default();
        let name = |it: &Value| it["Name"].as_str().unwrap_or_default().to_owned();
        Some(listed.iter().map(name).collect())
    }

    fn group_tags(&self) -> BTreeMap<String, String> {
        let arn = format!("arn:aws:scheduler:{REGION}:123456789012:schedule-group/{GROUP}");
        let answer = self.aws(
            "scheduler",
            "ListTagsForResource",
            json!({"ResourceArn": arn}),
        );
        let tags = answer["Tags"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"])))
            .collect()
    }

    /// Lets schedules start their tasks.
    pub fn fires(&self) {
        self.sandbox
            .update_settings(|settings| settings.fire_schedules = true);
    }

    /// Changes a schedule as somebody else does.
    fn by_somebody(&self, name: &str, change: &Value) {
        let mut input = self.scheduled(name);
        for told in ["Arn", "CreationDate", "LastModificationDate"] {
            input.as_object_mut().expect("an object").shift_remove(told);
        }
        merge(&mut input, change);
        self.aws("scheduler", "UpdateSchedule", input);
    }
}

/// When something fired.
pub fn times(firings: &[Firing]) -> Vec<String> {
    firings.iter().map(|it| it.at.to_string()).collect()
}

/// A schedule that somebody else made, in a group of theirs.
fn strangers_group(world: &World, schedules: &[&str]) {
    world.aws(
        "scheduler",
        "CreateScheduleGroup",
        json!({"Name": GROUP, "Tags": [{"Key": "team", "Value": "shop"}]}),
    );
    for name in schedules {
        let definition = format!("arn:aws:ecs:{REGION}:123456789012:task-definition/job:1");
        let input = json!({
            "Name": name, "GroupName": GROUP, "ScheduleExpression": "rate(2 hours)",
            "FlexibleTimeWindow": {"Mode": "OFF"}, "Description": "by hand",
            "Target": {
                "Arn": format!("arn:aws:ecs:{REGION}:123456789012:cluster/shop"),
                "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
                "EcsParameters": {"TaskDefinitionArn": definition, "Group": "nightly"},
                "RetryPolicy": {"MaximumRetryAttempts": 4, "MaximumEventAgeInSeconds": 600},
            },
        });
        world.aws("scheduler", "CreateSchedule", input);
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_runs_the_released_image_as_declared() {
    let world = shop(Breaker::Off).await;
    let network = json!({"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}});
    world
        .put(&only(json!([scheduled("nightly", "30 2 * * 1-5", &json!({
            "timeZone": "Europe/Berlin", "flexibleTimeWindow": "15m", "description": "the report",
            "start": "2026-04-01T00:00:00Z", "end": "2030-01-01T00:00:00Z",
            "tasks": {"launchType": "EC2", "networkConfiguration": network},
            "overrides": {"containerOverrides": [{"name": "job", "command": ["report"]}]},
            "deadLetterQueueArn": format!("arn:aws:sqs:{REGION}:123456789012:dead"),
            "retryPolicy": {"maximumEventAge": "1h", "maximumRetryAttempts": 3},
        }))])))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let found = world.scheduled("nightly");
    assert_eq!(found["ScheduleExpression"], "cron(30 2 ? * MON-FRI *)");
    assert_eq!(found["ScheduleExpressionTimezone"], "Europe/Berlin");
    let window = json!({"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15});
    assert_eq!(found["FlexibleTimeWindow"], window);
    assert_eq!(
        (&found["State"], &found["Description"]),
        (&json!("ENABLED"), &json!("the report"))
    );
    assert_eq!(
        (found["StartDate"].as_i64(), found["EndDate"].as_i64()),
        (Some(1_775_001_600), Some(1_893_456_000))
    );
    let target = &found["Target"];
    assert_eq!(
        target["Arn"],
        format!("arn:aws:ecs:{REGION}:123456789012:cluster/shop")
    );
    assert_eq!(target.get("Id"), None);
    assert_eq!(
        target["RetryPolicy"],
        json!({"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3})
    );
    assert_eq!(
        target["DeadLetterConfig"]["Arn"],
        format!("arn:aws:sqs:{REGION}:123456789012:dead")
    );
    let input: Value =
        serde_json::from_str(target["Input"].as_str().expect("input")).expect("JSON");
    assert_eq!(
        input,
        json!({"containerOverrides": [{"name": "job", "command": ["report"]}]})
    );
    let definition = target["EcsParameters"]["TaskDefinitionArn"]
        .as_str()
        .expect("an ARN");
    assert_eq!(world.image_in(definition, "job"), pinned(&world, "v2"));
    let installation = world.store.installation().await.expect("reads");
    let tags = BTreeMap::from([
        ("evenkeel:installation".to_owned(), installation),
        ("evenkeel:release".to_owned(), "shop/web".to_owned()),
    ]);
    assert_eq!(world.group_tags(), tags);
    let status = world.status(&key()).await.schedules.remove(0);
    assert_eq!(status.backend, Some(ScheduleBackend::Scheduler));
    assert_eq!(status.schedule_name.as_deref(), Some("shop-web/nightly"));
    assert_eq!((status.rule_name, status.state), (None, PartState::Done));
    assert!(!world.has_rule("shop-web-nightly"));
}

#[tokio::test(start_paused = true)]
async fn another_image_and_each_declared_field_change_and_nothing_else() {
    let world = delivered(&nightly(&json!({}))).await;
    // What nobody declares stays.
    let extra = json!({"ActionAfterCompletion": "DELETE", "Target": {"EcsParameters": {"Group": "reports"}}});
    world.by_somebody("nightly", &extra);
    let mut next = nightly(&json!({
        "expression": "rate(1 hour)", "state": "DISABLED", "taskCount": 3, "flexibleTimeWindow": "5m",
    }));
    next["spec"]["images"]["web"]["tag"] = json!("v3");
    world.put(&next).await;
    let plan = world.reconciler().preview(&key()).await.expect("plans");
    assert!(!plan.actions.is_empty());
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let found = world.scheduled("nightly");
    assert_eq!(found["ScheduleExpression"], "rate(1 hour)");
    assert_eq!(
        (&found["State"], &found["ActionAfterCompletion"]),
        (&json!("DISABLED"), &json!("DELETE"))
    );
    let ecs = &found["Target"]["EcsParameters"];
    assert_eq!(
        (&ecs["TaskCount"], &ecs["Group"]),
        (&json!(3), &json!("reports"))
    );
    let definition = ecs["TaskDefinitionArn"].as_str().expect("an ARN");
    assert_eq!(world.image_in(definition, "job"), pinned(&world, "v3"));
    world.put(&nightly(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let found = world.scheduled("nightly");
    assert_eq!(
        (&found["State"], &found["FlexibleTimeWindow"]),
        (&json!("ENABLED"), &json!({"Mode": "OFF"}))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_declared_any_more_goes_and_the_group_with_the_last() {
    let two = only(json!([
        scheduled("nightly", "rate(1 day)", &json!({})),
        scheduled("hourly", "rate(1 hour)", &json!({})),
    ]));
    let world = delivered(&two).await;
    assert_eq!(
        world.in_group(),
        Some(vec!["hourly".to_owned(), "nightly".to_owned()])
    );
    let one = only(json!([scheduled("hourly", "rate(1 hour)", &json!({}))]));
    let mut kept = one.clone();
    kept["spec"]["prune"] = json!(false);
    world.put(&kept).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group().map(|all| all.len()), Some(2));
    world.put(&one).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), Some(vec!["hourly".to_owned()]));
    let claims = world.ledger(&key()).await.claims;
    assert_eq!(claims.len(), 2, "the schedule and its group: {claims:?}");

    let mut none = only(json!([]));
    none["spec"]["services"] = json!([{"name": "web", "images": {"web": "web"}}]);
    world.put(&none).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), None);
    assert_eq!(world.ledger(&key()).await.claims.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_group_needs_adoption_and_is_never_written() {
    let world = shop(Breaker::Off).await;
    strangers_group(&world, &["nightly"]);
    let before = world.scheduled("nightly");
    world.put(&nightly(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, stalled("AdoptionRequired"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    assert_eq!(world.scheduled("nightly"), before);
    let why = world.why(&key()).await;
    assert!(why.contains(GROUP) && why.contains("adopt: true"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn adoption_takes_a_group_whose_schedules_are_all_declared_and_keeps_what_is_not() {
    let world = shop(Breaker::Off).await;
    strangers_group(&world, &["nightly", "theirs"]);
    world.put(&nightly(&json!({"adopt": true}))).await;
    assert_eq!(world.settle(&key()).await, stalled("AdoptionAmbiguous"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let why = world.why(&key()).await;
    assert!(why.contains("theirs"), "{why}");
    world.aws(
        "scheduler",
        "DeleteSchedule",
        json!({"GroupName": GROUP, "Name": "theirs"}),
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let found = world.scheduled("nightly");
    assert_eq!(found["Description"], "by hand");
    assert_eq!(
        found["Target"]["RetryPolicy"],
        json!({"MaximumEventAgeInSeconds": 600, "MaximumRetryAttempts": 4})
    );
    assert_eq!(found["Target"]["EcsParameters"]["Group"], "nightly");
    assert_eq!(
        world.group_tags().get("team").map(String::as_str),
        Some("shop")
    );
    assert_eq!(world.group_tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pruned_after_a_read_that_failed() {
    for action in [
        "ListSchedules",
        "GetSchedule",
        "GetScheduleGroup",
        "ListTagsForResource",
    ] {
        let two = only(json!([
            scheduled("nightly", "rate(1 day)", &json!({})),
            scheduled("hourly", "rate(1 hour)", &json!({})),
        ]));
        let world = delivered(&two).await;
        let action = format!("scheduler:{action}");
        world.deny(&[&action]);
        world
            .put(&only(json!([scheduled(
                "hourly",
                "rate(1 hour)",
                &json!({})
            )])))
            .await;
        assert_eq!(
            world.settle(&key()).await,
            stalled("AccessDenied"),
            "{action}"
        );
        assert_eq!(world.aws_writes(), [] as [&str; 0], "{action}");
        let why = world.why(&key()).await;
        assert!(why.contains(&action), "{why}");
        world.deny(&[]);
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{action}");
        assert_eq!(world.in_group(), Some(vec!["hourly".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn drift_of_each_declared_field_is_put_right() {
    let more = json!({"timeZone": "Asia/Tokyo"});
    for (change, field) in [
        (
            json!({"ScheduleExpression": "rate(5 minutes)"}),
            "ScheduleExpression",
        ),
        (
            json!({"ScheduleExpressionTimezone": "UTC"}),
            "ScheduleExpressionTimezone",
        ),
        (json!({"State": "DISABLED"}), "State"),
        (
            json!({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 3}}),
            "FlexibleTimeWindow",
        ),
        (
            json!({"Target": {"EcsParameters": {"TaskCount": 2}}}),
            "target.EcsParameters.TaskCount",
        ),
    ] {
        let world = delivered(&nightly(&more)).await;
        let before = world.scheduled("nightly");
        crate::shop::pass(minutes(1)).await;
        world.by_somebody("nightly", &change);
        assert_ne!(world.scheduled("nightly"), before);
        assert_eq!(world.run(&key()).await, Stands::Ready, "{field}");
        let found = world.scheduled("nightly");
        for member in [
            "ScheduleExpression",
            "ScheduleExpressionTimezone",
            "State",
            "FlexibleTimeWindow",
            "Target",
        ] {
            assert_eq!(found[member], before[member], "{field}");
        }
        assert_eq!(world.aws_writes(), ["scheduler.UpdateSchedule"], "{field}");
        world.settle(&key()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_schedule_is_made_again_and_an_extra_one_is_taken_away() {
    let world = delivered(&nightly(&json!({}))).await;
    world.aws(
        "scheduler",
        "DeleteSchedule",
        json!({"GroupName": GROUP, "Name": "nightly"}),
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), Some(vec!["nightly".to_owned()]));
    let mut extra = world.scheduled("nightly");
    extra["Name"] = json!("extra");
    world.aws("scheduler", "CreateSchedule", extra);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), Some(vec!["nightly".to_owned()]));
    // The whole group.
    world.aws("scheduler", "DeleteScheduleGroup", json!({"Name": GROUP}));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), Some(vec!["nightly".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn drift_that_is_only_reported_is_left() {
    let mut object = nightly(&json!({}));
    object["spec"]["drift"] = json!({"policy": "Report"});
    let world = delivered(&object).await;
    world.by_somebody("nightly", &json!({"State": "DISABLED"}));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.scheduled("nightly")["State"], "DISABLED");
    let differences = world.differences(&key()).await;
    assert_eq!(differences.len(), 1);
    assert_eq!(
        (
            differences[0].field.as_str(),
            differences[0].actual.as_str()
        ),
        ("State", "DISABLED")
    );
}

#[tokio::test(start_paused = true)]
async fn a_settled_sweep_lists_the_group_and_reads_nothing_more() {
    let many: Vec<Value> = (0..10)
        .map(|number| scheduled(&format!("job-{number}"), "rate(1 day)", &json!({})))
        .collect();
    let world = delivered(&only(json!(many))).await;
    let controller = world.controller();
    world.sandbox.reset_calls();
    let hour = tokio::time::sleep(minutes(58));
    controller.run(hour).await.expect("runs");
    let calls = world.sandbox.calls();
    let of = |name: &str| {
        calls
            .get(&format!("scheduler.{name}"))
            .copied()
            .unwrap_or(0)
    };
    assert!(of("ListSchedules") >= 10, "{calls:?}");
    // Those of the first pass, and of what looked afresh.
    assert!(of("GetSchedule") <= 30, "{calls:?}");
    assert!(of("GetScheduleGroup") <= 3, "{calls:?}");
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_make_nothing_twice() {
    let world = shop(Breaker::Off).await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(20));
    world.put(&nightly(&json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.in_group(), Some(vec!["nightly".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn deletion_takes_the_group_away_or_leaves_it() {
    for (policy, left) in [
        ("Delete", None),
        ("Orphan", Some(vec!["nightly".to_owned()])),
    ] {
        let mut object = nightly(&json!({}));
        object["spec"]["deletionPolicy"] = json!(policy);
        let world = delivered(&object).await;
        let now = world.sandbox.now();
        let asked = world.store.delete_release(&key(), false, now).await;
        asked.expect("asks");
        world.run_once().await.expect("runs");
        assert!(
            world.store.release(&key()).await.expect("reads").is_none(),
            "{policy}"
        );
        assert_eq!(world.in_group(), left, "{policy}");
    }
}
