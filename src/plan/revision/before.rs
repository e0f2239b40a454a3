//! Revision 0: what ran before evenkeel's first write, in contents and not only ARNs, so that there
//! is always something to go back to.

use std::collections::BTreeMap;

use crate::model::desired::{Part, PartKind};
use crate::model::hash;
use crate::model::ledger::{DefinitionContent, PartTarget, Revision, RevisionOutcome};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::{normalize, target};

/// Decides to record it before the first revision, and what a part ran that is declared for the
/// first time later on. `None`: that is not known.
pub fn record(draft: &mut Draft<'_>, latest: Option<&Revision>) -> Option<()> {
    let input = draft.input;
    let revisions = &input.observed.ledger.revisions;
    let known = revisions.get(&0);
    if known.is_none() && latest.is_some() {
        return Some(());
    }
    let is_named = |part: &Part<'_>| {
        let resource = part.resource();
        revisions
            .values()
            .any(|it| it.parts.contains_key(&resource))
    };
    let mut parts = BTreeMap::new();
    let mut contents = Vec::new();
    for part in input.desired.parts().filter(|part| !is_named(part)) {
        let Some((arn, healthy)) = runs_now(draft, &part)? else {
            continue;
        };
        let known = input.observed.definitions.get(&arn);
        let Some(definition) = draft.seen(&part.resource(), known)? else {
            continue;
        };
        let hash = normalize::definition_hash(&definition.content);
        let ran = PartTarget {
            family: definition.family.clone(),
            base: None,
            structure: hash.clone(),
            definition: hash.clone(),
            arn: Some(arn),
            roles: Vec::new(),
            healthy: Some(healthy),
        };
        parts.insert(part.resource(), ran);
        contents.push(DefinitionContent {
            hash,
            content: definition.content.clone(),
        });
    }
    if known.is_some() && parts.is_empty() {
        return Some(());
    }
    let mut zero = known.cloned().unwrap_or_else(|| nothing(draft));
    zero.parts.extend(parts);
    let definitions = zero
        .parts
        .iter()
        .map(|(name, part)| (name, &part.definition));
    zero.content = hash::of(&definitions.collect::<Vec<_>>());
    let step = Step::RecordRevision {
        revision: Box::new(zero),
        contents,
    };
    draft.act("revision/0", "what ran before evenkeel's first write", step);
    Some(())
}

fn nothing(draft: &Draft<'_>) -> Revision {
    Revision {
        version: 0,
        number: 0,
        uid: draft.input.desired.uid.clone(),
        generation: 0,
        spec: None,
        images: BTreeMap::new(),
        parts: BTreeMap::new(),
        content: String::new(),
        applier: None,
        source: None,
        created_at: draft.input.now,
        outcome: RevisionOutcome::Ready,
        reason: None,
        finished_at: None,
        cause: None,
        rollback: None,
        pinned: None,
        declared: None,
        left: None,
        lifted: false,
        approved: None,
        begun_at: None,
    }
}

/// Definition that a service or an existing rule runs now, and whether it is healthy. Outer `None`:
/// not known.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether to go on at all"
)]
fn runs_now(draft: &mut Draft<'_>, part: &Part<'_>) -> Option<Option<(String, bool)>> {
    let observed = draft.input.observed;
    match part.kind {
        PartKind::Migration => Some(None),
        PartKind::Service => {
            let known = observed.services.get(part.name);
            let Some(service) = draft.seen(&part.resource(), known)? else {
                return Some(None);
            };
            let healthy = service.primary().is_none_or(|primary| {
                primary.rollout_state.as_deref() != Some("FAILED")
                    && primary.running_count >= primary.desired_count
            });
            Some(Some((service.task_definition.clone(), healthy)))
        }
        PartKind::Schedule => {
            let schedule = draft
                .input
                .desired
                .schedules
                .iter()
                .find(|found| found.name == part.name)?;
            let known = observed.rules.get(&schedule.rule);
            let Some(rule) = draft.seen(&part.resource(), known)? else {
                return Some(None);
            };
            let target = target::ours(rule, true, |_| false);
            let definition = target.and_then(|(_, target)| target::definition(target));
            Some(definition.map(|arn| (arn.to_owned(), true)))
        }
    }
}
