//! DynamoDB, as far as evenkeel needs it: one table of JSON items under `pk` and `sk`.
//!
//! Every read is strongly consistent. Every write carries a write id in the items it puts, so that
//! a write whose answer was lost is told apart from a conflict by looking at the item again; with
//! conditions on top, the SDK's own retries are harmless.

mod admin;
mod condition;
mod error;
mod item;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde_json::{Map, Value};

use super::{Aws, ErrorClass, streams};

pub use admin::{Description, Repair};
pub use condition::Condition;
pub use error::{TableError, WriteError};
pub use item::{MAX_ITEM_BYTES, normalize, size_of};
pub use write::{MAX_TRANSACTION, Write};

/// Attribute in which every put leaves the id of its write.
pub const WRITE_ID: &str = "writeId";

/// How many items BatchGetItem takes.
const MAX_BATCH: usize = 100;

/// An item, with `pk` and `sk` among its attributes.
pub type Item = Map<String, Value>;

/// An item's primary key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl Key {
    /// Makes a key of both parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// The key of an item that was read.
    pub fn of(item: &Item) -> Self {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        Self::new(text("pk"), text("sk"))
    }

    fn attributes(&self) -> HashMap<String, AttributeValue> {
        [
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ]
        .into()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", self.pk, self.sk)
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    pub(super) streams: aws_sdk_dynamodbstreams::Client,
    name: String,
}

impl Table {
    /// The table of that name in the default Region of `aws`. Nothing is called yet.
    pub fn new(aws: &Aws, name: impl Into<String>) -> Self {
        let mut config = aws_sdk_dynamodb::config::Builder::from(aws.sdk_config());
        if let Some(metrics) = aws.metrics() {
            config = config.interceptor(metrics);
        }
        Self {
            client: Client::from_conf(config.build()),
            streams: streams::client(aws),
            name: name.into(),
        }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Region the client calls, for messages.
    pub fn region(&self) -> String {
        self.client
            .config()
            .region()
            .map_or_else(|| "the configured Region".to_owned(), ToString::to_string)
    }

    /// One item, strongly consistent.
    ///
    /// # Errors
    /// When the table is missing or the call fails.
    pub async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failed("GetItem", Some(key), error))?;
        Ok(answer.item.map(item::from_attributes))
    }

    /// Every item of a partition whose sort key begins with `prefix`, in the sort key's order,
    /// strongly consistent, all pages.
    ///
    /// # Errors
    /// When the table is missing or a call fails.
    pub async fn query(&self, pk: &str, prefix: &str) -> Result<Vec<Item>, TableError> {
        self.pages(pk, prefix, Part::Whole).await
    }

    /// The same, of each item only its key and its version.
    ///
    /// # Errors
    /// When the table is missing or a call fails.
    pub async fn versions(&self, pk: &str, prefix: &str) -> Result<Vec<Item>, TableError> {
        self.pages(pk, prefix, Part::Version).await
    }

    async fn pages(&self, pk: &str, prefix: &str, part: Part) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let (page, next) = self.page(pk, prefix, part, start).await?;
            items.extend(page);
            match next {
                Some(next) => start = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// Whether a partition holds anything whose sort key begins with `prefix`.
    ///
    /// # Errors
    /// When the table is missing or a call fails.
    pub async fn any(&self, pk: &str, prefix: &str) -> Result<bool, TableError> {
        let (page, _) = self.page(pk, prefix, Part::First, None).await?;
        Ok(!page.is_empty())
    }

    async fn page(
        &self,
        pk: &str,
        prefix: &str,
        part: Part,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<(Vec<Item>, Option<HashMap<String, AttributeValue>>), TableError> {
        let mut call = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        // DynamoDB refuses an empty string as an operand of a key condition.
        call = if prefix.is_empty() {
            call.key_condition_expression("pk = :pk")
        } else {
            call.key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
                .expression_attribute_values(":sk", AttributeValue::S(prefix.to_owned()))
        };
        call = match part {
            Part::Whole => call,
            Part::First => call.limit(1),
            Part::Version => call
                .projection_expression("pk, sk, #version")
                .expression_attribute_names("#version", "version"),
        };
        let key = Key::new(pk, prefix);
        let answer = call
            .send()
            .await
            .map_err(|error| self.failed("Query", Some(&key), error))?;
        let items = answer.items.unwrap_or_default();
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((items.into_iter().map(item::from_attributes).collect(), next))
    }

    /// Partitions whose key begins with one prefix and that hold a sort key that begins with
    /// another. Reads the whole table, with eventual consistency, so it is for what no key leads to.
    ///
    /// # Errors
    /// When the table is missing or a call fails.
    pub async fn partitions(
        &self,
        prefix: &str,
        sort_prefix: &str,
    ) -> Result<BTreeSet<String>, TableError> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.name)
            .projection_expression("pk")
            .filter_expression("begins_with(pk, :pk) AND begins_with(sk, :sk)")
            .expression_attribute_values(":pk", AttributeValue::S(prefix.to_owned()))
            .expression_attribute_values(":sk", AttributeValue::S(sort_prefix.to_owned()))
            .into_paginator()
            .send();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("Scan", None, error))?;
            let items = page.items.unwrap_or_default().into_iter();
            found.extend(items.map(|item| Key::of(&item::from_attributes(item)).pk));
        }
        Ok(found)
    }

    /// Those of the items that are there, in no particular order, strongly consistent. Keys that
    /// DynamoDB left unprocessed are asked for again.
    ///
    /// # Errors
    /// When the table is missing or a call fails, or DynamoDB keeps leaving keys out.
    pub async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        // A key that comes twice is refused by DynamoDB.
        let unique: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut items = Vec::with_capacity(unique.len());
        for chunk in unique.chunks(MAX_BATCH) {
            let mut left: Vec<_> = chunk.iter().map(|key| key.attributes()).collect();
            let mut pause = Pause::default();
            while !left.is_empty() {
                let (found, unprocessed) = self.batch(left).await?;
                items.extend(found);
                left = unprocessed;
                if !left.is_empty() && !pause.take().await {
                    let why = "it keeps leaving keys unprocessed";
                    return Err(self.unexpected("BatchGetItem", None, ErrorClass::Throttled, why));
                }
            }
        }
        Ok(items)
    }

    async fn batch(
        &self,
        keys: Vec<HashMap<String, AttributeValue>>,
    ) -> Result<(Vec<Item>, Vec<HashMap<String, AttributeValue>>), TableError> {
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build()
            .map_err(|error| self.unbuilt("BatchGetItem", &error))?;
        let mut answer = self
            .client
            .batch_get_item()
            .request_items(&self.name, wanted)
            .send()
            .await
            .map_err(|error| self.failed("BatchGetItem", None, error))?;
        let found = answer
            .responses
            .as_mut()
            .and_then(|tables| tables.remove(&self.name))
            .unwrap_or_default();
        let left = answer
            .unprocessed_keys
            .as_mut()
            .and_then(|tables| tables.remove(&self.name))
            .map(|keys| keys.keys)
            .unwrap_or_default();
        Ok((found.into_iter().map(item::from_attributes).collect(), left))
    }
}

/// What is read of a partition.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Every item.
    Whole,
    /// The first item.
    First,
    /// The key and the version of every item.
    Version,
}

/// Growing pauses between tries of something that others are in the way of.
#[derive(Debug, Default)]
struct Pause {
    taken: u32,
}

impl Pause {
    const TRIES: u32 = 9;

    /// Sleeps, longer each time and with jitter, or says that there were enough tries.
    async fn take(&mut self) -> bool {
        if self.taken >= Self::TRIES {
            return false;
        }
        let longest = 20_u64 << self.taken;
        self.taken += 1;
        // Two writers that met once shall not meet again.
        let jitter = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        tokio::time::sleep(Duration::from_millis(longest / 2 + longest * jitter / 510)).await;
        true
    }
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
pub(crate) mod local;

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
