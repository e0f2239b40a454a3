//! An HTTP connector that answers from a closure: AWS as a test wants it, below the real SDK.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::clients::{Aws, Clients};

/// One request, as it left the SDK.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// From `x-amz-target`, or from path and method of a REST service; STS speaks another protocol
    /// and has none.
    pub operation: String,
    /// Its JSON.
    pub body: Value,
    /// `content-length` as sent.
    pub length: Option<String>,
    /// Bytes as sent.
    pub bytes: usize,
    /// Whether it was signed.
    pub signed: bool,
    /// Where to.
    pub uri: String,
}

/// What comes back.
pub(crate) enum Reply {
    /// A success.
    Ok(Value),
    /// An AWS error: status, code, body besides.
    Error(u16, &'static str, Value),
    /// A body that is not AWS's.
    Page(u16, &'static str),
    /// Nobody listens.
    Refused,
    /// The connection breaks after the request was sent.
    Reset,
    /// No answer ever.
    Silence,
}

/// An error with a message.
pub(crate) fn error(status: u16, code: &'static str, message: &str) -> Reply {
    Reply::Error(status, code, json!({ "message": message }))
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The connector.
#[derive(Clone)]
pub(crate) struct Canned {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answer>,
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl Canned {
    pub fn new(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            seen: Arc::default(),
            answer: Arc::new(answer),
        }
    }

    pub fn http(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    pub fn aws(&self) -> Aws {
        Aws::for_test(self.http(), "eu-central-1")
    }

    pub fn clients(&self) -> Clients {
        self.aws().region("eu-central-1")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.seen()
            .iter()
            .filter(|it| it.operation == operation)
            .count()
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name: &str| request.headers().get(name).map(str::to_owned);
        let body = request.body().bytes().unwrap_or_default();
        let operation = match header("x-amz-target") {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => super::rest::operation(&request).map_or(String::new(), |(_, it)| it.to_owned()),
        };
        let seen = Seen {
            operation,
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            length: header("content-length"),
            bytes: body.len(),
            signed: header("authorization").is_some(),
            uri: request.uri().to_owned(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        let reset =
            || ConnectorError::io(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        match (self.answer)(&seen) {
            Reply::Ok(body) => respond(200, None, body.to_string()),
            Reply::Error(status, code, body) => respond(status, Some(code), body.to_string()),
            Reply::Page(status, body) => respond(status, None, body.to_owned()),
            Reply::Refused => HttpConnectorFuture::ready(Err(ConnectorError::io(Box::new(
                io::Error::from(io::ErrorKind::ConnectionRefused),
            )))),
            Reply::Reset => HttpConnectorFuture::ready(Err(reset())),
            Reply::Silence => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

fn respond(status: u16, code: Option<&'static str>, body: String) -> HttpConnectorFuture {
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    let headers = response.headers_mut();
    headers.insert("x-amzn-requestid", "req-1");
    if let Some(code) = code {
        headers.insert("x-amzn-errortype", code);
    }
    HttpConnectorFuture::ready(Ok(response))
}
