//! One look at AWS and the table: everything that the plan of a Release needs, and no more.
//!
//! What could not be read is Unknown, never absent. A settled Release costs few calls: deployment
//! records, definitions and contents are read only where something is in doubt.

mod definitions;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::{Aws, Clients};
use crate::model::desired::{Access, Desired, Part, Source, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{
    Explanation, PartTarget, Revision, RevisionOutcome, RolloutState, RunState,
};
use crate::model::observed::{DeploymentRecord, Observed, Service};
use crate::plan;
use crate::resource::image_ref::EcrRepository;
use crate::store::{Store, StoreError};

/// Most revisions of a family that are described to find one by its content or registrar.
const CANDIDATES: usize = 100;

/// Most service deployments that are looked back at.
const RECORDS: usize = 20;

/// An error of a call with these credentials. Where those of a role are not accepted, evenkeel's own
/// may be as good as ever: that is for the Releases of one Environment to wait for, and final for
/// none.
pub(super) fn spare(error: AwsError, access: &Access) -> AwsError {
    let own = access.role_arn.is_none() || error.is_of_role();
    if own || error.class != ErrorClass::Credentials {
        return error;
    }
    error.with_class(ErrorClass::Retry)
}

/// A look in the making.
pub struct Look<'a> {
    desired: &'a Desired,
    aws: &'a Aws,
    clients: Clients,
    store: &'a Store,
    observed: Observed,
}

/// Why a look could not be had at all.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No credentials: nothing can be read.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// Looks at everything that the plan of `desired` needs.
///
/// # Errors
/// When the table cannot be read, or there are no credentials.
pub async fn observe(
    aws: &Aws,
    store: &Store,
    desired: &Desired,
    account: &str,
    installation: &str,
) -> Result<Observed, LookError> {
    let mut look = Look {
        desired,
        aws,
        clients: aws.at(&desired.environment.access, &desired.environment.region),
        store,
        observed: Observed {
            account: Some(account.to_owned()),
            installation: installation.to_owned(),
            ..Observed::default()
        },
    };
    look.observed.ledger = store.ledger(&desired.key, &desired.uid).await?;
    let orphaned = desired.deleting.is_some_and(|deletion| deletion.orphan);
    if orphaned {
        return Ok(look.observed);
    }
    look.rules().await?;
    if desired.deleting.is_some() {
        // By what they run, rules' targets are told from strangers'.
        look.registrations(account).await?;
        return Ok(look.observed);
    }
    look.tasks().await?;
    if desired.suspend {
        return Ok(look.observed);
    }
    look.images().await?;
    look.cluster().await?;
    look.services().await?;
    look.registrations(account).await?;
    look.records_before_moving().await?;
    look.families().await?;
    look.definitions().await?;
    look.contents().await?;
    look.claims().await?;
    Ok(look.observed)
}

impl Look<'_> {
    /// The newest revision, if it is of this generation.
    fn current(&self) -> Option<&Revision> {
        let revisions = &self.observed.ledger.revisions;
        let newest = revisions
            .values()
            .next_back()
            .filter(|found| found.number > 0);
        newest.filter(|found| found.generation == self.desired.generation)
    }

    fn recorded(&self, part: &Part<'_>) -> Option<&PartTarget> {
        self.current()?.parts.get(&part.resource())
    }

    /// What a failed read means: a sentence, and a problem where a person must solve it.
    fn failed(&mut self, error: AwsError) -> Result<String, LookError> {
        let error = spare(error, &self.desired.environment.access);
        let reason = match (error.class, error.operation) {
            (ErrorClass::Credentials, _) => return Err(error.into()),
            (ErrorClass::Denied, _) => Some("AccessDenied"),
            (ErrorClass::NotFound, "DescribeImages") => Some("RepositoryNotFound"),
            (ErrorClass::NotFound, _) if error.service == "ecs" => Some("ClusterNotFound"),
            (ErrorClass::Refused, _) => Some("Refused"),
            _ => None,
        };
        let message = error.lasting();
        if let Some(reason) = reason {
            let problem = Explanation {
                reason: reason.to_owned(),
                message: message.clone(),
            };
            if !self.observed.problems.contains(&problem) {
                self.observed.problems.push(problem);
            }
        }
        Ok(message)
    }

    /// Tags to resolve, and recorded digests to find again.
    async fn images(&mut self) -> Result<(), LookError> {
        // Between resolving and Ready nothing depends on where a tag points.
        if self
            .current()
            .is_some_and(|revision| revision.outcome != RevisionOutcome::Ready)
        {
            return Ok(());
        }
        let recorded = self
            .current()
            .map(|revision| revision.images.clone())
            .unwrap_or_default();
        let mut repositories: BTreeMap<EcrRepository, Vec<(String, Wanted, bool)>> =
            BTreeMap::new();
        for (name, image) in &self.desired.images {
            let Some(ecr) = &image.ecr else { continue };
            let wanted = repositories.entry(ecr.clone()).or_default();
            wanted.push((name.clone(), image.wanted.clone(), false));
            if let Some(digest) = recorded.get(name).and_then(|image| image.digest.clone()) {
                wanted.push((name.clone(), Wanted::Digest(digest), true));
            }
        }
        for (ecr, wanted) in repositories {
            let access = &self.desired.environment.access;
            let client = self.aws.at(access, &ecr.region).ecr;
            let ids: Vec<Wanted> = wanted.iter().map(|(_, wanted, _)| wanted.clone()).collect();
            let found = match client.digests(&ecr.registry_id, &ecr.name, &ids).await {
                Ok(found) => found,
                Err(error) => {
                    let why = self.failed(error)?;
                    vec![Known::Unknown(why); ids.len()]
                }
            };
            for ((name, _, pinned), digest) in wanted.into_iter().zip(found) {
                let map = if pinned {
                    &mut self.observed.pinned
                } else {
                    &mut self.observed.images
                };
                map.insert(name, digest);
            }
        }
        Ok(())
    }

    /// Whether the cluster is there, where no service tells: before its first use, so that a wrong
    /// name is not recorded as the Environment's.
    async fn cluster(&mut self) -> Result<(), LookError> {
        let environment = &self.desired.environment;
        let told = !self.desired.services.is_empty() || environment.recorded.is_some();
        if told {
            return Ok(());
        }
        let nobody = "evenkeel";
        let read = self
            .clients
            .ecs
            .tasks_started_by(&environment.cluster, nobody)
            .await;
        if let Err(error) = read {
            self.failed(error)?;
        }
        Ok(())
    }

    async fn services(&mut self) -> Result<(), LookError> {
        let mut names: BTreeSet<String> = self
            .desired
            .services
            .iter()
            .map(|service| service.name.clone())
            .collect();
        names.extend(self.desired.parts().filter_map(|part| match part.source {
            Source::Service(name) => Some(name.clone()),
            Source::Family { .. } | Source::Inline { .. } => None,
        }));
        // Services that kept revisions knew: what they run is not given up as unused.
        let revisions = self.observed.ledger.revisions.values();
        let parts = revisions.flat_map(|revision| revision.parts.keys());
        names.extend(parts.filter_map(|part| Some(part.strip_prefix("service/")?.to_owned())));
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = names.into_iter().collect();
        let cluster = self.desired.environment.cluster.clone();
        let mut services = match self.clients.ecs.describe_services(&cluster, &names).await {
            Ok(services) => services,
            Err(error) => {
                let why = self.failed(error)?;
                names
                    .iter()
                    .map(|name| (name.clone(), Known::Unknown(why.clone())))
                    .collect()
            }
        };
        for (name, known) in &mut services {
            let Known::Present(service) = known else {
                continue;
            };
            if service.status != "ACTIVE" || self.is_settled(service) {
                continue;
            }
            service.records = Some(self.records(name).await?);
        }
        self.observed.services = services;
        Ok(())
    }

    /// What is noted with the request to move a service that is settled on something else.
    async fn records_before_moving(&mut self) -> Result<(), LookError> {
        // Nothing moves before every image is there, nor while a migration runs.
        let mut images = self.observed.images.values();
        let tasks = self.observed.tasks.values().filter_map(Known::present);
        let mut running = tasks.flatten().filter(|task| task.last_status != "STOPPED");
        if running.next().is_some() || images.any(|image| image.present().is_none()) {
            return Ok(());
        }
        let moves = |part: &Part<'_>| {
            let name = part.resource().strip_prefix("service/")?.to_owned();
            let service = self.observed.services.get(&name)?.present()?;
            let moves = match self.recorded(part) {
                Some(target) => self.target_arn(target)? != service.task_definition,
                None => true,
            };
            let unread = service.records.is_none() && service.status == "ACTIVE";
            (moves && unread).then_some(name)
        };
        let names: Vec<String> = self
            .desired
            .parts()
            .filter_map(|part| moves(&part))
            .collect();
        for name in names {
            let records = self.records(&name).await?;
            if let Some(Known::Present(service)) = self.observed.services.get_mut(&name) {
                service.records = Some(records);
            }
        }
        Ok(())
    }

    async fn records(&mut self, service: &str) -> Result<Known<Vec<DeploymentRecord>>, LookError> {
        let cluster = &self.desired.environment.cluster;
        let ecs = &self.clients.ecs;
        match ecs.deployment_records(cluster, service, RECORDS).await {
            Ok(records) => Ok(Known::Present(records)),
            Err(error) => Ok(Known::Unknown(self.failed(error)?)),
        }
    }

    /// Whether the service is where a rollout brought it that ECS called successful.
    fn is_settled(&self, service: &Service) -> bool {
        let Some(rollout) = self.observed.ledger.rollouts.get(&service.name) else {
            return false;
        };
        let Some(primary) = service.primary() else {
            return false;
        };
        rollout.state == RolloutState::Succeeded
            && rollout.target == service.task_definition
            && rollout.deployment_id.as_ref() == Some(&primary.id)
            && primary
                .rollout_state
                .as_deref()
                .is_none_or(|state| state == "COMPLETED")
    }

    /// Tasks of migrations that may be going on.
    async fn tasks(&mut self) -> Result<(), LookError> {
        let open: Vec<_> = self
            .observed
            .ledger
            .migrations
            .iter()
            .filter(|run| run.state.is_open())
            .cloned()
            .collect();
        for run in open {
            let read = match (&run.task_arn, run.state) {
                (Some(arn), RunState::Started) => {
                    let arns = [arn.clone()];
                    let read = self.clients.ecs.describe_tasks(&run.cluster, &arns).await;
                    read.map(|mut found| {
                        let task = found.remove(arn).unwrap_or(Known::Absent);
                        task.map(|task| vec![task])
                    })
                }
                _ => {
                    let read = self
                        .clients
                        .ecs
                        .tasks_started_by(&run.cluster, &run.started_by)
                        .await;
                    read.map(Known::Present)
                }
            };
            let known = match read {
                Ok(known) => known,
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            self.observed.tasks.insert(run.run_key, known);
        }
        Ok(())
    }

    /// Who holds what this Release declares and does not hold.
    async fn claims(&mut self) -> Result<(), LookError> {
        let services = self.desired.services.iter().filter_map(|service| {
            let found = self.observed.services.get(&service.name)?.present()?;
            Some(found.arn.clone())
        });
        let rules =
            self.desired.schedules.iter().filter_map(|schedule| {
                plan::rule_arn(&self.observed, self.desired, &schedule.rule)
            });
        let held = &self.observed.ledger.claims;
        let open: Vec<String> = services
            .chain(rules)
            .filter(|arn| !held.contains_key(arn))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        for (arn, claim) in self.store.claims(&open).await? {
            if claim.release != self.desired.key {
                self.observed.foreign_claims.insert(arn, claim);
            }
        }
        Ok(())
    }
}
