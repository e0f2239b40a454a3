//! What was begun before the newest revision: for as long as that one may not move anything yet, be
//! it held, incomplete or at its migrations, a rollout is followed to its end, and a way back is gone.
//! As soon as the newest may move services, it takes over.

use super::draft::{Draft, Input};
use super::going_back;
use super::safety;
use super::schedules;
use super::services::{self, Gate};
use crate::model::desired::Desired;
use crate::model::ledger::{
    Ledger, MigrationRun, Revision, RevisionOutcome, RollbackState, Rollout,
};
use crate::model::plan::Step;
use crate::resource::status::{ScheduleStatus, ServiceStatus};

/// What goes on in place of this revision, which is the newest or about to be; in place of one that is
/// not known yet, where there is none.
pub fn unfinished<'a>(ledger: &'a Ledger, newest: Option<&Revision>) -> Option<&'a Revision> {
    let Some(newest) = newest else {
        return begun_before(ledger, u64::MAX);
    };
    let waits = newest.outcome == RevisionOutcome::Pending && !has_moved(ledger, newest);
    begun_before(ledger, newest.number).filter(|_| waits)
}

/// All that goes on in place of this revision, newest first: what is begun may wait for its own
/// migrations beside what was begun before it.
pub fn all_unfinished<'a>(ledger: &'a Ledger, newest: Option<&Revision>) -> Vec<&'a Revision> {
    let first = unfinished(ledger, newest);
    std::iter::successors(first, |found| unfinished(ledger, Some(*found))).collect()
}

/// The revision before this number that was begun and has not come to its end, if another one did not
/// take its place.
fn begun_before(ledger: &Ledger, number: u64) -> Option<&Revision> {
    let mut before = ledger.revisions.range(1..number.max(1)).rev();
    let (_, found) = before.find(|(_, it)| match it.outcome {
        RevisionOutcome::Ready | RevisionOutcome::Rejected => true,
        RevisionOutcome::Pending => has_begun(ledger, it),
        RevisionOutcome::Superseded => has_moved(ledger, it),
    })?;
    let back = found.rollback.as_ref();
    let goes_on = match found.outcome {
        RevisionOutcome::Pending => true,
        RevisionOutcome::Rejected => back.is_some_and(|it| it.state != RollbackState::Done),
        RevisionOutcome::Ready | RevisionOutcome::Superseded => false,
    };
    Some(found).filter(|_| goes_on)
}

/// Whether anything of a revision was begun, also where nothing could have held it back then.
pub fn has_begun(ledger: &Ledger, revision: &Revision) -> bool {
    // The ledger of migrations outlives the Release: another one had revisions of this number.
    let (number, since) = (revision.number, revision.created_at);
    let mut runs = ledger.migrations.iter();
    revision.begun_at.is_some()
        || !revision.hooks.is_empty()
        || runs.any(|run| run.revision == number && run.intended_at >= since)
        || has_moved(ledger, revision)
}

/// Whether a service was moved to a revision, and not to another one since.
fn has_moved(ledger: &Ledger, revision: &Revision) -> bool {
    let (number, since) = (revision.number, revision.created_at);
    let is_of = |it: &Rollout| it.revision == number && it.requested_at >= since;
    let mut rollouts = ledger.rollouts.values();
    rollouts.any(|it| !it.correction && is_of(it))
}

/// Whether alarms keep the newest revision from taking over, which is told: what sets them off may be
/// the very one that goes back.
pub fn keep_back(draft: &mut Draft<'_>, newest: &Revision) -> bool {
    let moves = |it: &Revision| {
        let back = it.rollback.as_ref();
        back.is_none_or(|back| back.state == RollbackState::Underway)
    };
    let ledger = &draft.input.observed.ledger;
    unfinished(ledger, Some(newest)).is_some_and(moves) && services::wait_for_alarms(draft)
}

/// Goes on with what was begun before `newest`; false where there is nothing. What is told of the
/// newest comes first.
pub fn go_on(draft: &mut Draft<'_>, newest: Option<&Revision>, runs: &[MigrationRun]) -> bool {
    let Some(begun) = unfinished(&draft.input.observed.ledger, newest) else {
        return false;
    };
    match &begun.rollback {
        Some(rollback) => going_back::follow(draft, begun, rollback, going_back::told_beside),
        None => forward(draft, begun, runs),
    }
    true
}

/// A rollout goes on as its own revision declares it.
fn forward(draft: &mut Draft<'_>, begun: &Revision, runs: &[MigrationRun]) {
    let desired = as_declared(draft, begun);
    let mut own = Draft::new(Input {
        desired: &desired,
        ..draft.input
    });
    safety::check(&mut own);
    safety::check_targets(&mut own, |part| begun.parts.get(part));
    services::check(&mut own);
    schedules::check(&mut own);
    if !own.stalled.is_empty() {
        if let Err(failure) = services::roll(&mut own, begun, Gate::Held) {
            super::reject(&mut own, begun, &failure);
        }
    } else if super::bring(&mut own, begun, runs) == Some(true) && !own.is_held() {
        super::settle(&mut own, begun);
        draft.status.ready_revision = Some(begun.number);
    }
    // Somebody released something else since, which is what has to be solved.
    own.stalled.clear();
    draft.status.rollback = own.status.rollback.take();
    if draft.status.migrations.is_empty() {
        let declared = |name: &str| {
            let mut migrations = draft.input.desired.migrations.iter();
            migrations.any(|it| it.name == name)
        };
        let told = std::mem::take(&mut own.status.migrations).into_iter();
        draft.status.migrations = told.filter(|it| declared(&it.name)).collect();
    }
    over(draft, own);
}

/// What a revision declared, without services that are not declared or not this Release's any more.
fn as_declared(draft: &Draft<'_>, begun: &Revision) -> Desired {
    let now = draft.input.desired;
    let claims = &draft.input.observed.ledger.claims;
    let mut desired = now.at_revision(begun);
    let is_left = |name: &str| {
        let resource = format!("service/{name}");
        let held = claims.values().any(|claim| claim.part == resource);
        held && now.services.iter().any(|it| it.name == name)
    };
    desired.services.retain(|service| is_left(&service.name));
    for service in &mut desired.services {
        service.depends_on.retain(|name| is_left(name));
    }
    desired
}

/// What was decided in a plan of its own becomes part of the Release's. Parts that it does not know
/// keep what was said of them.
pub fn over(draft: &mut Draft<'_>, own: Draft<'_>) {
    let previous = draft.input.previous;
    for service in &draft.input.desired.services {
        let named = |part: &&ServiceStatus| part.name == service.name;
        let now = own.status.services.iter().find(named);
        let found = now.or(previous.services.iter().find(named));
        draft.status.services.extend(found.cloned());
    }
    for schedule in &draft.input.desired.schedules {
        let named = |part: &&ScheduleStatus| part.name == schedule.name;
        let now = own.status.schedules.iter().find(named);
        let found = now.or(previous.schedules.iter().find(named));
        draft.status.schedules.extend(found.cloned());
    }
    draft.absorb(own);
}

/// The newest takes the place of whatever was begun before it. True where that is written down now.
pub fn take_over(draft: &mut Draft<'_>, newest: &Revision) -> bool {
    let revisions = &draft.input.observed.ledger.revisions;
    let before = revisions.range(1..newest.number.max(1));
    let open: Vec<&Revision> = before
        .map(|(_, found)| found)
        .filter(|found| found.outcome == RevisionOutcome::Pending && !is_planned(draft, found))
        .collect();
    for revision in &open {
        supersede(draft, revision, newest.number);
    }
    !open.is_empty()
}

fn is_planned(draft: &Draft<'_>, revision: &Revision) -> bool {
    let mut actions = draft.actions.iter();
    actions.any(|it| matches!(&it.step, Step::UpdateRevision(one) if one.number == revision.number))
}

/// Writes down that another revision came before this one was Ready.
pub fn supersede(draft: &mut Draft<'_>, revision: &Revision, by: u64) {
    let superseded = Revision {
        outcome: RevisionOutcome::Superseded,
        finished_at: Some(draft.input.now),
        ..revision.clone()
    };
    let reason = format!("revision {by} came before it was Ready");
    let resource = format!("revision/{}", revision.number);
    draft.act(resource, reason, Step::UpdateRevision(Box::new(superseded)));
}
