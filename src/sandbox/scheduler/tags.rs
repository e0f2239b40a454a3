//! Tags: groups have them, schedules have none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::groups::{group_arn, no_group};
use super::{Scheduler, constraint, needed, validation};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, list, texts};

/// Tags that a group may have.
const TAGS: usize = 50;

impl Scheduler {
    pub(super) fn tag_resource(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = named(cx, input)?;
        let mut all = self.latest_group(&name)?.tags;
        all.extend(read(list(input, "Tags"))?);
        check_count(&all)?;
        self.put_tags(cx, &name, all);
        Ok(json!({}))
    }

    pub(super) fn untag_resource(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = named(cx, input)?;
        let mut all = self.latest_group(&name)?.tags;
        let keys = texts(input, "TagKeys");
        all.retain(|key, _| !keys.contains(&key.as_str()));
        self.put_tags(cx, &name, all);
        Ok(json!({}))
    }

    pub(super) fn list_tags(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let group = self.visible_group(cx, &named(cx, input)?)?;
        let pairs = group.tags.iter();
        let tags: Vec<Value> = pairs
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        Ok(json!({"Tags": tags}))
    }

    fn put_tags(&mut self, cx: &Cx<'_>, name: &str, tags: BTreeMap<String, String>) {
        if let Some(group) = self.groups.get_mut(name) {
            group.edit(cx, |group| group.tags = tags);
        }
    }
}

/// Name of the group of `ResourceArn`.
fn named(cx: &Cx<'_>, input: &Object) -> Result<String, Fault> {
    let arn = needed(input, "ResourceArn", "resourceArn")?;
    let prefix = group_arn(cx, "");
    let name = arn.strip_prefix(&prefix).filter(|name| !name.is_empty());
    match name {
        Some(name) => Ok(name.to_owned()),
        None if arn.starts_with("arn:aws:scheduler:") => Err(no_group(arn)),
        None => Err(validation(format!(
            "{arn} is not the ARN of a schedule group."
        ))),
    }
}

/// Reads a list of tags.
pub(super) fn read(list: &[Value]) -> Result<BTreeMap<String, String>, Fault> {
    let mut tags = BTreeMap::new();
    for (index, tag) in list.iter().enumerate() {
        let member = |key| tag.get(key).and_then(Value::as_str);
        let at = format!("tags.{}.member.key", index + 1);
        let (Some(key), Some(value)) = (member("Key"), member("Value")) else {
            return Err(constraint("Value null", &at, "not be null"));
        };
        if key.is_empty() || key.len() > 128 || value.is_empty() || value.len() > 256 {
            return Err(constraint(
                &format!("Value '{key}={value}'"),
                &at,
                "have length between 1 and 128, and its value between 1 and 256",
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(validation("Tag keys may not start with 'aws:'."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &BTreeMap<String, String>) -> Result<(), Fault> {
    match tags.len() {
        0..=TAGS => Ok(()),
        _ => Err(validation(format!("A group has at most {TAGS} tags."))),
    }
}
