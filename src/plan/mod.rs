//! The planner: what people want and what is there, in; every step of the next pass, out.
//!
//! Pure: no I/O, no clock, no AWS types. The executor is left no choice, and a plan also says why
//! something is not done.

mod bake;
mod base;
mod claims;
mod cleanup;
mod conditions;
mod deletion;
pub mod diff;
mod draft;
mod drift;
mod evidence;
mod going_back;
mod holds;
mod hooks;
mod images;
mod jobs;
mod migrations;
pub mod normalize;
pub mod notices;
mod overtaken;
mod pins;
mod requests;
mod revision;
mod rollout;
mod runs;
mod safety;
mod schedules;
mod services;
mod target;
pub mod taskdef;
mod windows;

pub use bake::is_baking;
pub use base::{completed, is_answer, newest_successful};
pub use claims::schedule_arns;
pub use conditions::{over_budget, stall};
pub use draft::Input;
pub use drift::not_done;
pub use evidence::summary;
pub use going_back::{parts as parts_back, parts_unfinished};
pub use hooks::{open_calls, open_invalidations};
pub use images::moved as moved_images;
pub use overtaken::all_unfinished;
pub use pins::refusal as rollback_refusal;
pub use revision::is_unrecorded;
pub use revision::newest as newest_revision;
pub use rollout::{Question, goes_on, has_failed};

use draft::Draft;
use holds::Begins;
use hooks::Hooked;

use crate::model::hook::End;
use crate::model::known::Known;
use crate::model::ledger::{Explanation, MigrationRun, Revision, RevisionOutcome, RollbackState};
use crate::model::plan::{Plan, Step};
use crate::resource::status::{PartState, ServiceStatus};

/// Decides one pass over one Release.
pub fn plan(input: Input<'_>) -> Plan {
    let mut draft = Draft::new(input);
    decide(&mut draft);
    hooks::track(&mut draft);
    hooks::tell(&mut draft);
    jobs::answer(&mut draft);
    evidence::keep(&mut draft);
    drift::write(&mut draft);
    draft.finish()
}

fn decide(draft: &mut Draft<'_>) {
    let desired = draft.input.desired;

    // A Release that is being deleted moves nothing any more.
    if let Some(deletion) = desired.deleting {
        return deletion::carry_out(draft, deletion);
    }

    // Elsewhere than was meant nothing is so much as missed: no task, no rule.
    if !safety::right_place(draft) {
        return carry_over(draft);
    }

    // What people asked for changes what is planned: the next pass sees it.
    requests::carry_out(draft);
    if !draft.actions.is_empty() {
        return carry_over(draft);
    }

    // What became of tasks that run is written down whatever else stands in the way.
    let runs = runs::track(draft);
    if desired.suspend {
        draft.wait("release", holds::suspension(desired));
        holds::wake_after_suspension(draft);
        return carry_over(draft);
    }

    if pins::carry_on(draft) {
        return carry_over(draft);
    }

    // 1. May it be done at all?
    safety::check(draft);
    if !draft.stalled.is_empty() {
        return match revision::current(draft) {
            Some(revision) => held(draft, &revision.clone(), &runs),
            None => waits(draft, None, &runs),
        };
    }

    // 2. What exactly: images resolved, bases frozen, recorded before anything else.
    let begun = draft.actions.len();
    let Some(revision) = revision::settle(draft) else {
        return waits(draft, None, &runs);
    };
    // What a revision still has to bring is no drift.
    draft.compared = revision.outcome != RevisionOutcome::Ready;
    if revision.outcome == RevisionOutcome::Rejected {
        begin_nothing(draft, begun, &revision);
        return rejected(draft, &revision, &runs);
    }
    claims::settle(draft, &revision);
    if revision.outcome == RevisionOutcome::Pending {
        // Nothing is begun that certainly could not be finished.
        services::check(draft);
        schedules::check(draft);
        holds::check(draft, &revision);
    }
    if !draft.stalled.is_empty() {
        begin_nothing(draft, begun, &revision);
        return held(draft, &revision, &runs);
    }

    // What is new may have to wait for people, for its time and for others.
    match holds::may_begin(draft, &revision) {
        Begins::Now => {}
        Begins::Next => return carry_over_parts(draft),
        Begins::Later => return waits(draft, Some(&revision), &runs),
    }

    let whole = bring(draft, &revision, &runs);
    if hooks::has_failed(draft, &revision) {
        hooks::after(draft, &revision, &runs, End::Failure);
    }
    let Some(whole) = whole else {
        return;
    };

    // 7. Ready.
    images::drift(draft, &revision);
    if whole && !draft.is_held() {
        settle(draft, &revision);
    }
}

/// The newest revision moves nothing in this pass: what was begun before it goes on.
fn waits(draft: &mut Draft<'_>, newest: Option<&Revision>, runs: &[MigrationRun]) {
    if !overtaken::go_on(draft, newest, runs)
        && let Some(newest) = newest
    {
        holds::compare(draft, newest);
    }
    carry_over_parts(draft);
}

/// Brings what a revision declares, or puts right what it brought before; true once all is so. `None`:
/// it comes to nothing of it in this pass.
fn bring(draft: &mut Draft<'_>, revision: &Revision, runs: &[MigrationRun]) -> Option<bool> {
    let takes_over = overtaken::take_over(draft, revision);

    // What was delivered before is put right whatever fails beside it, and no hook is run for that.
    let delivered = revision.outcome == RevisionOutcome::Ready;

    // 3. Hooks, then migrations, each to exit code 0, before any service moves, and after what an
    // earlier revision runs.
    let others = migrations::still_open(draft, revision, runs);
    let hooked = delivered || {
        let before = hooks::before(draft, revision, runs, others);
        are_through(draft, revision, before)?
    };
    let migrated = migrations::run(draft, revision, runs, hooked, others);
    let waits = !takes_over && (!migrated || overtaken::keep_back(draft, revision));
    if waits && overtaken::go_on(draft, Some(revision), runs) {
        carry_over_parts(draft);
        return None;
    }
    let gate = if migrated {
        services::Gate::Open
    } else {
        services::Gate::Migrations
    };

    // 4. Services, wave by wave.
    draft.compared = true;
    let rolled = match services::roll(draft, revision, gate) {
        Ok(rolled) => rolled,
        Err(failure) if delivered => {
            stall_rejected(draft, &failure.why);
            false
        }
        Err(failure) => {
            reject(draft, revision, &failure);
            return None;
        }
    };
    revision::at_first_move(draft);

    // 5. Schedules.
    let open = migrated && (delivered || rolled && draft.stalled.is_empty());
    let scheduled = schedules::write(draft, revision, open);
    if delivered {
        let pruned = open && scheduled && schedules::prune(draft, revision);
        return Some(rolled && migrated && scheduled && pruned);
    }
    if !(rolled && migrated && scheduled) || draft.is_held() {
        return Some(false);
    }
    end_well(draft, revision, runs)
}

/// Hooks after everything else, then schedules that are no longer declared: what a hook may take
/// everything back to is only off until then. True once all is so; `None` as in [`bring`].
fn end_well(draft: &mut Draft<'_>, revision: &Revision, runs: &[MigrationRun]) -> Option<bool> {
    // 6. What is taken away later goes off, so that nothing fires beside what took its place.
    let hooked = draft.input.desired.hooks.iter().any(|hook| hook.after);
    if hooked && !schedules::retire(draft) {
        return Some(false);
    }
    let after = hooks::after(draft, revision, runs, End::Success);
    let through = are_through(draft, revision, after)?;
    Some(through && schedules::prune(draft, revision))
}

/// Whether the hooks before everything else, or those after it, have been. `None`: one of them
/// failed that takes everything back.
fn are_through(draft: &mut Draft<'_>, revision: &Revision, hooked: Hooked) -> Option<bool> {
    match hooked {
        Hooked::Done => Some(true),
        Hooked::Open => Some(false),
        Hooked::Rejected(failure) => {
            reject(draft, revision, &failure);
            None
        }
    }
}

/// Where something stands in the way, no revision is recorded and nothing is claimed.
fn begin_nothing(draft: &mut Draft<'_>, begun: usize, revision: &Revision) {
    if draft.stalled.is_empty() {
        return;
    }
    let decided = draft.actions.split_off(begun);
    let kept = decided.into_iter().filter(|action| {
        let begins = matches!(
            action.step,
            Step::RecordRevision { .. } | Step::UpdateRevision(_) | Step::Claim(_)
        );
        !begins
    });
    draft.actions.extend(kept);
    if revision.version == 0 {
        draft.status.revision = draft.input.previous.revision;
    }
}

/// Everything is so: the revision is Ready, and what it replaced is cleaned up.
fn settle(draft: &mut Draft<'_>, revision: &Revision) {
    if revision.outcome == RevisionOutcome::Ready {
        draft.status.ready_revision = Some(revision.number);
        cleanup::sweep(draft, revision);
        return;
    }
    if revision.version == 0 {
        // It is recorded in this very pass; the next one finds everything so.
        return;
    }
    let ready = Revision {
        outcome: RevisionOutcome::Ready,
        reason: None,
        finished_at: Some(draft.input.now),
        ..revision.clone()
    };
    let resource = format!("revision/{}", revision.number);
    draft.act(
        resource,
        "everything declared is so",
        Step::UpdateRevision(Box::new(ready)),
    );
}

/// A rollout failed: the revision is not tried again by itself.
fn reject(draft: &mut Draft<'_>, revision: &Revision, failure: &services::Failure) {
    if revision.outcome == RevisionOutcome::Pending && revision.version > 0 {
        let rejected = going_back::rejected(draft, revision, failure);
        let resource = format!("revision/{}", revision.number);
        draft.act(
            resource,
            failure.why.message.clone(),
            Step::UpdateRevision(Box::new(rejected.clone())),
        );
        match &rejected.rollback {
            Some(rollback) => going_back::told(draft, &rejected, rollback),
            None => going_back::stays(draft, &rejected),
        }
    } else {
        stall_rejected(draft, &failure.why);
    }
    draft
        .status
        .schedules
        .clone_from(&draft.input.previous.schedules);
}

/// The revision was rejected before: what it led back to is brought, or else it is told, and left.
fn rejected(draft: &mut Draft<'_>, revision: &Revision, runs: &[MigrationRun]) {
    draft.status.revision = Some(revision.number);
    let goes_back = revision.rollback.as_ref();
    match goes_back {
        Some(rollback) => going_back::follow(draft, revision, rollback, going_back::told),
        None => {
            going_back::stays(draft, revision);
            // The other services of the revision may still be under way: where they end is told.
            let _still_rejected = services::roll(draft, revision, services::Gate::Rejected);
        }
    }
    if goes_back.is_none_or(|it| it.state != RollbackState::Underway) {
        hooks::after(draft, revision, runs, End::Failure);
    }
    carry_over_parts(draft);
}

/// Only a person can go on from here. What is under way is followed to its end meanwhile, and what
/// was begun before goes on.
fn held(draft: &mut Draft<'_>, revision: &Revision, runs: &[MigrationRun]) {
    if let Some(rollback) = &revision.rollback {
        match rollback.state {
            RollbackState::Done => going_back::told(draft, revision, rollback),
            RollbackState::Underway | RollbackState::Failed => {
                going_back::follow(draft, revision, rollback, going_back::told);
            }
        }
        return carry_over_parts(draft);
    }
    if overtaken::go_on(draft, Some(revision), runs) {
        return carry_over_parts(draft);
    }
    if let Err(failure) = services::roll(draft, revision, services::Gate::Held) {
        return reject(draft, revision, &failure);
    }
    carry_over_parts(draft);
}

fn stall_rejected(draft: &mut Draft<'_>, why: &Explanation) {
    let cause = why.message.trim_end_matches('.');
    let message = format!("{cause}; {}", going_back::next(draft));
    draft.stall("release", &why.reason, message);
}

/// Parts that this pass did not come to keep what was said of them.
fn carry_over_parts(draft: &mut Draft<'_>) {
    let previous = draft.input.previous;
    let names: Vec<String> = draft
        .input
        .desired
        .parts()
        .map(|part| part.resource())
        .collect();
    let declared = |kind: &str, name: &str| names.contains(&format!("{kind}/{name}"));
    if draft.status.migrations.is_empty() {
        let found = previous
            .migrations
            .iter()
            .filter(|part| declared("migration", &part.name));
        draft.status.migrations = found.cloned().collect();
    }
    if draft.status.services.is_empty() {
        let found = previous
            .services
            .iter()
            .filter(|part| declared("service", &part.name));
        let observed = &draft.input.observed.services;
        let known = |part: &ServiceStatus| match observed.get(&part.name) {
            Some(Known::Unknown(_)) => ServiceStatus {
                state: PartState::Unknown,
                ..part.clone()
            },
            _ => part.clone(),
        };
        draft.status.services = found.map(known).collect();
    }
    if draft.status.schedules.is_empty() {
        let found = previous
            .schedules
            .iter()
            .filter(|part| declared("schedule", &part.name));
        draft.status.schedules = found.cloned().collect();
    }
    if draft.status.revision.is_none() {
        draft.status.revision = previous.revision;
    }
    if draft.status.approval.is_none() && draft.input.desired.approval {
        let told = previous.approval.clone();
        draft.status.approval = told.filter(|it| Some(it.revision) == draft.status.revision);
    }
}

/// As [`carry_over_parts`], for a pass that looked at no part at all.
fn carry_over(draft: &mut Draft<'_>) {
    draft.status.images.clone_from(&draft.input.previous.images);
    carry_over_parts(draft);
}
