//! Services: looking at them and pointing them at another task definition.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types;
use serde_json::{Map, Value, json};

use super::task_sets;
use super::{Ecs, SERVICE, explain, is_about, only_if_not_done};
use crate::aws::error::{AwsError, Call, ErrorClass};
use crate::aws::raw::Exchange;
use crate::aws::time::timestamp;
use crate::model::known::Known;
use crate::model::observed::{Deployment, Service, ServiceEvent};

/// How many of a service's events are looked at: what tells why a rollout failed may have those of
/// the rollback on top.
const EVENTS: usize = 20;
/// Most that DescribeServices takes.
pub const MAX_SERVICES: usize = 10;

/// `service app in cluster rails`: what a read of these is about.
pub fn services_in(cluster: &str, names: &[String]) -> String {
    format!("{} in cluster {cluster}", listed("service", names))
}

impl Ecs {
    /// Looks at services by name. Each name asked for has an answer; a service that was deleted
    /// some time ago is Absent, one that is being deleted is there with status DRAINING or
    /// INACTIVE. A cluster that is not there is an error.
    pub async fn describe_services(
        &self,
        cluster: &str,
        names: &[String],
    ) -> Result<BTreeMap<String, Known<Service>>, AwsError> {
        let names: Vec<String> = names
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut found = BTreeMap::new();
        for batch in names.chunks(MAX_SERVICES) {
            let call = Call::read(SERVICE, "DescribeServices", services_in(cluster, batch));
            let sent = self
                .client
                .describe_services()
                .cluster(cluster)
                .set_services(Some(batch.to_vec()))
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            for name in batch {
                found.insert(
                    name.clone(),
                    self.one(cluster, name, answer.services(), answer.failures()),
                );
            }
        }
        Ok(found)
    }

    /// The newest of what ECS tells in a service's `events[]`, newest first. Absent: the service.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn service_events(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Known<Vec<ServiceEvent>>, AwsError> {
        let what = format!("service {service} in cluster {cluster}");
        let call = Call::read(SERVICE, "DescribeServices", what);
        let asked = self.client.describe_services().cluster(cluster);
        let sent = asked.services(service).send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let found = answer.services().first();
        Ok(found.map_or(Known::Absent, |found| {
            Known::Present(found.events().iter().take(EVENTS).map(event).collect())
        }))
    }

    /// Points a service at a task definition, with these further members of the input, and changes
    /// nothing else. Harmless when repeated: without a change there is no new deployment, unless
    /// `force` asks for one.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn update_service(
        &self,
        cluster: &str,
        service: &str,
        task_definition: &str,
        force: bool,
        settings: &Map<String, Value>,
    ) -> Result<Service, AwsError> {
        let mut members = settings.clone();
        members.insert("taskDefinition".to_owned(), json!(task_definition));
        if force {
            members.insert("forceNewDeployment".to_owned(), json!(true));
        }
        self.configure_service(cluster, service, &members).await
    }

    /// Gives a service these members of UpdateService's input; what is left out stays as it is.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn configure_service(
        &self,
        cluster: &str,
        service: &str,
        members: &Map<String, Value>,
    ) -> Result<Service, AwsError> {
        let what = format!("service {service} in cluster {cluster}");
        let call = Call::write(SERVICE, "UpdateService", what);
        let mut body = members.clone();
        body.insert("cluster".to_owned(), json!(cluster));
        body.insert("service".to_owned(), json!(service));
        let sent = self
            .client
            .update_service()
            .customize()
            .interceptor(Exchange::sending(&Value::Object(body)))
            .config_override(only_if_not_done())
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let updated = answer.service().map(|it| self.observed(it));
        updated.ok_or_else(|| {
            call.unexpected(
                ErrorClass::Ambiguous,
                "the answer does not hold the service",
            )
        })
    }
}

/// `service app`, `services app, worker`.
fn listed(kind: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{kind}{plural} {}", names.join(", "))
}

fn event(event: &types::ServiceEvent) -> ServiceEvent {
    ServiceEvent {
        at: timestamp(event.created_at()),
        message: event.message().unwrap_or_default().to_owned(),
    }
}

fn deployment(deployment: &types::Deployment) -> Deployment {
    Deployment {
        id: deployment.id().unwrap_or_default().to_owned(),
        status: deployment.status().unwrap_or_default().to_owned(),
        task_definition: deployment.task_definition().unwrap_or_default().to_owned(),
        desired_count: deployment.desired_count(),
        running_count: deployment.running_count(),
        pending_count: deployment.pending_count(),
        failed_tasks: deployment.failed_tasks(),
        rollout_state: deployment
            .rollout_state()
            .map(|state| state.as_str().to_owned()),
        rollout_state_reason: deployment.rollout_state_reason().map(str::to_owned),
        created_at: timestamp(deployment.created_at()),
    }
}

impl Ecs {
    fn one(
        &self,
        cluster: &str,
        name: &str,
        services: &[types::Service],
        failures: &[types::Failure],
    ) -> Known<Service> {
        let is_it = |service: &&types::Service| {
            service.service_name() == Some(name) || service.service_arn() == Some(name)
        };
        if let Some(service) = services.iter().find(is_it) {
            return Known::Present(self.observed(service));
        }
        let what = format!("service {name} in cluster {cluster}");
        match failures.iter().find(|failure| is_about(failure, name)) {
            Some(failure) if failure.reason() == Some("MISSING") => Known::Absent,
            Some(failure) => Known::Unknown(explain(failure, "DescribeServices", &what)),
            None => Known::Unknown(format!("ecs:DescribeServices said nothing about {what}")),
        }
    }

    fn observed(&self, service: &types::Service) -> Service {
        let configuration = service.deployment_configuration();
        let breaker = configuration.and_then(|it| it.deployment_circuit_breaker());
        let sets = service.task_sets();
        let mut deployments: Vec<Deployment> = match sets.is_empty() {
            true => service.deployments().iter().map(deployment).collect(),
            false => sets.iter().map(task_sets::deployment).collect(),
        };
        // ECS answers PRIMARY first, but does not promise it.
        deployments.sort_by_key(|deployment| deployment.status != "PRIMARY");
        let primary = deployments
            .first()
            .filter(|first| first.status == "PRIMARY");
        let task_definition = primary
            .map(|primary| primary.task_definition.clone())
            .filter(|arn| !arn.is_empty())
            .or_else(|| service.task_definition().map(str::to_owned))
            .unwrap_or_default();
        Service {
            arn: service.service_arn().unwrap_or_default().to_owned(),
            name: service.service_name().unwrap_or_default().to_owned(),
            status: service.status().unwrap_or_default().to_owned(),
            task_definition,
            desired_count: service.desired_count(),
            running_count: service.running_count(),
            // What ECS leaves out has its default.
            deployment_controller: service
                .deployment_controller()
                .map_or("ECS", |controller| controller.r#type().as_str())
                .to_owned(),
            strategy: configuration
                .and_then(|it| it.strategy())
                .map_or("ROLLING", types::DeploymentStrategy::as_str)
                .to_owned(),
            scheduling: service
                .scheduling_strategy()
                .map_or("REPLICA", types::SchedulingStrategy::as_str)
                .to_owned(),
            configuration: self.configurations.members(configuration),
            circuit_breaker: breaker.map_or((false, false), |it| (it.enable(), it.rollback())),
            deployments,
            app_spec: task_sets::app_spec(service),
            group: None,
            records: None,
        }
    }
}
