//! The way back: where a rejected revision leads, and how every service and schedule gets there.
//!
//! What is gone back to is the newest revision that was Ready before, and of services that this one
//! does not know yet what they ran before they were declared. It is brought as a release is, with
//! the waves in reverse, and without migrations and hooks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::claims;
use super::draft::{Draft, Input};
use super::safety;
use super::schedules;
use super::services::{self, Failure, Gate};
use super::taskdef;
use crate::model::desired::{Desired, Service};
use crate::model::known::Known;
use crate::model::ledger::{
    Explanation, PartTarget, Revision, RevisionOutcome, Rollback, RollbackState,
};
use crate::model::plan::Step;
use crate::resource::release::OnFailure;
use crate::resource::status::{Cause, PartState, RollbackStatus, ServiceStatus};

/// The revision that a failure of this service in `revision` leads back to. `None`: everything
/// stays as it is, since that is declared so, or there is nothing to go back to.
pub fn way(draft: &Draft<'_>, revision: &Revision, service: &str) -> Option<u64> {
    let services = &draft.input.desired.services;
    let policy = services.iter().find(|found| found.name == service)?;
    if policy.on_failure == OnFailure::Hold {
        return None;
    }
    let revisions = &draft.input.observed.ledger.revisions;
    let ready = newest_ready(revisions, revision.number);
    if ready.is_some() {
        return ready;
    }
    revisions.get(&0)?;
    ailing(draft).is_empty().then_some(0)
}

/// Services that did not run, or not well, before evenkeel's first write.
fn ailing(draft: &Draft<'_>) -> Vec<String> {
    let zero = draft.input.observed.ledger.revisions.get(&0);
    let names = draft.input.desired.services.iter();
    let resources = names.map(|service| format!("service/{}", service.name));
    let is_healthy = |resource: &String| {
        let part = zero.and_then(|zero| zero.parts.get(resource));
        part.is_some_and(|part| part.healthy == Some(true))
    };
    resources.filter(|resource| !is_healthy(resource)).collect()
}

/// The newest revision before this one that was Ready.
fn newest_ready(revisions: &BTreeMap<u64, Revision>, before: u64) -> Option<u64> {
    let mut earlier = revisions.range(1..before.max(1)).rev();
    let ready = earlier.find(|(_, found)| found.outcome == RevisionOutcome::Ready);
    ready.map(|(number, _)| *number)
}

/// What each part goes back to with a revision that was rejected, while that is so; nothing where
/// nothing goes back.
pub fn parts<'a>(
    revisions: &'a BTreeMap<u64, Revision>,
    rejected: &Revision,
) -> BTreeMap<&'a str, &'a PartTarget> {
    let to = (rejected.rollback.as_ref())
        .filter(|_| rejected.outcome == RevisionOutcome::Rejected)
        .and_then(|rollback| revisions.get(&rollback.to));
    let Some(to) = to else {
        return BTreeMap::new();
    };
    let before = revisions.get(&0).into_iter().flat_map(|zero| &zero.parts);
    let healthy =
        before.filter(|(name, part)| name.starts_with("service/") && part.healthy == Some(true));
    let mut parts: BTreeMap<&str, &PartTarget> =
        healthy.map(|(name, part)| (name.as_str(), part)).collect();
    parts.extend(to.parts.iter().map(|(name, part)| (name.as_str(), part)));
    parts.retain(|name, _| !name.starts_with("migration/"));
    parts
}

/// A revision as it is recorded once a rollout of it has failed.
pub fn rejected(draft: &Draft<'_>, revision: &Revision, failure: &Failure) -> Revision {
    let to = way(draft, revision, &failure.service);
    Revision {
        outcome: RevisionOutcome::Rejected,
        reason: Some(failure.why.clone()),
        finished_at: Some(draft.input.now),
        cause: Some(failure.cause),
        rollback: to.map(|to| rollback(to, RollbackState::Underway)),
        ..revision.clone()
    }
}

fn rollback(to: u64, state: RollbackState) -> Rollback {
    Rollback {
        to,
        state,
        message: None,
        finished_at: None,
    }
}

/// The way back of a new revision that says what was rejected before: where nothing moved since,
/// there is none to go.
pub fn inherited(
    revisions: &BTreeMap<u64, Revision>,
    before: &Revision,
    latest: &Revision,
) -> Option<Rollback> {
    let taken = before.rollback.as_ref()?;
    match latest.outcome {
        RevisionOutcome::Ready => Some(rollback(latest.number, RollbackState::Done)),
        RevisionOutcome::Rejected => latest.rollback.clone(),
        // What was being rolled out instead is given up.
        RevisionOutcome::Pending | RevisionOutcome::Superseded => {
            let ready = newest_ready(revisions, latest.number);
            let to = ready.unwrap_or(taken.to);
            Some(rollback(to, RollbackState::Underway))
        }
    }
}

/// Goes on with the way back of a rejected revision, or keeps everything where it led.
pub fn follow(draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
    // It is recorded in this very pass; the next one looks at what it goes back to.
    if revision.version == 0 {
        return told(draft, revision, rollback);
    }
    let Some(way) = Way::of(draft, revision, rollback) else {
        let number = rollback.to;
        let why = format!("revision {number}, which it goes back to, is not recorded any more");
        return told(draft, revision, &failed(rollback, draft, why));
    };
    match rollback.state {
        RollbackState::Underway => way.take(draft, revision, rollback),
        RollbackState::Done => way.keep(draft, revision, rollback),
        RollbackState::Failed => way.leave(draft, revision, rollback),
    }
}

fn failed(rollback: &Rollback, draft: &Draft<'_>, why: String) -> Rollback {
    Rollback {
        state: RollbackState::Failed,
        message: Some(why),
        finished_at: Some(draft.input.now),
        ..rollback.clone()
    }
}

/// Everything that it takes to go back.
struct Way<'a> {
    /// The services and schedules that go back, as what is wanted.
    desired: Desired,
    /// The revision gone back to, with what it did not know yet.
    to: Revision,
    parts: BTreeMap<&'a str, &'a PartTarget>,
}

impl<'a> Way<'a> {
    fn of(draft: &Draft<'a>, rejected: &Revision, rollback: &Rollback) -> Option<Self> {
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
        for service in &mut desired.services {
            service.bake = SignedDuration::ZERO;
            service.alarms.clear();
        }
        desired.schedules = draft.input.desired.at_revision(&to).schedules;
        let held = &draft.input.observed.ledger.claims;
        desired.schedules.retain(|schedule| {
            let arn = claims::rule_arn(draft.input.observed, draft.input.desired, &schedule.rule);
            arn.is_some_and(|arn| held.contains_key(&arn))
        });
        desired.migrations.clear();
        desired.spec.schedules = to
            .spec
            .iter()
            .flat_map(|spec| spec.schedules.clone())
            .collect();
        Some(Self { desired, to, parts })
    }

    /// A plan of its own, of which the Release's is made.
    fn draft<'b>(&'b self, draft: &Draft<'b>) -> Draft<'b> {
        let mut own = Draft::new(Input {
            desired: &self.desired,
            ..draft.input
        });
        // It goes nowhere that the Environment does not allow by now.
        safety::check(&mut own);
        for part in self.desired.parts() {
            if let Some(target) = self.parts.get(part.resource().as_str()) {
                safety::may_use_family(&mut own, &part, &target.family);
                safety::may_use_roles(&mut own, &part, &target.roles);
            }
        }
        own
    }

    /// Brings everything back.
    fn take(&self, draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
        let mut own = self.draft(draft);
        let ended = match own.stalled.is_empty() {
            true => self.roll(&mut own, rollback),
            false => None,
        };
        let taken = ended.clone().unwrap_or_else(|| rollback.clone());
        self.over(draft, own);
        if let Some(ended) = ended {
            let reason = match ended.state {
                RollbackState::Failed => format!("the way back to revision {} failed", ended.to),
                _ => format!(
                    "every service and schedule is back on revision {}",
                    ended.to
                ),
            };
            let updated = Revision {
                rollback: Some(ended),
                ..revision.clone()
            };
            let resource = format!("revision/{}", revision.number);
            draft.act(resource, reason, Step::UpdateRevision(Box::new(updated)));
        }
        told(draft, revision, &taken);
    }

    /// How the way back ends, if it does in this pass.
    fn roll(&self, own: &mut Draft<'_>, rollback: &Rollback) -> Option<Rollback> {
        let rolled = match services::roll(own, &self.to, Gate::Back) {
            Ok(rolled) => rolled,
            Err(failure) => return Some(failed(rollback, own, failure.why.message)),
        };
        let open = rolled && own.stalled.is_empty();
        let written = match self.to.spec {
            Some(_) => schedules::write(own, &self.to, open),
            None => open && schedules::point_back(own, &self.to),
        };
        let ended = rolled && written && !own.is_held();
        ended.then(|| Rollback {
            state: RollbackState::Done,
            finished_at: Some(own.input.now),
            ..rollback.clone()
        })
    }

    /// Keeps what was brought back where it is, as of any release that was delivered.
    fn keep(mut self, draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
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
        self.over(draft, own);
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
        let wanted = target.definition_arn(super::base::registration(draft, target));
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

    /// What it came to is followed to its end; nothing is moved any more.
    fn leave(&self, draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
        told(draft, revision, rollback);
        let mut own = self.draft(draft);
        own.stalled.clear();
        let _failed_before = services::roll(&mut own, &self.to, Gate::Held);
        self.over(draft, own);
    }

    /// What was decided becomes part of the Release's plan. Parts that do not go back keep what was
    /// said of them.
    fn over(&self, draft: &mut Draft<'_>, own: Draft<'_>) {
        let previous = draft.input.previous;
        for service in &draft.input.desired.services {
            let named = |part: &&ServiceStatus| part.name == service.name;
            let now = own.status.services.iter().find(named);
            let found = now.or(previous.services.iter().find(named));
            draft.status.services.extend(found.cloned());
        }
        for schedule in &draft.input.desired.schedules {
            let mut now = own.status.schedules.iter();
            let now = now.find(|part| part.name == schedule.name);
            let mut before = previous.schedules.iter();
            let found = now.or(before.find(|part| part.name == schedule.name));
            draft.status.schedules.extend(found.cloned());
        }
        draft.absorb(own);
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

/// Tells where the way back of a rejected revision stands.
pub fn told(draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
    let how = how(revision);
    let to = match rollback.to {
        0 => "what ran before evenkeel's first write (revision 0)".to_owned(),
        number => format!("revision {number}"),
    };
    let what = everything(draft, revision);
    let next = next(draft);
    let (state, message) = match rollback.state {
        RollbackState::Underway => {
            let message = format!("{how}; {what} goes back to {to}");
            draft.progress("release", "RollingBack", message.clone());
            // Whatever else goes on, this is what is told.
            draft.progressing.rotate_right(1);
            (PartState::Progressing, message)
        }
        RollbackState::Done => {
            let message = format!("{how}; {what} is back on {to}; {next}");
            draft.stall("release", "RolledBack", message.clone());
            (PartState::Done, message)
        }
        RollbackState::Failed => {
            let why = rollback.message.as_deref().unwrap_or("ECS gave no reason");
            let why = why.trim_end_matches('.');
            let message = format!("{how}; going back to {to} failed, too: {why}; {next}");
            draft.stall("release", "RollbackFailed", message.clone());
            (PartState::Failed, message)
        }
    };
    draft.status.rollback = Some(status(revision, Some(rollback.to), state, message));
}

/// What goes back, where some services never ran well before.
fn everything(draft: &Draft<'_>, rejected: &Revision) -> String {
    let parts = parts(&draft.input.observed.ledger.revisions, rejected);
    let services = draft.input.desired.services.iter();
    let left: Vec<String> = services
        .map(|service| format!("service/{}", service.name))
        .filter(|resource| !parts.contains_key(resource.as_str()))
        .collect();
    match left.is_empty() {
        true => "everything".to_owned(),
        false => format!("everything but {}", left.join(", ")),
    }
}

/// Tells of a revision that was rejected and leads nowhere.
pub fn stays(draft: &mut Draft<'_>, revision: &Revision) {
    let why = revision.reason.clone().unwrap_or_else(|| Explanation {
        reason: "RolloutFailed".to_owned(),
        message: format!("revision {} was rejected", revision.number),
    });
    let message = format!("{}; {}", how(revision), nowhere(draft, revision));
    draft.status.rollback = Some(status(revision, None, PartState::Pending, message));
    let message = format!("{}; {}", why.message.trim_end_matches('.'), next(draft));
    draft.stall("release", &why.reason, message);
}

/// Why a revision that was rejected leads nowhere.
fn nowhere(draft: &Draft<'_>, revision: &Revision) -> String {
    let revisions = &draft.input.observed.ledger.revisions;
    let ailing = ailing(draft);
    if ailing.is_empty() || newest_ready(revisions, revision.number).is_some() {
        return "everything stays as it is".to_owned();
    }
    format!(
        "there is nothing to go back to: no revision was Ready before, and {} did not run well \
         before evenkeel's first write (revision 0); everything stays as it is",
        ailing.join(", ")
    )
}

fn status(
    revision: &Revision,
    to: Option<u64>,
    state: PartState,
    message: String,
) -> RollbackStatus {
    RollbackStatus {
        from: revision.number,
        generation: revision.generation,
        to,
        cause: revision.cause.unwrap_or(Cause::Failed),
        state,
        message,
    }
}

/// What a person may do about a rollout that failed.
pub fn next(draft: &Draft<'_>) -> String {
    let key = &draft.input.desired.key;
    format!("it is not tried again: release a fix, or `evenkeel retry {key}`")
}

/// Which revision failed, and how.
fn how(revision: &Revision) -> String {
    let verb = match revision.cause.unwrap_or(Cause::Failed) {
        Cause::CircuitBreaker => "was given up by ECS's circuit breaker",
        Cause::Timeout => "did not become steady in time",
        Cause::Stopped => "was stopped",
        Cause::Alarm => "set off an alarm",
        Cause::Failed => "failed",
    };
    let (generation, number) = (revision.generation, revision.number);
    let which = format!("generation {generation} (revision {number}) {verb}");
    match &revision.reason {
        Some(why) => format!("{which}: {}", why.message.trim_end_matches('.')),
        None => which,
    }
}
