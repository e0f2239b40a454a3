use serde_json::json;

use super::*;
use crate::model::observed::Container;

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(second)
}

fn rollout() -> Rollout {
    serde_json::from_value(json!({
        "version": 1, "service": "web", "revision": 2, "target": "arn:x:task-definition/web:2",
        "requestedAt": at(100), "seen": ["ecs-svc/1"], "state": "Requested",
    }))
    .unwrap()
}

fn task(id: &str, created: i64, stopped: i64) -> Task {
    Task {
        arn: format!("arn:x:task/shop/{id}"),
        task_definition: "arn:x:task-definition/web:2".to_owned(),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        created_at: Some(at(created)),
        stopped_at: Some(at(stopped)),
        containers: vec![
            Container {
                name: "proxy".to_owned(),
                exit_code: Some(143),
                reason: None,
            },
            Container {
                name: "app".to_owned(),
                exit_code: Some(1),
                reason: None,
            },
        ],
        ..Task::default()
    }
}

fn content() -> Value {
    json!({"containerDefinitions": [{
        "name": "app",
        "environment": [
            {"name": "TOKEN", "value": "s3cr3t-token"},
            {"name": "SHORT", "value": "exited"},
        ],
        "logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": "/ecs/web", "awslogs-stream-prefix": "web",
        }},
    }]})
}

fn ids(evidence: &Evidence) -> Vec<&str> {
    let tasks = evidence.tasks.iter();
    tasks
        .map(|task| task.task_arn.rsplit('/').next().unwrap_or_default())
        .collect()
}

#[test]
fn the_newest_tasks_of_the_rollout_are_told_with_their_logs() {
    let mut tasks: Vec<Task> = (0..7)
        .map(|n| task(&format!("t{n}"), 110 + n, 120 + n))
        .collect();
    // Of the rollout before, of another definition, and what ECS wanted no more.
    tasks.push(task("before", 50, 200));
    tasks.push(Task {
        task_definition: "arn:x:task-definition/web:1".to_owned(),
        ..task("other", 150, 200)
    });
    tasks.push(Task {
        stop_code: Some("ServiceSchedulerInitiated".to_owned()),
        stopped_reason: Some("Scaling activity initiated by (deployment ecs-svc/9)".to_owned()),
        ..task("scaled", 150, 200)
    });
    let content = content();
    let evidence = gather(&rollout(), &tasks, &[], Some(&content));
    assert_eq!(ids(&evidence), ["t6", "t5", "t4", "t3", "t2"]);
    let [proxy, app] = &evidence.tasks[0].containers[..] else {
        panic!("two containers");
    };
    assert_eq!(proxy.log_stream, None);
    assert_eq!(app.log_stream.as_deref(), Some("/ecs/web/web/app/t6"));
    assert_eq!(app.exit_code, Some(1));
    assert_eq!(
        summary(&evidence).unwrap(),
        "5 or more tasks stopped: essential container app exited with code 1 (EssentialContainerExited)"
    );
}

#[test]
fn of_two_deployments_of_one_definition_only_the_one_that_was_asked_for_counts() {
    let by = |id: &str, deployment: &str| Task {
        started_by: Some(deployment.to_owned()),
        ..task(id, 150, 160)
    };
    let asked = Rollout {
        deployment_id: Some("ecs-svc/2".to_owned()),
        ..rollout()
    };
    let tasks = [by("ours", "ecs-svc/2"), by("theirs", "ecs-svc/3")];
    assert_eq!(ids(&gather(&asked, &tasks, &[], None)), ["ours"]);
}

#[test]
fn events_of_the_scheduler_s_work_give_way_to_those_that_tell() {
    let event = |second: i64, message: &str| ServiceEvent {
        at: Some(at(second)),
        message: format!("(service web) {message}"),
    };
    let events = [
        event(190, "has reached a steady state."),
        event(185, "has started 1 tasks: (task a)."),
        event(180, "rolling back to deployment ecs-svc/1."),
        event(
            175,
            "(deployment ecs-svc/2) deployment failed: tasks failed to start.",
        ),
        event(170, "has started 1 tasks: (task b)."),
        event(160, "was unable to place a task. Reason: RESOURCE:CPU."),
        event(20, "was unable to place a task. Reason: RESOURCE:MEMORY."),
    ];
    let evidence = gather(&rollout(), &[], &events, None);
    let told: Vec<&str> = evidence
        .events
        .iter()
        .map(|text| text.trim_start_matches("(service web) "))
        .collect();
    assert_eq!(
        told,
        [
            "has reached a steady state.",
            "has started 1 tasks: (task a).",
            "rolling back to deployment ecs-svc/1.",
            "(deployment ecs-svc/2) deployment failed: tasks failed to start.",
            "was unable to place a task. Reason: RESOURCE:CPU.",
        ]
    );
    let without_tasks = summary(&evidence).unwrap();
    assert_eq!(
        without_tasks,
        "(service web) (deployment ecs-svc/2) deployment failed: tasks failed to start"
    );
    assert_eq!(summary(&Evidence::default()), None);
}

#[test]
fn texts_are_bounded_and_tell_no_value_of_the_environment() {
    let mut failed = task("t", 110, 120);
    failed.stop_code = Some("TaskFailedToStart".to_owned());
    failed.stopped_reason = Some(format!(
        "CannotStartContainerError: invalid variable: s3cr3t-token. {}",
        "x".repeat(2000)
    ));
    failed.containers[1].reason = Some("has exited, arn:x:s3cr3t-tokens/name".to_owned());
    let content = content();
    let evidence = gather(&rollout(), &[failed], &[], Some(&content));
    let task = &evidence.tasks[0];
    let reason = task.stopped_reason.as_deref().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: invalid variable: (hidden). xx"));
    assert!(reason.chars().count() < 510, "{}", reason.len());
    // A short value, and part of a longer word, stand there by chance.
    let of_app = task.containers[1].reason.as_deref();
    assert_eq!(of_app, Some("has exited, arn:x:s3cr3t-tokens/name"));
    let told = summary(&evidence).unwrap();
    assert!(
        told.starts_with("1 task stopped: CannotStartContainerError"),
        "{told}"
    );
    assert!(
        told.ends_with("... (TaskFailedToStart)") && told.len() < 300,
        "{told}"
    );
}

#[test]
fn a_container_with_a_reason_is_the_one_that_counts() {
    let mut killed = task("t", 110, 120);
    killed.containers[1].exit_code = Some(137);
    killed.containers[1].reason =
        Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
    let evidence = gather(&rollout(), &[killed], &[], None);
    assert_eq!(
        summary(&evidence).unwrap(),
        "1 task stopped: essential container app exited with code 137: OutOfMemoryError: Container killed due to memory usage (EssentialContainerExited)"
    );
}
