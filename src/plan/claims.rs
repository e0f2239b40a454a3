//! Claims: an ECS service or rule belongs to one Release.

use std::collections::BTreeMap;

use super::draft::Draft;
use crate::model::desired::Desired;
use crate::model::known::Known;
use crate::model::ledger::Claim;
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
/// something that is declared.
pub fn settle(draft: &mut Draft<'_>) {
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
    give_back(draft, &wanted);
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
    for schedule in &desired.schedules {
        if let Some(arn) = rule_arn(draft.input.observed, desired, &schedule.rule) {
            wanted.insert(arn, format!("schedule/{}", schedule.name));
        }
    }
    wanted
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
fn give_back(draft: &mut Draft<'_>, wanted: &BTreeMap<String, String>) {
    let observed = draft.input.observed;
    let declared: Vec<String> = draft
        .input
        .desired
        .parts()
        .map(|part| part.resource())
        .collect();
    for (arn, claim) in &observed.ledger.claims {
        if wanted.contains_key(arn) {
            continue;
        }
        let gone = match arn.rsplit_once(":rule/") {
            Some((_, name)) => {
                matches!(observed.rules.get(name), Some(Known::Absent))
                    || matches!(observed.rules.get(name), Some(Known::Present(rule)) if !super::schedules::is_owned(draft, rule))
            }
            None => !declared.contains(&claim.part),
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
