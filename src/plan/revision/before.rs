//! Revision 0: what ran before evenkeel's first write, in contents and not only ARNs, so that there
//! is always something to go back to.
//!
//! That write may be long in coming: a revision waits for an approval, for its window, for its
//! migrations. Whoever else deploys a part meanwhile changes what is gone back to.

use std::collections::BTreeMap;

use crate::model::desired::{Part, PartKind};
use crate::model::hash;
use crate::model::known::Known;
use crate::model::ledger::{DefinitionContent, Ledger, PartTarget, Revision, RevisionOutcome};
use crate::model::observed::{Definition, Service};
use crate::model::plan::{Action, Step};
use crate::plan::draft::Draft;
use crate::plan::{base, normalize, target};

/// What is decided about revision 0, in a sentence.
const REASON: &str = "what ran before evenkeel's first write";

/// Decides to record it with a new revision: before the first, and what a part runs that evenkeel
/// has not moved yet since it was declared. `None`: that is not known.
pub fn record(draft: &mut Draft<'_>, latest: Option<&Revision>) -> Option<()> {
    let input = draft.input;
    let zero = input.observed.ledger.revisions.get(&0);
    if zero.is_none() && latest.is_some() {
        return Some(());
    }
    let mut found = Found::default();
    for part in open_parts(draft) {
        let resource = part.resource();
        let known = runs_now(draft, &part);
        let Some(ran) = draft.seen(&resource, known.as_ref())? else {
            continue;
        };
        if is_brought(draft, &resource, &ran.arn) {
            continue;
        }
        let before = recorded(zero, &resource).filter(|part| part.arn.as_ref() == Some(&ran.arn));
        match before {
            Some(before) => found.again(resource, before, ran.healthy),
            None => {
                let known = input.observed.definitions.get(&ran.arn);
                if let Some(definition) = draft.seen(&resource, known)? {
                    found.anew(resource, ran, definition);
                }
            }
        }
    }
    if zero.is_none() || !found.is_empty() {
        draft.act("revision/0", REASON, found.step(zero, nothing(draft)));
    }
    Some(())
}

/// Decides to record what another definition runs by now, while the newest revision has still to
/// move it. What is not known stays as it was recorded.
pub fn renew(draft: &mut Draft<'_>, current: &Revision) {
    let observed = draft.input.observed;
    let zero = observed.ledger.revisions.get(&0);
    if zero.is_none() || current.outcome != RevisionOutcome::Pending {
        return;
    }
    let mut found = Found::default();
    for part in open_parts(draft) {
        let resource = part.resource();
        let Some(Known::Present(ran)) = runs_now(draft, &part) else {
            continue;
        };
        let definition = observed.definitions.get(&ran.arn);
        let before = recorded(zero, &resource).and_then(|part| part.arn.as_ref());
        if before != Some(&ran.arn)
            && !is_brought(draft, &resource, &ran.arn)
            && let Some(definition) = definition.and_then(Known::present)
        {
            found.anew(resource, &ran, definition);
        }
    }
    if !found.is_empty() {
        draft.act("revision/0", REASON, found.step(zero, nothing(draft)));
    }
}

/// Decides to record how services were in the moment in which they are moved first: how they are
/// while nothing is begun changes with every task, and nothing depends on it.
pub fn at_first_move(draft: &mut Draft<'_>) {
    let observed = draft.input.observed;
    let ledger = &observed.ledger;
    let zero = ledger.revisions.get(&0);
    let mut found = Found::default();
    for action in &draft.actions {
        let service = match &action.step {
            // Recorded in this very pass, it is as new as can be.
            Step::RecordRevision { revision, .. } if revision.number == 0 => return,
            step => match step.moves() {
                Some(service) => service,
                None => continue,
            },
        };
        let resource = format!("service/{service}");
        let before = recorded(zero, &resource).filter(|_| !is_moved(ledger, &resource));
        let now = observed.services.get(service).and_then(Known::present);
        if let (Some(before), Some(now)) = (before, now)
            && before.arn.as_ref() == Some(&now.task_definition)
        {
            found.again(resource, before, is_healthy(now));
        }
    }
    let moves = |action: &Action| action.step.moves().is_some();
    if !found.is_empty()
        && let Some(first) = draft.actions.iter().position(moves)
    {
        let action = Action {
            resource: "revision/0".to_owned(),
            reason: REASON.to_owned(),
            step: found.step(zero, nothing(draft)),
        };
        draft.actions.insert(first, action);
    }
}

/// Whether the definition that a part runs is to be recorded, and is not yet.
pub fn is_unrecorded(ledger: &Ledger, resource: &str, arn: &str) -> bool {
    let before = recorded(ledger.revisions.get(&0), resource);
    !is_moved(ledger, resource) && before.is_none_or(|part| part.arn.as_deref() != Some(arn))
}

fn recorded<'a>(zero: Option<&'a Revision>, resource: &str) -> Option<&'a PartTarget> {
    zero?.parts.get(resource)
}

/// The parts that run something and that evenkeel has not moved yet.
fn open_parts<'a>(draft: &Draft<'a>) -> Vec<Part<'a>> {
    let ledger = &draft.input.observed.ledger;
    let parts = draft.input.desired.parts();
    parts
        .filter(|part| !is_task(part.kind) && !is_moved(ledger, &part.resource()))
        .collect()
}

/// Whether a part runs once, so that nothing of it runs before.
fn is_task(kind: PartKind) -> bool {
    matches!(kind, PartKind::Hook | PartKind::Migration)
}

/// Whether evenkeel moved a part since it was declared, or found it as it is declared.
fn is_moved(ledger: &Ledger, resource: &str) -> bool {
    let since = since_declared(ledger, resource);
    let Some(first) = since.last() else {
        return false;
    };
    let ended = [RevisionOutcome::Ready, RevisionOutcome::Rejected];
    let name = resource.strip_prefix("service/");
    let rollout = name.and_then(|name| ledger.rollouts.get(name));
    since.iter().any(|it| ended.contains(&it.outcome))
        || rollout.is_some_and(|it| it.requested_at >= first.created_at)
}

/// The revisions that name a part since it was declared last, newest first. One that was Ready
/// without it says that it was taken out; one that was gone back to does not.
fn since_declared<'a>(ledger: &'a Ledger, resource: &str) -> Vec<&'a Revision> {
    let names = |it: &Revision| it.parts.contains_key(resource);
    let takes_out =
        |it: &Revision| !names(it) && it.pinned.is_none() && it.outcome == RevisionOutcome::Ready;
    let revisions = ledger.revisions.values().rev();
    revisions
        .take_while(|it| it.number > 0 && !takes_out(it))
        .filter(|it| names(it))
        .collect()
}

/// Whether a definition is what a revision brought to a part that is not all there yet: of rules,
/// nothing else tells that they were written.
fn is_brought(draft: &Draft<'_>, resource: &str, arn: &str) -> bool {
    let since = since_declared(&draft.input.observed.ledger, resource);
    since.iter().any(|revision| {
        let target = revision.parts.get(resource);
        let registration = target.and_then(|target| base::registration(draft, target));
        registration.is_some_and(|found| found.arn.as_deref() == Some(arn))
    })
}

/// What a part runs.
struct Runs {
    arn: String,
    healthy: bool,
}

/// Definition that a service or an existing rule runs now, and whether it is healthy. `None`: it
/// was not looked at.
fn runs_now(draft: &Draft<'_>, part: &Part<'_>) -> Option<Known<Runs>> {
    let observed = draft.input.observed;
    match part.kind {
        PartKind::Hook | PartKind::Migration => Some(Known::Absent),
        PartKind::Service => {
            let known = observed.services.get(part.name)?.as_ref();
            Some(known.map(|service| Runs {
                arn: service.task_definition.clone(),
                healthy: is_healthy(service),
            }))
        }
        PartKind::Schedule => {
            let mut schedules = draft.input.desired.schedules.iter();
            let schedule = schedules.find(|found| found.name == part.name)?;
            let target = match schedule.scheduler {
                Some(_) => {
                    let known = observed.scheduled.get(&schedule.name)?.as_ref();
                    known.map(|found| target::definition(found.target()?))
                }
                None => {
                    let known = observed.rules.get(&schedule.rule)?.as_ref();
                    known.map(|rule| {
                        let (_, target) = target::ours(rule, true, |_| false)?;
                        target::definition(target)
                    })
                }
            };
            Some(match target {
                Known::Present(Some(arn)) => Known::Present(Runs {
                    arn: arn.to_owned(),
                    healthy: true,
                }),
                Known::Present(None) | Known::Absent => Known::Absent,
                Known::Unknown(why) => Known::Unknown(why),
            })
        }
    }
}

fn is_healthy(service: &Service) -> bool {
    service.primary().is_none_or(|primary| {
        primary.rollout_state.as_deref() != Some("FAILED")
            && primary.running_count >= primary.desired_count
    })
}

/// Parts whose record is another than it was.
#[derive(Default)]
struct Found {
    parts: BTreeMap<String, PartTarget>,
    contents: Vec<DefinitionContent>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// A part that still runs what was recorded.
    fn again(&mut self, resource: String, before: &PartTarget, healthy: bool) {
        if before.healthy != Some(healthy) {
            let part = PartTarget {
                healthy: Some(healthy),
                ..before.clone()
            };
            self.parts.insert(resource, part);
        }
    }

    /// A part that runs something else.
    fn anew(&mut self, resource: String, ran: &Runs, definition: &Definition) {
        let hash = normalize::definition_hash(&definition.content);
        let part = PartTarget {
            family: definition.family.clone(),
            base: None,
            structure: hash.clone(),
            definition: hash.clone(),
            arn: Some(ran.arn.clone()),
            roles: Vec::new(),
            healthy: Some(ran.healthy),
        };
        self.parts.insert(resource, part);
        self.contents.push(DefinitionContent {
            hash,
            content: definition.content.clone(),
        });
    }

    /// Revision 0 with these parts, over what it was.
    fn step(self, before: Option<&Revision>, nothing: Revision) -> Step {
        let mut zero = before.cloned().unwrap_or(nothing);
        zero.parts.extend(self.parts);
        let definitions = zero
            .parts
            .iter()
            .map(|(name, part)| (name, &part.definition));
        zero.content = hash::of(&definitions.collect::<Vec<_>>());
        Step::RecordRevision {
            revision: Box::new(zero),
            contents: self.contents,
        }
    }
}

fn nothing(draft: &Draft<'_>) -> Revision {
    Revision {
        hooks: BTreeMap::new(),
        continues: None,
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
