//! When a schedule fires: EventBridge's `cron(...)` and `rate(...)`, and crontab lines, which are
//! translated into them.
//!
//! Rests on <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html>:
//! six fields with the year, UTC, exactly one of the two day fields `?`, SUN-SAT = 1-7.

mod crontab;
mod eventbridge;
mod field;

#[cfg(test)]
mod tests;

/// The longest expression that EventBridge takes.
const LONGEST: usize = 256;

/// What EventBridge shall be given for an expression: `cron(...)` and `rate(...)` are checked and
/// kept, a five-field crontab line or a macro such as `@daily` is translated. All times are UTC.
///
/// # Errors
/// A sentence that says why the expression cannot be used and what to write instead.
pub fn schedule_expression(text: &str) -> Result<String, String> {
    let text = text.trim();
    let translated = if let Some(inner) = call(text, "cron") {
        eventbridge::cron(inner)
    } else if let Some(inner) = call(text, "rate") {
        eventbridge::rate(inner)
    } else {
        other(text)
    }?;
    if translated.len() > LONGEST {
        return Err(format!(
            "`{translated}` is longer than the {LONGEST} characters that EventBridge takes; use \
             fewer values, or several schedules"
        ));
    }
    Ok(translated)
}

/// The same for EventBridge Scheduler, which also knows `at(...)`: one time, without its zone.
///
/// # Errors
/// As [`schedule_expression`].
pub fn scheduler_expression(text: &str) -> Result<String, String> {
    let Some(inner) = call(text.trim(), "at") else {
        return schedule_expression(text);
    };
    let moment = once(text).ok_or_else(|| {
        format!(
            "`at({inner})` is not one time; write it as `at(2030-12-24T18:00:00)`, and its zone \
             into `timeZone`"
        )
    })?;
    Ok(format!("at({})", moment.strftime("%Y-%m-%dT%H:%M:%S")))
}

/// The wall-clock time of `at(...)`.
pub fn once(expression: &str) -> Option<jiff::civil::DateTime> {
    let inner = call(expression.trim(), "at")?;
    let has_form = inner.len() == 19 && inner.as_bytes().get(10) == Some(&b'T');
    inner.parse().ok().filter(|_| has_form)
}

/// Whether a text is a crontab line of five fields. Beside what [`schedule_expression`] takes, both
/// day fields may be given: either of them counts then.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn crontab_line(text: &str) -> Result<(), String> {
    crontab::check(text)
}

/// What stands between the brackets of `name(...)`.
fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix(name)?
        .strip_prefix('(')?
        .strip_suffix(')')
}

fn other(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "the expression is empty; write for example `cron(0 18 * * ? *)`, \
                    `rate(5 minutes)` or `0 18 * * *`"
                .to_owned(),
        );
    }
    if text.starts_with("at(") {
        return Err(
            "`at(...)` is for one time only, and EventBridge rules have no such thing; write \
             `backend: Scheduler`, or name the day and the year: `cron(0 18 24 12 ? 2030)`"
                .to_owned(),
        );
    }
    if text.starts_with('@') {
        return crontab::macro_line(text);
    }
    let lower = text.to_ascii_lowercase();
    if let Some(name) = ["cron", "rate"]
        .into_iter()
        .find(|name| lower.starts_with(name))
    {
        return Err(format!(
            "`{text}` is not of the form `{name}(...)`; the word is in small letters and the \
             brackets are closed at the end"
        ));
    }
    match text.split_whitespace().count() {
        5 => crontab::line(text),
        6 => Err(six_fields(text)),
        fields => Err(format!(
            "`{text}` has {fields} fields; a crontab line has five: minute hour day-of-month month \
             day-of-week"
        )),
    }
}

/// Six bare fields may be EventBridge's with the year behind, or a crontab with seconds in front.
fn six_fields(text: &str) -> String {
    match eventbridge::cron(text) {
        Ok(expression) => format!(
            "`{text}` has six fields; for EventBridge's own format write `{expression}`, and a \
             crontab line has five"
        ),
        Err(_) => format!(
            "`{text}` has six fields; a crontab line has five, without seconds, and EventBridge \
             knows no seconds either"
        ),
    }
}
