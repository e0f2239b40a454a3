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

/// A blue/green service with this record of ECS's, asked for five minutes ago.
fn staged(primary: &str, records: Vec<DeploymentRecord>) -> Service {
    let mut now = deployment(primary, None, 2);
    now.created_at = Some(at("2026-11-20T08:55:00Z"));
    Service {
        strategy: "BLUE_GREEN".to_owned(),
        records: Some(Known::Present(records)),
        ..service(vec![now])
    }
}

fn record(definition: &str, status: &str) -> DeploymentRecord {
    DeploymentRecord {
        arn: format!("arn:x:service-deployment/{definition}"),
        status: status.to_owned(),
        task_definition: Some(definition.to_owned()),
        ..DeploymentRecord::default()
    }
}

fn requested(at: &str) -> Rollout {
    serde_json::from_value(serde_json::json!({
        "service": "web", "revision": 1, "target": TARGET, "previous": OTHER,
        "state": "Requested", "requestedAt": at, "seen": ["ecs-svc/6"],
    }))
    .unwrap()
}

#[test]
fn what_is_staged_counts_by_its_record_and_not_by_its_tasks() {
    let asked = requested("2026-11-20T08:59:00Z");
    // All tasks run; the record does not show yet, goes on, has a status of next year, ended.
    let mut fresh = requested("2026-11-20T08:59:50Z");
    fresh.seen = Vec::new();
    let unseen = staged(TARGET, Vec::new());
    assert!(matches!(
        judged(&unseen, Some(&fresh)),
        Standing::Underway(_)
    ));
    for status in ["PENDING", "IN_PROGRESS", "STATUS_OF_NEXT_YEAR"] {
        let service = staged(TARGET, vec![record(TARGET, status)]);
        assert!(
            matches!(judged(&service, Some(&asked)), Standing::Underway(_)),
            "{status}"
        );
    }
    let service = staged(TARGET, vec![record(TARGET, "SUCCESSFUL")]);
    assert!(matches!(judged(&service, Some(&asked)), Standing::Done(_)));
    let service = staged(TARGET, vec![record(TARGET, "ROLLBACK_SUCCESSFUL")]);
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Failed(..)
    ));
}

#[test]
fn the_primary_may_stay_what_it_was_until_traffic_goes_over() {
    let asked = requested("2026-11-20T08:50:00Z");
    let service = staged(
        OTHER,
        vec![record(TARGET, "IN_PROGRESS"), record(OTHER, "SUCCESSFUL")],
    );
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Underway(_)
    ));
    // Until its time is up.
    let late = requested("2026-11-20T08:00:00Z");
    assert!(matches!(
        judged(&service, Some(&late)),
        Standing::Failed(_, Cause::Timeout)
    ));
    // Something newer took its place.
    let newer = OTHER.replace("web:6", "web:5");
    let service = staged(
        &newer,
        vec![record(&newer, "SUCCESSFUL"), record(TARGET, "IN_PROGRESS")],
    );
    assert_eq!(judged(&service, Some(&asked)), Standing::Superseded);
}

#[test]
fn no_timeout_counts_what_ecs_is_told_to_wait() {
    let mut service = staged(TARGET, vec![record(TARGET, "IN_PROGRESS")]);
    let asked = requested("2026-11-20T08:20:00Z");
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Failed(_, Cause::Timeout)
    ));
    for (strategy, configuration, minutes) in [
        (
            "BLUE_GREEN",
            serde_json::json!({"bakeTimeInMinutes": 15}),
            15,
        ),
        ("LINEAR", serde_json::json!({}), 54),
        (
            "LINEAR",
            serde_json::json!({
                "bakeTimeInMinutes": 5,
                "linearConfiguration": {"stepPercent": 33.3, "stepBakeTimeInMinutes": 4},
            }),
            17,
        ),
        (
            "CANARY",
            serde_json::json!({"canaryConfiguration": {"canaryBakeTimeInMinutes": 11}}),
            11,
        ),
        (
            "ROLLING",
            serde_json::json!({"linearConfiguration": {"stepPercent": 1.0}}),
            0,
        ),
        (
            "STRATEGY_OF_NEXT_YEAR",
            serde_json::json!({"bakeTimeInMinutes": -1}),
            0,
        ),
    ] {
        service.strategy = strategy.to_owned();
        service.configuration = configuration.as_object().unwrap().clone().into();
        assert_eq!(
            planned(&service),
            SignedDuration::from_mins(minutes),
            "{configuration}"
        );
    }
    service.strategy = "BLUE_GREEN".to_owned();
    service.configuration = serde_json::json!({"bakeTimeInMinutes": 15})
        .as_object()
        .unwrap()
        .clone()
        .into();
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Underway(_)
    ));
}

#[test]
fn a_pause_is_never_overdue_and_its_time_counts_anew() {
    let mut paused = record(TARGET, "IN_PROGRESS");
    paused.hooks = vec![crate::model::observed::Hook {
        id: "hook".to_owned(),
        kind: "PAUSE".to_owned(),
        status: "AWAITING_ACTION".to_owned(),
        ..Default::default()
    }];
    let mut asked = requested("2026-11-20T01:00:00Z");
    let service = staged(TARGET, vec![paused]);
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Underway(_)
    ));
    asked.resumed_at = Some(at("2026-11-20T08:45:00Z"));
    let service = staged(TARGET, vec![record(TARGET, "IN_PROGRESS")]);
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Underway(_)
    ));
    asked.resumed_at = Some(at("2026-11-20T08:15:00Z"));
    assert!(matches!(
        judged(&service, Some(&asked)),
        Standing::Failed(_, Cause::Timeout)
    ));
}

/// A record of a deployment that came past a pause hook, wherever that led.
fn past_a_pause(status: &str, hook: &str) -> DeploymentRecord {
    DeploymentRecord {
        hooks: vec![crate::model::observed::Hook {
            id: "hook".to_owned(),
            kind: "PAUSE".to_owned(),
            status: hook.to_owned(),
            ..Default::default()
        }],
        ..record(TARGET, status)
    }
}

#[test]
fn a_pause_that_no_pass_saw_counts_for_no_timeout() {
    let before = record(OTHER, "SUCCESSFUL");
    for (primary, status, hook) in [
        (TARGET, "IN_PROGRESS", "SUCCEEDED"),
        (TARGET, "IN_PROGRESS", "TIMED_OUT"),
        (OTHER, "IN_PROGRESS", "SUCCEEDED"),
        (OTHER, "ROLLBACK_IN_PROGRESS", "FAILED"),
    ] {
        let service = staged(primary, vec![past_a_pause(status, hook), before.clone()]);
        let mut asked = requested("2026-11-20T01:00:00Z");
        let unseen = judged(&service, Some(&asked));
        assert!(
            matches!(unseen, Standing::Underway(_)),
            "{primary} {status}: {unseen:?}"
        );
        // Once that is noted, the time counts that it takes from there.
        asked.passed = vec!["hook".to_owned()];
        asked.resumed_at = Some(at("2026-11-20T08:45:00Z"));
        let noted = judged(&service, Some(&asked));
        assert!(
            matches!(noted, Standing::Underway(_)),
            "{primary} {status}: {noted:?}"
        );
        asked.resumed_at = Some(at("2026-11-20T07:00:00Z"));
        let late = judged(&service, Some(&asked));
        let timed_out = matches!(late, Standing::Failed(_, Cause::Timeout));
        assert!(timed_out, "{primary} {status}: {late:?}");
    }
    // A function is no person.
    let mut called = past_a_pause("IN_PROGRESS", "SUCCEEDED");
    called.hooks[0].kind = "AWS_LAMBDA".to_owned();
    let asked = requested("2026-11-20T01:00:00Z");
    assert!(matches!(
        judged(&staged(TARGET, vec![called]), Some(&asked)),
        Standing::Failed(_, Cause::Timeout)
    ));
}

#[test]
fn what_is_about_to_be_replaced_is_not_done() {
    let beside = |status: &str| {
        let newer = record(OTHER, status);
        staged(TARGET, vec![newer, record(TARGET, "SUCCESSFUL")])
    };
    let ours = |at: &str| Rollout {
        target: OTHER.to_owned(),
        previous: Some(TARGET.to_owned()),
        ..requested(at)
    };
    let (lately, long_ago) = (ours("2026-11-20T08:55:00Z"), ours("2026-11-20T01:00:00Z"));
    let open = beside("IN_PROGRESS");
    assert!(matches!(judged(&open, None), Standing::Foreign(_, false)));
    assert_eq!(judged(&open, Some(&lately)), Standing::Away);
    // What was there before it was asked for is somebody else's.
    let mut seen = lately.clone();
    seen.seen.push(record(OTHER, "IN_PROGRESS").arn);
    assert!(matches!(
        judged(&open, Some(&seen)),
        Standing::Foreign(_, false)
    ));
    // What ECS takes back is waited for, and not for ever.
    let undone = beside("ROLLBACK_IN_PROGRESS");
    assert!(matches!(
        judged(&undone, Some(&lately)),
        Standing::Underway(_)
    ));
    assert_eq!(judged(&undone, Some(&long_ago)), Standing::Away);
    // Once it has ended, and where nothing goes through stages, what runs is what stays.
    let done = Standing::Done(Some("ecs-svc/7".to_owned()));
    for status in ["STOPPED", "ROLLBACK_SUCCESSFUL", "SUCCESSFUL"] {
        assert_eq!(judged(&beside(status), Some(&lately)), done, "{status}");
    }
    let mut rolling = open;
    rolling.strategy = "ROLLING".to_owned();
    assert_eq!(judged(&rolling, Some(&lately)), done);
}
