//! Schedules that are EventBridge rules.

use serde_json::{Map, Value, json};

use super::{Change, Wanted, Why, is_owned, ownership};
use crate::model::desired::Schedule;
use crate::model::observed::Rule;
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::target;
use crate::resource::release::ScheduleState;

/// Why a rule cannot be written, if so: a word for programs, and a sentence.
pub fn refusal(
    draft: &Draft<'_>,
    schedule: &Schedule,
    rule: &Rule,
) -> Option<(&'static str, String)> {
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
pub fn our_target<'r>(
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

/// Whether a rule runs our task.
pub fn fires(draft: &Draft<'_>, rule: &Rule) -> bool {
    is_enabled(rule) && our_target(draft, rule, false).is_some()
}

/// What has to change in a rule: its owner first, then itself, then its target.
pub fn change(
    draft: &Draft<'_>,
    schedule: &Schedule,
    wanted: Wanted<'_>,
    rule: Option<&Rule>,
) -> Change {
    let existing = rule
        .and_then(|rule| our_target(draft, rule, schedule.adopt))
        .map(|(_, target)| target);
    let as_it_is = existing.filter(|_| schedule.only_definition);
    let whole = match as_it_is {
        Some(existing) => target::pointed(wanted.place, existing),
        None => target::wanted(schedule, wanted.place, existing),
    };
    // Made switched off, for another one fires still: where others run something through the rule,
    // it is our target that is not there yet.
    let is_made = wanted.state != schedule.state;
    let held = is_made && rule.is_some_and(|rule| is_others(draft, rule));
    let state = if held { schedule.state } else { wanted.state };
    let targets = match held {
        true => Vec::new(),
        false => target::differences(&whole, existing),
    };
    let (put, mut fields) = match as_it_is {
        Some(_) => (None, Vec::new()),
        None => put_rule(draft, schedule, state, rule),
    };
    let mut steps = Vec::new();
    if let Some(rule) = rule.filter(|rule| !is_owned(draft, rule)) {
        let tags = ownership(&draft.input.desired.key, &draft.input.observed.installation);
        let why = Why::Own(format!("rule {} is adopted", schedule.rule));
        let arn = rule.arn.clone();
        steps.push((why, Step::TagRule { arn, tags }));
    }
    if let Some(input) = put {
        steps.push((Why::Fields, Step::PutRule { input }));
    }
    if !targets.is_empty() {
        let input = json!({"Rule": schedule.rule, "Targets": [whole]});
        steps.push((Why::Runs, Step::PutTargets { input }));
    }
    fields.extend(targets);
    if rule.is_none() {
        fields = vec![absent("rule")];
    }
    Change { steps, fields }
}

/// Whether a rule is switched on for others, and not for us.
fn is_others(draft: &Draft<'_>, rule: &Rule) -> bool {
    let ours = our_target(draft, rule, false);
    ours.is_none() && !rule.targets.is_empty() && is_enabled(rule)
}

fn is_enabled(rule: &Rule) -> bool {
    rule.rule.get("State").and_then(Value::as_str) != Some("DISABLED")
}

/// A resource that is not there.
pub fn absent(what: &str) -> (String, String, String) {
    (
        what.to_owned(),
        "(present)".to_owned(),
        "(absent)".to_owned(),
    )
}

/// Has a rule run our task, or keeps it from that, and leaves the rest of it; what others run
/// through it goes on.
pub fn switched(draft: &Draft<'_>, rule: &Rule, state: ScheduleState) -> Step {
    let ours = our_target(draft, rule, false).map(|(id, _)| id.to_owned());
    let shared = state == ScheduleState::Disabled && rule.targets.len() > 1;
    if let Some(id) = ours.filter(|_| shared) {
        return Step::RemoveTargets {
            rule: rule.name.clone(),
            ids: vec![id],
        };
    }
    let mut input = carried(rule);
    input.insert("State".to_owned(), json!(state.as_str()));
    Step::PutRule {
        input: Value::Object(input),
    }
}

/// What PutRule has to be sent again of a rule, since it replaces.
fn carried(rule: &Rule) -> Map<String, Value> {
    let members = [
        "Name",
        "EventPattern",
        "Description",
        "RoleArn",
        "EventBusName",
        "ScheduleExpression",
        "State",
    ];
    let value = |member: &str| rule.rule.get(member).filter(|value| !value.is_null());
    let found = members.into_iter();
    found
        .filter_map(|member| Some((member.to_owned(), value(member)?.clone())))
        .collect()
}

/// PutRule's input where the rule has to change, and in which fields. What is not declared is
/// carried over: PutRule replaces.
fn put_rule(
    draft: &Draft<'_>,
    schedule: &Schedule,
    state: ScheduleState,
    rule: Option<&Rule>,
) -> (Option<Value>, Vec<(String, String, String)>) {
    let mut input = rule.map(carried).unwrap_or_default();
    let mut declared = vec![
        ("ScheduleExpression", schedule.expression.clone()),
        ("State", state.as_str().to_owned()),
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
