//! What every attempt of a call to ECS, ECR, EventBridge, its Scheduler and CloudWatch passes on its way out: its request
//! budget, the time that it may take, and a span for those who trace.

use std::error::Error;
use std::time::Duration;

use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder, tls};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::ErrorKind;
use tokio::time::Instant;
use tracing::Instrument;

use super::budget::RegionBudget;
use super::error::{code_of_response, is_throttle};
use super::metrics::AwsMetrics;
use super::rest;
use super::retry::ATTEMPT;

#[cfg(test)]
mod tests;

/// A signed request that found its token sooner than this did not wait for it.
const QUEUED: Duration = Duration::from_secs(1);

/// The SDK's own HTTPS client, which it puts in where none is configured. A client can only be
/// wrapped that is at hand.
pub(super) fn https() -> SharedHttpClient {
    let client = Builder::new().build_with_connector_fn(|settings, components| {
        let sleep = components.and_then(RuntimeComponents::sleep_impl);
        https_connector(settings.cloned(), sleep)
    });
    SharedHttpClient::new(client)
}

/// What speaks HTTPS: one TLS stack and one set of trusted roots for all.
pub(super) fn https_connector(
    settings: Option<HttpConnectorSettings>,
    sleep: Option<SharedAsyncSleep>,
) -> Connector {
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let mut connector = ConnectorBuilder::default().tls_provider(provider);
    connector.set_connector_settings(settings);
    connector.set_sleep_impl(sleep);
    connector.set_proxy_config(Some(ProxyConfig::from_env()));
    connector.build()
}

/// An HTTP client whose requests keep to a budget.
#[derive(Clone, Debug)]
pub(super) struct Budgeted {
    /// What sends them.
    pub inner: SharedHttpClient,
    /// What they may cost.
    pub budget: RegionBudget,
    /// Told how long they take.
    pub metrics: Option<AwsMetrics>,
}

impl HttpClient for Budgeted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Budgeting {
            inner: self.inner.http_connector(settings, components),
            client: self.clone(),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct Budgeting {
    inner: SharedHttpConnector,
    client: Budgeted,
}

impl HttpConnector for Budgeting {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(attempt) = Attempt::of(&request) else {
            return HttpConnectorFuture::new(in_time(self.inner.call(request)));
        };
        let span = tracing::debug_span!(
            "aws",
            service = attempt.service,
            operation = attempt.operation,
            attempt = attempt.number
        );
        let (inner, client) = (self.inner.clone(), self.client.clone());
        HttpConnectorFuture::new(
            async move { client.send(&inner, &attempt, request).await }.instrument(span),
        )
    }
}

impl Budgeted {
    async fn send(
        &self,
        inner: &SharedHttpConnector,
        attempt: &Attempt,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let Attempt {
            service,
            operation,
            number,
        } = attempt;
        let signed = Instant::now();
        if attempt.reads() {
            let taken = self.budget.take(service, operation).await;
            // Not to be tried again by the SDK: it waited long enough.
            taken.map_err(|not_sent| ConnectorError::other(not_sent.into(), None))?;
        } else if *number > 1 {
            // The first one was admitted before it was written down; this one goes on credit.
            self.budget.charge(service, operation);
        }
        let began = Instant::now();
        let answer = in_time(inner.call(request)).await;
        if let Some(metrics) = &self.metrics {
            metrics.took(attempt.label(), operation, began.elapsed());
        }
        if answer.as_ref().is_ok_and(is_throttle) {
            self.budget.throttled(service, operation);
            if operation == "RunTask" {
                // The answer does not tell which of its two limits it was.
                self.budget.throttled("fargate", operation);
            }
        }
        if began - signed >= QUEUED && answer.as_ref().is_ok_and(has_expired) {
            // The SDK signs the next attempt with what is valid then.
            let kind = Some(ErrorKind::TransientError);
            return Err(ConnectorError::other(Expired.into(), kind));
        }
        answer
    }
}

/// A request was signed, waited for its turn, and was no longer valid when that came. It says
/// nothing of what we may sign with now.
#[derive(Debug, thiserror::Error)]
#[error("its signature expired while it waited for its turn in evenkeel's own request budget")]
struct Expired;

fn has_expired(answer: &HttpResponse) -> bool {
    let code = code_of_response(answer).unwrap_or_default();
    matches!(
        code.as_str(),
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired"
    )
}

/// The whole answer, body and all, unless it takes too long.
async fn in_time(answer: HttpConnectorFuture) -> Result<HttpResponse, ConnectorError> {
    let whole = async {
        let mut response = answer.await?;
        if response.body().bytes().is_none() {
            let body = ByteStream::new(response.take_body()).collect().await;
            let body = body.map_err(|error| ConnectorError::io(error.into()))?;
            *response.body_mut() = SdkBody::from(body.into_bytes());
        }
        Ok(response)
    };
    let timed = tokio::time::timeout(ATTEMPT, whole).await;
    timed.unwrap_or_else(|elapsed| {
        let elapsed: Box<dyn Error + Send + Sync> = elapsed.into();
        Err(ConnectorError::timeout(elapsed))
    })
}

/// An attempt of a call, as its headers name it.
struct Attempt {
    /// The IAM prefix.
    service: &'static str,
    operation: String,
    /// From 1.
    number: u32,
}

impl Attempt {
    fn of(request: &HttpRequest) -> Option<Self> {
        let headers = request.headers();
        let (service, operation) = match rest::operation(request) {
            Some((service, operation)) => (service, operation),
            None => Self::named(request)?,
        };
        // `attempt=2; max=3`
        let told = headers.get("amz-sdk-request").unwrap_or_default();
        let number = told.split(';').find_map(|part| {
            let number = part.trim().strip_prefix("attempt=")?;
            number.parse().ok()
        });
        Some(Self {
            service,
            operation: operation.to_owned(),
            number: number.unwrap_or(1),
        })
    }

    /// Service and operation, where a header names them, or the path of Smithy's RPC.
    fn named(request: &HttpRequest) -> Option<(&'static str, &str)> {
        let (prefix, operation) = match request.headers().get("x-amz-target") {
            Some(target) => target.rsplit_once('.')?,
            None => request
                .uri()
                .rsplit_once("/service/")?
                .1
                .split_once("/operation/")?,
        };
        let service = match prefix {
            "AmazonEC2ContainerServiceV20141113" => "ecs",
            "AmazonEC2ContainerRegistry_V20150921" => "ecr",
            "AWSEvents" => "events",
            "GraniteServiceVersion20100801" => "cloudwatch",
            "Logs_20140328" => "logs",
            _ => return None,
        };
        Some((service, operation))
    }

    fn reads(&self) -> bool {
        let reads = ["Describe", "List", "Get", "BatchGet"];
        reads
            .iter()
            .any(|prefix| self.operation.starts_with(prefix))
    }

    /// The service, as metrics name it.
    fn label(&self) -> &'static str {
        match self.service {
            "events" => "eventbridge",
            "logs" => "cloudwatchlogs",
            service => service,
        }
    }
}
