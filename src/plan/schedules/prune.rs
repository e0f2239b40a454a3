//! Rules and schedules of this release that are no longer declared.

use super::{is_owned, other_writer, our_target, rule, scheduled};
use crate::model::known::Known;
use crate::model::ledger::{Claim, Revision, RevisionOutcome};
use crate::model::observed::{Rule, Scheduled};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::drift;
use crate::resource::release::ScheduleState;
use crate::resource::status::{DifferenceAction, PartState};

/// Deletes what is owned and no longer declared. Only after lists that were read whole.
pub fn prune(draft: &mut Draft<'_>, revision: &Revision) -> bool {
    let rules = prune_rules(draft, revision);
    let scheduled = prune_scheduled(draft, revision);
    rules && scheduled
}

/// Switches off what is to be pruned, and leaves it there with its claim: a way back switches it on
/// again. True once it is off.
pub fn retire(draft: &mut Draft<'_>) -> bool {
    if !draft.input.desired.prune {
        return true;
    }
    let steps: Vec<(String, Step)> = [rules_firing(draft), scheduled_firing(draft)].concat();
    for (resource, step) in &steps {
        let reason = "no longer declared: off until the hooks after have been";
        draft.act(resource, reason, step.clone());
        let message = format!("{resource} is no longer declared and is being switched off");
        draft.progress(resource, "Pruning", message);
    }
    steps.is_empty()
}

/// What switches off the rules that run our task and are no longer declared.
fn rules_firing(draft: &Draft<'_>) -> Vec<(String, Step)> {
    let (observed, desired) = (draft.input.observed, draft.input.desired);
    let rules = observed.rules.values().filter_map(Known::present);
    let extra = rules.filter(|rule| !desired.rules().any(|it| it.rule == rule.name));
    let ours = extra.filter(|rule| is_owned(draft, rule) && !rule.rule.contains_key("ManagedBy"));
    let firing = ours.filter(|found| rule::fires(draft, found));
    let off = |found: &Rule| rule::switched(draft, found, ScheduleState::Disabled);
    firing
        .map(|found| (format!("rule/{}", found.name), off(found)))
        .collect()
}

/// As [`rules_firing`], for schedules.
fn scheduled_firing(draft: &Draft<'_>) -> Vec<(String, Step)> {
    let (observed, desired) = (draft.input.observed, draft.input.desired);
    let group = observed.group.as_ref().and_then(Known::present);
    if !group.is_some_and(|group| scheduled::is_owned_group(draft, group)) {
        return Vec::new();
    }
    let all = observed.scheduled.values().filter_map(Known::present);
    let extra = all.filter(|found| !desired.scheduled().any(|it| it.name == found.name));
    let firing = extra.filter(|found| scheduled::fires(found, draft.input.now));
    let off = |found: &Scheduled| scheduled::switched(draft, found, ScheduleState::Disabled);
    firing
        .map(|found| (format!("scheduler/{}", found.name), off(found)))
        .collect()
}

/// Deletes schedules of our group that are no longer declared, and the group with the last of them.
fn prune_scheduled(draft: &mut Draft<'_>, revision: &Revision) -> bool {
    let observed = draft.input.observed;
    let ours = match &observed.group {
        None | Some(Known::Absent) => return true,
        Some(Known::Unknown(why)) => {
            draft.doubt("schedules", format!("the schedule group: {why}"));
            return false;
        }
        Some(Known::Present(group)) => scheduled::is_owned_group(draft, group),
    };
    if observed.group_listed != Some(true) {
        let message = "the list of schedules could not be read: nothing is pruned";
        draft.doubt("schedules", message);
        return false;
    }
    let declared = |name: &str| draft.input.desired.scheduled().any(|it| it.name == name);
    let is_extra = |name: &&String| ours && !declared(name);
    let extra: Vec<&String> = observed.scheduled.keys().filter(is_extra).collect();
    let (mut clean, mut left) = (true, false);
    for name in extra {
        match &observed.scheduled[name] {
            Known::Present(found) => {
                left = true;
                clean &= match extra_scheduled(draft, revision, name) {
                    Some(clean) => clean,
                    None => scheduled::remove(draft, name, &found.arn),
                };
            }
            Known::Unknown(why) => {
                draft.doubt(
                    &format!("scheduler/{name}"),
                    format!("schedule {name}: {why}"),
                );
                clean = false;
            }
            Known::Absent => {}
        }
    }
    let none = draft.input.desired.scheduled().next().is_none();
    if clean && !left && none && draft.input.desired.prune {
        return scheduled::delete_group(draft, "no schedule is declared any more");
    }
    clean
}

/// As [`extra`], for a schedule.
fn extra_scheduled(draft: &mut Draft<'_>, revision: &Revision, name: &str) -> Option<bool> {
    if revision.outcome != RevisionOutcome::Ready || !draft.input.desired.prune {
        return None;
    }
    let resource = format!("scheduler/{name}");
    let (desired, actual) = ("(absent)".to_owned(), "(present)".to_owned());
    let action = DifferenceAction::Pending;
    drift::differs(draft, &resource, "schedule", desired, actual, action);
    let left = drift::may_correct(draft, &resource, other_writer).err()?;
    Some(left.state == PartState::Done)
}

fn prune_rules(draft: &mut Draft<'_>, revision: &Revision) -> bool {
    let observed = draft.input.observed;
    if observed.rules_listed != Some(true) {
        if observed.rules_listed == Some(false) {
            draft.doubt(
                "schedules",
                "the list of rules could not be read: nothing is pruned",
            );
        }
        return false;
    }
    let declared: Vec<&str> = draft
        .input
        .desired
        .rules()
        .map(|schedule| schedule.rule.as_str())
        .collect();
    let mut clean = true;
    for (name, known) in &observed.rules {
        if declared.contains(&name.as_str()) {
            continue;
        }
        match known {
            Known::Present(rule)
                if is_owned(draft, rule) && !rule.rule.contains_key("ManagedBy") =>
            {
                clean &= match extra(draft, revision, rule) {
                    Some(clean) => clean,
                    None => remove(draft, rule),
                };
            }
            Known::Unknown(why) => {
                draft.doubt(&format!("rule/{name}"), format!("rule {name}: {why}"));
                clean = false;
            }
            Known::Present(_) | Known::Absent => {}
        }
    }
    clean
}

/// The rules that this Release claims and that are none of those named; of what is there only those
/// that it owns.
pub fn made<'a>(draft: &Draft<'a>, named: &[String]) -> Vec<(&'a Claim, &'a Known<Rule>)> {
    let observed = draft.input.observed;
    let claims = observed.ledger.claims.values();
    let of_rules = claims.filter_map(|claim| {
        let (_, name) = claim.arn.rsplit_once(":rule/")?;
        let known = observed.rules.get(name)?;
        (!named.iter().any(|it| it == name)).then_some((claim, known))
    });
    let ours = of_rules.filter(|(_, known)| match known {
        Known::Present(rule) => is_owned(draft, rule) && !rule.rule.contains_key("ManagedBy"),
        Known::Absent => false,
        Known::Unknown(_) => true,
    });
    ours.collect()
}

/// Whether a rule that a revision made goes when that is undone: not where somebody had it before
/// evenkeel came.
pub fn may_prune(draft: &Draft<'_>, claim: &Claim) -> bool {
    let zero = draft.input.observed.ledger.revisions.get(&0);
    let was_there = zero.is_some_and(|zero| zero.parts.contains_key(&claim.part));
    draft.input.desired.prune && !was_there
}

/// Takes away the rules and schedules that were made since, where what is gone back to has none but those named;
/// true once that is so.
pub fn prune_made(draft: &mut Draft<'_>, named: &[String], kept: &[String]) -> bool {
    let mut clean = true;
    for (claim, known) in scheduled::made(draft, kept) {
        if !may_prune(draft, claim) {
            continue;
        }
        match known {
            Known::Present(found) => clean &= scheduled::remove(draft, &found.name, &found.arn),
            Known::Unknown(why) => {
                draft.doubt(&claim.part, format!("{}: {why}", claim.part));
                clean = false;
            }
            Known::Absent => {}
        }
    }
    for (claim, known) in made(draft, named) {
        if !may_prune(draft, claim) {
            continue;
        }
        match known {
            Known::Present(rule) => clean &= remove(draft, rule),
            Known::Unknown(why) => {
                draft.doubt(&claim.part, format!("{}: {why}", claim.part));
                clean = false;
            }
            Known::Absent => {}
        }
    }
    clean
}

/// A rule that came up after the release was Ready is drift: what becomes of it where it is not
/// deleted now.
fn extra(draft: &mut Draft<'_>, revision: &Revision, rule: &Rule) -> Option<bool> {
    if revision.outcome != RevisionOutcome::Ready || !is_removable(draft, rule) {
        return None;
    }
    let resource = format!("rule/{}", rule.name);
    let (desired, actual) = ("(absent)".to_owned(), "(present)".to_owned());
    let action = DifferenceAction::Pending;
    drift::differs(draft, &resource, "rule", desired, actual, action);
    let left = drift::may_correct(draft, &resource, other_writer).err()?;
    Some(left.state == PartState::Done)
}

/// Whether there is anything of a rule that is no longer declared to take away.
fn is_removable(draft: &Draft<'_>, rule: &Rule) -> bool {
    let ours = our_target(draft, rule, false).is_some();
    draft.input.desired.prune && (ours || rule.targets.is_empty())
}

/// Takes away what is ours of an owned rule: our target, and the rule unless targets of others
/// hang on it. False while something is left to do.
pub fn remove(draft: &mut Draft<'_>, rule: &Rule) -> bool {
    let name = &rule.name;
    let resource = format!("rule/{name}");
    if !draft.input.desired.prune && draft.input.desired.deleting.is_none() {
        let message = format!("rule {name} is no longer declared; prune is off");
        draft.wait(&resource, message);
        return true;
    }
    let ours = our_target(draft, rule, false).map(|(id, _)| id.to_owned());
    let foreign = rule.targets.len() - usize::from(ours.is_some());
    if foreign > 0 {
        let message = format!(
            "rule {name} is no longer declared, but has {foreign} targets that are not evenkeel's: remove them, or the rule, by hand"
        );
        draft.wait(&resource, message);
    }
    if foreign > 0 && ours.is_none() {
        return true;
    }
    if let Some(id) = ours {
        let step = Step::RemoveTargets {
            rule: name.clone(),
            ids: vec![id],
        };
        draft.act(&resource, "no longer declared", step);
    }
    if foreign == 0 {
        let step = Step::DeleteRule { rule: name.clone() };
        draft.act(&resource, "no longer declared", step);
        if let Some(claim) = draft.input.observed.ledger.claims.get(&rule.arn) {
            draft.act(&resource, "its rule is gone", Step::Unclaim(claim.clone()));
        }
    }
    let message = format!("what was declared of rule {name} is being removed");
    draft.progress(&resource, "Pruning", message);
    false
}
