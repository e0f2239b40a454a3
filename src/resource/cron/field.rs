//! What the fields of both kinds of cron have in common: numbers, names, lists and ranges.

/// A field's name, bounds and words.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) low: u32,
    pub(super) high: u32,
    /// Words for values, the first for `words_from`.
    pub(super) words: &'static [&'static str],
    pub(super) words_from: u32,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

/// Days of the week, Sunday first, as both kinds of cron call them.
pub(super) const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) const MINUTE: Field = Field {
    name: "minute",
    low: 0,
    high: 59,
    words: &[],
    words_from: 0,
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    low: 0,
    high: 23,
    words: &[],
    words_from: 0,
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day-of-month",
    low: 1,
    high: 31,
    words: &[],
    words_from: 0,
};
pub(super) const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    words: &MONTHS,
    words_from: 1,
};
pub(super) const YEAR: Field = Field {
    name: "year",
    low: 1970,
    high: 2199,
    words: &[],
    words_from: 0,
};
/// EventBridge's: Sunday is 1.
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    low: 1,
    high: 7,
    words: &DAYS,
    words_from: 1,
};
/// crontab's: Sunday is 0, and 7 as well.
pub(super) const CRONTAB_DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    low: 0,
    high: 7,
    words: &DAYS,
    words_from: 0,
};

impl Field {
    /// A number or a word of this field.
    pub(super) fn value(&self, text: &str) -> Result<u32, String> {
        let upper = text.to_ascii_uppercase();
        if let Some(place) = self.words.iter().position(|word| *word == upper) {
            return Ok(self.words_from + u32::try_from(place).unwrap_or_default());
        }
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(value) if is_number && (self.low..=self.high).contains(&value) => Ok(value),
            Ok(_) if is_number => Err(format!(
                "the {} `{text}` is outside {}-{}",
                self.name, self.low, self.high
            )),
            _ => Err(format!(
                "`{text}` is not a {}{}",
                self.name,
                self.examples()
            )),
        }
    }

    /// A step: a positive number that is not wider than the field.
    pub(super) fn step(&self, text: &str) -> Result<u32, String> {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(0) if is_number => Err(format!("a step of 0 in the {} field never ends", self.name)),
            Ok(step) if is_number && step <= self.high => Ok(step),
            _ => Err(format!(
                "`{text}` is not a step for the {} field; write a number from 1 to {}",
                self.name, self.high
            )),
        }
    }

    fn examples(&self) -> String {
        match self.words {
            [first, .., last] => {
                format!("; write {}-{} or {first}-{last}", self.low, self.high)
            }
            _ => format!("; write {}-{}", self.low, self.high),
        }
    }
}
