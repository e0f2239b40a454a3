//! Tags of rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Events, constraint, no_rule, validation};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, list, text, texts};

/// Tags that a rule may have.
const TAGS: usize = 50;

impl Events {
    pub(super) fn tag_resource(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = rule_name(cx, input)?;
        let given = read(list(input, "Tags"))?;
        let rule = self.latest(&name)?;
        rule.check_unmanaged("TagResource", input)?;
        let mut tags = rule.tags.clone();
        tags.extend(given);
        check_count(&tags)?;
        self.edit(cx, &name, |rule| rule.tags = tags);
        Ok(json!({}))
    }

    pub(super) fn untag_resource(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = rule_name(cx, input)?;
        self.latest(&name)?
            .check_unmanaged("UntagResource", input)?;
        let keys = texts(input, "TagKeys");
        self.edit(cx, &name, |rule| {
            rule.tags.retain(|key, _| !keys.contains(&key.as_str()));
        });
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(
        &self,
        cx: &Cx<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let rule = self.visible(cx, &rule_name(cx, input)?)?;
        let tags: Vec<Value> = rule
            .tags
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        Ok(json!({"Tags": tags}))
    }
}

/// Reads a list of tags; of a key given twice the last counts.
pub(super) fn read(list: &[Value]) -> Result<BTreeMap<String, String>, Fault> {
    let mut tags = BTreeMap::new();
    for (index, tag) in list.iter().enumerate() {
        let member = |key| tag.get(key).and_then(Value::as_str);
        let at = |key: &str| format!("tags.{}.member.{key}", index + 1);
        let (Some(key), Some(value)) = (member("Key"), member("Value")) else {
            return Err(constraint("Value null", &at("key"), "not be null"));
        };
        if key.is_empty() || key.len() > 128 || value.len() > 256 {
            return Err(constraint(
                &format!("Value '{key}={value}'"),
                &at("key"),
                "have length between 1 and 128, and its value at most 256",
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(validation(
                "Tag keys may not start with 'aws:': this prefix is reserved for AWS use.",
            ));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &BTreeMap<String, String>) -> Result<(), Fault> {
    if tags.len() > TAGS {
        return Err(validation(format!(
            "Number of tags exceeds the limit of {TAGS}."
        )));
    }
    Ok(())
}

/// The rule that `ResourceARN` names: `rule/NAME`, or `rule/default/NAME`.
fn rule_name(cx: &Cx<'_>, input: &Object) -> Result<String, Fault> {
    let arn = text(input, "ResourceARN")
        .ok_or_else(|| constraint("Value null", "resourceARN", "not be null"))?;
    let prefix = format!("arn:aws:events:{}:{}:", cx.region, cx.account);
    let Some(resource) = arn.strip_prefix(&prefix) else {
        return Err(validation(format!(
            "Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
        )));
    };
    let name = resource
        .strip_prefix("rule/")
        .ok_or_else(|| no_rule(resource))?;
    Ok(name.strip_prefix("default/").unwrap_or(name).to_owned())
}
