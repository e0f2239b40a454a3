//! Prometheus in a process of its own, and its tool.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::page;

const INSTALL: &str = "cannot be started; apt-get install prometheus brings it";

/// A running Prometheus; killed with this value.
pub struct Prometheus {
    process: Child,
    address: String,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts one that listens at `address` and scrapes `target` once a second.
    pub fn start(address: &str, target: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: evenkeel, static_configs: [{{targets: [\"{target}\"]}}]}}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("Prometheus {INSTALL}: {error}"));
        Self {
            process,
            address: address.to_owned(),
            folder,
        }
    }

    /// Waits until a query has an answer with at least one sample.
    pub async fn until_answered(&self, query: &str, limit: Duration) {
        let begin = Instant::now();
        loop {
            let answer = self.query(query).await;
            if answer.as_ref().is_ok_and(|samples| *samples > 0) {
                return;
            }
            assert!(
                begin.elapsed() < limit,
                "{query}: {answer:?}, see {}",
                self.folder.display()
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// How many samples answer a query.
    async fn query(&self, query: &str) -> Result<usize, String> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02X}").unwrap();
        }
        let answer = page::get(&self.address, &path).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let samples = answer["data"]["result"].as_array();
        samples.map(Vec::len).ok_or_else(|| answer.to_string())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What it logged is of use where the test failed.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// What `promtool check metrics` says of a page: nothing where it is as it should be.
pub fn check(page: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool {INSTALL}: {error}"));
    // It reads to the end before it says anything.
    let mut input = tool.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let output = tool.wait_with_output().unwrap();
    let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.push_str(&String::from_utf8_lossy(&output.stderr));
    if told.is_empty() && !output.status.success() {
        told = output.status.to_string();
    }
    told
}
