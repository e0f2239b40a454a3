//! SNS's topics of one Region, and queues that are subscribed to them.
//!
//! Not played: other protocols than `sqs`, filter policies, topic policies and encryption.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, text};

/// Bytes of a message.
const MESSAGE: usize = 256 * 1024;
/// Characters of a subject.
const SUBJECT: usize = 100;
/// How long a FIFO topic knows a message by its deduplication id.
const KNOWN: SignedDuration = SignedDuration::from_mins(5);

/// The topics of one Region.
#[derive(Default)]
pub(super) struct Sns {
    /// By ARN.
    topics: BTreeMap<String, Topic>,
    /// What goes to queues: ARN and body.
    pub sent: Vec<(String, String)>,
}

#[derive(Default)]
struct Topic {
    fifo: bool,
    by_content: bool,
    /// By ARN of the subscription.
    subscriptions: BTreeMap<String, Subscription>,
    /// By deduplication id: when, and the message's id.
    known: BTreeMap<String, (Timestamp, String)>,
}

struct Subscription {
    queue: String,
    raw: bool,
}

impl Sns {
    /// Answers one call. Members of query calls are strings, lists and maps are numbered.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateTopic" => self.create(cx, input),
            "DeleteTopic" => {
                let arn = required(input, "TopicArn")?;
                self.topics.remove(arn);
                Ok(json!({}))
            }
            "Publish" => self.publish(cx, input),
            "Subscribe" => self.subscribe(cx, input),
            _ => Err(Fault::client(
                "InvalidAction",
                format!("Could not find operation {operation} for version 2010-03-31"),
            )),
        }
    }

    fn create(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = required(input, "Name")?;
        let attributes = map(input, "Attributes", "entry", "key", "value");
        let is_true = |key: &str| attributes.get(key).is_some_and(|value| value == "true");
        let fifo = is_true("FifoTopic");
        let plain = match fifo {
            true => name.strip_suffix(".fifo").unwrap_or_default(),
            false => name,
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if plain.is_empty() || name.len() > 256 || !plain.chars().all(allowed) {
            return Err(invalid("Topic Name"));
        }
        let arn = format!("arn:aws:sns:{}:{}:{name}", cx.region, cx.account);
        let topic = self.topics.entry(arn.clone()).or_default();
        topic.fifo = fifo;
        topic.by_content = is_true("ContentBasedDeduplication");
        Ok(json!({ "TopicArn": arn }))
    }

    fn subscribe(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let arn = required(input, "TopicArn")?;
        let protocol = required(input, "Protocol")?;
        let topic = self.topics.get_mut(arn).ok_or_else(no_topic)?;
        let endpoint = text(input, "Endpoint").unwrap_or_default();
        if protocol != "sqs" {
            return Err(invalid(format!(
                "Protocol {protocol} is none of the sandbox's"
            )));
        }
        if !endpoint.starts_with("arn:aws:sqs:") {
            return Err(invalid("SQS endpoint ARN"));
        }
        let attributes = map(input, "Attributes", "entry", "key", "value");
        let subscription = Subscription {
            queue: endpoint.to_owned(),
            raw: attributes
                .get("RawMessageDelivery")
                .is_some_and(|it| it == "true"),
        };
        let id = format!("{arn}:{}", cx.ids.uuid());
        topic.subscriptions.insert(id.clone(), subscription);
        Ok(json!({ "SubscriptionArn": id }))
    }

    fn publish(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let arn = text(input, "TopicArn").or_else(|| text(input, "TargetArn"));
        let arn = arn.ok_or_else(|| {
            invalid("TopicArn or TargetArn Reason: no value for required parameter")
        })?;
        let message = text(input, "Message").unwrap_or_default();
        if message.is_empty() {
            return Err(invalid("Empty message"));
        }
        let attributes = attributes(input)?;
        let size = attributes
            .iter()
            .map(|(name, (kind, value))| name.len() + kind.len() + value.len());
        if message.len() + size.sum::<usize>() > MESSAGE {
            return Err(invalid("Message too long"));
        }
        let subject = text(input, "Subject");
        let is_line = |subject: &str| {
            (1..=SUBJECT).contains(&subject.chars().count())
                && !subject.chars().any(char::is_control)
        };
        if subject.is_some_and(|subject| !is_line(subject)) {
            return Err(invalid("Subject"));
        }
        let topic = self.topics.get_mut(arn).ok_or_else(no_topic)?;
        let id = cx.ids.uuid();
        if topic.fifo
            && let Some(before) = topic.known(cx.now, input, message, &id)?
        {
            return Ok(json!({ "MessageId": before }));
        }
        let mut body = json!({
            "Type": "Notification", "MessageId": id, "TopicArn": arn, "Message": message,
            "Timestamp": cx.now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        });
        if let Some(subject) = subject {
            body["Subject"] = subject.into();
        }
        if !attributes.is_empty() {
            let shown = attributes.into_iter();
            body["MessageAttributes"] = shown
                .map(|(name, (kind, value))| (name, json!({"Type": kind, "Value": value})))
                .collect::<Map<_, _>>()
                .into();
        }
        let body = body.to_string();
        for subscription in topic.subscriptions.values() {
            let sent = if subscription.raw { message } else { &body };
            self.sent
                .push((subscription.queue.clone(), sent.to_owned()));
        }
        Ok(json!({ "MessageId": id }))
    }
}

impl Topic {
    /// The id of the same message, if a FIFO topic has taken it a moment ago.
    fn known(
        &mut self,
        now: Timestamp,
        input: &Object,
        message: &str,
        id: &str,
    ) -> Result<Option<String>, Fault> {
        if text(input, "MessageGroupId").is_none() {
            return Err(invalid(
                "The MessageGroupId parameter is required for FIFO topics",
            ));
        }
        let by_content = self.by_content.then_some(message);
        let token = text(input, "MessageDeduplicationId").or(by_content);
        let token = token.ok_or_else(|| {
            invalid(
                "The topic should either have ContentBasedDeduplication enabled or \
                 MessageDeduplicationId provided explicitly",
            )
        })?;
        self.known
            .retain(|_, (at, _)| now.duration_since(*at) < KNOWN);
        if let Some((_, before)) = self.known.get(token) {
            return Ok(Some(before.clone()));
        }
        self.known.insert(token.to_owned(), (now, id.to_owned()));
        Ok(None)
    }
}

/// A message's attributes: name -> type and value.
fn attributes(input: &Object) -> Result<BTreeMap<String, (String, String)>, Fault> {
    let mut found = BTreeMap::new();
    for (name, kind, value) in given(input) {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(both) = text(kind).zip(text(value)) else {
            return Err(Fault::client(
                "ParameterValueInvalid",
                format!("The message attribute '{name}' must contain a non-empty value."),
            ));
        };
        found.insert(name.to_owned(), both);
    }
    Ok(found)
}

/// Name, type and value of each attribute, as query calls number them or account files hold them.
fn given(input: &Object) -> Vec<(&str, Option<&str>, Option<&str>)> {
    if let Some(Value::Object(members)) = input.get("MessageAttributes") {
        let members = members.iter();
        let read = members.map(|(name, value)| {
            let kind = value.get("DataType").and_then(Value::as_str);
            let text = value.get("StringValue").and_then(Value::as_str);
            (name.as_str(), kind, text)
        });
        return read.collect();
    }
    let member = |number: usize, rest: &str| {
        text(input, &format!("MessageAttributes.entry.{number}.{rest}"))
    };
    let numbered = (1..).map_while(|number| {
        let name = member(number, "Name")?;
        let kind = member(number, "Value.DataType");
        Some((name, kind, member(number, "Value.StringValue")))
    });
    numbered.collect()
}

/// A map as query calls number it, or as account files hold it.
fn map(
    input: &Object,
    name: &str,
    entry: &str,
    key: &str,
    value: &str,
) -> BTreeMap<String, String> {
    if let Some(Value::Object(members)) = input.get(name) {
        let members = members.iter();
        let text =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        return members.filter_map(text).collect();
    }
    let member = |number: usize, rest: &str| {
        text(input, &format!("{name}.{entry}.{number}.{rest}")).map(str::to_owned)
    };
    (1..)
        .map_while(|number| member(number, key).zip(member(number, value)))
        .collect()
}

fn required<'a>(input: &'a Object, key: &str) -> Result<&'a str, Fault> {
    let value = text(input, key).filter(|value| !value.is_empty());
    value.ok_or_else(|| invalid(format!("{key} Reason: no value for required parameter")))
}

fn invalid(what: impl std::fmt::Display) -> Fault {
    Fault::client("InvalidParameter", format!("Invalid parameter: {what}"))
}

fn no_topic() -> Fault {
    Fault {
        status: 404,
        ..Fault::client("NotFound", "Topic does not exist")
    }
}
