//! Tags of clusters, services, tasks and task definitions.

use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::arn::{inner, is_arn};
use super::taskdef;
use super::validate::{Input, invalid};

/// Tags in the order in which they were put.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tags(Vec<(String, String)>);

impl Tags {
    /// As `[{key, value}]`.
    pub fn view(&self) -> Value {
        self.0
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect()
    }

    /// Puts a tag, in place of one of the same key.
    pub fn put(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(have, _)| have == key) {
            Some(tag) => value.clone_into(&mut tag.1),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    /// Puts all tags of `others` that have no tag of the same key here.
    pub fn add_missing(&mut self, others: &Self) {
        for (key, value) in &others.0 {
            if !self.0.iter().any(|(have, _)| have == key) {
                self.put(key, value);
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The tags that a call brings.
pub(super) fn read(input: Input<'_>, member: &str) -> Result<Tags, Fault> {
    let mut tags = Tags::default();
    for tag in input.list(member)? {
        let key = tag.get("key").and_then(Value::as_str).unwrap_or_default();
        let value = tag.get("value").and_then(Value::as_str).unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 {
            return Err(invalid("Tag keys must have between 1 and 128 characters."));
        }
        if value.chars().count() > 256 {
            return Err(invalid("Tag values must have at most 256 characters."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid(
                "Tag keys cannot start with the reserved prefix aws:.",
            ));
        }
        if tags.0.iter().any(|(have, _)| have == key) {
            return Err(invalid(format!("Duplicate tag key {key}.")));
        }
        tags.put(key, value);
    }
    within_limit(tags)
}

fn within_limit(tags: Tags) -> Result<Tags, Fault> {
    let own = tags.0.iter().filter(|(key, _)| !key.starts_with("aws:"));
    if own.count() > 50 {
        return Err(invalid("The number of tags exceeds the limit of 50."));
    }
    Ok(tags)
}

/// What a tag is on.
enum Tagged {
    Cluster(String),
    Service((String, String)),
    Task((String, String)),
    Definition((String, u32)),
}

impl Ecs {
    pub(super) fn tag_resource(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let what = self.tagged(cx, input)?;
        let new = read(input, "tags")?;
        if new.is_empty() {
            return Err(invalid("Tags can not be empty."));
        }
        self.stopped_keeps_its_tags(&what)?;
        let mut tags = self.tags_of(&what)?;
        for (key, value) in &new.0 {
            tags.put(key, value);
        }
        self.put_tags(cx, &what, within_limit(tags)?);
        Ok(json!({}))
    }

    pub(super) fn untag_resource(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let what = self.tagged(cx, input)?;
        let keys = input.texts("tagKeys")?;
        self.stopped_keeps_its_tags(&what)?;
        let mut tags = self.tags_of(&what)?;
        tags.0.retain(|(key, _)| !keys.contains(&key.as_str()));
        self.put_tags(cx, &what, tags);
        Ok(json!({}))
    }

    pub(super) fn list_tags(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let what = self.tagged(cx, input)?;
        let tags = match &what {
            Tagged::Cluster(key) => self.clusters.seen(cx, key).map(|row| &row.tags),
            Tagged::Service(key) => self.services.seen(cx, key).map(|row| &row.tags),
            Tagged::Task(key) => self.tasks.seen(cx, key).map(|row| &row.tags),
            Tagged::Definition(key) => self.definitions.seen(cx, key).map(|row| &row.tags),
        };
        Ok(json!({"tags": tags.ok_or_else(missing)?.view()}))
    }

    fn tagged(&self, cx: &Cx<'_>, input: Input<'_>) -> Result<Tagged, Fault> {
        let arn = input.needed("resourceArn", "resourceArn can not be blank.")?;
        let pair = |rest: &str| {
            let (cluster, name) = rest.split_once('/')?;
            Some((cluster.to_owned(), name.to_owned()))
        };
        let what = if !is_arn(arn) {
            None
        } else if let Some(name) = inner(cx, arn, "cluster") {
            Some(Tagged::Cluster(name.to_owned()))
        } else if let Some(rest) = inner(cx, arn, "service") {
            pair(rest).map(Tagged::Service)
        } else if let Some(rest) = inner(cx, arn, "task") {
            pair(rest).map(Tagged::Task)
        } else {
            inner(cx, arn, "task-definition")
                .and_then(taskdef::split)
                .map(Tagged::Definition)
        };
        what.ok_or_else(|| invalid("The specified resourceArn is invalid."))
    }

    fn tags_of(&self, what: &Tagged) -> Result<Tags, Fault> {
        let tags = match what {
            Tagged::Cluster(key) => self.clusters.get(key).map(|row| &row.tags),
            Tagged::Service(key) => self.services.get(key).map(|row| &row.tags),
            Tagged::Task(key) => self.tasks.get(key).map(|row| &row.tags),
            Tagged::Definition(key) => self.definitions.get(key).map(|row| &row.tags),
        };
        tags.cloned().ok_or_else(missing)
    }

    fn stopped_keeps_its_tags(&self, what: &Tagged) -> Result<(), Fault> {
        match what {
            Tagged::Task(key) if self.tasks.get(key).is_some_and(|task| task.is_stopped()) => Err(
                invalid("The specified task is stopped. Specify a running task and try again."),
            ),
            Tagged::Service(key)
                if self
                    .services
                    .get(key)
                    .is_some_and(|service| !service.is_active()) =>
            {
                Err(invalid(
                    "The specified service is inactive. Specify an active service and try again.",
                ))
            }
            _ => Ok(()),
        }
    }

    fn put_tags(&mut self, cx: &Cx<'_>, what: &Tagged, tags: Tags) {
        match what {
            Tagged::Cluster(key) => self.clusters.edit(cx, key, |row| row.tags = tags),
            Tagged::Service(key) => self.services.edit(cx, key, |row| row.tags = tags),
            Tagged::Task(key) => self.tasks.edit(cx, key, |row| row.tags = tags),
            Tagged::Definition(key) => self.definitions.edit(cx, key, |row| row.tags = tags),
        };
    }
}

fn missing() -> Fault {
    Fault::client(
        "ResourceNotFoundException",
        "The specified resource could not be found.",
    )
}
