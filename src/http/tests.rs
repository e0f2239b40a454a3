use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::resource::meta::ReleaseKey;

/// Serves on this machine; answers to `GET /`-like requests, head and body.
struct Served {
    address: std::net::SocketAddr,
    pages: Pages,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Pages {
            registry: Metrics::new().unwrap().registry(),
            health: Health::new(Duration::from_secs(600)),
        };
        let served = serve(listener, pages.clone(), std::future::pending());
        tokio::spawn(async move { served.await.unwrap() });
        Self { address, pages }
    }

    async fn ask(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The status and the body of a page.
    async fn page(&self, page: &str) -> (u16, String) {
        let (head, body) = self.ask(&format!("GET {page}")).await;
        (head[9..12].parse().unwrap(), body)
    }
}

#[tokio::test]
async fn readiness_follows_the_list() {
    let served = Served::start().await;
    let (status, told) = served.page("/readyz").await;
    assert_eq!(
        (status, &*told),
        (503, "the releases have not been listed yet\n")
    );
    served.pages.health.listed(Ok(()));
    assert_eq!(served.page("/readyz").await, (200, "ok\n".to_owned()));
    served.pages.health.listed(Err("access denied".to_owned()));
    let (status, told) = served.page("/readyz").await;
    assert_eq!(
        (status, &*told),
        (503, "the table cannot be read: access denied\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_stuck_makes_the_process_unhealthy() {
    let served = Served::start().await;
    let health = &served.pages.health;
    health.begin(&ReleaseKey::new("production", "rails"));
    health.turn();
    assert_eq!(served.page("/healthz").await, (200, "ok\n".to_owned()));
    tokio::time::advance(Duration::from_secs(601)).await;
    health.turn();
    let (status, told) = served.page("/healthz").await;
    assert_eq!(status, 503);
    assert_eq!(told, "passes are stuck: production/rails for 601 s\n");
}

#[tokio::test]
async fn pages_are_named_and_wrong_paths_are_not_found() {
    let served = Served::start().await;
    assert_eq!(served.page("/").await, (200, INDEX.to_owned()));
    assert_eq!(served.page("/metricsz").await.0, 404);
    let (head, page) = served.ask("GET /metrics").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(page.contains("# TYPE evenkeel_build_info gauge"), "{page}");
    let (head, body) = served.ask("HEAD /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "");
    assert!(
        served
            .ask("POST /metrics")
            .await
            .0
            .starts_with("HTTP/1.1 405")
    );
}

#[tokio::test]
async fn what_was_asked_is_answered_before_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Pages {
        registry: Registry::new(),
        health: Health::new(Duration::from_secs(600)),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, pages, async {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let half = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    stream.write_all(half.as_bytes()).await.unwrap();
    // The server has read the half once this second connection was answered.
    let mut other = TcpStream::connect(address).await.unwrap();
    let whole = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    other.write_all(whole.as_bytes()).await.unwrap();
    other.read_to_end(&mut Vec::new()).await.unwrap();
    stop.send(()).unwrap();
    stream
        .write_all(b"Connection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
    served.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// Each family has help, its unit at the end and no name of Prometheus' own kinds.
#[test]
fn names_are_as_prometheus_wants_them() {
    let families = Metrics::new().unwrap().registry().gather();
    let kept: BTreeSet<&str> = ["total", "seconds", "info"].into();
    for family in families {
        let name = family.name();
        assert!(family.help().ends_with('.'), "{name}: {}", family.help());
        let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(counter, name.ends_with("_total"), "{name}");
        for reserved in [
            "_count",
            "_sum",
            "_bucket",
            "_ms",
            "_milliseconds",
            "_minutes",
        ] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        let last = name.rsplit('_').next().unwrap();
        let histogram = family.get_field_type() == prometheus::proto::MetricType::HISTOGRAM;
        assert!(!histogram || kept.contains(last), "{name}");
    }
}
