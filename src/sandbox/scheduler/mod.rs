//! EventBridge Scheduler: groups of schedules, as its documentation tells them. When they fire is
//! in [`super::firing`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cx::Cx;
use super::delayed::Delayed;
use super::fault::Fault;
use super::json::{Object, int, text};

mod checks;
mod groups;
mod schedules;
mod tags;

pub(super) use checks::date;

/// The group that is always there.
const DEFAULT: &str = "default";

/// How long a group that was deleted, and all that is in it, stays.
const DELETING: SignedDuration = SignedDuration::from_secs(15);

/// EventBridge Scheduler in one Region.
#[derive(Default)]
pub(super) struct Scheduler {
    groups: BTreeMap<String, Delayed<Group>>,
    /// By group and name.
    schedules: BTreeMap<(String, String), Delayed<Schedule>>,
    /// What each client token was used for.
    tokens: BTreeMap<String, Object>,
}

#[derive(Clone)]
struct Group {
    created: Timestamp,
    deleted: Option<Timestamp>,
    tags: BTreeMap<String, String>,
}

/// A schedule as GetSchedule shows it, without its names and dates.
#[derive(Clone)]
struct Schedule {
    members: Object,
    created: Timestamp,
    modified: Timestamp,
}

impl Scheduler {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        self.finish_deletions(cx);
        match operation {
            "CreateScheduleGroup" => self.create_group(cx, input),
            "GetScheduleGroup" => self.get_group(cx, input),
            "ListScheduleGroups" => self.list_groups(cx, input),
            "DeleteScheduleGroup" => self.delete_group(cx, input),
            "CreateSchedule" => self.create_schedule(cx, input),
            "UpdateSchedule" => self.update_schedule(cx, input),
            "GetSchedule" => self.get_schedule(cx, input),
            "DeleteSchedule" => self.delete_schedule(cx, input),
            "ListSchedules" => self.list_schedules(cx, input),
            "TagResource" => self.tag_resource(cx, input),
            "UntagResource" => self.untag_resource(cx, input),
            "ListTagsForResource" => self.list_tags(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Schedules that are switched on, by `group/name`.
    pub fn enabled(&self) -> impl Iterator<Item = (String, &Object)> {
        let all = self.schedules.iter();
        all.filter_map(|((group, name), schedule)| {
            let members = &schedule.latest()?.members;
            let on = text(members, "State") != Some("DISABLED");
            on.then(|| (format!("{group}/{name}"), members))
        })
    }

    /// What was deleted is gone after a while.
    pub fn finish_deletions(&mut self, cx: &Cx<'_>) {
        let is_over = |group: &Delayed<Group>| {
            let deleted = group.latest().and_then(|group| group.deleted);
            deleted.is_some_and(|at| cx.now.duration_since(at) >= DELETING)
        };
        let over = self.groups.iter().filter(|(_, group)| is_over(group));
        let over: Vec<String> = over.map(|(name, _)| name.clone()).collect();
        for name in over {
            if let Some(group) = self.groups.get_mut(&name) {
                group.remove(cx);
            }
            let inside = self
                .schedules
                .iter_mut()
                .filter(|((group, _), _)| *group == name);
            inside.for_each(|(_, schedule)| schedule.remove(cx));
        }
        self.groups.retain(|_, group| !group.is_gone(cx));
        self.schedules.retain(|_, schedule| !schedule.is_gone(cx));
    }

    /// Whether this very call was made under its token before; another one under it is refused.
    fn is_repeated(&self, input: &Object) -> Result<bool, Fault> {
        let Some(used) = text(input, "ClientToken").and_then(|token| self.tokens.get(token)) else {
            return Ok(false);
        };
        match used == input {
            true => Ok(true),
            false => Err(conflict(
                "The client token was used with other parameters before.",
            )),
        }
    }

    fn used_token(&mut self, input: &Object) {
        if let Some(token) = text(input, "ClientToken") {
            self.tokens.insert(token.to_owned(), input.clone());
        }
    }
}

fn arn(cx: &Cx<'_>, resource: &str) -> String {
    format!("arn:aws:scheduler:{}:{}:{resource}", cx.region, cx.account)
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::client("ValidationException", message)
}

fn conflict(message: impl Into<String>) -> Fault {
    Fault {
        status: 409,
        ..Fault::client("ConflictException", message)
    }
}

fn not_found(what: &str) -> Fault {
    Fault {
        status: 404,
        ..Fault::client(
            "ResourceNotFoundException",
            format!("{what} does not exist."),
        )
    }
}

/// The sentence in which AWS's model validation tells a broken constraint.
fn constraint(value: &str, at: &str, rule: &str) -> Fault {
    validation(format!(
        "1 validation error detected: {value} at '{at}' failed to satisfy constraint: Member must \
         {rule}"
    ))
}

/// A name of 1 to 64 of `[0-9a-zA-Z-_.]`.
fn check_name(name: &str, at: &str) -> Result<(), Fault> {
    let value = format!("Value '{name}'");
    if name.is_empty() || name.len() > 64 {
        return Err(constraint(&value, at, "have length between 1 and 64"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(allowed) {
        let rule = "satisfy regular expression pattern: [0-9a-zA-Z-_.]+";
        return Err(constraint(&value, at, rule));
    }
    Ok(())
}

fn needed<'a>(input: &'a Object, key: &str, at: &str) -> Result<&'a str, Fault> {
    text(input, key).ok_or_else(|| constraint("Value null", at, "not be null"))
}

/// Pages of at most 100.
fn limit(input: &Object) -> Result<usize, Fault> {
    match int(input, "MaxResults") {
        None => Ok(100),
        Some(asked @ 1..=100) => Ok(usize::try_from(asked).unwrap_or(100)),
        Some(asked) => Err(constraint(
            &format!("Value '{asked}'"),
            "maxResults",
            "have value between 1 and 100",
        )),
    }
}

fn bad_token() -> Fault {
    validation("Invalid pagination token provided.")
}

/// An answer with a page.
fn paged(member: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = json!({ member: items });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    answer
}
