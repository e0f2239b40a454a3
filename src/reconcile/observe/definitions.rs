//! Task definitions: what parts are made of, what was registered, what is still ACTIVE.

use std::collections::BTreeSet;

use super::{CANDIDATES, Look, LookError};
use crate::model::desired::{Part, Source};
use crate::model::known::Known;
use crate::model::ledger::{PartTarget, Registration, RunState};
use crate::plan;
use crate::reconcile::reads::Activity;

impl Look<'_> {
    /// Families that the parts' definitions are registered in.
    pub(super) fn part_families(&self) -> BTreeSet<String> {
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
        families.extend(self.back().iter().map(|(_, part)| part.family.clone()));
        families
    }

    pub(super) fn registration(&self, target: &PartTarget) -> Option<&Registration> {
        let key = (target.family.clone(), target.definition.clone());
        self.observed.ledger.registrations.get(&key)
    }

    pub(super) fn target_arn(&self, target: &PartTarget) -> Option<String> {
        target.definition_arn(self.registration(target))
    }

    /// Families whose ACTIVE revisions matter in this pass.
    pub(super) fn families_to_list(&self) -> BTreeSet<String> {
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
        families.extend(self.back().iter().map(|(_, part)| part.family.clone()));
        families
    }

    pub(super) async fn families(&mut self) -> Result<(), LookError> {
        self.interest.families = self.families_to_list();
        for family in self.interest.families.clone() {
            let ours = self.our_arns(&family);
            let targets: Vec<String> = self
                .targets_in(&family)
                .filter_map(|target| self.target_arn(target))
                .collect();
            // What picky parts follow may stand behind what others registered since, yet not behind
            // what they followed last.
            let picky = self.desired.parts().filter(|part| {
                matches!(part.source, Source::Family { family: named, registered_by: Some(_) } if *named == family)
            });
            let followed: Vec<Option<String>> = picky
                .map(|part| self.recorded(&part)?.base.clone())
                .collect();
            let lost = self.has_lost(&family);
            let enough = |found: &[String]| {
                let foreign = found.iter().filter(|arn| !ours.contains(*arn)).count();
                let is_listed =
                    |base: &Option<String>| base.as_ref().is_some_and(|base| found.contains(base));
                foreign > 0
                    && (foreign >= CANDIDATES || !lost && followed.iter().all(is_listed))
                    && targets.iter().all(|arn| found.contains(arn))
            };
            let known = match self.view.family(&family, enough).await {
                Ok(found) if found.is_empty() => Known::Absent,
                Ok(found) => Known::Present(found),
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            self.observed.families.insert(family, known);
        }
        Ok(())
    }

    /// Whether the answer to a registration that is wanted was lost: what it led to may stand
    /// behind what others registered since.
    fn has_lost(&self, family: &str) -> bool {
        let targets = self.targets_in(family);
        let mut registrations = targets.filter_map(|target| self.registration(target));
        registrations.any(|it| it.arn.is_none() && !it.deregistered && !it.refused)
    }

    /// What parts shall run or go back to of a family.
    fn targets_in(&self, family: &str) -> impl Iterator<Item = &PartTarget> {
        let current = self.current().into_iter();
        let current = current.flat_map(|revision| revision.parts.values());
        let back = self.back().into_iter().map(|(_, part)| part);
        current
            .chain(back)
            .filter(move |target| target.family == family)
    }

    /// ARNs in a family that the ledger says evenkeel registered.
    pub(super) fn our_arns(&self, family: &str) -> BTreeSet<String> {
        let registrations = self.observed.ledger.registrations.values();
        let in_family = registrations.filter(|found| found.family == family);
        in_family
            .flat_map(|found| found.arn.iter().chain(&found.former))
            .cloned()
            .collect()
    }

    pub(super) async fn definitions(&mut self) -> Result<(), LookError> {
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for part in self.desired.parts() {
            wanted.extend(self.base_of_service(&part));
            let recorded = self.recorded(&part);
            let target = recorded.and_then(|target| self.target_arn(target));
            if let Some(name) = part.resource().strip_prefix("service/")
                && let Some(service) = self.observed.services.get(name).and_then(Known::present)
                && (self.is_unrecorded(&part.resource(), &service.task_definition)
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
        wanted.extend(self.definitions_of_rules());
        wanted.extend(self.definitions_of_back());
        for arn in wanted {
            let activity = self.activity(&arn);
            self.describe(&arn, activity).await?;
        }
        for (family, known) in self.observed.families.clone() {
            if let Known::Present(active) = known {
                self.candidates(&family, &active).await?;
            }
        }
        Ok(())
    }

    /// Definitions to go back to that are not ACTIVE any more, and those that services run instead.
    fn definitions_of_back(&self) -> Vec<String> {
        let mut wanted = Vec::new();
        for (resource, target) in self.back() {
            let Some(arn) = self.target_arn(target) else {
                continue;
            };
            let service = resource.strip_prefix("service/");
            let service = service.and_then(|name| self.observed.services.get(name)?.present());
            let runs = service.map(|service| &service.task_definition);
            wanted.extend(runs.filter(|runs| **runs != arn).cloned());
            let listed = self.observed.families.get(&target.family);
            let listed = listed.and_then(Known::present);
            if listed.is_some_and(|active| !active.contains(&arn)) {
                wanted.push(arn);
            }
        }
        wanted
    }

    /// Base of a part that follows a service, unless it is what was recorded or what we made of it.
    pub(super) fn base_of_service(&self, part: &Part<'_>) -> Option<String> {
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

    /// Whether revision 0 has yet to hold what a part runs.
    fn is_unrecorded(&self, resource: &str, arn: &str) -> bool {
        plan::is_unrecorded(&self.observed.ledger, resource, arn)
    }

    /// Definitions that declared rules run and that revision 0 has yet to hold.
    pub(super) fn definitions_of_rules(&self) -> Vec<String> {
        let mut wanted = Vec::new();
        for schedule in &self.desired.schedules {
            let resource = format!("schedule/{}", schedule.name);
            let rule = self.observed.rules.get(&schedule.rule);
            let targets = rule.and_then(Known::present).map(|rule| &rule.targets);
            let arns = targets.into_iter().flatten().filter_map(|target| {
                let arn = target.get("EcsParameters")?.get("TaskDefinitionArn")?;
                arn.as_str()
            });
            let of_scheduler = schedule.scheduler.as_ref();
            let scheduled = of_scheduler.and_then(|_| self.runs_of_scheduled(&schedule.name));
            let arns = arns.chain(scheduled);
            let unrecorded = arns.filter(|arn| self.is_unrecorded(&resource, arn));
            wanted.extend(unrecorded.map(str::to_owned));
        }
        wanted
    }

    /// Describes the newest revisions of a family that are not known to be ours: the base of parts
    /// that follow the family, and what an intent without answer may have led to.
    pub(super) async fn candidates(
        &mut self,
        family: &str,
        active: &[String],
    ) -> Result<(), LookError> {
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
            // What a lost answer led to is compared to the last tag.
            let activity = match intents.is_empty() {
                true => Activity::Listed,
                false => Activity::Unknown,
            };
            self.describe(arn, activity).await?;
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

    /// Whether a definition is among the ACTIVE revisions of its family.
    fn activity(&self, arn: &str) -> Activity {
        let listed = self.observed.families.get(family_of(arn));
        let active = listed.and_then(Known::present);
        match active.is_some_and(|active| active.iter().any(|it| it == arn)) {
            true => Activity::Listed,
            false => Activity::Unknown,
        }
    }

    async fn describe(&mut self, arn: &str, activity: Activity) -> Result<(), LookError> {
        if self.observed.definitions.contains_key(arn) {
            return Ok(());
        }
        let known = match self.view.definition(arn, activity).await {
            Ok(known) => known,
            Err(error) => Known::Unknown(self.failed(error)?),
        };
        self.observed.definitions.insert(arn.to_owned(), known);
        Ok(())
    }

    /// Recorded contents, where a part is not what it shall be.
    pub(super) async fn contents(&mut self) -> Result<(), LookError> {
        let current = self.current();
        let lost = current.map_or_else(|| self.lost_bases(), |_| Vec::new());
        let parts = current.into_iter().flat_map(|revision| &revision.parts);
        let parts = parts.map(|(name, part)| (name.as_str(), part));
        let needed: BTreeSet<String> = parts
            .chain(self.back())
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
                let once = ["migration/", "hook/"];
                let is_once = once.iter().any(|kind| resource.starts_with(kind));
                let pending = is_once && !self.has_run(resource);
                inactive || away || pending
            })
            .map(|(_, target)| target.definition.clone())
            .chain(lost)
            .collect();
        let found = self.view.contents(self.store, needed).await?;
        self.observed.contents.extend(found);
        Ok(())
    }

    /// Definitions of the newest revision, of an earlier generation, whose bases are not ACTIVE any
    /// more: a new generation may have to start from what is recorded of them.
    pub(super) fn lost_bases(&self) -> Vec<String> {
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

    /// Whether a migration or a hook's task is done; its content is not needed then.
    pub(super) fn has_run(&self, resource: &str) -> bool {
        let runs = self.observed.ledger.migrations.iter();
        let newest = runs
            .filter(|run| run.resource() == resource)
            .max_by_key(|run| run.revision);
        let current = self.current().map(|revision| revision.number);
        newest.is_some_and(|run| run.state == RunState::Succeeded && Some(run.revision) == current)
    }
}

/// Family of a task definition ARN.
fn family_of(arn: &str) -> &str {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    name.rsplit_once(':').map_or(name, |(family, _)| family)
}
