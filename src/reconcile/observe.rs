//! One look at AWS and the table: everything that the plan of a Release needs, and no more.
//!
//! What could not be read is Unknown, never absent. A settled Release costs few calls: deployment
//! records, definitions and contents are read only where something is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::{Aws, Clients};
use crate::model::desired::{Desired, Part, Source, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{
    Explanation, Ledger, PartTarget, Registration, Revision, RevisionOutcome, RolloutState,
    RunState,
};
use crate::model::observed::{Observed, Rule, Service};
use crate::plan;
use crate::resource::image_ref::EcrRepository;
use crate::store::{Store, StoreError};

/// Most revisions of a family that are described to find one by its content or registrar.
const CANDIDATES: usize = 20;

/// Most service deployments that are looked back at.
const RECORDS: usize = 20;

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
        clients: aws.region(&desired.environment.region),
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
        let reason = match (error.class, error.operation) {
            (ErrorClass::Credentials, _) => return Err(error.into()),
            (ErrorClass::Denied, _) => Some("AccessDenied"),
            (ErrorClass::NotFound, "DescribeImages" | "BatchGetImage") => {
                Some("RepositoryNotFound")
            }
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
            let client = self.aws.region(&ecr.region).ecr;
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
            let read = self
                .clients
                .ecs
                .deployment_records(&cluster, name, RECORDS)
                .await;
            service.records = Some(match read {
                Ok(records) => Known::Present(records),
                Err(error) => Known::Unknown(self.failed(error)?),
            });
        }
        self.observed.services = services;
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
        rollout.state == RolloutState::Succeeded
            && rollout.target == service.task_definition
            && rollout.deployment_id.as_ref() == Some(&primary.id)
            && primary
                .rollout_state
                .as_deref()
                .is_none_or(|state| state == "COMPLETED")
    }

    /// Families that the parts' definitions are registered in.
    fn part_families(&self) -> BTreeSet<String> {
        let mut families: BTreeSet<String> = self
            .desired
            .parts()
            .filter_map(|part| match part.source {
                Source::Family { family, .. } | Source::Inline { family, .. } => {
                    Some(family.clone())
                }
                Source::Service(name) => {
                    let service = self.observed.services.get(name)?.present()?;
                    Some(family_of(plan::newest_successful(service)).to_owned())
                }
            })
            .collect();
        // Those of kept revisions too, so that what they registered can be cleaned up.
        let revisions = self
            .observed
            .ledger
            .revisions
            .values()
            .filter(|found| found.number > 0);
        families.extend(
            revisions
                .flat_map(|found| found.parts.values())
                .map(|part| part.family.clone()),
        );
        families
    }

    async fn registrations(&mut self, account: &str) -> Result<(), LookError> {
        let region = &self.desired.environment.region;
        for family in self.part_families() {
            for found in self.store.registrations(account, region, &family).await? {
                let key = (found.family.clone(), found.definition.clone());
                self.observed.ledger.registrations.insert(key, found);
            }
        }
        Ok(())
    }

    fn registration(&self, target: &PartTarget) -> Option<&Registration> {
        let key = (target.family.clone(), target.definition.clone());
        self.observed.ledger.registrations.get(&key)
    }

    fn target_arn(&self, target: &PartTarget) -> Option<String> {
        target
            .arn
            .clone()
            .or_else(|| self.registration(target)?.arn.clone())
    }

    /// Families whose ACTIVE revisions matter in this pass.
    fn families_to_list(&self) -> BTreeSet<String> {
        let mut families = BTreeSet::new();
        for part in self.desired.parts() {
            if let Source::Family { family, .. } | Source::Inline { family, .. } = part.source {
                families.insert(family.clone());
            }
            let settled_service = part
                .resource()
                .strip_prefix("service/")
                .is_some_and(|name| {
                    let service = self.observed.services.get(name).and_then(Known::present);
                    let target = self
                        .recorded(&part)
                        .and_then(|target| self.target_arn(target));
                    service.is_some_and(|service| {
                        self.is_settled(service)
                            && Some(&service.task_definition) == target.as_ref()
                    })
                });
            if settled_service {
                continue;
            }
            families.extend(self.recorded(&part).map(|target| target.family.clone()));
            if let Source::Service(name) = part.source
                && let Some(service) = self.observed.services.get(name).and_then(Known::present)
            {
                families.insert(family_of(plan::newest_successful(service)).to_owned());
            }
        }
        families
    }

    async fn families(&mut self) -> Result<(), LookError> {
        for family in self.families_to_list() {
            let ours = self.our_arns(&family);
            let targets: Vec<String> = self
                .current()
                .into_iter()
                .flat_map(|revision| revision.parts.values())
                .filter(|target| target.family == family)
                .filter_map(|target| self.target_arn(target))
                .collect();
            let picky = self.desired.parts().any(|part| {
                matches!(part.source, Source::Family { family: named, registered_by: Some(_) } if *named == family)
            });
            let enough = |found: &[String]| {
                !picky
                    && found.iter().any(|arn| !ours.contains(arn))
                    && targets.iter().all(|arn| found.contains(arn))
            };
            let known = match self.clients.ecs.active_revisions(&family, enough).await {
                Ok(found) if found.is_empty() => Known::Absent,
                Ok(found) => Known::Present(found),
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            self.observed.families.insert(family, known);
        }
        Ok(())
    }

    /// ARNs in a family that the ledger says evenkeel registered.
    fn our_arns(&self, family: &str) -> BTreeSet<String> {
        let registrations = self.observed.ledger.registrations.values();
        let in_family = registrations.filter(|found| found.family == family);
        in_family
            .flat_map(|found| found.arn.iter().chain(&found.former))
            .cloned()
            .collect()
    }

    async fn definitions(&mut self) -> Result<(), LookError> {
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        let first = self.observed.ledger.revisions.is_empty();
        for part in self.desired.parts() {
            wanted.extend(self.base_of_service(&part));
            let recorded = self.recorded(&part);
            let target = recorded.and_then(|target| self.target_arn(target));
            if let Some(name) = part.resource().strip_prefix("service/")
                && let Some(service) = self.observed.services.get(name).and_then(Known::present)
                && (first
                    || target
                        .as_ref()
                        .is_some_and(|arn| *arn != service.task_definition))
            {
                wanted.insert(service.task_definition.clone());
            }
            if let (Some(arn), Some(recorded)) = (target, recorded)
                && let Some(Known::Present(active)) = self.observed.families.get(&recorded.family)
                && !active.contains(&arn)
            {
                wanted.insert(arn);
            }
        }
        if first {
            wanted.extend(self.definitions_of_rules());
        }
        for arn in wanted {
            self.describe(&arn).await?;
        }
        for (family, known) in self.observed.families.clone() {
            if let Known::Present(active) = known {
                self.candidates(&family, &active).await?;
            }
        }
        Ok(())
    }

    /// Base of a part that follows a service, unless it is what was recorded or what we made of it.
    fn base_of_service(&self, part: &Part<'_>) -> Option<String> {
        let Source::Service(name) = part.source else {
            return None;
        };
        let service = self.observed.services.get(name)?.present()?;
        let arn = plan::newest_successful(service).to_owned();
        let recorded = self.recorded(part);
        let same = recorded.is_some_and(|target| {
            target.base.as_ref() == Some(&arn) || self.target_arn(target).as_ref() == Some(&arn)
        });
        (!same).then_some(arn)
    }

    /// Definitions that declared rules run already.
    fn definitions_of_rules(&self) -> Vec<String> {
        let declared = self.desired.schedules.iter();
        let rules =
            declared.filter_map(|schedule| self.observed.rules.get(&schedule.rule)?.present());
        rules
            .flat_map(|rule| &rule.targets)
            .filter_map(|target| {
                target
                    .get("EcsParameters")?
                    .get("TaskDefinitionArn")?
                    .as_str()
            })
            .map(str::to_owned)
            .collect()
    }

    /// Describes the newest revisions of a family that are not known to be ours: the base of parts
    /// that follow the family, and what an intent without answer may have led to.
    async fn candidates(&mut self, family: &str, active: &[String]) -> Result<(), LookError> {
        let ours = self.our_arns(family);
        let intents: Vec<Registration> = self
            .observed
            .ledger
            .registrations
            .values()
            .filter(|found| found.family == family && found.arn.is_none())
            .cloned()
            .collect();
        let followers: Vec<(Option<globset::GlobMatcher>, Option<PartTarget>)> = self
            .desired
            .parts()
            .filter_map(|part| match part.source {
                Source::Family {
                    family: named,
                    registered_by,
                } if named == family => {
                    Some((registered_by.clone(), self.recorded(&part).cloned()))
                }
                _ => None,
            })
            .collect();
        if followers.is_empty() && intents.is_empty() {
            return Ok(());
        }
        for arn in active
            .iter()
            .filter(|arn| !ours.contains(*arn))
            .take(CANDIDATES)
        {
            let recorded = |target: &Option<PartTarget>| {
                target
                    .as_ref()
                    .is_some_and(|target| target.base.as_ref() == Some(arn))
            };
            if intents.is_empty() && followers.iter().all(|(_, target)| recorded(target)) {
                return Ok(());
            }
            self.describe(arn).await?;
            let known = self.observed.definitions.get(arn);
            if intents.iter().any(|intent| plan::is_answer(known, intent)) {
                continue;
            }
            if !intents.is_empty() {
                // What a lost answer led to may stand behind what somebody else registered since.
                continue;
            }
            let Some(definition) = known.and_then(Known::present) else {
                return Ok(());
            };
            let by = definition.registered_by.as_deref();
            let wanted = followers.iter().all(|(glob, _)| {
                glob.as_ref()
                    .is_none_or(|glob| by.is_some_and(|by| glob.is_match(by)))
            });
            if wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn describe(&mut self, arn: &str) -> Result<(), LookError> {
        if self.observed.definitions.contains_key(arn) {
            return Ok(());
        }
        let known = match self.clients.ecs.describe_task_definition(arn).await {
            Ok(known) => known,
            Err(error) => Known::Unknown(self.failed(error)?),
        };
        self.observed.definitions.insert(arn.to_owned(), known);
        Ok(())
    }

    /// Recorded contents, where a part is not what it shall be.
    async fn contents(&mut self) -> Result<(), LookError> {
        let Some(revision) = self.current() else {
            let needed = self.lost_bases();
            self.observed.contents = self.store.definitions(&needed).await?;
            return Ok(());
        };
        let needed: BTreeSet<String> = revision
            .parts
            .iter()
            .filter(|(resource, target)| {
                let Some(arn) = self.target_arn(target) else {
                    return true;
                };
                let listed = self.observed.families.get(&target.family);
                let inactive = listed.is_some_and(|known| {
                    known.present().is_none_or(|active| !active.contains(&arn))
                });
                let away = resource.strip_prefix("service/").is_some_and(|name| {
                    let service = self.observed.services.get(name).and_then(Known::present);
                    service.is_none_or(|service| service.task_definition != arn)
                });
                let pending = resource.starts_with("migration/") && !self.has_run(resource);
                inactive || away || pending
            })
            .map(|(_, target)| target.definition.clone())
            .collect();
        let needed: Vec<String> = needed.into_iter().collect();
        self.observed.contents = self.store.definitions(&needed).await?;
        Ok(())
    }

    /// Definitions of the newest revision, of an earlier generation, whose bases are not ACTIVE any
    /// more: a new generation may have to start from what is recorded of them.
    fn lost_bases(&self) -> Vec<String> {
        let Some(newest) = self.observed.ledger.revisions.values().next_back() else {
            return Vec::new();
        };
        let parts = self.desired.parts();
        let lost = parts.filter_map(|part| {
            let target = newest.parts.get(&part.resource())?;
            let base = target.base.as_ref()?;
            let listed = self.observed.families.get(&target.family)?;
            let active = listed.present().is_some_and(|arns| arns.contains(base));
            (!active).then(|| target.definition.clone())
        });
        lost.collect()
    }

    /// Whether the status said that a migration is done; its content is not needed then.
    fn has_run(&self, resource: &str) -> bool {
        let runs = self.observed.ledger.migrations.iter();
        let name = resource.trim_start_matches("migration/");
        let newest = runs
            .filter(|run| run.migration == name)
            .max_by_key(|run| run.revision);
        let current = self.current().map(|revision| revision.number);
        newest.is_some_and(|run| run.state == RunState::Succeeded && Some(run.revision) == current)
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

    /// Rules that are declared, claimed, or called as this Release calls its own.
    async fn rules(&mut self) -> Result<(), LookError> {
        let mut names: BTreeSet<String> = self
            .desired
            .schedules
            .iter()
            .map(|schedule| schedule.rule.clone())
            .collect();
        names.extend(claimed_rules(&self.observed.ledger));
        if names.is_empty() {
            self.observed.rules_listed = Some(true);
            return Ok(());
        }
        let key = &self.desired.key;
        let prefix = format!("{}-{}-", key.namespace, key.name);
        let mut found = BTreeMap::new();
        match self.clients.events.rules_with_prefix(&prefix).await {
            Ok(rules) => {
                self.observed.rules_listed = Some(true);
                for rule in rules {
                    if let Some(name) = rule.get("Name").and_then(serde_json::Value::as_str) {
                        names.insert(name.to_owned());
                        found.insert(name.to_owned(), rule);
                    }
                }
            }
            Err(error) => {
                self.failed(error)?;
                self.observed.rules_listed = Some(false);
            }
        }
        for name in names {
            let known = match found.remove(&name) {
                Some(rule) => Known::Present(rule),
                // The list was read whole: what it does not hold is not there.
                None if self.observed.rules_listed == Some(true) && name.starts_with(&prefix) => {
                    Known::Absent
                }
                None => match self.clients.events.rule(&name).await {
                    Ok(known) => known,
                    Err(error) => Known::Unknown(self.failed(error)?),
                },
            };
            let known = match known {
                Known::Present(rule) => self.rule(&name, rule).await?,
                Known::Absent => Known::Absent,
                Known::Unknown(why) => Known::Unknown(why),
            };
            self.observed.rules.insert(name, known);
        }
        Ok(())
    }

    /// A rule with its targets and tags; Unknown unless all three could be read.
    async fn rule(
        &mut self,
        name: &str,
        rule: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Known<Rule>, LookError> {
        let arn = rule
            .get("Arn")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let tags = match self.clients.events.tags(&arn).await {
            Ok(tags) => tags,
            Err(error) => return Ok(Known::Unknown(self.failed(error)?)),
        };
        let targets = match self.clients.events.targets(name).await {
            Ok(targets) => targets,
            Err(error) => return Ok(Known::Unknown(self.failed(error)?)),
        };
        Ok(Known::Present(Rule {
            name: name.to_owned(),
            arn,
            rule,
            targets,
            tags,
        }))
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

/// Names of rules that this Release holds claims on.
fn claimed_rules(ledger: &Ledger) -> Vec<String> {
    let arns = ledger.claims.keys();
    arns.filter_map(|arn| Some(arn.rsplit_once(":rule/")?.1.to_owned()))
        .collect()
}

/// Family of a task definition ARN.
fn family_of(arn: &str) -> &str {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    name.rsplit_once(':').map_or(name, |(family, _)| family)
}
