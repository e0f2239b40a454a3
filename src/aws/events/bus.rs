//! Events of our own on a bus.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use jiff::Timestamp;
use serde_json::Value;

use super::{Events, SERVICE, only_if_not_done};
use crate::aws::error::{AwsError, Call, ErrorClass};

/// An event of our own.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Name or ARN of the bus.
    pub bus: &'a str,
    /// Its source.
    pub source: &'a str,
    /// Its `detail-type`.
    pub kind: &'a str,
    /// Its detail.
    pub detail: &'a Value,
    /// When it happened.
    pub at: Timestamp,
}

impl Events {
    /// PutEvents of one. EventBridge has no token: one whose answer was lost may come twice.
    ///
    /// # Errors
    /// When the call fails, or EventBridge does not take the event.
    pub async fn put_event(&self, event: &Event<'_>) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "PutEvents", format!("event bus {}", event.bus));
        let at = aws_smithy_types::DateTime::from_secs(event.at.as_second());
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(event.bus)
            .source(event.source)
            .detail_type(event.kind)
            .detail(event.detail.to_string())
            .time(at)
            .build();
        let request = self.client.put_events().entries(entry).customize();
        let sent = request.config_override(only_if_not_done()).send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let entry = answer.entries().iter().find(|it| it.error_code().is_some());
        if answer.failed_entry_count() == 0 && entry.is_none() {
            return Ok(());
        }
        let code = entry.and_then(|it| it.error_code());
        let message = entry.and_then(|it| it.error_message()).unwrap_or_default();
        let class = match code {
            Some("ThrottlingException") => ErrorClass::Throttled,
            Some("AccessDeniedException" | "NotAuthorizedForSourceException") => ErrorClass::Denied,
            Some("ResourceNotFoundException") => ErrorClass::NotFound,
            Some("InternalFailure" | "InternalException") | None => ErrorClass::Retry,
            Some(_) => ErrorClass::Refused,
        };
        let error = call.unexpected(class, message);
        Err(error.with_code(code.map(str::to_owned)))
    }
}
