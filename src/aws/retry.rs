//! When the SDK may repeat a call by itself.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

use super::error::never_connected;

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Time of one attempt, connecting included.
pub(super) const ATTEMPT: Duration = Duration::from_secs(15);

/// The SDK's standard mode, with few attempts: the reconciler looks again anyway.
pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// The times allowed.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .build()
}

/// The same without the time of an attempt, which [`super::connector`] sees to.
pub(super) fn timeouts_of_connections() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .disable_operation_attempt_timeout()
        .build()
}

/// Lets the SDK repeat a write only when it certainly was not done: AWS answered with a 4xx (it
/// throttled) or there never was a connection. After a lost answer a repeated
/// RegisterTaskDefinition would make a second revision, and whatever the last attempt answers
/// would no longer tell what the first one did; so the caller is told
/// [`super::ErrorClass::Ambiguous`] and looks.
#[derive(Debug)]
pub(super) struct OnlyIfNotDone;

impl ClassifyRetry for OnlyIfNotDone {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let refused = context
            .response()
            .is_some_and(|answer| answer.status().is_client_error());
        let unsent = error
            .as_connector_error()
            .is_some_and(|error| never_connected(error));
        if refused || unsent {
            // The SDK's own classifiers decide.
            RetryAction::NoActionIndicated
        } else {
            RetryAction::RetryForbidden
        }
    }

    fn name(&self) -> &'static str {
        "only if certainly not done"
    }
}
