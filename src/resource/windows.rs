//! What deploy windows are written with: crontab lines and time zones.

use std::sync::LazyLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, date};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::cron;

/// The time zones that come with the program, so that every replica means the same by a name,
/// whatever its machine has.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// From when on a line has to come at all.
const BEGIN: DateTime = date(2024, 1, 1).at(0, 0, 0, 0);

/// Reads when a window opens: five fields of a crontab line.
///
/// # Errors
/// A sentence that says why it is none.
pub fn openings(text: &str) -> Result<Cron, String> {
    cron::crontab_line(text)?;
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(text)
        .map_err(|error| format!("`{text}` is not a crontab line for windows: {error}"))?;
    match cron.find_next_occurrence(&BEGIN, true) {
        Ok(_) => Ok(cron),
        Err(_) => Err(format!("`{text}` never comes: there is no such day")),
    }
}

/// The time zone of an IANA name; UTC without one.
///
/// # Errors
/// A sentence that says that there is none of this name.
pub fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name else {
        return Ok(TimeZone::UTC);
    };
    ZONES
        .get(name)
        .map_err(|_| format!("`{name}` is not a time zone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_never_come_or_are_none_are_refused() {
        for good in [
            "0 9 * * MON-FRI",
            "*/30 8-17 1,15 * *",
            "0 0 29 2 *",
            "5 4 * * 7",
        ] {
            assert!(openings(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("0 9 * *", "five fields"),
            ("@daily", "five fields"),
            ("0 25 * * *", "outside 0-23"),
            ("0 9 30 2 *", "never comes"),
            ("0 9 * * L", "no part of a crontab line"),
        ] {
            let told = openings(bad).expect_err(bad);
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn zones_are_those_of_the_program() {
        assert_eq!(zone(None).unwrap(), TimeZone::UTC);
        assert_eq!(
            zone(Some("Europe/Berlin")).unwrap().iana_name(),
            Some("Europe/Berlin")
        );
        assert!(
            zone(Some("Europe/Bärlin"))
                .unwrap_err()
                .contains("is not a time zone")
        );
    }
}
