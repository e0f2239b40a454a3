use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::aws::Aws;
use crate::aws::dynamodb::Table;
use crate::aws::spans::tests::listen;
use crate::aws::sqs::Queue;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::store::Store;

/// Longer than anything here takes, also on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

/// One POST: its content type and body.
type Posted = (String, Bytes);

async fn receive(
    State(told): State<mpsc::UnboundedSender<Posted>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    told.send((kind, body)).unwrap();
    StatusCode::OK
}

/// A collector on this machine: where it is, and what it gets.
async fn collector() -> (String, mpsc::UnboundedReceiver<Posted>) {
    let (told, posted) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(told);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/v1/traces"), posted)
}

/// What the collector has got once all of this is there, and the content type of the last. Spans go
/// out together, but on a slow machine some may go before the others.
async fn all_of(posted: &mut mpsc::UnboundedReceiver<Posted>, texts: &[&str]) -> (String, Vec<u8>) {
    let mut got = Vec::new();
    while let Ok(Some((kind, body))) = timeout(LIMIT, posted.recv()).await {
        got.extend_from_slice(&body);
        if texts.iter().all(|text| contains(&got, text)) {
            return (kind, got);
        }
    }
    panic!(
        "not all of {texts:?} in {:?}",
        String::from_utf8_lossy(&got)
    );
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len())
        .any(|found| found == text.as_bytes())
}

#[tokio::test]
async fn passes_and_calls_arrive_as_spans() {
    let (endpoint, mut posted) = collector().await;
    let traces = Traces::open(&endpoint).unwrap();
    let listening = listen(tracing_subscriber::registry().with(traces.layer()));
    let pass = tracing::info_span!("reconcile", release = "production/rails", generation = 7);
    pass.in_scope(|| {
        tracing::debug_span!("aws", service = "ecs", operation = "UpdateService").in_scope(|| {});
        tracing::trace_span!("too fine").in_scope(|| {});
    });
    drop(pass);
    drop(listening);
    traces.flush().await;
    let expected = [
        "reconcile",
        "production/rails",
        "generation",
        "aws",
        "UpdateService",
        "service.name",
        "evenkeel",
        "service.version",
    ];
    let (kind, body) = all_of(&mut posted, &expected).await;
    assert_eq!(kind, "application/x-protobuf");
    for text in ["too fine", "src/cli"] {
        assert!(!contains(&body, text), "{text} in {body:?}");
    }
}

#[tokio::test]
async fn every_call_has_a_span_but_the_watch_of_the_stream() {
    let (endpoint, mut posted) = collector().await;
    let traces = Traces::open(&endpoint).unwrap();
    let listening = listen(tracing_subscriber::registry().with(traces.layer()));
    let start = "2026-03-02T09:00:00Z".parse().unwrap();
    let sandbox = Sandbox::new(SandboxOptions::at(start));
    let aws = Aws::for_test(sandbox.http_client(), "eu-west-1");
    let store = Store::new(Table::new(&aws, "evenkeel"));
    store.init().await.unwrap();
    aws.identity().await.unwrap();
    // None of these exists; asking is enough.
    let services = aws.region("eu-west-1").ecs;
    let names = ["web".to_owned()];
    let asked = services.describe_services("production", &names);
    asked.await.unwrap_err();
    let queue = Queue::new(
        &aws,
        "https://sqs.eu-west-1.amazonaws.com/123456789012/none",
    );
    queue.receive().await.unwrap_err();
    let stream = Table::new(&aws, "evenkeel").stream().await.unwrap();
    stream.unwrap().read("none").await.unwrap_err();
    let gone = services.deregister_task_definition("none:1");
    gone.await.unwrap_err();
    drop(listening);
    traces.flush().await;
    let expected = [
        "DynamoDB.CreateTable",
        "STS.GetCallerIdentity",
        "ECS.DescribeServices",
        "SQS.ReceiveMessage",
        // After the watch has read.
        "ECS.DeregisterTaskDefinition",
        "rpc.method",
    ];
    let (_, body) = all_of(&mut posted, &expected).await;
    assert!(!contains(&body, "GetRecords"), "{body:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_once() {
    // Nobody listens on a port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    drop(listener);
    let collector = Collector {
        https: Https::new(PATIENCE),
        endpoint: endpoint.clone(),
        runtime: Handle::current(),
        away: AtomicBool::new(false),
    };
    let told = crate::cli::logs::tests::captured();
    let _listening = listen(told.subscriber());
    for _ in 0..3 {
        let request = Request::post(&endpoint).body(Bytes::new()).unwrap();
        assert!(collector.send_bytes(request).await.is_err());
    }
    let told = told.lines();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["level"], "WARN");
    assert_eq!(told[0]["endpoint"], endpoint.as_str());
}
