//! Task sets: what CodeDeploy makes of a service, where ECS itself makes deployments.

use aws_sdk_ecs::types;
use serde_json::{Map, Value, json};

use crate::aws::time::timestamp;
use crate::model::observed::Deployment;

/// A task set as a deployment. ECS has no rollout state of it: CodeDeploy's records tell
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html>).
pub(super) fn deployment(set: &types::TaskSet) -> Deployment {
    Deployment {
        id: set.id().unwrap_or_default().to_owned(),
        status: set.status().unwrap_or_default().to_owned(),
        task_definition: set.task_definition().unwrap_or_default().to_owned(),
        desired_count: set.computed_desired_count(),
        running_count: set.running_count(),
        pending_count: set.pending_count(),
        failed_tasks: 0,
        rollout_state: None,
        rollout_state_reason: None,
        created_at: timestamp(set.created_at()),
    }
}

/// The properties of an AppSpec that keeps what serves now as it is: what is left out of it,
/// CodeDeploy takes from defaults of its own
/// (<https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html>).
pub(super) fn app_spec(service: &types::Service) -> Map<String, Value> {
    let mut properties = Map::new();
    let controller = service.deployment_controller().map(|it| it.r#type());
    if controller != Some(&types::DeploymentControllerType::CodeDeploy) {
        return properties;
    }
    let primary = service
        .task_sets()
        .iter()
        .find(|set| set.status() == Some("PRIMARY"));
    let of_set = primary
        .map(types::TaskSet::load_balancers)
        .unwrap_or_default();
    let balancer = of_set.first().or_else(|| service.load_balancers().first());
    if let Some(balancer) = balancer {
        let info = json!({
            "ContainerName": balancer.container_name(),
            "ContainerPort": balancer.container_port(),
        });
        properties.insert("LoadBalancerInfo".to_owned(), info);
    }
    if let Some(version) = primary.and_then(types::TaskSet::platform_version) {
        properties.insert("PlatformVersion".to_owned(), json!(version));
    }
    let providers = primary.map(types::TaskSet::capacity_provider_strategy);
    let providers: Vec<Value> = providers.into_iter().flatten().map(provider).collect();
    if !providers.is_empty() {
        properties.insert("CapacityProviderStrategy".to_owned(), json!(providers));
    }
    properties
}

fn provider(item: &types::CapacityProviderStrategyItem) -> Value {
    json!({
        "CapacityProvider": item.capacity_provider(),
        "Base": item.base(),
        "Weight": item.weight(),
    })
}
