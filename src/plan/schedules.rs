//! Schedules: EventBridge rules of this release, put right once every service has moved.

mod prune;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use prune::{made, may_prune, prune, prune_made, remove};

use super::base::{self, Registered};
use super::claims;
use super::draft::Draft;
use super::drift;
use super::rollout::short;
use super::target::{self, Place};
use crate::model::desired::Schedule;
use crate::model::known::Known;
use crate::model::ledger::{PartTarget, Revision, RevisionOutcome};
use crate::model::observed::Rule;
use crate::model::plan::Step;
use crate::resource::meta::ReleaseKey;
use crate::resource::status::{DifferenceAction, PartState, ScheduleStatus};

/// Tag that names the Release a rule belongs to.
pub const RELEASE_TAG: &str = "evenkeel:release";
/// Tag that names the table of the installation it belongs to.
pub const INSTALLATION_TAG: &str = "evenkeel:installation";

/// Both tags of a rule of this Release.
pub fn ownership(key: &ReleaseKey, installation: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (RELEASE_TAG.to_owned(), key.to_string()),
        (INSTALLATION_TAG.to_owned(), installation.to_owned()),
    ])
}

/// Whether a rule has both our tags.
pub fn is_owned(draft: &Draft<'_>, rule: &Rule) -> bool {
    let ours = ownership(&draft.input.desired.key, &draft.input.observed.installation);
    ours.iter()
        .all(|(key, value)| rule.tags.get(key) == Some(value))
}

/// Tells of schedules whose rules cannot be written at all, before anything else is begun.
pub fn check(draft: &mut Draft<'_>) {
    for schedule in &draft.input.desired.schedules {
        if let Some(Known::Present(rule)) = draft.input.observed.rules.get(&schedule.rule)
            && let Some((reason, message)) = refusal(draft, schedule, rule)
        {
            let resource = format!("schedule/{}", schedule.name);
            draft.stall(&resource, reason, format!("{resource}: {message}"));
        }
    }
}

/// Puts every declared schedule right; true once all are.
pub fn write(draft: &mut Draft<'_>, revision: &Revision, open: bool) -> bool {
    let mut all = true;
    for schedule in &draft.input.desired.schedules {
        let status = one(draft, revision, schedule, open);
        all &= status.state == PartState::Done;
        draft.status.schedules.push(status);
    }
    all
}

/// Points the rules that ran something before evenkeel's first write back at that. Nothing else of
/// them was recorded. True once all are.
pub fn point_back(draft: &mut Draft<'_>, zero: &Revision) -> bool {
    let mut all = true;
    for schedule in &draft.input.desired.schedules {
        let resource = format!("schedule/{}", schedule.name);
        if let Some(part) = zero.parts.get(&resource) {
            let status = one_back(draft, schedule, part);
            all &= status.state == PartState::Done;
            draft.status.schedules.push(status);
        }
    }
    all
}

fn one_back(draft: &mut Draft<'_>, schedule: &Schedule, part: &PartTarget) -> ScheduleStatus {
    let resource = format!("schedule/{}", schedule.name);
    let mut status = ScheduleStatus {
        name: schedule.name.clone(),
        rule_name: Some(schedule.rule.clone()),
        ..ScheduleStatus::default()
    };
    let known = draft.input.observed.rules.get(&schedule.rule);
    let Some(rule) = draft.seen(&resource, known) else {
        status.state = PartState::Unknown;
        return status;
    };
    // What is not ours yet was not touched.
    let ours = rule.filter(|rule| is_owned(draft, rule));
    let Some((_, existing)) = ours.and_then(|rule| our_target(draft, rule, schedule.adopt)) else {
        status.state = PartState::Done;
        return status;
    };
    let Some(arn) = registered(draft, &resource, part, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    if target::definition(existing) == Some(arn.as_str()) {
        status.state = PartState::Done;
        return status;
    }
    let mut wanted = existing.clone();
    if let Some(Value::Object(ecs)) = wanted.get_mut("EcsParameters") {
        ecs.insert("TaskDefinitionArn".to_owned(), json!(arn));
    }
    let input = json!({"Rule": schedule.rule, "Targets": [wanted]});
    let reason = format!("back to {}", short(&arn));
    draft.act(&resource, reason, Step::PutTargets { input });
    status.state = PartState::Progressing;
    let message = format!("{resource} is being written");
    draft.progress(&resource, "WritingSchedules", message);
    status
}

fn one(
    draft: &mut Draft<'_>,
    revision: &Revision,
    schedule: &Schedule,
    open: bool,
) -> ScheduleStatus {
    let resource = format!("schedule/{}", schedule.name);
    let mut status = ScheduleStatus {
        name: schedule.name.clone(),
        rule_name: Some(schedule.rule.clone()),
        ..ScheduleStatus::default()
    };
    let Some(rule) = usable(draft, schedule, &mut status) else {
        return status;
    };
    let Some(part) = revision.parts.get(&resource) else {
        return status;
    };
    let Some(arn) = registered(draft, &resource, part, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    let Some(cluster) = cluster_arn(draft) else {
        let message = format!("{resource}: the cluster's ARN is not known");
        draft.doubt(&resource, message);
        return status;
    };
    let place = Place {
        cluster: &cluster,
        task_definition: &arn,
    };
    let change = Change::of(draft, schedule, place, rule);
    if change.is_none() {
        status.state = PartState::Done;
        return status;
    }
    let correction = revision.outcome == RevisionOutcome::Ready;
    if correction {
        for (field, desired, actual) in change.fields.clone() {
            let action = DifferenceAction::Pending;
            drift::differs(draft, &resource, &field, desired, actual, action);
        }
    }
    if !open {
        let message = format!("{resource} waits until every service has moved");
        draft.wait(&resource, message.clone());
        status.message = Some(message);
        return status;
    }
    if correction && let Err(left) = drift::may_correct(draft, &resource, other_writer) {
        status.state = left.state;
        status.message = left.message;
        return status;
    }
    status.state = PartState::Progressing;
    carry_out(draft, &resource, schedule, change, correction);
    status
}

/// The definition to run, once it is registered.
fn registered(
    draft: &mut Draft<'_>,
    resource: &str,
    target: &PartTarget,
    status: &mut ScheduleStatus,
) -> Option<String> {
    match base::ensure(draft, resource, target) {
        Registered::Active(arn) => return Some(arn),
        Registered::Pending => {
            let message = format!("{resource} waits for its task definition to be registered");
            draft.progress(resource, "Progressing", message);
        }
        Registered::Doubt(why) => {
            draft.doubt(resource, format!("{resource}: {why}"));
            status.state = PartState::Unknown;
        }
    }
    None
}

/// The rule as observed, if it may be written. `Some(None)`: it is not there yet.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether to go on at all"
)]
fn usable<'a>(
    draft: &mut Draft<'a>,
    schedule: &Schedule,
    status: &mut ScheduleStatus,
) -> Option<Option<&'a Rule>> {
    let resource = format!("schedule/{}", schedule.name);
    let known = draft.input.observed.rules.get(&schedule.rule);
    let Some(rule) = draft.seen(&resource, known) else {
        status.state = PartState::Unknown;
        return None;
    };
    let Some(rule) = rule else {
        return Some(None);
    };
    let refused = refusal(draft, schedule, rule);
    if let Some((reason, message)) = refused {
        status.state = PartState::Failed;
        status.message = Some(message.clone());
        draft.stall(&resource, reason, format!("{resource}: {message}"));
        return None;
    }
    Some(Some(rule))
}

/// Why a rule cannot be written, if so: a word for programs, and a sentence.
fn refusal(draft: &Draft<'_>, schedule: &Schedule, rule: &Rule) -> Option<(&'static str, String)> {
    let name = &schedule.rule;
    if let Some(by) = rule.rule.get("ManagedBy").and_then(Value::as_str) {
        Some((
            "ManagedRule",
            format!("rule {name} is managed by {by}; give the schedule another ruleName"),
        ))
    } else if !is_owned(draft, rule) && !schedule.adopt {
        Some((
            "AdoptionRequired",
            format!(
                "rule {name} exists and is not this release's; say `adopt: true` to take it over, or give the schedule another ruleName"
            ),
        ))
    } else if schedule.adopt && is_ambiguous(draft, rule) {
        Some((
            "AdoptionAmbiguous",
            format!(
                "rule {name} has several ECS targets and none of them is named {}; remove all but one",
                target::TARGET_ID
            ),
        ))
    } else {
        None
    }
}

/// Several ECS targets, none of them ours.
fn is_ambiguous(draft: &Draft<'_>, rule: &Rule) -> bool {
    target::ecs_targets(rule).count() > 1 && our_target(draft, rule, true).is_none()
}

/// The target of a rule that runs our task.
fn our_target<'r>(
    draft: &Draft<'_>,
    rule: &'r Rule,
    adopt: bool,
) -> Option<(&'r str, &'r Map<String, Value>)> {
    let ledger = &draft.input.observed.ledger;
    target::ours(rule, adopt, |arn| {
        let registered = ledger.registrations.values().any(|found| {
            found.arn.as_deref() == Some(arn) || found.former.iter().any(|former| former == arn)
        });
        let revisions = ledger.revisions.values().filter(|found| found.number > 0);
        let mut parts = revisions.flat_map(|found| found.parts.values());
        registered || parts.any(|part| part.arn.as_deref() == Some(arn))
    })
}

/// What has to change in a rule.
struct Change {
    rule: Option<Value>,
    target: Option<Map<String, Value>>,
    tag: Option<String>,
    fields: Vec<(String, String, String)>,
}

impl Change {
    fn of(draft: &Draft<'_>, schedule: &Schedule, place: Place<'_>, rule: Option<&Rule>) -> Self {
        let existing = rule
            .and_then(|rule| our_target(draft, rule, schedule.adopt))
            .map(|(_, target)| target);
        let wanted = match existing.filter(|_| schedule.only_definition) {
            Some(existing) => target::pointed(place, existing),
            None => target::wanted(schedule, place, existing),
        };
        let targets = target::differences(&wanted, existing);
        let (put, mut fields) = match existing.filter(|_| schedule.only_definition) {
            Some(_) => (None, Vec::new()),
            None => put_rule(draft, schedule, rule),
        };
        let target = (!targets.is_empty()).then_some(wanted);
        fields.extend(targets);
        let tag = rule
            .filter(|rule| !is_owned(draft, rule))
            .map(|rule| rule.arn.clone());
        if rule.is_none() {
            fields = vec![(
                "rule".to_owned(),
                "(present)".to_owned(),
                "(absent)".to_owned(),
            )];
        }
        Self {
            rule: put,
            target,
            tag,
            fields,
        }
    }

    fn is_none(&self) -> bool {
        self.rule.is_none() && self.target.is_none() && self.tag.is_none()
    }
}

/// PutRule's input where the rule has to change, and in which fields. What is not declared is
/// carried over: PutRule replaces.
fn put_rule(
    draft: &Draft<'_>,
    schedule: &Schedule,
    rule: Option<&Rule>,
) -> (Option<Value>, Vec<(String, String, String)>) {
    let mut input = Map::new();
    if let Some(rule) = rule {
        for member in [
            "Name",
            "EventPattern",
            "Description",
            "RoleArn",
            "EventBusName",
            "ScheduleExpression",
            "State",
        ] {
            if let Some(value) = rule.rule.get(member).filter(|value| !value.is_null()) {
                input.insert(member.to_owned(), value.clone());
            }
        }
    }
    let mut declared = vec![
        ("ScheduleExpression", schedule.expression.clone()),
        ("State", schedule.state.as_str().to_owned()),
    ];
    declared.extend(
        schedule
            .description
            .clone()
            .map(|text| ("Description", text)),
    );
    let mut fields = Vec::new();
    for (member, value) in declared {
        let before = input.insert(member.to_owned(), json!(value));
        if before.as_ref() != Some(&json!(value)) {
            let before = before.and_then(|before| before.as_str().map(str::to_owned));
            fields.push((
                member.to_owned(),
                value,
                before.unwrap_or_else(|| "(absent)".to_owned()),
            ));
        }
    }
    if rule.is_none() {
        input.insert("Name".to_owned(), json!(schedule.rule));
        let ours = ownership(&draft.input.desired.key, &draft.input.observed.installation);
        let tags: Vec<Value> = ours
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        input.insert("Tags".to_owned(), json!(tags));
    }
    ((!fields.is_empty()).then_some(Value::Object(input)), fields)
}

/// Decides the calls: ownership first, then the rule, then its target.
fn carry_out(
    draft: &mut Draft<'_>,
    resource: &str,
    schedule: &Schedule,
    change: Change,
    correction: bool,
) {
    let fields: Vec<&str> = change
        .fields
        .iter()
        .map(|(field, _, _)| field.as_str())
        .collect();
    let verb = if correction { "put right" } else { "set" };
    let reason = format!("{verb} {}", fields.join(", "));
    if let Some(arn) = change.tag {
        let tags = ownership(&draft.input.desired.key, &draft.input.observed.installation);
        let reason = format!("rule {} is adopted", schedule.rule);
        draft.act(resource, reason, Step::TagRule { arn, tags });
    }
    if let Some(input) = change.rule {
        draft.act(resource, reason.clone(), Step::PutRule { input });
    }
    if let Some(target) = change.target {
        let definition = target::definition(&target);
        let reason = format!(
            "{reason}: run {}",
            definition.map_or("the released images", short)
        );
        let input = json!({"Rule": schedule.rule, "Targets": [target]});
        draft.act(resource, reason, Step::PutTargets { input });
    }
    draft.progress(
        resource,
        "WritingSchedules",
        format!("{resource} is being written"),
    );
}

/// ARN of the Environment's cluster.
fn cluster_arn(draft: &Draft<'_>) -> Option<String> {
    let environment = &draft.input.desired.environment;
    let account = draft.input.observed.account.as_deref()?;
    let region = &environment.region;
    Some(format!(
        "arn:{}:ecs:{region}:{account}:cluster/{}",
        claims::partition(region),
        environment.cluster
    ))
}

/// What is said of rules that are changed back each time.
fn other_writer(_: &Draft<'_>) -> String {
    "changed again: find that writer".to_owned()
}
