//! What can go wrong with the table.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{Key, MAX_ITEM_BYTES, Table};

/// A call to the table that failed.
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
    /// The credentials may not do this.
    #[error("table {table}: {operation} on {subject} was denied: {message}")]
    AccessDenied {
        /// Name of the table.
        table: String,
        /// The API's operation.
        operation: &'static str,
        /// The item, or the table.
        subject: String,
        /// AWS's words.
        message: String,
    },
    /// Anything else.
    #[error("table {table}: {operation} on {subject} failed: {message}")]
    Failed {
        /// Name of the table.
        table: String,
        /// The API's operation.
        operation: &'static str,
        /// The item, or the table.
        subject: String,
        /// AWS's error code, where it answered.
        code: Option<String>,
        /// AWS's words, or what became of the call.
        message: String,
        /// Whether the call may have been carried out all the same.
        ambiguous: bool,
        /// Whether the same call may well succeed later.
        transient: bool,
    },
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
    /// Whether the credentials may not do what was tried.
    pub fn is_access_denied(&self) -> bool {
        matches!(self, TableError::AccessDenied { .. })
    }

    /// Whether a failed write may have been carried out all the same.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, TableError::Failed { ambiguous: true, .. })
    }

    /// Whether the same call may well succeed later: throttled, timed out, or AWS's own fault.
    pub fn is_transient(&self) -> bool {
        matches!(self, TableError::Failed { transient: true, .. })
    }

    /// AWS's error code, where it gave one.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            TableError::Failed { code, .. } => code.as_deref(),
            _ => None,
        }
    }
}

/// Codes that say "later".
const TRANSIENT: [&str; 7] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "ThrottlingError",
    "TransactionConflictException",
    "TransactionInProgressException",
    "LimitExceededException",
];

impl Table {
    /// Puts a failed call into words.
    pub(super) fn failed<E>(
        &self,
        operation: &'static str,
        key: Option<&Key>,
        error: SdkError<E, HttpResponse>,
    ) -> TableError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let table = self.name().to_owned();
        let subject = key.map_or_else(|| "the table".to_owned(), ToString::to_string);
        let (ambiguous, no_answer) = match &error {
            SdkError::ConstructionFailure(_) => (false, false),
            SdkError::ServiceError(answer) => (answer.raw().status().is_server_error(), false),
            // No answer at all, or none that could be read.
            _ => (true, true),
        };
        let code = error.code().map(str::to_owned);
        let message = match error.message() {
            Some(message) => message.to_owned(),
            None => DisplayErrorContext(&error).to_string(),
        };
        match code.as_deref() {
            Some("ResourceNotFoundException") => {
                TableError::Missing { table, region: self.region() }
            }
            Some("AccessDeniedException") => {
                TableError::AccessDenied { table, operation, subject, message }
            }
            _ => {
                let throttled = code.as_deref().is_some_and(|code| TRANSIENT.contains(&code));
                TableError::Failed {
                    table,
                    operation,
                    subject,
                    message,
                    ambiguous,
                    transient: ambiguous || no_answer || throttled,
                    code,
                }
            }
        }
    }

    /// Others are in the way, and stay there.
    pub(super) fn busy(&self, operation: &'static str, message: &str) -> TableError {
        TableError::Failed {
            table: self.name().to_owned(),
            operation,
            subject: "the table".to_owned(),
            code: None,
            message: message.to_owned(),
            ambiguous: false,
            transient: true,
        }
    }

    /// A request that could not even be built, or an answer that says it was wrong.
    pub(super) fn invalid(
        &self,
        operation: &'static str,
        why: &impl std::fmt::Display,
    ) -> TableError {
        TableError::Failed {
            table: self.name().to_owned(),
            operation,
            subject: "the table".to_owned(),
            code: None,
            message: why.to_string(),
            ambiguous: false,
            transient: false,
        }
    }
}
