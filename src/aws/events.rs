//! EventBridge rules on the default bus, lossless: PutRule and PutTargets replace, so what is
//! there must be read whole and sent back whole.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::Builder;
use serde_json::{Map, Value, json};

use super::error::{AwsError, Call, ErrorClass};
use super::raw::{Exchange, objects, send, string};
use super::retry::OnlyIfNotDone;
use crate::model::known::Known;

mod bus;
#[cfg(test)]
mod tests;

pub use bus::Event;

const SERVICE: &str = "events";

/// EventBridge in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    client: Client,
}

impl Events {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// DescribeRule.
    pub async fn rule(&self, name: &str) -> Result<Known<Map<String, Value>>, AwsError> {
        let call = Call::read(SERVICE, "DescribeRule", format!("rule {name}"));
        let body = json!({ "Name": name });
        match send!(self.client.describe_rule(), &call, Exchange::sending(&body)) {
            Ok(rule) => Ok(Known::Present(rule)),
            Err(error) if error.is_not_found() => Ok(Known::Absent),
            Err(error) => Err(error),
        }
    }

    /// Every rule whose name begins so, as ListRules answers; with an empty prefix all of the bus.
    pub async fn rules_with_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<Map<String, Value>>, AwsError> {
        let call = Call::read(SERVICE, "ListRules", rules_named(prefix));
        // AWS takes no empty prefix.
        let asked = match prefix {
            "" => json!({}),
            prefix => json!({ "NamePrefix": prefix }),
        };
        let mut rules = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let body = page(asked.clone(), token.clone());
            let request = self.client.list_rules();
            let mut answer = send!(request, &call, Exchange::sending(&body))?;
            rules.extend(
                objects(&mut answer, "Rules")
                    .into_iter()
                    // Some servers do not filter.
                    .filter(|rule| string(rule, "Name").is_some_and(|it| it.starts_with(prefix))),
            );
            token = call.next_page(token.as_ref(), string(&answer, "NextToken"))?;
            if token.is_none() {
                return Ok(rules);
            }
        }
    }

    /// Every target of a rule, as ListTargetsByRule answers. A rule that is not there is an error.
    pub async fn targets(&self, rule: &str) -> Result<Vec<Map<String, Value>>, AwsError> {
        let call = Call::read(SERVICE, "ListTargetsByRule", format!("rule {rule}"));
        let mut targets = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let body = page(json!({ "Rule": rule }), token.clone());
            let request = self.client.list_targets_by_rule();
            let mut answer = send!(request, &call, Exchange::sending(&body))?;
            targets.extend(objects(&mut answer, "Targets"));
            token = call.next_page(token.as_ref(), string(&answer, "NextToken"))?;
            if token.is_none() {
                return Ok(targets);
            }
        }
    }

    /// A rule's tags. A rule that is not there is an error.
    pub async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, AwsError> {
        let call = Call::read(SERVICE, "ListTagsForResource", format!("rule {arn}"));
        let body = json!({ "ResourceARN": arn });
        let request = self.client.list_tags_for_resource();
        let mut answer = send!(request, &call, Exchange::sending(&body))?;
        let pair = |tag: Map<String, Value>| Some((string(&tag, "Key")?, string(&tag, "Value")?));
        Ok(objects(&mut answer, "Tags")
            .into_iter()
            .filter_map(pair)
            .collect())
    }

    /// PutRule with its whole input; answers the rule's ARN. What is left out becomes null, and
    /// tags of an existing rule are left as they are. Harmless when repeated.
    pub async fn put_rule(&self, input: &Value) -> Result<String, AwsError> {
        let call = Call::write(SERVICE, "PutRule", format!("rule {}", named(input, "Name")));
        let answer = send!(self.client.put_rule(), &call, Exchange::sending(input))?;
        string(&answer, "RuleArn").ok_or_else(|| {
            call.unexpected(
                ErrorClass::Ambiguous,
                "the answer does not hold the rule's ARN",
            )
        })
    }

    /// PutTargets with its whole input. Harmless when repeated. A target that EventBridge did not
    /// take is an error that names it; others of the same call may have been taken.
    pub async fn put_targets(&self, input: &Value) -> Result<(), AwsError> {
        let what = format!("targets of rule {}", named(input, "Rule"));
        let call = Call::write(SERVICE, "PutTargets", what);
        let answer = send!(self.client.put_targets(), &call, Exchange::sending(input))?;
        refused_entries(&call, answer)
    }

    /// Takes targets away by id. Harmless when repeated; a rule that is not there is fine.
    pub async fn remove_targets(&self, rule: &str, ids: &[String]) -> Result<(), AwsError> {
        let what = format!("targets {} of rule {rule}", ids.join(", "));
        let call = Call::write(SERVICE, "RemoveTargets", what);
        let body = json!({ "Rule": rule, "Ids": ids });
        match send!(
            self.client.remove_targets(),
            &call,
            Exchange::sending(&body)
        ) {
            Err(error) if error.is_not_found() => Ok(()),
            answer => refused_entries(&call, answer?),
        }
    }

    /// Deletes a rule whose targets are gone. A rule that is not there is fine.
    pub async fn delete_rule(&self, name: &str) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "DeleteRule", format!("rule {name}"));
        let body = json!({ "Name": name });
        match send!(self.client.delete_rule(), &call, Exchange::sending(&body)) {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Puts tags on a rule and leaves its others as they are.
    pub async fn tag_rule(
        &self,
        arn: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "TagResource", format!("rule {arn}"));
        let tags: Vec<Value> = tags
            .iter()
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        let body = json!({ "ResourceARN": arn, "Tags": tags });
        send!(self.client.tag_resource(), &call, Exchange::sending(&body)).map(drop)
    }
}

/// What a read of the rules whose names begin so is about.
pub fn rules_named(prefix: &str) -> String {
    format!("rules whose names begin with {prefix}")
}

fn only_if_not_done() -> Builder {
    Builder::new().retry_classifier(OnlyIfNotDone)
}

fn named<'a>(input: &'a Value, key: &str) -> &'a str {
    input
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or("without a name")
}

fn page(mut body: Value, token: Option<String>) -> Value {
    if let (Some(token), Some(body)) = (token, body.as_object_mut()) {
        body.insert("NextToken".to_owned(), Value::String(token));
    }
    body
}

/// A 200 that says in its body that some entries were not taken.
fn refused_entries(call: &Call, mut answer: Map<String, Value>) -> Result<(), AwsError> {
    let count = answer
        .get("FailedEntryCount")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let entries = objects(&mut answer, "FailedEntries");
    if count == 0 && entries.is_empty() {
        return Ok(());
    }
    let code = entries.first().and_then(|entry| string(entry, "ErrorCode"));
    let class = match code.as_deref() {
        Some("ConcurrentModificationException") => ErrorClass::Retry,
        Some("ThrottlingException") => ErrorClass::Throttled,
        Some("ResourceNotFoundException") => ErrorClass::NotFound,
        Some("AccessDeniedException") => ErrorClass::Denied,
        Some("InternalException") => ErrorClass::Ambiguous,
        _ => ErrorClass::Refused,
    };
    let each: Vec<String> = entries
        .iter()
        .map(|entry| {
            let text = |key| string(entry, key).unwrap_or_default();
            format!(
                "target {}: {} {}",
                text("TargetId"),
                text("ErrorCode"),
                text("ErrorMessage")
            )
        })
        .collect();
    let message = format!("{count} not taken: {}", each.join("; "));
    Err(call.unexpected(class, message).with_code(code))
}
