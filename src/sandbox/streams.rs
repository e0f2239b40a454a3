//! DynamoDB Streams as AWS has them, over an engine whose streams are one endless shard each.
//!
//! The engine keeps the records; which shard one belongs to, how long it is kept and how long an
//! iterator lasts is told here. A shard ends after four hours, and when [`Streams::roll`] ends it.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::json::{Object, text};

/// How long an iterator lasts. Times are positions here: microseconds since 1970.
const ITERATOR: u128 = 15 * MINUTE;
/// How long a record is kept.
const KEPT: u128 = 24 * 60 * MINUTE;
/// How long a shard takes records.
const OPEN: u128 = 4 * 60 * MINUTE;
const MINUTE: u128 = 60_000_000;
/// What the engine's sequence numbers count from. Each position is at least the time of its record,
/// to the millisecond.
const ZERO: u128 = 100_000_000_000_000_000_000;
/// Most shards of one answer.
const PAGE: usize = 100;

/// Calls the engine.
pub(super) type Engine<'a> = &'a dyn Fn(&str, Value) -> Result<Value, Fault>;

/// The shards of every stream, by the stream's ARN.
#[derive(Debug, Default)]
pub(super) struct Streams {
    shards: BTreeMap<String, Vec<Shard>>,
    /// The position of each stream's newest record, for as long as nothing is written: the engine
    /// looks through all records to tell it, and an idle stream is read five times a second.
    newest: BTreeMap<String, u128>,
}

#[derive(Debug, Clone)]
struct Shard {
    number: u64,
    parent: Option<u64>,
    opened: u128,
    /// The last position before its first record.
    after: u128,
    /// The position of its last record, once it has ended.
    until: Option<u128>,
    /// Which hashes of keys it takes.
    hashes: Range<u16>,
}

impl Shard {
    fn takes(&self, record: &Value) -> bool {
        let keys = record["dynamodb"]["Keys"].as_object();
        // The engine tells the attributes in any order.
        let keys: BTreeMap<&String, &Value> = keys.into_iter().flatten().collect();
        let hash = Sha256::digest(format!("{keys:?}").as_bytes())[0];
        self.hashes.contains(&u16::from(hash))
    }
}

/// `shardId-` and 20 digits, as AWS has it, and the table.
fn id(number: u64, table: &str) -> String {
    format!("shardId-{number:020}-{table}")
}

/// The engine's only shard of a table.
fn engines_shard(table: &str) -> String {
    format!("shardId-00000001-{table}")
}

fn table_of(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or_default()
}

/// The first position of what is written at a moment.
fn position_at(at: Timestamp) -> u128 {
    u128::try_from(at.as_millisecond()).unwrap_or(0) * 1000
}

/// The oldest position that is kept.
fn horizon(now: Timestamp) -> u128 {
    position_at(now).saturating_sub(KEPT)
}

fn sequence(position: u128) -> String {
    (ZERO + position).to_string()
}

fn position(sequence: &str) -> Option<u128> {
    sequence.parse::<u128>().ok()?.checked_sub(ZERO)
}

impl Streams {
    /// Something may have been written.
    pub fn changed(&mut self) {
        self.newest.clear();
    }

    /// DescribeStream.
    pub fn describe(
        &mut self,
        now: Timestamp,
        engine: Engine<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let mut answer = engine("DescribeStream", Value::Object(input.clone()))?;
        let arn = text(input, "StreamArn").unwrap_or_default();
        let (shards, _) = self.of(now, engine, arn)?;
        let table = table_of(arn);
        let start = text(input, "ExclusiveStartShardId");
        let limit = input.get("Limit").and_then(Value::as_u64);
        let limit = limit.map_or(PAGE, |limit| {
            usize::try_from(limit).unwrap_or(PAGE).clamp(1, PAGE)
        });
        let rest = shards
            .iter()
            .filter(|shard| start.is_none_or(|start| id(shard.number, table).as_str() > start));
        let rest: Vec<&Shard> = rest.collect();
        let page = &rest[..limit.min(rest.len())];
        let description = &mut answer["StreamDescription"];
        description["Shards"] = page.iter().map(|shard| describe(shard, table)).collect();
        if let Some(last) = page.last().filter(|_| rest.len() > page.len()) {
            description["LastEvaluatedShardId"] = id(last.number, table).into();
        }
        Ok(answer)
    }

    /// GetShardIterator. An iterator says its stream, its moment, its shard and its position.
    pub fn locate(
        &mut self,
        now: Timestamp,
        engine: Engine<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let arn = text(input, "StreamArn").unwrap_or_default();
        let table = table_of(arn);
        let named = text(input, "ShardId").unwrap_or_default();
        let (shards, newest) = self.of(now, engine, arn)?;
        let shard = shards.iter().find(|shard| id(shard.number, table) == named);
        let shard = shard.cloned().ok_or_else(|| {
            let message = format!("Requested resource not found: Shard: {named}");
            Fault::client("ResourceNotFoundException", message)
        })?;
        // The engine finds what is wrong with the call, and the newest record.
        let mut asked = input.clone();
        asked.insert("ShardId".to_owned(), engines_shard(table).into());
        engine("GetShardIterator", Value::Object(asked))?;
        let from = match text(input, "ShardIteratorType") {
            Some("LATEST") => match shard.until {
                Some(until) => until,
                None => newest.max(shard.after),
            },
            Some("TRIM_HORIZON") => shard.after.max(horizon(now)),
            kind => {
                let sequence = text(input, "SequenceNumber").unwrap_or_default();
                let place = position(sequence).unwrap_or_default();
                if place < horizon(now) {
                    return Err(trimmed());
                }
                let before = u128::from(kind == Some("AT_SEQUENCE_NUMBER"));
                place.saturating_sub(before).max(shard.after)
            }
        };
        Ok(json!({"ShardIterator": iterator(arn, now, shard.number, from)}))
    }

    /// GetRecords.
    pub fn read(
        &mut self,
        now: Timestamp,
        engine: Engine<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let given = text(input, "ShardIterator").unwrap_or_default();
        let invalid = || Fault::client("ValidationException", "Invalid ShardIterator");
        let (arn, issued, number, from) = parse(given).ok_or_else(invalid)?;
        if position_at(now).saturating_sub(issued) > ITERATOR {
            let message = "Iterator expired. The iterator was created more than 15 minutes ago.";
            return Err(Fault::client("ExpiredIteratorException", message));
        }
        let (shards, newest) = self.of(now, engine, arn)?;
        let shard = shards.iter().find(|shard| shard.number == number);
        let shard = shard.ok_or_else(trimmed)?;
        if from >= newest && shard.until.is_none() {
            let next = iterator(arn, now, number, from);
            return Ok(json!({"Records": [], "NextShardIterator": next}));
        }

        let limit = input.get("Limit").and_then(Value::as_u64).unwrap_or(1000);
        let asked = json!({"StreamArn": arn, "ShardId": engines_shard(table_of(arn)),
            "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": sequence(from.max(1))});
        let place = engine("GetShardIterator", asked)?;
        let asked = json!({"ShardIterator": place["ShardIterator"], "Limit": limit});
        let mut answer = engine("GetRecords", asked)?;
        let Some(records) = answer["Records"].as_array_mut() else {
            return Ok(answer);
        };
        let of = |record: &Value| {
            let sequence = record["dynamodb"]["SequenceNumber"].as_str();
            sequence.and_then(position).unwrap_or_default()
        };
        if records
            .first()
            .is_some_and(|first| of(first) < horizon(now))
        {
            return Err(trimmed());
        }
        let more = records.len() as u64 >= limit;
        let next = records.last().map_or(from, of);
        records.retain(|record| shard.until.is_none_or(|until| of(record) <= until));
        records.retain(|record| shard.takes(record));
        let ended = shard.until.is_some_and(|until| next >= until || !more);
        let next = (!ended).then(|| iterator(arn, now, number, next));
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("NextShardIterator");
            answer.extend(next.map(|next| ("NextShardIterator".to_owned(), next.into())));
        }
        Ok(answer)
    }

    /// Ends every open shard of a stream; each goes on in so many children, among which its keys
    /// are divided.
    pub fn roll(
        &mut self,
        now: Timestamp,
        engine: Engine<'_>,
        arn: &str,
        children: u16,
    ) -> Result<(), Fault> {
        let (shards, newest) = self.of(now, engine, arn)?;
        split(shards, position_at(now), newest, children);
        Ok(())
    }

    /// The shards of a stream as they are now, and the position of its newest record.
    fn of(
        &mut self,
        now: Timestamp,
        engine: Engine<'_>,
        arn: &str,
    ) -> Result<(&mut Vec<Shard>, u128), Fault> {
        let newest = match self.newest.get(arn) {
            Some(newest) => *newest,
            None => {
                let newest = newest(engine, arn)?;
                self.newest.insert(arn.to_owned(), newest);
                newest
            }
        };
        let first = Shard {
            number: 1,
            parent: None,
            opened: position_at(now),
            after: 0,
            until: None,
            hashes: 0..256,
        };
        let known = self.shards.entry(arn.to_owned());
        let shards = known.or_insert_with(|| vec![first]);
        shards.retain(|shard| shard.until.is_none_or(|until| until >= horizon(now)));
        let old = |shard: &Shard| shard.until.is_none() && shard.opened + OPEN <= position_at(now);
        if shards.iter().any(old) {
            split(shards, position_at(now), newest, 1);
        }
        Ok((shards, newest))
    }
}

/// The position of a stream's newest record.
fn newest(engine: Engine<'_>, arn: &str) -> Result<u128, Fault> {
    let described = engine("DescribeStream", json!({ "StreamArn": arn }))?;
    let described = &described["StreamDescription"];
    let label = described["StreamLabel"].as_str();
    // The engine knows tables only, and would read a stream that was turned off and on again.
    if label.is_none_or(|label| !arn.ends_with(&format!("/stream/{label}"))) {
        let message = format!("Requested resource not found: Stream: {arn} not found");
        return Err(Fault::client("ResourceNotFoundException", message));
    }
    // It calls its one shard's newest record its end, open as the shard is.
    let newest = described["Shards"][0]["SequenceNumberRange"]["EndingSequenceNumber"].as_str();
    Ok(newest.and_then(position).unwrap_or_default())
}

/// Ends every open shard, each with so many children.
fn split(shards: &mut Vec<Shard>, now: u128, newest: u128, children: u16) {
    // The next record comes after both.
    let until = newest.max(now.saturating_sub(1));
    let mut next = shards.iter().map(|shard| shard.number).max().unwrap_or(0) + 1;
    let mut born = Vec::new();
    for shard in shards.iter_mut().filter(|shard| shard.until.is_none()) {
        shard.until = Some(until);
        let Range { start, end } = shard.hashes;
        let width = (end - start).div_ceil(children.max(1)).max(1);
        for low in (start..end).step_by(width.into()) {
            born.push(Shard {
                number: next,
                parent: Some(shard.number),
                opened: now,
                after: until,
                until: None,
                hashes: low..end.min(low + width),
            });
            next += 1;
        }
    }
    shards.extend(born);
}

fn describe(shard: &Shard, table: &str) -> Value {
    let mut told = json!({
        "ShardId": id(shard.number, table),
        "SequenceNumberRange": {"StartingSequenceNumber": sequence(shard.after + 1)},
    });
    if let Some(until) = shard.until {
        told["SequenceNumberRange"]["EndingSequenceNumber"] = sequence(until).into();
    }
    if let Some(parent) = shard.parent {
        told["ParentShardId"] = id(parent, table).into();
    }
    told
}

fn iterator(arn: &str, issued: Timestamp, shard: u64, position: u128) -> String {
    format!("{arn}|{}|{shard}|{position}", position_at(issued))
}

fn parse(iterator: &str) -> Option<(&str, u128, u64, u128)> {
    let mut parts = iterator.split('|');
    let arn = parts.next()?;
    let issued = parts.next()?.parse().ok()?;
    let shard = parts.next()?.parse().ok()?;
    let position = parts.next()?.parse().ok()?;
    parts
        .next()
        .is_none()
        .then_some((arn, issued, shard, position))
}

fn trimmed() -> Fault {
    let message = "The operation attempted to read past the oldest stream record in a shard.";
    Fault::client("TrimmedDataAccessException", message)
}
