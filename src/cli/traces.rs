//! Traces for OpenTelemetry: a span for each pass and each call to AWS, sent by OTLP over HTTP.
//!
//! Spans are gathered and sent on a thread of their own: a collector that is slow or away loses
//! spans and delays nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use super::error::{CliError, chain};
use crate::aws::https::Https;
use crate::aws::spans;

/// What is traced, whatever is logged; and each call that the SDK makes ([`is_call`](crate::aws::spans::is_call)).
const FILTER: &str = "info,evenkeel=debug";
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is left may take to go out at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go. [`Traces::flush`] sends what is left.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send to `endpoint`, the whole URL. Calls nothing yet; runs on tokio. `OTEL_EXPORTER_OTLP_HEADERS`
    /// and `OTEL_BSP_*` count, as OpenTelemetry specifies them.
    ///
    /// # Errors
    /// When the exporter cannot be made.
    pub fn open(endpoint: &str) -> Result<Self, CliError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .with_http_client(Collector {
                https: Https::new(PATIENCE),
                endpoint: endpoint.to_owned(),
                runtime: Handle::current(),
                away: AtomicBool::new(false),
            })
            .build()
            .map_err(|error| CliError::from_error(&error))?;
        let resource = Resource::builder()
            .with_service_name("evenkeel")
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What turns `tracing`'s spans into OpenTelemetry's, with a filter of its own.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("evenkeel"))
            .with_location(false)
            .with_threads(false)
            .with_filter(EnvFilter::new(FILTER).or(filter_fn(spans::is_call)))
    }

    /// Sends what is left, if that takes no longer than two seconds.
    pub async fn flush(self) {
        // It waits for the thread that sends.
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// The collector, as the exporter reaches it.
struct Collector {
    https: Https,
    endpoint: String,
    /// The exporter's thread is none of tokio's, and the client needs those.
    runtime: Handle,
    /// Whether the last try failed: told once, not with every batch.
    away: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Collector {
    fn told(&self, failed: Option<&str>) {
        let was_away = self.away.swap(failed.is_some(), Ordering::Relaxed);
        let endpoint = &self.endpoint;
        match failed {
            Some(error) if !was_away => {
                tracing::warn!(
                    endpoint,
                    error,
                    "traces cannot be sent, and are lost meanwhile"
                );
            }
            None if was_away => tracing::info!(endpoint, "traces are sent again"),
            _ => {}
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'life, 'answer>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'life: 'answer,
        Self: 'answer,
    {
        let https = self.https.clone();
        let sent = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, https.send(request)).await;
            match answer {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
            }
        });
        Box::pin(async move {
            let answer = sent.await.map_err(HttpError::from).flatten();
            match &answer {
                Ok(answer) if answer.status().is_success() => self.told(None),
                Ok(answer) => self.told(Some(&format!("HTTP {}", answer.status()))),
                Err(error) => self.told(Some(&chain(&**error))),
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests;
