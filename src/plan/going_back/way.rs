//! Everything that it takes to go back: what is wanted then, in the way of a release of its own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{Teller, failed_with, named, note, parts, rollback, told};
use crate::model::desired::{Desired, Service, Settings};
use crate::model::known::Known;
use crate::model::ledger::{PartTarget, Revision, RevisionOutcome, Rollback, RollbackState};
use crate::plan::draft::{Draft, Input};
use crate::plan::services::{self, Gate};
use crate::plan::{base, claims, overtaken, safety, schedules, taskdef};
use crate::resource::status::{PartState, ServiceStatus};

/// Everything that it takes to go back.
pub(super) struct Way<'a> {
    /// The services and schedules that go back, as what is wanted.
    desired: Desired,
    /// The revision gone back to, with what it did not know yet.
    to: Revision,
    parts: BTreeMap<&'a str, &'a PartTarget>,
    /// Names of the rules that it declared.
    rules: Vec<String>,
    /// Names of the schedules that it declared of EventBridge Scheduler.
    scheduled: Vec<String>,
}

impl<'a> Way<'a> {
    pub(super) fn of(draft: &Draft<'a>, rejected: &Revision, rollback: &Rollback) -> Option<Self> {
        let revisions = &draft.input.observed.ledger.revisions;
        let to = revisions.get(&rollback.to)?;
        let parts = parts(revisions, rejected);
        let named = parts
            .iter()
            .map(|(name, part)| ((*name).to_owned(), (*part).clone()));
        let to = Revision {
            parts: named.collect(),
            // What was brought before is put right as drift is; until then it is brought anew.
            outcome: match rollback.state {
                RollbackState::Done => RevisionOutcome::Ready,
                RollbackState::Underway | RollbackState::Failed => RevisionOutcome::Pending,
            },
            ..to.clone()
        };
        let mut desired = draft.input.desired.clone();
        desired.services = backwards(draft, &parts);
        // What is gone back to has proved itself before, and an alarm may be why it is gone back to.
        let declared = draft.input.desired.at_revision(&to);
        for service in &mut desired.services {
            service.bake = SignedDuration::ZERO;
            service.alarms.clear();
            // Nor is what a function of the rejected revision's says of it.
            if let Some(declared) = &mut service.code_deploy {
                declared.hooks = None;
            }
            // The strategy stays as it is: ECS may refuse another, and nothing keeps from going back.
            let mut before = declared.services.iter();
            let before = before.find(|it| it.name == service.name);
            service.settings = Settings {
                desired_count: before.and_then(|it| it.settings.desired_count),
                ..Settings::default()
            };
        }
        let rules = declared.rules().map(|it| it.rule.clone()).collect();
        let scheduled = declared.scheduled().map(|it| it.name.clone()).collect();
        desired.images = declared.images;
        desired.schedules = declared.schedules;
        let held = &draft.input.observed.ledger.claims;
        desired.schedules.retain(|schedule| {
            let arn = claims::arn_of(draft.input.observed, draft.input.desired, schedule);
            arn.is_some_and(|arn| held.contains_key(&arn))
        });
        desired.hooks.clear();
        desired.migrations.clear();
        desired.spec.schedules = to
            .spec
            .iter()
            .flat_map(|spec| spec.schedules.clone())
            .collect();
        Some(Self {
            desired,
            to,
            parts,
            rules,
            scheduled,
        })
    }

    /// A plan of its own, of which the Release's is made.
    fn draft<'b>(&'b self, draft: &Draft<'b>) -> Draft<'b> {
        let mut own = Draft::new(Input {
            desired: &self.desired,
            ..draft.input
        });
        // It goes nowhere that the Environment does not allow by now. What may not be looked at is
        // Unknown, and keeps nothing else from going back.
        safety::check_lists(&mut own);
        safety::check_targets(&mut own, |part| self.parts.get(part).copied());
        own
    }

    /// Brings everything back.
    pub(super) fn take(
        &self,
        draft: &mut Draft<'_>,
        revision: &Revision,
        rollback: &Rollback,
        tell: Teller,
    ) {
        let mut own = self.draft(draft);
        let ended = match own.stalled.is_empty() {
            true => self.roll(&mut own, rollback),
            false => None,
        };
        let taken = ended.clone().unwrap_or_else(|| rollback.clone());
        overtaken::over(draft, own);
        if let Some(ended) = ended {
            let reason = match ended.state {
                RollbackState::Failed => format!("the way back to revision {} failed", ended.to),
                _ => format!(
                    "every service and schedule is back on revision {}",
                    ended.to
                ),
            };
            note(draft, revision, ended, reason);
        }
        tell(draft, revision, &taken);
    }

    /// How the way back ends, if it does in this pass.
    fn roll(&self, own: &mut Draft<'_>, rollback: &Rollback) -> Option<Rollback> {
        let services::Rolled {
            whole: rolled,
            failed: with,
        } = services::each(own, &self.to, Gate::Back);
        if !with.is_empty() {
            // The others are brought back all the same, but for those that wait for it.
            let goes_on = !own.progressing.is_empty() || !own.unknown.is_empty();
            return (!goes_on).then(|| failed_with(rollback, own, with));
        }
        let open = rolled && own.stalled.is_empty();
        let written = match self.to.spec {
            Some(_) => schedules::write(own, &self.to, open),
            None => open && schedules::point_back(own, &self.to),
        };
        let pruned = open && written && self.prune(own);
        let ended = rolled && written && pruned && !own.is_held();
        ended.then(|| Rollback {
            state: RollbackState::Done,
            finished_at: Some(own.input.now),
            ..rollback.clone()
        })
    }

    /// Takes away rules that the revision gone back to does not know: one that failed, or that
    /// another one overtook, made them. What ran before evenkeel was no manifest, and prunes nothing.
    fn prune(&self, own: &mut Draft<'_>) -> bool {
        match self.to.spec {
            Some(_) => schedules::prune_made(own, &self.rules, &self.scheduled),
            None => true,
        }
    }

    /// Keeps what was brought back where it is, as of any release that was delivered.
    pub(super) fn keep(mut self, draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
        told(draft, revision, rollback);
        draft.compared = true;
        let (mended, mut kept): (Vec<Service>, Vec<Service>) =
            std::mem::take(&mut self.desired.services)
                .into_iter()
                .partition(|service| self.is_mended(draft, service));
        for service in &mut kept {
            let is_mended = |name: &String| mended.iter().any(|it| it.name == *name);
            service.depends_on.retain(|name| !is_mended(name));
        }
        self.desired.services = kept;
        let mut own = self.draft(draft);
        if own.stalled.is_empty() {
            if let Err(failure) = services::roll(&mut own, &self.to, Gate::Open) {
                own.stall("release", &failure.why.reason, failure.why.message);
            }
            if self.to.spec.is_some() {
                schedules::write(&mut own, &self.to, true);
            }
        }
        own.status.services.extend(by_hand(draft, &mended));
        overtaken::over(draft, own);
    }

    /// Whether somebody changed a service by hand whose images are those that were gone back to, or
    /// nobody knows: it is theirs until the next release.
    fn is_mended(&self, draft: &Draft<'_>, service: &Service) -> bool {
        let Some(target) = self.parts.get(format!("service/{}", service.name).as_str()) else {
            return true;
        };
        let observed = draft.input.observed;
        let Some(Known::Present(found)) = observed.services.get(&service.name) else {
            return false;
        };
        let wanted = target.definition_arn(base::registration(draft, target));
        if wanted.as_ref() == Some(&found.task_definition) {
            return false;
        }
        let actual = observed.definitions.get(&found.task_definition);
        let (Some(Known::Present(actual)), Some(wanted)) =
            (actual, draft.contents.get(&target.definition))
        else {
            return true;
        };
        let same = |container: &String| {
            taskdef::image(&actual.content, container) == taskdef::image(wanted, container)
        };
        service.images.keys().all(same)
    }

    /// What it came to is followed to its end; nothing is moved any more, unless every service with
    /// which it failed is back after all.
    pub(super) fn leave(
        &self,
        draft: &mut Draft<'_>,
        revision: &Revision,
        before: &Rollback,
        tell: Teller,
    ) {
        let mut own = self.draft(draft);
        let allowed = own.stalled.is_empty();
        own.stalled.clear();
        services::each(&mut own, &self.to, Gate::Left);
        let is_back = |name: &String| {
            let mut services = own.status.services.iter();
            services.any(|it| it.name == *name && it.state == PartState::Done)
        };
        let with = &before.failed;
        let goes_on = allowed && !with.is_empty() && with.iter().all(is_back);
        if goes_on {
            let reason = format!("{} is back after all", named(with));
            let again = rollback(before.to, RollbackState::Underway);
            tell(draft, revision, &again);
            overtaken::over(draft, own);
            return note(draft, revision, again, reason);
        }
        tell(draft, revision, before);
        overtaken::over(draft, own);
    }
}

/// The services that go back and are this Release's, what depends on others first.
fn backwards(draft: &Draft<'_>, parts: &BTreeMap<&str, &PartTarget>) -> Vec<Service> {
    let claims = &draft.input.observed.ledger.claims;
    let services = &draft.input.desired.services;
    let back: BTreeSet<&str> = services
        .iter()
        .filter(|service| {
            let resource = format!("service/{}", service.name);
            let held = claims.values().any(|claim| claim.part == resource);
            held && parts.contains_key(resource.as_str())
        })
        .map(|service| service.name.as_str())
        .collect();
    let after = |name: &str| -> Vec<String> {
        let dependent = services
            .iter()
            .filter(|it| it.depends_on.iter().any(|before| before == name))
            .filter(|it| back.contains(it.name.as_str()));
        dependent.map(|it| it.name.clone()).collect()
    };
    let back = services.iter().filter(|it| back.contains(it.name.as_str()));
    back.map(|service| Service {
        depends_on: after(&service.name),
        ..service.clone()
    })
    .collect()
}

/// How services stand that somebody changed by hand.
fn by_hand(draft: &Draft<'_>, services: &[Service]) -> Vec<ServiceStatus> {
    let observed = &draft.input.observed.services;
    let status = |service: &Service| ServiceStatus {
        name: service.name.clone(),
        state: PartState::Done,
        task_definition: observed
            .get(&service.name)
            .and_then(Known::present)
            .map(|found| found.task_definition.clone()),
        message: Some("changed by hand since the release went back; left as it is".to_owned()),
        ..ServiceStatus::default()
    };
    services.iter().map(status).collect()
}
