//! How long a rollout may take, and what it is at.

use jiff::SignedDuration;
use serde_json::Value;

use super::{Question, Standing, newest_of_all, short};
use crate::model::observed::{DeploymentRecord, Service};

/// The time in which ECS is told to do nothing but wait: while traffic goes over in steps, and while
/// old and new tasks run side by side. No timeout counts it.
pub fn planned(service: &Service) -> SignedDuration {
    let configuration = &service.configuration;
    let minutes = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0).max(0);
    let of = |part: &str, member: &str| configuration.get(part).and_then(|it| it.get(member));
    let between = match service.strategy.as_str() {
        "LINEAR" => {
            let percent = of("linearConfiguration", "stepPercent").and_then(Value::as_f64);
            let wait = of("linearConfiguration", "stepBakeTimeInMinutes");
            let wait = wait.map_or(LINEAR_WAIT, |wait| minutes(Some(wait)));
            wait.saturating_mul(steps(percent.unwrap_or(LINEAR_PERCENT)))
        }
        "CANARY" => {
            let wait = of("canaryConfiguration", "canaryBakeTimeInMinutes");
            wait.map_or(CANARY_WAIT, |wait| minutes(Some(wait)))
        }
        _ => 0,
    };
    let bake = minutes(configuration.get("bakeTimeInMinutes"));
    // What CodeDeploy is told is in its records alone.
    let told = newest_of_all(service).map_or(SignedDuration::ZERO, |record| record.waits);
    SignedDuration::from_mins(between.saturating_add(bake).min(LONGEST)).saturating_add(told)
}

/// What ECS does where nothing is said
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinearConfiguration.html>).
const LINEAR_PERCENT: f64 = 10.0;
const LINEAR_WAIT: i64 = 6;
const CANARY_WAIT: i64 = 10;
/// A year, in minutes: whatever is beyond it was not meant.
const LONGEST: i64 = 366 * 24 * 60;

/// How often ECS waits between two steps.
fn steps(percent: f64) -> i64 {
    let (mut count, mut sum) = (0, percent);
    while percent > 0.0 && sum < 100.0 - 1e-6 && count < 1000 {
        (count, sum) = (count + 1, sum + percent);
    }
    count
}

impl Question<'_> {
    /// How long the deployment may take.
    pub fn limit(&self) -> SignedDuration {
        self.timeout.saturating_add(planned(self.service))
    }
}

/// A deployment that waits for a person: no time is counted.
pub(super) fn paused(target: &str, record: Option<&DeploymentRecord>) -> Option<Standing> {
    record?.waits_for()?;
    Some(Standing::Underway(format!(
        "{} waits at a pause hook",
        short(target)
    )))
}

/// ` (BAKE_TIME)` of a deployment of which ECS tells a stage.
pub(super) fn stage(record: Option<&DeploymentRecord>) -> String {
    let stage = record.and_then(|it| it.stage.as_deref());
    stage.map_or_else(String::new, |stage| format!(" ({stage})"))
}
