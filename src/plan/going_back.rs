//! The way back: where a rejected revision leads, and how every service and schedule gets there.
//!
//! What is gone back to is the newest revision that was Ready before, and of services that this one
//! does not know yet what they ran before they were declared. It is brought as a release is, with
//! the waves in reverse, and without migrations and hooks.

mod way;

use std::collections::BTreeMap;

use super::draft::Draft;
use super::overtaken;
use super::schedules;
use super::services::Failure;
use crate::model::ledger::{
    Explanation, Ledger, PartTarget, Revision, RevisionOutcome, Rollback, RollbackState,
};
use crate::model::plan::Step;
use crate::resource::release::OnFailure;
use crate::resource::status::{Cause, PartState, RollbackStatus};
use way::Way;

/// The revision that a failure of this service in `revision` leads back to; without one, that of a
/// hook which says so. `None`: everything stays as it is, since that is declared so, or there is
/// nothing to go back to.
pub fn way(draft: &Draft<'_>, revision: &Revision, service: Option<&str>) -> Option<u64> {
    if let Some(service) = service {
        let services = &draft.input.desired.services;
        let policy = services.iter().find(|found| found.name == service)?;
        if policy.on_failure == OnFailure::Hold {
            return None;
        }
    }
    let revisions = &draft.input.observed.ledger.revisions;
    let ready = newest_kept(revisions, revision.number);
    if ready.is_some() {
        return ready;
    }
    let zero = revisions.get(&0).filter(|_| ailing(draft).is_empty());
    let zero = zero.map(|zero| zero.number);
    zero.or_else(|| newest_ready(revisions, revision.number))
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

/// The revisions before this one that were Ready, newest first.
fn ready(revisions: &BTreeMap<u64, Revision>, before: u64) -> impl Iterator<Item = &Revision> {
    let earlier = revisions.range(1..before.max(1)).rev();
    let earlier = earlier.map(|(_, found)| found);
    earlier.filter(|found| found.outcome == RevisionOutcome::Ready)
}

/// The newest revision before this one that was Ready.
fn newest_ready(revisions: &BTreeMap<u64, Revision>, before: u64) -> Option<u64> {
    ready(revisions, before).next().map(|found| found.number)
}

/// The same, without those that a person went back from.
fn newest_kept(revisions: &BTreeMap<u64, Revision>, before: u64) -> Option<u64> {
    let mut ready = ready(revisions, before);
    let kept = ready.find(|found| found.left.is_none() || found.lifted);
    kept.map(|found| found.number)
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
    let is_moved = |name: &str| {
        !["migration/", "hook/"]
            .iter()
            .any(|it| name.starts_with(it))
    };
    parts.retain(|name, _| is_moved(name));
    parts
}

/// What each part of a revision that is not the newest is brought to, for as long as it goes on.
pub fn parts_unfinished<'a>(
    revisions: &'a BTreeMap<u64, Revision>,
    unfinished: &'a Revision,
) -> BTreeMap<&'a str, &'a PartTarget> {
    if unfinished.outcome == RevisionOutcome::Rejected {
        return parts(revisions, unfinished);
    }
    let parts = unfinished.parts.iter();
    parts.map(|(name, part)| (name.as_str(), part)).collect()
}

/// A revision as it is recorded once a rollout of it has failed.
pub fn rejected(draft: &Draft<'_>, revision: &Revision, failure: &Failure) -> Revision {
    let to = way(draft, revision, failure.service.as_deref());
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
        failed: Vec::new(),
        finished_at: None,
    }
}

/// The way back of a new revision that says what was rejected before: where nothing moved since,
/// there is none to go.
pub fn inherited(ledger: &Ledger, before: &Revision, latest: &Revision) -> Option<Rollback> {
    // One that is under way goes on, whatever was declared of the one that comes instead.
    let unfinished = overtaken::unfinished(ledger, None);
    if let Some(rollback) = unfinished.and_then(|found| found.rollback.clone()) {
        return Some(rollback);
    }
    let taken = before.rollback.as_ref()?;
    let revisions = &ledger.revisions;
    match latest.outcome {
        RevisionOutcome::Ready => Some(rollback(latest.number, RollbackState::Done)),
        RevisionOutcome::Rejected => latest.rollback.clone(),
        // What was being rolled out instead is given up.
        RevisionOutcome::Pending | RevisionOutcome::Superseded => {
            let kept = newest_kept(revisions, latest.number);
            let ready = kept.or_else(|| newest_ready(revisions, latest.number));
            let to = ready.unwrap_or(taken.to);
            Some(rollback(to, RollbackState::Underway))
        }
    }
}

/// Tells where a way back stands.
pub type Teller = fn(&mut Draft<'_>, &Revision, &Rollback);

/// Goes on with the way back of a rejected revision, or keeps everything where it led.
pub fn follow(draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback, tell: Teller) {
    // It is recorded in this very pass; the next one looks at what it goes back to.
    if revision.version == 0 {
        return tell(draft, revision, rollback);
    }
    let Some(way) = Way::of(draft, revision, rollback) else {
        let number = rollback.to;
        let why = format!("revision {number}, which it goes back to, is not recorded any more");
        return tell(draft, revision, &failed(rollback, draft, why, Vec::new()));
    };
    match rollback.state {
        RollbackState::Underway => way.take(draft, revision, rollback, tell),
        RollbackState::Done => way.keep(draft, revision, rollback),
        RollbackState::Failed => way.leave(draft, revision, rollback, tell),
    }
}

fn failed(rollback: &Rollback, draft: &Draft<'_>, why: String, with: Vec<String>) -> Rollback {
    Rollback {
        state: RollbackState::Failed,
        message: Some(why),
        failed: with,
        finished_at: Some(draft.input.now),
        ..rollback.clone()
    }
}

/// Writes down where the way back of a revision stands.
fn note(draft: &mut Draft<'_>, revision: &Revision, rollback: Rollback, reason: String) {
    let updated = Revision {
        rollback: Some(rollback),
        ..revision.clone()
    };
    let resource = format!("revision/{}", revision.number);
    draft.act(resource, reason, Step::UpdateRevision(Box::new(updated)));
}

fn failed_with(rollback: &Rollback, draft: &Draft<'_>, with: Vec<Failure>) -> Rollback {
    let why: Vec<&str> = with
        .iter()
        .map(|failure| failure.why.message.trim_end_matches('.'))
        .collect();
    let why = why.join("; ");
    let names = with.into_iter().filter_map(|it| it.service).collect();
    failed(rollback, draft, why, names)
}

/// `service/app, service/worker`.
fn named(services: &[String]) -> String {
    let names: Vec<String> = services
        .iter()
        .map(|name| format!("service/{name}"))
        .collect();
    names.join(", ")
}

/// Tells where the way back of the newest revision stands.
pub fn told(draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
    let (state, message) = sentence(draft, revision, rollback);
    let next = next(draft);
    let message = match rollback.state {
        RollbackState::Underway => {
            // Where a person has to put something right first, nothing is waited for.
            if draft.stalled.is_empty() {
                draft.progress("release", "RollingBack", message.clone());
                // Whatever else goes on, this is what is told.
                draft.progressing.rotate_right(1);
            }
            message
        }
        RollbackState::Done => {
            let message = format!("{message}; {next}");
            draft.stall("release", "RolledBack", message.clone());
            message
        }
        RollbackState::Failed => {
            let (key, to) = (&draft.input.desired.key, rollback.to);
            let message = format!("{message}; {next}, or `evenkeel rollback {key} --to {to}`");
            draft.stall("release", "RollbackFailed", message.clone());
            message
        }
    };
    draft.status.rollback = Some(status(revision, Some(rollback.to), state, message));
}

/// Tells where the way back of an earlier revision stands, beside what keeps the newest from taking
/// over. Once it is gone there is nothing to tell.
pub fn told_beside(draft: &mut Draft<'_>, revision: &Revision, rollback: &Rollback) {
    let (state, message) = sentence(draft, revision, rollback);
    match rollback.state {
        RollbackState::Underway if draft.stalled.is_empty() => {
            draft.progress("release", "RollingBack", message.clone());
        }
        RollbackState::Underway | RollbackState::Failed => draft.wait("release", message.clone()),
        RollbackState::Done => return,
    }
    draft.status.rollback = Some(status(revision, Some(rollback.to), state, message));
}

/// How a way back stands, in a word and a sentence.
fn sentence(draft: &Draft<'_>, revision: &Revision, rollback: &Rollback) -> (PartState, String) {
    let how = how(revision);
    let to = match rollback.to {
        0 => "what ran before evenkeel's first write (revision 0)".to_owned(),
        number => format!("revision {number}"),
    };
    let what = everything(draft, revision);
    match rollback.state {
        RollbackState::Underway => (
            PartState::Progressing,
            format!("{how}; {what} goes back to {to}"),
        ),
        RollbackState::Done => (PartState::Done, format!("{how}; {what} is back on {to}")),
        RollbackState::Failed => {
            let why = rollback.message.as_deref().unwrap_or("ECS gave no reason");
            let why = why.trim_end_matches('.');
            let message = format!("{how}; going back to {to} failed, too: {why}");
            (PartState::Failed, message)
        }
    }
}

/// What goes back, where some services never ran well before, or rules that a revision made are left.
fn everything(draft: &Draft<'_>, rejected: &Revision) -> String {
    let parts = parts(&draft.input.observed.ledger.revisions, rejected);
    let services = draft.input.desired.services.iter();
    let mut left: Vec<String> = services
        .map(|service| format!("service/{}", service.name))
        .filter(|resource| !parts.contains_key(resource.as_str()))
        .collect();
    left.extend(rules_left(draft, rejected));
    match left.is_empty() {
        true => "everything".to_owned(),
        false => format!("everything but {}", left.join(", ")),
    }
}

/// Rules that what is gone back to did not have, and that are not taken away.
fn rules_left(draft: &Draft<'_>, rejected: &Revision) -> Vec<String> {
    let revisions = &draft.input.observed.ledger.revisions;
    let to = rejected.rollback.as_ref();
    let Some(to) = to.and_then(|rollback| revisions.get(&rollback.to)) else {
        return Vec::new();
    };
    let declared = draft.input.desired.at_revision(to);
    let known: Vec<String> = declared.rules().map(|it| it.rule.clone()).collect();
    let scheduled: Vec<String> = declared.scheduled().map(|it| it.name.clone()).collect();
    let all = schedules::made(draft, &known).into_iter();
    let present = all.filter_map(|(claim, rule)| Some((claim, rule.present()?)));
    let left =
        present.filter(|(claim, _)| to.spec.is_none() || !schedules::may_prune(draft, claim));
    let rules = left.map(|(_, rule)| format!("rule {}", rule.name));
    let scheduled = schedules::made_scheduled(draft, &scheduled).into_iter();
    let present = scheduled.filter_map(|(claim, found)| Some((claim, found.present()?)));
    let left =
        present.filter(|(claim, _)| to.spec.is_none() || !schedules::may_prune(draft, claim));
    let scheduled = left.map(|(_, found)| format!("schedule {}", found.name));
    rules.chain(scheduled).collect()
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
