//! The servers under test, each alive as long as its value.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::aws::{Aws, AwsSettings};
use serde_json::Value;

use crate::python;

/// The account that the examples name.
pub const ACCOUNT: &str = "123456789012";
/// The Region that the examples name.
pub const REGION: &str = "ap-northeast-1";

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/examples");

/// The example of this name: a folder of manifests with the account they are meant for.
pub fn example(name: &str) -> PathBuf {
    Path::new(EXAMPLES).join(name)
}

/// A server that speaks the AWS protocols on a free port of this machine.
pub struct Server {
    /// `serve.py`, which ends the server when its input is closed: at the latest with this
    /// process, however that ends.
    keeper: Child,
    log: PathBuf,
    endpoint: String,
}

impl Server {
    /// ministack in front of the stand-in Docker engine.
    pub fn ministack() -> Self {
        Self::start("ministack", &["ministack"])
    }

    /// moto in its server mode.
    pub fn moto() -> Self {
        Self::start("moto", &["moto"])
    }

    /// evenkeel's own sandbox with an example's account loaded.
    #[cfg(feature = "sandbox")]
    pub fn sandbox(example_name: &str) -> Self {
        let account = example(example_name).join("account.json");
        let account = account.to_str().expect("the path is UTF-8");
        let binary = env!("CARGO_BIN_EXE_evenkeel");
        let options = [
            "--listen",
            "127.0.0.1:0",
            "--speed",
            "20",
            "--load",
            account,
        ];
        let command = [[binary, "sandbox"].as_slice(), &options].concat();
        Self::start("sandbox", &command)
    }

    fn start(name: &str, what: &[&str]) -> Self {
        let log = log_file(name);
        let mut keeper = Command::new(python::program("python"))
            .arg("-B")
            .arg(Path::new(python::SCRIPTS).join("serve.py"))
            .arg(&log)
            .args(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the virtual environment's Python can be started");
        let mut endpoint = String::new();
        BufReader::new(keeper.stdout.take().expect("stdout is piped"))
            .read_line(&mut endpoint)
            .expect("the output of serve.py can be read");
        let endpoint = endpoint.trim().to_owned();
        let server = Self {
            keeper,
            log,
            endpoint,
        };
        assert!(!server.endpoint.is_empty(), "{name} did not start");
        server
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What an AWS client needs to talk to it. ministack takes an access key of twelve digits for
    /// the account; the others take any.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCOUNT),
            ("AWS_SECRET_ACCESS_KEY", "of no consequence"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Replays an example's account; answers which names the server gave instead of the file's.
    pub fn replay(&self, example_name: &str, options: &[&str]) -> Value {
        let account = example(example_name).join("account.json");
        let mut args = vec![account.to_str().expect("the path is UTF-8")];
        args.extend(options);
        parse(&python::script("replay.py", &self.environment(), &args, ""))
    }

    /// Waits until the services of a cluster run what they should.
    pub fn steady(&self, cluster: &str) {
        python::script("steady.py", &self.environment(), &[cluster], "");
    }

    /// The server as evenkeel reaches it.
    pub async fn aws(&self) -> Aws {
        Aws::load(AwsSettings {
            endpoint_url: Some(self.endpoint.clone()),
            region: Some(REGION.to_owned()),
            credentials: Some((ACCOUNT.to_owned(), "of no consequence".to_owned())),
            ..AwsSettings::default()
        })
        .await
    }

    /// Makes one call as boto3 does and answers its result.
    pub fn call(&self, service: &str, operation: &str, input: &Value) -> Value {
        let input = input.to_string();
        parse(&python::script(
            "call.py",
            &self.environment(),
            &[service, operation],
            &input,
        ))
    }

    /// Everything in the account that evenkeel could have changed: see `snapshot.py`.
    pub fn snapshot(&self, cluster: &str) -> Value {
        parse(&python::script(
            "snapshot.py",
            &self.environment(),
            &[cluster],
            "",
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            eprintln!(
                "the end of the server's log, {}:\n{tail}",
                self.log.display()
            );
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A log file that no other server of this process writes.
fn log_file(name: &str) -> PathBuf {
    static SERVERS: AtomicUsize = AtomicUsize::new(0);
    let folder = python::scratch().join("conformance-logs");
    fs::create_dir_all(&folder).expect("the folder of logs can be made");
    folder.join(format!(
        "{name}-{}.log",
        SERVERS.fetch_add(1, Ordering::Relaxed)
    ))
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}
