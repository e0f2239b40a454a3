//! Lambda functions, invoked and waited for.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::Value;

use super::error::{AwsError, Call, ErrorClass};
use crate::model::hook::CallEnd;

const SERVICE: &str = "lambda";
/// The longest that a function may run
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>), with some room.
const LONGEST: Duration = Duration::from_secs(15 * 60 + 10);
/// The most that is told of a function's own words.
const WORDS: usize = 500;

/// Lambda in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lambda {
    client: Client,
}

impl Lambda {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Invoke, once: nothing is repeated by itself, since a function that is invoked again runs
    /// again. An error that the function answers is a failure.
    pub async fn invoke(
        &self,
        function: &str,
        qualifier: Option<&str>,
        input: &Value,
        timeout: Duration,
    ) -> CallEnd {
        let call = Call::write(SERVICE, "Invoke", format!("function {function}"));
        let within = timeout.min(LONGEST);
        let config = aws_sdk_lambda::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(within)
                    .read_timeout(within)
                    .build(),
            );
        let request = self
            .client
            .invoke()
            .function_name(function)
            .set_qualifier(qualifier.map(str::to_owned))
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(input.to_string()))
            .customize()
            .config_override(config);
        match tokio::time::timeout(within, request.send()).await {
            Err(_) => CallEnd::Lost(format!("it did not answer within {} s", within.as_secs())),
            Ok(Ok(answer)) => answered(&answer),
            Ok(Err(error)) => failed(&call.failed(error)),
        }
    }
}

fn answered(answer: &InvokeOutput) -> CallEnd {
    let Some(kind) = answer.function_error() else {
        return CallEnd::Succeeded;
    };
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    let told: Value = serde_json::from_slice(payload).unwrap_or_default();
    let member = |name: &str| told[name].as_str().filter(|text| !text.is_empty());
    let words = match (member("errorType"), member("errorMessage")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (kind, message) => kind.or(message).unwrap_or("it gave no reason").to_owned(),
    };
    let words: String = words.chars().take(WORDS).collect();
    CallEnd::Failed(format!("the function failed ({kind}): {words}"))
}

/// The function is being made or changed, and is there once that is done: it did not run
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).
const BUSY: u16 = 409;

/// What became of an invocation that has no answer of the function's.
fn failed(error: &AwsError) -> CallEnd {
    match error.class {
        // Whoever accepts no credentials does nothing, and the next ones may be good.
        ErrorClass::Throttled | ErrorClass::Retry | ErrorClass::Credentials => {
            CallEnd::NotTaken(error.lasting())
        }
        _ if error.status == Some(BUSY) => CallEnd::NotTaken(error.lasting()),
        ErrorClass::Ambiguous => CallEnd::Lost(error.lasting()),
        _ => CallEnd::Refused(error.lasting()),
    }
}
