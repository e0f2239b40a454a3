//! What holds a new revision back: an approval, a window that is closed, other releases.
//!
//! Only a revision of which nothing has begun is held; what was begun is brought to its end. Nor is
//! one held that a person asked to go back to and that was Ready once, or that brings nothing that is
//! not there already.
//! What was Ready before is compared meanwhile and not put right: the next revision decides what is
//! right.

use super::base::{self, Registered};
use super::draft::Draft;
use super::drift;
use super::overtaken;
use super::rollout::short;
use super::windows;
use crate::model::desired::{Desired, Requirement};
use crate::model::known::Known;
use crate::model::ledger::{Approved, Request, Revision, RevisionOutcome, RollbackState};
use crate::model::observed::Required;
use crate::model::plan::Step;
use crate::resource::circle;
use crate::resource::meta::ReleaseKey;
use crate::resource::status::{ApprovalStatus, DifferenceAction};

/// Until when a release is suspended.
pub fn suspension(desired: &Desired) -> String {
    let resumed = format!("`evenkeel resume {}`", desired.key);
    match desired.suspend_until {
        Some(until) => format!("suspended: nothing is changed until {until}, or {resumed}"),
        None => format!("suspended: nothing is changed until {resumed}"),
    }
}

/// Looks again when a suspension ends.
pub fn wake_after_suspension(draft: &mut Draft<'_>) {
    if let Some(until) = draft.input.desired.suspend_until {
        draft.wake_after(until.duration_since(draft.input.now));
    }
}

/// Tells of Releases that wait for each other, before anything else is begun: only a person can
/// undo that. A change of any of them wakes this one, as it does where one waits for another: there
/// is no moment to look again.
pub fn check(draft: &mut Draft<'_>, revision: &Revision) {
    if !may_be_held(draft, revision) {
        return;
    }
    let Some(circle) = circle_of(draft) else {
        return;
    };
    let message = format!(
        "these releases wait for each other: {}; take one of these requirements out",
        circle::told(&circle)
    );
    draft.stall("release", "RequirementCycle", message);
}

/// When a revision begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It may, or has begun.
    Now,
    /// That it begins is written down first; the next pass goes on.
    Next,
    /// Something holds it back, which is told in the draft.
    Later,
}

/// Whether a revision may begin, or has begun.
pub fn may_begin(draft: &mut Draft<'_>, revision: &Revision) -> Begins {
    told_approval(draft, revision);
    if !may_be_held(draft, revision) {
        return Begins::Now;
    }
    approval(draft, revision);
    window(draft, revision);
    let known = requirements(draft, revision);
    if known && draft.holds.is_empty() && revision.version > 0 {
        overtaken::take_over(draft, revision);
        let begun = Revision {
            begun_at: Some(draft.input.now),
            ..revision.clone()
        };
        draft.act(
            resource(revision),
            "it begins",
            Step::UpdateRevision(Box::new(begun)),
        );
        return Begins::Next;
    }
    Begins::Later
}

/// Whether anything could hold this revision back.
fn may_be_held(draft: &Draft<'_>, revision: &Revision) -> bool {
    let desired = draft.input.desired;
    let holds = desired.approval || !desired.windows.is_empty() || !desired.requires.is_empty();
    holds
        && revision.outcome == RevisionOutcome::Pending
        && !was_ready(draft, revision)
        && !has_begun(draft, revision)
        && !brings_nothing(draft, revision)
}

/// Whether a person asked to go back to what was Ready once, or ran before evenkeel. What never was
/// is as new as any other.
fn was_ready(draft: &Draft<'_>, revision: &Revision) -> bool {
    let mut revisions = draft.input.observed.ledger.revisions.values();
    let ready =
        |it: &Revision| it.outcome == RevisionOutcome::Ready && it.content == revision.content;
    revision
        .pinned
        .is_some_and(|to| to == 0 || revisions.any(ready))
}

/// Whether anything of a revision was begun.
fn has_begun(draft: &Draft<'_>, revision: &Revision) -> bool {
    overtaken::has_begun(&draft.input.observed.ledger, revision)
}

/// Whether a revision is, by its content, what was Ready last: a spec that changed in nothing that
/// runs begins nothing.
pub fn brings_nothing(draft: &Draft<'_>, revision: &Revision) -> bool {
    stands(draft, revision).is_some_and(|found| found.content == revision.content)
}

/// The revision that was Ready before this one, if nothing was begun since; or what everything is
/// back on, where that failed.
fn stands<'a>(draft: &Draft<'a>, revision: &Revision) -> Option<&'a Revision> {
    let revisions = &draft.input.observed.ledger.revisions;
    let mut before = revisions.range(1..revision.number).rev();
    let (_, moved) = before.find(|(_, found)| {
        let ended = [RevisionOutcome::Ready, RevisionOutcome::Rejected].contains(&found.outcome);
        ended || has_begun(draft, found)
    })?;
    match moved.outcome {
        RevisionOutcome::Ready => Some(moved),
        RevisionOutcome::Rejected => {
            let back = moved.rollback.as_ref();
            let back = back.filter(|it| it.state == RollbackState::Done)?;
            revisions.get(&back.to)
        }
        RevisionOutcome::Pending | RevisionOutcome::Superseded => None,
    }
}

fn resource(revision: &Revision) -> String {
    format!("revision/{}", revision.number)
}

/// Who agreed to what this revision brings, under whatever number.
pub fn approved<'a>(draft: &Draft<'a>, revision: &Revision) -> Option<&'a Approved> {
    let revisions = draft.input.observed.ledger.revisions.values().rev();
    revisions
        .filter(|found| found.content == revision.content)
        .find_map(|found| found.approved.as_ref())
}

fn told_approval(draft: &mut Draft<'_>, revision: &Revision) {
    if !draft.input.desired.approval {
        return;
    }
    draft.status.approval = approved(draft, revision).map(|approved| ApprovalStatus {
        revision: revision.number,
        by: Some(approved.by.clone()),
        at: Some(approved.at),
    });
}

fn approval(draft: &mut Draft<'_>, revision: &Revision) {
    let desired = draft.input.desired;
    if !desired.approval || draft.status.approval.is_some() {
        return;
    }
    let (number, key) = (revision.number, &desired.key);
    draft.status.approval = Some(ApprovalStatus {
        revision: number,
        by: None,
        at: None,
    });
    let message = format!(
        "revision {number} waits for approval: `evenkeel approve {key} --revision {number}`"
    );
    draft.hold(&resource(revision), "ApprovalPending", message);
}

fn window(draft: &mut Draft<'_>, revision: &Revision) {
    let now = draft.input.now;
    let Some(closed) = windows::closed(&draft.input.desired.windows, now) else {
        return;
    };
    let message = format!("revision {} waits: {}", revision.number, closed.message);
    draft.hold(&resource(revision), "WindowClosed", message);
    if let Some(opens) = closed.opens {
        draft.wake_after(opens.duration_since(now));
    }
}

/// Tells of Releases that are not ready; false where nobody knows of one.
fn requirements(draft: &mut Draft<'_>, revision: &Revision) -> bool {
    let (desired, observed) = (draft.input.desired, draft.input.observed);
    let mut known = true;
    for requirement in &desired.requires {
        let key = &requirement.release;
        let found = observed.required.get(key);
        // One that is only being recorded is not begun in this pass anyway.
        if found.is_none() && revision.version == 0 {
            continue;
        }
        let Some(found) = draft.seen(&format!("release/{key}"), found) else {
            known = false;
            continue;
        };
        if let Some(message) = unmet(requirement, found) {
            let message = format!("revision {} waits: {message}", revision.number);
            draft.hold(&resource(revision), "RequirementNotMet", message);
        }
    }
    known
}

/// What is missing of a requirement.
fn unmet(requirement: &Requirement, found: Option<&Required>) -> Option<String> {
    let Requirement {
        release,
        generation,
    } = requirement;
    let Some(found) = found else {
        return Some(format!("release {release} does not exist"));
    };
    let wanted = generation.unwrap_or(found.generation);
    if found.ready.is_some_and(|ready| ready >= wanted) {
        return None;
    }
    Some(match generation {
        Some(generation) => {
            format!("release {release} is not Ready in generation {generation} or a later one")
        }
        None => format!("release {release} is not Ready"),
    })
}

/// The circle of Releases that this one is in.
fn circle_of(draft: &Draft<'_>) -> Option<Vec<ReleaseKey>> {
    let (desired, observed) = (draft.input.desired, draft.input.observed);
    circle::way_back(&desired.key, |key| {
        if *key == desired.key {
            let requires = desired.requires.iter();
            return requires.map(|it| it.release.clone()).collect();
        }
        let found = observed.required.get(key).and_then(Known::present);
        found.map_or_else(Vec::new, |found| found.requires.clone())
    })
}

/// A person agrees to a revision; or why not, where that is not what waits.
pub fn approve(draft: &mut Draft<'_>, number: u64, request: &Request) -> Result<(), String> {
    let by = &request.by;
    let refused = |why: String| Err(format!("revision {number} is not approved: {why}"));
    let Some(newest) = super::revision::newest(draft) else {
        return refused("there is no revision yet".to_owned());
    };
    if newest.number != number {
        return refused(format!("the newest is revision {}", newest.number));
    }
    if newest.outcome != RevisionOutcome::Pending {
        return refused("it waits for nothing".to_owned());
    }
    if newest.approved.is_none() {
        let approved = Revision {
            approved: Some(Approved {
                by: by.clone(),
                at: request.at,
            }),
            ..newest.clone()
        };
        let reason = format!("approved by {by}");
        let step = Step::UpdateRevision(Box::new(approved));
        draft.act(resource(newest), reason, step);
    }
    Ok(())
}

/// Compares services with what was Ready last, while a newer revision is held back.
pub fn compare(draft: &mut Draft<'_>, held: &Revision) {
    let input = draft.input;
    let Some(revision) = stands(draft, held) else {
        return;
    };
    draft.compared = true;
    for service in &input.desired.services {
        let name = format!("service/{}", service.name);
        let Some(target) = revision.parts.get(&name) else {
            continue;
        };
        let known = input.observed.services.get(&service.name);
        let Some(Some(found)) = draft.seen(&name, known) else {
            continue;
        };
        let Registered::Active(arn) = base::registered(draft, target) else {
            continue;
        };
        if found.task_definition != arn {
            let (desired, actual) = (short(&arn).to_owned(), short(&found.task_definition));
            let action = DifferenceAction::Pending;
            drift::differs(
                draft,
                &name,
                "taskDefinition",
                desired,
                actual.to_owned(),
                action,
            );
        }
    }
}
