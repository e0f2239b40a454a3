//! Which definition each part is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::draft::{Draft, SETTLING};
use super::normalize;
use super::rollout::short;
use crate::model::desired::{Part, Source};
use crate::model::known::Known;
use crate::model::ledger::{PartTarget, Registration};
use crate::model::observed::{Deployment, DeploymentRecord, Service};
use crate::model::plan::Step;

/// The base of one part.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Its definition.
    Content {
        /// Whether that is what `arn` holds, to the last image.
        as_it_stands: bool,
        /// ARN of the base; absent for an inline one.
        arn: Option<String>,
        /// Its family.
        family: String,
        /// RegisterTaskDefinition's input.
        content: Arc<Value>,
    },
    /// The same as when the revision was recorded.
    Unchanged,
}

/// Finds the base of a part; `recorded` is what the newest revision of this generation says of it.
/// `None`: something stands in the way, which is told in the draft.
pub fn find(draft: &mut Draft<'_>, part: &Part<'_>, recorded: Option<&PartTarget>) -> Option<Base> {
    match part.source {
        Source::Inline { family, content } => Some(Base::Content {
            as_it_stands: false,
            arn: None,
            family: family.clone(),
            content: content.clone(),
        }),
        Source::Family {
            family,
            registered_by,
        } => {
            let matcher = registered_by.as_ref();
            let arn = match newest_foreign(draft, part, family, recorded, |by| {
                matcher.is_none_or(|glob| by.is_some_and(|by| glob.is_match(by)))
            })? {
                Some(arn) => arn,
                None if recorded.is_some() => return Some(Base::Unchanged),
                None => {
                    if let Some(kept) = kept(draft, part, family) {
                        return Some(kept);
                    }
                    let resource = part.resource();
                    let message = match matcher {
                        None => format!(
                            "{resource}: family {family} has no ACTIVE revision to start from; register one (Terraform, CloudFormation or the console), or check the family's name"
                        ),
                        Some(glob) => format!(
                            "{resource}: none of the newest ACTIVE revisions of family {family} was registered by {}; have that one register it again, or correct registeredBy",
                            glob.glob()
                        ),
                    };
                    draft.stall(&resource, "TaskDefinitionNotFound", message);
                    return None;
                }
            };
            described(draft, part, &arn, recorded)
        }
        Source::Service(name) => {
            let Some(arn) = of_service(draft, part, name, recorded.is_some())? else {
                return Some(Base::Unchanged);
            };
            described(draft, part, &arn, recorded)
        }
    }
}

/// What an earlier revision was made of, where that is not ACTIVE any more: its recorded content
/// is as good, whatever images are in it.
fn kept(draft: &Draft<'_>, part: &Part<'_>, family: &str) -> Option<Base> {
    let target = super::revision::newest(draft)?
        .parts
        .get(&part.resource())
        .filter(|target| target.family == family)?;
    let base = target.base.clone()?;
    let active = draft.input.observed.families.get(family);
    if active.is_some_and(|known| known.present().is_some_and(|arns| arns.contains(&base))) {
        return None;
    }
    // It is what the next revision is made of too, and the one after that.
    Some(Base::Content {
        as_it_stands: false,
        arn: Some(base),
        family: family.to_owned(),
        content: draft.contents.get(&target.definition)?.clone(),
    })
}

/// Content of a base by its ARN.
fn described(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    arn: &str,
    recorded: Option<&PartTarget>,
) -> Option<Base> {
    if let Some(recorded) = recorded
        && (recorded.base.as_deref() == Some(arn) || is_target(draft, recorded, arn))
    {
        return Some(Base::Unchanged);
    }
    match draft.input.observed.definitions.get(arn) {
        Some(Known::Present(definition)) => Some(Base::Content {
            as_it_stands: true,
            arn: Some(definition.arn.clone()),
            family: definition.family.clone(),
            content: definition.content.clone(),
        }),
        Some(Known::Absent) => {
            let message = format!(
                "{}: task definition {} does not exist",
                part.resource(),
                short(arn)
            );
            draft.stall(&part.resource(), "TaskDefinitionNotFound", message);
            None
        }
        Some(Known::Unknown(why)) => {
            draft.doubt(&part.resource(), format!("{}: {why}", part.resource()));
            None
        }
        None => {
            let message = format!("{}: {} was not described", part.resource(), short(arn));
            draft.doubt(&part.resource(), message);
            None
        }
    }
}

/// Whether `arn` is what the recorded target was registered as.
fn is_target(draft: &Draft<'_>, recorded: &PartTarget, arn: &str) -> bool {
    recorded.arn.as_deref() == Some(arn)
        || registration(draft, recorded).is_some_and(|found| found.arn.as_deref() == Some(arn))
}

/// The ledger's entry of a target.
pub fn registration<'a>(draft: &Draft<'a>, target: &PartTarget) -> Option<&'a Registration> {
    let key = (target.family.clone(), target.definition.clone());
    draft.input.observed.ledger.registrations.get(&key)
}

/// The newest ACTIVE revision that evenkeel did not register. Outer `None`: not known yet.
fn newest_foreign(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    family: &str,
    recorded: Option<&PartTarget>,
    wanted: impl Fn(Option<&str>) -> bool,
) -> Option<Option<String>> {
    let observed = draft.input.observed;
    let Some(active) = draft.seen(&part.resource(), observed.families.get(family))? else {
        return Some(None);
    };
    let found = active
        .iter()
        .filter(|arn| !is_ours(draft, arn))
        .find(|arn| match observed.definitions.get(*arn) {
            Some(Known::Present(definition)) => wanted(definition.registered_by.as_deref()),
            Some(Known::Unknown(_) | Known::Absent) => true,
            // It is what was recorded, so it was wanted then; or further back than is looked.
            None => recorded.is_some_and(|it| it.base.as_deref() == Some(arn.as_str())),
        });
    Some(found.cloned())
}

/// Whether evenkeel registered a revision, as its ledger tells; a registration whose answer was
/// lost is told by its content.
pub fn is_ours(draft: &Draft<'_>, arn: &str) -> bool {
    let observed = draft.input.observed;
    observed.ledger.registrations.values().any(|found| {
        let intended = found.arn.is_none();
        found.arn.as_deref() == Some(arn)
            || found.former.iter().any(|former| former == arn)
            || (intended && is_answer(observed.definitions.get(arn), found))
    })
}

/// Whether a described revision is what an intent without answer led to.
pub fn is_answer(
    definition: Option<&Known<crate::model::observed::Definition>>,
    intent: &Registration,
) -> bool {
    definition
        .and_then(Known::present)
        .is_some_and(|definition| {
            definition.family == intent.family
                && definition.status == "ACTIVE"
                && normalize::definition_hash(&definition.content) == intent.definition
        })
}

/// Task definition of a service's newest successful deployment; else what it runs now. Outer
/// `None`: not known; inner: not known to be another than the one that is recorded.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether to go on at all"
)]
fn of_service(
    draft: &mut Draft<'_>,
    part: &Part<'_>,
    name: &str,
    is_recorded: bool,
) -> Option<Option<String>> {
    let observed = draft.input.observed;
    let Some(service) = draft.seen(&part.resource(), observed.services.get(name))? else {
        super::services::not_found(draft, name);
        return None;
    };
    match &service.records {
        Some(Known::Unknown(_)) if is_recorded => Some(None),
        Some(Known::Unknown(why)) => {
            draft.doubt(&part.resource(), format!("{}: {why}", part.resource()));
            None
        }
        _ => Some(Some(newest_successful(service).to_owned())),
    }
}

/// What a service is known to run well: the definition of its newest successful deployment; else
/// what it is set to.
pub fn newest_successful(service: &Service) -> &str {
    proven(service).unwrap_or(&service.task_definition)
}

/// The definition of a service's newest successful deployment: ECS's record first, then the
/// deployments that it lists.
pub fn proven(service: &Service) -> Option<&str> {
    let settled = |record: &&DeploymentRecord| record.status == "SUCCESSFUL";
    let recorded = match &service.records {
        Some(Known::Present(records)) => records
            .iter()
            .find(settled)
            .and_then(|record| record.task_definition.as_deref()),
        _ => None,
    };
    recorded.or_else(|| completed(&service.deployments))
}

/// The definition of the first deployment in the list that ECS calls COMPLETED.
pub fn completed(deployments: &[Deployment]) -> Option<&str> {
    deployments
        .iter()
        .find(|deployment| deployment.rollout_state.as_deref() == Some("COMPLETED"))
        .map(|deployment| deployment.task_definition.as_str())
}

/// Where a target's definition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It can be run.
    Active(String),
    /// It is being registered, or will be by this plan.
    Pending,
    /// Nobody knows.
    Doubt(String),
}

/// Makes sure that a target is registered, once; `reason` says what for.
pub fn ensure(draft: &mut Draft<'_>, resource: &str, target: &PartTarget) -> Registered {
    let arn = target.definition_arn(registration(draft, target));
    let Some(arn) = arn else {
        return register(draft, resource, target);
    };
    match activity(draft, target, &arn) {
        Activity::Active => {
            share(draft, resource, target);
            Registered::Active(arn)
        }
        Activity::Inactive => register(draft, resource, target),
        Activity::Settling => Registered::Pending,
        Activity::Doubt(why) => Registered::Doubt(why),
    }
}

/// Where a target stands, without doing anything about it.
pub fn registered(draft: &Draft<'_>, target: &PartTarget) -> Registered {
    let arn = target.definition_arn(registration(draft, target));
    arn.map_or(Registered::Pending, Registered::Active)
}

enum Activity {
    Active,
    Inactive,
    Settling,
    Doubt(String),
}

/// Deregistered revisions cannot start tasks any more.
fn activity(draft: &Draft<'_>, target: &PartTarget, arn: &str) -> Activity {
    let observed = draft.input.observed;
    let entry = registration(draft, target);
    if entry.is_some_and(|found| found.deregistered && found.arn.as_deref() == Some(arn)) {
        return Activity::Inactive;
    }
    match observed.families.get(&target.family) {
        Some(Known::Present(active)) if active.iter().any(|found| found == arn) => Activity::Active,
        Some(Known::Unknown(why)) => Activity::Doubt(why.clone()),
        // Not looked at: nothing of this pass depends on it.
        None => Activity::Active,
        Some(Known::Present(_) | Known::Absent) => match observed.definitions.get(arn) {
            Some(Known::Present(definition)) if definition.status == "ACTIVE" => Activity::Active,
            Some(Known::Present(_)) => Activity::Inactive,
            Some(Known::Unknown(why)) => Activity::Doubt(why.clone()),
            Some(Known::Absent) | None => {
                let young = entry.is_some_and(|found| {
                    draft.input.now.duration_since(found.intended_at) < SETTLING
                });
                if young {
                    Activity::Settling
                } else {
                    Activity::Inactive
                }
            }
        },
    }
}

/// Notes that this Release uses a registration that another one made.
fn share(draft: &mut Draft<'_>, resource: &str, target: &PartTarget) {
    let key = &draft.input.desired.key;
    let Some(entry) = registration(draft, target) else {
        return;
    };
    if entry.releases.contains(key) || planned(draft, target) {
        return;
    }
    let mut entry = entry.clone();
    entry.releases.push(key.clone());
    let reason = format!("{} is used by this release too", target.family);
    draft.act(resource, reason, Step::RecordRegistration(entry));
}

/// Whether this plan registers or records a target already.
fn planned(draft: &Draft<'_>, target: &PartTarget) -> bool {
    let mut registered = draft.actions.iter().filter_map(|it| registers(&it.step));
    registered.any(|it| it.family == target.family && it.definition == target.definition)
}

/// What a step registers, or records to be registered.
pub fn registers(step: &Step) -> Option<&Registration> {
    match step {
        Step::RegisterTaskDefinition { registration, .. }
        | Step::RecordRegistration(registration) => Some(registration),
        _ => None,
    }
}

fn register(draft: &mut Draft<'_>, resource: &str, target: &PartTarget) -> Registered {
    if planned(draft, target) {
        return Registered::Pending;
    }
    let input = draft.input;
    let Some(content) = draft.contents.get(&target.definition).cloned() else {
        return Registered::Doubt(format!(
            "the recorded content of {} was not read",
            target.family
        ));
    };
    let entry = registration(draft, target).cloned();
    if let Some(intent) = entry
        .as_ref()
        .filter(|found| found.arn.is_none() && !found.deregistered)
    {
        let answer = input
            .observed
            .definitions
            .iter()
            .filter(|(arn, definition)| {
                !intent.former.contains(arn) && is_answer(Some(definition), intent)
            })
            .map(|(arn, _)| arn.clone())
            .next_back();
        if let Some(arn) = answer {
            let reason = format!("{} was registered and its answer was lost", short(&arn));
            let found = Registration {
                arn: Some(arn),
                ..intent.clone()
            };
            draft.act(resource, reason, Step::RecordRegistration(found));
            return Registered::Pending;
        }
        if !intent.refused
            && let Some(why) = not_read(draft, &intent.family)
        {
            return Registered::Doubt(why);
        }
        if !intent.refused && input.now.duration_since(intent.intended_at) < SETTLING {
            draft.wake_after(SETTLING);
            return Registered::Pending;
        }
    }
    let intent = intent_of(draft, target, entry);
    let reason = match intent.former.last() {
        Some(former) => format!(
            "{} is not ACTIVE any more: registering its content again",
            short(former)
        ),
        None => format!("{resource} shall run it: {}", summary(&content)),
    };
    draft.act(
        resource,
        reason,
        Step::RegisterTaskDefinition {
            registration: intent,
            content,
        },
    );
    Registered::Pending
}

/// Why it cannot be told whether a family holds what a lost answer led to.
fn not_read(draft: &Draft<'_>, family: &str) -> Option<String> {
    let observed = draft.input.observed;
    match observed.families.get(family) {
        Some(Known::Present(active)) => {
            active
                .iter()
                .find_map(|arn| match observed.definitions.get(arn) {
                    Some(Known::Unknown(why)) => Some(why.clone()),
                    _ => None,
                })
        }
        Some(Known::Absent) => None,
        Some(Known::Unknown(why)) => Some(why.clone()),
        None => Some(format!("family {family} was not listed")),
    }
}

fn intent_of(draft: &Draft<'_>, target: &PartTarget, entry: Option<Registration>) -> Registration {
    let desired = draft.input.desired;
    let mut intent = entry.unwrap_or_else(|| Registration {
        version: 0,
        account: draft.input.observed.account.clone().unwrap_or_default(),
        region: desired.environment.region.clone(),
        family: target.family.clone(),
        definition: target.definition.clone(),
        arn: None,
        former: Vec::new(),
        intended_at: draft.input.now,
        refused: false,
        releases: Vec::new(),
        deregistered: false,
    });
    intent.former.extend(intent.arn.take());
    if let Some(arn) = target
        .arn
        .clone()
        .filter(|arn| !intent.former.contains(arn))
    {
        intent.former.push(arn);
    }
    intent.intended_at = draft.input.now;
    intent.refused = false;
    intent.deregistered = false;
    if !intent.releases.contains(&desired.key) {
        intent.releases.push(desired.key.clone());
    }
    intent
}

/// `app 1f0e8a7 ...` of a definition's images, short enough for a line.
fn summary(content: &Value) -> String {
    let images: BTreeMap<&str, &str> = super::taskdef::container_names(content)
        .filter_map(|name| Some((name, super::taskdef::image(content, name)?)))
        .collect();
    let parts: Vec<String> = images
        .into_iter()
        .map(|(name, image)| format!("{name}={}", short_image(image)))
        .collect();
    parts.join(", ")
}

/// `repository@sha256:0123456789ab` of an image, without its host.
pub fn short_image(image: &str) -> String {
    let name = image
        .split_once('/')
        .filter(|(host, _)| host.contains('.'))
        .map_or(image, |(_, rest)| rest);
    match name.split_once("@sha256:") {
        Some((repository, digest)) => {
            format!("{repository}@sha256:{}", digest.get(..12).unwrap_or(digest))
        }
        None => name.to_owned(),
    }
}
