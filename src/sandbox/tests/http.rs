use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

struct Server {
    port: u16,
    sandbox: Sandbox,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::of(sandbox()).await
    }

    async fn of(sandbox: Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, sandbox.clone(), shutdown));
        Self {
            port,
            sandbox,
            stop,
            task,
        }
    }

    /// Status and body, of a client that knows nothing of AWS.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, body) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_sdk_over_loopback_is_counted_and_stops_with_the_server() {
    let server = Server::start().await;
    let client = aws_sdk_eventbridge::Client::from_conf(
        aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials("AKID"))
            .endpoint_url(format!("http://127.0.0.1:{}", server.port))
            .build(),
    );
    client
        .put_rule()
        .name("nightly")
        .schedule_expression("rate(1 day)")
        .send()
        .await
        .unwrap();
    let refused = client.describe_rule().name("none").send().await;
    assert_eq!(told(&refused.unwrap_err()).0, "ResourceNotFoundException");
    assert_eq!(
        server.json("GET", "/_sandbox/calls", "").await,
        json!({"events.PutRule": 1, "events.DescribeRule": 1})
    );
    server.json("DELETE", "/_sandbox/calls", "").await;
    assert_eq!(server.json("GET", "/_sandbox/calls", "").await, json!({}));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn its_own_pages_change_rules_settings_and_time() {
    let server = Server::start().await;
    let rules = r#"[{"when": {"image": "*bad*"}, "then": {"crash": {"after": "1s"}}}]"#;
    server.json("PUT", "/_sandbox/rules", rules).await;
    assert_eq!(server.sandbox.rules().0.len(), 1);
    let settings = r#"{"readDelay": "2s", "deny": ["ecs:*"], "account": "999999999999"}"#;
    server.json("PUT", "/_sandbox/settings", settings).await;
    let settings = server
        .json("PUT", "/_sandbox/settings", r#"{"throttle": true}"#)
        .await;
    assert_eq!(
        settings,
        json!({
            "readDelay": "2s", "hideStopped": false, "throttle": true, "account": ACCOUNT,
            "deny": ["ecs:*"], "denyKeys": [], "failTargets": [],
            "externalIds": {}, "fireSchedules": false,
            "delivery": {"drop": 0.0, "duplicate": 0.0, "delay": "0s", "redeliver": 0.0},
        })
    );
    let before = server.sandbox.now();
    server
        .json("POST", "/_sandbox/advance", r#"{"by": "1h"}"#)
        .await;
    assert!(server.sandbox.now() >= before + jiff::SignedDuration::from_hours(1));
    let health = server.json("GET", "/_sandbox/health", "").await;
    assert_eq!(health["status"], "ok");
    for (method, path, body, status) in [
        ("PUT", "/_sandbox/rules", "[{}]", 400),
        ("PUT", "/_sandbox/settings", r#"{"readDelays": 1}"#, 400),
        ("POST", "/_sandbox/advance", r#"{"by": "-1h"}"#, 400),
        ("GET", "/", "", 404),
        ("POST", "/", "hello", 400),
    ] {
        assert_eq!(server.ask(method, path, body).await.0, status, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_does_not_hold_a_server_that_stops() {
    // So slow that the poll would last for hours.
    let server = Server::of(Sandbox::new(SandboxOptions {
        speed: 0.001,
        ..SandboxOptions::at("2026-11-21T00:00:00Z".parse().unwrap())
    }))
    .await;
    let sqs = aws_sdk_sqs::Client::from_conf(
        aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials("AKID"))
            .endpoint_url(format!("http://127.0.0.1:{}", server.port))
            .build(),
    );
    let made = sqs.create_queue().queue_name("q").send().await.unwrap();
    let poll = sqs.receive_message().wait_time_seconds(20);
    let poll = poll.set_queue_url(made.queue_url).send();
    let poll = tokio::spawn(poll);
    while !server.sandbox.calls().contains_key("sqs.ReceiveMessage") {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::time::timeout(Duration::from_secs(60), server.stop());
    stopped.await.expect("it stops");
    assert!(poll.await.unwrap().unwrap().messages.is_none());
}
