use croner::Direction;
use croner::parser::{CronParser, Seconds};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime, date};
use proptest::prelude::*;

use super::schedule_expression;

fn translated(text: &str) -> String {
    schedule_expression(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match schedule_expression(text) {
        Ok(expression) => panic!("{text} became {expression}"),
        Err(reason) => reason,
    }
}

#[test]
fn eventbridge_expressions_are_kept() {
    for expression in [
        "cron(0 18 * * ? *)",
        "cron(15 12 ? * MON-FRI 2026-2030)",
        "cron(0/15 * * * ? *)",
        "cron(*/5 8-17 ? * 2-6 *)",
        "cron(0 10 L * ? *)",
        "cron(0 10 15W * ? *)",
        "cron(0 10 ? * 6L *)",
        "cron(0 10 ? * 2#1 *)",
        "cron(0 10 1,15 JAN,JUL ? *)",
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(1 day)",
    ] {
        assert_eq!(translated(expression), expression);
    }
    assert_eq!(
        translated("  cron( 0  18 * * ?   * ) "),
        "cron(0 18 * * ? *)"
    );
    assert_eq!(translated("cron(0 8 ? * mon *)"), "cron(0 8 ? * MON *)");
}

#[test]
fn crontab_lines_are_translated() {
    for (line, expression) in [
        ("*/15 * * * *", "cron(0/15 * * * ? *)"),
        ("0 18 * * *", "cron(0 18 * * ? *)"),
        ("30 4 1,15 * *", "cron(30 4 1,15 * ? *)"),
        ("0 9 * * 1-5", "cron(0 9 ? * MON-FRI *)"),
        ("0 9 * * 0", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 7", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 5-7", "cron(0 9 ? * SUN,FRI,SAT *)"),
        ("0 9 * * fri-mon", "cron(0 9 ? * SUN,MON,FRI,SAT *)"),
        ("0 9 * * 7-1", "cron(0 9 ? * SUN,MON *)"),
        ("0 9 * * */2", "cron(0 9 ? * SUN,TUE,THU,SAT *)"),
        ("0 22-2 * * *", "cron(0 0-2,22,23 * * ? *)"),
        ("0 22-4/3 * * *", "cron(0 1,4,22 * * ? *)"),
        ("10-50/20 6 * jan,DEC *", "cron(10/20 6 * 1,12 ? *)"),
        ("5-59/10 * * * *", "cron(5/10 * * * ? *)"),
        ("0-30/10 * * * *", "cron(0,10,20,30 * * * ? *)"),
        ("0 0 */2 * *", "cron(0 0 1/2 * ? *)"),
        ("0 0 * */3 *", "cron(0 0 * 1/3 ? *)"),
        ("0-59 0-23 1-31 1-12 *", "cron(* * * * ? *)"),
        ("0 0 * * 0-7", "cron(0 0 ? * * *)"),
        ("@daily", "cron(0 0 * * ? *)"),
        ("@hourly", "cron(0 * * * ? *)"),
        ("@weekly", "cron(0 0 ? * SUN *)"),
    ] {
        assert_eq!(translated(line), expression, "{line}");
        assert_eq!(
            translated(expression),
            expression,
            "what is written is accepted again"
        );
    }
}

#[test]
fn both_day_fields_cannot_be_said_in_one_rule() {
    let reason = refused("*/15 4 1 * 1");
    assert!(
        reason.contains("one EventBridge rule cannot say"),
        "{reason}"
    );
    assert!(
        reason.contains("`cron(0/15 4 1 * ? *)` and `cron(0/15 4 ? * MON *)`"),
        "{reason}"
    );
    // Behind a star crontab means both at once, so two rules would fire too often.
    let reason = refused("0 4 */2 * 1");
    assert!(!reason.contains("two schedules"), "{reason}");
    assert!(refused("0 4 1-31 * 1").contains("both"));
}

#[test]
fn what_eventbridge_refuses_is_refused_with_what_to_write() {
    for (text, says) in [
        ("", "write for example"),
        ("cron(0 18 * * *)", "write `cron(0 18 * * ? *)`"),
        ("cron(0 18 * * * *)", "write `cron(0 18 * * ? *)`"),
        ("cron(0 18 * * MON *)", "write `cron(0 18 ? * MON *)`"),
        (
            "cron(0 18 1 * MON *)",
            "`cron(0 18 1 * ? *)` and `cron(0 18 ? * MON *)`",
        ),
        ("cron(0 18 ? * ? *)", "both day fields are `?`"),
        ("cron(60 18 * * ? *)", "outside 0-59"),
        ("cron(0 24 * * ? *)", "outside 0-23"),
        ("cron(0 18 0 * ? *)", "outside 1-31"),
        ("cron(0 18 ? * 0 *)", "outside 1-7"),
        ("cron(0 18 ? * 8 *)", "outside 1-7"),
        ("cron(0 18 * 13 ? *)", "outside 1-12"),
        ("cron(0 18 * * ? 1969)", "outside 1970-2199"),
        ("cron(0 18 * XYZ ? *)", "`XYZ` is not a month"),
        ("cron(? 18 * * ? *)", "`?` is for the day fields only"),
        ("cron(0 22-2 * * ? *)", "write `22-23,0-2`"),
        ("cron(0/0 * * * ? *)", "never ends"),
        ("cron(0/x * * * ? *)", "`X` is not a step"),
        ("cron(0 18 ? * 2/2 *)", "list the days"),
        ("cron(0 18 ? * 3#1,6#3 *)", "nothing else may stand"),
        ("cron(0 18 ? * 3#6 *)", "1 to 5"),
        ("cron(0 18 32W * ? *)", "outside 1-31"),
        ("cron(0 18 * * ? *", "brackets are closed"),
        ("Cron(0 18 * * ? *)", "small letters"),
        ("rate(1 minutes)", "write `rate(1 minute)`"),
        ("rate(2 minute)", "write `rate(2 minutes)`"),
        ("rate(0 minutes)", "not a positive"),
        ("rate(-1 minutes)", "not a positive"),
        ("rate(30 seconds)", "minutes, hours and days only"),
        ("rate(5)", "a number and a unit"),
        ("at(2030-12-24T18:00:00)", "one time only"),
        ("0 18 * * ? *", "write `cron(0 18 * * ? *)`"),
        ("0 0 18 * * 1", "without seconds"),
        ("0 18 * *", "has 4 fields"),
        ("60 18 * * *", "outside 0-59"),
        ("0 18 * * 8", "outside 0-7"),
        ("5/15 * * * *", "write `5-59/15`"),
        ("0 18 L * *", "EventBridge's format"),
        ("0 18 15W * *", "EventBridge's format"),
        ("0 18 * * 2#1", "EventBridge's format"),
        ("@reboot", "migration"),
        ("@every 5m", "rate(5 minutes)"),
        ("@fortnightly", "@hourly"),
        ("every day", "has 2 fields"),
    ] {
        let reason = refused(text);
        assert!(reason.contains(says), "{text}: {reason}");
    }
}

#[test]
fn an_expression_that_eventbridge_would_not_take_for_its_length_is_refused() {
    let many: Vec<String> = (0..60)
        .filter(|n| n % 3 != 1)
        .map(|n| n.to_string())
        .collect();
    let days: Vec<String> = (1..=31)
        .filter(|n| n % 3 != 1)
        .map(|n| n.to_string())
        .collect();
    let years: Vec<String> = (2000..2040).map(|n| n.to_string()).collect();
    let text = format!(
        "cron({} * {} * ? {})",
        many.join(","),
        days.join(","),
        years.join(",")
    );
    assert!(refused(&text).contains("256"));
}

/// A small evaluator of EventBridge's cron, written from its documentation: which minutes of a
/// span of days it fires at.
fn fires(expression: &str, from: Date, days: i32, limit: usize) -> Vec<DateTime> {
    let inner = expression
        .strip_prefix("cron(")
        .and_then(|rest| rest.strip_suffix(')'));
    let fields: Vec<&str> = inner.expect("a cron expression").split(' ').collect();
    assert_eq!(fields.len(), 6, "{expression}");
    assert!((fields[2] == "?") != (fields[4] == "?"), "{expression}");
    let minutes = values(fields[0], 0, 59, &[]);
    let hours = values(fields[1], 0, 23, &[]);
    let months = values(fields[3], 1, 12, &[]);
    let week = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let mut times = Vec::new();
    for offset in 0..days {
        let day = from.checked_add(offset.days()).expect("a date");
        let of_month = i32::from(day.day());
        let of_week = i32::from(day.weekday().to_sunday_one_offset());
        let right = months.contains(&i32::from(day.month()))
            && (fields[2] == "?" || values(fields[2], 1, 31, &[]).contains(&of_month))
            && (fields[4] == "?" || values(fields[4], 1, 7, &week).contains(&of_week));
        for hour in hours.iter().filter(|_| right) {
            for minute in &minutes {
                let (hour, minute) = (i8::try_from(*hour), i8::try_from(*minute));
                times.push(day.at(hour.expect("an hour"), minute.expect("a minute"), 0, 0));
                if times.len() == limit {
                    return times;
                }
            }
        }
    }
    times
}

fn values(field: &str, low: i32, high: i32, words: &[&str]) -> Vec<i32> {
    let number = |text: &str| match words.iter().position(|word| *word == text) {
        Some(place) => low + i32::try_from(place).expect("small"),
        None => text.parse().expect("a number"),
    };
    let mut all: Vec<i32> = field
        .split(',')
        .flat_map(|part| {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse::<usize>().expect("a step")),
                None => (part, 1),
            };
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (number(first), number(last)),
                None if range == "*" => (low, high),
                None if part.contains('/') => (number(range), high),
                None => (number(range), number(range)),
            };
            (first..=last).step_by(step).collect::<Vec<_>>()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What croner says of the crontab line itself, over the same days.
fn oracle(line: &str, from: Date, days: i32, limit: usize) -> Vec<DateTime> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let cron = parser
        .parse(line)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let end = from
        .checked_add(days.days())
        .expect("a date")
        .at(0, 0, 0, 0);
    cron.iter_from(from.at(0, 0, 0, 0), Direction::Forward)
        .take_while(|time| *time < end)
        .take(limit)
        .collect()
}

fn part(low: u32, high: u32) -> impl Strategy<Value = String> {
    let value = low..=high;
    prop_oneof![
        value.clone().prop_map(|value| value.to_string()),
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (value.clone(), value.clone(), 1..=high).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
        (1..=high).prop_map(|step| format!("*/{step}")),
    ]
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("*".to_owned()),
        4 => proptest::collection::vec(part(low, high), 1..4).prop_map(|parts| parts.join(",")),
    ]
}

fn day_fields() -> impl Strategy<Value = (String, String)> {
    let names = prop_oneof![
        Just("MON-FRI".to_owned()),
        Just("sun".to_owned()),
        Just("TUE,thu,SAT".to_owned()),
        Just("5-7".to_owned()),
        Just("7".to_owned()),
    ];
    prop_oneof![
        field(1, 31).prop_map(|days| (days, "*".to_owned())),
        field(0, 6).prop_map(|days| ("*".to_owned(), days)),
        names.prop_map(|days| ("*".to_owned(), days)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The translation fires exactly when the crontab line does.
    #[test]
    fn a_translated_line_fires_when_the_crontab_does(
        minute in field(0, 59),
        hour in field(0, 23),
        (day_of_month, day_of_week) in day_fields(),
        month in field(1, 12),
        start in 0..3000_i32,
    ) {
        let line = format!("{minute} {hour} {day_of_month} {month} {day_of_week}");
        let from = date(2024, 1, 1).checked_add(start.days()).expect("a date");
        let expression = schedule_expression(&line).map_err(TestCaseError::fail)?;
        prop_assert_eq!(
            fires(&expression, from, 400, 300),
            oracle(&line, from, 400, 300),
            "{} became {}", line, expression
        );
    }

    /// Whatever is given, there is an answer, and what is answered is accepted again.
    #[test]
    fn any_text_has_an_answer(text in "[a-z@0-9*/,()LW#? -]{0,40}") {
        if let Ok(expression) = schedule_expression(&text) {
            prop_assert_eq!(schedule_expression(&expression), Ok(expression.clone()));
        }
    }
}
