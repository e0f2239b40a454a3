//! An account with many services, and the releases that declare them.

use evenkeel::aws::Aws;
use evenkeel::aws::budget::Budget;
use evenkeel::aws::dynamodb::Table;
use evenkeel::controller::{Controller, ControllerOptions};
use evenkeel::reconcile::Reconciler;
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::sandbox::{Sandbox, SandboxOptions};
use evenkeel::store::{ApplyOptions, Store};
use serde_json::{Value, json};
use std::sync::Arc;

pub const REGION: &str = "eu-west-1";
pub const NAMESPACE: &str = "fleet";
const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/events";
/// Releases whose images lie in one repository: tags and digests fill one call.
const RELEASES_A_REPOSITORY: usize = 50;
/// EventBridge's quota for a bus.
const MOST_RULES: usize = 300;

/// How large it is.
#[derive(Clone, Copy)]
pub struct Size {
    pub services: usize,
    pub services_a_release: usize,
    /// The first releases have one service each.
    pub single: usize,
}

impl Size {
    pub fn releases(self) -> usize {
        let others = self.services - self.single;
        self.single + others.div_ceil(self.services_a_release)
    }

    /// Rules of schedules: one a release, as far as EventBridge allows.
    pub fn rules(self) -> usize {
        self.releases().min(MOST_RULES)
    }

    pub fn repositories(self) -> usize {
        self.releases().div_ceil(RELEASES_A_REPOSITORY)
    }
}

pub struct Fleet {
    pub sandbox: Sandbox,
    pub store: Store,
    pub aws: Aws,
    pub size: Size,
}

pub fn release(index: usize) -> String {
    format!("team{index:05}")
}

fn repository(index: usize) -> String {
    format!("apps{:03}", index / RELEASES_A_REPOSITORY)
}

impl Fleet {
    /// The account with every service on its first image, and the table.
    pub async fn new(size: Size) -> Self {
        let start = "2026-03-02T09:00:00Z".parse().unwrap();
        let sandbox = Sandbox::new(SandboxOptions::at(start));
        let aws = Aws::for_test(sandbox.http_client(), REGION);
        let store = Store::new(Table::new(&aws, "evenkeel"));
        store.init().await.unwrap();
        let fleet = Self {
            sandbox,
            store,
            aws,
            size,
        };
        fleet.build();
        fleet
    }

    /// Turns the table's stream on or off. The sandbox's table takes longer for each write the more
    /// its stream holds, so none is kept while the fleet is set up.
    fn stream(&self, on: bool) {
        let mut stream = json!({"StreamEnabled": on});
        if on {
            stream["StreamViewType"] = "NEW_AND_OLD_IMAGES".into();
        }
        let input = json!({"TableName": "evenkeel", "StreamSpecification": stream});
        self.call("dynamodb", "UpdateTable", input);
    }

    pub fn call(&self, service: &str, operation: &str, input: Value) {
        let answer = self.sandbox.call(service, REGION, operation, input);
        answer.unwrap_or_else(|error| panic!("{service}.{operation}: {error}"));
    }

    fn build(&self) {
        self.call("ecs", "CreateCluster", json!({"clusterName": NAMESPACE}));
        for index in 0..self.size.repositories() {
            let name = repository(index * RELEASES_A_REPOSITORY);
            self.call("ecr", "CreateRepository", json!({"repositoryName": name}));
        }
        self.define("job", 0, "v1");
        for index in 0..self.size.releases() {
            self.push(index, "v1");
            for service in self.services(index) {
                self.define(&service, index, "v1");
                let input = json!({
                    "cluster": NAMESPACE, "serviceName": service, "taskDefinition": service,
                    "desiredCount": 1, "launchType": "EC2",
                });
                self.call("ecs", "CreateService", input);
            }
        }
    }

    fn services(&self, index: usize) -> Vec<String> {
        let size = self.size;
        let count = match index.checked_sub(size.single) {
            None => 1,
            Some(place) => {
                let before = size.single + place * size.services_a_release;
                size.services_a_release.min(size.services - before)
            }
        };
        (0..count)
            .map(|service| format!("{}-{service:02}", release(index)))
            .collect()
    }

    fn define(&self, family: &str, index: usize, tag: &str) {
        let image = format!("{HOST}/{}:{}-{tag}", repository(index), release(index));
        let environment: Vec<Value> = (0..10)
            .map(|count| json!({"name": format!("SETTING_{count}"), "value": "some value"}))
            .collect();
        let input = json!({
            "family": family, "cpu": "256", "memory": "512", "networkMode": "bridge",
            "containerDefinitions": [{
                "name": "app", "image": image, "essential": true, "environment": environment,
            }],
        });
        self.call("ecs", "RegisterTaskDefinition", input);
    }

    /// Pushes an image of a release.
    pub fn push(&self, index: usize, tag: &str) {
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let content = format!("{index}/{tag}");
        let digest: String = content
            .bytes()
            .cycle()
            .take(32)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let config = json!({
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1, "digest": format!("sha256:{digest}"),
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [],
            "annotations": {"content": content},
        });
        let input = json!({
            "repositoryName": repository(index), "imageTag": format!("{}-{tag}", release(index)),
            "imageManifest": manifest.to_string(),
        });
        self.call("ecr", "PutImage", input);
    }

    /// The Environment of all of them.
    pub async fn apply_environment(&self) {
        let object = json!({
            "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": NAMESPACE},
            "spec": {"cluster": NAMESPACE, "region": REGION, "schedules": {"roleArn": ROLE}},
        });
        self.apply(&object).await;
    }

    /// A release with its image under this tag.
    pub async fn apply_release(&self, index: usize, tag: &str) {
        let services: Vec<Value> = self
            .services(index)
            .iter()
            .map(|name| json!({"name": name, "images": {"app": "app"}}))
            .collect();
        let mut schedules = Vec::new();
        if index < self.size.rules() {
            schedules.push(json!({
                "name": "nightly", "expression": "cron(0 3 * * ? *)",
                "taskDefinition": {"family": "job"},
            }));
        }
        let repository = format!("{HOST}/{}", repository(index));
        let object = json!({
            "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": release(index), "namespace": NAMESPACE},
            "spec": {
                "images": {"app": {
                    "repository": repository, "tag": format!("{}-{tag}", release(index)),
                }},
                "services": services, "schedules": schedules,
            },
        });
        self.apply(&object).await;
    }

    async fn apply(&self, object: &Value) {
        let (manifests, problems) = manifest::parse("fleet.json", &object.to_string());
        assert!(problems.is_empty(), "{problems:?}");
        let options = ApplyOptions {
            applier: "ci".to_owned(),
            source: None,
            force: false,
            now: self.sandbox.now(),
        };
        for manifest in manifests {
            match manifest.object {
                Declared::Environment(environment) => {
                    let applied = self.store.apply_environment(&environment, &options).await;
                    applied.expect("applies");
                }
                Declared::Release(release) => {
                    let applied = self.store.apply_release(&release, &options).await;
                    applied.expect("applies");
                }
            }
        }
    }

    /// A controller in this process, which keeps to this budget.
    pub fn controller(&self, budget: Budget) -> Controller {
        let sandbox = self.sandbox.clone();
        let clock = Arc::new(move || sandbox.now());
        let aws = self.aws.clone().with_budget(budget);
        let reconciler = Reconciler::new(aws, self.store.clone(), clock);
        Controller::new(reconciler, ControllerOptions::default())
    }

    /// Every release applied and Ready on its first image. Buckets are not enforced meanwhile.
    pub async fn ready(&self) {
        self.stream(false);
        self.apply_environment().await;
        for index in 0..self.size.releases() {
            self.apply_release(index, "v1").await;
        }
        let summary = self.controller(Budget::unbounded()).run_once().await;
        let summary = summary.expect("converges");
        self.stream(true);
        assert_eq!(
            summary.ready.len(),
            self.size.releases(),
            "{:?}",
            summary.stalled
        );
    }

    /// How often AWS clients asked for this: `ecs.UpdateService`.
    pub fn called(&self, name: &str) -> u64 {
        self.sandbox.calls().get(name).copied().unwrap_or_default()
    }
}
