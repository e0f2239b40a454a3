use serde_json::{Value, json};

use super::*;

fn errors(notifications: Value) -> Vec<String> {
    let spec = json!({"cluster": "shop", "region": "eu-central-1", "notifications": notifications});
    let spec: EnvironmentSpec = serde_json::from_value(spec).unwrap();
    let mut errors = Vec::new();
    super::notifications(&spec, &FieldPath::root().key("spec"), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn slack(more: Value) -> Value {
    let mut found = json!({
        "name": "team", "slack": {"webhookUrl": {"ssmParameter": "/shop/slack"}},
    });
    let (into, more) = (found.as_object_mut().unwrap(), more);
    into.extend(more.as_object().unwrap().clone());
    found
}

#[test]
fn each_kind_of_target_is_taken() {
    let topic = "arn:aws:sns:eu-central-1:123456789012:releases";
    let bus = "arn:aws:events:eu-central-1:123456789012:event-bus/deploys";
    let all = json!([
        slack(json!({"on": ["Stalled", "Ready"], "releases": ["web-*"], "template": "${release} costs $5"})),
        {"name": "topic", "sns": {"topicArn": topic}},
        {"name": "fifo", "sns": {"topicArn": format!("{topic}.fifo")}},
        {"name": "bus", "eventBridge": {"eventBusName": "default", "source": "com.acme.deploys"}},
        {"name": "far-bus", "eventBridge": {"eventBusName": bus}},
    ]);
    assert_eq!(errors(all), [] as [String; 0]);
}

#[test]
fn every_error_is_told_at_once_and_says_what_to_do() {
    let wrong = json!([
        {"name": "Bad Name"},
        slack(json!({"sns": {"topicArn": "arn:aws:sqs:eu-central-1:123456789012:queue"}})),
        {"name": "team", "eventBridge": {"eventBusName": "a b", "source": "aws.ecs"}},
        slack(json!({
            "name": "last", "on": ["Ready", "Ready"], "releases": ["", "[a"],
            "template": "${relase} ${secret} ${open",
        })),
        {"name": "none", "on": [], "releases": [], "template": " ",
            "slack": {"webhookUrl": {}}},
    ]);
    let told = errors(wrong).join("\n");
    for expected in [
        "spec.notifications[0].name: `Bad Name` is not a name",
        "spec.notifications[0]: says not whom to tell",
        "spec.notifications[1]: has several targets: slack, sns",
        "spec.notifications[1].sns.topicArn",
        "spec.notifications[2].name: there are two notifications named `team`",
        "spec.notifications[2].eventBridge.eventBusName",
        "spec.notifications[2].eventBridge.source: `aws.ecs` is AWS's own",
        "spec.notifications[3].on[1]: `Ready` stands here twice",
        "spec.notifications[3].releases[0]",
        "spec.notifications[3].releases[1]",
        "did you mean `${release}`?",
        "`${secret}` stands for nothing",
        "has a `${` that nothing closes",
        "spec.notifications[4].on: is empty",
        "spec.notifications[4].releases: is empty",
        "spec.notifications[4].template: is empty",
        "spec.notifications[4].slack.webhookUrl: names no secret",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
}

#[test]
fn there_are_no_more_than_fit_into_one_write() {
    let many: Vec<Value> = (0..=MOST)
        .map(|number| slack(json!({"name": format!("n{number}")})))
        .collect();
    let told = errors(many.into());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("are 21, and 20 may be"), "{told:?}");
}
