//! What fires a schedule, and what becomes of firings that come to nothing.

use jiff::SignedDuration;

use super::{FieldError, FieldPath, Schedule, names};
use crate::resource::cron;
use crate::resource::duration::Span;
use crate::resource::release::{RetryPolicy, ScheduleBackend};
use crate::resource::windows;

/// The longest window that Scheduler takes.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// Between which a firing's greatest age may be.
const AGE: (SignedDuration, SignedDuration) = (
    SignedDuration::from_secs(60),
    SignedDuration::from_hours(24),
);
/// The most times that a start is tried again.
const ATTEMPTS: u32 = 185;

/// Whether EventBridge Scheduler is to fire it.
pub(super) fn of_scheduler(schedule: &Schedule) -> bool {
    schedule.backend == Some(ScheduleBackend::Scheduler)
}

pub(super) fn backend(schedule: &Schedule, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let expression = match of_scheduler(schedule) {
        true => cron::scheduler_expression(&schedule.expression),
        false => cron::schedule_expression(&schedule.expression),
    };
    if let Err(message) = expression {
        errors.push(FieldError::new(path.key("expression"), message));
    }
    match of_scheduler(schedule) {
        true => scheduler(schedule, path, errors),
        false => rules(schedule, path, errors),
    }
    if let Some(queue) = &schedule.dead_letter_queue_arn {
        queue_arn(queue, path.key("deadLetterQueueArn"), errors);
    }
    if let Some(policy) = &schedule.retry_policy {
        retry_policy(policy, &path.key("retryPolicy"), errors);
    }
}

/// What an EventBridge rule has not.
fn rules(schedule: &Schedule, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = [
        (
            "timeZone",
            schedule.time_zone.is_some(),
            "EventBridge rules fire in UTC only",
        ),
        (
            "flexibleTimeWindow",
            schedule.flexible_time_window.is_some(),
            "EventBridge rules have no flexible window",
        ),
        (
            "start",
            schedule.start.is_some(),
            "EventBridge rules have no beginning",
        ),
        (
            "end",
            schedule.end.is_some(),
            "EventBridge rules have no end",
        ),
    ];
    for (field, _, message) in given.into_iter().filter(|(_, given, _)| *given) {
        let error = FieldError::new(path.key(field), message);
        errors.push(error.help("write `backend: Scheduler` as well, or leave it out"));
    }
}

fn scheduler(schedule: &Schedule, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if schedule.rule_name.is_some() {
        let message = "is for EventBridge rules; with Scheduler the schedule goes by its own name";
        let error = FieldError::new(path.key("ruleName"), message);
        errors.push(error.help("leave it out"));
    }
    if let Err(message) = windows::zone(schedule.time_zone.as_deref()) {
        let error = FieldError::new(path.key("timeZone"), message);
        errors.push(
            error.help("write an IANA name such as `Europe/Berlin`, or leave it out for UTC"),
        );
    }
    if let Some(window) = &schedule.flexible_time_window {
        let length = window.length();
        let whole = length.as_secs() % 60 == 0 && length.subsec_nanos() == 0;
        if !whole || length > WINDOW {
            let message = format!("`{window}` is not a window that Scheduler takes");
            let error = FieldError::new(path.key("flexibleTimeWindow"), message);
            errors.push(error.help("write whole minutes, `1m` to `24h`"));
        }
    }
    if let (Some(start), Some(end)) = (schedule.start, schedule.end)
        && end <= start
    {
        let message = format!("`{end}` is not after `start`, which is `{start}`");
        let error = FieldError::new(path.key("end"), message);
        errors.push(error.help("write a later time, or leave one of them out"));
    }
}

/// The ARN of an SQS queue that AWS takes dead letters to.
fn queue_arn(text: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    let right = names::arn(text).is_some_and(|(service, region, account, name)| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        service == "sqs"
            && names::is_region(region)
            && names::is_account(account)
            && name.len() <= 80
            && name.bytes().all(allowed)
    });
    if !right {
        let message = format!("`{text}` is not the ARN of a standard SQS queue");
        let help = "write for example `arn:aws:sqs:eu-central-1:123456789012:dead-letters`; a FIFO \
                    queue is not taken";
        errors.push(FieldError::new(path, message).help(help));
    }
}

fn retry_policy(policy: &RetryPolicy, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let RetryPolicy {
        maximum_event_age: age,
        maximum_retry_attempts: attempts,
    } = policy;
    if age.is_none() && attempts.is_none() {
        let error = FieldError::new(path.clone(), "says nothing");
        errors.push(error.help("give maximumEventAge, maximumRetryAttempts or both"));
    }
    let outside = |age: &&Span| {
        let length = age.length();
        length < AGE.0 || length > AGE.1 || length.subsec_nanos() != 0
    };
    if let Some(age) = age.as_ref().filter(outside) {
        let message = format!("`{age}` is outside 60s to 24h");
        let error = FieldError::new(path.key("maximumEventAge"), message);
        errors.push(error.help("write whole seconds, `60s` to `24h`"));
    }
    if let Some(attempts) = attempts.filter(|attempts| *attempts > ATTEMPTS) {
        let message = format!("`{attempts}` is outside 0 to {ATTEMPTS}");
        errors.push(FieldError::new(path.key("maximumRetryAttempts"), message));
    }
}
