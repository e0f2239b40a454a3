//! Two processes and a loopback between them: this one is AWS, the other the controller.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use evenkeel::sandbox::serve;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::fleet::{Fleet, REGION, Size};
use crate::{Measure, progress};

/// How many releases are changed, one after the other.
const CHANGES: usize = 200;
/// Time between two changes: what AWS's request bucket for registrations allows.
const PACE: Duration = Duration::from_millis(1050);
/// From one sweep to the next.
const RESYNC: Duration = Duration::from_secs(300);
/// The same at most: with its jitter, and what a sweep takes.
const PERIOD: Duration = Duration::from_secs(420);
/// Longer than a sweep takes, shorter than the time until the next.
const SWEEP: Duration = Duration::from_secs(150);

/// The controller's process; ends with this value.
struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Controller {
    fn start(address: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["run", "--resync", "5m", "--budget", "1"])
            .args(["--log-format", "json"])
            .env("AWS_ENDPOINT_URL", address)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("the controller starts"))
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.0.id());
        std::fs::read_to_string(Path::new(&path)).expect("the controller runs")
    }

    /// Resident memory, in MB.
    fn memory(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    }

    /// Processor time used so far, in seconds.
    fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // Linux counts in hundredths of a second on every platform that matters here.
        ticks / 100.0
    }
}

/// A fleet where everything is Ready, and how far its clock went meanwhile. In virtual time.
pub async fn set_up(services: usize) -> (Fleet, Duration) {
    let size = Size {
        services,
        services_a_release: 10,
        single: CHANGES,
    };
    progress(&format!("live with {services}: setting up"));
    let begin = Instant::now();
    let fleet = Fleet::new(size).await;
    fleet.ready().await;
    (fleet, begin.elapsed())
}

/// Memory, idle CPU, time to the first reconcile, and from a change to the first AWS write.
pub async fn measure((fleet, passed): (Fleet, Duration)) -> Vec<Measure> {
    let services = fleet.size.services;
    // Its clock goes on where virtual time had brought it.
    fleet.sandbox.skip(passed + Duration::from_secs(120));
    // What came due meanwhile is the sandbox's to work off, and not part of the controller's start.
    fleet.store.installation().await.unwrap();
    fleet.call("ecs", "DescribeClusters", json!({}));
    fleet.sandbox.reset_calls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(
        listener,
        fleet.sandbox.clone(),
        std::future::pending(),
    ));
    progress("the controller starts");
    let begin = Instant::now();
    let controller = Controller::start(&address);
    progress(&format!(
        "first calls, in seconds: {:?}",
        first_calls(&fleet).await
    ));
    let first = begin.elapsed().as_secs_f64();
    // Beforehand, so that the sandbox has worked it off when the first change is timed.
    for index in 0..CHANGES {
        fleet.push(index, "v2");
    }
    settle(&fleet).await;
    progress("settled; changes begin with the next sweep");
    sweeps(&fleet).await;
    let mut delays = changes(&fleet).await;
    let slow: Vec<(usize, &f64)> = delays
        .iter()
        .enumerate()
        .filter(|(_, it)| **it > 0.5)
        .collect();
    progress(&format!("changes that took more than 0.5 s: {slow:.3?}"));
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize];
    settle(&fleet).await;
    progress("settled; nothing changes from now on");
    // From one sweep to the next, so that there is one in it: the first after the changes.
    sweeps(&fleet).await;
    fleet.sandbox.reset_calls();
    let (cpu, begin) = (controller.cpu(), Instant::now());
    tokio::time::sleep(SWEEP).await;
    sweeps(&fleet).await;
    let period = begin.elapsed().as_secs_f64();
    progress(&format!("{period:.1} s from one sweep to the next"));
    // Neither a long period nor a short one makes it look better than one of five minutes.
    let busy = (controller.cpu() - cpu) / period.min(RESYNC.as_secs_f64());
    let calls = fleet.sandbox.calls();
    server.abort();
    let measure = |name, value, limit, unit: &str| Measure {
        name,
        services,
        value,
        limit,
        detail: json!({ "unit": unit, "calls": calls }),
    };
    vec![
        measure("live: start to first reconcile", first, 0.5, "s"),
        measure(
            "live: apply to first AWS write, p50 of 200",
            at(0.5),
            0.3,
            "s",
        ),
        measure(
            "live: apply to first AWS write, p99 of 200",
            at(0.99),
            1.0,
            "s",
        ),
        measure("live: memory", controller.memory(), 150.0, "MB"),
        measure(
            "live: idle CPU over a resync of 5 minutes",
            busy * 100.0,
            1.0,
            "% of a core",
        ),
    ]
}

/// When each call was first made, until a service is looked at.
async fn first_calls(fleet: &Fleet) -> BTreeMap<String, f64> {
    let begin = Instant::now();
    let mut first = BTreeMap::new();
    while !first.contains_key("ecs.DescribeServices") {
        assert!(begin.elapsed().as_secs() < 60, "{first:?}");
        for (name, _) in fleet.sandbox.calls() {
            let at = (begin.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            first.entry(name).or_insert(at);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first
}

async fn wait_for(fleet: &Fleet, call: &str, count: u64) {
    let begin = Instant::now();
    while fleet.called(call) < count {
        assert!(
            begin.elapsed().as_secs() < 60,
            "no {call}: {:?}",
            fleet.sandbox.calls()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the controller has looked at everything and asks ECS nothing any more.
async fn settle(fleet: &Fleet) {
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Rollouts need not take their time.
        fleet.sandbox.skip(Duration::from_secs(5));
        let calls = fleet.called("ecs.DescribeServices");
        if calls != last.0 {
            last = (calls, Instant::now());
        }
    }
}

/// Waits until the controller, at rest by now, begins to look at everything again.
async fn sweeps(fleet: &Fleet) {
    let before = fleet.called("ecs.DescribeServices");
    let begin = Instant::now();
    while fleet.called("ecs.DescribeServices") < before + 50 {
        assert!(begin.elapsed() < PERIOD, "nothing is swept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Seconds from each apply to the first call that changes something in AWS.
async fn changes(fleet: &Fleet) -> Vec<f64> {
    let mut delays = Vec::new();
    for index in 0..CHANGES {
        // One service, so one registration; the request budget has one a second for them.
        let before = fleet.called("ecs.RegisterTaskDefinition");
        let begin = Instant::now();
        fleet.apply_release(index, "v2").await;
        wait_for(fleet, "ecs.RegisterTaskDefinition", before + 1).await;
        delays.push(begin.elapsed().as_secs_f64());
        tokio::time::sleep(PACE.saturating_sub(begin.elapsed())).await;
    }
    delays
}
