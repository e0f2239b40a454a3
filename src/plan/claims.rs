//! Claims: an ECS service, rule or schedule belongs to one Release.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::overtaken;
use crate::model::desired::{Desired, Schedule};
use crate::model::known::Known;
use crate::model::ledger::{Claim, Revision};
use crate::model::observed::Observed;
use crate::model::plan::Step;

/// What the Regions of a partition begin with, as the SDKs' partitions.json tells.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("eusc-", "aws-eusc"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
];

/// ARN partition of a Region.
pub fn partition(region: &str) -> &'static str {
    let found = PARTITIONS
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix));
    found.map_or("aws", |(_, partition)| partition)
}

/// Claims what is declared, and gives back what is not any more. Stalls while somebody else holds
/// something that is declared. `newest` is the revision that makes it definite.
pub fn settle(draft: &mut Draft<'_>, newest: &Revision) {
    let wanted = wanted(draft);
    let observed = draft.input.observed;
    for (arn, part) in &wanted {
        if observed.ledger.claims.contains_key(arn) {
            continue;
        }
        if let Some(holder) = observed.foreign_claims.get(arn) {
            let message = format!(
                "{part}: {arn} belongs to release {}; remove it there first (its {})",
                holder.release, holder.part
            );
            draft.stall(part, "Conflict", message);
            continue;
        }
        let claim = Claim {
            arn: arn.clone(),
            part: part.clone(),
            release: draft.input.desired.key.clone(),
        };
        draft.act(
            part,
            format!("{arn} is this release's from now on"),
            Step::Claim(claim),
        );
    }
    let mut kept = wanted;
    kept.extend(of_unfinished(draft, newest));
    give_back(draft, &kept);
}

/// ARNs of the rules and schedules that revisions declared which go on beside a newer one: they may
/// have yet to be made, and are looked for by their claims alone.
fn of_unfinished(draft: &Draft<'_>, newest: &Revision) -> BTreeMap<String, String> {
    let observed = draft.input.observed;
    let goes_on = overtaken::all_unfinished(&observed.ledger, Some(newest)).into_iter();
    let declared = goes_on.map(|found| draft.input.desired.at_revision(found));
    declared
        .flat_map(|declared| schedule_arns(observed, &declared))
        .collect()
}

/// ARNs of everything declared that exists or will.
fn wanted(draft: &Draft<'_>) -> BTreeMap<String, String> {
    let desired = draft.input.desired;
    let mut wanted = BTreeMap::new();
    for service in &desired.services {
        if let Some(Known::Present(found)) = draft.input.observed.services.get(&service.name) {
            wanted.insert(found.arn.clone(), format!("service/{}", service.name));
        }
    }
    wanted.extend(schedule_arns(draft.input.observed, desired));
    wanted
}

/// ARNs that the declared schedules have or will have, and their group's, by what they are for.
pub fn schedule_arns(observed: &Observed, desired: &Desired) -> BTreeMap<String, String> {
    let mut arns = BTreeMap::new();
    for schedule in &desired.schedules {
        if let Some(arn) = arn_of(observed, desired, schedule) {
            arns.insert(arn, format!("schedule/{}", schedule.name));
        }
    }
    if desired.scheduled().next().is_some() {
        let group = format!("schedule-group/{}", desired.schedule_group);
        let arn = scheduler_arn(observed, desired, &group);
        arns.extend(arn.map(|arn| (arn, "schedules".to_owned())));
    }
    arns
}

/// ARN that what fires a schedule has or will have.
pub fn arn_of(observed: &Observed, desired: &Desired, schedule: &Schedule) -> Option<String> {
    if schedule.scheduler.is_none() {
        return rule_arn(observed, desired, &schedule.rule);
    }
    let name = format!("schedule/{}/{}", desired.schedule_group, schedule.name);
    scheduler_arn(observed, desired, &name)
}

fn scheduler_arn(observed: &Observed, desired: &Desired, resource: &str) -> Option<String> {
    let account = observed.account.as_deref()?;
    let region = &desired.environment.region;
    let partition = partition(region);
    Some(format!(
        "arn:{partition}:scheduler:{region}:{account}:{resource}"
    ))
}

/// Name of the schedule of an ARN, in its group.
pub fn schedule_named(arn: &str) -> Option<&str> {
    let (_, path) = arn.rsplit_once(":schedule/")?;
    Some(path.split_once('/')?.1)
}

/// ARN that a rule has or will have.
pub fn rule_arn(observed: &Observed, desired: &Desired, name: &str) -> Option<String> {
    if let Some(Known::Present(rule)) = observed.rules.get(name) {
        return Some(rule.arn.clone());
    }
    let account = observed.account.as_deref()?;
    let region = &desired.environment.region;
    Some(format!(
        "arn:{}:events:{region}:{account}:rule/{name}",
        partition(region)
    ))
}

/// A rule's claim is kept until the rule is gone: pruning looks for rules by their claims.
fn give_back(draft: &mut Draft<'_>, kept: &BTreeMap<String, String>) {
    let observed = draft.input.observed;
    let declared: Vec<String> = draft
        .input
        .desired
        .parts()
        .map(|part| part.resource())
        .collect();
    for (arn, claim) in &observed.ledger.claims {
        if kept.contains_key(arn) {
            continue;
        }
        let gone = if let Some((_, name)) = arn.rsplit_once(":rule/") {
            matches!(observed.rules.get(name), Some(Known::Absent))
                || matches!(observed.rules.get(name), Some(Known::Present(rule)) if !super::schedules::is_owned(draft, rule))
        } else if arn.contains(":scheduler:") {
            let is_there = |known: Option<&Known<_>>| {
                known.is_some_and(|known| !matches!(known, Known::Absent))
            };
            let name = schedule_named(arn);
            let is_in = name.is_none_or(|name| is_there(observed.scheduled.get(name)));
            is_group_gone(draft) || !is_in && observed.group_listed == Some(true)
        } else {
            !declared.contains(&claim.part)
        };
        if gone {
            draft.act(
                &claim.part,
                "no longer declared",
                Step::Unclaim(claim.clone()),
            );
        }
    }
}

/// Whether there is no schedule group of ours.
fn is_group_gone(draft: &Draft<'_>) -> bool {
    match &draft.input.observed.group {
        Some(Known::Absent) => true,
        Some(Known::Present(group)) => !super::schedules::is_owned_group(draft, group),
        Some(Known::Unknown(_)) | None => false,
    }
}
