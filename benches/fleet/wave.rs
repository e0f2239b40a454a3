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
        single: services,
    };
    progress(&format!("wave of {services}: setting up"));
    let fleet = Fleet::new(size).await;
    fleet.ready().await;
    progress("ready");
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
        fleet.sandbox.reset_calls();
        let begin = tokio::time::Instant::now();
        for index in 0..size.releases() {
            fleet.apply_release(index, "v2").await;
        }
        let mut told = 0;
        while given(&fleet) < services {
            let registered = fleet.called("ecs.RegisterTaskDefinition");
            if registered / 20 != told {
                told = registered / 20;
                let after = begin.elapsed().as_secs_f64();
                progress(&format!(
                    "after {after} s: {registered} registered, {} given; refused: {:?}",
                    given(&fleet),
                    fleet.sandbox.refused_calls()
                ));
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

/// How many services were given their new revision.
fn given(fleet: &Fleet) -> usize {
    let refused = fleet.sandbox.refused_calls();
    let refused = refused
        .iter()
        .filter(|((name, _), _)| name == "ecs.UpdateService")
        .map(|(_, count)| count);
    (fleet.called("ecs.UpdateService") - refused.sum::<u64>()) as usize
}

fn throttled(fleet: &Fleet) -> u64 {
    let refused = fleet.sandbox.refused_calls();
    let throttled = refused
        .iter()
        .filter(|((_, code), _)| code == "ThrottlingException");
    throttled.map(|(_, count)| count).sum()
}
