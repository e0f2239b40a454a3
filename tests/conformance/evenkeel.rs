//! The program under test, run as people run it.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::servers::Server;

/// Longer than anything here takes, even on a slow machine: a run that lasts longer hangs.
const LIMIT: Duration = Duration::from_secs(240);
/// Longer than evenkeel lets pass until it looks again at what has not come about.
const FURTHER: Duration = Duration::from_secs(10);
/// How long between two looks at a command that prints nothing.
const PAUSE: Duration = Duration::from_millis(200);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; None when it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said on the side.
    pub stderr: String,
}

impl Ended {
    /// Both outputs together, for looking for a sentence.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The evenkeel binary with a server's endpoint and dummy credentials.
pub struct Evenkeel<'a> {
    server: &'a Server,
    namespace: &'a str,
    more: Vec<(&'static str, String)>,
}

impl<'a> Evenkeel<'a> {
    /// Commands against this server, in this namespace.
    pub fn new(server: &'a Server, namespace: &'a str) -> Self {
        Self {
            server,
            namespace,
            more: Vec::new(),
        }
    }

    /// The same with another environment variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.more.push((name, value.to_owned()));
        self
    }

    /// Runs a command to its end; panics when it hangs.
    pub fn run(&self, args: &[&str]) -> Ended {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("evenkeel can be started");
        let ended = wait(child, LIMIT);
        assert!(ended.code.is_some(), "evenkeel {args:?} hung: {ended:#?}");
        ended
    }

    /// Runs a command that must not end by itself: until `reached` says so of what it has printed,
    /// and for as long as [`FURTHER`] after that. Kills it then.
    pub fn goes_on(&self, args: &[&str], reached: impl Fn(&str) -> bool) {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().expect("evenkeel can be started"));
        let (line, lines) = mpsc::channel();
        forward(running.0.stdout.take().expect("it is piped"), line.clone());
        forward(running.0.stderr.take().expect("it is piped"), line);
        let begin = Instant::now();
        let mut told = String::new();
        let mut there: Option<Instant> = None;
        loop {
            match lines.recv_timeout(PAUSE) {
                Ok(line) => told += &format!("{line}\n"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("evenkeel {args:?} ended: {told}"),
            }
            match there {
                Some(there) if there.elapsed() >= FURTHER => return,
                Some(_) => {}
                None if reached(&told) => there = Some(Instant::now()),
                None => assert!(begin.elapsed() < LIMIT, "it does not come there: {told}"),
            }
        }
    }

    /// Starts a command that goes on beside the test, until the test ends it or itself.
    pub fn begin(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("evenkeel can be started"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        // Nothing of the developer's own AWS settings may reach it.
        command
            .args(args)
            .env_clear()
            .envs(self.server.environment())
            .envs(self.more.iter().map(|(name, value)| (name, value)))
            .env("EVENKEEL_NAMESPACE", self.namespace)
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must end with this exit code.
    pub fn expect(&self, code: i32, args: &[&str]) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(code), "evenkeel {args:?}: {ended:#?}");
        ended
    }

    /// Runs a command that must succeed and print JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.expect(0, args);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| {
            panic!("evenkeel {args:?} printed no JSON ({error}): {ended:#?}")
        })
    }

    /// The Release of this name with its status.
    pub fn release(&self, name: &str) -> Value {
        self.json(&["get", name, "-o", "json"])
    }

    /// Applies the manifests.
    pub fn apply(&self, paths: &[&Path]) {
        let mut args = vec!["apply"];
        for path in paths {
            args.extend(["-f", path.to_str().expect("the path is UTF-8")]);
        }
        self.expect(0, &args);
    }
}

/// A command that goes on beside the test.
pub struct Running(Child);

impl Running {
    /// Ends it as a machine does that loses its power: it hears nothing of that.
    pub fn dies(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have come to its end by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(mut child: Child, limit: Duration) -> Ended {
    let (done, outputs) = mpsc::channel();
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let readers = [reader(stdout, done.clone()), reader(stderr, done)];
    // The readers are done when the program has closed both its outputs, at its end.
    let in_time = readers.iter().all(|_| outputs.recv_timeout(limit).is_ok());
    if !in_time {
        child.kill().expect("a running program can be killed");
    }
    let status = child.wait().expect("a started program ends");
    let [stdout, stderr] = readers.map(|reader| reader.join().expect("the readers do not panic"));
    Ended {
        code: if in_time { status.code() } else { None },
        stdout,
        stderr,
    }
}

/// Passes on each line, until there are no more or nobody listens.
fn forward(output: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        let lines = BufReader::new(output).lines();
        lines
            .map_while(Result::ok)
            .all(|line| to.send(line).is_ok())
    });
}

fn reader(
    mut output: impl Read + Send + 'static,
    done: mpsc::Sender<()>,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        // Nobody listens any more once the time is up.
        let _ = done.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The condition of this type, as `(status, reason, message)`.
pub fn condition(release: &Value, kind: &str) -> Option<(String, String, String)> {
    let conditions = release["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Panics unless the release is Ready at its newest generation.
#[track_caller]
pub fn assert_ready(release: &Value) {
    let ready = condition(release, "Ready").map(|(status, ..)| status);
    assert_eq!(ready.as_deref(), Some("True"), "not Ready: {release:#}");
    assert!(
        condition(release, "Stalled").is_none(),
        "Ready and Stalled: {release:#}"
    );
    assert_eq!(
        release["status"]["observedGeneration"], release["metadata"]["generation"],
        "Ready, but for an older generation: {release:#}"
    );
}

/// Panics unless the release is Stalled for this reason; answers the message.
#[track_caller]
pub fn assert_stalled(release: &Value, reason: &str) -> String {
    let (status, why, message) =
        condition(release, "Stalled").unwrap_or_else(|| panic!("not Stalled: {release:#}"));
    assert_eq!(
        (status.as_str(), why.as_str()),
        ("True", reason),
        "{release:#}"
    );
    let ready = condition(release, "Ready").map(|(status, ..)| status);
    assert_ne!(
        ready.as_deref(),
        Some("True"),
        "Stalled and Ready: {release:#}"
    );
    assert!(!message.is_empty(), "no message: {release:#}");
    message
}
