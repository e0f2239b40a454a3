//! When deploy windows are open.
//!
//! A window opens at wall-clock times of its zone and stays open for a length of time that has
//! elapsed. Where clocks go forward, an opening that they skip comes as much later as they skip;
//! where they go back, it comes once, the first time
//! (as <https://www.rfc-editor.org/rfc/rfc5545#section-3.3.5> has it).

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::resource::release::{Window, Windows};
use crate::resource::windows as written;

/// How far ahead an opening is looked for.
const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);

/// How many changes of windows are looked at until one is found: a line that comes every minute
/// comes half a million times a year.
const CHANGES: usize = 5_000;

/// More than clocks are ever turned forward or back.
const TURN: SignedDuration = SignedDuration::from_hours(3);

/// That nothing may begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which window says so, and when it may.
    pub message: String,
    /// When something may begin.
    pub opens: Option<Timestamp>,
}

/// Whether all of these keep something from beginning at a moment.
pub fn closed(windows: &[Windows], now: Timestamp) -> Option<Closed> {
    let rules: Vec<Rule<'_>> = windows.iter().map(Rule::of).collect();
    let blocked = blocked(&rules, now)?;
    let opens = opens(&rules, now);
    let when = match opens {
        Some(at) => format!("opens next at {}", blocked.by.told(at)),
        None => "does not open within a year".to_owned(),
    };
    let window = blocked.by.name();
    let message = match blocked.denied {
        true => format!("the deny window {window} is on; the way {when}"),
        false => format!("the window {window} is closed; it {when}"),
    };
    Some(Closed { message, opens })
}

/// When something may begin that may not now.
fn opens(rules: &[Rule<'_>], now: Timestamp) -> Option<Timestamp> {
    let end = now.checked_add(YEAR).ok()?;
    let mut at = now;
    for _ in 0..CHANGES {
        let Some(blocked) = blocked(rules, at) else {
            return Some(at);
        };
        at = blocked.until.filter(|until| *until <= end)?;
    }
    None
}

/// What keeps something from beginning, and until when at the least; for ever without an end.
struct Blocked<'r> {
    by: &'r Recurring<'r>,
    denied: bool,
    until: Option<Timestamp>,
}

/// The first that blocks is told; nothing is open before the last of them lets go.
fn blocked<'r>(rules: &'r [Rule<'r>], at: Timestamp) -> Option<Blocked<'r>> {
    let mut found: Option<Blocked<'r>> = None;
    for next in rules
        .iter()
        .flat_map(|rule| [rule.denied(at), rule.outside(at)])
    {
        let Some(next) = next else { continue };
        found = Some(match found {
            None => next,
            Some(first) => Blocked {
                until: first
                    .until
                    .zip(next.until)
                    .map(|(one, other)| one.max(other)),
                ..first
            },
        });
    }
    found
}

/// The windows of one object.
struct Rule<'w> {
    allow: Vec<Recurring<'w>>,
    deny: Vec<Recurring<'w>>,
}

impl<'w> Rule<'w> {
    fn of(windows: &'w Windows) -> Self {
        let read = |list: &'w [Window]| list.iter().filter_map(Recurring::of).collect();
        Self {
            allow: read(&windows.allow),
            deny: read(&windows.deny),
        }
    }

    fn denied(&self, at: Timestamp) -> Option<Blocked<'_>> {
        self.deny.iter().find_map(|window| {
            let until = window.open_until(at)?;
            Some(Blocked {
                by: window,
                denied: true,
                until: Some(until),
            })
        })
    }

    fn outside(&self, at: Timestamp) -> Option<Blocked<'_>> {
        let first = self.allow.first()?;
        if self
            .allow
            .iter()
            .any(|window| window.open_until(at).is_some())
        {
            return None;
        }
        let openings = self
            .allow
            .iter()
            .filter_map(|window| Some((window.next(at)?, window)));
        let next = openings.min_by_key(|(opens, _)| *opens);
        Some(Blocked {
            by: next.map_or(first, |(_, window)| window),
            denied: false,
            until: next.map(|(opens, _)| opens),
        })
    }
}

/// One window, read.
struct Recurring<'w> {
    window: &'w Window,
    cron: Cron,
    zone: TimeZone,
}

impl<'w> Recurring<'w> {
    /// One that cannot be read was refused by validation.
    fn of(window: &'w Window) -> Option<Self> {
        Some(Self {
            cron: written::openings(&window.cron).ok()?,
            zone: written::zone(window.time_zone.as_deref()).ok()?,
            window,
        })
    }

    /// `0 9 * * MON-FRI` (8h, Europe/Berlin).
    fn name(&self) -> String {
        let Window { cron, duration, .. } = self.window;
        format!("`{cron}` ({duration}, {})", self.zone_name())
    }

    fn zone_name(&self) -> &str {
        self.window.time_zone.as_deref().unwrap_or("UTC")
    }

    /// A moment in the window's zone, and in UTC.
    fn told(&self, at: Timestamp) -> String {
        if self.window.time_zone.is_none() {
            return at.to_string();
        }
        let local = at.to_zoned(self.zone.clone());
        let local = local.strftime("%Y-%m-%d %H:%M");
        format!("{local} {} ({at})", self.zone_name())
    }

    /// When it closes that is open at a moment.
    fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        let length = self.window.duration.length();
        let closes = self.latest(at)?.checked_add(length).ok()?;
        (at < closes).then_some(closes)
    }

    /// The latest opening up to a moment.
    fn latest(&self, at: Timestamp) -> Option<Timestamp> {
        let (local, near) = self.local(at)?;
        let (mut civil, earliest) = (local.checked_add(near).ok()?, local.checked_sub(near).ok()?);
        let (mut inclusive, mut best) = (true, None);
        loop {
            let Ok(found) = self.cron.find_previous_occurrence(&civil, inclusive) else {
                return best;
            };
            let moment = self.zone.to_timestamp(found).ok();
            best = best.max(moment.filter(|moment| *moment <= at));
            if best.is_some() && found <= earliest {
                return best;
            }
            (civil, inclusive) = (found, false);
        }
    }

    /// The first opening after a moment.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let (local, near) = self.local(after)?;
        let (mut civil, latest) = (local.checked_sub(near).ok()?, local.checked_add(near).ok()?);
        let mut best: Option<Timestamp> = None;
        loop {
            let Ok(found) = self.cron.find_next_occurrence(&civil, false) else {
                return best;
            };
            let moment = self.zone.to_timestamp(found).ok();
            if let Some(moment) = moment.filter(|moment| *moment > after) {
                best = Some(best.map_or(moment, |best| best.min(moment)));
            }
            if best.is_some() && found >= latest {
                return best;
            }
            civil = found;
        }
    }

    /// The wall clock at a moment, and how far from it openings may come in another order than they
    /// are written: not at all, but where clocks are turned.
    fn local(&self, at: Timestamp) -> Option<(jiff::civil::DateTime, SignedDuration)> {
        let offset = |at: Timestamp| self.zone.to_offset(at);
        let (before, after) = (at.checked_sub(TURN).ok()?, at.checked_add(TURN).ok()?);
        let near = match offset(before) == offset(after) {
            true => SignedDuration::ZERO,
            false => TURN,
        };
        let local = self.zone.to_datetime(at);
        Some((local.with().subsec_nanosecond(0).build().ok()?, near))
    }
}

#[cfg(test)]
mod tests;
