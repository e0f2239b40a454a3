//! Tasks. moto starts one only where every container says its memory, and ends it with 0 whatever it
//! runs; ministack's end as the stand-in Docker engine says, `exit N` with N.

use serde_json::{Value, json};

use super::{CLUSTER, hook, ministack, moto, released, rolled_out, scheduled, worked};
use crate::evenkeel::{assert_ready, assert_stalled};

/// A task with a definition of its own, whose container says its memory.
fn task(family: &str, command: Value) -> Value {
    let definition = json!({"inline": {
        "family": family, "cpu": "256", "memory": "512", "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{"name": "rails", "image": "any", "cpu": 256, "memory": 512}],
    }});
    let overrides = json!({"containerOverrides": [{"name": "rails", "command": command}]});
    json!({"taskDefinition": definition, "images": {"rails": "app"}, "overrides": overrides})
}

#[test]
fn tasks_before_and_after_run_once_each_in_moto() {
    let server = moto::rails_allowing(&json!({}));
    let hooks = json!({
        "before": [{"name": "snapshot", "ecsTask": task("rails-snapshot", json!(["snapshot"]))}],
        "after": [{"name": "warm-up", "ecsTask": task("rails-warm-up", json!(["warm-up"]))}],
    });
    let ready = released(&server, &scheduled(&hooks), 0);
    assert_ready(&ready);
    let after = server.snapshot(CLUSTER);
    let tasks = after["tasks"].as_array().expect("a list");
    assert_eq!(tasks.len(), 2, "{tasks:#?}");
    for (name, definition) in [
        ("snapshot", "rails-snapshot:1"),
        ("warm-up", "rails-warm-up:1"),
    ] {
        let told = hook(&ready, name);
        assert_eq!(
            (&told["state"], &told["exitCode"]),
            (&json!("Done"), &json!(0))
        );
        let mut ran = tasks
            .iter()
            .filter(|task| task["taskDefinition"] == definition);
        let ran = ran
            .next()
            .unwrap_or_else(|| panic!("no {definition}: {tasks:#?}"));
        let asked = &ran["overrides"]["containerOverrides"][0];
        assert_eq!(asked["command"], json!([name]));
        let image = ran["containers"]["rails"]["image"].as_str();
        assert!(
            image.is_some_and(|it| it.contains("rails/app@sha256:")),
            "{ran:#}"
        );
    }
    worked(&server, 0);
    assert_eq!(
        server.snapshot(CLUSTER),
        after,
        "another pass changed something"
    );
}

#[test]
fn a_task_that_fails_after_the_rollout_takes_it_back_in_ministack() {
    let server = ministack::rails_allowing(&json!({}));
    let runs = || server.snapshot(CLUSTER)["services"]["shoryuken"]["taskDefinition"].clone();
    let before = runs();
    let command = json!(["sh", "-c", "exit 3"]);
    let smoke_test = json!({
        "name": "smoke-test", "onFailure": "Rollback", "ecsTask": task("rails-smoke", command),
    });
    let stalled = released(&server, &rolled_out(&json!({"after": [smoke_test]})), 1);
    let message = assert_stalled(&stalled, "RolledBack");
    assert!(message.contains("hook/smoke-test failed"), "{message}");
    let told = hook(&stalled, "smoke-test");
    assert_eq!(
        (&told["state"], &told["exitCode"]),
        (&json!("Failed"), &json!(3))
    );
    assert_eq!(runs(), before);
    worked(&server, 1);
    let tasks = server.snapshot(CLUSTER)["tasks"].as_array().map(Vec::len);
    assert_eq!(tasks, Some(1), "it ran once");
}
