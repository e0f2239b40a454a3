//! ECS's own records of deployments: what became of a rollout, whatever its strategy.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aws_sdk_ecs::types;

use super::{Ecs, SERVICE};
use crate::aws::error::{AwsError, Call};
use crate::aws::time::timestamp;
use crate::model::observed::DeploymentRecord;

/// Most that DescribeServiceDeployments and DescribeServiceRevisions take.
const BATCH: usize = 20;
/// Largest page of ListServiceDeployments.
const PAGE: i32 = 100;

impl Ecs {
    /// The newest service deployments, newest first, at most that many, with the task definition
    /// that each rolls out. ECS keeps them for 90 days.
    pub async fn deployment_records(
        &self,
        cluster: &str,
        service: &str,
        newest: usize,
    ) -> Result<Vec<DeploymentRecord>, AwsError> {
        let what = format!("service {service} in cluster {cluster}");
        let mut listed = self
            .list_deployments(cluster, service, newest, &what)
            .await?;
        // The order of the list is not documented.
        listed.sort_by_key(|brief| Reverse(timestamp(brief.created_at())));
        listed.truncate(newest);
        let arns: Vec<String> = listed
            .iter()
            .filter_map(|it| it.service_deployment_arn.clone())
            .collect();
        let described = self.describe_deployments(&arns, &what).await?;
        let mut records = Vec::new();
        let mut targets = Vec::new();
        for brief in &listed {
            let arn = brief.service_deployment_arn().unwrap_or_default();
            let whole = described.get(arn);
            let target = whole
                .and_then(|it| it.target_service_revision())
                .and_then(|it| it.arn())
                .or_else(|| brief.target_service_revision_arn());
            targets.push(target.map(str::to_owned));
            records.push(record(brief, whole));
        }
        let revisions: Vec<String> = targets.iter().flatten().cloned().collect();
        let definitions = self.definitions_of_revisions(&revisions, &what).await?;
        for (record, target) in records.iter_mut().zip(&targets) {
            record.task_definition = target
                .as_ref()
                .and_then(|target| definitions.get(target).cloned());
        }
        Ok(records)
    }

    async fn list_deployments(
        &self,
        cluster: &str,
        service: &str,
        newest: usize,
        what: &str,
    ) -> Result<Vec<types::ServiceDeploymentBrief>, AwsError> {
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
            listed.extend(answer.service_deployments.unwrap_or_default());
            token = call.next_page(token.as_ref(), answer.next_token)?;
            if token.is_none() || listed.len() >= newest {
                return Ok(listed);
            }
        }
    }

    /// By ARN; those that are gone by now are left out.
    async fn describe_deployments(
        &self,
        arns: &[String],
        what: &str,
    ) -> Result<BTreeMap<String, types::ServiceDeployment>, AwsError> {
        let call = Call::read(SERVICE, "DescribeServiceDeployments", what);
        let mut found = BTreeMap::new();
        for batch in arns.chunks(BATCH) {
            let sent = self
                .client
                .describe_service_deployments()
                .set_service_deployment_arns(Some(batch.to_vec()))
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            for deployment in answer.service_deployments.unwrap_or_default() {
                if let Some(arn) = deployment.service_deployment_arn.clone() {
                    found.insert(arn, deployment);
                }
            }
        }
        Ok(found)
    }

    /// Service revision ARN -> task definition ARN; those that are gone by now are left out.
    async fn definitions_of_revisions(
        &self,
        revisions: &[String],
        what: &str,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let call = Call::read(SERVICE, "DescribeServiceRevisions", what);
        let mut arns = revisions.to_vec();
        arns.sort();
        arns.dedup();
        let mut found = BTreeMap::new();
        for batch in arns.chunks(BATCH) {
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

fn record(
    brief: &types::ServiceDeploymentBrief,
    whole: Option<&types::ServiceDeployment>,
) -> DeploymentRecord {
    // What was described is newer than what was listed.
    let status = whole.and_then(|it| it.status()).or(brief.status());
    let reason = whole
        .and_then(|it| it.status_reason())
        .or(brief.status_reason());
    let finished = whole
        .and_then(|it| it.finished_at().or(it.stopped_at()))
        .or(brief.finished_at());
    let rollback = whole.and_then(|it| it.rollback());
    DeploymentRecord {
        arn: brief
            .service_deployment_arn()
            .unwrap_or_default()
            .to_owned(),
        status: status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        status_reason: reason.map(str::to_owned),
        task_definition: None,
        created_at: timestamp(brief.created_at()),
        finished_at: timestamp(finished),
        rollback_reason: rollback.and_then(|it| it.reason()).map(str::to_owned),
    }
}
