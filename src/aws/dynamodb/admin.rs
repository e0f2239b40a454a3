//! Making the table, and putting it right.

use std::time::Duration;

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableDescription, TableStatus, TimeToLiveSpecification,
    TimeToLiveStatus,
};

use super::{Table, TableError};

/// The attribute by which items expire.
pub const TTL_ATTRIBUTE: &str = "expiresAt";

/// How often and how long a table is waited for.
const POLL: Duration = Duration::from_secs(1);
const POLLS: u32 = 180;

/// What is known of a table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whether its keys are `pk` and `sk`, both strings.
    pub keys_fit: bool,
    /// Whether it takes reads and writes.
    pub active: bool,
    /// What its stream carries, if it is on.
    pub stream: Option<String>,
    /// ARN of its stream, if it is on.
    pub stream_arn: Option<String>,
}

/// Something about the table that was put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The stream was turned on.
    Stream,
    /// Expiry by `expiresAt` was turned on.
    TimeToLive,
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Repair::Stream => "turned on the stream (NEW_AND_OLD_IMAGES)",
            Repair::TimeToLive => "turned on expiry by `expiresAt`",
        })
    }
}

impl Table {
    /// What DynamoDB says of the table; `None` when there is none.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn describe(&self) -> Result<Option<Description>, TableError> {
        let answer = self
            .client
            .describe_table()
            .table_name(self.name())
            .send()
            .await;
        match answer.map_err(|error| self.failed("DescribeTable", None, error)) {
            Ok(answer) => Ok(answer.table.as_ref().map(describe)),
            Err(TableError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the table (on-demand, stream with new and old images) and waits until it is ACTIVE.
    /// Says whether it was made: somebody else may have been faster.
    ///
    /// # Errors
    /// When the call fails, or the table does not become ACTIVE.
    pub async fn create_table(&self) -> Result<bool, TableError> {
        let string = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
        };
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        };
        let invalid = |error| self.unbuilt("CreateTable", &error);
        let sent = self
            .client
            .create_table()
            .table_name(self.name())
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(string("pk").map_err(invalid)?)
            .attribute_definitions(string("sk").map_err(invalid)?)
            .key_schema(key("pk", KeyType::Hash).map_err(invalid)?)
            .key_schema(key("sk", KeyType::Range).map_err(invalid)?)
            .stream_specification(self.with_stream("CreateTable")?)
            .send()
            .await;
        let created = match sent {
            Ok(_) => true,
            Err(error) => match error.as_service_error() {
                Some(CreateTableError::ResourceInUseException(_)) => false,
                _ => return Err(self.failed("CreateTable", None, error)),
            },
        };
        self.wait_until_active().await?;
        Ok(created)
    }

    /// Turns on what is missing of stream and expiry, and tells what that was.
    ///
    /// # Errors
    /// When a call fails, or the table cannot be put right: foreign keys, or a stream without
    /// both images.
    pub async fn repair(&self) -> Result<Vec<Repair>, TableError> {
        let Some(found) = self.describe().await? else {
            return Err(self.missing());
        };
        if !found.keys_fit {
            return Err(self.unfit(
                "its keys are not `pk` and `sk`, so it is not evenkeel's: name another one with \
                 --table",
            ));
        }
        self.wait_until_active().await?;
        let mut repairs = Vec::new();
        match found.stream.as_deref() {
            Some("NEW_AND_OLD_IMAGES") => {}
            Some(other) => {
                let why = format!(
                    "its stream carries {other}; evenkeel needs NEW_AND_OLD_IMAGES: turn the \
                     stream off and run `evenkeel init` again"
                );
                return Err(self.unfit(why));
            }
            None => {
                self.enable_stream().await?;
                repairs.push(Repair::Stream);
            }
        }
        if self.enable_ttl().await? {
            repairs.push(Repair::TimeToLive);
        }
        Ok(repairs)
    }

    async fn enable_stream(&self) -> Result<(), TableError> {
        self.client
            .update_table()
            .table_name(self.name())
            .stream_specification(self.with_stream("UpdateTable")?)
            .send()
            .await
            .map_err(|error| self.failed("UpdateTable", None, error))?;
        self.wait_until_active().await
    }

    /// Turns expiry on unless it is; says whether it had to.
    async fn enable_ttl(&self) -> Result<bool, TableError> {
        let answer = self
            .client
            .describe_time_to_live()
            .table_name(self.name())
            .send()
            .await
            .map_err(|error| self.failed("DescribeTimeToLive", None, error))?;
        let ttl = answer.time_to_live_description;
        let status = ttl.as_ref().and_then(|ttl| ttl.time_to_live_status.clone());
        let attribute = ttl.as_ref().and_then(|ttl| ttl.attribute_name.as_deref());
        if matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        ) {
            if attribute == Some(TTL_ATTRIBUTE) {
                return Ok(false);
            }
            let why = format!(
                "items expire by `{}`; evenkeel needs `{TTL_ATTRIBUTE}`: turn expiry off and run \
                 `evenkeel init` again",
                attribute.unwrap_or_default()
            );
            return Err(self.unfit(why));
        }
        let wanted = TimeToLiveSpecification::builder()
            .attribute_name(TTL_ATTRIBUTE)
            .enabled(true)
            .build()
            .map_err(|error| self.unbuilt("UpdateTimeToLive", &error))?;
        self.client
            .update_time_to_live()
            .table_name(self.name())
            .time_to_live_specification(wanted)
            .send()
            .await
            .map_err(|error| self.failed("UpdateTimeToLive", None, error))?;
        Ok(true)
    }

    async fn wait_until_active(&self) -> Result<(), TableError> {
        for _ in 0..POLLS {
            if self.describe().await?.is_some_and(|table| table.active) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.unfit("it has not become ACTIVE within three minutes: run `evenkeel init` again"))
    }

    fn with_stream(&self, operation: &'static str) -> Result<StreamSpecification, TableError> {
        StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .map_err(|error| self.unbuilt(operation, &error))
    }
}

fn describe(table: &TableDescription) -> Description {
    let key = |name: &str, kind: &KeyType| {
        table
            .key_schema()
            .iter()
            .any(|key| key.attribute_name() == name && key.key_type() == kind)
    };
    let stream = table
        .stream_specification()
        .filter(|stream| stream.stream_enabled());
    Description {
        keys_fit: key("pk", &KeyType::Hash) && key("sk", &KeyType::Range),
        active: matches!(table.table_status(), Some(TableStatus::Active)),
        // DynamoDB goes on naming the newest stream after it was turned off.
        stream_arn: stream.and_then(|_| table.latest_stream_arn().map(str::to_owned)),
        stream: stream
            .and_then(StreamSpecification::stream_view_type)
            .map(|view| view.as_str().to_owned()),
    }
}
