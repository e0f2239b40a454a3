//! The sandbox as the AWS SDK's HTTP connector: no network, no thread, tokio's time.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use super::Sandbox;
use super::json::Object;
use super::log::is_write;
use super::webhooks;
use super::wire::{self, Answer, Protocol, Raw};

/// A call, as a [`Tap`] sees it.
#[derive(Debug)]
pub struct CallInfo<'a> {
    /// Counts the calls since the tap was set, from 0; retries count.
    pub index: u64,
    /// The service, as boto3 names it; `webhook` for a server that is not AWS's.
    pub service: &'a str,
    /// The operation; `POST` for a server that is not AWS's.
    pub operation: &'a str,
    /// The Region.
    pub region: &'a str,
    /// What is sent.
    pub input: &'a Object,
    /// Whether it changes anything.
    pub write: bool,
}

/// Breaks calls on purpose. Only calls through [`Sandbox::http_client`] pass it.
pub trait Tap: Send + Sync {
    /// Asked before the sandbox sees the call.
    fn before(&self, _call: &CallInfo<'_>) -> Verdict {
        Verdict::Proceed
    }

    /// Asked when the sandbox has done the call and the client has not heard of it.
    fn after(&self, _call: &CallInfo<'_>) -> Verdict {
        Verdict::Proceed
    }
}

/// What becomes of a call, or of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Proceed,
    /// Nothing comes, ever: the calling process may as well be dead.
    Hang,
    /// The connection breaks.
    ConnectionError,
    /// The client is told at once that it timed out.
    Timeout,
    /// The client gets this error instead.
    Answer {
        /// HTTP status.
        status: u16,
        /// The exception's name.
        code: String,
        /// Its sentence.
        message: String,
    },
}

/// What a verdict leaves to do.
enum Course {
    Go,
    Stop(Result<Answer, ConnectorError>),
    /// As `Stop`, of a server that is not AWS's.
    Posted(Result<HttpResponse, ConnectorError>),
    Hang,
}

impl Verdict {
    fn course(self, protocol: Protocol) -> Course {
        match self {
            Self::Proceed => Course::Go,
            Self::Hang => Course::Hang,
            Self::ConnectionError => Course::Stop(Err(ConnectorError::io(
                "the connection was reset by the sandbox".into(),
            ))),
            Self::Timeout => Course::Stop(Err(ConnectorError::timeout(
                "the sandbox let the call time out".into(),
            ))),
            Self::Answer {
                status,
                code,
                message,
            } => Course::Stop(Ok(wire::refusal(
                protocol,
                status,
                &code,
                &message,
                &Object::new(),
                "sandbox-tap".to_owned(),
            ))),
        }
    }
}

/// A client for `aws_config` and the configurations of the SDK's services.
pub(super) fn http_client(sandbox: Sandbox) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(sandbox));
    http_client_fn(move |_, _| connector.clone())
}

struct Connector(Sandbox);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sandbox")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = self.0.clone();
        HttpConnectorFuture::new(async move {
            match run(&sandbox, request).await {
                Course::Stop(Ok(answer)) => response(answer),
                Course::Stop(Err(error)) => Err(error),
                Course::Posted(answer) => answer,
                Course::Hang | Course::Go => pending().await,
            }
        })
    }
}

/// Never `Course::Go`: the call has an answer, or there will be none.
async fn run(sandbox: &Sandbox, mut request: HttpRequest) -> Course {
    // Read to its end as a network would: the SDK watches uploads by real time, and takes one
    // that is not read for a stalled one when a verdict lets the call hang.
    let body = match ByteStream::new(request.take_body()).collect().await {
        Ok(body) => body.into_bytes(),
        Err(error) => return Course::Stop(Err(ConnectorError::user(error.into()))),
    };
    if !webhooks::is_of_aws(&request) {
        let (takes, course) = post(sandbox, &request, &body);
        sandbox.spend(takes).await;
        return course;
    }
    let raw = Raw {
        method: request.method(),
        path: request.uri(),
        target: request.headers().get("x-amz-target"),
        authorization: request.headers().get("authorization"),
        body: &body,
    };
    let (protocol, call) = match wire::read(&raw) {
        Ok(read) => read,
        Err(unreadable) => return Course::Stop(Ok(sandbox.refuse(unreadable))),
    };
    let tap: Option<(Arc<dyn Tap>, u64)> = sandbox.next_tapped();
    let verdict = |ask: fn(&dyn Tap, &CallInfo<'_>) -> Verdict| match &tap {
        None => Course::Go,
        Some((tap, index)) => ask(
            tap.as_ref(),
            &CallInfo {
                index: *index,
                service: &call.service,
                operation: &call.operation,
                region: &call.region,
                input: &call.input,
                write: is_write(&call.service, &call.operation),
            },
        )
        .course(protocol),
    };
    match verdict(|tap, info| tap.before(info)) {
        Course::Go => {}
        stopped => return stopped,
    }
    let answer = sandbox.answer(protocol, &call).await;
    match verdict(|tap, info| tap.after(info)) {
        Course::Go => Course::Stop(Ok(answer)),
        stopped => stopped,
    }
}

/// A post to a server that is not AWS's, and how long its answer takes.
fn post(sandbox: &Sandbox, request: &HttpRequest, body: &[u8]) -> (Duration, Course) {
    let tap: Option<(Arc<dyn Tap>, u64)> = sandbox.next_tapped();
    let input = Object::from_iter([("url".to_owned(), request.uri().into())]);
    let verdict = |ask: fn(&dyn Tap, &CallInfo<'_>) -> Verdict| match &tap {
        None => Course::Go,
        Some((tap, index)) => ask(
            tap.as_ref(),
            &CallInfo {
                index: *index,
                service: "webhook",
                operation: "POST",
                region: "",
                input: &input,
                write: true,
            },
        )
        .course(Protocol::Json11),
    };
    match verdict(|tap, info| tap.before(info)) {
        Course::Go => {}
        stopped => return (Duration::ZERO, stopped),
    }
    let answer = sandbox.post(request, body);
    let course = match verdict(|tap, info| tap.after(info)) {
        Course::Go => webhooks::respond(answer).map_or(Course::Hang, Course::Posted),
        stopped => stopped,
    };
    (answer.takes(), course)
}

fn response(answer: Answer) -> Result<HttpResponse, ConnectorError> {
    let status = answer
        .status
        .try_into()
        .map_err(|error| ConnectorError::user(Box::new(error)))?;
    let smithy = answer.smithy_protocol();
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
    let headers = response.headers_mut();
    if let Some(protocol) = smithy {
        headers.insert("smithy-protocol", protocol);
    }
    headers.insert("content-type", answer.content_type);
    headers.insert("x-amzn-requestid", answer.request_id);
    if let Some(code) = answer.query_error {
        headers.insert("x-amzn-query-error", code);
    }
    if let Some(code) = answer.error_type {
        headers.insert("x-amzn-errortype", code);
    }
    if let Some(kind) = answer.function_error {
        headers.insert("x-amz-function-error", kind);
    }
    Ok(response)
}
