use serde_json::json;

use super::*;
use crate::sandbox::{CallInfo, Sandbox, SandboxOptions, Tap, Verdict};

const REGION: &str = "eu-west-1";

struct Scene {
    sandbox: Sandbox,
    reads: Reads,
    place: Place,
}

fn scene() -> Scene {
    let sandbox = Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let aws = Aws::for_test(sandbox.http_client(), REGION);
    Scene {
        sandbox,
        reads: Reads::new(aws),
        place: Place::new(&Access::default(), REGION),
    }
}

impl Scene {
    fn call(&self, service: &str, operation: &str, input: Value) {
        let answer = self.sandbox.call(service, REGION, operation, input);
        answer.unwrap();
    }

    fn register(&self) {
        let container = json!({"name": "web", "image": "web:v1", "memory": 512});
        let input = json!({"family": "web", "containerDefinitions": [container]});
        self.call("ecs", "RegisterTaskDefinition", input);
    }
}

/// What a service runs was looked at before: a family as it was earlier would lack it.
#[tokio::test(start_paused = true)]
async fn a_look_afresh_lists_a_family_as_it_is_when_it_asks() {
    let scene = scene();
    scene.register();
    let [first, second] = [(); 2].map(|()| scene.reads.view(&Access::default(), REGION, None));
    let all = |_: &[String]| false;
    assert_eq!(first.family("web", all).await.unwrap().len(), 1);
    scene.register();
    assert_eq!(second.family("web", all).await.unwrap().len(), 2);
}

/// Writes a rule while the targets of another are read.
struct Writes(Reads);

impl Tap for Writes {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        if call.operation == "ListTargetsByRule" {
            let input = json!({"Name": "another"});
            let step = Step::PutRule { input };
            self.0.wrote(&Access::default(), REGION, &step);
        }
        Verdict::Proceed
    }
}

/// Otherwise every Release with rules had a pass.
#[tokio::test(start_paused = true)]
async fn a_rule_that_is_written_while_a_sweep_reads_leaves_the_list_of_the_bus_at_hand() {
    let scene = scene();
    let input = json!({"Name": "shop-web-nightly", "ScheduleExpression": "rate(1 day)"});
    scene.call("events", "PutRule", input);
    let tap = Arc::new(Writes(scene.reads.clone()));
    scene.sandbox.set_tap(Some(tap));
    let interest = Interest {
        region: REGION.to_owned(),
        rules: ["shop-web-nightly".to_owned()].into(),
        rule_prefix: "shop-web-".to_owned(),
        ..Interest::default()
    };
    let since = Instant::now();
    scene.reads.ahead(&[interest]).await;
    let fresh = Fresh::Since(since);
    let listed = scene.reads.rules.at_hand(&scene.place, &(), fresh);
    assert_eq!(listed.unwrap().unwrap().len(), 1);
}
