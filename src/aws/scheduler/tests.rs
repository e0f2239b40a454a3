use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::ErrorClass;
use crate::model::known::Known;

const ARN: &str = "arn:aws:scheduler:eu-central-1:123456789012:schedule/shop-web/nightly";
const GROUP: &str = "arn:aws:scheduler:eu-central-1:123456789012:schedule-group/shop-web";

/// A schedule with members that no SDK knows.
fn schedule() -> Value {
    json!({
        "Arn": ARN, "Name": "nightly", "GroupName": "shop-web", "State": "ENABLED",
        "ScheduleExpression": "cron(30 2 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin",
        "FlexibleTimeWindow": { "Mode": "OFF", "MemberOfNextYear": 1.5 },
        "CreationDate": 1_772_442_000.123, "LastModificationDate": 1_772_442_001.5,
        "EndDate": 1_893_456_000, "NewMember": [1, ""],
        "Target": {
            "Arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/rails",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "EcsParameters": { "TaskDefinitionArn": "app:1", "NewMember": { "a": null } },
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_schedule_survives_reading_and_writing_whole() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "GetSchedule" => Reply::Ok(schedule()),
        _ => Reply::Ok(json!({ "ScheduleArn": ARN })),
    });
    let scheduler = canned.clients().scheduler;
    let found = scheduler.schedule("shop-web", "nightly").await.unwrap();
    let found = found.present().expect("it is there").clone();
    assert_eq!(found.arn, ARN);
    assert_eq!(Value::Object(found.schedule.clone()), schedule());

    scheduler
        .update(&Value::Object(found.schedule))
        .await
        .unwrap();
    let seen = canned.seen();
    assert!(
        seen[0]
            .uri
            .ends_with("/schedules/nightly?groupName=shop-web"),
        "{}",
        seen[0].uri
    );
    assert!(
        seen[1].uri.ends_with("/schedules/nightly"),
        "{}",
        seen[1].uri
    );
    assert_eq!(seen[1].operation, "UpdateSchedule");
    let mut sent = schedule();
    sent.as_object_mut()
        .expect("an object")
        .shift_remove("Name");
    assert_eq!(seen[1].body, sent);
    assert!(seen[1].signed);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_whole_and_a_group_that_is_not_there_is_absent() {
    let canned = Canned::new(|request| match request.uri.contains("NextToken=n") {
        _ if request.uri.contains("ScheduleGroup=other") => {
            error(404, "ResourceNotFoundException", "no such group")
        }
        false => Reply::Ok(json!({
            "Schedules": [{ "Name": "b", "GroupName": "shop-web", "State": "ENABLED",
                            "LastModificationDate": 1.5 }],
            "NextToken": "n",
        })),
        true => Reply::Ok(json!({ "Schedules": [{ "Name": "a", "GroupName": "shop-web" }] })),
    });
    let scheduler = canned.clients().scheduler;
    let listed = scheduler.schedules("shop-web").await.unwrap();
    let listed = listed.present().expect("it is there");
    let told: Vec<_> = listed
        .iter()
        .map(|it| (it.name.as_str(), it.modified.as_deref()))
        .collect();
    assert_eq!(told, [("a", None), ("b", Some("1.5"))]);
    assert_eq!(scheduler.schedules("other").await.unwrap(), Known::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_read_with_its_tags() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "GetScheduleGroup" => Reply::Ok(json!({ "Arn": GROUP, "State": "ACTIVE" })),
        "ListTagsForResource" => Reply::Ok(json!({ "Tags": [{ "Key": "a", "Value": "b" }] })),
        other => panic!("{other}"),
    });
    let scheduler = canned.clients().scheduler;
    let group = scheduler.group("shop-web").await.unwrap();
    let group = group.present().expect("it is there");
    assert_eq!(
        (group.arn.as_str(), group.state.as_str()),
        (GROUP, "ACTIVE")
    );
    assert_eq!(group.tags.get("a").map(String::as_str), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_deleted_already_and_what_is_there_is_a_conflict() {
    let canned = Canned::new(|request| match request.operation.as_str() {
        "DeleteSchedule" | "DeleteScheduleGroup" => {
            error(404, "ResourceNotFoundException", "it does not exist")
        }
        _ => error(409, "ConflictException", "it exists"),
    });
    let scheduler = canned.clients().scheduler;
    scheduler.delete("shop-web", "nightly").await.unwrap();
    scheduler.delete_group("shop-web").await.unwrap();
    let input = json!({ "Name": "nightly", "GroupName": "shop-web" });
    let refused = scheduler.create(&input).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Conflict);
    assert_eq!(refused.service, "scheduler");
}
