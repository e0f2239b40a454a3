//! Whether EventBridge takes a schedule expression.

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// `rate(5 minutes)` or `cron(0 18 ? * MON-FRI *)`.
pub(in crate::sandbox) fn is_valid(expression: &str) -> bool {
    let inside = |kind: &str| {
        expression
            .strip_prefix(kind)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(rate) = inside("rate") {
        return is_rate(rate);
    }
    inside("cron").is_some_and(is_cron)
}

/// One is singular, more are plural.
fn is_rate(rate: &str) -> bool {
    let mut words = rate.split(' ');
    let (Some(value), Some(unit), None) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let digits = value.chars().all(|c| c.is_ascii_digit());
    match value.parse::<u32>() {
        Ok(1) if digits => matches!(unit, "minute" | "hour" | "day"),
        Ok(2..) if digits => matches!(unit, "minutes" | "hours" | "days"),
        _ => false,
    }
}

/// A field of a cron expression: its numbers, and the names that stand for them.
struct Field {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

impl Field {
    const fn new(low: u32, high: u32, names: &'static [&'static str]) -> Self {
        Self { low, high, names }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let upper = text.to_ascii_uppercase();
        if let Some(index) = self.names.iter().position(|name| **name == upper) {
            return u32::try_from(index).ok().map(|index| index + self.low);
        }
        number(text).filter(|value| (self.low..=self.high).contains(value))
    }

    /// A list of `*`, values, ranges, each with or without a step.
    fn takes(&self, text: &str) -> bool {
        text.split(',').all(|item| self.takes_item(item))
    }

    fn takes_item(&self, item: &str) -> bool {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if step
            .is_some_and(|step| !number(step).is_some_and(|step| (1..=self.high).contains(&step)))
        {
            return false;
        }
        match range.split_once('-') {
            Some((from, to)) => self.value(from).is_some() && self.value(to).is_some(),
            None => range == "*" || self.value(range).is_some(),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

const MINUTES: Field = Field::new(0, 59, &[]);
const HOURS: Field = Field::new(0, 23, &[]);
const DAY_OF_MONTH: Field = Field::new(1, 31, &[]);
const MONTH: Field = Field::new(1, 12, &MONTHS);
const DAY_OF_WEEK: Field = Field::new(1, 7, &DAYS);
const YEAR: Field = Field::new(1970, 2199, &[]);

/// Six fields, of which exactly one of the two day fields is `?`.
fn is_cron(cron: &str) -> bool {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let [minutes, hours, day, month, weekday, year] = fields[..] else {
        return false;
    };
    MINUTES.takes(minutes)
        && HOURS.takes(hours)
        && (day == "?") != (weekday == "?")
        && (day == "?" || is_day_of_month(day))
        && MONTH.takes(month)
        && (weekday == "?" || is_day_of_week(weekday))
        && YEAR.takes(year)
}

/// Also `L` (the last day), `LW` (the last weekday) and `15W` (the weekday nearest).
fn is_day_of_month(text: &str) -> bool {
    let nearest = text.strip_suffix('W');
    text == "L"
        || text == "LW"
        || nearest.is_some_and(|day| DAY_OF_MONTH.value(day).is_some())
        || DAY_OF_MONTH.takes(text)
}

/// Also `L` (Saturday), `5L` (the month's last Thursday) and `3#2` (its second Tuesday).
fn is_day_of_week(text: &str) -> bool {
    if let Some((day, week)) = text.split_once('#') {
        return DAY_OF_WEEK.value(day).is_some()
            && number(week).is_some_and(|week| (1..=5).contains(&week));
    }
    let last = text.strip_suffix('L');
    text == "L"
        || last.is_some_and(|day| DAY_OF_WEEK.value(day).is_some())
        || DAY_OF_WEEK.takes(text)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn takes_what_eventbridge_takes() {
        for good in [
            "rate(1 minute)",
            "rate(2 minutes)",
            "rate(1 day)",
            "rate(12 hours)",
            "cron(0 10 * * ? *)",
            "cron(15 12 * * ? *)",
            "cron(0 18 ? * MON-FRI *)",
            "cron(0/15 * * * ? *)",
            "cron(0,30 8-17/2 ? JAN-mar 2-6 2026-2030)",
            "cron(0 8 1 * ? *)",
            "cron(0 8 L * ? *)",
            "cron(0 8 LW * ? *)",
            "cron(0 8 15W * ? *)",
            "cron(0 9 ? * 2#1 *)",
            "cron(0 9 ? * 6L *)",
            "cron(0 9 ? * FRI-MON *)",
        ] {
            assert!(is_valid(good), "{good}");
        }
    }

    #[test]
    fn refuses_what_eventbridge_refuses() {
        for bad in [
            "",
            "rate(1 minutes)",
            "rate(2 minute)",
            "rate(0 minutes)",
            "rate(+5 minutes)",
            "rate(5  minutes)",
            "rate(5 seconds)",
            "rate(1.5 hours)",
            "rate(5 minutes",
            "* * * * *",
            "cron(* * * * *)",
            "cron(0 10 * * * *)",
            "cron(0 10 ? * ? *)",
            "cron(0 10 1 * MON *)",
            "cron(60 10 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 8 32 * ? *)",
            "cron(0 8 0 * ? *)",
            "cron(0 8 ? * 0 *)",
            "cron(0 8 ? * 8 *)",
            "cron(0 8 ? * MON#6 *)",
            "cron(0 8 ? FOO MON *)",
            "cron(*/0 * * * ? *)",
            "cron(0 8 * * ? 1969)",
            "cron(0 8, * * ? *)",
            "at(2026-01-01T00:00:00)",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
