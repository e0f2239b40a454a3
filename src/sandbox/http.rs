//! The sandbox over HTTP, for any AWS client, and its own pages below `/_sandbox/`.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Sandbox;
use super::rules::Rules;
use super::settings::Settings;
use super::span;
use super::wire::{self, Raw};

/// DynamoDB takes 16 MB in one batch; nobody sends more.
const BODY: usize = 17 * 1024 * 1024;

/// Serves the sandbox on `listener` until `shutdown` ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    sandbox: Sandbox,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/_sandbox/health", get(health))
        .route("/_sandbox/calls", get(calls).delete(reset_calls))
        .route("/_sandbox/log", get(log))
        .route("/_sandbox/rules", get(rules).put(put_rules))
        .route("/_sandbox/settings", get(settings).put(put_settings))
        .route("/_sandbox/advance", post(advance))
        .fallback(any(call))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(sandbox.clone());
    let shutdown = async move {
        shutdown.await;
        // Else the last long poll would hold the server for twenty seconds.
        sandbox.close_polls();
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn call(
    State(sandbox): State<Sandbox>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = headers.contains_key(header::AUTHORIZATION);
    if method != Method::POST && !signed {
        tracing::warn!(%method, %uri, "the sandbox has no such service or page");
        return text(
            StatusCode::NOT_FOUND,
            "The sandbox answers AWS calls (POST), and GET /_sandbox/health, /_sandbox/calls, \
             /_sandbox/log, /_sandbox/rules and /_sandbox/settings.\n",
        );
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let raw = Raw {
        method: method.as_str(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()),
        target: header("x-amz-target"),
        authorization: header("authorization"),
        body: &body,
    };
    let answer = match wire::read(&raw) {
        Ok((protocol, call)) => sandbox.answer(protocol, &call).await,
        Err(unreadable) => sandbox.refuse(unreadable),
    };
    let smithy = answer.smithy_protocol();
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header("x-amzn-requestid", answer.request_id);
    if let Some(protocol) = smithy {
        response = response.header("smithy-protocol", protocol);
    }
    if let Some(code) = answer.query_error {
        response = response.header("x-amzn-query-error", code);
    }
    if let Some(code) = answer.error_type {
        response = response.header("x-amzn-errortype", code);
    }
    let response = response.body(Body::from(answer.body));
    response.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
}

async fn health(State(sandbox): State<Sandbox>) -> Response {
    json_answer(&json!({
        "status": "ok",
        "account": sandbox.settings().account,
        "now": sandbox.now(),
    }))
}

async fn calls(State(sandbox): State<Sandbox>) -> Response {
    json_answer(&sandbox.calls())
}

async fn reset_calls(State(sandbox): State<Sandbox>) -> Response {
    sandbox.reset_calls();
    json_answer(&json!({}))
}

async fn log(State(sandbox): State<Sandbox>) -> Response {
    json_answer(&sandbox.log())
}

async fn rules(State(sandbox): State<Sandbox>) -> Response {
    json_answer(&sandbox.rules())
}

async fn put_rules(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    match serde_json::from_slice::<Rules>(&body) {
        Ok(rules) => {
            sandbox.set_rules(rules);
            json_answer(&sandbox.rules())
        }
        Err(error) => text(
            StatusCode::BAD_REQUEST,
            &format!("These are no rules: {error}\n"),
        ),
    }
}

async fn settings(State(sandbox): State<Sandbox>) -> Response {
    json_answer(&sandbox.settings())
}

/// Changes the settings that are named, and leaves the others.
async fn put_settings(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    match changed(&sandbox.settings(), &body) {
        Ok(settings) => {
            sandbox.update_settings(|current| *current = settings);
            json_answer(&sandbox.settings())
        }
        Err(error) => text(
            StatusCode::BAD_REQUEST,
            &format!("These are no settings: {error}\n"),
        ),
    }
}

fn changed(current: &Settings, body: &[u8]) -> Result<Settings, serde_json::Error> {
    let given: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    let mut merged = serde_json::to_value(current)?;
    for (key, value) in given {
        merged[key] = value;
    }
    serde_json::from_value(merged)
}

/// `{"by": "1h"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(with = "span")]
    by: Duration,
}

async fn advance(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    match serde_json::from_slice::<Advance>(&body) {
        Ok(advance) => {
            sandbox.skip(advance.by);
            json_answer(&json!({"now": sandbox.now()}))
        }
        Err(error) => text(
            StatusCode::BAD_REQUEST,
            &format!("Write it as {{\"by\": \"10m\"}}: {error}\n"),
        ),
    }
}

fn json_answer(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: &str) -> Response {
    respond(status, "text/plain; charset=utf-8", body.to_owned())
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
