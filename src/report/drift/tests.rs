use super::*;
use crate::model::plan::Waiting;
use crate::resource::conditions::Condition;
use crate::resource::status::{DriftStatus, ServiceStatus};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(name: &str) -> ReleaseKey {
    ReleaseKey::new("production", name)
}

fn difference(actual: &str) -> Difference {
    Difference {
        resource: "service/app".to_owned(),
        field: "taskDefinition.containerDefinitions[app].image".to_owned(),
        desired: "app@sha256:aa".to_owned(),
        actual: actual.to_owned(),
        first_seen: at("2026-03-01T10:00:00Z"),
        action: DifferenceAction::Pending,
    }
}

fn of(status: ReleaseStatus) -> Plan {
    Plan {
        status,
        ..Plan::default()
    }
}

fn drifted(actual: &str) -> Plan {
    of(ReleaseStatus {
        drift: DriftStatus {
            differences: vec![difference(actual)],
            corrections: Vec::new(),
        },
        ..ReleaseStatus::default()
    })
}

fn unread_service() -> Plan {
    of(ReleaseStatus {
        services: vec![ServiceStatus {
            name: "app".to_owned(),
            state: PartState::Unknown,
            message: Some("DescribeServices was denied".to_owned()),
            ..ServiceStatus::default()
        }],
        ..ReleaseStatus::default()
    })
}

fn report() -> DriftReport {
    DriftReport {
        generated_at: at("2026-03-01T10:04:05Z"),
        items: vec![
            DriftItem::fresh(&key("rails"), &drifted("app@sha256:bb")),
            DriftItem::fresh(&key("blog"), &Plan::default()),
            DriftItem::fresh(&key("shop"), &unread_service()),
        ],
    }
}

#[test]
fn json_is_the_contract() {
    insta::assert_json_snapshot!(report(), @r#"
    {
      "generatedAt": "2026-03-01T10:04:05Z",
      "items": [
        {
          "namespace": "production",
          "release": "rails",
          "state": "Drifted",
          "differences": [
            {
              "resource": "service/app",
              "field": "taskDefinition.containerDefinitions[app].image",
              "desired": "app@sha256:aa",
              "actual": "app@sha256:bb",
              "firstSeen": "2026-03-01T10:00:00Z",
              "action": "Pending"
            }
          ]
        },
        {
          "namespace": "production",
          "release": "blog",
          "state": "Clean",
          "differences": []
        },
        {
          "namespace": "production",
          "release": "shop",
          "state": "Unknown",
          "message": "service/app: DescribeServices was denied",
          "differences": []
        }
      ]
    }
    "#);
}

#[test]
fn the_table_says_what_differs_and_what_is_not_known() {
    insta::assert_snapshot!(report().table(Paint::default()));
}

#[test]
fn what_could_not_be_read_is_never_clean() {
    let report = report();
    assert_eq!(report.worst(), DriftState::Unknown);
    let read = DriftReport {
        items: report.items[..2].to_vec(),
        ..report
    };
    assert_eq!(read.worst(), DriftState::Drifted);
}

#[test]
fn a_plan_that_could_not_look_is_never_clean() {
    let denied = Plan {
        waiting: vec![Waiting {
            resource: "environment".to_owned(),
            reason: "events:ListRules was denied".to_owned(),
        }],
        ..Plan::default()
    };
    let item = DriftItem::fresh(&key("rails"), &denied);
    assert_eq!(item.state, DriftState::Unknown);
    assert_eq!(item.message.as_deref(), Some("events:ListRules was denied"));
    let condition = Condition {
        kind: ConditionType::Ready,
        status: ConditionStatus::False,
        reason: "Suspended".to_owned(),
        message: "suspended".to_owned(),
        last_transition_time: at("2026-03-01T10:00:00Z"),
        observed_generation: Some(1),
    };
    let suspended = of(ReleaseStatus {
        conditions: vec![condition],
        ..ReleaseStatus::default()
    });
    assert_eq!(
        DriftItem::fresh(&key("rails"), &suspended).state,
        DriftState::Unknown
    );
}

#[test]
fn what_the_plan_would_put_right_has_not_been_put_right() {
    let mut plan = drifted("app@sha256:bb");
    plan.status.drift.differences[0].action = DifferenceAction::Corrected;
    let item = DriftItem::fresh(&key("rails"), &plan);
    assert_eq!(item.differences[0].action, DifferenceAction::Pending);
}

#[test]
fn the_page_holds_no_markup_of_others() {
    let report = DriftReport {
        generated_at: at("2026-03-01T10:04:05Z"),
        items: vec![DriftItem::fresh(
            &key("rails"),
            &drifted("<script>alert(1)</script>"),
        )],
    };
    let html = report.html();
    assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "{html}"
    );
}

#[test]
fn a_colourless_table_has_no_escape_sequences_even_from_others() {
    let report = DriftReport {
        generated_at: at("2026-03-01T10:04:05Z"),
        items: vec![DriftItem::fresh(&key("rails"), &drifted("\u{1b}[2J gone"))],
    };
    assert!(!report.table(Paint::default()).contains('\u{1b}'));
    assert!(report.table(Paint::new(true)).contains('\u{1b}'));
}
