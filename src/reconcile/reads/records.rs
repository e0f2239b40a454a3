//! ECS's records of deployments: listed a service at a time, described for many services at once,
//! and not again once they are final. ECS answers 20 of these calls a second for a whole account.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::is_refused_by_ecs;
use super::shared::Kind;
use super::view::{View, lost};
use super::{Accounts, Place};
use crate::aws::ecs::MAX_RECORDS;
use crate::aws::error::{AwsError, Call};
use crate::model::observed::DeploymentRecord;

/// Service deployments of a cluster, by ARN; none where ECS does not know it any more.
pub(super) struct Deployments(pub(super) Accounts);

impl Kind for Deployments {
    type Group = (Place, String);
    type Name = String;
    type Answer = Option<DeploymentRecord>;
    const BATCH: usize = MAX_RECORDS;

    async fn read(
        &self,
        (place, _): &(Place, String),
        arns: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let asked: Vec<String> = arns.iter().cloned().collect();
        let ecs = self.0.of(place).ecs;
        let mut found = ecs.describe_deployments(&asked).await?;
        let answer = |arn: String| (arn.clone(), found.remove(&arn));
        Ok(asked.into_iter().map(answer).collect())
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        is_refused_by_ecs(error)
    }
}

/// Task definitions of a cluster's service revisions, by ARN; none where ECS does not know it any more.
pub(super) struct Revisions(pub(super) Accounts);

impl Kind for Revisions {
    type Group = (Place, String);
    type Name = String;
    type Answer = Option<String>;
    const BATCH: usize = MAX_RECORDS;

    async fn read(
        &self,
        (place, _): &(Place, String),
        arns: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let asked: Vec<String> = arns.iter().cloned().collect();
        let ecs = self.0.of(place).ecs;
        let mut found = ecs.definitions_of_revisions(&asked).await?;
        let answer = |arn: String| (arn.clone(), found.remove(&arn));
        Ok(asked.into_iter().map(answer).collect())
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        is_refused_by_ecs(error)
    }
}

impl View {
    /// The newest records of a service's deployments, newest first, at most that many, with the
    /// task definition that each rolls out.
    pub(in crate::reconcile) async fn records(
        &self,
        cluster: &str,
        service: &str,
        newest: usize,
    ) -> Result<Vec<DeploymentRecord>, AwsError> {
        let ecs = self.clients().ecs;
        let what = format!("service {service} in cluster {cluster}");
        self.may_ask(&Call::read("ecs", "ListServiceDeployments", what.as_str()))?;
        let mut records = ecs.list_deployments(cluster, service, newest).await?;
        let group = (self.place.clone(), cluster.to_owned());
        self.describe(&group, &mut records, &what).await?;
        self.define(&group, &mut records, &what).await?;
        Ok(records)
    }

    /// Completes what was listed. What is gone by now stays as it was listed.
    async fn describe(
        &self,
        group: &(Place, String),
        records: &mut [DeploymentRecord],
        what: &str,
    ) -> Result<(), AwsError> {
        let kept = &self.reads.kept;
        let mut open = BTreeSet::new();
        for record in records.iter_mut() {
            match kept.record_of(&self.place, &record.arn).await {
                Some(known) => *record = known,
                None => drop(open.insert(record.arn.clone())),
            }
        }
        let described = &self.reads.deployments;
        let mut found = described.ask(group, open.clone(), self.fresh).await;
        for record in records.iter_mut().filter(|it| open.contains(&it.arn)) {
            let Some(read) = found.remove(&record.arn) else {
                return Err(lost(Call::read("ecs", "DescribeServiceDeployments", what)));
            };
            let Some(whole) = read.map_err(|error| error.about(what))? else {
                continue;
            };
            let listed = record.clone();
            *record = DeploymentRecord {
                status: match whole.status.is_empty() {
                    true => listed.status,
                    false => whole.status,
                },
                status_reason: whole.status_reason.or(listed.status_reason),
                service_revision: whole.service_revision.or(listed.service_revision),
                created_at: listed.created_at.or(whole.created_at),
                finished_at: whole.finished_at.or(listed.finished_at),
                ..whole
            };
        }
        Ok(())
    }

    /// Adds what each rolls out, and keeps those that are final.
    async fn define(
        &self,
        group: &(Place, String),
        records: &mut [DeploymentRecord],
        what: &str,
    ) -> Result<(), AwsError> {
        let open = records.iter().filter(|it| it.task_definition.is_none());
        let arns = open.filter_map(|it| it.service_revision.clone()).collect();
        let revisions = &self.reads.revisions;
        let found = revisions.ask(group, arns, self.fresh).await;
        for record in records.iter_mut() {
            let Some(arn) = record.service_revision.as_ref() else {
                continue;
            };
            if record.task_definition.is_some() {
                continue;
            }
            let Some(read) = found.get(arn) else {
                return Err(lost(Call::read("ecs", "DescribeServiceRevisions", what)));
            };
            let read = read.clone().map_err(|error| error.about(what))?;
            record.task_definition = read;
            if record.is_final() && record.task_definition.is_some() {
                self.reads.kept.ended(&self.place, record).await;
            }
        }
        Ok(())
    }
}
