//! A controller in a process of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::scene::REGION;

/// A running `evenkeel run`; killed with this value. What it logs is in `NAME.log` below target/tmp.
pub struct Replica {
    pub name: String,
    child: Child,
}

impl Replica {
    /// Starts one against the AWS at `HOST:PORT`, with further arguments.
    pub fn start(name: &str, aws: &str, further: &[&str]) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let log = File::create(log).expect("the log can be written");
        let child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["run", "--identity", name])
            .args(further)
            .env_clear()
            .env("AWS_ENDPOINT_URL", format!("http://{aws}"))
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("evenkeel starts");
        Self {
            name: name.to_owned(),
            child,
        }
    }

    /// Sends a signal: `KILL`, `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &process]).status();
        assert!(
            sent.expect("kill runs").success(),
            "SIG{signal} to {}",
            self.name
        );
    }

    /// Waits until it has ended by itself; whether with exit code 0.
    pub async fn ended(&mut self) -> bool {
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.success();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
