//! The Region driven through its API, with time passed in.

mod breaker;
mod deployments;
mod registration;
mod running;
mod services;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cx::{Cx, Ids, ImageLookup, Images};
use super::super::fault::Fault;
use super::super::rules::Rules;
use super::super::settings::Settings;
use super::Ecs;

/// Registries: what is listed is there, what begins with `gone/` is missing, the rest is foreign.
#[derive(Default)]
struct Shelf(BTreeMap<String, (String, Vec<String>)>);

impl Images for Shelf {
    fn lookup(&self, image: &str) -> ImageLookup {
        match self.0.get(image) {
            Some((digest, tags)) => ImageLookup::Found {
                digest: digest.clone(),
                tags: tags.clone(),
            },
            None if image.starts_with("gone/") => ImageLookup::Missing,
            None => ImageLookup::Foreign,
        }
    }
}

/// A Region and its surroundings.
struct World {
    ecs: Ecs,
    now: Timestamp,
    ids: Ids,
    rules: Rules,
    settings: Settings,
    shelf: Shelf,
}

impl World {
    /// With a cluster named `c`, and the rules.
    fn new(rules: Value) -> Self {
        let mut world = Self {
            ecs: Ecs::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            ids: Ids::default(),
            rules: serde_json::from_value(rules).unwrap(),
            settings: Settings::default(),
            shelf: Shelf::default(),
        };
        world.ok("CreateCluster", json!({"clusterName": "c"}));
        world
    }

    fn with<R>(&mut self, what: impl FnOnce(&mut Ecs, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            account: "123456789012",
            region: "eu-west-1",
            principal: "arn:aws:iam::123456789012:user/me".to_owned(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &self.shelf,
        };
        what(&mut self.ecs, &mut cx)
    }

    fn call(&mut self, operation: &str, input: Value) -> Result<Value, Fault> {
        let input = input.as_object().unwrap().clone();
        self.with(|ecs, cx| ecs.call(cx, operation, &input))
    }

    #[track_caller]
    fn ok(&mut self, operation: &str, input: Value) -> Value {
        match self.call(operation, input) {
            Ok(answer) => answer,
            Err(fault) => panic!("{operation}: {} {}", fault.code, fault.message),
        }
    }

    /// The exception's name and sentence.
    #[track_caller]
    fn refused(&mut self, operation: &str, input: Value) -> (&'static str, String) {
        let fault = self.call(operation, input).unwrap_err();
        assert_eq!(fault.status, 400);
        (fault.code, fault.message)
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.with(|ecs, cx| ecs.advance(cx));
    }

    /// Registers a revision of a family with one container named like it.
    fn register(&mut self, family: &str, image: &str) -> String {
        let answer = self.ok("RegisterTaskDefinition", definition(family, image));
        text(&answer["taskDefinition"]["taskDefinitionArn"])
    }

    /// A service with a circuit breaker that rolls back, on a new revision of the same family.
    fn serve(&mut self, name: &str, image: &str, desired: u32) -> Value {
        self.register(name, image);
        let input = service(name, desired);
        self.ok("CreateService", input)["service"].clone()
    }

    fn update(&mut self, name: &str, mut input: Value) -> Value {
        input["cluster"] = json!("c");
        input["service"] = json!(name);
        self.ok("UpdateService", input)["service"].clone()
    }

    fn service(&mut self, name: &str) -> Value {
        let input = json!({"cluster": "c", "services": [name]});
        self.ok("DescribeServices", input)["services"][0].clone()
    }

    /// The service deployments, newest first.
    fn records(&mut self, service: &str) -> Vec<Value> {
        let input = json!({"cluster": "c", "service": service});
        let briefs = self.ok("ListServiceDeployments", input);
        let arns: Vec<_> = briefs["serviceDeployments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|brief| brief["serviceDeploymentArn"].clone())
            .collect();
        let input = json!({"serviceDeploymentArns": arns});
        let answer = self.ok("DescribeServiceDeployments", input);
        answer["serviceDeployments"].as_array().unwrap().clone()
    }

    fn run(&mut self, input: Value) -> Value {
        let mut whole =
            json!({"cluster": "c", "launchType": "FARGATE", "networkConfiguration": network()});
        whole
            .as_object_mut()
            .unwrap()
            .extend(input.as_object().unwrap().clone());
        self.ok("RunTask", whole)
    }

    fn task(&mut self, arn: &Value) -> Value {
        let answer = self.ok("DescribeTasks", json!({"cluster": "c", "tasks": [arn]}));
        answer["tasks"].get(0).cloned().unwrap_or(Value::Null)
    }

    fn list_tasks(&mut self, filter: Value) -> Vec<Value> {
        let mut input = filter;
        input["cluster"] = json!("c");
        self.ok("ListTasks", input)["taskArns"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn delay_reads(&mut self, seconds: u64) {
        self.settings.read_delay = Duration::from_secs(seconds);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn network() -> Value {
    json!({"awsvpcConfiguration": {"subnets": ["subnet-1"]}})
}

fn definition(family: &str, image: &str) -> Value {
    json!({
        "family": family,
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "containerDefinitions": [{
            "name": family,
            "image": image,
            "healthCheck": {"command": ["CMD", "true"]},
        }],
    })
}

fn service(name: &str, desired: u32) -> Value {
    json!({
        "cluster": "c",
        "serviceName": name,
        "taskDefinition": name,
        "desiredCount": desired,
        "launchType": "FARGATE",
        "networkConfiguration": network(),
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": true}},
    })
}

/// Whether one of the service's events holds this.
fn says(service: &Value, what: &str) -> bool {
    let events = service["events"].as_array().unwrap();
    events
        .iter()
        .any(|event| event["message"].as_str().unwrap().contains(what))
}
