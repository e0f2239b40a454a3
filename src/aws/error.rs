//! What went wrong with a call to AWS, and what to do about it.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Map, Value};

mod classify;
#[cfg(test)]
mod tests;

pub(super) use classify::{code_of_response, is_throttle, never_connected};

/// What a caller can do about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// AWS refused it for now because there were too many calls: certainly not done.
    Throttled,
    /// Certainly or harmlessly not done (a read without an answer, no connection at all): do it
    /// again later.
    Retry,
    /// A write was sent and its answer was lost (time ran out, connection reset, HTTP 5xx): it may
    /// have been done. Look again before anything else.
    Ambiguous,
    /// What it was about is not there.
    NotFound,
    /// Our principal may not do that.
    Denied,
    /// There are no credentials, or AWS does not accept them.
    Credentials,
    /// Somebody else got there first, or a condition did not hold.
    Conflict,
    /// AWS does not accept it as it is; a person must change something.
    Refused,
}

/// One call that is about to be made: what its error will say of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service's IAM prefix: `ecs`, `ecr`, `events`, `scheduler`, `cloudwatch`, `sts`,
    /// `dynamodb`.
    pub service: &'static str,
    /// The API operation.
    pub operation: &'static str,
    /// Whether it changes something: decides what a lost answer means.
    pub writes: bool,
    /// What it is about, for people: `service app in cluster rails-production`.
    pub resource: String,
}

impl Call {
    /// A call that changes nothing.
    pub fn read(
        service: &'static str,
        operation: &'static str,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            service,
            operation,
            writes: false,
            resource: resource.into(),
        }
    }

    /// A call that changes something.
    pub fn write(
        service: &'static str,
        operation: &'static str,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            service,
            operation,
            writes: true,
            resource: resource.into(),
        }
    }

    /// An answer that came whole but makes no sense, or says in its body that it failed.
    pub fn unexpected(&self, class: ErrorClass, message: impl Into<String>) -> AwsError {
        AwsError(Box::new(Details {
            class,
            service: self.service,
            operation: self.operation,
            resource: self.resource.clone(),
            code: None,
            message: classify::without_values(&message.into()).into_owned(),
            request_id: None,
            status: None,
            extra: Map::new(),
            source: None,
        }))
    }

    /// The token of the next page, if there is one. A server that answers the token it was asked
    /// with would be asked for ever.
    pub(super) fn next_page(
        &self,
        asked: Option<&String>,
        answered: Option<String>,
    ) -> Result<Option<String>, AwsError> {
        let next = answered.filter(|token| !token.is_empty());
        if next.is_some() && next.as_ref() == asked {
            let message = "the same page is answered again and again";
            return Err(self.unexpected(ErrorClass::Refused, message));
        }
        Ok(next)
    }

    /// The class of a call whose answer is not known.
    pub(super) fn lost(&self) -> ErrorClass {
        if self.writes {
            ErrorClass::Ambiguous
        } else {
            ErrorClass::Retry
        }
    }
}

/// A failed call to AWS. Its text is a sentence for people; its members are [`Details`].
#[derive(Clone, Debug)]
pub struct AwsError(Box<Details>);

impl Deref for AwsError {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

/// What is known of a failed call.
#[derive(Clone, Debug)]
pub struct Details {
    /// What to do about it.
    pub class: ErrorClass,
    /// The service's IAM prefix.
    pub service: &'static str,
    /// The API operation.
    pub operation: &'static str,
    /// What it was about, for people.
    pub resource: String,
    /// AWS's error code, such as `AccessDeniedException`.
    pub code: Option<String>,
    /// AWS's message without the values that it repeats, or what happened to the connection.
    pub message: String,
    /// AWS's id of the request, which its support asks for.
    pub request_id: Option<String>,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Other members of the error's body, such as `resourceIds` of `ConflictException`.
    pub extra: Map<String, Value>,
    /// The SDK's own error, unless it holds what may not be told.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl AwsError {
    /// The same with a code, of a failure that AWS told in the body of a success.
    #[must_use]
    pub fn with_code(mut self, code: Option<String>) -> Self {
        self.0.code = code;
        self
    }

    /// The same of another class, where a service says something in its own way, or it means less.
    #[must_use]
    pub fn with_class(mut self, class: ErrorClass) -> Self {
        self.0.class = class;
        self
    }

    /// The same, told of this: what was read for several is told to each in its own words.
    #[must_use]
    pub fn about(mut self, resource: impl Into<String>) -> Self {
        self.0.resource = resource.into();
        self
    }

    /// Whether it was the role of an Environment that could not be assumed.
    pub fn is_of_role(&self) -> bool {
        self.operation == "AssumeRole"
    }

    /// Whether what it was about is not there.
    pub fn is_not_found(&self) -> bool {
        self.class == ErrorClass::NotFound
    }

    /// Whether AWS answered this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// `resourceIds` of RunTask's `ConflictException`: the tasks that already run under its token.
    pub fn resource_ids(&self) -> Vec<String> {
        let ids = self.extra.get("resourceIds").and_then(Value::as_array);
        ids.into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect()
    }

    /// The same sentence for as long as the same call fails in the same way, which its text is
    /// not: that names the request. For what is written down, where each change is a write.
    pub fn lasting(&self) -> String {
        Lasting(self).to_string()
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self.class {
            ErrorClass::Throttled => "AWS limits how many of these calls an account may make in a \
                Region; it is tried again later."
                .to_owned(),
            ErrorClass::Retry => self.retry_hint(),
            ErrorClass::Ambiguous => "Whether it was done is not known; evenkeel looks before it \
                does anything again."
                .to_owned(),
            ErrorClass::NotFound => self.not_found_hint(),
            ErrorClass::Denied => self.denied_hint(),
            ErrorClass::Credentials => self.credentials_hint(),
            ErrorClass::Conflict => {
                "Something else changed it at the same time; evenkeel looks again.".to_owned()
            }
            ErrorClass::Refused => self.refused_hint(),
        }
    }

    fn retry_hint(&self) -> String {
        if self.status.is_some() || self.code.is_some() {
            return "It is tried again later.".to_owned();
        }
        "Check the network, the Region and AWS_ENDPOINT_URL; it is tried again later.".to_owned()
    }

    fn not_found_hint(&self) -> String {
        match self.code.as_deref() {
            Some("ClusterNotFoundException") => {
                "Check the cluster and the region of the Environment, and which account the \
                 credentials belong to."
            }
            Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist") => {
                "Check the queue's URL: account, Region and name are in it."
            }
            Some("RepositoryNotFoundException") => {
                "Check the image's repository: account and Region are taken from its host name."
            }
            _ => "Check its name, the Region, and which account the credentials belong to.",
        }
        .to_owned()
    }

    fn denied_hint(&self) -> String {
        if self.message.contains("iam:PassRole") {
            return "Allow iam:PassRole on the role that AWS names, for the principal that \
                    evenkeel runs as."
                .to_owned();
        }
        if self.code.as_deref().is_some_and(|it| it.starts_with("KMS")) {
            return "Allow the use of its KMS key to the principal that evenkeel runs as or, for a \
                    function's, to the function's role."
                .to_owned();
        }
        if self.operation == "AssumeRole" {
            return "Allow sts:AssumeRole on it for the principal that evenkeel runs as, let the \
                    role's trust policy name that principal, and check the Environment's \
                    externalId."
                .to_owned();
        }
        // SQS's batches are no actions of their own to IAM.
        let action = match self.service {
            "sqs" => self.operation.trim_end_matches("Batch"),
            _ => self.operation,
        };
        format!(
            "Allow {}:{action} on it in a policy of the principal that evenkeel runs as.",
            self.service
        )
    }

    fn credentials_hint(&self) -> String {
        let code = self.code.as_deref().unwrap_or_default();
        if code.contains("Expired") {
            return "The credentials have expired: log in again, or check that the role's \
                    credentials are renewed."
                .to_owned();
        }
        if code.contains("Skew") || code.starts_with("Signature") || code == "RequestExpired" {
            return "Check the secret key and this machine's clock.".to_owned();
        }
        "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is \
         attached; `aws sts get-caller-identity` must succeed in the same environment."
            .to_owned()
    }

    fn refused_hint(&self) -> String {
        let code = self.code.as_deref().unwrap_or_default();
        if code.starts_with("LimitExceeded") || code == "ServiceQuotaExceededException" {
            "A quota of the account is used up: remove what is no longer used or ask AWS for more."
        } else if code.starts_with("UnknownOperation") || (code.is_empty() && self.status.is_some())
        {
            "The endpoint does not answer as AWS does: check AWS_ENDPOINT_URL."
        } else if self.message.to_ascii_lowercase().contains("region") && code.is_empty() {
            "Set AWS_REGION, or a region in the profile."
        } else {
            "Correct what AWS names; until then it is refused again."
        }
        .to_owned()
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, true)
    }
}

/// See [`AwsError::lasting`].
struct Lasting<'a>(&'a AwsError);

impl fmt::Display for Lasting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tell(f, false)
    }
}

impl AwsError {
    fn tell(&self, f: &mut fmt::Formatter<'_>, with_request: bool) -> fmt::Result {
        write!(
            f,
            "{}:{} of {} ",
            self.service, self.operation, self.resource
        )?;
        f.write_str(match self.class {
            ErrorClass::Throttled => "was throttled",
            ErrorClass::Retry if self.status.is_none() && self.code.is_none() => "got no answer",
            ErrorClass::Retry | ErrorClass::NotFound | ErrorClass::Conflict => "failed",
            ErrorClass::Ambiguous => "may or may not have been done",
            ErrorClass::Denied => "was denied",
            ErrorClass::Credentials => "has no valid credentials",
            ErrorClass::Refused => "was refused",
        })?;
        if let Some(code) = &self.code {
            write!(f, ": {code}")?;
        }
        let message = self.message.trim().trim_end_matches('.');
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        if let Some(id) = self.request_id.as_ref().filter(|_| with_request) {
            write!(f, " (request {id})")?;
        }
        write!(f, ". {}", self.hint())
    }
}

impl Error for AwsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}
