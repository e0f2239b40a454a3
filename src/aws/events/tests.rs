use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::ErrorClass;
use crate::model::known::Known;

const ARN: &str = "arn:aws:events:eu-central-1:123456789012:rule/nightly";

/// A target with members that no SDK knows.
fn target() -> Value {
    json!({
        "Id": "evenkeel",
        "Arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/rails",
        "RoleArn": "arn:aws:iam::123456789012:role/events",
        "Input": "{\"containerOverrides\":[{\"environment\":[{\"name\":\"E\",\"value\":\"\"}]}]}",
        "EcsParameters": { "TaskDefinitionArn": "app:1", "TaskCount": 1, "NewMember": [null, ""] },
        "DeadLetterConfig": { "Arn": "arn:aws:sqs:eu-central-1:123456789012:dlq" },
        "MemberOfNextYear": { "x": 1.5 },
    })
}

#[tokio::test(start_paused = true)]
async fn targets_survive_reading_and_writing_whole() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "ListTargetsByRule" if request.body["NextToken"].is_null() => {
            Reply::Ok(json!({ "Targets": [target()], "NextToken": "n" }))
        }
        "ListTargetsByRule" => Reply::Ok(json!({ "Targets": [{ "Id": "other", "Arn": "a" }] })),
        _ => Reply::Ok(json!({ "FailedEntryCount": 0, "FailedEntries": [] })),
    });
    let events = canned.clients().events;
    let targets = events.targets("nightly").await.unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(Value::Object(targets[0].clone()), target());

    let input = json!({ "Rule": "nightly", "Targets": targets });
    events.put_targets(&input).await.unwrap();
    let seen = canned.seen();
    assert_eq!(seen[1].body, json!({ "Rule": "nightly", "NextToken": "n" }));
    assert_eq!(seen[2].body, input);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_read_whole_or_absent() {
    let rule =
        json!({ "Name": "nightly", "Arn": ARN, "State": "ENABLED", "NewMember": { "a": 1 } });
    let answer = rule.clone();
    let canned = Canned::new(move |request| match request.body["Name"].as_str() {
        Some("nightly") => Reply::Ok(answer.clone()),
        _ => error(
            400,
            "ResourceNotFoundException",
            "Rule other does not exist on EventBus default.",
        ),
    });
    let events = canned.clients().events;
    let found = events.rule("nightly").await.unwrap();
    assert_eq!(found.map(Value::Object), Known::Present(rule));
    assert_eq!(events.rule("other").await.unwrap(), Known::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_may_not_be_read_is_not_absent() {
    let canned = Canned::new(|_| error(400, "AccessDeniedException", "no"));
    let failed = canned.clients().events.rule("nightly").await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Denied);
    assert!(failed.hint().contains("events:DescribeRule"));
}

#[tokio::test(start_paused = true)]
async fn rules_are_listed_to_the_last_page() {
    let canned = Canned::new(|request| match request.body["NextToken"].as_str() {
        None => Reply::Ok(json!({
            "Rules": [{ "Name": "prod-rails-a" }, { "Name": "somebody-elses" }],
            "NextToken": "2",
        })),
        Some("2") => Reply::Ok(json!({ "Rules": [{ "Name": "prod-rails-b" }], "NextToken": "3" })),
        Some(_) => Reply::Ok(json!({ "Rules": [{ "Name": "prod-rails-c" }] })),
    });
    let rules = canned
        .clients()
        .events
        .rules_with_prefix("prod-rails-")
        .await
        .unwrap();
    let names: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule["Name"].as_str())
        .collect();
    assert_eq!(names, ["prod-rails-a", "prod-rails-b", "prod-rails-c"]);
    assert_eq!(canned.seen()[0].body["NamePrefix"], "prod-rails-");
}

#[tokio::test(start_paused = true)]
async fn half_a_list_is_no_list() {
    let canned = Canned::new(|request| match request.body["NextToken"].as_str() {
        None => Reply::Ok(json!({ "Rules": [{ "Name": "p-a" }], "NextToken": "2" })),
        Some(_) => error(400, "AccessDeniedException", "no"),
    });
    canned
        .clients()
        .events
        .rules_with_prefix("p-")
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_is_an_error() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "Rules": [], "NextToken": "2" })));
    let events = canned.clients().events;
    let failed = events.rules_with_prefix("p-").await.unwrap_err();
    assert!(failed.message.contains("again and again"), "{failed}");
    assert_eq!(canned.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_put_whole_and_answers_its_arn() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "RuleArn": ARN })));
    let input = json!({ "Name": "nightly", "Description": "", "NewMember": { "deep": [] } });
    assert_eq!(canned.clients().events.put_rule(&input).await.unwrap(), ARN);
    assert_eq!(canned.seen()[0].body, input);
    assert!(canned.seen()[0].signed);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_not_taken_is_named() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({
            "FailedEntryCount": 2,
            "FailedEntries": [
                { "TargetId": "a", "ErrorCode": "ValidationException", "ErrorMessage": "bad role" },
                { "TargetId": "b", "ErrorCode": "LimitExceeded", "ErrorMessage": "too many" },
            ],
        }))
    });
    let events = canned.clients().events;
    let failed = events
        .put_targets(&json!({ "Rule": "nightly" }))
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Refused);
    assert_eq!(
        failed.to_string(),
        "events:PutTargets of targets of rule nightly was refused: ValidationException: 2 not \
         taken: target a: ValidationException bad role; target b: LimitExceeded too many. Correct \
         what AWS names; until then it is refused again."
    );
    let failed = events
        .remove_targets("nightly", &["a".to_owned()])
        .await
        .unwrap_err();
    assert!(failed.message.contains("target b"), "{failed}");
    assert_eq!(
        canned.seen()[1].body,
        json!({ "Rule": "nightly", "Ids": ["a"] })
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_met_another_writer_is_tried_again() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({
            "FailedEntryCount": 1,
            "FailedEntries": [{ "TargetId": "a", "ErrorCode": "ConcurrentModificationException" }],
        }))
    });
    let events = canned.clients().events;
    let failed = events
        .put_targets(&json!({ "Rule": "nightly" }))
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry);
}

#[tokio::test(start_paused = true)]
async fn deleting_twice_is_deleting_once() {
    let canned = Canned::new(|_| error(400, "ResourceNotFoundException", "gone"));
    canned
        .clients()
        .events
        .delete_rule("nightly")
        .await
        .unwrap();
    let canned = Canned::new(|_| Reply::Page(200, ""));
    canned
        .clients()
        .events
        .delete_rule("nightly")
        .await
        .unwrap();
    assert_eq!(canned.seen()[0].body, json!({ "Name": "nightly" }));
}

#[tokio::test(start_paused = true)]
async fn tags_are_read_and_put() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "TagResource" => Reply::Ok(json!({})),
        _ => Reply::Ok(json!({ "Tags": [{ "Key": "evenkeel:release", "Value": "prod/rails" }] })),
    });
    let events = canned.clients().events;
    let tags = events.tags(ARN).await.unwrap();
    let expected = BTreeMap::from([("evenkeel:release".to_owned(), "prod/rails".to_owned())]);
    assert_eq!(tags, expected);
    events.tag_rule(ARN, &tags).await.unwrap();
    assert_eq!(
        canned.seen()[1].body,
        json!({
            "ResourceARN": ARN,
            "Tags": [{ "Key": "evenkeel:release", "Value": "prod/rails" }],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_json_is_an_error() {
    let canned = Canned::new(|_| Reply::Page(200, "<html>Welcome to the hotel's Wi-Fi</html>"));
    let events = canned.clients().events;
    let failed = events.targets("nightly").await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry, "{failed}");
    let failed = events.tag_rule(ARN, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Ambiguous, "{failed}");
}
