//! Hooks that are one call to somebody else: a function, an invalidation, a URL.
//!
//! A function is called at most once: where its answer was lost, nobody knows. An invalidation and a
//! URL are called again under the key of the attempt, by which the other side knows it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Stand, heard};
use crate::model::desired::{Hook, HookKind};
use crate::model::hash;
use crate::model::hook::{Call, CallEnd, End, HookCall, HookRun, Invalidation, kept_as, name_of};
use crate::model::known::Known;
use crate::model::ledger::{Ledger, Revision, RevisionOutcome, RunState};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::migrations;
use crate::resource::status::PartState;

/// By which the other side knows an attempt of a hook again.
fn attempt_key(revision: &Revision, kept: &str, run: &HookRun) -> String {
    hash::of(&json!({
        "uid": revision.uid,
        "revision": revision.known_as(),
        "hook": name_of(kept),
        "end": run.end,
        "attempt": run.attempt,
    }))
}

/// By which the process that makes a call knows it again: each try of an attempt by a key of its
/// own. What one process heard of its try says nothing of the next one, which another may have made.
pub(super) fn try_key(revision: &Revision, kept: &str, run: &HookRun) -> String {
    format!("{}/{}", attempt_key(revision, kept, run), run.refusals)
}

/// One hook whose turn it is.
pub(super) fn advance(
    draft: &mut Draft<'_>,
    revision: &Revision,
    hook: &Hook,
    end: Option<End>,
) -> Stand {
    let Some(run) = revision.hooks.get(&kept_as(&hook.name, end)) else {
        return call(draft, revision, hook, first(draft, 1, end));
    };
    let stand = |state| Stand::new(state, run.message.clone());
    match run.state {
        RunState::Retry => call(draft, revision, hook, first(draft, run.attempt + 1, end)),
        RunState::Succeeded => stand(PartState::Done),
        RunState::Failed => stand(PartState::Failed),
        RunState::Unknown => stand(PartState::Unknown),
        RunState::NotStarted => not_taken(draft, revision, hook, run),
        RunState::Intended | RunState::Started => match &hook.does {
            HookKind::Invalidation(_) => invalidation(draft, revision, hook, run),
            _ => answered(draft, revision, hook, run),
        },
    }
}

/// A call that this process makes, or another one made.
fn answered(draft: &mut Draft<'_>, revision: &Revision, hook: &Hook, run: &HookRun) -> Stand {
    let key = try_key(revision, &kept_as(&hook.name, run.end), run);
    let Some(calls) = &draft.input.observed.calls else {
        return underway(draft, hook);
    };
    let gone =
        || CallEnd::Lost("the controller that made the call ended before its answer".to_owned());
    let end = match calls.get(&key) {
        Some(Call::Underway) => return underway(draft, hook),
        Some(Call::Ended(end)) => end.clone(),
        None => gone(),
    };
    let may_repeat = hook.idempotent || matches!(hook.does, HookKind::Http(_));
    let outcome = outcome(draft, run, end, may_repeat);
    write(draft, revision, hook, outcome)
}

/// A run whose call ended.
pub(super) fn outcome(draft: &Draft<'_>, run: &HookRun, end: CallEnd, may_repeat: bool) -> HookRun {
    match end {
        CallEnd::Succeeded => ended(draft, run, RunState::Succeeded, None),
        CallEnd::Failed(why) | CallEnd::Refused(why) => {
            ended(draft, run, RunState::Failed, Some(why))
        }
        CallEnd::NotTaken(why) => put_off(run, why),
        CallEnd::Lost(why) if may_repeat => put_off(run, why),
        CallEnd::Lost(why) => {
            let why = format!("nobody knows how it ended: {why}");
            ended(draft, run, RunState::Unknown, Some(why))
        }
    }
}

/// An invalidation that was asked for.
fn invalidation(draft: &mut Draft<'_>, revision: &Revision, hook: &Hook, run: &HookRun) -> Stand {
    let resource = hook.resource();
    let Some(asked) = &run.invalidation else {
        if is_overdue(draft, hook, run) {
            let why = format!(
                "nobody knows whether CloudFront took it: no answer came within {:#}",
                hook.timeout
            );
            let failed = ended(draft, run, RunState::Failed, Some(why));
            return write(draft, revision, hook, failed);
        }
        // Its answer was lost: the same reference creates nothing twice.
        return call(draft, revision, hook, run.clone());
    };
    let known = draft.input.observed.invalidations.get(asked);
    if let Some(Known::Unknown(why)) = known
        && is_overdue(draft, hook, run)
    {
        let why = format!(
            "nobody knows whether invalidation {} was complete within {:#}: {why}",
            asked.id, hook.timeout
        );
        let failed = ended(draft, run, RunState::Failed, Some(why));
        return write(draft, revision, hook, failed);
    }
    let Some(found) = draft.seen(&resource, known).map(|found| found.cloned()) else {
        return Stand::new(PartState::Progressing, None);
    };
    match found.as_deref() {
        Some("Completed") => write(
            draft,
            revision,
            hook,
            ended(draft, run, RunState::Succeeded, None),
        ),
        Some(_) if is_overdue(draft, hook, run) => {
            let why = format!(
                "invalidation {} was not complete within {:#}",
                asked.id, hook.timeout
            );
            write(
                draft,
                revision,
                hook,
                ended(draft, run, RunState::Failed, Some(why)),
            )
        }
        Some(_) => underway(draft, hook),
        None => {
            let why = format!("invalidation {} is not there any more", asked.id);
            write(
                draft,
                revision,
                hook,
                ended(draft, run, RunState::Failed, Some(why)),
            )
        }
    }
}

fn underway(draft: &mut Draft<'_>, hook: &Hook) -> Stand {
    let resource = hook.resource();
    let message = format!("{resource} is running (at most {:#})", hook.timeout);
    draft.progress(&resource, "HookRunning", message.clone());
    Stand::new(PartState::Progressing, None)
}

/// The other side did not take it: the same attempt, later and bounded.
fn not_taken(draft: &mut Draft<'_>, revision: &Revision, hook: &Hook, run: &HookRun) -> Stand {
    let why = run
        .message
        .clone()
        .unwrap_or_else(|| "it was not taken".to_owned());
    let next = run.called_at + migrations::pause(run.refusals);
    let left = next.duration_since(draft.input.now);
    let ends = run.begun_at + hook.timeout;
    if next.max(draft.input.now) >= ends {
        let why = format!(
            "no try of {} within {:#} succeeded: {why}",
            run.refusals, hook.timeout
        );
        return write(
            draft,
            revision,
            hook,
            ended(draft, run, RunState::Failed, Some(why)),
        );
    }
    if left > SignedDuration::ZERO {
        let resource = hook.resource();
        let message = format!("{resource} waits to be tried again: {why}");
        draft.progress(&resource, "HookPending", message);
        draft.wake_after(left);
        return Stand::new(PartState::Pending, Some(why));
    }
    call(draft, revision, hook, run.clone())
}

/// The same attempt is to be tried again.
fn put_off(run: &HookRun, why: String) -> HookRun {
    HookRun {
        state: RunState::NotStarted,
        refusals: run.refusals + 1,
        message: Some(why),
        ..run.clone()
    }
}

fn is_overdue(draft: &Draft<'_>, hook: &Hook, run: &HookRun) -> bool {
    draft.input.now.duration_since(run.begun_at) > hook.timeout
}

pub(super) fn ended(
    draft: &Draft<'_>,
    run: &HookRun,
    state: RunState,
    why: Option<String>,
) -> HookRun {
    HookRun {
        state,
        finished_at: Some(draft.input.now),
        message: why,
        ..run.clone()
    }
}

fn first(draft: &Draft<'_>, attempt: u32, end: Option<End>) -> HookRun {
    HookRun {
        state: RunState::Intended,
        attempt,
        begun_at: draft.input.now,
        end,
        refusals: 0,
        called_at: draft.input.now,
        invalidation: None,
        finished_at: None,
        message: None,
    }
}

/// Writes down where a hook's run stands. The next pass goes on from there.
fn write(draft: &mut Draft<'_>, revision: &Revision, hook: &Hook, run: HookRun) -> Stand {
    let resource = hook.resource();
    let reason = heard::reason(&run);
    draft.progress(&resource, "HookRunning", format!("{resource}: {reason}"));
    let step = Step::UpdateRevision(Box::new(with(revision, hook, run)));
    draft.act(resource, reason, step);
    Stand::new(PartState::Progressing, None)
}

fn with(revision: &Revision, hook: &Hook, run: HookRun) -> Revision {
    let mut hooks = revision.hooks.clone();
    hooks.insert(kept_as(&hook.name, run.end), run);
    Revision {
        hooks,
        ..revision.clone()
    }
}

/// Decides to make the call, which is written down first.
fn call(draft: &mut Draft<'_>, revision: &Revision, hook: &Hook, run: HookRun) -> Stand {
    let resource = hook.resource();
    let run = HookRun {
        state: RunState::Intended,
        called_at: draft.input.now,
        message: None,
        ..run
    };
    let kept = kept_as(&hook.name, run.end);
    let key = attempt_key(revision, &kept, &run);
    let held_as = try_key(revision, &kept, &run);
    let left = (run.begun_at + hook.timeout).duration_since(draft.input.now);
    let told = told(draft, revision, hook, &run, &key);
    let call = match &hook.does {
        HookKind::Lambda(lambda) => HookCall::Lambda {
            function: lambda.function_name.clone(),
            qualifier: lambda.qualifier.clone(),
            input: told,
            timeout: left,
        },
        HookKind::Http(http) => HookCall::Http {
            url: http.url.clone(),
            signing_key: http.signing_key.clone(),
            authorization: http.authorization.clone(),
            body: told,
            timeout: left,
        },
        HookKind::Invalidation(invalidation) => HookCall::Invalidation {
            distribution: invalidation.distribution_id.clone(),
            paths: invalidation.paths.clone(),
        },
        // Tasks are run as migrations are.
        HookKind::Task(_) => return Stand::new(PartState::Pending, None),
    };
    let what = match run.end {
        None => "before everything else",
        Some(End::Success) => "everything else is so",
        Some(End::Failure) => "the revision failed",
    };
    draft.progress(&resource, "HookRunning", format!("{resource} is being run"));
    let reason = format!("run {what}");
    let step = Step::CallHook {
        revision: Box::new(with(revision, hook, run)),
        hook: kept,
        key,
        held_as,
        call,
    };
    draft.act(resource, reason, step);
    Stand::new(PartState::Progressing, None)
}

/// What the other side is told. It names no secret, and no value of an environment.
fn told(draft: &Draft<'_>, revision: &Revision, hook: &Hook, run: &HookRun, key: &str) -> Value {
    let desired = draft.input.desired;
    let images: BTreeMap<&String, &String> = revision
        .images
        .iter()
        .map(|(name, image)| (name, &image.image))
        .collect();
    let payload = match &hook.does {
        HookKind::Lambda(lambda) => lambda.payload.clone(),
        HookKind::Http(http) => http.payload.clone(),
        HookKind::Task(_) | HookKind::Invalidation(_) => None,
    };
    json!({
        "version": 1,
        "key": key,
        "hook": hook.name,
        "when": if hook.after { "after" } else { "before" },
        "outcome": run.end,
        "attempt": run.attempt,
        "namespace": desired.key.namespace,
        "release": desired.key.name,
        "generation": revision.generation,
        "revision": revision.number,
        "source": revision.source,
        "applier": revision.applier,
        "images": images,
        "reason": revision.reason.as_ref().map(|why| &why.message),
        "payload": payload,
    })
}

/// The keys of calls that may be going on.
pub fn open_calls(ledger: &Ledger) -> Vec<String> {
    let revisions = ledger.revisions.values();
    let runs = revisions.flat_map(|revision| revision.hooks.iter().map(move |run| (revision, run)));
    runs.filter(|(_, (_, run))| run.state.is_open())
        .map(|(revision, (kept, run))| try_key(revision, kept, run))
        .collect()
}

/// Whether a function that an earlier revision called is still at it: a newer one waits for that.
pub(super) fn older_go_on(draft: &mut Draft<'_>, newest: &Revision) -> bool {
    let Some(calls) = &draft.input.observed.calls else {
        return false;
    };
    let ledger = &draft.input.observed.ledger;
    let mut open = false;
    for revision in ledger.revisions.values() {
        let is_older = revision.number < newest.number && revision.known_as() != newest.known_as();
        if !is_older || revision.outcome == RevisionOutcome::Ready {
            continue;
        }
        for (kept, run) in &revision.hooks {
            let key = try_key(revision, kept, run);
            let goes_on =
                run.state == RunState::Intended && calls.get(&key) == Some(&Call::Underway);
            if goes_on {
                let resource = format!("hook/{}", name_of(kept));
                let message = format!(
                    "{resource} of revision {} is still running and ends first",
                    revision.number
                );
                draft.progress(&resource, "HookRunning", message);
                open = true;
            }
        }
    }
    open
}

/// The invalidations that may be going on, each with the newest revision that waits for it.
pub fn open_invalidations(ledger: &Ledger) -> BTreeMap<Invalidation, u64> {
    let revisions = ledger.revisions.values();
    let runs =
        revisions.flat_map(|revision| revision.hooks.values().map(move |run| (revision, run)));
    runs.filter(|(_, run)| run.state.is_open())
        .filter(|(revision, run)| heard::is_awaited(ledger, revision, run))
        .filter_map(|(revision, run)| Some((run.invalidation.clone()?, revision.number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_of_an_attempt_is_known_by_a_key_of_its_own() {
        let run: HookRun = serde_json::from_value(json!({
            "state": "Intended", "attempt": 1,
            "begunAt": "2026-03-02T09:00:00Z", "calledAt": "2026-03-02T09:00:00Z",
        }))
        .expect("a run");
        let again = HookRun {
            refusals: 1,
            ..run.clone()
        };
        let revision = |run: &HookRun| -> Revision {
            let mut revision: Revision = serde_json::from_value(json!({
                "number": 1, "uid": "u", "generation": 1, "content": "c",
                "createdAt": "2026-03-02T09:00:00Z",
            }))
            .expect("a revision");
            revision.hooks.insert("warm-up".to_owned(), run.clone());
            revision
        };
        let keys = |run: &HookRun| {
            let ledger = Ledger {
                revisions: BTreeMap::from([(1, revision(run))]),
                ..Ledger::default()
            };
            open_calls(&ledger)
        };
        // What was heard of the first says nothing of the second.
        assert_ne!(keys(&run), keys(&again));
        // The other side knows both as the same attempt.
        let outside = |run: &HookRun| attempt_key(&revision(run), "warm-up", run);
        assert_eq!(outside(&run), outside(&again));
    }
}
