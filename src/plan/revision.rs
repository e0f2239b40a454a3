//! The revision that a pass works toward: a generation made definite.

mod before;

pub use before::{at_first_move, is_unrecorded};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::base::{self, Base};
use super::draft::Draft;
use super::drift;
use super::going_back;
use super::overtaken;
use super::rollout::short;
use super::taskdef;
use crate::model::desired::{Part, Source};
use crate::model::hash;
use crate::model::known::Known;
use crate::model::ledger::{
    DefinitionContent, PartTarget, ResolvedImage, Revision, RevisionOutcome,
};
use crate::model::plan::Step;

/// The newest revision of this Release object, if any but revision 0.
pub fn newest<'a>(draft: &Draft<'a>) -> Option<&'a Revision> {
    draft.input.observed.ledger.newest()
}

/// The newest revision, if it is of the generation that is wanted.
pub fn current<'a>(draft: &Draft<'a>) -> Option<&'a Revision> {
    let ledger = &draft.input.observed.ledger;
    ledger.current(draft.input.desired.generation)
}

/// The newest revision, if it makes definite what is declared, be it under an earlier generation.
fn standing<'a>(draft: &Draft<'a>) -> Option<&'a Revision> {
    let ledger = &draft.input.observed.ledger;
    ledger.standing(draft.input.desired)
}

/// Finds the revision to work toward, recording it first where it is new. `None`: something
/// stands in the way, which is told in the draft.
pub fn settle(draft: &mut Draft<'_>) -> Option<Revision> {
    let latest = newest(draft);
    let current = current(draft);
    if let Some(pin) = current.filter(|found| found.pinned.is_some()) {
        return kept_to(draft, pin);
    }
    let standing = standing(draft);
    let images = super::images::resolve(draft, standing);
    // With other images it is another revision, which starts from what its bases are now.
    let as_before = standing.filter(|found| images.as_ref() == Some(&found.images));
    let parts = targets(draft, as_before, images.as_ref());
    let (images, parts) = (images?, parts?);
    let content = content_hash(draft, &images, &parts);
    if let Some(current) = current.filter(|found| found.content == content) {
        before::renew(draft, current);
        draft.status.revision = Some(current.number);
        return Some(current.clone());
    }
    record(draft, latest, images, parts, content)
}

/// What a person went back to stands as it was recorded: no tag is looked up and no base compared.
fn kept_to(draft: &mut Draft<'_>, pin: &Revision) -> Option<Revision> {
    super::images::resolve(draft, Some(pin))?;
    targets_of(draft, pin)?;
    draft.status.revision = Some(pin.number);
    Some(pin.clone())
}

/// What is recorded for every part, as long as the Environment still allows it.
fn targets_of(draft: &mut Draft<'_>, pin: &Revision) -> Option<()> {
    let mut allowed = true;
    for part in draft.input.desired.parts() {
        if let Some(recorded) = pin.parts.get(&part.resource()) {
            allowed &= frozen(draft, &part, recorded).is_some();
        }
    }
    allowed.then_some(())
}

/// What every part shall run.
fn targets(
    draft: &mut Draft<'_>,
    current: Option<&Revision>,
    images: Option<&BTreeMap<String, ResolvedImage>>,
) -> Option<BTreeMap<String, PartTarget>> {
    let desired = draft.input.desired;
    let mut targets = BTreeMap::new();
    let mut complete = true;
    for part in desired.parts() {
        let resource = part.resource();
        let recorded = current.and_then(|revision| revision.parts.get(&resource));
        match target(draft, &part, recorded, images) {
            Some(target) => {
                targets.insert(resource, target);
            }
            None => complete = false,
        }
    }
    complete.then_some(targets)
}

fn target(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    recorded: Option<&PartTarget>,
    images: Option<&BTreeMap<String, ResolvedImage>>,
) -> Option<PartTarget> {
    let base = base::find(draft, part, recorded)?;
    let (as_it_stands, arn, family, content) = match (base, recorded) {
        (Base::Unchanged, Some(recorded)) => return frozen(draft, part, recorded),
        (Base::Unchanged, None) => return None,
        (
            Base::Content {
                as_it_stands,
                arn,
                family,
                content,
            },
            _,
        ) => (as_it_stands, arn, family, content),
    };
    // What somebody pointed the service at by hand is no base where it cannot carry the declared
    // images: it is drift.
    let by_hand = recorded.filter(|_| matches!(part.source, Source::Service(_)));
    if let Some(recorded) = by_hand
        && !super::safety::is_family_allowed(draft, &family)
    {
        return frozen(draft, part, recorded);
    }
    let roles = super::safety::roles_to_list(draft, part, &content);
    if !may_use(draft, part, &family, &roles) {
        return None;
    }
    // Containers are checked even while images are missing, so that both are told at once.
    let resolved = resolved(part, images);
    let built = match (taskdef::build(&content, &resolved), by_hand) {
        (Ok(built), _) => built,
        (Err(_), Some(recorded)) => return frozen(draft, part, recorded),
        (Err(missing), None) => {
            let name = arn.as_deref().map_or(family.as_str(), short);
            container_not_found(draft, part, name, &missing);
            return None;
        }
    };
    images?;
    // A base that holds the declared images already needs no revision of ours.
    let is_right = |(container, image): (&String, &String)| {
        taskdef::image(&content, container) == Some(image.as_str())
    };
    let as_it_is = as_it_stands && resolved.iter().all(is_right);
    if let Some(recorded) = by_hand {
        let is_ours = arn.as_ref().is_some_and(|arn| base::is_ours(draft, arn));
        let moved = recorded.structure != built.structure;
        let is_base = match standing(draft).map(|it| it.outcome) {
            // Neither who repairs by hand what a rejected revision left, nor what that one had
            // moved already, asks for another try of it.
            Some(RevisionOutcome::Rejected) => as_it_is && !is_ours,
            Some(RevisionOutcome::Ready) if moved && !as_it_is => {
                puts_right(draft, part, &content, &resolved)
            }
            _ => true,
        };
        if !is_base {
            return frozen(draft, part, recorded);
        }
    }
    draft
        .contents
        .insert(built.definition.clone(), Arc::new(built.content));
    Some(PartTarget {
        family,
        arn: arn.clone().filter(|_| as_it_is),
        base: arn,
        structure: built.structure,
        definition: built.definition,
        roles,
        healthy: None,
    })
}

/// Container -> image reference; empty where the image is not resolved yet.
fn resolved(
    part: &Part<'_>,
    images: Option<&BTreeMap<String, ResolvedImage>>,
) -> BTreeMap<String, String> {
    let reference = |image: &String| {
        let image = images.and_then(|images| images.get(image));
        image.map(|image| image.image.clone()).unwrap_or_default()
    };
    part.images
        .iter()
        .map(|(container, image)| (container.clone(), reference(image)))
        .collect()
}

fn container_not_found(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    base: &str,
    missing: &taskdef::MissingContainers,
) {
    let resource = part.resource();
    let message = format!(
        "{resource}: {base} has no container {}; it has {}",
        missing.missing.join(", "),
        missing.present.join(", ")
    );
    draft.stall(&resource, "ContainerNotFound", message);
}

/// Other images than the declared ones are drift, whatever else was changed by hand with them.
/// True where that is put right now, which is told; the rest stays as it was made by hand then.
fn puts_right(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    content: &Value,
    resolved: &BTreeMap<String, String>,
) -> bool {
    let resource = part.resource();
    if !drift::would_correct(draft, &resource) {
        return false;
    }
    for (container, image) in resolved {
        let actual = taskdef::image(content, container).unwrap_or_default();
        if actual != image {
            let field = format!("taskDefinition.containerDefinitions[{container}].image");
            drift::corrects(draft, &resource, &field, image, actual);
        }
    }
    true
}

/// What was recorded, as long as the Environment still allows it.
fn frozen(draft: &mut Draft<'_>, part: &Part<'_>, recorded: &PartTarget) -> Option<PartTarget> {
    may_use(draft, part, &recorded.family, &recorded.roles).then(|| recorded.clone())
}

/// Whether the Environment allows a family and roles; tells the draft each that it does not.
fn may_use(draft: &mut Draft<'_>, part: &Part<'_>, family: &str, roles: &[String]) -> bool {
    let family = super::safety::may_use_family(draft, part, family);
    let roles = super::safety::may_use_roles(draft, part, roles);
    family && roles
}

/// What makes two revisions the same target: what is run, and what is declared of how.
fn content_hash(
    draft: &Draft<'_>,
    images: &BTreeMap<String, ResolvedImage>,
    parts: &BTreeMap<String, PartTarget>,
) -> String {
    let spec = &draft.input.desired.spec;
    let images: BTreeMap<&String, &String> = images
        .iter()
        .map(|(name, image)| (name, &image.image))
        .collect();
    let parts: BTreeMap<&String, Value> = parts
        .iter()
        .map(|(name, part)| (name, json!([part.family, part.structure, part.definition])))
        .collect();
    // What the Environment says of how schedules run is declared as well.
    let placed: BTreeMap<&String, Value> = draft
        .input
        .desired
        .schedules
        .iter()
        .map(|schedule| (&schedule.name, json!([schedule.tasks, schedule.role_arn])))
        .collect();
    let mut content = json!({
        "images": images,
        "parts": parts,
        "migrations": spec.migrations,
        "services": spec.services,
        "schedules": spec.schedules,
        "placed": placed,
    });
    // A revision that was recorded before there were hooks is the same target still.
    if !spec.hooks.is_empty() {
        content["hooks"] = json!(spec.hooks);
    }
    hash::of(&content)
}

/// Decides to record a new revision, and revision 0 before the first. `None`: what that holds is
/// not known.
fn record(
    draft: &mut Draft<'_>,
    latest: Option<&Revision>,
    images: BTreeMap<String, ResolvedImage>,
    parts: BTreeMap<String, PartTarget>,
    content: String,
) -> Option<Revision> {
    let input = draft.input;
    let revisions = &input.observed.ledger.revisions;
    before::record(draft, latest)?;
    let number = latest.map_or(1, |found| found.number + 1);
    // What was begun goes on under another number: a pause does not hold it back.
    let begun = standing(draft).filter(|found| found.content == content);
    let begun_at = begun.and_then(|found| found.begun_at);
    let mut revision = Revision {
        version: 0,
        number,
        uid: input.desired.uid.clone(),
        generation: input.desired.generation,
        spec: Some(input.desired.spec.clone()),
        images,
        parts,
        content,
        applier: input.desired.applier.clone(),
        source: input.desired.source.clone(),
        created_at: input.now,
        outcome: RevisionOutcome::Pending,
        reason: None,
        finished_at: None,
        cause: None,
        rollback: None,
        pinned: None,
        declared: None,
        left: None,
        lifted: false,
        approved: None,
        begun_at,
        hooks: BTreeMap::new(),
        continues: None,
    };
    // A target that was rejected is not tried again because it comes under a new number.
    let before = revisions
        .values()
        .rev()
        .find(|found| found.content == revision.content);
    if let Some(before) = before.filter(|found| is_rejected(found)) {
        revision.outcome = RevisionOutcome::Rejected;
        revision.reason.clone_from(&before.reason);
        revision.cause = before.cause;
        let ledger = &input.observed.ledger;
        revision.rollback = latest.and_then(|latest| going_back::inherited(ledger, before, latest));
        revision.finished_at = Some(input.now);
    }
    // What failed and is tried once more begins anew.
    if let Some(begun) = begun.filter(|found| found.outcome == revision.outcome) {
        revision.go_on_with(begun);
    }
    supersede(draft, &revision);
    let reason = format!("{}{}", why(latest, &revision), warning(draft));
    let contents = contents_of(draft, &revision);
    let step = Step::RecordRevision {
        revision: Box::new(revision.clone()),
        contents,
    };
    draft.act(format!("revision/{number}"), reason, step);
    draft.status.revision = Some(number);
    Some(revision)
}

/// What nothing was begun of is given up at once; what was begun goes on until the new revision takes
/// over, where it ever does.
fn supersede(draft: &mut Draft<'_>, by: &Revision) {
    let ledger = &draft.input.observed.ledger;
    let takes_over = by.outcome == RevisionOutcome::Rejected;
    let open = ledger.revisions.values().filter(|found| {
        let goes_on = !takes_over && overtaken::has_begun(ledger, found);
        found.number > 0 && found.outcome == RevisionOutcome::Pending && !goes_on
    });
    for revision in open {
        overtaken::supersede(draft, revision, by.number);
    }
}

/// Whether its content is not tried again by itself.
pub fn is_rejected(revision: &Revision) -> bool {
    revision.outcome == RevisionOutcome::Rejected && !revision.lifted
}

fn why(latest: Option<&Revision>, revision: &Revision) -> String {
    match latest {
        Some(latest) if latest.is_released() && latest.generation == revision.generation => {
            format!("back to what generation {} declares", revision.generation)
        }
        Some(latest) if latest.generation == revision.generation => {
            let moved = super::images::what_moved(latest, revision);
            if !moved.is_empty() {
                return moved;
            }
            let changed: Vec<&str> = revision
                .parts
                .iter()
                .filter(|(name, part)| {
                    latest
                        .parts
                        .get(*name)
                        .is_none_or(|before| before.structure != part.structure)
                })
                .map(|(name, _)| name.as_str())
                .collect();
            match changed.is_empty() {
                true => "the environment's defaults changed".to_owned(),
                false => format!("the base definition of {} changed", changed.join(", ")),
            }
        }
        _ => format!(
            "generation {} with its images resolved",
            revision.generation
        ),
    }
}

/// Services that a revision starts from although ECS does not say that they ever ran well.
fn warning(draft: &Draft<'_>) -> String {
    let observed = &draft.input.observed.services;
    let mut names: Vec<&str> = draft
        .input
        .desired
        .parts()
        .filter_map(|part| match part.source {
            Source::Service(name) => Some(name.as_str()),
            Source::Family { .. } | Source::Inline { .. } => None,
        })
        .filter(|name| {
            let service = observed.get(*name).and_then(Known::present);
            service.is_some_and(|service| base::proven(service).is_none())
        })
        .collect();
    names.dedup();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            " (no deployment of {} is known to have succeeded: starting from what it runs now)",
            names.join(", ")
        ),
    }
}

fn contents_of(draft: &Draft<'_>, revision: &Revision) -> Vec<DefinitionContent> {
    let hashes: std::collections::BTreeSet<&String> = revision
        .parts
        .values()
        .map(|part| &part.definition)
        .collect();
    hashes
        .into_iter()
        .filter_map(|hash| {
            let content = draft.contents.get(hash)?.clone();
            Some(DefinitionContent {
                hash: hash.clone(),
                content,
            })
        })
        .collect()
}
