//! One look at AWS and the table: everything that the plan of a Release needs, and no more.
//!
//! What could not be read is Unknown, never absent. A settled Release costs few calls: deployment
//! records, definitions and contents are read only where something is in doubt.

mod alarms;
mod code_deploy;
mod definitions;
mod failures;
mod hooks;
mod images;
mod registrations;
mod required;
mod rules;
mod scheduled;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::aws::error::{AwsError, ErrorClass};
use crate::model::desired::{Access, Desired, Part, Source};
use crate::model::interest::Interest;
use crate::model::known::Known;
use crate::model::ledger::{
    Explanation, Ledger, MigrationRun, PartTarget, Revision, RevisionOutcome, Rollout,
    RolloutState, RunState,
};
use crate::model::observed::{Observed, Service, Task};
use crate::plan;
use crate::reconcile::Clock;
use crate::reconcile::reads::View;
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
struct Look<'a> {
    desired: &'a Desired,
    now: Timestamp,
    view: View,
    store: &'a Store,
    observed: Observed,
    interest: Interest,
    /// Whether what is followed has moved: the next revision is made of what is there now.
    moved: bool,
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

/// Looks at everything that the plan of `desired` needs, and tells what it was that it looked at.
///
/// # Errors
/// When the table cannot be read, or there are no credentials.
pub(super) async fn observe(
    view: View,
    store: &Store,
    desired: &Desired,
    ledger: Ledger,
    account: &str,
    installation: &str,
    clock: &Clock,
) -> Result<(Observed, Interest), LookError> {
    let environment = &desired.environment;
    let mut look = Look {
        desired,
        now: clock(),
        view,
        store,
        observed: Observed {
            account: Some(account.to_owned()),
            installation: installation.to_owned(),
            ledger,
            ..Observed::default()
        },
        interest: Interest {
            access: environment.access.clone(),
            region: environment.region.clone(),
            cluster: environment.cluster.clone(),
            ..Interest::default()
        },
        moved: false,
    };
    look.at_everything(account).await?;
    look.failures(clock()).await?;
    look.interest.more = look.view.read_more();
    Ok((look.observed, look.interest))
}

impl Look<'_> {
    async fn at_everything(&mut self, account: &str) -> Result<(), LookError> {
        let deleting = self.desired.deleting;
        if deleting.is_some_and(|deletion| deletion.orphan) {
            return Ok(());
        }
        self.rules().await?;
        self.scheduled().await?;
        if deleting.is_some() {
            // By what they run, rules' targets are told from strangers'.
            return self.registrations(account).await;
        }
        self.tasks().await?;
        if self.desired.suspend {
            return Ok(());
        }
        self.required().await?;
        self.images().await?;
        self.cluster().await?;
        self.services().await?;
        self.invalidations().await?;
        self.alarms().await?;
        self.registrations(account).await?;
        self.records_before_moving().await?;
        self.families().await?;
        self.definitions().await?;
        self.contents().await?;
        self.claims().await
    }

    /// The newest revision, if it makes definite what is declared and is still what is to be run.
    fn current(&self) -> Option<&Revision> {
        self.standing().filter(|_| !self.moved)
    }

    fn standing(&self) -> Option<&Revision> {
        self.observed.ledger.standing(self.desired)
    }

    fn recorded(&self, part: &Part<'_>) -> Option<&PartTarget> {
        self.current()?.parts.get(&part.resource())
    }

    /// What was begun before and goes on, for as long as what came after it may move nothing; newest
    /// first.
    fn unfinished(&self) -> Vec<&Revision> {
        plan::all_unfinished(&self.observed.ledger, self.current())
    }

    /// What each part goes back to, where the newest revision was rejected and is undone; or what
    /// earlier ones that go on bring it to.
    fn back(&self) -> Vec<(&str, &PartTarget)> {
        let revisions = &self.observed.ledger.revisions;
        let unfinished = self.unfinished().into_iter();
        let of_unfinished = unfinished.flat_map(|it| plan::parts_unfinished(revisions, it));
        let current = self.current().into_iter();
        let back = current.flat_map(|it| plan::parts_back(revisions, it));
        back.chain(of_unfinished).collect()
    }

    /// What a failed read means: a sentence, and a problem where a person must solve it.
    fn failed(&mut self, error: AwsError) -> Result<String, LookError> {
        let error = spare(error, &self.desired.environment.access);
        self.view.failed(&error);
        let reason = match (error.class, error.operation) {
            (ErrorClass::Credentials, _) => return Err(error.into()),
            (ErrorClass::Denied, _) => Some("AccessDenied"),
            (ErrorClass::NotFound, "DescribeImages") => Some("RepositoryNotFound"),
            (ErrorClass::NotFound, _) if error.service == "ecs" => Some("ClusterNotFound"),
            (ErrorClass::Refused, _) => Some("Refused"),
            _ => None,
        };
        let message = error.lasting();
        self.observed.unread |= reason.is_none();
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

    /// Whether the cluster is there, where no service tells: before its first use, so that a wrong
    /// name is not recorded as the Environment's.
    async fn cluster(&mut self) -> Result<(), LookError> {
        let environment = &self.desired.environment;
        let told = !self.desired.services.is_empty() || environment.recorded.is_some();
        if told {
            return Ok(());
        }
        let nobody = "evenkeel";
        let cluster = &environment.cluster;
        let read = self.view.tasks_started_by(cluster, nobody).await;
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
        self.interest.services.clone_from(&names);
        let cluster = &self.desired.environment.cluster;
        for (name, read) in self.view.services(cluster, names).await {
            let known = match read {
                Ok(Known::Present(service)) => {
                    let service = self.with_records(service).await?;
                    Known::Present(service)
                }
                Ok(known) => known,
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            self.observed.services.insert(name, known);
        }
        Ok(())
    }

    /// A service with ECS's records of its deployments, where they may tell more than it does.
    async fn with_records(&mut self, mut service: Service) -> Result<Service, LookError> {
        if service.status == "ACTIVE" && !self.is_settled(&service) && !self.is_rolling(&service) {
            self.add_records(&mut service).await?;
        }
        Ok(service)
    }

    /// Whether the very deployment that this revision asked for goes on, and what ran before is
    /// told: there is nothing to find out until it ends, and ECS answers few calls for records.
    fn is_rolling(&self, service: &Service) -> bool {
        if service.is_staged() || plan::completed(&service.deployments).is_none() {
            return false;
        }
        let rollouts = &self.observed.ledger.rollouts;
        rollouts.get(&service.name).is_some_and(|rollout| {
            let is_of = |revision: &Revision| {
                let back = revision.rollback.as_ref().map(|rollback| rollback.to);
                rollout.revision == revision.number
                    || rollout.back && Some(rollout.revision) == back
            };
            let mut goes_on = self.current().into_iter().chain(self.unfinished());
            goes_on.any(is_of)
                && plan::goes_on(service, rollout)
                && !self.is_overdue(service, rollout)
        })
    }

    /// Whether the time of a rollout is up: what ECS is asked to stop then is in its records.
    fn is_overdue(&self, service: &Service, rollout: &Rollout) -> bool {
        let mut declared = self.desired.services.iter();
        let declared = declared.find(|declared| declared.name == service.name);
        declared.is_some_and(|declared| {
            self.now.duration_since(rollout.requested_at) > declared.timeout
        })
    }

    /// What is noted with the request to move a service that is settled on something else.
    async fn records_before_moving(&mut self) -> Result<(), LookError> {
        // Nothing moves before every image is there, nor while a migration runs; what was there once
        // is recorded.
        let open = self.standing().is_none();
        let mut images = self.observed.images.values().filter(|_| open);
        let tasks = self.observed.tasks.values().filter_map(Known::present);
        let mut running = tasks.flatten().filter(|task| task.last_status != "STOPPED");
        let back = self.back();
        let waits = running.next().is_some() || images.any(|image| image.present().is_none());
        // Going back waits for neither.
        if waits && back.is_empty() {
            return Ok(());
        }
        let current = self.current();
        let rejected = current.is_some_and(|it| it.outcome == RevisionOutcome::Rejected);
        let moves = |part: &Part<'_>| {
            let resource = part.resource();
            let name = resource.strip_prefix("service/")?.to_owned();
            let service = self.observed.services.get(&name)?.present()?;
            let differs = |target: &PartTarget| {
                let arn = self.target_arn(target);
                arn.is_some_and(|arn| arn != service.task_definition)
            };
            let mut back = back.iter().filter(|(name, _)| *name == resource).peekable();
            let is_undone = rejected && back.peek().is_some();
            let moves = match self.recorded(part) {
                _ if back.any(|(_, target)| differs(target)) => true,
                _ if waits || is_undone => false,
                Some(target) => differs(target),
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
            if let Some(Known::Present(mut service)) = self.observed.services.remove(&name) {
                self.add_records(&mut service).await?;
                self.observed.services.insert(name, Known::Present(service));
            }
        }
        Ok(())
    }

    /// Adds the records of whoever releases the service.
    async fn add_records(&mut self, service: &mut Service) -> Result<(), LookError> {
        if service.is_under_code_deploy() {
            return self.add_code_deploy(service).await;
        }
        let cluster = &self.desired.environment.cluster;
        let read = self.view.records(cluster, &service.name, RECORDS).await;
        service.records = Some(match read {
            Ok(records) => Known::Present(records),
            Err(error) => Known::Unknown(self.failed(error)?),
        });
        Ok(())
    }

    /// Whether the service is where a rollout brought it that ECS called successful.
    fn is_settled(&self, service: &Service) -> bool {
        let Some(rollout) = self.observed.ledger.rollouts.get(&service.name) else {
            return false;
        };
        let Some(primary) = service.primary() else {
            return false;
        };
        (rollout.state == RolloutState::Succeeded || plan::is_baking(rollout))
            && rollout.target == service.task_definition
            && rollout.deployment_id.as_ref() == Some(&primary.id)
            && primary
                .rollout_state
                .as_deref()
                .is_none_or(|state| state == "COMPLETED")
            // What goes through stages beside it may not be the PRIMARY yet.
            && !(service.is_staged() && service.deployments.len() > 1)
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
            self.interest.tasks.insert(run.started_by.clone());
            let read = match (&run.task_arn, run.state) {
                (Some(arn), RunState::Started) => {
                    let read = self.view.task(&run.cluster, arn).await;
                    read.map(|task| task.map(|task| vec![task]))
                }
                _ => {
                    let by = &run.started_by;
                    let read = self.view.tasks_started_by(&run.cluster, by).await;
                    read.map(Known::Present)
                }
            };
            let known = match read {
                Ok(known) => known,
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            let ended = known.present().is_some_and(|tasks| {
                let has_ended =
                    |task: &Task| matches!(task.last_status.as_str(), "STOPPED" | "DELETED");
                tasks.iter().any(has_ended)
            });
            self.observed.tasks.insert(run.run_key.clone(), known);
            if ended {
                self.given(&run).await?;
            }
        }
        Ok(())
    }

    /// The definition of a task that ended: values of its environment are not told.
    async fn given(&mut self, run: &MigrationRun) -> Result<(), LookError> {
        let hash = self.observed.ledger.definition_of(run).cloned();
        let found = self.view.contents(self.store, hash).await?;
        self.observed.contents.extend(found);
        Ok(())
    }

    /// Who holds what this Release declares and does not hold.
    async fn claims(&mut self) -> Result<(), LookError> {
        let services = self.desired.services.iter().filter_map(|service| {
            let found = self.observed.services.get(&service.name)?.present()?;
            Some(found.arn.clone())
        });
        let rules = plan::schedule_arns(&self.observed, self.desired).into_keys();
        let held = &self.observed.ledger.claims;
        let open: Vec<String> = services
            .chain(rules)
            .filter(|arn| !held.contains_key(arn))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        for (arn, claim) in self.store.claims(&open).await? {
            // Who holds it gives it back in the table alone.
            self.view.reads_more();
            if claim.release != self.desired.key {
                self.observed.foreign_claims.insert(arn, claim);
            }
        }
        Ok(())
    }
}
