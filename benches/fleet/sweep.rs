//! A sweep: everything is looked at once, and nothing differs.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel::aws::budget::Budget;
use evenkeel::sandbox::is_write;
use serde_json::json;

use crate::fleet::{Fleet, Size};
use crate::{Measure, progress};

/// Longer than anything within a sweep waits for.
const QUIET: Duration = Duration::from_secs(60);

/// Calls of one sweep beside each API's own floor.
pub async fn measure(services: usize) -> Vec<Measure> {
    let size = Size {
        services,
        services_a_release: 10,
        single: 0,
    };
    progress(&format!("sweep of {services}: setting up"));
    let fleet = Fleet::new(size).await;
    fleet.ready().await;
    progress("ready");
    fleet
        .sandbox
        .update_settings(|settings| settings.throttle = true);
    let controller = fleet.controller(Budget::new(0.5));
    let swept = async {
        // The list at the start, and a first sweep.
        for _ in 0..2 {
            one(&fleet).await;
            progress("swept once");
        }
        one(&fleet).await
    };
    let seconds = tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        seconds = swept => seconds,
    };
    let calls = fleet.sandbox.calls();
    let pages = size.rules().div_ceil(100);
    let floors = BTreeMap::from([
        ("ecs.DescribeServices", services.div_ceil(10)),
        ("ecr.DescribeImages", size.repositories()),
        // The newest revision of each family that a release follows: there is one.
        ("ecs.ListTaskDefinitions", 1),
        ("events.ListRules", pages),
        ("events.ListTargetsByRule", size.rules()),
        ("events.ListTagsForResource", size.rules()),
    ]);
    let mut measures = Vec::new();
    for (name, floor) in &floors {
        let made = calls.get(*name).copied().unwrap_or_default();
        measures.push(Measure {
            name,
            services,
            value: made as f64 / *floor as f64,
            limit: 1.05,
            detail: json!({"calls": made, "floor": floor, "sweepSeconds": seconds}),
        });
    }
    let is_table = |name: &str| name.starts_with("dynamodb");
    let others: BTreeMap<&String, &u64> = calls
        .iter()
        .filter(|(name, _)| !floors.contains_key(name.as_str()) && !is_table(name))
        .collect();
    measures.push(Measure {
        name: "sweep: other calls to AWS",
        services,
        value: others.values().copied().sum::<u64>() as f64,
        limit: 0.0,
        detail: json!(others),
    });
    let writes = table_writes(&fleet);
    measures.push(Measure {
        name: "sweep: writes to the table, heartbeats apart",
        services,
        value: writes.len() as f64,
        limit: 0.0,
        detail: json!(writes.iter().take(3).collect::<Vec<_>>()),
    });
    measures
}

/// Waits for a sweep to begin and to end; afterwards the calls are those of this sweep.
async fn one(fleet: &Fleet) -> f64 {
    fleet.sandbox.reset_calls();
    let made = || fleet.called("ecs.DescribeServices");
    while made() == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let begin = tokio::time::Instant::now();
    let mut last = (made(), tokio::time::Instant::now());
    while last.1.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if made() != last.0 {
            last = (made(), tokio::time::Instant::now());
        }
    }
    begin.elapsed().as_secs_f64() - QUIET.as_secs_f64()
}

/// What was written to the table, leases apart.
fn table_writes(fleet: &Fleet) -> Vec<String> {
    let log = fleet.sandbox.log();
    log.iter()
        .filter(|call| call.client && call.service == "dynamodb")
        .filter(|call| is_write(&call.service, &call.operation))
        .map(|call| format!("{} {}", call.operation, call.input))
        .filter(|call| !call.contains(r#""pk":{"S":"lease"}"#))
        .collect()
}
