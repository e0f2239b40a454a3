//! From the SDK's errors to ours.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::{Map, Value};

use super::{AwsError, Call, Details, ErrorClass};
use crate::aws::budget::NotSent;
use crate::resource::hidden::HIDDEN;

/// Longest piece of an answer that is no AWS error, as people see it.
const SNIPPET: usize = 200;

/// What is said of an attempt whose time ran out.
const NO_ANSWER: &str = "no answer within the time allowed";

/// What is known of a failure before it has a class.
#[derive(Default)]
struct Facts {
    code: Option<String>,
    message: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    extra: Map<String, Value>,
}

impl Call {
    /// What the SDK's error of this call means.
    pub fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> AwsError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        // A role could not be assumed: that call failed, not this one, which was never made.
        if let Some(assuming) = links(&error).find_map(|link| link.downcast_ref::<AwsError>()) {
            return assuming.clone();
        }
        let mut facts = error.raw_response().map(facts).unwrap_or_default();
        if let SdkError::ServiceError(service) = &error {
            let meta = service.err().meta();
            facts.code = meta.code().map(str::to_owned).or(facts.code);
            facts.message = meta.message().map(str::to_owned).or(facts.message);
        }
        let class = self.class(&error, &facts);
        let message = facts
            .message
            .take()
            .unwrap_or_else(|| self.story(&error, class));
        let told = without_values(&message).into_owned();
        // The SDK's error holds the answer as it came.
        let kept = told == message;
        AwsError(Box::new(Details {
            class,
            service: self.service,
            operation: self.operation,
            resource: self.resource.clone(),
            code: facts.code,
            message: told,
            request_id: facts.request_id,
            status: facts.status,
            extra: if kept { facts.extra } else { Map::new() },
            source: kept.then(|| Arc::new(error) as _),
        }))
    }

    fn class<E>(&self, error: &SdkError<E, HttpResponse>, facts: &Facts) -> ErrorClass
    where
        E: Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ConstructionFailure(_) => unsent(error).unwrap_or(ErrorClass::Refused),
            SdkError::DispatchFailure(failure) => {
                if links(error).any(|link| link.is::<NotSent>()) {
                    ErrorClass::Throttled
                } else if let Some(class) = unsent(error) {
                    class
                } else if failure.is_user() {
                    ErrorClass::Refused
                } else if never_connected(error) {
                    ErrorClass::Retry
                } else {
                    self.lost()
                }
            }
            SdkError::TimeoutError(_) => self.lost(),
            _ => self.class_of_answer(facts),
        }
    }

    /// The class of an answer by its code, or by its status where it has none.
    fn class_of_answer(&self, facts: &Facts) -> ErrorClass {
        let message = facts.message.as_deref().unwrap_or_default();
        if let Some(code) = facts.code.as_deref()
            && let Some(class) = class_of_code(code, message)
        {
            return class;
        }
        match facts.status {
            Some(401) => ErrorClass::Credentials,
            Some(403) if facts.code.is_none() => ErrorClass::Denied,
            Some(408) => self.lost(),
            Some(429) => ErrorClass::Throttled,
            Some(400..=499) => ErrorClass::Refused,
            // 5xx, or an answer that could not be read.
            _ => self.lost(),
        }
    }

    /// What happened, where AWS answered no message.
    fn story<E>(&self, error: &SdkError<E, HttpResponse>, class: ErrorClass) -> String
    where
        E: Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(_) => String::new(),
            SdkError::TimeoutError(_) => NO_ANSWER.to_owned(),
            SdkError::DispatchFailure(failure)
                if failure.is_timeout() && !never_connected(error) =>
            {
                NO_ANSWER.to_owned()
            }
            _ if class == ErrorClass::Credentials => match chain(error).as_str() {
                "" | "the credential provider was not enabled" => {
                    "no AWS credentials were found".to_owned()
                }
                why => format!("no AWS credentials could be loaded ({why})"),
            },
            _ if missing_region(error) => "no AWS Region is set".to_owned(),
            _ => chain(error),
        }
    }
}

/// What the answer says of itself.
fn facts(response: &HttpResponse) -> Facts {
    let headers = response.headers();
    let status = response.status().as_u16();
    let body = response.body().bytes().unwrap_or_default();
    let json = serde_json::from_slice::<Value>(body).ok();
    let mut extra = match &json {
        Some(Value::Object(members)) => members.clone(),
        _ => Map::new(),
    };
    let message = ["message", "Message", "errorMessage"]
        .into_iter()
        .find_map(|key| extra.get(key).and_then(Value::as_str).map(str::to_owned));
    for known in ["__type", "code", "message", "Message", "errorMessage"] {
        extra.shift_remove(known);
    }
    let code = code_of_response(response);
    let message = match (message, &code) {
        (Some(message), _) => Some(message),
        (None, Some(_)) => None,
        (None, None) => Some(unlike_aws(status, body)),
    };
    Facts {
        code,
        message,
        status: Some(status),
        request_id: headers
            .get("x-amzn-requestid")
            .or_else(|| headers.get("x-amz-request-id"))
            .map(str::to_owned),
        extra,
    }
}

/// The error code of an answer: header `x-amzn-errortype`, `__type` of its JSON, or header
/// `x-amzn-query-error`, without the namespace before `#` and the link behind `:`.
pub(in crate::aws) fn code_of_response(response: &HttpResponse) -> Option<String> {
    if response.status().is_success() {
        return None;
    }
    let header = response
        .headers()
        .get("x-amzn-errortype")
        .map(str::to_owned);
    let code = header.or_else(|| {
        let body = serde_json::from_slice::<Value>(response.body().bytes()?).ok()?;
        let code = body.get("__type").or_else(|| body.get("code"))?;
        code.as_str().map(str::to_owned)
    });
    // What CBOR says, is said here in plain text as well, for those who knew the service before:
    // `Throttling;Sender`.
    let code = code.or_else(|| {
        let query = response.headers().get("x-amzn-query-error")?;
        query.split(';').next().map(str::to_owned)
    })?;
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().trim();
    (!code.is_empty()).then(|| code.to_owned())
}

/// Whether AWS answers that there were too many calls.
pub(in crate::aws) fn is_throttle(response: &HttpResponse) -> bool {
    if response.status().is_success() {
        return false;
    }
    let facts = facts(response);
    let message = facts.message.as_deref().unwrap_or_default();
    let class = facts.code.and_then(|code| class_of_code(&code, message));
    class.map_or(response.status().as_u16() == 429, |class| {
        class == ErrorClass::Throttled
    })
}

/// A sentence about an answer that is no AWS error: a proxy's page, an empty body.
fn unlike_aws(status: u16, body: &[u8]) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for character in String::from_utf8_lossy(body).chars() {
        match character {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            _ if in_tag => {}
            other => text.push(other),
        }
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return format!("HTTP {status} without an AWS error code");
    }
    let snippet: String = text.chars().take(SNIPPET).collect();
    format!("HTTP {status} without an AWS error code: {snippet}")
}

/// The class that a code stands for, in whichever service; `None` leaves it to the HTTP status.
fn class_of_code(code: &str, message: &str) -> Option<ErrorClass> {
    Some(match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottledException"
        | "RequestThrottled"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "KMSThrottling"
        | "KMSThrottlingException"
        | "PriorRequestNotComplete" => ErrorClass::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "AuthorizationError"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "OptInRequired"
        | "KMSAccessDenied"
        | "KMSAccessDeniedException"
        | "KMSOptInRequired" => ErrorClass::Denied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "AuthFailure"
        | "RequestTimeTooSkewed"
        | "TokenRefreshRequired" => ErrorClass::Credentials,
        "ClusterNotFoundException"
        | "ServiceNotFoundException"
        | "RepositoryNotFoundException"
        | "ImageNotFoundException"
        | "ResourceNotFoundException"
        | "TaskSetNotFoundException"
        | "TableNotFoundException"
        | "ParameterNotFound"
        | "ParameterVersionNotFound"
        | "NotFound"
        | "NotFoundException"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => ErrorClass::NotFound,
        // Conditions that did not hold, and tokens used for something else.
        "ConflictException"
        | "ConditionalCheckFailedException"
        | "TransactionCanceledException"
        | "TransactionConflictException"
        | "IdempotentParameterMismatchException"
        | "ResourceInUseException" => ErrorClass::Conflict,
        // Answered before anything was done, as the key of what it was about is not usable for now.
        // That is no answer to whether it is there.
        "KMSDisabled"
        | "KMSDisabledException"
        | "KMSInvalidState"
        | "KMSInvalidStateException"
        | "KMSNotFound"
        | "KMSNotFoundException" => ErrorClass::Retry,
        // Answered before anything was done; the next try may find it free.
        "ConcurrentModificationException"
        | "UpdateInProgressException"
        | "DeploymentLimitExceededException"
        | "TransactionInProgressException" => ErrorClass::Retry,
        // That the targets were taken away does not show at once.
        "ValidationException" if message.contains("since it has targets") => ErrorClass::Retry,
        // ECS says most things with these two; only the message tells them apart.
        "ClientException" | "InvalidParameterException" => class_of_ecs_message(message),
        _ => return None,
    })
}

fn class_of_ecs_message(message: &str) -> ErrorClass {
    let message = message.to_ascii_lowercase();
    // The last three are what EC2 answers ECS, and a queue of tasks that is full.
    let busy = [
        "too many concurrent attempts",
        "rate exceeded",
        "request limit exceeded",
        "errorcode: throttling",
        "provisioning capacity limit exceeded",
    ];
    if busy.iter().any(|text| message.contains(text)) {
        ErrorClass::Throttled
    } else if message.contains("unable to describe task definition")
        || message.contains("not found")
        || message.contains("does not exist")
    {
        ErrorClass::NotFound
    } else {
        ErrorClass::Refused
    }
}

/// The class of a failure that came before anything was sent.
fn unsent(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if missing_region(error) {
        return Some(ErrorClass::Refused);
    }
    // The SDK's CredentialsError is in a crate that only the SDK names; its texts all say
    // "credential" (or "access token", for SSO).
    links(error)
        .any(|link| {
            let text = link.to_string().to_ascii_lowercase();
            text.contains("credential")
                || text.contains("access token")
                || text.contains("identity resolver timed out")
        })
        .then_some(ErrorClass::Credentials)
}

fn missing_region(error: &(dyn Error + 'static)) -> bool {
    links(error).any(|link| {
        let text = link.to_string().to_ascii_lowercase();
        text.contains("missing region") || text.contains("region must be set")
    })
}

/// Whether no connection was ever made, so that nothing can have been done.
pub(in crate::aws) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    links(error).any(|link| {
        if let Some(io) = link.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::ConnectionRefused;
        }
        // hyper's and the SDK's own words: their types are private.
        let text = link.to_string();
        text.contains("client error (Connect)")
            || text.contains("HTTP connect timeout")
            || text.contains("dns error")
    })
}

/// The causes of an error, itself first.
fn links<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |link: &&'a (dyn Error + 'static)| {
        (*link).source()
    })
}

/// A message without the value that AWS did not accept: the validation of every service repeats it
/// whole, and it may hold the environment of containers, as overrides do. It may hold quotes, too,
/// so all is hidden up to the last one behind which AWS goes on.
pub(super) fn without_values(message: &str) -> Cow<'_, str> {
    const BEFORE: &str = "Value '";
    let Some(begin) = message.find(BEFORE).map(|at| at + BEFORE.len()) else {
        return Cow::Borrowed(message);
    };
    let value = &message[begin..];
    let end = value.rfind("' at '").or_else(|| value.rfind('\''));
    let rest = end.map_or("", |end| &value[end..]);
    Cow::Owned(format!("{}{HIDDEN}{rest}", &message[..begin]))
}

/// The SDK's text on an endpoint that it cannot use ends with the whole request, body included.
fn without_request(text: &str) -> String {
    match text.split_once(" to request `Request {") {
        Some((before, _)) => format!("{before}; look at AWS_ENDPOINT_URL"),
        None => text.to_owned(),
    }
}

/// The causes in one line, without the SDK's words that say nothing.
fn chain(error: &(dyn Error + 'static)) -> String {
    const EMPTY: [&str; 8] = [
        "dispatch failure",
        "service error",
        "response error",
        "failed to construct request",
        "io error",
        "user error",
        "other",
        "unhandled error",
    ];
    let mut parts: Vec<String> = Vec::new();
    for link in links(error) {
        let text = without_request(&link.to_string());
        let seen = parts.iter().any(|part| part.contains(&text));
        if !seen && !EMPTY.contains(&text.as_str()) && !text.is_empty() {
            parts.push(text);
        }
    }
    parts.join(": ")
}
