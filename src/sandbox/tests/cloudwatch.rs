use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, StateValue, Statistic};

use super::*;
use crate::aws::{Aws, ErrorClass};
use crate::model::known::Known;

/// An alarm of the SDK's making.
async fn put(client: &aws_sdk_cloudwatch::Client, name: &str) {
    let put = client
        .put_metric_alarm()
        .alarm_name(name)
        .namespace("AWS/ApplicationELB")
        .metric_name("HTTPCode_Target_5XX_Count")
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(5.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold);
    put.send().await.unwrap();
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test(start_paused = true)]
async fn an_alarm_has_the_state_that_was_set_and_since_when() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_cloudwatch, sandbox);
    put(&client, "errors").await;
    sandbox.skip(Duration::from_secs(60));
    let set = client
        .set_alarm_state()
        .alarm_name("errors")
        .state_value(StateValue::Alarm)
        .state_reason("Threshold Crossed: 7.0 is greater than 5.0");
    set.send().await.unwrap();
    sandbox.skip(Duration::from_secs(60));
    // The same again is no transition, and neither is another threshold.
    let set = client
        .set_alarm_state()
        .alarm_name("errors")
        .state_value(StateValue::Alarm)
        .state_reason("8.0");
    set.send().await.unwrap();
    put(&client, "errors").await;
    let told = client.describe_alarms().send().await.unwrap();
    let alarm = &told.metric_alarms()[0];
    let start = sandbox.now().as_second() - 120;
    let seconds =
        |at: Option<&aws_sdk_cloudwatch::primitives::DateTime>| at.map(|at| at.secs() - start);
    assert_eq!(alarm.state_value(), Some(&StateValue::Alarm));
    assert_eq!(alarm.state_reason(), Some("8.0"));
    assert_eq!(alarm.threshold(), Some(5.0));
    assert_eq!(alarm.period(), Some(60));
    assert_eq!(seconds(alarm.state_transitioned_timestamp()), Some(60));
    assert_eq!(seconds(alarm.state_updated_timestamp()), Some(120));
    let arn = "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:errors";
    assert_eq!(alarm.alarm_arn(), Some(arn));
}

#[tokio::test(start_paused = true)]
async fn alarms_are_found_by_type_prefix_and_state() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_cloudwatch, sandbox);
    for name in ["a-1", "a-2", "b"] {
        put(&client, name).await;
    }
    let composite = client.put_composite_alarm().alarm_name("a-all");
    let composite = composite.alarm_rule("ALARM(\"a-1\") OR ALARM(\"a-2\")");
    composite.send().await.unwrap();
    let quiet = client.set_alarm_state().alarm_name("a-2");
    let quiet = quiet.state_value(StateValue::Ok).state_reason("fine");
    quiet.send().await.unwrap();
    let count = |told: aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput| {
        (told.metric_alarms().len(), told.composite_alarms().len())
    };
    let all = client.describe_alarms();
    assert_eq!(count(all.send().await.unwrap()), (3, 0));
    let both = client.describe_alarms().alarm_types(AlarmType::MetricAlarm);
    let both = both.alarm_types(AlarmType::CompositeAlarm);
    let by_prefix = both.clone().alarm_name_prefix("a-");
    assert_eq!(count(by_prefix.send().await.unwrap()), (2, 1));
    let by_state = both.state_value(StateValue::Ok);
    assert_eq!(count(by_state.send().await.unwrap()), (1, 0));
    client
        .delete_alarms()
        .alarm_names("b")
        .send()
        .await
        .unwrap();
    assert_eq!(
        count(client.describe_alarms().send().await.unwrap()),
        (2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_cloudwatch, sandbox);
    let missing = client.set_alarm_state().alarm_name("none");
    let missing = missing.state_value(StateValue::Ok).state_reason("").send();
    assert_eq!(told(&missing.await.unwrap_err()).0, "ResourceNotFound");
    let missing = client.delete_alarms().alarm_names("none").send().await;
    let (code, message) = told(&missing.unwrap_err());
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ResourceNotFound", "Unknown alarm: none")
    );
    let page = client.describe_alarms().next_token("zz").send().await;
    assert_eq!(told(&page.unwrap_err()).0, "InvalidNextToken");
    let unknown = client.list_dashboards().send().await.unwrap_err();
    assert_eq!(told(&unknown).0, "UnknownOperation");
}

#[tokio::test(start_paused = true)]
async fn evenkeel_reads_alarms_of_both_types_and_any_number() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_cloudwatch, sandbox);
    let many: Vec<String> = (0..150).map(|n| format!("alarm-{n}")).collect();
    for name in &many {
        put(&client, name).await;
    }
    let all = client.put_composite_alarm().alarm_name("all");
    all.alarm_rule("ALARM(\"alarm-1\")").send().await.unwrap();
    let aws = Aws::for_test(sandbox.http_client(), REGION);
    let cloudwatch = aws.region(REGION).cloudwatch;
    let mut asked: BTreeSet<String> = many.into_iter().collect();
    asked.extend(names(["all", "none"]));
    sandbox.reset_calls();
    let found = cloudwatch.alarms(&asked).await.unwrap();
    assert_eq!(sandbox.calls()["cloudwatch.DescribeAlarms"], 2);
    assert_eq!(found.len(), 152);
    let there = found.values().filter(|it| it.present().is_some()).count();
    assert_eq!((there, &found["none"]), (151, &Known::Absent));
    let all = found["all"].present().unwrap();
    assert_eq!(all.state, "INSUFFICIENT_DATA");
    assert_eq!(all.since, Some(sandbox.now()));
}

#[tokio::test(start_paused = true)]
async fn a_denied_read_is_told_and_a_throttled_one_is_made_again() {
    let sandbox = sandbox();
    let aws = Aws::for_test(sandbox.http_client(), REGION);
    let cloudwatch = aws.region(REGION).cloudwatch;
    let deny = |deny: &[&str]| {
        let globs = serde_json::from_value(json!(deny)).unwrap();
        sandbox.update_settings(|settings| settings.deny = globs);
    };
    deny(&["cloudwatch:DescribeAlarms"]);
    let denied = cloudwatch.alarms(&names(["errors"])).await.unwrap_err();
    assert_eq!(denied.class, ErrorClass::Denied);
    let text = denied.to_string();
    assert!(
        text.starts_with("cloudwatch:DescribeAlarms of alarm errors was denied"),
        "{text}"
    );
    assert!(text.contains("Allow cloudwatch:DescribeAlarms"), "{text}");
    deny(&[]);
    sandbox.update_settings(|settings| settings.throttle = true);
    for _ in 0..20 {
        // Tried again by the SDK, which knows the error.
        cloudwatch.alarms(&names(["errors"])).await.unwrap();
    }
    let name = "cloudwatch.DescribeAlarms".to_owned();
    let refused = sandbox.refused_calls();
    assert!(refused[&(name, "ThrottlingException".to_owned())] > 0);
}
