//! Task definitions: families of numbered revisions that never change.

use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::arn::{arn, inner, is_arn};
use super::json::seconds;
use super::paging::page;
use super::tags::{self, Tags};
use super::validate::{Input, invalid, refused};
use super::{taskdef_checks, taskdef_fill};

/// A revision.
#[derive(Debug, Clone)]
pub(super) struct TaskDefinition {
    pub arn: String,
    pub family: String,
    pub active: bool,
    /// As described, but for what changes: status and deregisteredAt.
    pub content: Arc<Map<String, Value>>,
    deregistered_at: Option<Timestamp>,
    pub tags: Tags,
}

impl TaskDefinition {
    /// The container definitions.
    pub fn containers(&self) -> &[Value] {
        list(&self.content, "containerDefinitions")
    }

    /// A text at the task level.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.content.get(name).and_then(Value::as_str)
    }

    /// Whether tasks of it get a network interface of their own.
    pub fn is_awsvpc(&self) -> bool {
        self.text("networkMode") == Some("awsvpc")
    }

    /// Whether it may run with this launch type.
    pub fn is_compatible(&self, launch_type: &str) -> bool {
        list(&self.content, "compatibilities")
            .iter()
            .any(|c| c == launch_type)
    }

    fn view(&self) -> Value {
        let mut view = (*self.content).clone();
        let status = if self.active { "ACTIVE" } else { "INACTIVE" };
        view.insert("status".to_owned(), json!(status));
        if let Some(at) = self.deregistered_at {
            view.insert("deregisteredAt".to_owned(), seconds(at));
        }
        Value::Object(view)
    }
}

fn list<'a>(members: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    members
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// `family:revision`, apart.
pub(super) fn split(text: &str) -> Option<(String, u32)> {
    let (family, revision) = text.rsplit_once(':')?;
    Some((family.to_owned(), revision.parse().ok()?))
}

/// What a reference to a task definition names.
enum Reference {
    /// The newest ACTIVE revision of the family.
    Family(String),
    Revision((String, u32)),
}

fn reference(cx: &Cx<'_>, text: &str) -> Option<Reference> {
    let name = if is_arn(text) {
        inner(cx, text, "task-definition")?
    } else {
        text
    };
    Some(match name.contains(':') {
        true => Reference::Revision(split(name)?),
        false => Reference::Family(name.to_owned()),
    })
}

impl Ecs {
    /// The ACTIVE revision that a service or RunTask asks for.
    pub(super) fn runnable(&self, cx: &Cx<'_>, text: &str) -> Result<&TaskDefinition, Fault> {
        let found = match reference(cx, text) {
            Some(Reference::Revision(key)) => self.definitions.get(&key),
            Some(Reference::Family(family)) => self
                .definitions
                .range((family.clone(), 0)..=(family, u32::MAX))
                .rev()
                .map(|(_, definition)| definition)
                .find(|definition| definition.active),
            None => None,
        };
        match found {
            None => Err(refused("TaskDefinition not found.")),
            Some(definition) if !definition.active => Err(refused("TaskDefinition is inactive")),
            Some(definition) => Ok(definition),
        }
    }

    /// The revision of that ARN, ACTIVE or not.
    pub(super) fn definition(&self, cx: &Cx<'_>, arn: &str) -> Option<&TaskDefinition> {
        match reference(cx, arn)? {
            Reference::Revision(key) => self.definitions.get(&key),
            Reference::Family(_) => None,
        }
    }

    pub(super) fn register_task_definition(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let checked = taskdef_checks::check(input)?;
        let tags = tags::read(input, "tags")?;
        let family = checked.family.clone();
        let revision = self
            .newest_revision
            .get(&family)
            .map_or(1, |newest| newest + 1);
        let arn = arn(cx, &format!("task-definition/{family}:{revision}"));
        let content = taskdef_fill::described(cx, checked, &arn, revision);
        let definition = TaskDefinition {
            arn,
            family: family.clone(),
            active: true,
            content: Arc::new(content),
            deregistered_at: None,
            tags,
        };
        let mut answer = json!({"taskDefinition": definition.view()});
        if !definition.tags.is_empty() {
            answer["tags"] = definition.tags.view();
        }
        self.newest_revision.insert(family.clone(), revision);
        self.definitions.put(cx, (family, revision), definition);
        Ok(answer)
    }

    pub(super) fn describe_task_definition(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let text = input
            .text("taskDefinition")?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| refused("TaskDefinition can not be blank."))?;
        let seen = match reference(cx, text) {
            Some(Reference::Revision(key)) => self.definitions.seen(cx, &key),
            Some(Reference::Family(family)) => self
                .definitions
                .seen_range(cx, (family.clone(), 0)..=(family, u32::MAX))
                .rev()
                .map(|(_, definition)| definition)
                .find(|definition| definition.active),
            None => None,
        };
        let definition = seen.ok_or_else(|| refused("Unable to describe task definition."))?;
        let mut answer = json!({"taskDefinition": definition.view()});
        if input.includes("TAGS")? {
            answer["tags"] = definition.tags.view();
        }
        Ok(answer)
    }

    pub(super) fn deregister_task_definition(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let text = input.needed("taskDefinition", "TaskDefinition can not be blank.")?;
        let key = match reference(cx, text) {
            Some(Reference::Revision(key)) => key,
            _ => {
                return Err(invalid(
                    "The task definition must be given with its revision.",
                ));
            }
        };
        let now = cx.now;
        let view = self.definitions.edit(cx, &key, |definition| {
            definition.active = false;
            definition.deregistered_at.get_or_insert(now);
            definition.view()
        });
        let view = view.ok_or_else(|| {
            refused("The specified task definition does not exist. Specify a valid family and revision and try again.")
        })?;
        Ok(json!({"taskDefinition": view}))
    }

    pub(super) fn list_task_definitions(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let active = match input.text("status")? {
            None | Some("ACTIVE") => true,
            Some("INACTIVE") => false,
            // Nothing is ever on its way to being deleted here.
            Some("DELETE_IN_PROGRESS") => return page(input, "taskDefinitionArns", vec![], 100),
            Some(other) => return Err(invalid(format!("Invalid status: {other}."))),
        };
        let family = input.text("familyPrefix")?;
        let within = match family {
            Some(family) => {
                let (first, last) = ((family.to_owned(), 0), (family.to_owned(), u32::MAX));
                (Bound::Included(first), Bound::Included(last))
            }
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut arns: Vec<_> = self
            .definitions
            .seen_range(cx, within)
            .filter(|(_, definition)| definition.active == active)
            .map(|(_, definition)| (definition.arn.clone(), json!(definition.arn)))
            .collect();
        match input.text("sort")? {
            None | Some("ASC") => {}
            Some("DESC") => arns.reverse(),
            Some(other) => return Err(invalid(format!("Invalid sort order: {other}."))),
        }
        page(input, "taskDefinitionArns", arns, 100)
    }

    pub(super) fn list_families(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let status = input.text("status")?.unwrap_or("ACTIVE");
        if !["ACTIVE", "INACTIVE", "ALL"].contains(&status) {
            return Err(invalid(format!("Invalid status: {status}.")));
        }
        let prefix = input.text("familyPrefix")?.unwrap_or_default();
        // A family is ACTIVE as long as one of its revisions is.
        let mut families: Vec<(String, bool)> = Vec::new();
        for ((family, _), definition) in self.definitions.seen_range(cx, ..) {
            match families.last_mut() {
                Some(last) if last.0 == *family => last.1 |= definition.active,
                _ => families.push((family.clone(), definition.active)),
            }
        }
        let names = families
            .into_iter()
            .filter(|(family, _)| family.starts_with(prefix))
            .filter(|(_, active)| status == "ALL" || *active == (status == "ACTIVE"))
            .map(|(family, _)| (family.clone(), json!(family)))
            .collect();
        page(input, "families", names, 100)
    }
}
