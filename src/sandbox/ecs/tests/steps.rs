//! A big jump in time comes to the same as many small steps.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Update(usize),
    Force,
    Scale(u32),
    Run(usize),
    Stop(usize),
}

const IMAGES: [&str; 6] = ["a:good", "a:bad", "a:sick", "a:late", "a:slow", "gone/a:1"];

fn rules() -> Value {
    json!([
        {"when": {"image": "*:bad"}, "then": {"crash": {"after": "2s"}}},
        {"when": {"image": "*:sick"}, "then": {"unhealthy": {"after": "3s"}}},
        {"when": {"image": "*:late"}, "then": {"crash": {"after": "70s"}}},
        {"when": {"image": "*:slow"}, "then": {"neverStarts": {}}},
    ])
}

fn acts() -> impl Strategy<Value = Vec<(Act, i64)>> {
    let act = prop_oneof![
        3 => (0..IMAGES.len()).prop_map(Act::Update),
        1 => Just(Act::Force),
        2 => (0_u32..6).prop_map(Act::Scale),
        2 => (0..IMAGES.len()).prop_map(Act::Run),
        1 => (0_usize..20).prop_map(Act::Stop),
    ];
    proptest::collection::vec((act, 0_i64..200), 1..8)
}

fn start(breaker: bool, least: u32, most: u32) -> World {
    let mut world = World::new(rules());
    for image in IMAGES {
        world.register("app", image);
    }
    let mut input = service("app", 3);
    input["taskDefinition"] = json!("app:1");
    input["deploymentConfiguration"] = json!({
        "deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker},
        "minimumHealthyPercent": least,
        "maximumPercent": most,
    });
    world.ok("CreateService", input);
    world
}

fn act(world: &mut World, act: &Act) {
    match act {
        Act::Update(n) => {
            world.update("app", json!({"taskDefinition": format!("app:{}", n + 1)}));
        }
        Act::Force => {
            world.update("app", json!({"forceNewDeployment": true}));
        }
        Act::Scale(count) => {
            world.update("app", json!({"desiredCount": count}));
        }
        Act::Run(n) => {
            world.run(json!({"taskDefinition": format!("app:{}", n + 1)}));
        }
        Act::Stop(n) => {
            let tasks = world.list_tasks(json!({}));
            if let Some(arn) = tasks.get(n % tasks.len().max(1)) {
                world.ok("StopTask", json!({"cluster": "c", "task": arn}));
            }
        }
    }
}

/// All that can be seen.
fn picture(world: &mut World) -> Value {
    let mut arns = world.list_tasks(json!({}));
    arns.extend(world.list_tasks(json!({"desiredStatus": "STOPPED"})));
    let tasks: Vec<_> = arns.iter().map(|arn| world.task(arn)).collect();
    json!({"service": world.service("app"), "records": world.records("app"), "tasks": tasks})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jumping_equals_stepping(
        acts in acts(),
        breaker: bool,
        percents in prop_oneof![Just((100, 200)), Just((50, 100)), Just((0, 150))],
    ) {
        let mut jumping = start(breaker, percents.0, percents.1);
        let mut stepping = start(breaker, percents.0, percents.1);
        for (what, wait) in &acts {
            act(&mut jumping, what);
            act(&mut stepping, what);
            jumping.pass(*wait);
            for _ in 0..*wait {
                stepping.pass(1);
            }
            prop_assert_eq!(picture(&mut jumping), picture(&mut stepping));
        }
        prop_assert_eq!(jumping.ecs.next_event(), stepping.ecs.next_event());
    }

    #[test]
    fn nothing_is_started_beyond_the_maximum(acts in acts()) {
        let mut world = start(true, 50, 150);
        world.pass(30);
        let mut desired = 3;
        for (what, wait) in acts {
            if let Act::Scale(count) = what {
                desired = u64::from(count);
            }
            act(&mut world, &what);
            let mut before = live(&mut world);
            for _ in 0..wait {
                world.pass(1);
                let now = live(&mut world);
                prop_assert!(now <= before.max(desired * 3 / 2), "{before} to {now} of {desired}");
                before = now;
            }
        }
    }
}

fn live(world: &mut World) -> u64 {
    let service = world.service("app");
    service["runningCount"].as_u64().unwrap() + service["pendingCount"].as_u64().unwrap()
}
