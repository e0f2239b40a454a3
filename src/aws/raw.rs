//! JSON sent and read as it stands.
//!
//! The SDK's types know the members that existed when it was made. A task definition that somebody
//! wrote with a newer member must not lose it when evenkeel registers it again with another image,
//! and PutRule and PutTargets replace what they are not sent. So for these operations the SDK
//! signs, sends and retries, and the bodies are ours.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::error::{AwsError, Call};

#[cfg(test)]
mod tests;

/// An interceptor that puts our JSON into one request and keeps the JSON of its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    body: Option<Bytes>,
    answer: Arc<Mutex<Option<Bytes>>>,
}

impl Exchange {
    /// Sends what the SDK serializes; keeps the answer.
    pub fn reading() -> Self {
        Self::default()
    }

    /// Sends this body instead of the SDK's; keeps the answer.
    pub fn sending(body: &Value) -> Self {
        Self {
            body: Some(Bytes::from(body.to_string())),
            answer: Arc::default(),
        }
    }

    /// The answer's JSON object, or what went wrong.
    pub fn answer<T, E>(
        &self,
        result: Result<T, SdkError<E, HttpResponse>>,
        call: &Call,
    ) -> Result<Map<String, Value>, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let body = self
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let body = body.unwrap_or_default();
        let json = serde_json::from_slice::<Map<String, Value>>(&body).ok();
        match (result, json) {
            (Ok(_), Some(json)) => Ok(json),
            // Operations that answer nothing answer an empty body or an empty object.
            (Ok(_), None) if body.is_empty() => Ok(Map::new()),
            (Ok(_), None) => Err(call.unexpected(call.lost(), "the answer is not JSON")),
            // A successful answer that this version of the SDK cannot make sense of is still one.
            (Err(SdkError::ResponseError(error)), Some(json))
                if error.raw().status().is_success() =>
            {
                Ok(json)
            }
            (Err(error), _) => Err(call.failed(error)),
        }
    }
}

impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "json as it stands"
    }

    // Before the retry loop, so that every attempt sends it; and before signing.
    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = &self.body {
            let request = context.request_mut();
            request
                .headers_mut()
                .try_insert("content-length", body.len().to_string())?;
            *request.body_mut() = SdkBody::from(body.clone());
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context
            .response()
            .body()
            .bytes()
            .map(Bytes::copy_from_slice);
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

/// Sends one operation with an [`Exchange`] and answers its JSON; a write as the caller's
/// `only_if_not_done` says. The fluent builders of the SDKs are types of their own with the same
/// methods.
macro_rules! send {
    ($request:expr, $call:expr, $exchange:expr) => {{
        let exchange = $exchange;
        let request = $request.customize().interceptor(exchange.clone());
        let sent = if $call.writes {
            request.config_override(only_if_not_done()).send().await
        } else {
            request.send().await
        };
        exchange.answer(sent, $call)
    }};
}
pub(super) use send;

/// A member that is a string.
pub(super) fn string(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// A member that is a list of objects; anything else in it is left out.
pub(super) fn objects(object: &mut Map<String, Value>, key: &str) -> Vec<Map<String, Value>> {
    let Some(Value::Array(items)) = object.remove(key) else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| match item {
            Value::Object(members) => Some(members),
            _ => None,
        })
        .collect()
}
