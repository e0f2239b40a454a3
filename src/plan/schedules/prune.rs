//! Rules of this release that are no longer declared.

use super::{is_owned, other_writer, our_target};
use crate::model::known::Known;
use crate::model::ledger::{Revision, RevisionOutcome};
use crate::model::observed::Rule;
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::drift;
use crate::resource::status::{DifferenceAction, PartState};

/// Deletes owned rules that are no longer declared. Only after a list that was read whole.
pub fn prune(draft: &mut Draft<'_>, revision: &Revision) -> bool {
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
        .schedules
        .iter()
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

/// Whether a rule that is no longer declared would be deleted.
fn is_removable(draft: &Draft<'_>, rule: &Rule) -> bool {
    let ours = usize::from(our_target(draft, rule, false).is_some());
    draft.input.desired.prune && rule.targets.len() == ours
}

/// Deletes one owned rule; false while something is left to do.
pub fn remove(draft: &mut Draft<'_>, rule: &Rule) -> bool {
    let resource = format!("rule/{}", rule.name);
    let claimed = draft.input.observed.ledger.claims.get(&rule.arn);
    let ours: Vec<String> = our_target(draft, rule, false)
        .map(|(id, _)| id.to_owned())
        .into_iter()
        .collect();
    let foreign = rule.targets.len() - ours.len();
    if foreign > 0 {
        let message = format!(
            "rule {} is no longer declared, but has {foreign} targets that are not evenkeel's: remove them, or the rule, by hand",
            rule.name
        );
        draft.wait(&resource, message);
        return true;
    }
    if !draft.input.desired.prune && draft.input.desired.deleting.is_none() {
        draft.wait(
            &resource,
            format!("rule {} is no longer declared; prune is off", rule.name),
        );
        return true;
    }
    if !ours.is_empty() {
        let step = Step::RemoveTargets {
            rule: rule.name.clone(),
            ids: ours,
        };
        draft.act(&resource, "no longer declared", step);
    }
    draft.act(
        &resource,
        "no longer declared",
        Step::DeleteRule {
            rule: rule.name.clone(),
        },
    );
    if let Some(claim) = claimed {
        draft.act(&resource, "its rule is gone", Step::Unclaim(claim.clone()));
    }
    draft.progress(
        &resource,
        "Pruning",
        format!("rule {} is being deleted", rule.name),
    );
    false
}
