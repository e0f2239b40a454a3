//! CodeDeploy's deployments of ECS services, told in the words that ECS has for its own.
//!
//! ECS keeps no record of what CodeDeploy does to a service, so CodeDeploy's deployments take the
//! place of service deployments. Two things differ, and are made alike here: CodeDeploy rolls back by
//! a second deployment, which ECS would show as a state of the first; and it waits in a status of its
//! own for somebody to let traffic go over, which ECS would show as a pause hook.

mod records;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::config::Builder;
use aws_sdk_codedeploy::types::{
    DeploymentInfo, DeploymentWaitType, EcsTarget, TrafficRoutingConfig,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::error::{AwsError, Call};
use super::raw::Exchange;
use super::retry::OnlyIfNotDone;
use crate::model::known::Known;
use crate::model::observed::{DeploymentGroup, DeploymentRecord};

const SERVICE: &str = "codedeploy";
/// The most that BatchGetDeployments takes
/// (<https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_BatchGetDeployments.html>).
pub const MAX_DEPLOYMENTS: usize = 25;

/// CodeDeploy in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CodeDeploy {
    client: Client,
}

/// How every write is sent: see [`OnlyIfNotDone`].
fn only_if_not_done() -> Builder {
    Builder::new().retry_classifier(OnlyIfNotDone)
}

impl CodeDeploy {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// A deployment group. Absent: the group, or its application.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn group(
        &self,
        application: &str,
        group: &str,
    ) -> Result<Known<DeploymentGroup>, AwsError> {
        let call = Call::read(SERVICE, "GetDeploymentGroup", about(application, group));
        let request = self
            .client
            .get_deployment_group()
            .application_name(application)
            .deployment_group_name(group);
        let sent = request.send().await.map_err(|error| call.failed(error));
        let found = match sent {
            Ok(answer) => answer.deployment_group_info,
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(found.map_or(Known::Absent, |found| {
            let of = |it: &aws_sdk_codedeploy::types::EcsService| {
                let text = |it: Option<&str>| it.unwrap_or_default().to_owned();
                (text(it.cluster_name()), text(it.service_name()))
            };
            Known::Present(DeploymentGroup {
                application: application.to_owned(),
                name: group.to_owned(),
                services: found.ecs_services().iter().map(of).collect(),
            })
        }))
    }

    /// The newest deployments of a group, newest first; of the newest one that has not ended well,
    /// also how far it came.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn deployments(
        &self,
        application: &str,
        group: &str,
        target: &str,
    ) -> Result<Vec<DeploymentRecord>, AwsError> {
        let found = self.newest(application, group).await?;
        let mut records = records::of(&found);
        let Some(newest) = records.first_mut().filter(|it| it.status != "SUCCESSFUL") else {
            return Ok(records);
        };
        let its = |it: &&DeploymentInfo| it.deployment_id() == Some(newest.arn.as_str());
        let Some(info) = found.iter().find(its) else {
            return Ok(records);
        };
        if let Some(target) = self.target(&newest.arn, target).await? {
            records::add_target(newest, &target);
        }
        if !newest.is_final() {
            newest.waits = records::termination_wait(info);
            if let Some(name) = info.deployment_config_name() {
                let shifting = self.routing(name).await?;
                newest.waits += shifting.map_or(SignedDuration::ZERO, |it| records::shifting(&it));
            }
        }
        Ok(records)
    }

    /// CodeDeploy lists the newest first, as it shows; that it does is not documented, so what it
    /// answers first is put in order.
    async fn newest(
        &self,
        application: &str,
        group: &str,
    ) -> Result<Vec<DeploymentInfo>, AwsError> {
        let what = about(application, group);
        let call = Call::read(SERVICE, "ListDeployments", what.as_str());
        let request = self
            .client
            .list_deployments()
            .application_name(application)
            .deployment_group_name(group);
        let sent = request.send().await.map_err(|error| call.failed(error));
        let mut ids = match sent {
            Ok(answer) => answer.deployments.unwrap_or_default(),
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        ids.truncate(MAX_DEPLOYMENTS);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::read(SERVICE, "BatchGetDeployments", what);
        let request = self.client.batch_get_deployments();
        let sent = request.set_deployment_ids(Some(ids)).send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let mut found = answer.deployments_info.unwrap_or_default();
        found.sort_by_key(|info| {
            let at = info.create_time();
            Reverse(at.map(|at| (at.secs(), at.subsec_nanos())))
        });
        Ok(found)
    }

    /// How far a deployment of a service came; none before it began.
    async fn target(&self, deployment: &str, target: &str) -> Result<Option<EcsTarget>, AwsError> {
        let what = format!("deployment {deployment}");
        let call = Call::read(SERVICE, "BatchGetDeploymentTargets", what);
        let request = self
            .client
            .batch_get_deployment_targets()
            .deployment_id(deployment)
            .target_ids(target);
        match request.send().await.map_err(|error| call.failed(error)) {
            Ok(answer) => {
                let found = answer.deployment_targets.unwrap_or_default();
                Ok(found.into_iter().find_map(|it| it.ecs_target))
            }
            Err(error) if is_not_begun(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How a deployment configuration sends traffic over.
    async fn routing(&self, name: &str) -> Result<Option<TrafficRoutingConfig>, AwsError> {
        let what = format!("deployment configuration {name}");
        let call = Call::read(SERVICE, "GetDeploymentConfig", what);
        let request = self.client.get_deployment_config();
        let sent = request.deployment_config_name(name).send().await;
        match sent.map_err(|error| call.failed(error)) {
            Ok(answer) => {
                let found = answer.deployment_config_info;
                Ok(found.and_then(|it| it.traffic_routing_config))
            }
            Err(error) if error.has_code("DeploymentConfigDoesNotExistException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// CreateDeployment with this input, whole; answers its id. CodeDeploy has no token for it, and
    /// takes one deployment of a group at a time
    /// (<https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeployment.html>).
    ///
    /// # Errors
    /// When the call fails.
    pub async fn create(&self, input: &Value) -> Result<Option<String>, AwsError> {
        let text = |member: &str| input[member].as_str().unwrap_or_default();
        let what = about(text("applicationName"), text("deploymentGroupName"));
        let call = Call::write(SERVICE, "CreateDeployment", what);
        let sent = self
            .client
            .create_deployment()
            .application_name(text("applicationName"))
            .customize()
            .interceptor(Exchange::sending(input))
            .config_override(only_if_not_done())
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        Ok(answer.deployment_id)
    }

    /// StopDeployment, with traffic sent back to what had it before. Harmless when repeated: refused
    /// once the deployment has ended.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn stop(&self, deployment: &str) -> Result<(), AwsError> {
        let call = Call::write(
            SERVICE,
            "StopDeployment",
            format!("deployment {deployment}"),
        );
        let request = self.client.stop_deployment().deployment_id(deployment);
        let sent = request.auto_rollback_enabled(true).send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }

    /// ContinueDeployment of one that is ready for traffic to go over. Harmless when repeated:
    /// refused where it does not wait.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn proceed(&self, deployment: &str) -> Result<(), AwsError> {
        let what = format!("deployment {deployment}");
        let call = Call::write(SERVICE, "ContinueDeployment", what);
        let request = self.client.continue_deployment().deployment_id(deployment);
        let sent = request
            .deployment_wait_type(DeploymentWaitType::ReadyWait)
            .send()
            .await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

fn about(application: &str, group: &str) -> String {
    format!("deployment group {group} of application {application}")
}

/// Whether the group or its application is not there.
fn is_absent(error: &AwsError) -> bool {
    error.has_code("ApplicationDoesNotExistException")
        || error.has_code("DeploymentGroupDoesNotExistException")
}

/// Whether a deployment has no target yet.
fn is_not_begun(error: &AwsError) -> bool {
    error.has_code("DeploymentNotStartedException")
        || error.has_code("DeploymentTargetDoesNotExistException")
}
