//! A small account to play scenarios in: one cluster, one repository, services of one container.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel::controller::Summary;
use evenkeel::model::ledger::RequestKind;
use evenkeel::plan;
use evenkeel::resource::conditions::{Condition, ConditionStatus, ConditionType, find};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::{Difference, PartState};
use evenkeel::sandbox::Rules;
use serde_json::{Value, json};

use crate::world::{REGION, World};

pub const CLUSTER: &str = "shop";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/events";
const HOST: &str = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com";

/// The shop's release.
pub fn key() -> ReleaseKey {
    ReleaseKey::new("shop", "web")
}

/// Repository of the only image.
pub fn repository() -> String {
    format!("{HOST}/web")
}

/// ARN of a task definition.
pub fn arn(name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:123456789012:task-definition/{name}")
}

/// What a circuit breaker does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Breaker {
    Off,
    Stop,
    Rollback,
}

/// Time passes.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// A settled account: tags v1 to v4 and `bad`, whose tasks crash; services `web` and `worker` on
/// v1; the family `job`; an Environment without defaults but the role of schedules.
pub async fn shop(breaker: Breaker) -> World {
    shop_of(&["web", "worker"], breaker).await
}

/// The same with these services.
pub async fn shop_of(services: &[&str], breaker: Breaker) -> World {
    let world = World::empty().await;
    world.aws("ecs", "CreateCluster", json!({"clusterName": CLUSTER}));
    world.aws("ecr", "CreateRepository", json!({"repositoryName": "web"}));
    for tag in ["v1", "v2", "v3", "v4", "bad"] {
        push(&world, tag, tag);
    }
    for family in ["web", "worker", "job"] {
        register(&world, family, "v1", &json!({}));
    }
    for service in services {
        create_service(&world, service, breaker, &json!({}));
    }
    crash(&world, "bad");
    pass(minutes(2)).await;
    world.apply(&environment(&json!({})).to_string()).await;
    world
}

/// The shop with the release Ready on v2, and the log emptied.
pub async fn ready(breaker: Breaker) -> World {
    brought(shop(breaker).await, &web("v2")).await
}

/// The shop with this release Ready, and the log emptied.
pub async fn delivered(object: &Value) -> World {
    brought(shop(Breaker::Rollback).await, object).await
}

async fn brought(world: World, object: &Value) -> World {
    world.put(object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.sandbox.reset_calls();
    world
}

/// Pushes an image under a tag; the content decides the digest.
pub fn push(world: &World, tag: &str, content: &str) {
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let hex: String = content
        .bytes()
        .cycle()
        .take(32)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = json!({
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 1, "digest": format!("sha256:{hex}"),
    });
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}).to_string();
    let input = json!({"repositoryName": "web", "imageTag": tag, "imageManifest": manifest});
    world.aws("ecr", "PutImage", input);
}

/// The digest of a tag.
pub fn digest(world: &World, tag: &str) -> String {
    let input = json!({"repositoryName": "web", "imageIds": [{"imageTag": tag}]});
    let answer = world.aws("ecr", "DescribeImages", input);
    let digest = answer["imageDetails"][0]["imageDigest"].as_str();
    digest.expect("a digest").to_owned()
}

/// The image of a tag as it stands in what evenkeel registers.
pub fn pinned(world: &World, tag: &str) -> String {
    format!("{}@{}", repository(), digest(world, tag))
}

/// RegisterTaskDefinition's input of a family whose container has the family's name.
pub fn definition(family: &str, tag: &str, more: &Value) -> Value {
    let mut input = json!({
        "family": family,
        "cpu": "256", "memory": "512", "networkMode": "bridge",
        "containerDefinitions": [{
            "name": family, "image": format!("{}:{tag}", repository()), "essential": true,
            "environment": [{"name": "SECRET", "value": "s3cr3t-of-the-base"}],
        }],
    });
    merge(&mut input, more);
    input
}

/// Registers a revision as somebody else does; its ARN.
pub fn register(world: &World, family: &str, tag: &str, more: &Value) -> String {
    let answer = world.aws(
        "ecs",
        "RegisterTaskDefinition",
        definition(family, tag, more),
    );
    let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
    arn.expect("an ARN").to_owned()
}

pub fn create_service(world: &World, name: &str, breaker: Breaker, more: &Value) {
    let mut input = json!({
        "cluster": CLUSTER, "serviceName": name, "taskDefinition": name, "desiredCount": 1,
        "launchType": "EC2",
        "deploymentConfiguration": {"deploymentCircuitBreaker": {
            "enable": breaker != Breaker::Off, "rollback": breaker == Breaker::Rollback,
        }},
    });
    merge(&mut input, more);
    world.aws("ecs", "CreateService", input);
}

/// Tasks of an image tag crash; all others live.
pub fn crash(world: &World, tag: &str) {
    let then = json!({"crash": {"after": "2s", "exitCode": 1}});
    rules(
        world,
        &json!([{"when": {"image": format!("web:{tag}")}, "then": then}]),
    );
}

pub fn rules(world: &World, rules: &Value) {
    let rules: Rules = serde_json::from_value(rules.clone()).expect("rules");
    world.sandbox.set_rules(rules);
}

pub fn merge(into: &mut Value, more: &Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else {
        panic!("two objects are merged");
    };
    for (name, value) in more {
        match into.get_mut(name) {
            Some(inner @ Value::Object(_)) if value.is_object() => merge(inner, value),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

/// The shop's Environment.
pub fn environment(spec: &Value) -> Value {
    let mut whole = json!({"cluster": CLUSTER, "region": REGION, "schedules": {"roleArn": ROLE}});
    merge(&mut whole, spec);
    json!({
        "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "shop"}, "spec": whole,
    })
}

/// A Release of the image `web` under a tag.
pub fn release(name: &str, tag: &str, spec: &Value) -> Value {
    let mut whole = json!({"images": {"web": {"repository": repository(), "tag": tag}}});
    merge(&mut whole, spec);
    json!({
        "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": name, "namespace": "shop"}, "spec": whole,
    })
}

/// A service of a Release.
pub fn service(name: &str) -> Value {
    json!({"name": name, "images": {name: "web"}, "rollout": {"timeout": "6m"}})
}

/// The release with one service, `web`.
pub fn web(tag: &str) -> Value {
    release("web", tag, &json!({"services": [service("web")]}))
}

/// The same release, of which everything stays as it is where a rollout fails.
pub fn hold(mut object: Value) -> Value {
    let rollout = json!({"rollout": {"onFailure": "Hold", "breakerMayRollBack": true}});
    let services = object["spec"]["services"].as_array_mut();
    for service in services.into_iter().flatten() {
        merge(service, &rollout);
    }
    object
}

/// A schedule of a Release, which runs the family `job`.
pub fn schedule(name: &str, expression: &str) -> Value {
    json!({
        "name": name, "expression": expression,
        "taskDefinition": {"family": "job"}, "images": {"job": "web"},
    })
}

/// How a Release stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stands {
    Ready,
    Stalled(String),
    Suspended,
    Held(String),
}

pub fn stalled(reason: &str) -> Stands {
    Stands::Stalled(reason.to_owned())
}

pub fn held(reason: &str) -> Stands {
    Stands::Held(reason.to_owned())
}

fn stands(summary: &Summary, key: &ReleaseKey) -> Option<Stands> {
    if summary.ready.contains(key) {
        return Some(Stands::Ready);
    }
    if summary.suspended.contains(key) {
        return Some(Stands::Suspended);
    }
    if let Some((_, reason, _)) = summary.held.iter().find(|(name, ..)| name == key) {
        return Some(held(reason));
    }
    let stalled = summary.stalled.iter().find(|(name, _, _)| name == key)?;
    Some(Stands::Stalled(stalled.1.clone()))
}

impl World {
    /// Applies an object given as JSON.
    pub async fn put(&self, object: &Value) {
        self.apply(&object.to_string()).await;
    }

    /// Works until nothing moves any more, and checks that a plan that was carried out leaves
    /// nothing to do: planned again it is empty, and another run writes nothing.
    pub async fn settle(&self, key: &ReleaseKey) -> Stands {
        let stands = self.run(key).await;
        let plan = self.reconciler().preview(key).await.expect("plans");
        let steps: Vec<_> = plan
            .actions
            .iter()
            .map(|action| (action.step.kind(), &action.resource, &action.reason))
            .collect();
        assert!(steps.is_empty(), "planned again: {steps:?}");
        let before = self.writes().len();
        let told = self.status(key).await;
        assert_eq!(self.run(key).await, stands, "a second run");
        assert_eq!(self.status(key).await, told, "a second run");
        assert_eq!(self.writes()[before..], [] as [String; 0], "a second run");
        stands
    }

    /// Works until nothing moves any more; at most a day.
    pub async fn run(&self, key: &ReleaseKey) -> Stands {
        let day = Duration::from_secs(24 * 60 * 60);
        let ran = tokio::time::timeout(day, self.run_once()).await;
        let summary = match ran {
            Ok(summary) => summary.expect("runs"),
            Err(_) => panic!("still moving after a day: {:#?}", self.status(key).await),
        };
        stands(&summary, key).unwrap_or_else(|| panic!("{key} is not told of: {summary:?}"))
    }

    /// Looks at everything again and again for a long time, as the controller's resync does.
    pub async fn resync(&self, key: &ReleaseKey, time: Duration, every: Duration) -> Stands {
        let mut left = time;
        loop {
            let stands = self.run(key).await;
            if left.is_zero() {
                return stands;
            }
            pass(every.min(left)).await;
            left = left.saturating_sub(every);
        }
    }

    /// Asks something of the controller.
    pub async fn request(&self, key: &ReleaseKey, kind: RequestKind) {
        let now = self.sandbox.now();
        let asked = self.store.request(key, kind, "ann", now).await;
        asked.expect("asks");
    }

    pub async fn retry(&self, key: &ReleaseKey) {
        self.request(key, RequestKind::Retry).await;
    }

    pub async fn condition(&self, key: &ReleaseKey, kind: ConditionType) -> Option<Condition> {
        find(&self.status(key).await.conditions, kind).cloned()
    }

    pub async fn is(&self, key: &ReleaseKey, kind: ConditionType) -> Option<ConditionStatus> {
        Some(self.condition(key, kind).await?.status)
    }

    /// Why it is Stalled.
    pub async fn why(&self, key: &ReleaseKey) -> String {
        let stalled = self.condition(key, ConditionType::Stalled).await;
        stalled.expect("it is stalled").message
    }

    pub async fn differences(&self, key: &ReleaseKey) -> Vec<Difference> {
        self.status(key).await.drift.differences
    }

    /// Where each service stands.
    pub async fn services(&self, key: &ReleaseKey) -> BTreeMap<String, PartState> {
        let status = self.status(key).await;
        let parts = status.services.into_iter();
        parts.map(|part| (part.name, part.state)).collect()
    }

    /// The controller's calls of an operation, with what was sent, oldest first.
    pub fn sent(&self, operation: &str) -> Vec<Value> {
        let log = self.sandbox.log();
        let sent = log
            .iter()
            .filter(|call| call.client && call.operation == operation);
        sent.map(|call| call.input.clone()).collect()
    }

    /// What the controller pointed which service at, in order: `web -> web:2`.
    pub fn moves(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.sent("UpdateService")
            .iter()
            .map(|input| {
                let target = text(&input["taskDefinition"]);
                let target = target.rsplit('/').next().unwrap_or_default();
                format!("{} -> {target}", text(&input["service"]))
            })
            .collect()
    }

    /// AWS's own writes of the controller, without those of the table.
    pub fn aws_writes(&self) -> Vec<String> {
        let writes = self.writes().into_iter();
        writes
            .filter(|name| !name.starts_with("dynamodb."))
            .collect()
    }

    /// Moves a service as somebody else does.
    pub fn by_hand(&self, service: &str, definition: &str) {
        let input = json!({"cluster": CLUSTER, "service": service, "taskDefinition": definition});
        self.aws("ecs", "UpdateService", input);
    }

    /// The image that a service's definition has in the container of the service's name.
    pub fn image_of(&self, service: &str) -> String {
        self.image_in(&self.runs(CLUSTER, service), service)
    }

    /// The image of a container in a task definition.
    pub fn image_in(&self, definition: &str, container: &str) -> String {
        let found = self.definition(definition)["taskDefinition"].clone();
        let image = plan::taskdef::image(&found, container);
        image.expect("the container is there").to_owned()
    }

    pub fn rule(&self, name: &str) -> Value {
        self.aws("events", "DescribeRule", json!({"Name": name}))
    }

    pub fn has_rule(&self, name: &str) -> bool {
        let input = json!({"NamePrefix": name});
        let answer = self.aws("events", "ListRules", input);
        let rules = answer["Rules"].as_array().into_iter().flatten();
        rules.into_iter().any(|rule| rule["Name"] == name)
    }

    pub fn targets(&self, rule: &str) -> Vec<Value> {
        let answer = self.aws("events", "ListTargetsByRule", json!({"Rule": rule}));
        answer["Targets"].as_array().cloned().unwrap_or_default()
    }

    pub fn rule_tags(&self, name: &str) -> BTreeMap<String, String> {
        let arn = self.rule(name)["Arn"].clone();
        let answer = self.aws("events", "ListTagsForResource", json!({"ResourceARN": arn}));
        let tags = answer["Tags"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"])))
            .collect()
    }

    /// Denies actions to the controller.
    pub fn deny(&self, actions: &[&str]) {
        let globs: Vec<Value> = actions.iter().map(|action| json!(action)).collect();
        let globs = serde_json::from_value(json!(globs)).expect("globs");
        self.sandbox
            .update_settings(|settings| settings.deny = globs);
    }
}
