//! Servers that are not AWS's: every post to one is written down and answered by a rule.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde::Serialize;

use super::Sandbox;

/// Posts kept; a sandbox may run for days.
const KEPT: usize = 50_000;

/// A post to a server that is not AWS's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// When.
    pub at: Timestamp,
    /// Where to.
    pub url: String,
    /// Its headers, by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What was sent.
    pub body: String,
    /// The status that was answered; none where no answer came.
    pub status: Option<u16>,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookAnswer {
    /// This HTTP status.
    Status(u16),
    /// After so many seconds this status.
    After(u64, u16),
    /// This status, and after how many seconds to come again.
    RetryAfter(u16, u64),
    /// Nothing, ever.
    Hang,
    /// The connection breaks.
    ConnectionError,
}

impl WebhookAnswer {
    /// How long it takes.
    pub(super) fn takes(self) -> Duration {
        match self {
            Self::After(seconds, _) => Duration::from_secs(seconds),
            _ => Duration::ZERO,
        }
    }
}

/// Whatever is not AWS's.
#[derive(Default)]
pub(super) struct Webhooks {
    posts: Vec<Webhook>,
    /// By the beginning of host and path: `hooks.slack.com/services/T0`.
    rules: BTreeMap<String, WebhookAnswer>,
}

impl Webhooks {
    fn answer(&self, url: &str) -> WebhookAnswer {
        let place = url.split_once("://").map_or(url, |(_, place)| place);
        let rules = self.rules.iter();
        let fitting = rules.filter(|(prefix, _)| place.starts_with(prefix.as_str()));
        let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
        longest.map_or(WebhookAnswer::Status(200), |(_, answer)| *answer)
    }
}

impl Sandbox {
    /// Posts to servers that are not AWS's, oldest first.
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.world().webhooks.posts.clone()
    }

    /// Says what servers answer whose host and path begin so: `hooks.slack.com`,
    /// `example.com/hooks/a`. The longest of several counts; without any the answer is 200.
    pub fn answer_webhooks(&self, prefix: &str, answer: WebhookAnswer) {
        let mut world = self.world();
        world.webhooks.rules.insert(prefix.to_owned(), answer);
    }

    /// Writes a post down, and tells what becomes of it.
    pub(super) fn post(&self, request: &HttpRequest, body: &[u8]) -> WebhookAnswer {
        let at = self.now();
        let mut world = self.world();
        let url = request.uri().to_owned();
        let answer = world.webhooks.answer(&url);
        let headers = request.headers().iter();
        let post = Webhook {
            at,
            url,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            status: match answer {
                WebhookAnswer::Status(status)
                | WebhookAnswer::After(_, status)
                | WebhookAnswer::RetryAfter(status, _) => Some(status),
                WebhookAnswer::Hang | WebhookAnswer::ConnectionError => None,
            },
        };
        if world.webhooks.posts.len() == KEPT {
            world.webhooks.posts.remove(0);
        }
        world.webhooks.posts.push(post);
        answer
    }
}

/// Whether a request is for AWS: it is signed, names an operation, or goes to a host of AWS's.
pub(super) fn is_of_aws(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let signature = headers.get("authorization").unwrap_or_default();
    let host = host(request.uri());
    let domains = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".api.aws",
    ];
    signature.starts_with("AWS4-")
        || headers.get("x-amz-target").is_some()
        || domains.iter().any(|domain| host.ends_with(domain))
}

fn host(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let authority = place.split(['/', '?', '#']).next().unwrap_or_default();
    authority.split(':').next().unwrap_or_default()
}

/// An answer as the client gets it; `None`: there is none, ever.
pub(super) fn respond(answer: WebhookAnswer) -> Option<Result<HttpResponse, ConnectorError>> {
    let (status, after) = match answer {
        WebhookAnswer::Status(status) | WebhookAnswer::After(_, status) => (status, None),
        WebhookAnswer::RetryAfter(status, after) => (status, Some(after)),
        WebhookAnswer::Hang => return None,
        WebhookAnswer::ConnectionError => {
            let why = "the connection was reset by the sandbox";
            return Some(Err(ConnectorError::io(why.into())));
        }
    };
    let body = if status < 300 { "ok" } else { "no" };
    let response = match status.try_into() {
        Ok(status) => HttpResponse::new(status, SdkBody::from(body)),
        Err(_) => return Some(Err(ConnectorError::user("no such status".into()))),
    };
    let mut response = response;
    if let Some(after) = after {
        response
            .headers_mut()
            .insert("retry-after", after.to_string());
    }
    Some(Ok(response))
}
