use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::types::{
    EcsParameters, FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleState, Tag, Target,
};

use super::*;

const GROUP: &str = "shop-web";
const CLUSTER: &str = "arn:aws:ecs:ap-northeast-1:123456789012:cluster/main";
const ROLE: &str = "arn:aws:iam::123456789012:role/scheduler";

fn client(sandbox: &Sandbox) -> Client {
    client!(aws_sdk_scheduler, sandbox)
}

fn off() -> FlexibleTimeWindow {
    let mode = FlexibleTimeWindowMode::Off;
    FlexibleTimeWindow::builder().mode(mode).build().unwrap()
}

fn target() -> Target {
    let ecs = EcsParameters::builder()
        .task_definition_arn("arn:aws:ecs:ap-northeast-1:123456789012:task-definition/a:1")
        .build()
        .unwrap();
    let target = Target::builder().arn(CLUSTER).role_arn(ROLE);
    target.ecs_parameters(ecs).build().unwrap()
}

async fn group(client: &Client) {
    let tag = Tag::builder().key("team").value("shop").build().unwrap();
    let request = client.create_schedule_group().name(GROUP).tags(tag);
    request.send().await.unwrap();
}

async fn create(client: &Client, name: &str, token: &str) -> Result<String, (String, String)> {
    let answer = client
        .create_schedule()
        .group_name(GROUP)
        .name(name)
        .client_token(token)
        .schedule_expression("cron(30 2 * * ? *)")
        .schedule_expression_timezone("Europe/Berlin")
        .description("as it was")
        .flexible_time_window(off())
        .target(target())
        .send()
        .await;
    answer
        .map(|answer| answer.schedule_arn().to_owned())
        .map_err(|error| told(&error))
}

#[tokio::test(start_paused = true)]
async fn what_an_update_leaves_out_goes_back_to_its_default() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    group(&client).await;
    let arn = create(&client, "nightly", "a").await.unwrap();
    assert!(arn.ends_with(":schedule/shop-web/nightly"), "{arn}");
    let get = || {
        client
            .get_schedule()
            .group_name(GROUP)
            .name("nightly")
            .send()
    };
    let made = get().await.unwrap();
    assert_eq!(made.schedule_expression_timezone(), Some("Europe/Berlin"));
    assert_eq!(made.state(), Some(&ScheduleState::Enabled));
    let policy = made
        .target()
        .and_then(Target::retry_policy)
        .unwrap()
        .clone();
    assert_eq!(
        (
            policy.maximum_event_age_in_seconds(),
            policy.maximum_retry_attempts()
        ),
        (Some(86_400), Some(185))
    );
    let update = client
        .update_schedule()
        .group_name(GROUP)
        .name("nightly")
        .schedule_expression("rate(1 hour)")
        .state(ScheduleState::Disabled)
        .flexible_time_window(off())
        .target(target());
    update.send().await.unwrap();
    let now = get().await.unwrap();
    assert_eq!(now.schedule_expression_timezone(), Some("UTC"));
    assert_eq!(
        (now.description(), now.state()),
        (None, Some(&ScheduleState::Disabled))
    );
    assert_eq!(now.creation_date(), made.creation_date());
    assert!(now.last_modification_date() > made.last_modification_date());
    let listed = client
        .list_schedules()
        .group_name(GROUP)
        .send()
        .await
        .unwrap();
    let listed = &listed.schedules()[0];
    assert_eq!(
        listed.last_modification_date(),
        now.last_modification_date()
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_makes_a_call_harmless_to_repeat_and_a_name_is_given_once() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let missing = create(&client, "nightly", "a").await.unwrap_err();
    assert_eq!(missing.0, "ResourceNotFoundException");
    group(&client).await;
    let first = create(&client, "nightly", "a").await.unwrap();
    assert_eq!(create(&client, "nightly", "a").await.unwrap(), first);
    let other = create(&client, "nightly", "b").await.unwrap_err();
    assert_eq!(other.0, "ConflictException");
    let reused = create(&client, "hourly", "a").await.unwrap_err();
    assert_eq!(reused.0, "ConflictException");
    let again = client.create_schedule_group().name(GROUP).send().await;
    assert_eq!(told(&again.unwrap_err()).0, "ConflictException");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_deleted_with_all_that_is_in_it_after_a_while() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    group(&client).await;
    create(&client, "nightly", "a").await.unwrap();
    client
        .delete_schedule_group()
        .name(GROUP)
        .send()
        .await
        .unwrap();
    let state = client
        .get_schedule_group()
        .name(GROUP)
        .send()
        .await
        .unwrap();
    assert_eq!(state.state().map(|it| it.as_str()), Some("DELETING"));
    let refused = create(&client, "hourly", "b").await.unwrap_err();
    assert_eq!(refused.0, "ConflictException");
    sandbox.skip(Duration::from_secs(20));
    let gone = client.get_schedule_group().name(GROUP).send().await;
    assert_eq!(told(&gone.unwrap_err()).0, "ResourceNotFoundException");
    let gone = client.list_schedules().group_name(GROUP).send().await;
    assert_eq!(told(&gone.unwrap_err()).0, "ResourceNotFoundException");
    group(&client).await;
    create(&client, "nightly", "c").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tags_are_a_groups() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    group(&client).await;
    let found = client
        .get_schedule_group()
        .name(GROUP)
        .send()
        .await
        .unwrap();
    let arn = found.arn().unwrap();
    let tag = Tag::builder().key("x").value("y").build().unwrap();
    client
        .tag_resource()
        .resource_arn(arn)
        .tags(tag)
        .send()
        .await
        .unwrap();
    let list = || client.list_tags_for_resource().resource_arn(arn).send();
    assert_eq!(list().await.unwrap().tags().len(), 2);
    let untag = client.untag_resource().resource_arn(arn).tag_keys("team");
    untag.send().await.unwrap();
    assert_eq!(list().await.unwrap().tags()[0].key(), "x");
}

#[tokio::test(start_paused = true)]
async fn what_aws_does_not_take_is_refused() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    group(&client).await;
    let good = json!({
        "Name": "a", "GroupName": GROUP, "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": CLUSTER, "RoleArn": ROLE,
                   "EcsParameters": {"TaskDefinitionArn": "a:1"}},
    });
    let call = |input: Value| sandbox.call("scheduler", REGION, "CreateSchedule", input);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut input = good.clone();
        change(&mut input);
        call(input)
    };
    for (what, refused) in [
        ("name", with(&|it| it["Name"] = json!("a b"))),
        (
            "expression",
            with(&|it| it["ScheduleExpression"] = json!("0 1 * * *")),
        ),
        (
            "once",
            with(&|it| it["ScheduleExpression"] = json!("at(2026-13-01T00:00:00)")),
        ),
        (
            "zone",
            with(&|it| it["ScheduleExpressionTimezone"] = json!("Europe/Bonn")),
        ),
        ("window", with(&|it| it["FlexibleTimeWindow"] = Value::Null)),
        (
            "minutes",
            with(&|it| it["FlexibleTimeWindow"] = json!({"Mode": "FLEXIBLE"})),
        ),
        ("state", with(&|it| it["State"] = json!("PAUSED"))),
        (
            "role",
            with(&|it| it["Target"]["RoleArn"] = json!("scheduler")),
        ),
        (
            "ecs",
            with(&|it| it["Target"]["EcsParameters"] = Value::Null),
        ),
        (
            "retries",
            with(&|it| it["Target"]["RetryPolicy"] = json!({"MaximumRetryAttempts": 186})),
        ),
        (
            "age",
            with(&|it| it["Target"]["RetryPolicy"] = json!({"MaximumEventAgeInSeconds": 59})),
        ),
        ("start", with(&|it| it["StartDate"] = json!(1_700_000_000))),
        ("end", with(&|it| it["EndDate"] = json!(1_700_000_000))),
        (
            "queue",
            with(&|it| it["Target"]["DeadLetterConfig"] = json!({"Arn": "dead"})),
        ),
    ] {
        assert_eq!(refused.unwrap_err().code, "ValidationException", "{what}");
    }
    call(good.clone()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_begins_with_a_run_in_scheduler_and_with_a_pause_in_rules() {
    let sandbox = sandbox();
    sandbox.update_settings(|settings| settings.fire_schedules = true);
    let call = |service: &str, operation: &str, input: Value| {
        sandbox.call(service, REGION, operation, input).unwrap()
    };
    let ecs = json!({"TaskDefinitionArn": "a:1"});
    call(
        "scheduler",
        "CreateSchedule",
        json!({
            "Name": "a", "ScheduleExpression": "rate(1 hour)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": CLUSTER, "RoleArn": ROLE, "EcsParameters": ecs},
        }),
    );
    call(
        "events",
        "PutRule",
        json!({"Name": "a", "ScheduleExpression": "rate(1 hour)"}),
    );
    let target = json!({"Id": "a", "Arn": CLUSTER, "RoleArn": ROLE, "EcsParameters": ecs});
    call(
        "events",
        "PutTargets",
        json!({"Rule": "a", "Targets": [target]}),
    );
    sandbox.skip(Duration::from_secs(3700));
    let fired = sandbox.firings();
    let by: Vec<(&str, String)> = fired
        .iter()
        .map(|it| (it.by.as_str(), it.at.to_string()))
        .collect();
    assert_eq!(
        by,
        [
            ("schedule/default/a", "2026-11-21T00:00:00Z".to_owned()),
            ("rule/a", "2026-11-21T01:00:00Z".to_owned()),
            ("schedule/default/a", "2026-11-21T01:00:00Z".to_owned()),
        ]
    );
}
