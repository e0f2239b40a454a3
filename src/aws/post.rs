//! Posts to servers that are not AWS's: chat webhooks and the like, over HTTPS.
//!
//! They go through the HTTP client that the SDK was given, if it was given one, so that a sandbox
//! gets them. A URL may be a secret: no error shows it, nor what was sent.

use std::time::Duration;

use aws_smithy_async::rt::sleep::default_async_sleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector as _, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::Aws;
use super::connector;
use super::error::never_connected;

mod components;
#[cfg(test)]
mod tests;

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest that an answer may take, from its request to its end, where nobody waits for it.
const ANSWER: Duration = Duration::from_secs(10);
/// The same where somebody does: a connection may be dead and nobody tells.
pub const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The most that is read of an answer.
const MOST: usize = 16 * 1024;

/// Posts to any server that speaks HTTPS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Poster(SharedHttpConnector);

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status. A redirect is an answer like any other: it is not followed.
    pub status: u16,
    /// After how long to try again, where the server says that in seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of its body, 16 KiB at most.
    pub body: Bytes,
}

/// Why there is no answer. It does not show where the request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// Nothing was sent: the URL is none that may be posted to.
    #[error("the URL is not one of HTTPS")]
    Url,
    /// Nothing was sent: a header cannot be sent as it is.
    #[error("a header cannot be sent")]
    Header,
    /// Nothing was sent: the server was not reached.
    #[error("the server could not be reached")]
    NotReached,
    /// Nobody knows what came of it: the time was up.
    #[error("no answer within the time allowed")]
    TimedOut,
    /// Nobody knows what came of it: the connection broke.
    #[error("the connection broke before the answer came")]
    Broken,
}

impl Poster {
    /// Posts through the HTTP client that the SDK was given, or else over HTTPS of its own.
    pub fn new(aws: &Aws) -> Self {
        let settings = settings();
        let given = aws.sdk_config().http_client().zip(components::none());
        Self(match given {
            Some((client, components)) => client.http_connector(&settings, &components),
            None => {
                let own = connector::https_connector(Some(settings), default_async_sleep());
                SharedHttpConnector::new(own)
            }
        })
    }

    /// Posts once: `https` only, `http` to this machine itself. Whether a request may be repeated
    /// whose answer did not come is for the caller to say.
    ///
    /// # Errors
    /// [`PostError`]; any answer is none, whatever its status.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, PostError> {
        self.post_within(CONNECT + ANSWER, url, headers, body).await
    }

    /// The same, with so much time for the answer.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn post_within(
        &self,
        time: Duration,
        url: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, PostError> {
        let uri = checked(url).ok_or(PostError::Url)?;
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(SdkBody::from(body.into()));
        let request = request.map_err(|_| PostError::Header)?;
        let request = HttpRequest::try_from(request).map_err(|_| PostError::Header)?;
        let sent = tokio::time::timeout(time, self.send(request));
        sent.await.unwrap_or(Err(PostError::TimedOut))
    }

    async fn send(&self, request: HttpRequest) -> Result<Answer, PostError> {
        let sent = self.0.call(request).await;
        let mut answer = sent.map_err(|error| match () {
            () if never_connected(&error) => PostError::NotReached,
            () if error.is_timeout() => PostError::TimedOut,
            () => PostError::Broken,
        })?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok());
        let mut rest = ByteStream::new(answer.take_body());
        let mut body = Vec::new();
        // What goes on for longer is not read, and its connection not used again. A body that
        // breaks off changes nothing about the status.
        while let Some(Ok(part)) = rest.next().await {
            let room = MOST - body.len();
            body.extend_from_slice(&part[..part.len().min(room)]);
            if body.len() == MOST {
                break;
            }
        }
        Ok(Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: body.into(),
        })
    }
}

/// How long an answer may take is said of each post.
fn settings() -> HttpConnectorSettings {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT);
    settings.build()
}

/// Whether a URL may be posted to: HTTPS, or HTTP to this machine itself, and no name and password
/// in it.
pub fn is_postable(url: &str) -> bool {
    checked(url).is_some()
}

fn checked(url: &str) -> Option<http::Uri> {
    let uri: http::Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let right = match uri.scheme_str()? {
        "https" => true,
        "http" => is_loopback(authority.host()),
        _ => false,
    };
    (right && !authority.as_str().contains('@') && !authority.host().is_empty()).then_some(uri)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = address.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|it| it.is_loopback())
}
