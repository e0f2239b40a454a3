//! When a schedule fires by EventBridge's expressions.
//!
//! Where clocks go forward, a time that they skip is left out; where they go back, a time that
//! comes twice fires the first time
//! (<https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>).

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::{cron, windows};

/// More than clocks are ever turned forward or back.
const TURN: SignedDuration = SignedDuration::from_hours(3);

/// The moments of an expression.
#[derive(Clone, Debug)]
pub enum Firings {
    /// `cron(...)` in a zone.
    Cron(Box<Cron>, TimeZone),
    /// `rate(...)`: so far apart, counted from when it was switched on.
    Rate(SignedDuration),
    /// `at(...)`; none, where clocks skip that time.
    Once(Option<Timestamp>),
}

impl Firings {
    /// Those of an expression; UTC without a zone. None where it is no expression of EventBridge's.
    pub fn of(expression: &str, zone: Option<&str>) -> Option<Self> {
        let zone = windows::zone(zone).ok()?;
        let inside = |kind: &str| {
            let rest = expression.trim().strip_prefix(kind)?;
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        if let Some(moment) = cron::once(expression) {
            return Some(Self::Once(instant(&zone, moment)));
        }
        if let Some(rate) = inside("rate") {
            return Some(Self::Rate(length(rate)?));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .alternative_weekdays(true)
            .sloppy_ranges(true)
            .build();
        let mut fields: Vec<&str> = inside("cron")?.split_whitespace().collect();
        // The last day of a week is Saturday.
        if let Some(weekday) = fields.get_mut(4).filter(|weekday| **weekday == "L") {
            *weekday = "7";
        }
        let cron = parser.parse(&format!("0 {}", fields.join(" "))).ok()?;
        Some(Self::Cron(Box::new(cron), zone))
    }

    /// The first one after a moment, of those that stand in the calendar.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(_) => None,
            Self::Once(at) => at.filter(|at| *at > after),
            Self::Cron(cron, zone) => {
                let mut civil = local(zone, after.checked_sub(near(zone, after)).ok()?)?;
                loop {
                    civil = cron.find_next_occurrence(&civil, false).ok()?;
                    if let Some(found) = instant(zone, civil).filter(|found| *found > after) {
                        return Some(found);
                    }
                }
            }
        }
    }

    /// The last one up to a moment, of those that stand in the calendar.
    pub fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(_) => None,
            Self::Once(at) => at.filter(|at| *at <= until),
            Self::Cron(cron, zone) => {
                let mut civil = local(zone, until.checked_add(near(zone, until)).ok()?)?;
                let mut inclusive = true;
                loop {
                    civil = cron.find_previous_occurrence(&civil, inclusive).ok()?;
                    inclusive = false;
                    if let Some(found) = instant(zone, civil).filter(|found| *found <= until) {
                        return Some(found);
                    }
                }
            }
        }
    }
}

/// How far from a moment its times may come in another order than they are written: not at all,
/// but where clocks are turned.
fn near(zone: &TimeZone, at: Timestamp) -> SignedDuration {
    let offset = |at: Result<Timestamp, _>| at.map(|at: Timestamp| zone.to_offset(at)).ok();
    match offset(at.checked_sub(TURN)) == offset(at.checked_add(TURN)) {
        true => SignedDuration::ZERO,
        false => TURN,
    }
}

fn local(zone: &TimeZone, at: Timestamp) -> Option<DateTime> {
    let civil = zone.to_datetime(at);
    civil.with().subsec_nanosecond(0).build().ok()
}

/// When the clocks show this, the first time; never, where they skip it.
fn instant(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    let offset = match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { .. } => return None,
        AmbiguousOffset::Fold { before, .. } => before,
    };
    offset.to_timestamp(civil).ok()
}

/// How far apart the runs of `rate(...)` are.
fn length(rate: &str) -> Option<SignedDuration> {
    let (count, unit) = rate.split_once(' ')?;
    let count: i64 = count.parse().ok()?;
    let minutes = match unit.trim_end_matches('s') {
        "minute" => 1,
        "hour" => 60,
        "day" => 24 * 60,
        _ => return None,
    };
    let length = SignedDuration::try_from_mins(count.checked_mul(minutes)?)?;
    (length > SignedDuration::ZERO).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firings(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let firings = Firings::of(expression, Some(zone)).expect(expression);
        let mut at: Timestamp = from.parse().expect("a time");
        let mut found = Vec::new();
        for _ in 0..count {
            let next = firings.next(at).expect("it comes again");
            assert_eq!(firings.latest(next), Some(next), "{expression}");
            let before = next
                .checked_sub(SignedDuration::from_secs(1))
                .expect("earlier");
            assert!(
                firings.latest(before).is_none_or(|it| it <= at),
                "{expression}"
            );
            found.push(next.to_string());
            at = next;
        }
        found
    }

    #[test]
    fn a_time_that_clocks_skip_is_left_out() {
        let found = firings(
            "cron(30 2 * * ? *)",
            "Europe/Berlin",
            "2026-03-28T00:00:00Z",
            3,
        );
        let wanted = [
            "2026-03-28T01:30:00Z",
            "2026-03-30T00:30:00Z",
            "2026-03-31T00:30:00Z",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_time_that_comes_twice_fires_the_first_time() {
        let found = firings(
            "cron(30 2 * * ? *)",
            "Europe/Berlin",
            "2026-10-24T00:00:00Z",
            3,
        );
        let wanted = [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn days_of_the_week_count_from_sunday_as_1_and_words_of_eventbridge_are_known() {
        let first =
            |expression: &str| firings(expression, "UTC", "2026-03-02T09:00:00Z", 1).remove(0);
        // A Monday.
        assert_eq!(first("cron(0 18 ? * 2 *)"), "2026-03-02T18:00:00Z");
        assert_eq!(first("cron(0 18 ? * SUN *)"), "2026-03-08T18:00:00Z");
        assert_eq!(first("cron(0 18 ? * 1 *)"), "2026-03-08T18:00:00Z");
        assert_eq!(first("cron(0 18 L * ? *)"), "2026-03-31T18:00:00Z");
        assert_eq!(first("cron(0 18 ? * 6L *)"), "2026-03-27T18:00:00Z");
        assert_eq!(first("cron(0 18 ? * 3#2 *)"), "2026-03-10T18:00:00Z");
        assert_eq!(first("cron(0 18 24 12 ? 2030)"), "2030-12-24T18:00:00Z");
        assert_eq!(first("cron(0/20 10 * * ? *)"), "2026-03-02T10:00:00Z");
    }

    #[test]
    fn one_time_is_one_time() {
        let once = Firings::of("at(2026-03-29T02:30:00)", Some("Asia/Tokyo")).expect("a time");
        let before = "2026-03-01T00:00:00Z".parse().expect("a time");
        let at = once.next(before).expect("it comes");
        assert_eq!(at.to_string(), "2026-03-28T17:30:00Z");
        assert_eq!(once.next(at), None);
        let skipped = Firings::of("at(2026-03-29T02:30:00)", Some("Europe/Berlin"));
        assert_eq!(skipped.expect("a time").next(before), None);
    }
}
