//! The SDK's own HTTPS client, for servers that are not AWS's: one TLS stack, one set of trusted
//! roots and no second client in the binary.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector as _, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// Sends requests to any server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Https(SharedHttpConnector);

impl Https {
    /// The client that the SDK makes for itself. `patience` is how long an answer may take to begin.
    ///
    /// # Errors
    /// When the SDK was built without one.
    pub async fn new(patience: Duration) -> Result<Self, BoxError> {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT)
            .read_timeout(patience)
            .build();
        let lent = Lender {
            settings,
            connector: Arc::default(),
        };
        // The SDK gives its client to interceptors only, so a call is begun that ends in one,
        // before anything is signed or sent.
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .interceptor(lent.clone())
            .build();
        let begun = aws_sdk_sts::Client::from_conf(config)
            .get_caller_identity()
            .send()
            .await;
        let connector = lent
            .connector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (connector, begun) {
            (Some(connector), _) => Ok(Self(connector)),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Err("the AWS SDK lends no HTTPS client".into()),
        }
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

/// Takes the client out of a call, and ends the call.
#[derive(Clone, Debug)]
struct Lender {
    settings: HttpConnectorSettings,
    connector: Arc<Mutex<Option<SharedHttpConnector>>>,
}

impl Intercept for Lender {
    fn name(&self) -> &'static str {
        "evenkeel https"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let client = components.http_client();
        *self
            .connector
            .lock()
            .unwrap_or_else(PoisonError::into_inner) =
            client.map(|client| client.http_connector(&self.settings, components));
        Err("nothing is to be sent".into())
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
        let https = Https::new(Duration::from_secs(5)).await.unwrap();
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
        let https = Https::new(Duration::from_secs(5)).await.unwrap();
        let (listener, request) = posted("https").await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap()
        };
        let (answer, first) = tokio::join!(https.send(request), server);
        assert_eq!(first, 0x16, "a TLS record of a handshake");
        assert!(answer.is_err(), "nobody shook hands");
    }
}
