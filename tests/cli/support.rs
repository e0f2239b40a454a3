//! The program under test, and a sandbox in a child process.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a test waits for a line of a command before it fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("output is UTF-8"),
        }
    }

    /// Both outputs, as a snapshot shows them.
    pub fn shown(&self) -> String {
        format!(
            "exit {}\n{}{}",
            self.code.unwrap_or(-1),
            self.stdout,
            self.stderr
        )
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.shown()))
    }
}

/// The program without anything of the developer's own settings.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .stdin(Stdio::null());
    command
}

pub fn run(args: &[&str]) -> Ended {
    Ended::of(command(args).output().expect("evenkeel starts"))
}

pub fn run_with(args: &[&str], environment: &[(&str, &str)]) -> Ended {
    let output = command(args).envs(environment.iter().copied()).output();
    Ended::of(output.expect("evenkeel starts"))
}

pub fn run_fed(args: &[&str], input: &str) -> Ended {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("evenkeel starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(input.as_bytes())
        .expect("evenkeel reads its input");
    drop(stdin);
    Ended::of(child.wait_with_output().expect("evenkeel ends"))
}

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/examples")
        .join(path)
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("paths are UTF-8")
}

/// A folder of one test, below target/.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// `evenkeel sandbox` on a free port; it ends with this value.
pub struct Sandbox {
    child: Child,
    endpoint: String,
}

impl Sandbox {
    /// With an example's account, and further options.
    pub fn start(example: &str, options: &[&str]) -> Self {
        let account = fixture(example).join("account.json");
        let mut args = vec!["sandbox", "--listen", "127.0.0.1:0", "--speed", "200"];
        args.extend(["--load", path(&account)]);
        args.extend(options);
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut first = String::new();
        BufReader::new(stdout)
            .read_line(&mut first)
            .expect("the sandbox says where it listens");
        let endpoint = first
            .trim()
            .strip_prefix("listening on ")
            .expect(&first)
            .to_owned();
        Self { child, endpoint }
    }

    pub fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_REGION", "ap-northeast-1"),
            ("AWS_ACCESS_KEY_ID", "sandbox"),
            ("AWS_SECRET_ACCESS_KEY", "sandbox"),
        ]
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        run_with(args, &self.environment())
    }

    /// Runs a command that must end with this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32, args: &[&str]) -> Ended {
        let ended = self.run(args);
        assert_eq!(
            ended.code,
            Some(code),
            "evenkeel {args:?}: {}",
            ended.shown()
        );
        ended
    }

    /// Starts a command that is looked at while it runs.
    pub fn start_command(&self, args: &[&str]) -> Running {
        let mut child = command(args)
            .envs(self.environment())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("evenkeel starts");
        let (told, lines) = channel();
        let errors = told.clone();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        // Nobody may listen any more; that ends the threads.
        std::thread::spawn(move || forward(stdout, &told));
        std::thread::spawn(move || forward(stderr, &errors));
        Running {
            child,
            lines,
            said: String::new(),
        }
    }

    /// The table made and an example applied.
    pub fn apply(&self, example: &str) {
        self.expect(0, &["init"]);
        let environment = fixture(example).join("environment.yaml");
        let release = fixture(example).join("release.yaml");
        self.expect(
            0,
            &["apply", "-f", path(&environment), "-f", path(&release)],
        );
    }

    /// Calls AWS as somebody with the console would.
    pub fn aws(&self, service: &str, target: &str, body: &str) -> String {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=someone/20260101/ap-northeast-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        self.http("POST", "/", &format!("X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\nAuthorization: {scope}\r\n"), body)
    }

    /// Talks to the sandbox's own pages.
    pub fn page(&self, method: &str, page: &str, body: &str) -> String {
        self.http(method, page, "", body)
    }

    fn http(&self, method: &str, page: &str, headers: &str, body: &str) -> String {
        let address = self
            .endpoint
            .strip_prefix("http://")
            .expect("an HTTP endpoint");
        http(address, method, page, headers, body)
    }
}

fn forward(from: impl BufRead, to: &Sender<String>) {
    for line in from.lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}

/// A command that goes on while others run; it ends with this value.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Running {
    /// Reads what it prints up to the first line that holds this.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said += &format!("{line}\n");
                    if line.contains(text) {
                        return;
                    }
                }
                Err(error) => panic!("no `{text}` ({error}) in\n{}", self.said),
            }
        }
    }

    /// Reads to its end; it must be this exit code. Returns all that it printed, errors included.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said += &format!("{line}\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.said),
            }
        }
        let ended = self.child.wait().expect("it has ended");
        assert_eq!(ended.code(), Some(code), "{}", self.said);
        std::mem::take(&mut self.said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP call; the answer's body.
pub fn http(address: &str, method: &str, page: &str, headers: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("the sandbox listens");
    let request = format!(
        "{method} {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .expect("the sandbox reads");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("the sandbox answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
