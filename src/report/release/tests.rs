use super::*;
use crate::resource::meta::{API_VERSION, Kind, Object, ObjectMeta};
use crate::resource::release::ReleaseSpec;
use crate::resource::status::{MigrationStatus, ServiceStatus};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn condition(
    kind: ConditionType,
    status: ConditionStatus,
    reason: &str,
    message: &str,
) -> Condition {
    Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: "2026-03-01T11:59:30Z".parse().unwrap(),
        observed_generation: Some(2),
    }
}

fn release(status: Option<ReleaseStatus>) -> Release {
    Object {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Release,
        metadata: ObjectMeta {
            name: "rails".to_owned(),
            namespace: Some("production".to_owned()),
            generation: Some(2),
            creation_timestamp: Some("2026-03-01T09:00:00Z".parse().unwrap()),
            ..ObjectMeta::default()
        },
        spec: ReleaseSpec::default(),
        status,
    }
}

fn failed() -> ReleaseStatus {
    ReleaseStatus {
        observed_generation: Some(2),
        revision: Some(3),
        conditions: vec![
            condition(
                ConditionType::Ready,
                ConditionStatus::False,
                "Stalled",
                "see Stalled",
            ),
            condition(
                ConditionType::Stalled,
                ConditionStatus::True,
                "MigrationFailed",
                "migration db-migrate ended with exit code 3",
            ),
        ],
        migrations: vec![MigrationStatus {
            name: "db-migrate".to_owned(),
            state: PartState::Failed,
            exit_code: Some(3),
            stop_code: Some("EssentialContainerExited".to_owned()),
            log_stream: Some("/ecs/rails:rails/rails/0123".to_owned()),
            ..MigrationStatus::default()
        }],
        services: vec![ServiceStatus {
            name: "app".to_owned(),
            running_count: Some(3),
            desired_count: Some(3),
            ..ServiceStatus::default()
        }],
        ..ReleaseStatus::default()
    }
}

#[test]
fn a_stalled_release_is_told_with_its_reason() {
    insta::assert_snapshot!(describe(&release(Some(failed())), now(), Paint::default()));
}

#[test]
fn a_status_of_an_older_generation_says_nothing_of_this_one() {
    let mut status = failed();
    status.observed_generation = Some(1);
    status.conditions = vec![condition(
        ConditionType::Ready,
        ConditionStatus::True,
        "Ready",
        "",
    )];
    let standing = standing(&release(Some(status)));
    assert_eq!(
        (standing.ready, standing.reason.as_str()),
        ("Unknown", "NotObserved")
    );
    assert_eq!(super::standing(&release(None)), standing);
}

#[test]
fn the_page_names_every_part() {
    let html = html(&[release(Some(failed()))], now());
    for part in [
        "migration/db-migrate",
        "service/app",
        "MigrationFailed",
        "exit code 3",
    ] {
        assert!(html.contains(part), "{part} is missing in {html}");
    }
}
