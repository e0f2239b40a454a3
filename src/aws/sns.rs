//! SNS: one message to a topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use aws_sdk_sns::types::MessageAttributeValue;

use super::error::{AwsError, Call, ErrorClass};
use super::retry::OnlyIfNotDone;

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;

const SERVICE: &str = "sns";

/// SNS in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sns {
    client: Client,
}

/// A message to a topic.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The topic's ARN.
    pub topic: &'a str,
    /// The message's identity: a FIFO topic takes it once within five minutes.
    pub id: &'a str,
    /// What a FIFO topic keeps in order.
    pub group: &'a str,
    /// The subject of mails: ASCII, shorter than 100 characters.
    pub subject: &'a str,
    /// The text.
    pub text: &'a str,
    /// By which subscriptions filter: name and value.
    pub attributes: &'a [(&'static str, &'a str)],
}

impl Sns {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Publish. A standard topic may get a message twice whose answer was lost.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn publish(&self, message: &Message<'_>) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "Publish", format!("topic {}", message.topic));
        let mut request = self
            .client
            .publish()
            .topic_arn(message.topic)
            .subject(message.subject)
            .message(message.text);
        for (name, value) in message.attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(*value)
                .build()
                .map_err(|error| call.unexpected(ErrorClass::Refused, error.to_string()))?;
            request = request.message_attributes(*name, value);
        }
        if message.topic.ends_with(".fifo") {
            request = request
                .message_deduplication_id(message.id)
                .message_group_id(message.group);
        }
        let once = Builder::new().retry_classifier(OnlyIfNotDone);
        let sent = request.customize().config_override(once).send().await;
        sent.map(|_| ()).map_err(|error| call.failed(error))
    }
}
