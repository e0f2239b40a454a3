//! EventBridge's own expressions, checked as its documentation tells them.

use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH, YEAR};

/// Checks what stands in `cron(...)`; gives the whole expression with single spaces.
pub(super) fn cron(inner: &str) -> Result<String, String> {
    let upper = inner.to_ascii_uppercase();
    let fields: Vec<&str> = upper.split_whitespace().collect();
    let [minutes, hours, day_of_month, months, day_of_week, years] = fields.as_slice() else {
        return Err(wrong_count(inner, fields.len()));
    };
    plain_field(&MINUTE, minutes)?;
    plain_field(&HOUR, hours)?;
    plain_field(&MONTH, months)?;
    plain_field(&YEAR, years)?;
    match (*day_of_month, *day_of_week) {
        ("?", "?") => Err("both day fields are `?`; write `*` or days in one of them".to_owned()),
        ("?", _) => day_of_week_field(day_of_week),
        (_, "?") => day_of_month_field(day_of_month),
        _ => Err(both_days(&fields)),
    }?;
    Ok(format!("cron({})", fields.join(" ")))
}

/// Checks what stands in `rate(...)`.
pub(super) fn rate(inner: &str) -> Result<String, String> {
    let parts: Vec<&str> = inner.split_whitespace().collect();
    let example = "write for example `rate(1 minute)` or `rate(12 hours)`";
    let [number, unit] = parts.as_slice() else {
        return Err(format!(
            "`rate({inner})` must hold a number and a unit; {example}"
        ));
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let count = match number.parse::<u32>() {
        Ok(count) if is_number && count > 0 => count,
        _ => {
            return Err(format!(
                "`{number}` is not a positive whole number; {example}"
            ));
        }
    };
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    if !matches!(singular, "minute" | "hour" | "day") {
        let hint = if matches!(singular, "second" | "week" | "month" | "year") {
            "EventBridge knows minutes, hours and days only; use cron(...) for anything else"
        } else {
            example
        };
        return Err(format!("`{unit}` is not a unit of rate(...); {hint}"));
    }
    let right = if count == 1 {
        singular.to_owned()
    } else {
        format!("{singular}s")
    };
    if *unit != right {
        return Err(format!(
            "EventBridge refuses `rate({number} {unit})`; write `rate({count} {right})`"
        ));
    }
    Ok(format!("rate({count} {unit})"))
}

fn wrong_count(inner: &str, count: usize) -> String {
    if count == 5
        && let Ok(translated) = super::crontab::line(inner)
    {
        return format!(
            "`cron({inner})` has five fields, and EventBridge wants six, with the year; if it \
             is a crontab line, write `{translated}`"
        );
    }
    format!(
        "`cron({inner})` has {count} fields, and EventBridge wants six: minutes hours day-of-month \
         month day-of-week year, for example `cron(0 18 * * ? *)`"
    )
}

fn both_days(fields: &[&str]) -> String {
    let with = |day_of_month: &str, day_of_week: &str| {
        format!(
            "cron({} {} {day_of_month} {} {day_of_week} {})",
            fields[0], fields[1], fields[3], fields[5]
        )
    };
    let reason = "one of the day fields must be `?`";
    match (fields[2], fields[4]) {
        ("*", "*") => format!("{reason}; write `{}`", with("*", "?")),
        ("*", days) => format!("{reason}; write `{}`", with("?", days)),
        (days, "*") => format!("{reason}; write `{}`", with(days, "?")),
        (month_days, week_days) => format!(
            "{reason}: one rule cannot hold both; write two schedules, `{}` and `{}`",
            with(month_days, "?"),
            with("?", week_days)
        ),
    }
}

fn plain_field(field: &Field, text: &str) -> Result<(), String> {
    if text == "?" {
        return Err(format!(
            "`?` is for the day fields only; write `*` in the {} field",
            field.name
        ));
    }
    text.split(',')
        .try_for_each(|part| part_of_list(field, part))
}

/// `*`, `7`, `1-5`, `*/15`, `5/15`, `10-40/5`.
fn part_of_list(field: &Field, part: &str) -> Result<(), String> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if let Some(step) = step {
        field.step(step)?;
    }
    if range == "*" {
        return Ok(());
    }
    let Some((from, to)) = range.split_once('-') else {
        return field.value(range).map(|_| ());
    };
    let (first, last) = (field.value(from)?, field.value(to)?);
    if first > last {
        return Err(format!(
            "the range `{range}` in the {} field runs backwards; write `{from}-{},{}-{to}`",
            field.name, field.high, field.low
        ));
    }
    Ok(())
}

/// As a plain field, and `L` (the last day) and `15W` (the weekday nearest to the 15th).
fn day_of_month_field(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(|part| {
        if part == "L" {
            return Ok(());
        }
        match part.strip_suffix('W') {
            Some(day) => DAY_OF_MONTH.value(day).map(|_| ()),
            None => part_of_list(&DAY_OF_MONTH, part),
        }
    })
}

/// As a plain field without steps, and `L` (Saturday), `6L` (the last Friday of the month) and
/// `2#1` (the first Monday of the month), the last only by itself.
fn day_of_week_field(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return nth_day(text);
    }
    text.split(',').try_for_each(|part| {
        if part.contains('/') {
            return Err(format!(
                "the day-of-week field knows no steps, and has `{part}`; list the days: MON,WED,FRI"
            ));
        }
        match part.strip_suffix('L') {
            Some("") => Ok(()),
            Some(day) => DAY_OF_WEEK.value(day).map(|_| ()),
            None => part_of_list(&DAY_OF_WEEK, part),
        }
    })
}

fn nth_day(text: &str) -> Result<(), String> {
    if text.contains(',') {
        return Err(format!(
            "`{text}`: beside `#` nothing else may stand in the day-of-week field; write one \
             schedule for each"
        ));
    }
    let (day, nth) = text.split_once('#').unwrap_or((text, ""));
    DAY_OF_WEEK.value(day)?;
    match nth {
        "1" | "2" | "3" | "4" | "5" => Ok(()),
        _ => Err(format!(
            "`{text}`: behind `#` stands which one of the month it is, 1 to 5"
        )),
    }
}
