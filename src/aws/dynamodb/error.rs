//! What can go wrong with the table.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{Key, MAX_ITEM_BYTES, Table};
use crate::aws::{AwsError, Call, ErrorClass};

/// A read or write of the table that failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such table.
    #[error("table {table} does not exist in {region}: run `evenkeel init`")]
    Missing {
        /// Name of the table.
        table: String,
        /// Region that was asked.
        region: String,
    },
    /// There is such a table, but evenkeel cannot use it.
    #[error("table {table} in {region} cannot be used: {why}")]
    Unfit {
        /// Name of the table.
        table: String,
        /// Region that was asked.
        region: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// An item that DynamoDB would refuse; nothing was sent.
    #[error(
        "{key} would take {bytes} bytes in table {table}, and DynamoDB holds at most \
         {MAX_ITEM_BYTES} in one item: make it smaller, for example by splitting the release or by \
         naming task definition families instead of inline definitions"
    )]
    TooLarge {
        /// Name of the table.
        table: String,
        /// Key of the item.
        key: Key,
        /// What it would take.
        bytes: usize,
    },
    /// The call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// A write that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A condition did not hold. None of the writes was done.
    #[error("the condition of write {index} did not hold")]
    ConditionFailed {
        /// Place of the first such write.
        index: usize,
    },
    /// The call failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl TableError {
    /// The failed call, if there was one.
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            TableError::Aws(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the credentials may not do what was tried.
    pub fn is_access_denied(&self) -> bool {
        self.is(ErrorClass::Denied)
    }

    /// Whether a failed write may have been carried out all the same.
    pub fn is_ambiguous(&self) -> bool {
        self.is(ErrorClass::Ambiguous)
    }

    /// Whether trying the same again later, without a person, may well help.
    pub fn is_transient(&self) -> bool {
        [
            ErrorClass::Throttled,
            ErrorClass::Retry,
            ErrorClass::Ambiguous,
            ErrorClass::Conflict,
        ]
        .into_iter()
        .any(|class| self.is(class))
    }

    fn is(&self, class: ErrorClass) -> bool {
        self.aws().is_some_and(|error| error.class == class)
    }
}

impl Table {
    /// Puts a failed call into words.
    pub(super) fn failed<E>(
        &self,
        operation: &'static str,
        key: Option<&Key>,
        error: SdkError<E, HttpResponse>,
    ) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = self.call(operation, key).failed(error);
        if error.has_code("ResourceNotFoundException") {
            return self.missing();
        }
        error.into()
    }

    /// A call that ended otherwise than with an error of the SDK.
    pub(super) fn unexpected(
        &self,
        operation: &'static str,
        key: Option<&Key>,
        class: ErrorClass,
        message: impl Into<String>,
    ) -> TableError {
        self.call(operation, key).unexpected(class, message).into()
    }

    /// A request that could not even be built.
    pub(super) fn unbuilt(
        &self,
        operation: &'static str,
        error: &impl std::fmt::Display,
    ) -> TableError {
        self.unexpected(operation, None, ErrorClass::Refused, error.to_string())
    }

    pub(in crate::aws) fn missing(&self) -> TableError {
        TableError::Missing {
            table: self.name().to_owned(),
            region: self.region(),
        }
    }

    pub(super) fn unfit(&self, why: impl Into<String>) -> TableError {
        TableError::Unfit {
            table: self.name().to_owned(),
            region: self.region(),
            why: why.into(),
        }
    }

    fn call(&self, operation: &'static str, key: Option<&Key>) -> Call {
        let table = self.name();
        let resource = match key {
            Some(key) => format!("{key} in table {table}"),
            None => format!("table {table}"),
        };
        let reads = [
            "GetItem",
            "Query",
            "BatchGetItem",
            "DescribeTable",
            "DescribeTimeToLive",
        ];
        if reads.contains(&operation) {
            Call::read("dynamodb", operation, resource)
        } else {
            Call::write("dynamodb", operation, resource)
        }
    }
}
