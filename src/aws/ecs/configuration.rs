//! A service's deploymentConfiguration as JSON, with the defaults of what ECS left out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecs::types;
use aws_smithy_types::{Document, Number};
use serde_json::{Map, Value, json};

/// How many different configurations are remembered: most services of a fleet have one of a few.
const REMEMBERED: usize = 32;

/// What services are configured with, each told once: of ten thousand services, each with JSON of its
/// own, a controller would hold tens of megabytes.
#[derive(Debug, Default)]
pub(super) struct Configurations {
    remembered: Mutex<VecDeque<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    found: Option<types::DeploymentConfiguration>,
    members: Arc<Map<String, Value>>,
}

impl Configurations {
    /// See [`members`].
    pub fn members(
        &self,
        found: Option<&types::DeploymentConfiguration>,
    ) -> Arc<Map<String, Value>> {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = remembered.iter().find(|it| it.found.as_ref() == found);
        if let Some(known) = known {
            return known.members.clone();
        }
        let members = Arc::new(members(found));
        remembered.truncate(REMEMBERED - 1);
        remembered.push_front(Remembered {
            found: found.cloned(),
            members: members.clone(),
        });
        members
    }
}

/// In ECS's members. Absent ones are left out, but for those that have a default.
fn members(configuration: Option<&types::DeploymentConfiguration>) -> Map<String, Value> {
    let Some(found) = configuration else {
        return object(json!({"strategy": "ROLLING", "bakeTimeInMinutes": 0}));
    };
    let linear = found.linear_configuration();
    let canary = found.canary_configuration();
    let success = found.early_success_criteria();
    object(json!({
        "strategy": found.strategy().map_or("ROLLING", types::DeploymentStrategy::as_str),
        "bakeTimeInMinutes": found.bake_time_in_minutes().unwrap_or(0),
        "maximumPercent": found.maximum_percent(),
        "minimumHealthyPercent": found.minimum_healthy_percent(),
        "deploymentCircuitBreaker": found.deployment_circuit_breaker().map(breaker),
        "alarms": found.alarms().map(|alarms| json!({
            "alarmNames": alarms.alarm_names(),
            "rollback": alarms.rollback(),
            "enable": alarms.enable(),
        })),
        "lifecycleHooks": found.lifecycle_hooks.as_ref().map(|hooks| {
            hooks.iter().map(hook).collect::<Vec<_>>()
        }),
        "linearConfiguration": linear.map(|linear| object(json!({
            "stepPercent": linear.step_percent(),
            "stepBakeTimeInMinutes": linear.step_bake_time_in_minutes(),
        }))),
        "canaryConfiguration": canary.map(|canary| object(json!({
            "canaryPercent": canary.canary_percent(),
            "canaryBakeTimeInMinutes": canary.canary_bake_time_in_minutes(),
        }))),
        "earlySuccessCriteria": success.map(|success| object(json!({
            "enable": success.enable(),
            "healthyPercent": success.healthy_percent(),
            "sourceServiceRevisionCleanup":
                success.source_service_revision_cleanup().map(|it| it.as_str().to_owned()),
        }))),
    }))
}

fn breaker(breaker: &types::DeploymentCircuitBreaker) -> Map<String, Value> {
    let limit = breaker.threshold_configuration();
    object(json!({
        "enable": breaker.enable(),
        "rollback": breaker.rollback(),
        "resetOnHealthyTask": breaker.reset_on_healthy_task(),
        "thresholdConfiguration": limit.map(|limit| object(json!({
            "type": limit.r#type().as_str(),
            "value": limit.value(),
        }))),
    }))
}

fn hook(hook: &types::DeploymentLifecycleHook) -> Map<String, Value> {
    let stages: Vec<&str> = hook
        .lifecycle_stages()
        .iter()
        .map(|it| it.as_str())
        .collect();
    let timeout = hook.timeout_configuration();
    object(json!({
        "targetType": hook.target_type().map(|it| it.as_str().to_owned()),
        "hookTargetArn": hook.hook_target_arn(),
        "roleArn": hook.role_arn(),
        "lifecycleStages": stages,
        "hookDetails": hook.hook_details().map(value),
        "timeoutConfiguration": timeout.map(|timeout| object(json!({
            "timeoutInMinutes": timeout.timeout_in_minutes(),
            "action": timeout.action().map(|it| it.as_str().to_owned()),
        }))),
    }))
}

/// The members that are there.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, it)| !it.is_null())
            .collect(),
        _ => Map::new(),
    }
}

/// A free JSON value.
fn value(document: &Document) -> Value {
    match document {
        Document::Object(members) => members
            .iter()
            .map(|(name, it)| (name.clone(), value(it)))
            .collect(),
        Document::Array(items) => items.iter().map(value).collect(),
        Document::Number(Number::PosInt(number)) => json!(number),
        Document::Number(Number::NegInt(number)) => json!(number),
        Document::Number(Number::Float(number)) => json!(number),
        Document::String(text) => json!(text),
        Document::Bool(flag) => json!(flag),
        Document::Null => Value::Null,
    }
}
