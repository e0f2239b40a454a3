//! ECS's own records of deployments: what became of a rollout, whatever its strategy.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aws_sdk_ecs::types;

use super::{Ecs, SERVICE, only_if_not_done};
use crate::aws::error::{AwsError, Call};
use crate::aws::time::timestamp;
use crate::model::observed::{DeploymentRecord, Hook};

/// Most that DescribeServiceDeployments and DescribeServiceRevisions take.
pub const MAX_RECORDS: usize = 20;
/// Largest page of ListServiceDeployments.
const PAGE: i32 = 100;

impl Ecs {
    /// The newest service deployments, newest first, at most that many, as the list tells of them:
    /// without what was rolled out and why it was rolled back. ECS keeps them for 90 days.
    pub async fn list_deployments(
        &self,
        cluster: &str,
        service: &str,
        newest: usize,
    ) -> Result<Vec<DeploymentRecord>, AwsError> {
        let what = format!("service {service} in cluster {cluster}");
        let call = Call::read(SERVICE, "ListServiceDeployments", what);
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let sent = self
                .client
                .list_service_deployments()
                .cluster(cluster)
                .service(service)
                .max_results(PAGE)
                .set_next_token(token.clone())
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            listed.extend(answer.service_deployments().iter().map(listed_record));
            token = call.next_page(token.as_ref(), answer.next_token)?;
            if token.is_none() || listed.len() >= newest {
                break;
            }
        }
        // The order of the list is not documented.
        listed.sort_by_key(|record| Reverse(record.created_at));
        listed.truncate(newest);
        Ok(listed)
    }

    /// Service deployments by ARN, without the definitions that they rolled out; those that are
    /// gone by now are left out.
    pub async fn describe_deployments(
        &self,
        arns: &[String],
    ) -> Result<BTreeMap<String, DeploymentRecord>, AwsError> {
        let what = format!("service deployments {}", arns.join(", "));
        let call = Call::read(SERVICE, "DescribeServiceDeployments", what);
        let mut found = BTreeMap::new();
        for batch in arns.chunks(MAX_RECORDS) {
            let sent = self
                .client
                .describe_service_deployments()
                .set_service_deployment_arns(Some(batch.to_vec()))
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            let records = answer.service_deployments().iter().map(record);
            found.extend(records.map(|record| (record.arn.clone(), record)));
        }
        Ok(found)
    }

    /// Asks ECS to stop a service deployment, which rolls the service back to what it ran before
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopServiceDeployment.html>).
    /// Harmless when repeated; refused once the deployment has ended.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn stop_deployment(&self, arn: &str) -> Result<(), AwsError> {
        let what = format!("service deployment {arn}");
        let call = Call::write(SERVICE, "StopServiceDeployment", what);
        let sent = self
            .client
            .stop_service_deployment()
            .service_deployment_arn(arn)
            .stop_type(types::StopServiceDeploymentStopType::Rollback)
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| call.failed(error))
    }

    /// Says at a pause hook that waits whether its service deployment goes on
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html>).
    /// Harmless when repeated: refused once the hook was answered.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn continue_deployment(
        &self,
        arn: &str,
        hook: &str,
        rollback: bool,
    ) -> Result<(), AwsError> {
        let what = format!("service deployment {arn}");
        let call = Call::write(SERVICE, "ContinueServiceDeployment", what);
        let action = match rollback {
            true => types::DeploymentLifecycleHookAction::Rollback,
            false => types::DeploymentLifecycleHookAction::Continue,
        };
        let sent = self
            .client
            .continue_service_deployment()
            .service_deployment_arn(arn)
            .hook_id(hook)
            .action(action)
            .customize()
            .config_override(only_if_not_done())
            .send()
            .await;
        sent.map(drop).map_err(|error| call.failed(error))
    }

    /// Service revision ARN -> task definition ARN; those that are gone by now are left out.
    pub async fn definitions_of_revisions(
        &self,
        arns: &[String],
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let what = format!("service revisions {}", arns.join(", "));
        let call = Call::read(SERVICE, "DescribeServiceRevisions", what);
        let mut found = BTreeMap::new();
        for batch in arns.chunks(MAX_RECORDS) {
            let sent = self
                .client
                .describe_service_revisions()
                .set_service_revision_arns(Some(batch.to_vec()))
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            for revision in answer.service_revisions.unwrap_or_default() {
                if let (Some(arn), Some(definition)) =
                    (revision.service_revision_arn, revision.task_definition)
                {
                    found.insert(arn, definition);
                }
            }
        }
        Ok(found)
    }
}

fn listed_record(brief: &types::ServiceDeploymentBrief) -> DeploymentRecord {
    DeploymentRecord {
        arn: text(brief.service_deployment_arn()),
        status: text(brief.status().map(types::ServiceDeploymentStatus::as_str)),
        status_reason: brief.status_reason().map(str::to_owned),
        service_revision: brief.target_service_revision_arn().map(str::to_owned),
        task_definition: None,
        created_at: timestamp(brief.created_at()),
        finished_at: timestamp(brief.finished_at()),
        ..DeploymentRecord::default()
    }
}

fn record(whole: &types::ServiceDeployment) -> DeploymentRecord {
    let revision = whole.target_service_revision().and_then(|it| it.arn());
    let rollback = whole.rollback();
    DeploymentRecord {
        arn: text(whole.service_deployment_arn()),
        status: text(whole.status().map(types::ServiceDeploymentStatus::as_str)),
        status_reason: whole.status_reason().map(str::to_owned),
        service_revision: revision.map(str::to_owned),
        task_definition: None,
        created_at: timestamp(whole.created_at()),
        finished_at: timestamp(whole.finished_at().or(whole.stopped_at())),
        rollback_reason: rollback.and_then(|it| it.reason()).map(str::to_owned),
        stage: whole.lifecycle_stage().map(|it| it.as_str().to_owned()),
        traffic_percent: whole
            .target_service_revision()
            .and_then(types::ServiceRevisionSummary::requested_production_traffic_weight),
        hooks: whole.lifecycle_hook_details().iter().map(hook).collect(),
        ..DeploymentRecord::default()
    }
}

fn hook(detail: &types::DeploymentLifecycleHookDetail) -> Hook {
    Hook {
        id: text(detail.hook_id()),
        kind: text(
            detail
                .target_type()
                .map(types::DeploymentLifecycleHookTargetType::as_str),
        ),
        status: text(
            detail
                .status()
                .map(types::DeploymentLifecycleHookStatus::as_str),
        ),
        expires_at: timestamp(detail.expires_at()),
        timeout_action: detail.timeout_action().map(|it| it.as_str().to_owned()),
    }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}
