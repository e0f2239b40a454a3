//! When a schedule of EventBridge Scheduler comes, as far as its dates say it, and how they are
//! sent.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::model::desired::Schedule;
use crate::model::observed::Scheduled;
use crate::resource::firings::Firings;

/// AWS takes no beginning that lies further back than five minutes.
const PAST: SignedDuration = SignedDuration::from_mins(4);

/// AWS takes no end that has passed: what is to have ended ends so soon.
const ENDS: SignedDuration = SignedDuration::from_mins(2);

/// What says when a schedule comes.
pub(super) struct Course<'a> {
    expression: &'a str,
    zone: Option<&'a str>,
    start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

impl<'a> Course<'a> {
    /// That of a schedule as it is there.
    pub(super) fn of(found: &'a Scheduled) -> Self {
        let text = |member: &str| found.schedule.get(member).and_then(Value::as_str);
        let date = |member: &str| found.schedule.get(member).and_then(moment);
        Self {
            expression: text("ScheduleExpression").unwrap_or_default(),
            zone: text("ScheduleExpressionTimezone"),
            start: date("StartDate"),
            end: date("EndDate"),
        }
    }

    /// As it is declared; dates that are not declared stay as they are.
    pub(super) fn declared(schedule: &'a Schedule, found: Option<&'a Scheduled>) -> Self {
        let settings = schedule.scheduler.as_ref();
        let (start, end) = found.map_or((None, None), |found| {
            let there = Self::of(found);
            (there.start, there.end)
        });
        Self {
            expression: &schedule.expression,
            zone: settings.map(|it| it.time_zone.as_str()),
            start: settings.and_then(|it| it.start).or(start),
            end: settings.and_then(|it| it.end).or(end),
        }
    }

    /// Since when none of its times is to come any more, if that is so.
    pub(super) fn over_since(&self, now: Timestamp) -> Option<Timestamp> {
        let ended = self.end.filter(|end| *end <= now);
        match Firings::of(self.expression, self.zone) {
            Some(once @ Firings::Once(_)) if once.next(now).is_none() => {
                Some(once.latest(now).unwrap_or(Timestamp::MIN))
            }
            Some(Firings::Rate(length)) => ended.or_else(|| {
                let next = next_of(self.start?, length, now)?;
                let last = next.checked_sub(length).ok()?;
                self.end.filter(|end| *end <= next).map(|_| last.min(now))
            }),
            _ => ended,
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.over_since(now).is_some()
    }
}

/// The next run of a rate that is counted from this moment.
fn next_of(start: Timestamp, length: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    if start > now {
        return Some(start);
    }
    let length = length.as_secs();
    let runs = now.duration_since(start).as_secs().checked_div(length)?;
    let until = runs.checked_add(1)?.checked_mul(length)?;
    start.checked_add(SignedDuration::from_secs(until)).ok()
}

/// How far apart the runs of a rate are.
fn rate_of(expression: &str) -> Option<SignedDuration> {
    match Firings::of(expression, None)? {
        Firings::Rate(length) => Some(length),
        Firings::Cron(..) | Firings::Once(_) => None,
    }
}

/// Whether a beginning is said still, of which AWS takes none that lies far back. A rate whose
/// beginning has come goes on from its next run.
pub(super) fn to_say(expression: &str, start: Timestamp, now: Timestamp) -> bool {
    match rate_of(expression) {
        Some(_) => start > now,
        None => now.duration_since(start) <= PAST,
    }
}

/// Puts the dates so that AWS takes them: a beginning that has come is left out, but for a rate,
/// whose runs are counted from it; an end that has passed comes soon.
pub(super) fn renew(input: &mut Map<String, Value>, start: Option<Timestamp>, now: Timestamp) {
    let expression = input.get("ScheduleExpression").and_then(Value::as_str);
    let rate = expression.and_then(rate_of);
    let start = start.or_else(|| moment(input.get("StartDate")?));
    let begins = match rate {
        Some(length) => start.and_then(|start| next_of(start, length, now)),
        None => start.filter(|start| now.duration_since(*start) <= PAST),
    };
    // One that is switched off within its last window: none comes any more.
    let end = input.get("EndDate").and_then(moment);
    let begins = begins.filter(|at| end.is_none_or(|end| *at < end));
    match begins {
        Some(at) => input.insert("StartDate".to_owned(), json!(at.as_second())),
        None => input.shift_remove("StartDate"),
    };
    if end.is_some_and(|end| end <= now) {
        end_soon(input, now);
    }
}

/// Has it end, so that this shows for ever.
pub(super) fn end_soon(input: &mut Map<String, Value>, now: Timestamp) {
    let soon = now.as_second().saturating_add(ENDS.as_secs());
    input.insert("EndDate".to_owned(), json!(soon));
}

/// A time as Scheduler writes it: seconds since 1970, or a text.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds of this millennium"
    )]
    let seconds = value.as_f64()? as i64;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_runs_of_a_rate_are_counted_from_its_beginning() {
        let (start, hour) = (at("2026-03-02T09:30:00Z"), SignedDuration::from_hours(1));
        for (now, wanted) in [
            ("2026-03-02T08:00:00Z", "2026-03-02T09:30:00Z"),
            ("2026-03-02T09:30:00Z", "2026-03-02T10:30:00Z"),
            ("2026-03-02T10:29:59.5Z", "2026-03-02T10:30:00Z"),
            ("2026-03-04T12:00:00Z", "2026-03-04T12:30:00Z"),
        ] {
            assert_eq!(next_of(start, hour, at(now)), Some(at(wanted)), "{now}");
        }
    }

    #[test]
    fn a_rate_is_over_where_its_next_run_comes_too_late() {
        let course = |end: &str| Course {
            expression: "rate(1 hour)",
            zone: None,
            start: Some(at("2026-03-02T09:30:00Z")),
            end: Some(at(end)),
        };
        let now = at("2026-03-02T11:00:00Z");
        assert!(course("2026-03-02T11:15:00Z").is_over(now));
        assert!(!course("2026-03-02T11:45:00Z").is_over(now));
        let since = course("2026-03-02T11:15:00Z").over_since(now);
        assert_eq!(since, Some(at("2026-03-02T10:30:00Z")));
    }

    #[test]
    fn dates_are_sent_as_aws_takes_them() {
        let now = at("2026-03-02T11:00:00Z");
        let sent = |expression: &str, start: &str, end: Option<&str>| {
            let mut input = Map::new();
            input.insert("ScheduleExpression".to_owned(), json!(expression));
            input.insert("StartDate".to_owned(), json!(at(start).as_second()));
            if let Some(end) = end {
                input.insert("EndDate".to_owned(), json!(at(end).as_second()));
            }
            renew(&mut input, None, now);
            let date = |member: &str| Some(moment(input.get(member)?)?.to_string());
            (date("StartDate"), date("EndDate"))
        };
        let text = |text: &str| Some(text.to_owned());
        let (cron, rate) = ("cron(0 * * * ? *)", "rate(1 hour)");
        let soon = "2026-03-02T11:01:00Z";
        assert_eq!(sent(cron, soon, None), (text(soon), None));
        let just = "2026-03-02T10:57:00Z";
        assert_eq!(sent(cron, just, None), (text(just), None));
        assert_eq!(sent(cron, "2026-03-02T10:55:00Z", None), (None, None));
        let next = "2026-03-02T11:55:00Z";
        assert_eq!(sent(rate, "2026-03-02T08:55:00Z", None), (text(next), None));
        let ended = sent(cron, "2026-03-01T00:00:00Z", Some("2026-03-02T10:00:00Z"));
        assert_eq!(ended, (None, text("2026-03-02T11:02:00Z")));
    }
}
