//! How a large installation fares: `cargo bench --bench fleet`, or `-- wave`, `-- sweep`, `-- live`
//! for a part of it, with other numbers of services where some are given (`-- wave 300`). Prints one
//! JSON line a measure, with what was allowed, and ends with 1 when one was not kept.
//!
//! - `wave`: a release wave against the sandbox's request buckets, in virtual time.
//! - `sweep`: what looking at everything once costs, in calls beside each API's own floor.
//! - `live`: two processes over loopback, in real time: memory, CPU, and how soon a change acts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

mod fleet;
mod live;
mod sweep;
mod wave;

use serde_json::{Value, json};

/// A figure and the most that it may be.
pub struct Measure {
    /// What was measured.
    pub name: &'static str,
    /// With how many services.
    pub services: usize,
    /// The figure.
    pub value: f64,
    /// The most that was allowed.
    pub limit: f64,
    /// What it is made of.
    pub detail: Value,
}

impl Measure {
    /// Prints it as one JSON line; says whether it was kept.
    pub fn print(&self) -> bool {
        let kept = self.value <= self.limit;
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let line = json!({
            "measure": self.name, "services": self.services, "value": round(self.value),
            "limit": self.limit, "kept": kept, "detail": self.detail,
        });
        println!("{line}");
        kept
    }
}

/// Tells whoever watches how far it is.
pub fn progress(text: &str) {
    use std::sync::LazyLock;
    use std::time::Instant;
    #[expect(
        clippy::disallowed_methods,
        reason = "a wall clock for people, beside any virtual one"
    )]
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("{:7.1} s  {text}", BEGIN.elapsed().as_secs_f64());
}

/// Runs in time that passes only where nothing else can be done.
fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn really<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let numbers: Vec<usize> = chosen.iter().filter_map(|one| one.parse().ok()).collect();
    let chosen: Vec<&String> = chosen
        .iter()
        .filter(|one| one.parse::<usize>().is_err())
        .collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|one| *one == name);
    let sizes = |usual: [usize; 2]| match numbers.is_empty() {
        true => usual.to_vec(),
        false => numbers.clone(),
    };
    let mut kept = true;
    let mut print = |measures: Vec<Measure>| {
        for measure in measures {
            kept &= measure.print();
        }
    };
    if is_chosen("wave") {
        for services in sizes([100, 1_000]) {
            print(virtually(wave::measure(services)));
        }
    }
    if is_chosen("sweep") {
        for services in sizes([1_000, 10_000]) {
            print(virtually(sweep::measure(services)));
        }
    }
    if is_chosen("live") {
        let services = numbers.first().copied().unwrap_or(10_000);
        let fleet = virtually(live::set_up(services));
        print(really(live::measure(fleet)));
    }
    if !kept {
        std::process::exit(1);
    }
}
