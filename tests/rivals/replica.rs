//! A controller in a process of its own.

use std::process::{Child, Command, Stdio};

/// A running `evenkeel run`; killed with this value.
pub struct Replica {
    pub name: String,
    child: Child,
}

impl Replica {
    /// Starts one against the AWS at `endpoint`.
    pub fn start(name: &str, endpoint: &str, region: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["run", "--identity", name])
            .env_clear()
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", region)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
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
        assert!(sent.expect("kill runs").success(), "SIG{signal}");
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
