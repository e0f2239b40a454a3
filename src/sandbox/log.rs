//! What the sandbox was asked.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use super::wire::Call;

/// Records kept; a sandbox may run for days.
const KEPT: usize = 50_000;

/// One call, in the order in which the sandbox took them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// When.
    pub at: Timestamp,
    /// The service, as boto3 names it: `ecs`, `ecr`, `events`, `scheduler`, `sqs`, `sns`, `ssm`,
    /// `secretsmanager`, `cloudwatch`, `logs`, `lambda`, `codedeploy`, `cloudfront`, `codepipeline`,
    /// `dynamodb`, `dynamodbstreams`, `sts`.
    pub service: String,
    /// The operation, such as `UpdateService`.
    pub operation: String,
    /// The Region.
    pub region: String,
    /// ARN of the caller.
    pub principal: String,
    /// What was sent.
    pub input: Value,
    /// What became of it.
    pub outcome: Outcome,
    /// An AWS client sent it; else it came through [`Sandbox::call`](super::Sandbox::call) or an
    /// account file.
    pub client: bool,
}

impl CallRecord {
    /// The attribute `key` of each item that a call of DynamoDB writes: none for any other call.
    /// What is only checked by a transaction does not count.
    pub fn writes_to(&self, key: &str) -> Vec<&str> {
        let items = match self.input.get("TransactItems").and_then(Value::as_array) {
            Some(writes) => writes
                .iter()
                .filter_map(|write| {
                    ["Put", "Update", "Delete"]
                        .iter()
                        .find_map(|kind| write.get(kind))
                })
                .collect(),
            None if is_write(&self.service, &self.operation) => vec![&self.input],
            None => Vec::new(),
        };
        items
            .into_iter()
            .filter_map(|item| {
                let place = item.get("Item").or_else(|| item.get("Key"))?;
                place.get(key)?.get("S")?.as_str()
            })
            .collect()
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// Done.
    Answered,
    /// Refused with an exception.
    Refused {
        /// The exception's name.
        code: String,
        /// Its sentence.
        message: String,
    },
}

#[derive(Default)]
pub(super) struct Log {
    counts: BTreeMap<String, u64>,
    refused: BTreeMap<(String, String), u64>,
    records: VecDeque<CallRecord>,
}

impl Log {
    pub fn add(
        &mut self,
        at: Timestamp,
        call: &Call,
        principal: String,
        client: bool,
        outcome: &Result<Value, Fault>,
    ) {
        if client {
            let name = format!("{}.{}", call.service, call.operation);
            if let Err(fault) = outcome {
                let refused = self.refused.entry((name.clone(), fault.code.to_owned()));
                *refused.or_default() += 1;
            }
            *self.counts.entry(name).or_default() += 1;
        }
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(CallRecord {
            at,
            service: call.service.clone(),
            operation: call.operation.clone(),
            region: call.region.clone(),
            principal,
            input: Value::Object(call.input.clone()),
            outcome: match outcome {
                Ok(_) => Outcome::Answered,
                Err(fault) => Outcome::Refused {
                    code: fault.code.to_owned(),
                    message: fault.message.clone(),
                },
            },
            client,
        });
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone()
    }

    pub fn refused(&self) -> BTreeMap<(String, String), u64> {
        self.refused.clone()
    }

    pub fn records(&self) -> Vec<CallRecord> {
        self.records.iter().cloned().collect()
    }

    pub fn clear(&mut self) {
        self.counts.clear();
        self.refused.clear();
        self.records.clear();
    }
}

/// Whether an operation changes anything. What only reads is named so; all else counts as a write.
pub fn is_write(service: &str, operation: &str) -> bool {
    if service == "sts" {
        return false;
    }
    let reads = [
        "Describe",
        "List",
        "Get",
        "BatchGet",
        "Query",
        "Scan",
        "TransactGet",
        "FilterLogEvents",
        // It hides the message for a while and changes nothing else.
        "ReceiveMessage",
    ];
    !reads.iter().any(|prefix| operation.starts_with(prefix))
}
