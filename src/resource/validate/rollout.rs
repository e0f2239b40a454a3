//! How a service is rolled out.

mod code_deploy;
mod strategy;

use std::collections::BTreeSet;

pub(super) use strategy::count;

use super::{FieldError, FieldPath, timeout};
use crate::resource::release::{OnFailure, Rollout};

/// The most alarms that a service may have.
const ALARMS: usize = 10;
/// The longest name that CloudWatch gives an alarm.
const ALARM_NAME: usize = 255;

pub(super) fn rollout(rollout: &Rollout, path: &FieldPath, errors: &mut Vec<FieldError>) {
    timeout(rollout.timeout.as_ref(), path.key("timeout"), errors);
    timeout(rollout.bake.as_ref(), path.key("bake"), errors);
    alarms(&rollout.alarms, &path.key("alarms"), errors);
    strategy::strategy(rollout, path, errors);
    code_deploy::code_deploy(rollout, path, errors);
    // What goes back anyway may be taken back by ECS as well.
    let holds = rollout.on_failure == Some(OnFailure::Hold);
    if rollout.breaker_may_roll_back == Some(true) && !holds {
        let error = FieldError::new(path.key("breakerMayRollBack"), "is for `onFailure: Hold`");
        errors.push(error.help("write that as well, or leave it out"));
    }
}

fn alarms(alarms: &[String], path: &FieldPath, errors: &mut Vec<FieldError>) {
    if alarms.len() > ALARMS {
        let message = format!("has {} alarms, and {ALARMS} are looked at", alarms.len());
        errors.push(
            FieldError::new(path.clone(), message)
                .help("put a composite alarm over several of them"),
        );
    }
    let mut seen = BTreeSet::new();
    for (index, name) in alarms.iter().enumerate() {
        let here = path.index(index);
        if let Some((message, help)) = wrong(name) {
            errors.push(FieldError::new(here, message).help(help));
        } else if !seen.insert(name) {
            let message = format!("alarm `{name}` is named twice");
            errors.push(FieldError::new(here, message).help("keep one of them"));
        }
    }
}

/// What is wrong with an alarm's name, and what to do about it.
fn wrong(name: &str) -> Option<(String, &'static str)> {
    let length = name.chars().count();
    if name.starts_with("arn:") {
        let message = format!("`{name}` is an ARN, and an alarm is named here");
        return Some((message, "write what comes after `:alarm:`"));
    }
    if length == 0 || length > ALARM_NAME {
        let message =
            format!("an alarm's name has 1 to {ALARM_NAME} characters, this has {length}");
        return Some((message, "write the alarm's name as CloudWatch shows it"));
    }
    if name.chars().any(|character| character.is_ascii_control()) {
        let message = "an alarm's name has no control characters".to_owned();
        return Some((message, "write the alarm's name as CloudWatch shows it"));
    }
    None
}
