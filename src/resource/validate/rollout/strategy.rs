//! ECS's deployment strategies, within what ECS documents of them.

use super::{FieldError, FieldPath};
use crate::resource::release::{Rollout, Strategy};

/// The most tasks of a service: a quota that AWS does not raise.
const TASKS: u32 = 5000;
/// The longest that ECS waits by itself: a day.
const MINUTES: u32 = 1440;

pub(super) fn strategy(rollout: &Rollout, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let strategy = rollout.strategy;
    let bake = rollout.bake_time_in_minutes;
    let mut found = vec![minutes(bake, path.key("bakeTimeInMinutes"))];
    if bake.is_some() && strategy.is_none() {
        let error = FieldError::new(path.key("bakeTimeInMinutes"), "goes with `strategy`");
        found.push(Some(error.help(
            "name the strategy as well, or use `bake`, which evenkeel waits for by itself",
        )));
    }
    if let Some(linear) = rollout.linear {
        let here = path.key("linear");
        found.push(only_with(strategy, Strategy::Linear, &here));
        let wait = linear.step_bake_time_in_minutes;
        found.push(minutes(wait, here.key("stepBakeTimeInMinutes")));
        found.push(percent(linear.step_percent, 3.0, here.key("stepPercent")));
    }
    if let Some(canary) = rollout.canary {
        let here = path.key("canary");
        found.push(only_with(strategy, Strategy::Canary, &here));
        let wait = canary.canary_bake_time_in_minutes;
        found.push(minutes(wait, here.key("canaryBakeTimeInMinutes")));
        found.push(percent(
            canary.canary_percent,
            0.1,
            here.key("canaryPercent"),
        ));
    }
    errors.extend(found.into_iter().flatten());
}

pub(in crate::resource::validate) fn count(
    count: Option<u32>,
    path: FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let too_many = count.filter(|count| *count > TASKS);
    errors.extend(too_many.map(|count| {
        FieldError::new(
            path,
            format!("is {count}, and ECS runs {TASKS} tasks of a service at most"),
        )
        .help("write a smaller number, or leave it out for autoscaling to decide")
    }));
}

fn only_with(found: Option<Strategy>, needed: Strategy, path: &FieldPath) -> Option<FieldError> {
    if found == Some(needed) {
        return None;
    }
    let message = format!("is for `strategy: {}`", needed.as_str());
    Some(FieldError::new(path.clone(), message).help("write that as well, or leave it out"))
}

fn minutes(value: Option<u32>, path: FieldPath) -> Option<FieldError> {
    let value = value.filter(|value| *value > MINUTES)?;
    let message = format!("is {value}, and ECS takes 0 to {MINUTES} minutes");
    Some(FieldError::new(path, message).help("write a number of minutes, a day at most"))
}

fn percent(value: Option<f64>, least: f64, path: FieldPath) -> Option<FieldError> {
    let value = value?;
    let tenths = value * 10.0;
    let fits = (least..=100.0).contains(&value) && (tenths - tenths.round()).abs() < 1e-6;
    if fits {
        return None;
    }
    let message = format!("is {value}, and ECS takes {least} to 100 percent, in tenths");
    Some(FieldError::new(path, message).help("write for example 10"))
}
