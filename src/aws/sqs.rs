//! One SQS queue, read from.

use std::time::Duration;

use aws_config::Region;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

use super::Aws;
use super::error::{AwsError, Call, ErrorClass};
use super::retry;

#[cfg(test)]
mod tests;

const SERVICE: &str = "sqs";
/// Most messages that one call deletes.
const BATCH: usize = 10;
/// Most messages that one call gives.
const MOST: i32 = 10;
/// How many seconds SQS waits for a message: the longest it allows, which makes for the fewest calls.
const WAIT: i32 = 20;
/// Time of one attempt: the wait, and then as long as any other call may take.
const ATTEMPT: Duration = Duration::from_secs(35);

/// A queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// A message that was received. Until it is deleted it comes again after the queue's visibility
/// timeout.
#[derive(Clone, Debug)]
pub struct Message {
    /// What was sent.
    pub body: String,
    receipt: String,
}

impl Queue {
    /// The queue of this URL, in the Region that the URL names, else in the default one. Nothing is
    /// called yet.
    pub fn new(aws: &Aws, url: impl Into<String>) -> Self {
        let url = url.into();
        let timeouts = retry::timeouts()
            .to_builder()
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let mut config =
            aws_sdk_sqs::config::Builder::from(aws.sdk_config()).timeout_config(timeouts);
        if let Some(region) = region_of(&url) {
            config = config.region(Region::new(region.to_owned()));
        }
        if let Some(metrics) = aws.metrics() {
            config = config.interceptor(metrics);
        }
        Self {
            client: Client::from_conf(config.build()),
            url,
        }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// ReceiveMessage: at most ten, waiting up to 20 seconds for the first. A standard queue gives a
    /// message more than once at times, and keeps no order.
    ///
    /// # Errors
    /// When the call fails. A message of a lost answer comes again.
    pub async fn receive(&self) -> Result<Vec<Message>, AwsError> {
        let call = Call::read(SERVICE, "ReceiveMessage", self.named());
        let sent = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MOST)
            .wait_time_seconds(WAIT)
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        let message = |it: aws_sdk_sqs::types::Message| {
            Some(Message {
                body: it.body.unwrap_or_default(),
                receipt: it.receipt_handle?,
            })
        };
        Ok(messages.filter_map(message).collect())
    }

    /// DeleteMessageBatch. Harmless when repeated.
    ///
    /// # Errors
    /// When a call fails, or SQS did not delete some of them: those come again.
    pub async fn delete(&self, messages: &[Message]) -> Result<(), AwsError> {
        // A failed batch does not keep the others.
        let mut failed = None;
        for batch in messages.chunks(BATCH) {
            if let Err(error) = self.delete_batch(batch).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn delete_batch(&self, batch: &[Message]) -> Result<(), AwsError> {
        let what = format!("messages of {}", self.named());
        let call = Call::write(SERVICE, "DeleteMessageBatch", what);
        let mut entries = Vec::with_capacity(batch.len());
        for (index, message) in batch.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&message.receipt)
                .build()
                .map_err(|error| call.unexpected(ErrorClass::Refused, error.to_string()))?;
            entries.push(entry);
        }
        let sent = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let Some(first) = answer.failed.first() else {
            return Ok(());
        };
        let class = if first.sender_fault {
            ErrorClass::Refused
        } else {
            ErrorClass::Retry
        };
        let message = format!(
            "{} of {} were not deleted: {} {}",
            answer.failed.len(),
            batch.len(),
            first.code,
            first.message.as_deref().unwrap_or_default()
        );
        Err(call
            .unexpected(class, message)
            .with_code(Some(first.code.clone())))
    }

    fn named(&self) -> String {
        format!("queue {}", self.url)
    }
}

/// The Region in an SQS endpoint: `sqs.REGION.amazonaws.com`, also dual-stack, FIPS and those of
/// other partitions, and the old `REGION.queue.amazonaws.com`.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    let rest = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".api.aws",
    ]
    .into_iter()
    .find_map(|suffix| host.strip_suffix(suffix))?;
    let region = rest
        .strip_prefix("sqs.")
        .or_else(|| rest.strip_prefix("sqs-fips."))
        .or_else(|| rest.strip_suffix(".queue"))?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}
