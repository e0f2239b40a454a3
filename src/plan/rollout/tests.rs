use super::*;

const TARGET: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:7";
const OTHER: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:6";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A deployment of a year ago.
fn deployment(definition: &str, rollout_state: Option<&str>, running: i32) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{}", &definition[definition.len() - 1..]),
        status: "PRIMARY".to_owned(),
        task_definition: definition.to_owned(),
        desired_count: 2,
        running_count: running,
        rollout_state: rollout_state.map(str::to_owned),
        created_at: Some(at("2025-11-20T09:00:00Z")),
        ..Deployment::default()
    }
}

/// A service of which ECS keeps no deployment record any more.
fn service(deployments: Vec<Deployment>) -> Service {
    Service {
        name: "web".to_owned(),
        task_definition: deployments[0].task_definition.clone(),
        deployments,
        records: Some(Known::Present(Vec::new())),
        ..Service::default()
    }
}

fn judged(service: &Service, rollout: Option<&Rollout>) -> Standing {
    judge(Question {
        service,
        target: TARGET,
        rollout,
        revision: 1,
        timeout: SignedDuration::from_mins(30),
        stops: false,
        now: at("2026-11-20T09:00:00Z"),
    })
}

#[test]
fn what_was_deployed_long_ago_is_done_while_a_task_is_replaced() {
    let service = service(vec![deployment(TARGET, Some("COMPLETED"), 1)]);
    assert_eq!(
        judged(&service, None),
        Standing::Done(Some("ecs-svc/7".to_owned()))
    );
}

#[test]
fn without_a_rollout_state_the_deployments_tell() {
    let alone = service(vec![deployment(TARGET, None, 2)]);
    assert_eq!(
        judged(&alone, None),
        Standing::Done(Some("ecs-svc/7".to_owned()))
    );

    let mut former = deployment(OTHER, None, 1);
    former.status = "ACTIVE".to_owned();
    let mut fresh = deployment(TARGET, None, 2);
    fresh.created_at = Some(at("2026-11-20T08:59:00Z"));
    let draining = service(vec![fresh, former.clone()]);
    assert!(matches!(judged(&draining, None), Standing::Underway(_)));

    let mut theirs = deployment(OTHER, None, 2);
    theirs.created_at = Some(at("2026-11-20T08:59:00Z"));
    let foreign = service(vec![theirs, former]);
    assert!(matches!(
        judged(&foreign, None),
        Standing::Foreign(_, false)
    ));
    let settled = service(vec![deployment(OTHER, None, 2)]);
    assert_eq!(judged(&settled, None), Standing::Away);
}

#[test]
fn a_deployment_that_nobody_asked_for_is_never_a_failed_rollout() {
    let service = service(vec![deployment(TARGET, Some("IN_PROGRESS"), 0)]);
    assert!(matches!(judged(&service, None), Standing::Foreign(_, true)));
}
