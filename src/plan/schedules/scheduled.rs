//! Schedules of EventBridge Scheduler, in the group of their Release. A group has tags, and they
//! say whose all of it is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::course::{Course, end_soon, moment, renew, to_say};
use super::switch::STARTED;
use super::{Change, Wanted, Why, claims, is_of, ownership, registered, rule, short, status_of};
use crate::model::desired::{Schedule, SchedulerSettings};
use crate::model::hash;
use crate::model::known::Known;
use crate::model::ledger::{Claim, PartTarget};
use crate::model::observed::{ScheduleGroup, Scheduled};
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::target::{self, Place};
use crate::resource::release::ScheduleState;
use crate::resource::status::{PartState, ScheduleStatus};

/// Members that GetSchedule answers and UpdateSchedule does not take.
const TOLD_ONLY: [&str; 3] = ["Arn", "CreationDate", "LastModificationDate"];

/// Whether a group has both our tags.
pub fn is_owned_group(draft: &Draft<'_>, group: &ScheduleGroup) -> bool {
    is_of(draft, &group.tags)
}

/// Whether a schedule is switched on, and has a time to come or one that may be started still.
pub fn fires(found: &Scheduled, now: Timestamp) -> bool {
    let window = found.schedule.get("FlexibleTimeWindow");
    let window = window.and_then(|it| it.get("MaximumWindowInMinutes")?.as_i64());
    let late = STARTED.saturating_add(SignedDuration::from_mins(window.unwrap_or(0)));
    let over = Course::of(found).over_since(now);
    is_on(found) && over.is_none_or(|since| now.duration_since(since) < late)
}

/// Whether a schedule would fire, were it switched on.
pub fn is_off(found: &Scheduled, now: Timestamp) -> bool {
    !is_on(found) && !Course::of(found).is_over(now)
}

fn is_on(found: &Scheduled) -> bool {
    found.schedule.get("State").and_then(Value::as_str) != Some("DISABLED")
}

/// Whether the last time of a schedule has passed, and what is declared of it changes nothing about
/// that. AWS takes no end that has passed, and an update without one would bring it to life again,
/// or take back what is being started: so it stays as it is.
pub fn rests(draft: &Draft<'_>, schedule: &Schedule, found: &Scheduled) -> bool {
    let now = draft.input.now;
    let declared = Course::declared(schedule, Some(found));
    Course::of(found).is_over(now) && (schedule.only_definition || declared.is_over(now))
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
    let over = Course::declared(schedule, found).is_over(draft.input.now);
    if found.is_none() && over {
        // There is nothing to be made.
        let (steps, fields) = (Vec::new(), Vec::new());
        return Change { steps, fields };
    }
    if found.is_some_and(|found| rests(draft, schedule, found)) {
        let (steps, fields) = (owned(draft), Vec::new());
        return Change { steps, fields };
    }
    let (input, fields) = match found.filter(|_| schedule.only_definition) {
        Some(found) => pointed(found, wanted.place, draft.input.now),
        None => whole(draft, schedule, wanted, found, over),
    };
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

/// UpdateSchedule's input that has a schedule run another definition, and leaves the rest of it.
fn pointed(
    found: &Scheduled,
    place: Place<'_>,
    now: Timestamp,
) -> (Value, Vec<(String, String, String)>) {
    let mut input = carried(found);
    renew(&mut input, None, now);
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
    let now = draft.input.now;
    let settings = schedule.scheduler.as_ref();
    renew(&mut input, settings.and_then(|it| it.start), now);
    if over {
        input.shift_remove("StartDate");
    }
    if Course::declared(schedule, found)
        .end
        .is_some_and(|end| end <= now)
    {
        // That it has ended shows for ever, also once nobody declares it any more.
        end_soon(&mut input, now);
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
    let state = match over {
        true => ScheduleState::Disabled,
        false => wanted.state,
    };
    let mut declared = vec![
        ("ScheduleExpression", json!(schedule.expression)),
        ("State", json!(state.as_str())),
    ];
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
    let now = draft.input.now;
    let begins = start.filter(|start| !over && to_say(&schedule.expression, *start, now));
    declared.extend(begins.map(|at| ("StartDate", json!(at.as_second()))));
    let ends = end.filter(|end| *end > now);
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

/// Switches a schedule on or off, and leaves the rest of it.
pub fn switched(draft: &Draft<'_>, found: &Scheduled, state: ScheduleState) -> Step {
    let mut input = carried(found);
    input.insert("Name".to_owned(), json!(found.name));
    input.insert("State".to_owned(), json!(state.as_str()));
    renew(&mut input, None, draft.input.now);
    let token = token(draft, &found.name);
    input.insert("ClientToken".to_owned(), json!(token));
    let input = Value::Object(input);
    Step::UpdateSchedule { input }
}

/// The same update with the schedule still off: it changes nothing, and is refused where the update
/// would be.
pub fn rehearsed(draft: &Draft<'_>, step: &Step) -> Option<Step> {
    let Step::UpdateSchedule { input } = step else {
        return None;
    };
    let mut input = input.as_object()?.clone();
    let name = input.get("Name").and_then(Value::as_str);
    let token = token(draft, &format!("rehearsal of {}", name.unwrap_or_default()));
    input.insert("State".to_owned(), json!("DISABLED"));
    input.insert("ClientToken".to_owned(), json!(token));
    let input = Value::Object(input);
    Some(Step::UpdateSchedule { input })
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
    let now = draft.input.now;
    if Course::of(found).is_over(now) {
        status.state = PartState::Done;
        return status;
    }
    let (input, fields) = pointed(found, place, now);
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
