//! What `run --http` serves: metrics, whether the process is alive, and whether it is ready.

mod metrics;

use std::future::Future;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::controller::health::Health;

pub use metrics::Metrics;

/// What the pages are made of.
#[derive(Clone)]
pub struct Pages {
    /// Everything that is counted, for `/metrics`.
    pub registry: Registry,
    /// How the loop fares, for `/healthz` and `/readyz`.
    pub health: Health,
}

/// Serves until `shutdown` ends and the requests under way are answered.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    pages: Pages,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(pages))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(pages: Pages) -> Router {
    // `get` answers HEAD as well; what is not here is 404.
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(pages)
}

const INDEX: &str = "evenkeel: /metrics /healthz /readyz\n";

async fn metrics_page(State(pages): State<Pages>) -> Response {
    let encoder = TextEncoder::new();
    let mut page = Vec::new();
    match encoder.encode(&pages.registry.gather(), &mut page) {
        Ok(()) => (
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            page,
        )
            .into_response(),
        Err(error) => {
            tracing::error!("metrics cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn alive(State(pages): State<Pages>) -> Response {
    verdict(pages.health.alive())
}

async fn ready(State(pages): State<Pages>) -> Response {
    verdict(pages.health.ready())
}

/// `ok`, or what is wrong.
fn verdict(found: Result<(), String>) -> Response {
    match found {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
