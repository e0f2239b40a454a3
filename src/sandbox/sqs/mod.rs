//! SQS: the standard queues of one Region.
//!
//! A message that was received stays, unseen for its visibility timeout, until it is deleted by the
//! receipt handle that it was received with last. Not played: FIFO queues, dead-letter queues,
//! message attributes, and queue policies, which are kept and not looked at.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, int, list, page, text, texts};
use queue::Queue;

mod attributes;
mod md5;
mod queue;

/// Entries that a batch may hold, and messages that one call receives.
const BATCH: usize = 10;

/// The queues of one Region.
#[derive(Default)]
pub(super) struct Sqs {
    queues: BTreeMap<String, Queue>,
}

impl Sqs {
    /// Answers one call. A long poll is answered at once; its caller waits and asks again.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateQueue" => self.create_queue(cx, input),
            "GetQueueUrl" => self.get_queue_url(cx, input),
            "ListQueues" => self.list_queues(cx, input),
            "DeleteQueue" => {
                let name = self.existing(input)?.to_owned();
                self.queues.remove(&name);
                Ok(json!({}))
            }
            "GetQueueAttributes" => {
                let name = self.existing(input)?;
                let shown = attributes::show(cx, name, self.queue(name)?, input)?;
                Ok(json!({ "Attributes": shown }))
            }
            "SetQueueAttributes" => {
                let given = attributes::read(input)?;
                self.queue_mut(input)?.set(cx.now, given);
                Ok(json!({}))
            }
            "PurgeQueue" => {
                self.queue_mut(input)?.purge();
                Ok(json!({}))
            }
            "SendMessage" => self.queue_mut(input)?.send(cx, input),
            "SendMessageBatch" => {
                let queue = self.queue_mut(input)?;
                batch(input, |entry| queue.send(cx, entry))
            }
            "ReceiveMessage" => self.queue_mut(input)?.receive(cx, input),
            "DeleteMessage" => self.queue_mut(input)?.delete(cx, input),
            "DeleteMessageBatch" => {
                let queue = self.queue_mut(input)?;
                batch(input, |entry| queue.delete(cx, entry))
            }
            "ChangeMessageVisibility" => self.queue_mut(input)?.change_visibility(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Puts an event into a queue, as EventBridge does; without such a queue it is lost.
    pub fn deliver(&mut self, cx: &mut Cx<'_>, name: &str, body: &str, visible: Timestamp) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.put(cx, body, visible);
        }
    }

    /// How long a ReceiveMessage is willing to wait.
    pub fn patience(&self, input: &Object) -> SignedDuration {
        let queue = queue_name(input).and_then(|name| self.queues.get(name));
        let given = int(input, "WaitTimeSeconds");
        let seconds = given.or_else(|| Some(queue?.seconds("ReceiveMessageWaitTimeSeconds")));
        SignedDuration::from_secs(seconds.unwrap_or(0))
    }

    /// When a message that is in the queue can be received at the earliest.
    pub fn next_visible(&self, input: &Object) -> Option<Timestamp> {
        self.queues.get(queue_name(input)?)?.next_visible()
    }

    fn create_queue(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = text(input, "QueueName").ok_or_else(|| missing("QueueName"))?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > 80 || !name.chars().all(allowed) {
            return Err(invalid(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in \
                 length",
            ));
        }
        let given = attributes::read(input)?;
        match self.queues.get(name) {
            Some(there) => {
                if let Some(different) = there.differs(&given) {
                    return Err(Fault::client(
                        "QueueNameExists",
                        format!(
                            "A queue already exists with the same name and a different value for \
                             attribute {different}"
                        ),
                    ));
                }
            }
            None => {
                self.queues
                    .insert(name.to_owned(), Queue::new(cx.now, given));
            }
        }
        Ok(json!({ "QueueUrl": url(cx, name) }))
    }

    fn get_queue_url(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = text(input, "QueueName").ok_or_else(|| missing("QueueName"))?;
        let owner = text(input, "QueueOwnerAWSAccountId").unwrap_or(cx.account);
        if !self.queues.contains_key(name) || owner != cx.account {
            return Err(no_queue());
        }
        Ok(json!({ "QueueUrl": url(cx, name) }))
    }

    fn list_queues(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let prefix = text(input, "QueueNamePrefix").unwrap_or_default();
        let limit = match int(input, "MaxResults") {
            None => 1000,
            Some(asked @ 1..=1000) => usize::try_from(asked).unwrap_or(1000),
            Some(_) => return Err(invalid("MaxResults must be an integer between 1 and 1000")),
        };
        let names = self.queues.keys().filter(|name| name.starts_with(prefix));
        let found = page(
            names.map(|name| (name.clone(), url(cx, name))),
            text(input, "NextToken"),
            limit,
            || invalid("Invalid or expired next token."),
        )?;
        let mut answer = json!({ "QueueUrls": found.items });
        if let Some(next) = found.next {
            answer["NextToken"] = next.into();
        }
        Ok(answer)
    }

    /// The name of the queue that is called.
    fn existing<'a>(&self, input: &'a Object) -> Result<&'a str, Fault> {
        if text(input, "QueueUrl").is_none() {
            return Err(missing("QueueUrl"));
        }
        queue_name(input)
            .filter(|name| self.queues.contains_key(*name))
            .ok_or_else(no_queue)
    }

    fn queue(&self, name: &str) -> Result<&Queue, Fault> {
        self.queues.get(name).ok_or_else(no_queue)
    }

    fn queue_mut(&mut self, input: &Object) -> Result<&mut Queue, Fault> {
        let name = self.existing(input)?;
        self.queues.get_mut(name).ok_or_else(no_queue)
    }
}

/// The last part of the URL: over loopback, its host is another than the one that was answered.
fn queue_name(input: &Object) -> Option<&str> {
    text(input, "QueueUrl")?.rsplit('/').next()
}

fn url(cx: &Cx<'_>, name: &str) -> String {
    format!(
        "https://sqs.{}.amazonaws.com/{}/{name}",
        cx.region, cx.account
    )
}

/// Does each entry of a batch; what is refused is told beside what was done.
fn batch(
    input: &Object,
    mut act: impl FnMut(&Object) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let refuse = |code, message: &str| Err(Fault::client(code, message));
    let entries: Vec<&Object> = list(input, "Entries")
        .iter()
        .filter_map(Value::as_object)
        .collect();
    let ids: BTreeSet<&str> = entries.iter().filter_map(|it| text(it, "Id")).collect();
    match entries.len() {
        0 => return refuse("EmptyBatchRequest", "There should be at least one entry."),
        1..=BATCH => {}
        many => {
            let message =
                format!("Maximum number of entries per request are 10. You have sent {many}.");
            return refuse("TooManyEntriesInBatchRequest", &message);
        }
    }
    if ids.len() < entries.len() {
        return refuse(
            "BatchEntryIdsNotDistinct",
            "Ids of a batch must be distinct.",
        );
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = text(entry, "Id").unwrap_or_default();
        match act(entry) {
            Ok(mut answer) => {
                answer["Id"] = id.into();
                successful.push(answer);
            }
            Err(fault) => failed.push(json!({
                "Id": id, "SenderFault": true, "Code": fault.code, "Message": fault.message,
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

/// A number of seconds, or whatever else has bounds.
fn bounded(input: &Object, key: &str, most: i64) -> Result<Option<i64>, Fault> {
    match input.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(given) => match given.as_i64() {
            Some(number) if (0..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(format!(
                "Value {given} for parameter {key} is invalid. Reason: Must be >= 0 and <= {most}, \
                 if provided."
            ))),
        },
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::client("InvalidParameterValueException", message)
}

fn missing(key: &str) -> Fault {
    Fault::client(
        "MissingRequiredParameterException",
        format!("The request must contain the parameter {key}."),
    )
}

fn unsupported(what: &str) -> Fault {
    Fault::client(
        "UnsupportedOperation",
        format!("The sandbox's queues have no {what}."),
    )
}

fn no_queue() -> Fault {
    Fault::client("QueueDoesNotExist", "The specified queue does not exist.")
}
