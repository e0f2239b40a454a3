//! How a service is described.

use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::Ecs;
use super::arn::arn;
use super::json::{seconds, tidy};
use super::records::{counts, revision_arn};
use super::rollout::Deployment;
use super::service::{Service, Status};
use super::task_sets;

/// Members of a service that its deployments show too.
const OF_DEPLOYMENTS: [&str; 10] = [
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "fargateEphemeralStorage",
];

impl Ecs {
    /// As DescribeServices answers it.
    pub(super) fn service_view(&self, cx: &Cx<'_>, service: &Service, with_tags: bool) -> Value {
        let mut view = Map::new();
        let sum = |of: fn(&Deployment) -> u32| service.deployments.iter().map(of).sum::<u32>();
        for (name, value) in [
            ("serviceArn", json!(service.arn)),
            ("serviceName", json!(service.name)),
            ("clusterArn", json!(service.cluster_arn)),
            ("status", json!(service.status.name())),
            ("desiredCount", json!(service.desired)),
            ("runningCount", json!(sum(|d| d.running))),
            ("pendingCount", json!(sum(|d| d.pending))),
        ] {
            view.insert(name.to_owned(), value);
        }
        view.extend((*service.goal).clone());
        view.extend(service.settings.clone());
        let record = service.record.as_ref().map(|id| {
            arn(
                cx,
                &format!(
                    "service-deployment/{}/{}/{id}",
                    service.cluster, service.name
                ),
            )
        });
        let tags = (with_tags && !service.tags.is_empty()).then(|| service.tags.view());
        for (name, value) in [
            ("schedulingStrategy", json!(service.scheduling)),
            ("deploymentController", json!({"type": service.controller})),
            (
                "deploymentConfiguration",
                Value::Object(service.configuration.clone()),
            ),
            ("deployments", deployments(service)),
            ("currentServiceDeployment", json!(record)),
            ("currentServiceRevisions", revisions(cx, service)),
            (
                "events",
                service.events.iter().map(|event| event.view()).collect(),
            ),
            ("createdAt", seconds(service.created_at)),
            ("createdBy", json!(service.created_by)),
            ("roleArn", role(cx, service)),
            ("tags", json!(tags)),
        ] {
            view.insert(name.to_owned(), value);
        }
        if !service.is_scheduled() {
            view.insert("taskSets".to_owned(), task_sets::views(cx, service));
        }
        tidy(Value::Object(view))
    }
}

fn deployments(service: &Service) -> Value {
    if service.has_task_sets() {
        return json!([]);
    }
    let draining = service.status != Status::Active;
    let rows = service.deployments.iter().enumerate();
    rows.map(|(at, deployment)| {
        let status = if at == 0 && !draining {
            "PRIMARY"
        } else {
            "ACTIVE"
        };
        let wanted = if at == 0 {
            service.desired
        } else {
            deployment.running + deployment.pending
        };
        let mut view = deployment_view(deployment, status, wanted);
        // ECS says this of rolling updates only.
        if service.strategy() != "ROLLING"
            && let Some(view) = view.as_object_mut()
        {
            view.remove("rolloutState");
            view.remove("rolloutStateReason");
        }
        view
    })
    .collect()
}

fn deployment_view(deployment: &Deployment, status: &str, wanted: u32) -> Value {
    let mut view = Map::new();
    for (name, value) in [
        ("id", json!(deployment.name())),
        ("status", json!(status)),
        ("desiredCount", json!(wanted)),
        ("pendingCount", json!(deployment.pending)),
        ("runningCount", json!(deployment.running)),
        ("failedTasks", json!(deployment.failed_tasks)),
        ("createdAt", seconds(deployment.created_at)),
        ("updatedAt", seconds(deployment.updated_at)),
        ("rolloutState", json!(deployment.rollout.name())),
        ("rolloutStateReason", json!(deployment.reason)),
    ] {
        view.insert(name.to_owned(), value);
    }
    for name in OF_DEPLOYMENTS {
        if let Some(value) = deployment.goal.get(name) {
            view.insert(name.to_owned(), value.clone());
        }
    }
    // A deployment shows the version that LATEST stood for when it began.
    if let Some(version) = view.get_mut("platformVersion").filter(|v| *v == "LATEST") {
        *version = json!("1.4.0");
    }
    Value::Object(view)
}

fn revisions(cx: &Cx<'_>, service: &Service) -> Value {
    if service.has_task_sets() {
        return json!([]);
    }
    let rows = service.deployments.iter().map(|deployment| {
        let (requested, running, pending) = counts(service, &deployment.id);
        json!({
            "arn": revision_arn(cx, &service.cluster, &service.name, &deployment.id),
            "requestedTaskCount": requested,
            "runningTaskCount": running,
            "pendingTaskCount": pending,
        })
    });
    rows.collect()
}

/// The service-linked role, which ECS uses where it handles network interfaces.
fn role(cx: &Cx<'_>, service: &Service) -> Value {
    if service.goal.contains_key("networkConfiguration") {
        json!(format!(
            "arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            cx.account
        ))
    } else {
        Value::Null
    }
}
