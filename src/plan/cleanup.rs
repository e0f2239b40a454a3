//! What is not needed any more: old revisions, and definitions that evenkeel registered for them.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::images;
use crate::model::known::Known;
use crate::model::ledger::{MigrationRun, Registration, Revision, RevisionOutcome};
use crate::model::observed::Scheduled;
use crate::model::plan::Step;

/// Decides to forget what is beyond the history limit. Only for a Release that is Ready.
pub fn sweep(draft: &mut Draft<'_>, current: &Revision) {
    // Where a look failed, nobody knows what is run, or would be taken.
    let (Some(kept), Some(used)) = (kept(draft, current), used(draft)) else {
        return;
    };
    deregister(draft, current, &kept, &used);
    // Last: what is left of a sweep that was cut off is found through the revisions.
    let revisions = &draft.input.observed.ledger.revisions;
    let beyond = revisions
        .values()
        .filter(|found| !kept.contains(&found.number));
    for revision in beyond {
        let limit = draft.input.desired.history_limit;
        let reason = format!("beyond the {limit} revisions that are kept");
        forget_hooks(draft, revision, &reason);
        let resource = format!("revision/{}", revision.number);
        let step = Step::DeleteRevision(Box::new(revision.clone()));
        draft.act(resource, reason, step);
    }
}

/// Tasks of hooks are known by their revision alone.
fn forget_hooks(draft: &mut Draft<'_>, revision: &Revision, reason: &str) {
    let runs = draft.input.observed.ledger.migrations.iter();
    let of_it = |run: &&MigrationRun| {
        let since = run.intended_at >= revision.created_at;
        run.hook && run.revision == revision.number && since && !run.state.is_open()
    };
    for run in runs.filter(of_it) {
        let step = Step::ForgetRun(Box::new(run.clone()));
        draft.act(run.resource(), reason, step);
    }
}

/// Lets go of what was registered for revisions that are not kept, and is not run any more.
fn deregister(
    draft: &mut Draft<'_>,
    current: &Revision,
    kept: &BTreeSet<u64>,
    used: &BTreeSet<String>,
) {
    let revisions = &draft.input.observed.ledger.revisions;
    let needed: BTreeSet<&String> = revisions
        .values()
        .chain(std::iter::once(current))
        .filter(|found| kept.contains(&found.number))
        .flat_map(|found| found.parts.values())
        .map(|part| &part.definition)
        .collect();
    let desired = draft.input.desired;
    let declared = |name: &str| desired.services.iter().any(|service| service.name == name);
    let by_declared = run_by_services(draft, declared);
    let by_others = run_by_services(draft, |name| !declared(name));
    for registration in draft.input.observed.ledger.registrations.values() {
        // A Release of this name that was orphaned left what it registered to what runs it.
        let own = desired
            .created_at
            .is_some_and(|created| registration.intended_at >= created);
        let ours = own
            && registration.releases.contains(&desired.key)
            && !needed.contains(&registration.definition)
            && !registration.deregistered;
        let Some(arn) = registration.arn.as_ref().filter(|_| ours) else {
            continue;
        };
        if !used.contains(arn) {
            let_go(draft, registration, arn);
        } else if by_others.contains(arn) && !by_declared.contains(arn) {
            leave(draft, registration);
        }
    }
}

/// The last user of a registration deregisters it.
fn let_go(draft: &mut Draft<'_>, registration: &Registration, arn: &str) {
    let key = &draft.input.desired.key;
    let mut left = registration.clone();
    left.releases.retain(|release| release != key);
    let resource = format!("family/{}", registration.family);
    if left.releases.is_empty() {
        let step = Step::DeregisterTaskDefinition {
            registration: left,
            arn: arn.to_owned(),
        };
        draft.act(
            resource,
            "no kept revision, service or schedule uses it",
            step,
        );
    } else {
        draft.act(
            resource,
            "not used by this release any more",
            Step::RecordRegistration(left),
        );
    }
}

/// Numbers of revisions that stay: revision 0, the newest ones, the newest Ready one, and those on
/// whose account an image is passed over. `None`: not known.
fn kept(draft: &Draft<'_>, current: &Revision) -> Option<BTreeSet<u64>> {
    let revisions = &draft.input.observed.ledger.revisions;
    let limit = draft.input.desired.history_limit;
    let mut kept: BTreeSet<u64> = revisions
        .keys()
        .rev()
        .copied()
        .filter(|number| *number > 0)
        .take(limit)
        .collect();
    kept.extend([0, current.number]);
    let ready = revisions
        .values()
        .rev()
        .find(|found| found.outcome == RevisionOutcome::Ready && found.number > 0);
    kept.extend(ready.map(|found| found.number));
    kept.extend(images::witnesses(
        draft.input.desired,
        draft.input.observed,
    )?);
    Some(kept)
}

/// A service that is not declared any more still runs it: it is that service's from now on.
fn leave(draft: &mut Draft<'_>, registration: &Registration) {
    let key = &draft.input.desired.key;
    let mut left = registration.clone();
    left.releases.retain(|release| release != key);
    let resource = format!("family/{}", registration.family);
    let reason = "left to a service that runs it and is not declared any more";
    draft.act(resource, reason, Step::RecordRegistration(left));
}

/// Definitions that observed services run or are being moved from or to.
fn run_by_services(draft: &Draft<'_>, which: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let services = draft.input.observed.services.values();
    services
        .filter_map(Known::present)
        .filter(|service| which(&service.name))
        .flat_map(|service| {
            let deployments = service
                .deployments
                .iter()
                .map(|deployment| deployment.task_definition.clone());
            deployments.chain([service.task_definition.clone()])
        })
        .collect()
}

/// Definitions that something observed runs. `None`: something could not be observed.
fn used(draft: &Draft<'_>) -> Option<BTreeSet<String>> {
    let observed = draft.input.observed;
    let is_known = observed.services.values().all(is_known)
        && observed.rules.values().all(is_known)
        && observed.tasks.values().all(is_known)
        && observed.rules_listed == Some(true)
        && observed.group.as_ref().is_none_or(is_known)
        && observed.scheduled.values().all(is_known)
        && observed.group_listed != Some(false);
    if !is_known {
        return None;
    }
    let rules = observed.rules.values().filter_map(Known::present);
    let targets = rules.flat_map(|rule| &rule.targets);
    let scheduled = observed.scheduled.values().filter_map(Known::present);
    let targets = targets.chain(scheduled.filter_map(Scheduled::target));
    let by_rules = targets.filter_map(super::target::definition);
    let tasks = observed.tasks.values().filter_map(Known::present).flatten();
    let mut used = run_by_services(draft, |_| true);
    used.extend(by_rules.map(str::to_owned));
    used.extend(tasks.map(|task| task.task_definition.clone()));
    Some(used)
}

fn is_known<T>(known: &Known<T>) -> bool {
    !matches!(known, Known::Unknown(_))
}
