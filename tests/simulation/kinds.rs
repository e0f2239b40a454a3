//! Every kind of service: ECS's deployment strategies, CodeDeploy, what people say at their pause hooks, daemons,
//! and how many tasks a service has.

mod code_deploy;
mod counts;
mod declared;
mod pauses;
mod strategies;

use evenkeel::model::ledger::{RequestKind, Rollout};
use evenkeel::resource::status::ServiceStatus;
use serde_json::{Value, json};

use crate::shop::{Breaker, CLUSTER, key, merge, minutes, pass, seconds, shop};
use crate::world::World;

/// A balancer by which ECS can send traffic to either of two sets of tasks.
fn balancer() -> Value {
    let group = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup";
    json!([{
        "targetGroupArn": format!("{group}/blue/1"), "containerName": "web", "containerPort": 80,
        "advancedConfiguration": {
            "alternateTargetGroupArn": format!("{group}/green/2"),
            "productionListenerRule": "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:listener-rule/app/web/1/2/3",
            "roleArn": "arn:aws:iam::123456789012:role/ecs-balancers",
        },
    }])
}

/// The shop, whose service `web` stands behind such a balancer.
async fn balanced() -> World {
    let world = shop(Breaker::Off).await;
    update(&world, &json!({"loadBalancers": balancer()}));
    pass(minutes(5)).await;
    world
}

/// The same with this deploymentConfiguration.
pub async fn configured(configuration: Value) -> World {
    let world = balanced().await;
    update(&world, &json!({"deploymentConfiguration": configuration}));
    pass(minutes(1)).await;
    world.sandbox.reset_calls();
    world
}

/// Changes `web` as somebody else does.
fn update(world: &World, members: &Value) {
    let mut input = json!({"cluster": CLUSTER, "service": "web"});
    merge(&mut input, members);
    world.aws("ecs", "UpdateService", input);
}

/// What comes of a stage of a deployment of `web`.
pub fn stage(world: &World, stage: &str, then: &Value) {
    world.rules(json!([{
        "when": {"group": "service:web", "stage": stage}, "then": {"stage": then},
    }]));
}

fn described(world: &World) -> Value {
    let input = json!({"cluster": CLUSTER, "services": ["web"]});
    world.aws("ecs", "DescribeServices", input)["services"][0].clone()
}

async fn told(world: &World) -> ServiceStatus {
    let status = world.status(&key()).await;
    let part = status.services.iter().find(|part| part.name == "web");
    part.cloned().unwrap_or_default()
}

async fn rollout(world: &World) -> Rollout {
    let ledger = world.ledger(&key()).await;
    ledger.rollouts.get("web").cloned().expect("a rollout")
}

/// Runs the controller for so long, and tells what was said of `web` every few seconds.
async fn watched(world: &World, times: u32) -> Vec<ServiceStatus> {
    let mut seen = Vec::new();
    for _ in 0..times {
        world.run_for(seconds(10)).await;
        seen.push(told(world).await);
    }
    seen
}

/// Says at the pause hook at which `web` waits whether it goes on.
async fn says(world: &World, reject: bool) -> String {
    let hook = told(world).await.pause.expect("it waits").hook;
    say(world, &hook, reject).await;
    hook
}

async fn say(world: &World, hook: &str, reject: bool) {
    let kind = RequestKind::Continue {
        service: "web".to_owned(),
        hook: hook.to_owned(),
        reject,
    };
    world.request(&key(), kind).await;
}
