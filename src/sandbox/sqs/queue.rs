//! One queue and its messages.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    BATCH, Cx, Fault, Object, attributes, bounded, invalid, md5, missing, text, unsupported,
};

/// A standard queue.
pub(super) struct Queue {
    pub attributes: BTreeMap<String, String>,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// In the order in which they came.
    messages: BTreeMap<u64, Message>,
    arrived: u64,
}

struct Message {
    id: String,
    body: String,
    sent: Timestamp,
    /// Since when, or from when on, it can be received.
    visible: Timestamp,
    received: u32,
    first_received: Option<Timestamp>,
    /// It was deleted, and comes once more all the same.
    undead: bool,
}

impl Queue {
    pub fn new(now: Timestamp, given: BTreeMap<String, String>) -> Self {
        let mut attributes = attributes::defaults();
        attributes.extend(given);
        Self {
            attributes,
            created: now,
            modified: now,
            messages: BTreeMap::new(),
            arrived: 0,
        }
    }

    /// Changes attributes; those that are not given stay.
    pub fn set(&mut self, now: Timestamp, given: BTreeMap<String, String>) {
        self.attributes.extend(given);
        self.modified = now;
    }

    /// The first attribute that is given with another value than it has.
    pub fn differs<'a>(&self, given: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let mut given = given.iter();
        given
            .find(|(name, value)| self.attributes.get(*name) != Some(value))
            .map(|(name, _)| name.as_str())
    }

    /// An attribute that is a number.
    pub fn seconds(&self, name: &str) -> i64 {
        let value = self.attributes.get(name);
        value.and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// How many messages can be received, are with somebody, and are delayed.
    pub fn counts(&self, now: Timestamp) -> (usize, usize, usize) {
        let count = |is: &dyn Fn(&Message) -> bool| {
            let messages = self.messages.values();
            messages.filter(|message| is(message)).count()
        };
        (
            count(&|it| it.visible <= now),
            count(&|it| it.visible > now && it.received > 0),
            count(&|it| it.visible > now && it.received == 0),
        )
    }

    pub fn next_visible(&self) -> Option<Timestamp> {
        self.messages.values().map(|message| message.visible).min()
    }

    pub fn purge(&mut self) {
        self.messages.clear();
    }

    /// Puts a message in; answers its id.
    pub fn put(&mut self, cx: &mut Cx<'_>, body: &str, visible: Timestamp) -> String {
        let id = cx.ids.uuid();
        self.arrived += 1;
        let message = Message {
            id: id.clone(),
            body: body.to_owned(),
            sent: cx.now,
            visible,
            received: 0,
            first_received: None,
            undead: false,
        };
        self.messages.insert(self.arrived, message);
        id
    }

    pub fn send(&mut self, cx: &mut Cx<'_>, entry: &Object) -> Result<Value, Fault> {
        if entry
            .get("MessageAttributes")
            .is_some_and(|it| it != &json!({}))
        {
            return Err(unsupported("message attributes"));
        }
        let body = text(entry, "MessageBody").ok_or_else(|| missing("MessageBody"))?;
        let most = self.seconds("MaximumMessageSize");
        if body.is_empty() || i64::try_from(body.len()).is_ok_and(|size| size > most) {
            return Err(invalid(format!(
                "One or more parameters are invalid. Reason: Message must be at least one byte and \
                 shorter than {most} bytes."
            )));
        }
        let delay = bounded(entry, "DelaySeconds", 900)?;
        let delay = delay.unwrap_or_else(|| self.seconds("DelaySeconds"));
        let id = self.put(cx, body, after(cx.now, delay));
        Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5::hex(body) }))
    }

    /// Takes up to ten of the messages that can be received.
    pub fn receive(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        bounded(input, "WaitTimeSeconds", 20)?;
        let hidden = bounded(input, "VisibilityTimeout", 43_200)?;
        let hidden = hidden.unwrap_or_else(|| self.seconds("VisibilityTimeout"));
        let most = input
            .get("MaxNumberOfMessages")
            .map_or(Some(1), Value::as_u64);
        let most = most
            .and_then(|most| usize::try_from(most).ok())
            .filter(|most| (1..=BATCH).contains(most))
            .ok_or_else(|| {
                invalid(
                    "Value for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 \
                     and 10, if provided.",
                )
            })?;
        let kept = self.seconds("MessageRetentionPeriod");
        let now = cx.now;
        self.messages
            .retain(|_, message| after(message.sent, kept) > now);
        let ready = self
            .messages
            .iter_mut()
            .filter(|(_, message)| message.visible <= now);
        let mut taken = Vec::new();
        for (arrival, message) in ready.take(most) {
            message.visible = after(now, hidden);
            message.received += 1;
            message.first_received.get_or_insert(now);
            taken.push(message.show(cx, *arrival, input));
        }
        Ok(if taken.is_empty() {
            json!({})
        } else {
            json!({ "Messages": taken })
        })
    }

    /// Deletes the message if the handle is the one that it was received with last; succeeds also
    /// where it is an older one or the message is gone.
    pub fn delete(&mut self, cx: &mut Cx<'_>, entry: &Object) -> Result<Value, Fault> {
        let (arrival, received) = handle(entry)?;
        let undead = cx.ids.happens(cx.settings.delivery.redeliver);
        let Some(message) = self.messages.get_mut(&arrival) else {
            return Ok(json!({}));
        };
        if message.received == received {
            if undead && !message.undead {
                message.undead = true;
                message.visible = cx.now;
            } else {
                self.messages.remove(&arrival);
            }
        }
        Ok(json!({}))
    }

    pub fn change_visibility(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let (arrival, _) = handle(input)?;
        let hidden = bounded(input, "VisibilityTimeout", 43_200)?
            .ok_or_else(|| missing("VisibilityTimeout"))?;
        let message = self.messages.get_mut(&arrival);
        match message.filter(|message| message.received > 0 && message.visible > cx.now) {
            Some(message) => message.visible = after(cx.now, hidden),
            None => {
                return Err(Fault::client(
                    "MessageNotInflight",
                    "The specified message is not in flight.",
                ));
            }
        }
        Ok(json!({}))
    }
}

impl Message {
    fn show(&self, cx: &mut Cx<'_>, arrival: u64, input: &Object) -> Value {
        let mut shown = json!({
            "MessageId": self.id,
            "ReceiptHandle": format!("{arrival:x}.{:x}.{}", self.received, cx.ids.hex(40)),
            "MD5OfBody": md5::hex(&self.body),
            "Body": self.body,
        });
        let mut asked = super::texts(input, "MessageSystemAttributeNames");
        asked.extend(super::texts(input, "AttributeNames"));
        let first = self.first_received.unwrap_or(cx.now);
        let attributes: Object = [
            ("SentTimestamp", self.sent.as_millisecond().to_string()),
            ("ApproximateReceiveCount", self.received.to_string()),
            (
                "ApproximateFirstReceiveTimestamp",
                first.as_millisecond().to_string(),
            ),
        ]
        .into_iter()
        .filter(|(name, _)| asked.contains(&"All") || asked.contains(name))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
        if !attributes.is_empty() {
            shown["Attributes"] = Value::Object(attributes);
        }
        shown
    }
}

/// Which message a handle is for, and which of its receipts.
fn handle(entry: &Object) -> Result<(u64, u32), Fault> {
    let given = text(entry, "ReceiptHandle").ok_or_else(|| missing("ReceiptHandle"))?;
    let mut parts = given.split('.');
    let arrival = parts.next().and_then(|it| u64::from_str_radix(it, 16).ok());
    let received = parts.next().and_then(|it| u32::from_str_radix(it, 16).ok());
    arrival.zip(received).ok_or_else(|| {
        Fault::client(
            "ReceiptHandleIsInvalid",
            format!("The input receipt handle \"{given}\" is not a valid receipt handle."),
        )
    })
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    let later = at.checked_add(SignedDuration::from_secs(seconds));
    later.unwrap_or(Timestamp::MAX)
}
