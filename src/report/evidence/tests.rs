use super::*;
use crate::resource::meta::{API_VERSION, Kind, Object, ObjectMeta};
use crate::resource::release::ReleaseSpec;
use crate::resource::status::{Evidence, ReleaseStatus};

fn release(evidence: Evidence) -> Release {
    Object {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Release,
        metadata: ObjectMeta {
            name: "rails".to_owned(),
            namespace: Some("production".to_owned()),
            ..ObjectMeta::default()
        },
        spec: ReleaseSpec::default(),
        status: Some(ReleaseStatus {
            services: vec![ServiceStatus {
                name: "app".to_owned(),
                evidence,
                ..ServiceStatus::default()
            }],
            ..ReleaseStatus::default()
        }),
    }
}

fn told(evidence: Evidence) -> String {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    describe(&release(evidence), now, Paint::default())
}

fn container(name: &str, exit_code: Option<i32>) -> FailedContainer {
    FailedContainer {
        name: name.to_owned(),
        exit_code,
        log_stream: Some(format!("/ecs/rails/app/{name}/0123")),
        ..FailedContainer::default()
    }
}

#[test]
fn each_container_that_ended_is_told_with_its_exit_code() {
    let task = FailedTask {
        task_arn: "arn:aws:ecs:x:1:task/rails/0123".to_owned(),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        stopped_at: Some("2026-03-01T11:58:00Z".parse().unwrap()),
        containers: vec![
            container("app", Some(1)),
            container("nginx", Some(143)),
            container("never", None),
        ],
    };
    let events =
        vec!["(service app) deployment failed:\u{1b}[2J tasks failed to start.".to_owned()];
    let tasks = vec![task];
    insta::assert_snapshot!(told(Evidence { tasks, events }));
}

#[test]
fn a_task_that_never_started_is_told_by_its_reason_and_without_a_log() {
    let task = FailedTask {
        task_arn: "arn:aws:ecs:x:1:task/rails/0123".to_owned(),
        stop_code: Some("TaskFailedToStart".to_owned()),
        stopped_reason: Some("CannotPullContainerError: not found".to_owned()),
        ..FailedTask::default()
    };
    let text = told(Evidence {
        tasks: vec![task],
        events: Vec::new(),
    });
    assert!(
        text.contains("CannotPullContainerError: not found"),
        "{text}"
    );
    assert!(!text.contains("evenkeel logs"), "{text}");
    assert_eq!(told(Evidence::default()), "");
}
