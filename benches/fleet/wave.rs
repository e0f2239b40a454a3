//! A wave: every release gets a new image in the same moment.

use std::time::Duration;

use evenkeel::aws::budget::Budget;
use serde_json::json;

use crate::fleet::{Fleet, Size};
use crate::{Measure, progress};

/// RegisterTaskDefinition's bucket: so many at once, then one a second.
const BURST: usize = 20;

/// How long it takes until each of so many services has been given its new revision, over what the
/// bucket of RegisterTaskDefinition alone takes.
pub async fn measure(services: usize) -> Vec<Measure> {
    let size = Size {
        services,
        services_a_release: 1,
    };
    progress(&format!("wave of {services}: setting up"));
    let fleet = Fleet::new(size).await;
    fleet.ready().await;
    progress(&format!("ready: {:?}", fleet.sandbox.calls()));
    for index in 0..size.releases() {
        fleet.push(index, "v2");
    }
    fleet
        .sandbox
        .update_settings(|settings| settings.throttle = true);
    let controller = fleet.controller(Budget::new(1.0));
    let floor = (services - BURST) as f64;
    let wave = async {
        // The controller settles, and buckets that were used are full again.
        tokio::time::sleep(Duration::from_secs(120)).await;
        progress(&format!("idle for 120 s: {:?}", fleet.sandbox.calls()));
        fleet.sandbox.reset_calls();
        let begin = tokio::time::Instant::now();
        for index in 0..size.releases() {
            fleet.apply_release(index, "v2").await;
        }
        progress(&format!("applied: {:?}", fleet.sandbox.calls()));
        let mut told = 0;
        while given(&fleet) < services {
            let now = fleet.called("ecs.RegisterTaskDefinition") / 100;
            if now != told {
                told = now;
                progress(&format!("{:?}", fleet.sandbox.calls()));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            let seconds = begin.elapsed().as_secs_f64();
            assert!(seconds < floor * 5.0 + 60.0, "{:?}", fleet.sandbox.calls());
        }
        begin.elapsed().as_secs_f64()
    };
    let seconds = tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        seconds = wave => seconds,
    };
    let registered = fleet.called("ecs.RegisterTaskDefinition");
    vec![Measure {
        name: "wave: time over the floor of the buckets",
        services,
        value: seconds / floor,
        limit: 1.05,
        detail: json!({
            "seconds": seconds, "floorSeconds": floor,
            "registrations": registered, "throttled": throttled(&fleet),
        }),
    }]
}

/// How many services were given their new revision; 0 as long as it cannot be all.
fn given(fleet: &Fleet) -> usize {
    // The log is long, and looked through only once it may hold enough.
    if fleet.called("ecs.UpdateService") < fleet.size.services as u64 {
        return 0;
    }
    let log = fleet.sandbox.log();
    log.iter()
        .filter(|call| call.client && call.operation == "UpdateService")
        .filter(|call| matches!(call.outcome, evenkeel::sandbox::Outcome::Answered))
        .count()
}

fn throttled(fleet: &Fleet) -> usize {
    let log = fleet.sandbox.log();
    let refused = |code: &str| code == "ThrottlingException";
    log.iter()
        .filter(|call| match &call.outcome {
            evenkeel::sandbox::Outcome::Refused { code, .. } => refused(code),
            evenkeel::sandbox::Outcome::Answered => false,
        })
        .count()
}
