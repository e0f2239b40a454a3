//! EventBridge Scheduler: groups of schedules, lossless. UpdateSchedule replaces all of a schedule
//! (<https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html>), so what is
//! there must be read whole and sent back whole.
//!
//! It speaks REST: names are in the path, which the SDK writes, and everything else is in a body
//! that is ours.

use std::collections::BTreeMap;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::Builder;
use serde_json::{Map, Value};

use super::error::{AwsError, Call};
use super::raw::{Exchange, objects, send, string};
use super::retry::OnlyIfNotDone;
use crate::model::known::Known;
use crate::model::observed::{ScheduleGroup, Scheduled};

#[cfg(test)]
mod tests;

const SERVICE: &str = "scheduler";
/// Schedules of one page.
const PAGE: i32 = 100;

/// EventBridge Scheduler in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scheduler {
    client: Client,
}

/// A schedule as ListSchedules tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Name in its group.
    pub name: String,
    /// ENABLED or DISABLED.
    pub state: Option<String>,
    /// When it was changed last, as it stands in the answer.
    pub modified: Option<String>,
}

impl Scheduler {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// A group with its tags.
    pub async fn group(&self, name: &str) -> Result<Known<ScheduleGroup>, AwsError> {
        let call = Call::read(SERVICE, "GetScheduleGroup", group_named(name));
        let request = self.client.get_schedule_group().name(name);
        let found = match send!(request, &call, Exchange::reading()) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(Known::Absent),
            Err(error) => return Err(error),
        };
        let text = |key: &str| string(&found, key).unwrap_or_default();
        let arn = text("Arn");
        let call = Call::read(SERVICE, "ListTagsForResource", group_named(name));
        let request = self.client.list_tags_for_resource().resource_arn(&arn);
        let mut answer = match send!(request, &call, Exchange::reading()) {
            Ok(answer) => answer,
            // It was deleted meanwhile.
            Err(error) if error.is_not_found() => return Ok(Known::Absent),
            Err(error) => return Err(error),
        };
        let pair = |tag: Map<String, Value>| Some((string(&tag, "Key")?, string(&tag, "Value")?));
        let tags = objects(&mut answer, "Tags");
        Ok(Known::Present(ScheduleGroup {
            name: name.to_owned(),
            state: text("State"),
            tags: tags.into_iter().filter_map(pair).collect(),
            arn,
        }))
    }

    /// Every schedule of a group, by name. Absent: there is no such group.
    pub async fn schedules(&self, group: &str) -> Result<Known<Vec<Listed>>, AwsError> {
        let call = Call::read(SERVICE, "ListSchedules", group_named(group));
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_schedules().group_name(group);
            let request = request.max_results(PAGE).set_next_token(token.clone());
            let mut answer = match send!(request, &call, Exchange::reading()) {
                Ok(answer) => answer,
                Err(error) if error.is_not_found() => return Ok(Known::Absent),
                Err(error) => return Err(error),
            };
            let listed = |it: Map<String, Value>| {
                // Some servers do not filter.
                let here = string(&it, "GroupName").is_none_or(|name| name == group);
                let modified = it.get("LastModificationDate");
                Some(Listed {
                    name: string(&it, "Name").filter(|_| here)?,
                    state: string(&it, "State"),
                    modified: modified.filter(|it| !it.is_null()).map(Value::to_string),
                })
            };
            found.extend(
                objects(&mut answer, "Schedules")
                    .into_iter()
                    .filter_map(listed),
            );
            token = call.next_page(token.as_ref(), string(&answer, "NextToken"))?;
            if token.is_none() {
                found.sort_by(|one, other| one.name.cmp(&other.name));
                return Ok(Known::Present(found));
            }
        }
    }

    /// A schedule, as GetSchedule answers.
    pub async fn schedule(&self, group: &str, name: &str) -> Result<Known<Scheduled>, AwsError> {
        let call = Call::read(SERVICE, "GetSchedule", schedule_named(group, name));
        let request = self.client.get_schedule().group_name(group).name(name);
        match send!(request, &call, Exchange::reading()) {
            Ok(mut schedule) => {
                schedule.retain(|_, value| !value.is_null());
                Ok(Known::Present(Scheduled {
                    name: name.to_owned(),
                    arn: string(&schedule, "Arn").unwrap_or_default(),
                    schedule,
                }))
            }
            Err(error) if error.is_not_found() => Ok(Known::Absent),
            Err(error) => Err(error),
        }
    }

    /// CreateScheduleGroup with its whole input. Repeated under its token it is harmless; a group of
    /// that name is an error.
    pub async fn create_group(&self, input: &Value) -> Result<(), AwsError> {
        let name = member(input, "Name");
        let call = Call::write(SERVICE, "CreateScheduleGroup", group_named(name));
        let request = self.client.create_schedule_group().name(name);
        send!(request, &call, Exchange::sending(&body(input))).map(drop)
    }

    /// Puts tags on a group and leaves its others as they are.
    pub async fn tag_group(
        &self,
        arn: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "TagResource", format!("schedule group {arn}"));
        let tags: Vec<Value> = tags
            .iter()
            .map(|(key, value)| serde_json::json!({ "Key": key, "Value": value }))
            .collect();
        let body = serde_json::json!({ "Tags": tags });
        let request = self.client.tag_resource().resource_arn(arn);
        send!(request, &call, Exchange::sending(&body)).map(drop)
    }

    /// Deletes a group; all that is in it goes within a while. One that is not there is fine.
    pub async fn delete_group(&self, name: &str) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "DeleteScheduleGroup", group_named(name));
        let request = self.client.delete_schedule_group().name(name);
        gone(send!(request, &call, Exchange::reading()))
    }

    /// CreateSchedule with its whole input. A schedule of that name is an error.
    pub async fn create(&self, input: &Value) -> Result<(), AwsError> {
        let (group, name) = (member(input, "GroupName"), member(input, "Name"));
        let call = Call::write(SERVICE, "CreateSchedule", schedule_named(group, name));
        let request = self.client.create_schedule().name(name);
        send!(request, &call, Exchange::sending(&body(input))).map(drop)
    }

    /// UpdateSchedule with its whole input: what is left out goes back to AWS's default. Harmless
    /// when repeated.
    pub async fn update(&self, input: &Value) -> Result<(), AwsError> {
        let (group, name) = (member(input, "GroupName"), member(input, "Name"));
        let call = Call::write(SERVICE, "UpdateSchedule", schedule_named(group, name));
        let request = self.client.update_schedule().name(name);
        send!(request, &call, Exchange::sending(&body(input))).map(drop)
    }

    /// Deletes a schedule. One that is not there is fine.
    pub async fn delete(&self, group: &str, name: &str) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "DeleteSchedule", schedule_named(group, name));
        let request = self.client.delete_schedule().group_name(group).name(name);
        gone(send!(request, &call, Exchange::reading()))
    }
}

/// What a read of a group is about.
pub fn group_named(name: &str) -> String {
    format!("schedule group {name}")
}

/// What a read of a schedule is about.
pub fn schedule_named(group: &str, name: &str) -> String {
    format!("schedule {group}/{name}")
}

fn gone(answer: Result<Map<String, Value>, AwsError>) -> Result<(), AwsError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        answer => answer.map(drop),
    }
}

/// What is sent of an input: its name is in the path.
fn body(input: &Value) -> Value {
    let mut body = input.clone();
    if let Some(members) = body.as_object_mut() {
        members.shift_remove("Name");
    }
    body
}

fn member<'a>(input: &'a Value, key: &str) -> &'a str {
    input.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn only_if_not_done() -> Builder {
    Builder::new().retry_classifier(OnlyIfNotDone)
}
