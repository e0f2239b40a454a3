//! Schedules of EventBridge Scheduler, in the group of their Release. A group has tags, and they
//! say whose all of it is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Change, Wanted, Why, claims, is_of, ownership, registered, rule, short, status_of};
use crate::model::desired::{Schedule, SchedulerSettings};
use crate::model::hash;
use crate::model::known::Known;
use crate::model::ledger::{Claim, PartTarget};
use crate::model::observed::{ScheduleGroup, Scheduled};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::target::{self, Place};
use crate::resource::firings::Firings;
use crate::resource::status::{PartState, ScheduleStatus};

/// Members that GetSchedule answers and UpdateSchedule does not take.
const TOLD_ONLY: [&str; 3] = ["Arn", "CreationDate", "LastModificationDate"];

/// AWS takes no beginning that lies further back than five minutes.
const PAST: SignedDuration = SignedDuration::from_mins(4);

/// Whether a group has both our tags.
pub fn is_owned_group(draft: &Draft<'_>, group: &ScheduleGroup) -> bool {
    is_of(draft, &group.tags)
}

/// Whether a schedule is switched on.
pub fn fires(found: &Scheduled) -> bool {
    found.schedule.get("State").and_then(Value::as_str) != Some("DISABLED")
}

/// The group, where it is there.
fn group<'a>(draft: &Draft<'a>) -> Option<&'a ScheduleGroup> {
    draft.input.observed.group.as_ref()?.present()
}

/// Why nothing may be written in the group, if so: a word for programs, and a sentence.
pub fn refusal(draft: &Draft<'_>, schedule: &Schedule) -> Option<(&'static str, String)> {
    let group = group(draft)?;
    if is_owned_group(draft, group) {
        return None;
    }
    let name = &group.name;
    let desired = draft.input.desired;
    if !desired.scheduled().any(|schedule| schedule.adopt) || !schedule.adopt {
        let message = format!(
            "schedule group {name} exists and is not this release's; say `adopt: true` for all of its schedules to take it over, or have it deleted"
        );
        return Some(("AdoptionRequired", message));
    }
    // What is ours is pruned where it is not declared.
    let declared = |name: &&String| desired.scheduled().any(|it| it.name == **name);
    let all = draft.input.observed.scheduled.keys();
    let others: Vec<&str> = all.filter(|it| !declared(it)).map(String::as_str).collect();
    let listed = draft.input.observed.group_listed == Some(true);
    (!listed || !others.is_empty()).then(|| {
        let message = format!(
            "schedule group {name} is to be taken over, and holds schedules that are not declared: {}; declare them, or move them to another group",
            others.join(", ")
        );
        ("AdoptionAmbiguous", message)
    })
}

/// The schedule as observed, if it may be looked at. `Some(None)`: it is not there yet.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether to go on at all"
)]
pub fn seen<'a>(
    draft: &mut Draft<'a>,
    schedule: &Schedule,
    status: &mut ScheduleStatus,
) -> Option<Option<&'a Scheduled>> {
    let resource = format!("schedule/{}", schedule.name);
    let observed = draft.input.observed;
    let known = observed.scheduled.get(&schedule.name);
    let seen = match draft.seen(&resource, observed.group.as_ref()) {
        Some(_) => draft.seen(&resource, known),
        None => None,
    };
    if seen.is_none() {
        status.state = PartState::Unknown;
        return None;
    }
    if group(draft).is_some_and(|group| group.state == "DELETING") {
        let message = format!(
            "{resource} waits until schedule group {} is deleted, and is made anew then",
            draft.input.desired.schedule_group
        );
        draft.progress(&resource, "WritingSchedules", message);
        return None;
    }
    seen
}

/// What has to change: the group first, and once that shows the schedule.
pub fn change(
    draft: &Draft<'_>,
    schedule: &Schedule,
    wanted: Wanted<'_>,
    found: Option<&Scheduled>,
) -> Change {
    let over = is_over(draft, schedule, found);
    let (input, fields) = match found.filter(|_| schedule.only_definition) {
        Some(found) => pointed(found, wanted.place),
        None => whole(draft, schedule, wanted, found, over),
    };
    if found.is_none() && over {
        // Its last time has passed: there is nothing to be made.
        let (steps, fields) = (Vec::new(), Vec::new());
        return Change { steps, fields };
    }
    let mut steps = owned(draft);
    if steps.is_empty() && !fields.is_empty() {
        let step = match found {
            Some(_) => Step::UpdateSchedule { input },
            None => Step::CreateSchedule { input },
        };
        steps.push((Why::Runs, step));
    }
    Change { steps, fields }
}

/// Makes the group ours, where it is not.
fn owned(draft: &Draft<'_>) -> Vec<(Why, Step)> {
    let desired = draft.input.desired;
    let tags = ownership(&desired.key, &draft.input.observed.installation);
    let name = &desired.schedule_group;
    let mut steps = Vec::new();
    match group(draft) {
        Some(group) if is_owned_group(draft, group) => {}
        Some(group) => {
            let arn = group.arn.clone();
            let why = Why::Own(format!("schedule group {name} is adopted"));
            steps.push((why, Step::TagScheduleGroup { arn, tags }));
        }
        None => {
            let tags: Vec<Value> = tags
                .iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect();
            let token = token(draft, name);
            let input = json!({"Name": name, "Tags": tags, "ClientToken": token});
            let why = Why::Own(format!(
                "schedule group {name} is to hold this release's schedules"
            ));
            steps.push((why, Step::CreateScheduleGroup { input }));
        }
    }
    steps
}

/// What makes AWS tell a call that is repeated from another one: new in each pass.
fn token(draft: &Draft<'_>, what: &str) -> String {
    let desired = draft.input.desired;
    hash::of(&json!([
        draft.input.observed.account,
        desired.environment.region,
        desired.uid,
        what,
        draft.input.now,
    ]))
}

/// Whether its last time has passed. AWS takes no end that lies in the past.
fn is_over(draft: &Draft<'_>, schedule: &Schedule, found: Option<&Scheduled>) -> bool {
    let now = draft.input.now;
    let settings = schedule.scheduler.as_ref();
    let carried = found.and_then(|found| moment(found.schedule.get("EndDate")?));
    let end = settings.and_then(|settings| settings.end).or(carried);
    let zone = settings.map(|settings| settings.time_zone.as_str());
    let once = match Firings::of(&schedule.expression, zone) {
        Some(once @ Firings::Once(_)) => once.next(now).is_none(),
        _ => false,
    };
    once || end.is_some_and(|end| end <= now)
}

/// A time as Scheduler writes it: seconds since 1970, or a text.
fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds of this millennium"
    )]
    let seconds = value.as_f64()? as i64;
    Timestamp::from_second(seconds).ok()
}

/// UpdateSchedule's input that has a schedule run another definition, and leaves the rest of it.
fn pointed(found: &Scheduled, place: Place<'_>) -> (Value, Vec<(String, String, String)>) {
    let mut input = carried(found);
    let existing = found.target().cloned().unwrap_or_default();
    let target = target::pointed(place, &existing);
    let fields = target::differences(&target, Some(&existing));
    input.insert("Target".to_owned(), Value::Object(target));
    (Value::Object(input), fields)
}

/// What UpdateSchedule has to be sent again of a schedule, since it replaces.
fn carried(found: &Scheduled) -> Map<String, Value> {
    let members = found.schedule.iter();
    let taken =
        members.filter(|(name, value)| !TOLD_ONLY.contains(&name.as_str()) && !value.is_null());
    taken
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// CreateSchedule's or UpdateSchedule's input, and in which fields it differs from what there is.
fn whole(
    draft: &Draft<'_>,
    schedule: &Schedule,
    wanted: Wanted<'_>,
    found: Option<&Scheduled>,
    over: bool,
) -> (Value, Vec<(String, String, String)>) {
    let mut input = found.map(carried).unwrap_or_default();
    let mut fields = Vec::new();
    for (member, value) in declared(draft, schedule, wanted, over) {
        let before = input.insert(member.to_owned(), value.clone());
        if !is_same(member, before.as_ref(), &value) {
            fields.push((
                member.to_owned(),
                shown(Some(&value)),
                shown(before.as_ref()),
            ));
        }
    }
    let existing = found.and_then(Scheduled::target);
    let mut target = target::wanted(schedule, wanted.place, existing);
    target.shift_remove("Id");
    fields.extend(target::differences(&target, existing));
    input.insert("Target".to_owned(), Value::Object(target));
    if found.is_none() {
        fields = vec![rule::absent("schedule")];
    }
    let desired = draft.input.desired;
    input.insert("Name".to_owned(), json!(schedule.name));
    input.insert("GroupName".to_owned(), json!(desired.schedule_group));
    let token = token(draft, &schedule.name);
    input.insert("ClientToken".to_owned(), json!(token));
    // It has begun, and saying so again is refused.
    let begun =
        |value: &Value| moment(value).is_some_and(|at| draft.input.now.duration_since(at) > -PAST);
    if input.get("StartDate").is_some_and(begun) {
        input.shift_remove("StartDate");
    }
    if over {
        // An end that has passed cannot be said again either, and without it there would be none.
        input.shift_remove("EndDate");
        input.insert("State".to_owned(), json!("DISABLED"));
    }
    (Value::Object(input), fields)
}

/// Members that are declared.
fn declared(
    draft: &Draft<'_>,
    schedule: &Schedule,
    wanted: Wanted<'_>,
    over: bool,
) -> Vec<(&'static str, Value)> {
    let mut declared = vec![("ScheduleExpression", json!(schedule.expression))];
    if !over {
        declared.push(("State", json!(wanted.state.as_str())));
    }
    if let Some(text) = &schedule.description {
        declared.push(("Description", json!(text)));
    }
    let Some(SchedulerSettings {
        time_zone,
        window,
        start,
        end,
    }) = &schedule.scheduler
    else {
        return declared;
    };
    declared.push(("ScheduleExpressionTimezone", json!(time_zone)));
    let window = match window {
        0 => json!({"Mode": "OFF"}),
        minutes => json!({"Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes}),
    };
    declared.push(("FlexibleTimeWindow", window));
    // What has begun has begun.
    let begins = start.filter(|start| draft.input.now.duration_since(*start) <= -PAST);
    declared.extend(begins.map(|at| ("StartDate", json!(at.as_second()))));
    let ends = end.filter(|_| !over);
    declared.extend(ends.map(|at| ("EndDate", json!(at.as_second()))));
    declared
}

/// Whether AWS says the same in its own way.
fn is_same(member: &str, before: Option<&Value>, value: &Value) -> bool {
    match member {
        "StartDate" | "EndDate" => before.and_then(moment) == moment(value),
        "ScheduleExpressionTimezone" => before.map_or(Some("UTC"), Value::as_str) == value.as_str(),
        "FlexibleTimeWindow" => {
            let minutes = |window: Option<&Value>| {
                let window = window?;
                let flexible = window.get("Mode")?.as_str() == Some("FLEXIBLE");
                flexible.then(|| window.get("MaximumWindowInMinutes")?.as_i64())?
            };
            minutes(before) == minutes(Some(value))
        }
        _ => before == Some(value),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "(absent)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => moment(other).map_or_else(|| other.to_string(), |at| at.to_string()),
    }
}

/// Keeps a schedule from firing.
pub fn stop(draft: &Draft<'_>, found: &Scheduled) -> Step {
    let mut input = carried(found);
    input.insert("Name".to_owned(), json!(found.name));
    input.insert("State".to_owned(), json!("DISABLED"));
    let begun =
        |value: &Value| moment(value).is_some_and(|at| draft.input.now.duration_since(at) > -PAST);
    if input.get("StartDate").is_some_and(begun) {
        input.shift_remove("StartDate");
    }
    let ended = |value: &Value| moment(value).is_some_and(|at| at <= draft.input.now);
    if input.get("EndDate").is_some_and(ended) {
        input.shift_remove("EndDate");
    }
    let token = token(draft, &found.name);
    input.insert("ClientToken".to_owned(), json!(token));
    let input = Value::Object(input);
    Step::UpdateSchedule { input }
}

/// Points a schedule back at what it ran before evenkeel's first write.
pub fn one_back(draft: &mut Draft<'_>, schedule: &Schedule, part: &PartTarget) -> ScheduleStatus {
    let resource = format!("schedule/{}", schedule.name);
    let mut status = status_of(draft, schedule);
    let Some(found) = seen(draft, schedule, &mut status) else {
        return status;
    };
    let owned = group(draft).is_some_and(|group| is_owned_group(draft, group));
    // What is not ours yet was not touched.
    let Some(found) = found.filter(|_| owned) else {
        status.state = PartState::Done;
        return status;
    };
    let Some(arn) = registered(draft, &resource, part, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    let place = Place {
        cluster: "",
        task_definition: &arn,
    };
    let (input, fields) = pointed(found, place);
    if fields.is_empty() {
        status.state = PartState::Done;
        return status;
    }
    let reason = format!("back to {}", short(&arn));
    draft.act(&resource, reason, Step::UpdateSchedule { input });
    status.state = PartState::Progressing;
    let message = format!("{resource} is being written");
    draft.progress(&resource, "WritingSchedules", message);
    status
}

/// The schedules that this Release claims and that are none of those named.
pub fn made<'a>(draft: &Draft<'a>, named: &[String]) -> Vec<(&'a Claim, &'a Known<Scheduled>)> {
    let observed = draft.input.observed;
    if !group(draft).is_some_and(|group| is_owned_group(draft, group)) {
        return Vec::new();
    }
    let claims = observed.ledger.claims.values();
    let of_schedules = claims.filter_map(|claim| {
        let name = claims::schedule_named(&claim.arn)?;
        let known = observed.scheduled.get(name)?;
        let is_there = !matches!(known, Known::Absent);
        (is_there && !named.iter().any(|it| it == name)).then_some((claim, known))
    });
    of_schedules.collect()
}

/// Takes a schedule away. False: that is under way.
pub fn remove(draft: &mut Draft<'_>, name: &str, arn: &str) -> bool {
    let group = draft.input.desired.schedule_group.clone();
    let resource = format!("scheduler/{name}");
    if !draft.input.desired.prune && draft.input.desired.deleting.is_none() {
        let message = format!("schedule {group}/{name} is no longer declared; prune is off");
        draft.wait(&resource, message);
        return true;
    }
    let message = format!("schedule {group}/{name} is being removed");
    let step = Step::DeleteSchedule {
        group,
        name: name.to_owned(),
    };
    draft.act(&resource, "no longer declared", step);
    if let Some(claim) = draft.input.observed.ledger.claims.get(arn) {
        draft.act(
            &resource,
            "its schedule is gone",
            Step::Unclaim(claim.clone()),
        );
    }
    draft.progress(&resource, "Pruning", message);
    false
}

/// Takes the group away with all that is in it; true once it is gone.
pub fn delete_group(draft: &mut Draft<'_>, reason: &str) -> bool {
    let Some(group) = group(draft) else {
        return true;
    };
    if !is_owned_group(draft, group) {
        return true;
    }
    let name = group.name.clone();
    let resource = format!("scheduler/{name}");
    if group.state != "DELETING" {
        let step = Step::DeleteScheduleGroup {
            group: name.clone(),
        };
        draft.act(&resource, reason, step);
    }
    let message = format!("schedule group {name} is being deleted");
    draft.progress(&resource, "Pruning", message);
    false
}
