//! What is told of a rollout that failed: why its tasks stopped, and where their logs are, also
//! when ECS has forgotten them.

use evenkeel::model::ledger::RunState;
use evenkeel::resource::status::{Evidence, FailedTask};
use serde_json::{Value, json};

use crate::shop::{
    Breaker, CLUSTER, Stands, crash, definition, key, minutes, pass, release, rules, service, shop,
    stalled, web,
};
use crate::world::{REGION, World};

const SECRET: &str = "s3cr3t-of-the-base";

/// The shop whose service `web` logs to CloudWatch Logs, Ready on v2.
async fn logging(breaker: Breaker) -> World {
    let world = shop(breaker).await;
    let mut logging = definition("web", "v1", &json!({}));
    logging["containerDefinitions"][0]["logConfiguration"] = json!({
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/shop/web", "awslogs-region": REGION, "awslogs-stream-prefix": "ecs",
        },
    });
    world.aws("ecs", "RegisterTaskDefinition", logging);
    world.by_hand("web", "web:2");
    pass(minutes(2)).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.called("ecs.ListTasks"), 0, "nothing had failed");
    world.sandbox.reset_calls();
    world
}

impl World {
    async fn evidence(&self) -> Evidence {
        let status = self.status(&key()).await;
        status.services[0].evidence.clone()
    }

    /// Everything that evenkeel wrote into its table, as text.
    async fn written(&self) -> String {
        let status = json!(self.status(&key()).await);
        let ledger = self.ledger(&key()).await;
        format!("{status} {} {:?}", json!(ledger.rollouts), ledger.revisions)
    }

    fn lines_of(&self, task: &FailedTask) -> String {
        let place = task.containers[0].log_stream.as_deref().expect("a log");
        let stream = place.strip_prefix("/shop/web/").expect("the group");
        let input = json!({"logGroupName": "/shop/web", "logStreamName": stream});
        self.aws("logs", "GetLogEvents", input)["events"].to_string()
    }
}

fn rule(then: &Value) -> Value {
    json!([{"when": {"image": "web:bad"}, "then": then, "log": "KeyError: PAYMENTS_URL"}])
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_with_exit_codes_and_logs_also_when_ecs_has_forgotten_the_tasks() {
    for breaker in [Breaker::Rollback, Breaker::Stop] {
        let world = logging(breaker).await;
        rules(
            &world,
            &rule(&json!({"crash": {"after": "2s", "exitCode": 7}})),
        );
        world.put(&web("bad")).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(world.called("ecs.ListTasks"), 1, "asked for once");

        let told = world.evidence().await;
        assert!((1..=5).contains(&told.tasks.len()), "{told:?}");
        for task in &told.tasks {
            assert_eq!(task.stop_code.as_deref(), Some("EssentialContainerExited"));
            assert_eq!(task.containers[0].exit_code, Some(7));
        }
        let newest_first = told.tasks.is_sorted_by(|a, b| a.stopped_at >= b.stopped_at);
        assert!(newest_first, "{told:?}");
        let failed = |event: &String| event.contains("deployment failed");
        assert!(told.events.iter().any(failed), "{:?}", told.events);
        let log = world.lines_of(&told.tasks[0]);
        assert!(log.contains("KeyError: PAYMENTS_URL"), "{log}");
        assert!(log.contains("web exits with code 7"), "{log}");
        let why = world.why(&key()).await;
        let short = "essential container web exited with code 7 (EssentialContainerExited)";
        assert!(why.contains(short), "{why}");
        assert!(!world.written().await.contains(SECRET));

        pass(minutes(180)).await;
        let listed = json!({"cluster": CLUSTER, "serviceName": "web", "desiredStatus": "STOPPED"});
        let forgotten = world.aws("ecs", "ListTasks", listed);
        if breaker == Breaker::Rollback {
            assert_eq!(forgotten["taskArns"], json!([]));
        }
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(world.evidence().await, told);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_told_in_ecs_s_words() {
    let world = logging(Breaker::Rollback).await;
    rules(&world, &rule(&json!({"cannotPull": {}})));
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let told = world.evidence().await;
    let task = &told.tasks[0];
    assert_eq!(task.stop_code.as_deref(), Some("TaskFailedToStart"));
    assert_eq!(task.containers[0].exit_code, None, "absent is not 0");
    let reason = task.containers[0].reason.as_deref().expect("a reason");
    assert!(reason.starts_with("CannotPullContainerError"), "{reason}");
    let why = world.why(&key()).await;
    assert!(
        why.contains("CannotPullContainerError") && why.contains("(TaskFailedToStart)"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_that_can_be_placed_nowhere_are_told_by_events() {
    let world = logging(Breaker::Off).await;
    rules(
        &world,
        &rule(&json!({"cannotPlace": {"reason": "RESOURCE:CPU"}})),
    );
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let told = world.evidence().await;
    assert!(told.tasks.is_empty(), "{told:?}");
    let placing = |text: &str| text.contains("unable to place a task");
    assert!(told.events.iter().any(|it| placing(it)), "{told:?}");
    let why = world.why(&key()).await;
    assert!(placing(&why), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_judged_without_its_tasks_where_they_cannot_be_read() {
    let world = logging(Breaker::Rollback).await;
    world.deny(&["ecs:ListTasks"]);
    crash(&world, "bad");
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let told = world.evidence().await;
    assert!(told.tasks.is_empty(), "{told:?}");
    assert!(!told.events.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fix_takes_the_evidence_of_what_failed_away() {
    let world = logging(Breaker::Rollback).await;
    crash(&world, "bad");
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert!(!world.evidence().await.is_empty());
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.evidence().await, Evidence::default());
    let rollouts = world.ledger(&key()).await.rollouts;
    assert_eq!(rollouts["web"].evidence, Evidence::default());
}

#[tokio::test(start_paused = true)]
async fn another_try_that_succeeds_takes_it_away_too() {
    let world = logging(Breaker::Rollback).await;
    crash(&world, "bad");
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.evidence().await, Evidence::default());
}

/// What keeps a controller from judging a migration as it usually does.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nothing,
    Suspended,
    Superseded,
}

#[tokio::test(start_paused = true)]
async fn what_ecs_says_of_a_migration_tells_no_value_of_its_environment() {
    const OVERRIDE: &str = "t0ken-of-the-manifest";
    let migrating = |tag: &str| {
        let environment = json!([{"name": "TOKEN", "value": OVERRIDE}]);
        let spec = json!({"services": [service("web")], "migrations": [{
            "name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"},
            "overrides": {"containerOverrides": [{"name": "job", "environment": environment}]},
        }]});
        release("web", tag, &spec)
    };
    for meanwhile in [
        Meanwhile::Nothing,
        Meanwhile::Suspended,
        Meanwhile::Superseded,
    ] {
        let world = shop(Breaker::Rollback).await;
        let endless = json!([{"when": {"family": "job"}, "then": {"exit": {"after": "3h"}}}]);
        rules(&world, &endless);
        world.put(&migrating("v2")).await;
        world.run_for(minutes(1)).await;
        let run = world.ledger(&key()).await.migrations[0].clone();
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Suspended => {
                let now = world.sandbox.now();
                let set = world.store.set_suspend(&key(), true, "ops", now).await;
                set.expect("suspends");
            }
            Meanwhile::Superseded => {
                world.put(&web("v3")).await;
                world.run_for(minutes(1)).await;
            }
        }
        let told = "and more ".repeat(80);
        let reason = format!("cannot start: SECRET={SECRET} TOKEN={OVERRIDE} {told}");
        let input = json!({"cluster": CLUSTER, "task": run.task_arn, "reason": reason});
        world.aws("ecs", "StopTask", input);
        pass(minutes(1)).await;
        world.run(&key()).await;

        let ledger = world.ledger(&key()).await;
        let ended = &ledger.migrations[0];
        assert_eq!(ended.state, RunState::Failed, "{meanwhile:?}");
        let said = ended.stopped_reason.as_deref().expect("ECS's words");
        assert!(
            said.starts_with("cannot start: SECRET=(hidden) TOKEN=(hidden) and more"),
            "{said}"
        );
        assert!(said.chars().count() < 510, "{said}");
        let written = format!(
            "{} {:?}",
            json!(world.status(&key()).await),
            ledger.migrations
        );
        assert!(
            !written.contains(SECRET) && !written.contains(OVERRIDE),
            "{meanwhile:?}"
        );
    }
}
