//! Going back because a person asks for it: an earlier revision is recorded once more, and kept to
//! until something else is applied.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::images;
use crate::model::desired::Desired;
use crate::model::hash;
use crate::model::ledger::{Explanation, Ledger, Left, Revision, RevisionOutcome};
use crate::model::plan::Step;
use crate::resource::status::Rejection;

/// What is told of a revision that a person went back from.
const ROLLED_BACK: &str = "RolledBack";

/// Why nobody can go back to a revision, if so; `generation` is the one that is declared.
pub fn refusal(ledger: &Ledger, generation: u64, to: u64, force: bool) -> Option<String> {
    let Some(newest) = ledger.newest() else {
        return Some("no revision is recorded yet, so there is nothing to go back from".to_owned());
    };
    let Some(target) = ledger.revisions.get(&to) else {
        let kept: Vec<String> = ledger.revisions.keys().map(u64::to_string).collect();
        let kept = kept.join(", ");
        return Some(format!("revision {to} is not kept; those that are: {kept}"));
    };
    if let Some(why) = is_there(newest, generation, to) {
        return Some(why);
    }
    if to == 0 && target.parts.is_empty() {
        return Some("nothing is known to have run before evenkeel".to_owned());
    }
    if force {
        return None;
    }
    let ailing: Vec<&str> = target
        .parts
        .iter()
        .filter(|(_, part)| part.healthy == Some(false))
        .map(|(name, _)| name.as_str())
        .collect();
    let why = match (target.outcome, ailing.is_empty()) {
        (RevisionOutcome::Ready, true) => return None,
        (RevisionOutcome::Ready, false) => {
            format!("{} was not healthy in it", ailing.join(", "))
        }
        (RevisionOutcome::Rejected, _) => match &target.reason {
            Some(why) => format!("it was rejected: {}", why.message),
            None => "it was rejected".to_owned(),
        },
        (RevisionOutcome::Pending | RevisionOutcome::Superseded, _) => {
            "a newer one came before it was".to_owned()
        }
    };
    Some(format!(
        "revision {to} never was Ready ({why}); with --force it is gone back to all the same"
    ))
}

/// Why it is no way back: it is there already, or on its way.
fn is_there(newest: &Revision, generation: u64, to: u64) -> Option<String> {
    let number = newest.number;
    let is_copy =
        newest.pinned == Some(to) && !newest.is_released() && newest.generation == generation;
    if number != to && !is_copy {
        return None;
    }
    let how = match is_copy {
        true => format!(", recorded once more as revision {number}"),
        false => String::new(),
    };
    Some(match newest.outcome {
        RevisionOutcome::Ready => format!("revision {to} is what runs{how}"),
        RevisionOutcome::Pending | RevisionOutcome::Superseded => {
            format!("revision {to} is what is being worked toward{how}")
        }
        RevisionOutcome::Rejected => format!(
            "revision {to} is the newest{how}, and was rejected: `evenkeel retry` tries it again"
        ),
    })
}

/// Decides to record a revision once more, to be kept to; or says why not.
pub fn roll_back(draft: &mut Draft<'_>, to: u64, force: bool, by: &str) -> Result<(), String> {
    let input = draft.input;
    let (desired, ledger) = (input.desired, &input.observed.ledger);
    if desired.suspend {
        let key = &desired.key;
        return Err(format!(
            "the release is suspended: `evenkeel resume {key}` first"
        ));
    }
    if let Some(why) = refusal(ledger, desired.generation, to, force) {
        return Err(why);
    }
    let (Some(newest), Some(target)) = (ledger.newest(), ledger.revisions.get(&to)) else {
        return Ok(());
    };
    leave(draft, newest, to, by);
    let copy = Revision {
        applier: Some(by.to_owned()),
        pinned: Some(to),
        declared: Some(desired.declared.clone()),
        ..again(draft, target, newest.number + 1)
    };
    record(
        draft,
        copy,
        format!("{by} asked to go back to revision {to}"),
    );
    Ok(())
}

/// Writes down that a person went back from a revision: its spec is not applied again by itself.
fn leave(draft: &mut Draft<'_>, newest: &Revision, to: u64, by: &str) {
    if newest.left.is_some() && newest.outcome != RevisionOutcome::Pending {
        return;
    }
    let left = Left {
        to,
        by: by.to_owned(),
        at: draft.input.now,
    };
    let left = Revision {
        left: Some(left),
        ..ended(draft, newest)
    };
    let reason = format!("{by} asked to go back to revision {to}");
    let resource = format!("revision/{}", newest.number);
    draft.act(resource, reason, Step::UpdateRevision(Box::new(left)));
}

/// A revision whose place another one takes.
fn ended(draft: &Draft<'_>, revision: &Revision) -> Revision {
    if revision.outcome != RevisionOutcome::Pending {
        return revision.clone();
    }
    Revision {
        outcome: RevisionOutcome::Superseded,
        finished_at: Some(draft.input.now),
        ..revision.clone()
    }
}

/// A revision's content under another number, to be brought about from here.
fn again(draft: &Draft<'_>, revision: &Revision, number: u64) -> Revision {
    Revision {
        version: 0,
        number,
        generation: draft.input.desired.generation,
        created_at: draft.input.now,
        outcome: RevisionOutcome::Pending,
        reason: None,
        finished_at: None,
        cause: None,
        rollback: None,
        left: None,
        lifted: false,
        approved: None,
        hooks: BTreeMap::new(),
        continues: None,
        begun_at: None,
        ..revision.clone()
    }
}

fn record(draft: &mut Draft<'_>, revision: Revision, reason: String) {
    draft.status.revision = Some(revision.number);
    let resource = format!("revision/{}", revision.number);
    let step = Step::RecordRevision {
        revision: Box::new(revision),
        // They are stored for as long as the table is.
        contents: Vec::new(),
    };
    draft.act(resource, reason, step);
}

/// What was gone back to before a pause is gone back to after it: suspending and resuming make
/// generations of their own. True where that has to be written down first.
pub fn carry_on(draft: &mut Draft<'_>) -> bool {
    let input = draft.input;
    let (desired, ledger) = (input.desired, &input.observed.ledger);
    let pin = ledger.pin(desired);
    let Some(pin) = pin.filter(|pin| pin.generation != desired.generation) else {
        return false;
    };
    if pin.outcome == RevisionOutcome::Pending {
        let reason = format!("generation {} declares the same", desired.generation);
        let step = Step::UpdateRevision(Box::new(ended(draft, pin)));
        draft.act(format!("revision/{}", pin.number), reason, step);
    }
    let mut copy = again(draft, pin, pin.number + 1);
    copy.go_on_with(pin);
    if pin.outcome == RevisionOutcome::Rejected {
        copy.outcome = RevisionOutcome::Rejected;
        copy.reason.clone_from(&pin.reason);
        copy.cause = pin.cause;
        copy.rollback.clone_from(&pin.rollback);
        copy.finished_at = pin.finished_at;
    }
    let to = pin.pinned.unwrap_or_default();
    record(draft, copy, format!("revision {to} is still gone back to"));
    true
}

/// What is declared is tried, whatever stands against it: that it was rejected, or gone back from.
pub fn try_again(draft: &mut Draft<'_>, spec: &str, by: &str) -> Result<(), String> {
    let (desired, ledger) = (draft.input.desired, &draft.input.observed.ledger);
    if spec != desired.declared {
        return Err("something else was applied since".to_owned());
    }
    let pin = ledger.pin(desired);
    let is_pin = |found: &Revision| pin.is_some_and(|pin| pin.number == found.number);
    let stands = |found: &&Revision| {
        let against = found.outcome == RevisionOutcome::Rejected || found.left.is_some();
        !found.lifted && (against || is_pin(found))
    };
    let of_spec = |found: &Revision| {
        let own = found.spec.as_ref();
        own.is_some_and(|own| hash::of_spec(own) == spec)
    };
    // What comes of it may be rejected for its content, whatever spec that came with.
    let contents: BTreeSet<&String> = ledger
        .revisions
        .values()
        .filter(|found| of_spec(found))
        .map(|found| &found.content)
        .collect();
    // And what is followed is passed over on account of others.
    let in_the_way = images::in_the_way(ledger, &desired.images);
    let counts = |found: &&Revision| {
        let content = contents.contains(&found.content);
        found.number > 0 && (content || is_pin(found) || in_the_way.contains(&found.number))
    };
    let lifted = ledger.revisions.values().filter(stands).filter(counts);
    for revision in lifted.collect::<Vec<_>>() {
        lift(draft, revision, by);
    }
    super::requests::forgive(draft, by);
    Ok(())
}

/// The revision of this very generation is worked toward again; others stand in the way no more.
fn lift(draft: &mut Draft<'_>, revision: &Revision, by: &str) {
    let current = draft
        .input
        .observed
        .ledger
        .current(draft.input.desired.generation);
    let is_current = current.is_some_and(|current| current.number == revision.number);
    let lifted = match is_current && revision.pinned.is_none() {
        true => Revision {
            outcome: RevisionOutcome::Pending,
            reason: None,
            finished_at: None,
            cause: None,
            rollback: None,
            left: None,
            ..super::hooks::again(revision)
        },
        false => Revision {
            lifted: true,
            ..revision.clone()
        },
    };
    if !lifted.lifted {
        super::requests::hook_tasks_again(draft, revision, by);
    }
    let reason = format!("{by} applied what is declared with --force");
    let resource = format!("revision/{}", revision.number);
    draft.act(resource, reason, Step::UpdateRevision(Box::new(lifted)));
}

/// Specs that are not applied again by themselves: of each, the newest revision was rejected or gone
/// back from; and the one that is declared while an earlier revision is kept to. Newest last. Where
/// only images are passed over, the spec itself stands: it may be applied, and forced to try them.
pub fn rejections(ledger: &Ledger, desired: &Desired) -> Vec<Rejection> {
    let pin = ledger.pin(desired);
    let stands = |found: &Revision| {
        !found.lifted && (found.outcome == RevisionOutcome::Rejected || found.left.is_some())
    };
    // Mostly there is none, and hashing takes time.
    if pin.is_none() && !ledger.revisions.values().any(stands) {
        return Vec::new();
    }
    let mut newest: BTreeMap<String, &Revision> = BTreeMap::new();
    for revision in ledger.revisions.values() {
        if let Some(spec) = &revision.spec {
            newest.insert(hash::of_spec(spec), revision);
        }
    }
    let mut found: Vec<Rejection> = newest
        .into_iter()
        .filter(|(_, revision)| stands(revision))
        .map(|(spec, revision)| Rejection {
            only_images: revision.left.is_none() && was_ready(ledger, &spec, revision),
            ..rejection(spec, revision, why(revision))
        })
        .collect();
    let is_told = found.iter().any(|known| known.spec == desired.declared);
    if let Some(pin) = pin.filter(|_| !is_told) {
        let by = pin.applier.as_deref().unwrap_or("somebody");
        let why = Explanation {
            reason: ROLLED_BACK.to_owned(),
            message: format!(
                "{by} went back to revision {}",
                pin.pinned.unwrap_or_default()
            ),
        };
        let told = rejection(desired.declared.clone(), pin, why);
        let own = pin.spec.as_ref().map(hash::of_spec);
        found.push(Rejection {
            at: pin.created_at,
            only_images: own.as_ref() == Some(&desired.declared),
            ..told
        });
    } else if !is_told
        && let Some(number) = images::in_the_way(ledger, &desired.images).last()
        && let Some(revision) = ledger.revisions.get(number)
    {
        found.push(Rejection {
            only_images: true,
            ..rejection(desired.declared.clone(), revision, why(revision))
        });
    }
    found.sort_by_key(|rejection| rejection.revision);
    found
}

/// Whether a spec was Ready before with other images than those of a revision, and nothing else was
/// declared between the two.
fn was_ready(ledger: &Ledger, spec: &str, revision: &Revision) -> bool {
    let before = ledger.revisions.range(1..revision.number).rev();
    let same = |it: &Revision| {
        it.spec
            .as_ref()
            .is_some_and(|own| hash::of_spec(own) == spec)
    };
    before
        .map(|(_, it)| it)
        .take_while(|it| it.pinned.is_none() && it.left.is_none() && same(it))
        .any(|it| it.outcome == RevisionOutcome::Ready)
}

fn why(revision: &Revision) -> Explanation {
    let left = revision.left.as_ref();
    let rejected = revision.outcome == RevisionOutcome::Rejected;
    match (&revision.reason, left) {
        (Some(why), _) if rejected => why.clone(),
        (_, Some(left)) => Explanation {
            reason: ROLLED_BACK.to_owned(),
            message: format!("{} went back from it to revision {}", left.by, left.to),
        },
        _ => Explanation {
            reason: "Rejected".to_owned(),
            message: "it was rejected".to_owned(),
        },
    }
}

fn rejection(spec: String, revision: &Revision, why: Explanation) -> Rejection {
    let left = revision.left.as_ref().map(|left| left.at);
    let rejected = revision.outcome == RevisionOutcome::Rejected;
    let at = revision.finished_at.filter(|_| rejected).or(left);
    Rejection {
        revision: revision.number,
        generation: revision.generation,
        spec,
        at: at.unwrap_or(revision.created_at),
        reason: why.reason,
        message: why.message,
        only_images: false,
    }
}
