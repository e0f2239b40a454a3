//! The account of the example, and the hands of others in it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::reconcile::Clock;
use crate::sandbox::{CallError, Sandbox, parse_account};
use crate::store::keys;

pub const REGION: &str = "ap-northeast-1";
/// The registry, which the story leaves out of its lines.
pub const HOST: &str = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/";
pub const CLUSTER: &str = "rails-production";

const ACCOUNT: &str = include_str!("../../../tests/fixtures/examples/rails/account.json");
/// The example's Environment.
pub const ENVIRONMENT: &str =
    include_str!("../../../tests/fixtures/examples/rails/environment.yaml");
/// The example's Release.
pub const RELEASE: &str = include_str!("../../../tests/fixtures/examples/rails/release.yaml");

/// The account as somebody with the console sees it: past evenkeel, and not counted as its calls.
#[derive(Clone)]
pub struct Account {
    pub sandbox: Sandbox,
}

impl Account {
    /// The account before the release.
    pub fn load(sandbox: Sandbox) -> Result<Self, CliError> {
        let calls = parse_account(ACCOUNT).map_err(|error| CliError::from_error(&error))?;
        sandbox
            .load_account(&calls, REGION)
            .map_err(|error| CliError::from_error(&error))?;
        // The services of the account have been up for long when the story begins.
        sandbox.skip(Duration::from_secs(600));
        Ok(Self { sandbox })
    }

    /// The account's time.
    pub fn clock(&self) -> Clock {
        let sandbox = self.sandbox.clone();
        Arc::new(move || sandbox.now())
    }

    /// Calls AWS as somebody else would.
    pub fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, CliError> {
        self.sandbox
            .call(service, REGION, operation, input)
            .map_err(|error| told(service, operation, &error))
    }

    pub fn ecs(&self, operation: &str, input: Value) -> Result<Value, CliError> {
        self.call("ecs", operation, input)
    }

    /// A service as DescribeServices has it.
    pub fn service(&self, name: &str) -> Result<Value, CliError> {
        let answer = self.ecs(
            "DescribeServices",
            json!({ "cluster": CLUSTER, "services": [name] }),
        )?;
        answer["services"].get(0).cloned().ok_or_else(|| {
            CliError::new(format!(
                "the sandbox has no service {name} in cluster {CLUSTER}"
            ))
        })
    }

    /// The images of a task definition, container by container.
    pub fn images(&self, task_definition: &str) -> Result<Vec<String>, CliError> {
        let answer = self.ecs(
            "DescribeTaskDefinition",
            json!({ "taskDefinition": task_definition }),
        )?;
        let containers = answer["taskDefinition"]["containerDefinitions"]
            .as_array()
            .cloned();
        Ok(containers
            .unwrap_or_default()
            .iter()
            .map(|container| text(&container["image"]))
            .collect())
    }

    /// The digest behind a tag.
    pub fn digest(&self, repository: &str, tag: &str) -> Result<String, CliError> {
        let answer = self.call(
            "ecr",
            "DescribeImages",
            json!({ "repositoryName": repository, "imageIds": [{ "imageTag": tag }] }),
        )?;
        Ok(text(&answer["imageDetails"][0]["imageDigest"]))
    }

    /// A rule as DescribeRule has it.
    pub fn rule(&self, name: &str) -> Result<Value, CliError> {
        self.call("events", "DescribeRule", json!({ "Name": name }))
    }

    /// The task definition that a rule's target runs.
    pub fn target(&self, rule: &str) -> Result<String, CliError> {
        let answer = self.call("events", "ListTargetsByRule", json!({ "Rule": rule }))?;
        Ok(text(
            &answer["Targets"][0]["EcsParameters"]["TaskDefinitionArn"],
        ))
    }

    /// Tasks that evenkeel started by itself, running or stopped, newest last.
    pub fn one_off_tasks(&self) -> Result<Vec<Value>, CliError> {
        let mut arns = Vec::new();
        for status in ["RUNNING", "STOPPED"] {
            let input =
                json!({ "cluster": CLUSTER, "family": "rails-oneoff", "desiredStatus": status });
            let answer = self.ecs("ListTasks", input)?;
            arns.extend(answer["taskArns"].as_array().cloned().unwrap_or_default());
        }
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.ecs(
            "DescribeTasks",
            json!({ "cluster": CLUSTER, "tasks": arns }),
        )?;
        let mut tasks = answer["tasks"].as_array().cloned().unwrap_or_default();
        tasks.sort_by(|a, b| {
            a["createdAt"]
                .as_f64()
                .unwrap_or_default()
                .total_cmp(&b["createdAt"].as_f64().unwrap_or_default())
        });
        Ok(tasks)
    }

    /// How often evenkeel called something that changes AWS; the table is not counted.
    pub fn writes(&self) -> u64 {
        let calls = self.sandbox.calls();
        calls
            .iter()
            .filter(|(name, _)| {
                let (service, operation) = name.split_once('.').unwrap_or((name.as_str(), ""));
                service != "dynamodb" && crate::sandbox::is_write(service, operation)
            })
            .map(|(_, count)| count)
            .sum()
    }

    /// How often evenkeel wrote something about releases into the table; that it leads is not
    /// counted.
    pub fn table_writes(&self) -> usize {
        let log = self.sandbox.log();
        let written = log.iter().filter(|call| {
            let places = call.writes_to("pk");
            call.client && places.iter().any(|pk| !keys::is_leadership(pk))
        });
        written.count()
    }

    /// How often evenkeel called one operation.
    pub fn count(&self, name: &str) -> u64 {
        self.sandbox.calls().get(name).copied().unwrap_or_default()
    }
}

fn told(service: &str, operation: &str, error: &CallError) -> CliError {
    CliError::new(format!(
        "the sandbox refused {service}:{operation}: {error}"
    ))
}

/// The text of a member; empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
