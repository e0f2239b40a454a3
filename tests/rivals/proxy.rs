//! A network between a controller and AWS: requests pass it one by one, and some are broken on
//! purpose.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Of a hundred timeouts, how many last longer than an attempt may; the others would only make the
/// test wait.
const HANGS: u64 = 5;
/// Longer than one attempt of a call may take.
const HANG: Duration = Duration::from_secs(20);

/// How a request fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// AWS answers 500, and has done nothing.
    Internal,
    /// AWS answers that it was asked too often.
    Throttled,
    /// No answer comes, and AWS has done nothing.
    Timeout,
    /// The connection is closed, and AWS has done nothing.
    Reset,
    /// AWS does it, and the connection is closed without its answer.
    Lost,
}

const FAULTS: [Fault; 5] = [
    Fault::Internal,
    Fault::Throttled,
    Fault::Timeout,
    Fault::Reset,
    Fault::Lost,
];

/// A proxy on this machine.
pub struct Proxy {
    /// `HOST:PORT` that it listens at.
    pub address: String,
    faults: Arc<Faults>,
}

struct Faults {
    seed: u64,
    share: AtomicU64,
    requests: AtomicU64,
    hit: AtomicU64,
}

impl Proxy {
    /// In front of the server at `HOST:PORT`; nothing fails yet.
    pub async fn before(server: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let faults = Arc::new(Faults {
            seed,
            share: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            hit: AtomicU64::new(0),
        });
        let (server, shared) = (server.to_owned(), faults.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, faults) = (server.clone(), shared.clone());
                // However a connection ends, both sides see it.
                tokio::spawn(async move { pass_on(client, &server, &faults).await });
            }
        });
        Self { address, faults }
    }

    /// From now on each kind of fault hits so many of a hundred requests.
    pub fn breaks(&self, share: u64) {
        self.faults.share.store(share, Ordering::SeqCst);
    }

    /// How many requests failed.
    pub fn hit(&self) -> u64 {
        self.faults.hit.load(Ordering::SeqCst)
    }
}

impl Faults {
    /// What befalls the next request; each fault is independent of the others.
    fn next(&self) -> Option<(Fault, u64)> {
        let share = self.share.load(Ordering::SeqCst);
        let request = self.requests.fetch_add(1, Ordering::SeqCst);
        let hit = FAULTS
            .into_iter()
            .map(|fault| (fault, self.number(request, fault)))
            .find(|(_, number)| number % 100 < share);
        if hit.is_some() {
            self.hit.fetch_add(1, Ordering::SeqCst);
        }
        hit.map(|(fault, number)| (fault, number / 100))
    }

    /// A number that looks like chance: a linear congruential generator.
    fn number(&self, request: u64, fault: Fault) -> u64 {
        let parts = [self.seed, request, fault as u64, 0];
        let mixed = parts.into_iter().fold(0, |state: u64, part| {
            (state ^ part)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
                .rotate_left(32)
        });
        mixed >> 32
    }
}

/// One connection, with one of its own to the server.
async fn pass_on(client: TcpStream, server: &str, faults: &Faults) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut server = BufReader::new(TcpStream::connect(server).await?);
    while let Some(request) = message(&mut client).await? {
        match faults.next() {
            None => {
                server.write_all(&request).await?;
                let Some(answer) = message(&mut server).await? else {
                    return Ok(());
                };
                client.write_all(&answer).await?;
            }
            Some((Fault::Internal, _)) => {
                let answer = refusal("500 Internal Server Error", "InternalServerError");
                client.write_all(&answer).await?;
            }
            Some((Fault::Throttled, _)) => {
                let answer = refusal("400 Bad Request", "ThrottlingException");
                client.write_all(&answer).await?;
            }
            Some((Fault::Timeout, number)) => {
                let hangs = number % 100 < HANGS;
                let time = if hangs {
                    HANG
                } else {
                    Duration::from_millis(200)
                };
                tokio::time::sleep(time).await;
                return Ok(());
            }
            Some((Fault::Reset, _)) => return Ok(()),
            Some((Fault::Lost, _)) => {
                server.write_all(&request).await?;
                message(&mut server).await?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A whole HTTP message of a known length; nothing at the end of the connection.
async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let begin = message.len();
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&message[begin..]).to_ascii_lowercase();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        assert!(!line.starts_with("transfer-encoding:"), "{line}");
    }
    let head = message.len();
    message.resize(head + length, 0);
    stream.read_exact(&mut message[head..]).await?;
    Ok(Some(message))
}

fn refusal(status: &str, code: &str) -> Vec<u8> {
    let body = format!(r#"{{"__type":"{code}","message":"once more, please"}}"#);
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
