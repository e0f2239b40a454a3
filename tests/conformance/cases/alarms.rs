//! ministack's CloudWatch before our reader of alarms. Its protocol is Smithy's RPC in CBOR, which
//! moto does not speak, and ministack only with the package that it uses in its own tests.

use std::collections::BTreeSet;

use evenkeel::model::known::Known;
use serde_json::json;

use crate::servers::{REGION, Server};

#[tokio::test]
async fn the_states_of_alarms_of_both_types_are_read() {
    let server = Server::ministack();
    for name in ["errors", "latency"] {
        let alarm = json!({
            "AlarmName": name, "Namespace": "AWS/ApplicationELB",
            "MetricName": "HTTPCode_Target_5XX_Count", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold",
        });
        server.call("cloudwatch", "PutMetricAlarm", &alarm);
    }
    let both =
        json!({"AlarmName": "both", "AlarmRule": "ALARM(\"errors\") AND ALARM(\"latency\")"});
    server.call("cloudwatch", "PutCompositeAlarm", &both);
    let set = json!({"AlarmName": "errors", "StateValue": "ALARM", "StateReason": "6 > 5"});
    server.call("cloudwatch", "SetAlarmState", &set);

    let aws = server.aws().await;
    let names = ["errors", "latency", "both", "none"].map(str::to_owned);
    let asked = BTreeSet::from(names);
    let read = aws.region(REGION).cloudwatch.alarms(&asked).await;
    let found = read.expect("ministack answers");
    let errors = found["errors"].present().expect("it is there");
    assert_eq!(
        (errors.state.as_str(), errors.reason.as_deref()),
        ("ALARM", Some("6 > 5"))
    );
    assert!(errors.since.is_some(), "{errors:?}");
    for quiet in ["latency", "both"] {
        let alarm = found[quiet].present().expect("it is there");
        assert_ne!(alarm.state, "ALARM", "{quiet}");
    }
    assert_eq!(found["none"], Known::Absent);
}
