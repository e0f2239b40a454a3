//! A server for hooks to reach, which is Python's own with a few lines of ours: see `listener.py`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::python;

/// Longer than anything takes that tests wait for, even on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A server on a free port of this machine, for as long as the value lives.
pub struct Listener {
    child: Child,
    lines: Receiver<String>,
    url: String,
}

impl Listener {
    /// One with these arguments of `listener.py`.
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(python::program("python"))
            .arg("-B")
            .arg(Path::new(python::SCRIPTS).join("listener.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the virtual environment's Python can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let url = lines.recv_timeout(LIMIT).expect("it says where it listens");
        Self { child, lines, url }
    }

    /// A URL of this server; the path begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What came next; panics when nothing comes.
    pub fn heard(&self) -> Value {
        let line = self.lines.recv_timeout(LIMIT).expect("something comes");
        serde_json::from_str(&line).expect("each request is told as JSON")
    }

    /// Ends it, and answers everything that came and was not asked for yet.
    pub fn rest(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        // Its output ends with it.
        self.lines.iter().collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
