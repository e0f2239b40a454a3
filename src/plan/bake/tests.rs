use super::*;

const TARGET: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:7";

fn at(text: &str) -> Timestamp {
    format!("2026-11-20T{text}Z").parse().unwrap()
}

fn declared(bake: i64) -> desired::Service {
    desired::Service {
        name: "web".to_owned(),
        source: desired::Source::Service("web".to_owned()),
        images: BTreeMap::new(),
        depends_on: Vec::new(),
        timeout: SignedDuration::from_mins(30),
        on_failure: crate::resource::release::OnFailure::Rollback,
        breaker_may_roll_back: false,
        bake: SignedDuration::from_mins(bake),
        alarms: vec!["errors".to_owned(), "latency".to_owned()],
        settings: desired::Settings::default(),
        code_deploy: None,
    }
}

/// A service of which so many tasks run.
fn service(running: i32, desired: i32, failed: i32) -> Service {
    Service {
        task_definition: TARGET.to_owned(),
        deployments: vec![Deployment {
            id: "ecs-svc/7".to_owned(),
            status: "PRIMARY".to_owned(),
            task_definition: TARGET.to_owned(),
            desired_count: desired,
            running_count: running,
            failed_tasks: failed,
            ..Deployment::default()
        }],
        ..Service::default()
    }
}

/// A rollout of 09:00, steady since 09:10 with two tasks, one of which was started twice.
fn rollout(state: &str) -> Rollout {
    serde_json::from_value(serde_json::json!({
        "service": "web", "revision": 4, "target": TARGET, "state": state,
        "requestedAt": "2026-11-20T09:00:00Z", "deploymentId": "ecs-svc/7",
        "steadySince": "2026-11-20T09:10:00Z", "steadyWith": {"running": 2, "failed": 1},
        "message": "it broke",
    }))
    .unwrap()
}

fn judged(service: &Service, rollout: &Rollout, alarms: &Alarms<'_>, now: &str) -> Verdict {
    judge(Question {
        declared: &declared(5),
        service,
        target: TARGET,
        rollout: Some(rollout),
        revision: 4,
        alarms,
        now: at(now),
    })
}

#[test]
fn it_counts_once_it_was_steady_for_as_long_as_was_asked() {
    let (two, rollout) = (service(2, 2, 1), rollout("Requested"));
    let quiet = |now| judged(&two, &rollout, &Alarms::Quiet, now);
    assert_eq!(quiet("09:10:00"), Verdict::Bakes(at("09:15:00")));
    assert_eq!(quiet("09:14:59"), Verdict::Bakes(at("09:15:00")));
    assert_eq!(quiet("09:15:00"), Verdict::Over);
}

#[test]
fn autoscaling_disturbs_nothing_and_a_task_that_dies_does() {
    let rollout = rollout("Requested");
    let seen = |running, desired, failed| {
        let service = service(running, desired, failed);
        judged(&service, &rollout, &Alarms::Quiet, "09:12:00")
    };
    let goes_on = Verdict::Bakes(at("09:15:00"));
    assert_eq!(seen(2, 6, 1), goes_on, "more are wanted");
    assert_eq!(seen(1, 1, 1), goes_on, "less are wanted");
    assert_eq!(seen(2, 2, 0), goes_on, "ECS counts anew");
    let unsteady = |why: &str| Verdict::Unsteady(why.to_owned(), true);
    assert_eq!(seen(1, 2, 1), unsteady("1 of 2 tasks run"));
    assert_eq!(seen(2, 2, 2), unsteady("2 of 2 tasks run (1 failed)"));
}

#[test]
fn one_that_is_not_steady_in_all_its_time_has_failed() {
    let rollout = rollout("Requested");
    let seen = |running, now| judged(&service(running, 2, 1), &rollout, &Alarms::Quiet, now);
    assert!(matches!(seen(1, "09:35:00"), Verdict::Unsteady(..)));
    let late = "web:7 did not stay steady within 35m: 1 of 2 tasks run".to_owned();
    assert_eq!(seen(1, "09:35:01"), Verdict::Failed(Cause::Timeout, late));
    assert_eq!(seen(2, "09:35:01"), Verdict::Over);
}

#[test]
fn another_deployment_of_the_same_bakes_anew() {
    let mut again = service(2, 2, 0);
    again.deployments[0].id = "ecs-svc/8".to_owned();
    let verdict = judged(&again, &rollout("Requested"), &Alarms::Quiet, "09:20:00");
    let all = Counts {
        running: 2,
        failed: 0,
    };
    assert_eq!(verdict, Verdict::Begins(all));
}

#[test]
fn what_failed_in_this_revision_failed_and_in_another_is_tried_anew() {
    let two = service(2, 2, 1);
    let failed = rollout("Failed");
    let verdict = judged(&two, &failed, &Alarms::Quiet, "09:20:00");
    assert_eq!(
        verdict,
        Verdict::Failed(Cause::Failed, "it broke".to_owned())
    );
    let other = Rollout {
        revision: 3,
        ..failed
    };
    let begins = Verdict::Begins(Counts {
        running: 2,
        failed: 1,
    });
    for rollout in [other, rollout("Superseded")] {
        assert_eq!(judged(&two, &rollout, &Alarms::Quiet, "09:20:00"), begins);
        let alarm = Alarm {
            state: "ALARM".to_owned(),
            reason: None,
            since: None,
        };
        let active = Alarms::Active("errors", &alarm);
        assert_eq!(judged(&two, &rollout, &active, "09:20:00"), Verdict::Held);
    }
}

#[test]
fn an_alarm_that_is_not_known_ends_no_bake_and_fails_none() {
    let (two, rollout) = (service(2, 2, 1), rollout("Requested"));
    for now in ["09:12:00", "09:20:00"] {
        let seen = |alarms| judged(&two, &rollout, &alarms, now);
        let why = "no answer".to_owned();
        assert_eq!(seen(Alarms::Unknown(why.clone())), Verdict::Doubt(why));
        assert_eq!(seen(Alarms::Absent("errors")), Verdict::Missing);
        assert_eq!(seen(Alarms::Unread), Verdict::Unread);
    }
}

#[test]
fn what_others_brought_has_nothing_to_prove() {
    let two = service(2, 2, 1);
    let other = Rollout {
        target: TARGET.replace(":7", ":6"),
        ..rollout("Requested")
    };
    for rollout in [other, rollout("Succeeded")] {
        let verdict = judged(&two, &rollout, &Alarms::Unread, "09:12:00");
        assert_eq!(verdict, Verdict::Over);
    }
}

#[test]
fn of_several_alarms_what_is_certain_is_told_first() {
    let alarm = |state: &str| {
        Known::Present(Alarm {
            state: state.to_owned(),
            reason: Some("Threshold Crossed.".to_owned()),
            since: None,
        })
    };
    let told = |errors: Known<Alarm>, latency: Option<Known<Alarm>>| {
        let mut known = BTreeMap::from([("errors".to_owned(), errors)]);
        known.extend(latency.map(|latency| ("latency".to_owned(), latency)));
        match alarms(&declared(0), &known) {
            Alarms::Active(name, alarm) => sentence(name, alarm),
            other => format!("{other:?}"),
        }
    };
    let unknown = || Known::Unknown("no answer".to_owned());
    let active = "alarm latency is in ALARM: Threshold Crossed";
    assert_eq!(told(unknown(), Some(alarm("ALARM"))), active);
    assert_eq!(told(alarm("OK"), Some(alarm("INSUFFICIENT_DATA"))), "Quiet");
    assert_eq!(told(alarm("OK"), Some(unknown())), "Unknown(\"no answer\")");
    assert_eq!(told(Known::Absent, Some(unknown())), "Absent(\"errors\")");
    assert_eq!(told(alarm("OK"), None), "Unread");
}

#[test]
fn what_cloudwatch_says_of_an_alarm_is_bounded() {
    let alarm = Alarm {
        state: "ALARM".to_owned(),
        reason: Some(format!("Threshold Crossed: {}.", "datapoint ".repeat(90))),
        since: None,
    };
    let told = sentence("errors", &alarm);
    assert!(told.starts_with("alarm errors is in ALARM: Threshold Crossed: datapoint"));
    assert!(told.ends_with("...") && told.len() < 250, "{told}");
}
