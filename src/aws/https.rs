//! The SDK's own HTTPS client, for servers that are not AWS's: one TLS stack, one set of trusted
//! roots and no second client in the binary.

use std::time::Duration;

use aws_smithy_async::rt::sleep::default_async_sleep;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector as _, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::connector;

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// Sends requests to any server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Https(SharedHttpConnector);

impl Https {
    /// A client of its own connections. `patience` is how long an answer may take to begin.
    pub fn new(patience: Duration) -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT)
            .read_timeout(patience)
            .build();
        let connector = connector::https_connector(Some(settings), default_async_sleep());
        Self(SharedHttpConnector::new(connector))
    }

    /// Sends a request and reads its answer to the end, whatever its status.
    ///
    /// # Errors
    /// When the server cannot be reached, or its answer breaks off.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, BoxError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from))?;
        let answer = self.0.call(request).await?.try_into_http1x()?;
        let (head, body) = answer.into_parts();
        let body = ByteStream::new(body).collect().await?.into_bytes();
        Ok(http::Response::from_parts(head, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn posted(scheme: &str) -> (TcpListener, http::Request<Bytes>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/v1", listener.local_addr().unwrap());
        let request = http::Request::post(url).body(Bytes::from_static(b"spans"));
        (listener, request.unwrap())
    }

    #[tokio::test]
    async fn an_answer_comes_whole_whatever_its_status() {
        let https = Https::new(Duration::from_secs(5));
        let (listener, request) = posted("http").await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"spans") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            let answer = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let (answer, asked) = tokio::join!(https.send(request), server);
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.body(), "later");
        assert!(asked.starts_with("POST /v1 HTTP/1.1\r\n"), "{asked}");
        let lower = asked.to_lowercase();
        assert!(
            !lower.contains("authorization") && !lower.contains("x-amz"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn https_is_spoken_over_tls() {
        let https = Https::new(Duration::from_secs(5));
        let (listener, request) = posted("https").await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap()
        };
        let (answer, first) = tokio::join!(https.send(request), server);
        assert_eq!(first, 0x16, "a TLS record of a handshake");
        assert!(answer.is_err(), "nobody shook hands");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_is_given_up() {
        let https = Https::new(Duration::from_secs(5));
        let (_listener, request) = posted("http").await;
        let sent = tokio::time::timeout(Duration::from_secs(60), https.send(request));
        sent.await.expect("it gives up by itself").unwrap_err();
    }
}
