//! How many calls are made to AWS, how they end and how long they take.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use super::budget::NotSent;
use super::error::code_of_response;

/// Counts every attempt of every call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AwsMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    waits: HistogramVec,
    counts_only: bool,
}

impl AwsMetrics {
    /// Makes the metrics and registers them:
    /// `evenkeel_aws_requests_total{service,operation,code}` (code `OK`, AWS's error code,
    /// `HTTP502` for an answer without one, `NoAnswer`) and
    /// `evenkeel_aws_request_duration_seconds{service,operation}`, both per attempt, and
    /// `evenkeel_aws_throttle_wait_seconds{service,operation}`, per request that has a budget.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "evenkeel_aws_requests_total",
                "Requests sent to AWS, by how they ended.",
            ),
            &["service", "operation", "code"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "evenkeel_aws_request_duration_seconds",
                "Time from sending a request to AWS to its answer.",
            ),
            &["service", "operation"],
        )?;
        let waits = HistogramVec::new(
            HistogramOpts::new(
                "evenkeel_aws_throttle_wait_seconds",
                "Time that a request waited for evenkeel's own request budget.",
            )
            .buckets(vec![0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0]),
            &["service", "operation"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(waits.clone()))?;
        Ok(Self {
            requests,
            duration,
            waits,
            counts_only: false,
        })
    }

    /// The same, for calls that are timed by [`super::connector`], which knows how long they waited
    /// before they were sent.
    pub(super) fn counts_only(self) -> Self {
        Self {
            counts_only: true,
            ..self
        }
    }

    /// A request waited for its budget.
    pub(super) fn waited(&self, service: &str, operation: &str, time: Duration) {
        let waits = self.waits.with_label_values(&[service, operation]);
        waits.observe(time.as_secs_f64());
    }

    /// A request took so long from being sent to the end of its answer.
    pub(super) fn took(&self, service: &str, operation: &str, time: Duration) {
        let duration = self.duration.with_label_values(&[service, operation]);
        duration.observe(time.as_secs_f64());
    }

    fn observe(&self, service: &str, operation: &str, code: &str, took: Option<Duration>) {
        self.requests
            .with_label_values(&[service, operation, code])
            .inc();
        if let Some(took) = took.filter(|_| !self.counts_only) {
            self.took(service, operation, took);
        }
    }
}

/// When the attempt began, kept in the call's own state.
#[derive(Debug)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl Intercept for AwsMetrics {
    fn name(&self) -> &'static str {
        "evenkeel metrics"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Began(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(metadata) = config.load::<Metadata>() else {
            return Ok(());
        };
        if let Some(Err(error)) = context.output_or_error()
            && error.as_connector_error().is_some_and(is_not_sent)
        {
            return Ok(());
        }
        let service = metadata.service().to_ascii_lowercase().replace(' ', "");
        let took = config.load::<Began>().map(|began| began.0.elapsed());
        let code = match context.response() {
            None => "NoAnswer".to_owned(),
            Some(answer) if answer.status().is_success() => "OK".to_owned(),
            Some(answer) => code_of_response(answer)
                .filter(|code| is_code(code))
                .unwrap_or_else(|| format!("HTTP{}", answer.status().as_u16())),
        };
        self.observe(&service, metadata.name(), &code, took);
        Ok(())
    }
}

fn is_not_sent(error: &ConnectorError) -> bool {
    error.source().is_some_and(|source| source.is::<NotSent>())
}

/// Whether it looks like one of AWS's codes: a label must not be whatever a server makes up.
fn is_code(code: &str) -> bool {
    code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
}
