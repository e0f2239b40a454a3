use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Over the network, as no client is given.
fn poster() -> Poster {
    let own = connector::https_connector(Some(settings()), default_async_sleep());
    Poster(SharedHttpConnector::new(own))
}

/// A server that answers one request; its URL, and what it was asked.
async fn server(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/services/T0/s3cr3t",
        listener.local_addr().unwrap()
    );
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"hello") {
            stream.read_buf(&mut asked).await.unwrap();
        }
        // The client may hang up before all of a long answer is written.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(asked).unwrap()
    });
    (url, asked)
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_post_goes_out_with_its_headers_and_comes_back_with_its_status() {
    let (url, asked) = server(answer("429 Too Many Requests\r\nRetry-After: 7", "later")).await;
    let headers = [("content-type", "application/json")];
    let answer = poster().post(&url, &headers, "hello").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (429, &b"later"[..]));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    let asked = asked.await.unwrap().to_lowercase();
    assert!(
        asked.starts_with("post /services/t0/s3cr3t http/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("content-type: application/json\r\n"),
        "{asked}"
    );
    assert!(
        !asked.contains("authorization") && !asked.contains("x-amz"),
        "{asked}"
    );
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_more_is_read_than_that() {
    let (url, _asked) = server(answer("302 Found\r\nLocation: https://example.com/", "")).await;
    assert_eq!(poster().post(&url, &[], "hello").await.unwrap().status, 302);
    let (url, _asked) = server(answer("200 OK", &"x".repeat(1_000_000))).await;
    let answer = poster().post(&url, &[], "hello").await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, MOST));
}

#[tokio::test]
async fn https_is_spoken_over_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let first = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let poster = poster();
    let (sent, first) = tokio::join!(poster.post(&url, &[], "hello"), first);
    assert_eq!(first, 0x16, "a TLS record of a handshake");
    sent.unwrap_err();
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = poster().post(&url, &[], "hello").await.unwrap_err();
    assert_eq!(error, PostError::NotReached);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/s3cr3t", listener.local_addr().unwrap());
    // Where nothing is to be done the paused clock goes on, also while the network is at work.
    let asked = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"hello") {
            let read = stream.read_buf(&mut asked).await.unwrap();
            assert_ne!(read, 0, "hung up");
        }
        tokio::time::pause();
        stream
    };
    let poster = poster();
    let (sent, _stream) = tokio::join!(poster.post(&url, &[], "hello"), asked);
    let error = sent.unwrap_err();
    assert_eq!(error, PostError::TimedOut);
    assert!(!error.to_string().contains("s3cr3t"));
}

#[tokio::test]
async fn only_https_is_posted_to_and_http_on_this_machine() {
    for right in [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://example.com:8443/hook?team=shop",
        "http://localhost:8065/hooks/x",
        "http://127.0.0.1/x",
        "http://[::1]:80/x",
    ] {
        assert!(is_postable(right), "{right}");
    }
    for wrong in [
        "http://example.com/",
        "http://localhost.example.com/",
        "http://10.0.0.1/",
        "https://user:password@example.com/",
        "https:///path",
        "ftp://example.com/",
        "hooks.slack.com/services",
        "not a url",
        "",
    ] {
        assert!(!is_postable(wrong), "{wrong}");
        let sent = poster().post(wrong, &[], "hello").await;
        assert_eq!(sent.unwrap_err(), PostError::Url, "{wrong}");
    }
}

#[cfg(feature = "sandbox")]
#[tokio::test(start_paused = true)]
async fn a_client_that_was_given_gets_the_post_and_the_sandbox_answers_by_its_rules() {
    use crate::sandbox::{Sandbox, SandboxOptions, WebhookAnswer};
    let sandbox = Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let poster = Poster::new(&Aws::for_test(sandbox.http_client(), "eu-west-1"));
    let headers = [("content-type", "application/json")];
    let post = |path: &'static str| {
        let poster = poster.clone();
        let url = format!("https://hooks.example.com/{path}");
        async move { poster.post(&url, &headers, "{}").await }
    };
    assert_eq!(post("a").await.unwrap().status, 200);
    sandbox.answer_webhooks("hooks.example.com", WebhookAnswer::Status(500));
    sandbox.answer_webhooks("hooks.example.com/b", WebhookAnswer::RetryAfter(429, 30));
    sandbox.answer_webhooks("hooks.example.com/c", WebhookAnswer::Hang);
    sandbox.answer_webhooks("hooks.example.com/d", WebhookAnswer::ConnectionError);
    assert_eq!(post("a").await.unwrap().status, 500);
    let later = post("b").await.unwrap();
    assert_eq!(later.retry_after, Some(Duration::from_secs(30)));
    let began = tokio::time::Instant::now();
    assert_eq!(post("c").await.unwrap_err(), PostError::TimedOut);
    assert_eq!(began.elapsed(), CONNECT + ANSWER);
    assert_eq!(post("d").await.unwrap_err(), PostError::Broken);
    // As long as it is said that it may take.
    let late = WebhookAnswer::After(30, 201);
    sandbox.answer_webhooks("hooks.example.com/e", late);
    let url = "https://hooks.example.com/e";
    for (minutes, status) in [(0, None), (1, Some(201))] {
        let time = Duration::from_secs(20 + 60 * minutes);
        let answer = poster.post_within(time, url, &headers, "{}").await;
        assert_eq!(answer.ok().map(|it| it.status), status);
    }
    let posts = sandbox.webhooks();
    let told: Vec<_> = posts.iter().map(|it| (&it.url[25..], it.status)).collect();
    let expected = [
        ("/a", Some(200)),
        ("/a", Some(500)),
        ("/b", Some(429)),
        ("/c", None),
        ("/d", None),
        ("/e", Some(201)),
        ("/e", Some(201)),
    ];
    assert_eq!(told, expected);
    assert_eq!(posts[0].headers["content-type"], "application/json");
    assert_eq!(posts[0].body, "{}");
}
