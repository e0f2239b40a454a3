//! How soon a release is tried again whose passes fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::running::{beside, patient};
use crate::shop::{
    Breaker, create_service, key, minutes, pass, register, release, service, shop, web,
};

/// For a while ECS cannot be asked; afterwards the first call that registers does not arrive.
#[derive(Default)]
struct Trouble {
    is_over: AtomicBool,
    failed: Mutex<Option<Instant>>,
    /// When it was looked again after that.
    looked: Mutex<Option<Instant>>,
}

impl Tap for Trouble {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match call.operation {
            "DescribeServices" if !self.is_over.load(Ordering::SeqCst) => Verdict::Timeout,
            "DescribeServices" if failed.is_some() => {
                let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
                looked.get_or_insert(Instant::now());
                Verdict::Proceed
            }
            "RegisterTaskDefinition" if failed.is_none() => {
                *failed = Some(Instant::now());
                Verdict::Timeout
            }
            _ => Verdict::Proceed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_gets_on_does_not_wait_as_after_many_failures() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    let tap = Arc::new(Trouble::default());
    world.sandbox.set_tap(Some(tap.clone()));
    let controller = world.controller_with(patient());
    beside(&controller, async {
        pass(minutes(10)).await;
        tap.is_over.store(true, Ordering::SeqCst);
        world
            .until(&key(), ConditionType::Ready, ConditionStatus::True)
            .await;
    })
    .await;
    let [failed, looked] = [&tap.failed, &tap.looked]
        .map(|at| at.lock().ok().and_then(|at| *at).expect("it came there"));
    let waited = looked - failed;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

/// The first calls for each family are throttled, as often as the SDK tries.
#[derive(Default)]
struct Throttled(Mutex<BTreeMap<String, u32>>);

impl Tap for Throttled {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let family = call.input.get("family").and_then(Value::as_str);
        let ("RegisterTaskDefinition", Some(family)) = (call.operation, family) else {
            return Verdict::Proceed;
        };
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = families.entry(family.to_owned()).or_default();
        *asked += 1;
        match *asked {
            ..=3 => Verdict::Answer {
                status: 400,
                code: "ThrottlingException".to_owned(),
                message: "Rate exceeded".to_owned(),
            },
            _ => Verdict::Proceed,
        }
    }
}

/// Twenty services, and each pass gets one further.
#[tokio::test(start_paused = true)]
async fn one_run_has_patience_as_long_as_a_release_gets_on() {
    let world = shop(Breaker::Rollback).await;
    let names = (0..20).map(|number| format!("web-{number}"));
    let services: Vec<Value> = names
        .map(|name| {
            register(&world, &name, "v1", &json!({}));
            create_service(&world, &name, Breaker::Rollback, &json!({}));
            service(&name)
        })
        .collect();
    pass(minutes(2)).await;
    let services = json!({"services": services});
    world.put(&release("web", "v2", &services)).await;
    world.sandbox.set_tap(Some(Arc::new(Throttled::default())));
    let summary = world.run_once().await.expect("it does not give up");
    assert_eq!(summary.ready, [key()]);
}
