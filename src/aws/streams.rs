//! DynamoDB Streams: which items of the table changed.
//!
//! A stream consists of shards. AWS ends a shard after about four hours, or when it splits the
//! partition behind it; what comes after is in its children. Within a shard, and from a shard to
//! its children, the changes of one item come in the order in which they were made. Records are
//! kept for 24 hours, an iterator for 15 minutes.
//!
//! Source: "Change data capture for DynamoDB Streams" in the DynamoDB developer guide, and the
//! reference of the DynamoDB Streams API.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::types::{self, AttributeValue, ShardIteratorType, StreamStatus};

use super::Aws;
use super::dynamodb::{Key, Table, TableError};
use super::error::{AwsError, Call, ErrorClass};

/// Most records of one answer.
const MAX_RECORDS: usize = 1000;
/// Records of so many bytes do not fit beside as many again: an answer holds at most 1 MB.
const LARGE: i64 = 512 * 1024;

/// The client of the table's streams. Nothing is repeated by the SDK: the reader knows better how
/// long to wait, and keeps its place.
pub(super) fn client(aws: &Aws) -> Client {
    let mut config = aws_sdk_dynamodbstreams::config::Builder::from(aws.sdk_config())
        .retry_config(RetryConfig::disabled());
    if let Some(metrics) = aws.metrics() {
        config = config.interceptor(metrics);
    }
    Client::from_conf(config.build())
}

/// A table's stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stream {
    client: Client,
    arn: String,
}

/// A shard, as DescribeStream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: String,
    /// The shard whose records come before its own; may have been trimmed away already.
    pub parent: Option<String>,
}

/// What DescribeStream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// Whether new records come: a stream that was turned off can still be read.
    pub enabled: bool,
    /// Every shard that still has records, or will have.
    pub shards: Vec<Shard>,
}

/// From where a shard is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Whatever comes from now on.
    Latest,
    /// All that is kept.
    Horizon,
    /// What comes after the record of this sequence number.
    After(String),
}

/// What GetShardIterator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// An iterator for the first read.
    At(String),
    /// The shard has ended and there is nothing more to read.
    Ended,
    /// The records after that place are not kept any more.
    Trimmed,
}

/// What GetRecords says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next records, perhaps none.
    Page(Page),
    /// The iterator is older than 15 minutes.
    Expired,
    /// What the iterator points to is not kept any more.
    Trimmed,
}

/// Records of a shard, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The iterator for the next read; none when the shard has ended and was read to its end.
    pub next: Option<String>,
    /// Whether no more fitted, so that the next ones wait already.
    pub full: bool,
}

/// That an item changed. What it holds is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Key of the item.
    pub key: Key,
    /// Whether the item is gone.
    pub removed: bool,
    /// Its place in the shard.
    pub sequence: String,
}

impl Table {
    /// The table's stream; none when it is off.
    ///
    /// # Errors
    /// When the table is missing or the call fails.
    pub async fn stream(&self) -> Result<Option<Stream>, TableError> {
        let found = self.describe().await?.ok_or_else(|| self.missing())?;
        Ok(found.stream_arn.map(|arn| Stream {
            client: self.streams.clone(),
            arn,
        }))
    }
}

impl Stream {
    /// DescribeStream, all pages.
    ///
    /// # Errors
    /// When a call fails; `NotFound` when the stream is gone, as after the table was deleted.
    pub async fn describe(&self) -> Result<Shards, AwsError> {
        let call = self.call("DescribeStream");
        let mut shards = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let answer = self
                .client
                .describe_stream()
                .stream_arn(&self.arn)
                .set_exclusive_start_shard_id(after.clone())
                .send()
                .await
                .map_err(|error| throttled(call.failed(error)))?;
            let Some(found) = answer.stream_description else {
                let message = "the answer describes no stream; is this endpoint AWS?";
                return Err(call.unexpected(ErrorClass::Refused, message));
            };
            shards.extend(
                found
                    .shards
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(shard),
            );
            after = call.next_page(after.as_ref(), found.last_evaluated_shard_id)?;
            if after.is_none() {
                let off = [StreamStatus::Disabling, StreamStatus::Disabled];
                let enabled = !found
                    .stream_status
                    .is_some_and(|status| off.contains(&status));
                return Ok(Shards { enabled, shards });
            }
        }
    }

    /// GetShardIterator.
    ///
    /// # Errors
    /// When the call fails; `NotFound` when stream or shard are gone.
    pub async fn locate(&self, shard: &str, start: &Start) -> Result<Located, AwsError> {
        let call = self.call("GetShardIterator");
        let (kind, sequence) = match start {
            Start::Latest => (ShardIteratorType::Latest, None),
            Start::Horizon => (ShardIteratorType::TrimHorizon, None),
            Start::After(sequence) => (
                ShardIteratorType::AfterSequenceNumber,
                Some(sequence.clone()),
            ),
        };
        let sent = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.arn)
            .shard_id(shard)
            .shard_iterator_type(kind)
            .set_sequence_number(sequence)
            .send()
            .await;
        match sent.map_err(|error| throttled(call.failed(error))) {
            Ok(answer) => Ok(answer.shard_iterator.map_or(Located::Ended, Located::At)),
            Err(error) if error.has_code(TRIMMED) => Ok(Located::Trimmed),
            Err(error) => Err(error),
        }
    }

    /// GetRecords.
    ///
    /// # Errors
    /// When the call fails; `NotFound` when the stream is gone.
    pub async fn read(&self, iterator: &str) -> Result<Read, AwsError> {
        let call = self.call("GetRecords");
        let sent = self.client.get_records().shard_iterator(iterator).send();
        match sent.await.map_err(|error| throttled(call.failed(error))) {
            Ok(answer) => Ok(Read::Page(page(
                answer.records.unwrap_or_default(),
                answer.next_shard_iterator,
            ))),
            Err(error) if error.has_code("ExpiredIteratorException") => Ok(Read::Expired),
            Err(error) if error.has_code(TRIMMED) => Ok(Read::Trimmed),
            Err(error) => Err(error),
        }
    }

    fn call(&self, operation: &'static str) -> Call {
        Call::read("dynamodb", operation, format!("stream {}", self.arn))
    }
}

/// What both GetShardIterator and GetRecords answer to a place that is older than 24 hours.
const TRIMMED: &str = "TrimmedDataAccessException";

/// Streams say `LimitExceededException` where other services throttle; elsewhere the same code is
/// a quota that waiting does not help.
fn throttled(error: AwsError) -> AwsError {
    if error.has_code("LimitExceededException") {
        error.with_class(ErrorClass::Throttled)
    } else {
        error
    }
}

fn shard(found: types::Shard) -> Option<Shard> {
    Some(Shard {
        id: found.shard_id?,
        parent: found.parent_shard_id,
    })
}

fn page(records: Vec<types::Record>, next: Option<String>) -> Page {
    let changes = || records.iter().filter_map(|record| record.dynamodb.as_ref());
    let bytes: i64 = changes().filter_map(|change| change.size_bytes).sum();
    Page {
        full: records.len() >= MAX_RECORDS || bytes >= LARGE,
        records: records.into_iter().filter_map(record).collect(),
        next,
    }
}

fn record(found: types::Record) -> Option<Record> {
    let change = found.dynamodb?;
    let keys = change.keys.unwrap_or_default();
    Some(Record {
        key: Key::new(text(&keys, "pk"), text(&keys, "sk")),
        removed: found.event_name == Some(types::OperationType::Remove),
        sequence: change.sequence_number?,
    })
}

/// A string of the key; empty where there is none, which is no key of evenkeel's.
fn text(keys: &HashMap<String, AttributeValue>, name: &str) -> String {
    match keys.get(name) {
        Some(AttributeValue::S(text)) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
