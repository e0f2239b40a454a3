//! Crontab lines, translated into EventBridge's cron.

use std::collections::BTreeSet;

use super::field::{CRONTAB_DAY_OF_WEEK, DAY_OF_MONTH, DAYS, Field, HOUR, MINUTE, MONTH};

/// Translates a five-field line.
pub(super) fn line(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
        return Err(format!("`{text}` does not have five fields"));
    };
    let minutes = field(&MINUTE, minute)?;
    let hours = field(&HOUR, hour)?;
    let months = field(&MONTH, month)?;
    let month_days = field(&DAY_OF_MONTH, day_of_month)?;
    let week_days = week_days(day_of_week)?;
    let times = format!("{} {}", written(&MINUTE, &minutes), written(&HOUR, &hours));
    let months = written(&MONTH, &months);
    let by_month = format!("{} {months} ?", written(&DAY_OF_MONTH, &month_days));
    let by_week = format!("? {months} {}", written_days(&week_days));
    match (is_any(day_of_month), is_any(day_of_week)) {
        (_, true) => Ok(format!("cron({times} {by_month} *)")),
        (true, false) => Ok(format!("cron({times} {by_week} *)")),
        (false, false) => {
            let starred = day_of_month.starts_with('*') || day_of_week.starts_with('*');
            Err(both_days(text, starred, [&times, &by_month, &by_week]))
        }
    }
}

/// Says what is wrong with a line of five fields.
pub(super) fn check(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
        return Err(format!(
            "`{text}` is not a crontab line; it has five fields: minute hour day-of-month month \
             day-of-week"
        ));
    };
    field(&MINUTE, minute)?;
    field(&HOUR, hour)?;
    field(&DAY_OF_MONTH, day_of_month)?;
    field(&MONTH, month)?;
    week_days(day_of_week).map(|_| ())
}

/// Translates `@daily` and its like.
pub(super) fn macro_line(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let expression = match lower.as_str() {
        "@hourly" => "cron(0 * * * ? *)",
        "@daily" | "@midnight" => "cron(0 0 * * ? *)",
        "@weekly" => "cron(0 0 ? * SUN *)",
        "@monthly" => "cron(0 0 1 * ? *)",
        "@yearly" | "@annually" => "cron(0 0 1 1 ? *)",
        "@reboot" => {
            return Err(
                "`@reboot` means nothing here: no machine starts; a task that shall run at \
                        each release is a migration"
                    .to_owned(),
            );
        }
        _ if lower.starts_with("@every") => {
            return Err(format!(
                "EventBridge does not know `{text}`; write for example `rate(5 minutes)`"
            ));
        }
        _ => {
            return Err(format!(
                "`{text}` is not known; write @hourly, @daily, @weekly, @monthly or @yearly"
            ));
        }
    };
    Ok(expression.to_owned())
}

/// crontab fires when either day field matches, once both are restricted; EventBridge allows only
/// one of them in a rule.
fn both_days(text: &str, starred: bool, [times, by_month, by_week]: [&str; 3]) -> String {
    let reason = format!(
        "`{text}` restricts both the day of the month and the day of the week, which one \
         EventBridge rule cannot say"
    );
    if starred {
        // Behind a `*`, crontab wants both to match instead of either: no two rules say that.
        return format!("{reason}; keep one of the two, and write `*` for the other");
    }
    format!(
        "{reason}; crontab means either of them, so write two schedules: \
         `cron({times} {by_month} *)` and `cron({times} {by_week} *)`"
    )
}

fn is_any(text: &str) -> bool {
    matches!(text, "*" | "?" | "*/1")
}

fn week_days(text: &str) -> Result<BTreeSet<u32>, String> {
    // Sunday is 0 and 7; ranges may end in 7.
    Ok(field(&CRONTAB_DAY_OF_WEEK, text)?
        .into_iter()
        .map(|day| day % 7)
        .collect())
}

/// The values of a field.
fn field(of: &Field, text: &str) -> Result<BTreeSet<u32>, String> {
    let mut values = BTreeSet::new();
    for part in text.split(',') {
        values.extend(part_of_list(of, part)?);
    }
    Ok(values)
}

/// `*`, `7`, `1-5`, `*/15`, `10-40/5`, and `22-2`, which goes around.
fn part_of_list(of: &Field, part: &str) -> Result<Vec<u32>, String> {
    if is_quartz(part) {
        return Err(format!(
            "`{part}` is no part of a crontab line; write the whole in EventBridge's format: \
             cron(minutes hours day-of-month month day-of-week year)"
        ));
    }
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(of.step(step)?)),
        None => (part, None),
    };
    // Sunday has two numbers, and `*` shall have it once.
    let high = if of.high == 7 && of.low == 0 {
        6
    } else {
        of.high
    };
    let (first, last) = match range.split_once('-') {
        _ if matches!(range, "*" | "?") => (of.low, high),
        Some((from, to)) => (of.value(from)?, of.value(to)?),
        None if step.is_some() => {
            return Err(format!(
                "`{part}`: a step needs a range in a crontab line; write `{range}-{high}/{}`",
                step.unwrap_or(1)
            ));
        }
        None => {
            let value = of.value(range)?;
            (value, value)
        }
    };
    let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
    if first <= last {
        return Ok((first..=last).step_by(step).collect());
    }
    // `7-1` begins on Sunday and `FRI-MON` goes over it: seven days, whatever they are called.
    let around = high - of.low + 1;
    let first = if of.low == 0 { first % around } else { first };
    let end = if first <= last { last } else { last + around };
    Ok((first..=end)
        .step_by(step)
        .map(|value| (value - of.low) % around + of.low)
        .collect())
}

/// `L`, `6L`, `15W`, `2#1`: words of EventBridge's cron that crontab does not have.
fn is_quartz(part: &str) -> bool {
    let numbered = part.starts_with(|c: char| c.is_ascii_digit());
    part == "L" || part.contains('#') || (numbered && part.ends_with(['L', 'W']))
}

/// A set of values in as few words as EventBridge's documentation has for them.
fn written(of: &Field, values: &BTreeSet<u32>) -> String {
    let all: Vec<u32> = values.iter().copied().collect();
    let whole = usize::try_from(of.high - of.low + 1).unwrap_or(usize::MAX);
    if all.len() == whole {
        return "*".to_owned();
    }
    if let Some(step) = step_to_the_end(of, &all) {
        return format!("{}/{step}", all[0]);
    }
    runs(&all)
        .iter()
        .map(|run| run_written(run, u32::to_string))
        .collect::<Vec<_>>()
        .join(",")
}

fn written_days(days: &BTreeSet<u32>) -> String {
    let all: Vec<u32> = days.iter().copied().collect();
    if all.len() == DAYS.len() {
        return "*".to_owned();
    }
    let name = |day: &u32| {
        let place = usize::try_from(*day).unwrap_or_default();
        DAYS.get(place).copied().unwrap_or_default().to_owned()
    };
    runs(&all)
        .iter()
        .map(|run| run_written(run, name))
        .collect::<Vec<_>>()
        .join(",")
}

/// The step of values that go on evenly to the end of the field.
fn step_to_the_end(of: &Field, values: &[u32]) -> Option<u32> {
    let [first, second, _, ..] = values else {
        return None;
    };
    let step = second - first;
    let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
    (even && step > 1 && values.last()? + step > of.high).then_some(step)
}

/// Neighbours together.
fn runs(values: &[u32]) -> Vec<Vec<u32>> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last + 1 == *value) => run.push(*value),
            _ => runs.push(vec![*value]),
        }
    }
    runs
}

fn run_written(run: &[u32], name: impl Fn(&u32) -> String) -> String {
    match run {
        [first, _, .., last] => format!("{}-{}", name(first), name(last)),
        _ => run.iter().map(name).collect::<Vec<_>>().join(","),
    }
}
