//! The spans that the SDK makes of its calls.

use tracing::Metadata;

/// The call that watches the table's stream, several times a second for as long as evenkeel runs.
const WATCHES: &str = "GetRecords";

/// Whether something is the SDK's own span of a call, such as `DynamoDB.TransactWriteItems`, which
/// traces show. Its events are not for others to see, and what watches would drown the rest.
pub fn is_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.target().starts_with("aws_sdk_")
        && !metadata.name().ends_with(WATCHES)
}

#[cfg(test)]
pub mod tests;
