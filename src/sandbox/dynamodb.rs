//! DynamoDB and its streams: dynoxide, an engine on SQLite in memory, behind AWS's names.
//!
//! The engine calls its Region `dynoxide` and its account 000000000000, which is put right on the
//! way in and out.

mod tokens;

use std::sync::Arc;

use dynoxide::errors::DynoxideError;
use dynoxide::{Database, storage_backend};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::clock::Clock;
use super::cx::Cx;
use super::fault::Fault;
use super::json::Object;
use super::streams::Streams;
use tokens::Tokens;

/// The engine's own prefix of ARNs.
const LOCAL: &str = "arn:aws:dynamodb:dynoxide:000000000000:";
/// How often expired items are looked for. AWS promises days; a minute shows the same.
const SWEEP: SignedDuration = SignedDuration::from_mins(1);

/// The tables of one Region.
pub(super) struct Tables {
    database: Database,
    streams: Streams,
    tokens: Tokens,
    swept: Timestamp,
}

/// The engine reads the sandbox's time.
struct Time(Clock);

impl storage_backend::Clock for Time {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.0.now().as_second()).unwrap_or(0)
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now().as_millisecond() as f64 / 1000.0
    }
}

impl Tables {
    /// No tables yet.
    pub fn new(clock: &Clock) -> Result<Self, Fault> {
        let database = Database::memory_with_clock(Arc::new(Time(clock.clone())))
            .map_err(|error| fault("", &error))?;
        Ok(Self {
            database,
            streams: Streams::default(),
            tokens: Tokens::default(),
            swept: clock.now(),
        })
    }

    /// Answers one call.
    pub fn call(&mut self, cx: &Cx<'_>, operation: &str, input: &Object) -> Result<Value, Fault> {
        if cx.now.duration_since(self.swept) >= SWEEP {
            self.swept = cx.now;
            self.database
                .sweep_ttl()
                .map_err(|error| fault(operation, &error))?;
            self.streams.changed();
        }
        if !is_read(operation) {
            self.streams.changed();
        }
        let ours = format!("arn:aws:dynamodb:{}:{}:", cx.region, cx.account);
        let input = localized(input, &ours);
        let engine = engine(&self.database);
        let mut answer = match operation {
            "DescribeStream" => self.streams.describe(cx.now, &engine, &input)?,
            "GetShardIterator" => self.streams.locate(cx.now, &engine, &input)?,
            "GetRecords" => self.streams.read(cx.now, &engine, &input)?,
            "TransactWriteItems" => self.tokens.once(cx.now, input, |input| {
                dispatch(&self.database, operation, input)
            })?,
            _ => dispatch(&self.database, operation, input)?,
        };
        match operation {
            "GetRecords" => globalize_records(&mut answer, &ours, cx.region),
            _ if is_about_tables(operation) => globalize(&mut answer, &ours),
            _ => {}
        }
        Ok(answer)
    }

    /// Ends the open shards of a table's stream, each with so many children.
    pub fn roll_stream(&mut self, now: Timestamp, table: &str, children: u16) -> Result<(), Fault> {
        let engine = engine(&self.database);
        let described = engine("DescribeTable", json!({ "TableName": table }))?;
        let arn = described["Table"]["LatestStreamArn"].as_str();
        self.streams
            .roll(now, &engine, arn.unwrap_or_default(), children)
    }
}

/// The engine, by its operations' names.
fn engine(database: &Database) -> impl Fn(&str, Value) -> Result<Value, Fault> {
    move |operation, input| match input {
        Value::Object(input) => dispatch(database, operation, input),
        _ => Err(Fault::client("SerializationException", "no object")),
    }
}

fn dispatch(db: &Database, operation: &str, input: Object) -> Result<Value, Fault> {
    macro_rules! run {
        ($method:ident) => {
            run(operation, input, |request| db.$method(request))
        };
    }
    match operation {
        "CreateTable" => run!(create_table),
        "DeleteTable" => run!(delete_table),
        "DescribeTable" => run!(describe_table),
        "ListTables" => run!(list_tables),
        "UpdateTable" => run!(update_table),
        "PutItem" => run!(put_item),
        "GetItem" => run!(get_item),
        "DeleteItem" => run!(delete_item),
        "UpdateItem" => run!(update_item),
        "Query" => run!(query),
        "Scan" => run!(scan),
        "BatchGetItem" => run!(batch_get_item),
        "BatchWriteItem" => run!(batch_write_item),
        "TransactWriteItems" => run!(transact_write_items),
        "TransactGetItems" => run!(transact_get_items),
        "ExecuteStatement" => run!(execute_statement),
        "ExecuteTransaction" => run!(execute_transaction),
        "BatchExecuteStatement" => run!(batch_execute_statement),
        "UpdateTimeToLive" => run!(update_time_to_live),
        "DescribeTimeToLive" => run!(describe_time_to_live),
        "TagResource" => run!(tag_resource),
        "UntagResource" => run!(untag_resource),
        "ListTagsOfResource" => run!(list_tags_of_resource),
        "ListStreams" => run!(list_streams),
        "DescribeStream" => run!(describe_stream),
        "GetShardIterator" => run!(get_shard_iterator),
        "GetRecords" => run!(get_records),
        "DescribeContinuousBackups" => describe_continuous_backups(db, input),
        _ => Err(Fault::client("UnknownOperationException", operation)),
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    operation: &str,
    input: Object,
    act: impl FnOnce(I) -> dynoxide::Result<O>,
) -> Result<Value, Fault> {
    let request = serde_json::from_value(Value::Object(input)).map_err(|error| unread(&error))?;
    let answer = act(request).map_err(|error| fault(operation, &error))?;
    serde_json::to_value(answer)
        .map_err(|error| Fault::server("InternalServerError", error.to_string()))
}

/// Backups do not exist here, which is an answer too: tools ask for it beside DescribeTable.
fn describe_continuous_backups(db: &Database, input: Object) -> Result<Value, Fault> {
    run("DescribeTable", input, |request| db.describe_table(request))?;
    Ok(json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "DISABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
    }}))
}

/// Whether an operation surely changes nothing.
fn is_read(operation: &str) -> bool {
    let verbs = ["Describe", "List", "Get", "BatchGet", "Query", "Scan"];
    verbs.iter().any(|verb| operation.starts_with(verb))
}

/// Whether an answer describes tables or streams, rather than hold what users store.
fn is_about_tables(operation: &str) -> bool {
    matches!(
        operation,
        "CreateTable"
            | "DeleteTable"
            | "DescribeTable"
            | "UpdateTable"
            | "ListStreams"
            | "DescribeStream"
    )
}

/// The input in the engine's own ARNs.
fn localized(input: &Object, ours: &str) -> Object {
    let mut input = input.clone();
    for key in ["ResourceArn", "StreamArn", "TableName"] {
        if let Some(Value::String(arn)) = input.get_mut(key)
            && let Some(rest) = arn.strip_prefix(ours)
        {
            *arn = format!("{LOCAL}{rest}");
        }
    }
    input
}

/// Puts this account's ARNs into a description.
fn globalize(value: &mut Value, ours: &str) {
    match value {
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(LOCAL) {
                *text = format!("{ours}{rest}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| globalize(item, ours)),
        Value::Object(members) => members.values_mut().for_each(|item| globalize(item, ours)),
        _ => {}
    }
}

/// Records hold users' items, which stay as they are.
fn globalize_records(answer: &mut Value, ours: &str, region: &str) {
    let records = answer.get_mut("Records").and_then(Value::as_array_mut);
    for record in records.into_iter().flatten() {
        if let Some(at) = record.get_mut("awsRegion") {
            *at = region.into();
        }
        if let Some(arn) = record.get_mut("eventSourceARN") {
            globalize(arn, ours);
        }
    }
}

/// The engine marks in its messages how DynamoDB would class what it could not read.
fn unread(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    for (marker, code, enveloped) in [
        ("VALIDATION_REQUEST:", "ValidationException", true),
        ("VALIDATION_AS_READ:", "ValidationException", false),
        ("VALIDATION:", "ValidationException", false),
        ("SERIALIZATION_AS_READ:", "SerializationException", false),
        ("SERIALIZATION:", "SerializationException", false),
    ] {
        if let Some(message) = text.strip_prefix(marker) {
            return Fault::client(code, envelope(message, enveloped));
        }
    }
    let refused = [
        "missing field",
        "unknown variant",
        "invalid type: null",
        "AttributeValue",
    ];
    if refused.iter().any(|part| text.contains(part)) {
        return Fault::client("ValidationException", text);
    }
    Fault::client("SerializationException", text)
}

fn envelope(message: &str, enveloped: bool) -> String {
    if enveloped {
        format!("1 validation error detected: {message}")
    } else {
        message.to_owned()
    }
}

fn fault(operation: &str, error: &DynoxideError) -> Fault {
    let kind = error.error_type();
    let enveloped = matches!(error, DynoxideError::EnvelopedValidation(_))
        && matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem");
    let fault = Fault {
        status: error.status_code(),
        code: kind.rsplit_once('#').map_or(kind, |(_, code)| code),
        message: envelope(&error.to_string(), enveloped),
        extra: Object::new(),
    };
    match error {
        DynoxideError::TransactionCanceledException(_, reasons) => fault.with(
            "CancellationReasons",
            serde_json::to_value(reasons).unwrap_or_default(),
        ),
        DynoxideError::ConditionalCheckFailedException(_, Some(item)) => {
            fault.with("Item", serde_json::to_value(item).unwrap_or_default())
        }
        _ => fault,
    }
}
