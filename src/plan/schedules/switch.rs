//! A schedule that goes from rules to EventBridge Scheduler, or back.
//!
//! The new one is made switched off. Once it is as it shall be, and no time of either is near, the
//! old one is switched off and the new one on, one after the other in one pass; one of Scheduler is
//! updated as it is before that, so that a right which is missing is found out first. Where that is
//! cut off in between, the next pass finds both off and switches the new one on: the moment leaves
//! time for it. Where something newer is being released by then, one of them goes on as it is. What
//! is off is taken away after that, as everything that is not declared any more.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Change, Found, act, is_owned, our_target, rule, scheduled};
use crate::model::desired::Schedule;
use crate::model::known::Known;
use crate::model::ledger::RevisionOutcome;
use crate::model::observed::{Rule, Scheduled};
use crate::model::plan::Step;
use crate::plan::claims;
use crate::plan::draft::Draft;
use crate::resource::firings::Firings;
use crate::resource::release::ScheduleState;

/// AWS starts what is due within the minute
/// (<https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>): so long after its
/// time it has been started.
pub(super) const STARTED: SignedDuration = SignedDuration::from_secs(75);

/// So long before a time the switch is not begun: another replica needs up to half a minute to take
/// over, and AWS may show late what was done.
const AHEAD: SignedDuration = SignedDuration::from_secs(150);

/// How many times are looked at until a quiet moment is found.
const TIMES: usize = 1_000;

/// The one of the other backend, made for the same part.
pub(super) struct Other<'a> {
    found: Found<'a>,
    /// Whether it is switched on.
    pub(super) fires: bool,
}

/// What this Release has of the other backend for a part, and is not declared any more.
///
/// # Errors
/// Why nobody knows.
pub(super) fn other<'a>(
    draft: &Draft<'a>,
    schedule: &Schedule,
) -> Result<Option<Other<'a>>, String> {
    let part = format!("schedule/{}", schedule.name);
    let claims = draft.input.observed.ledger.claims.values();
    let mut found = None;
    for claim in claims.filter(|claim| claim.part == part) {
        let next = match schedule.scheduler {
            Some(_) => rule_of(draft, &claim.arn)?,
            None => scheduled_of(draft, &claim.arn)?,
        };
        let fires = |other: &Option<Other<'_>>| other.as_ref().is_some_and(|it| it.fires);
        if next.is_some() && !fires(&found) {
            found = next;
        }
    }
    Ok(found)
}

fn rule_of<'a>(draft: &Draft<'a>, arn: &str) -> Result<Option<Other<'a>>, String> {
    let Some((_, name)) = arn.rsplit_once(":rule/") else {
        return Ok(None);
    };
    if draft.input.desired.rules().any(|it| it.rule == name) {
        return Ok(None);
    }
    let rule: &Rule = match draft.input.observed.rules.get(name) {
        Some(Known::Present(rule)) => rule,
        Some(Known::Unknown(why)) => return Err(format!("rule {name}: {why}")),
        Some(Known::Absent) | None => return Ok(None),
    };
    let ours = is_owned(draft, rule) && !rule.rule.contains_key("ManagedBy");
    Ok(ours.then(|| Other {
        found: Found::Rule(Some(rule)),
        fires: rule::fires(draft, rule),
    }))
}

fn scheduled_of<'a>(draft: &Draft<'a>, arn: &str) -> Result<Option<Other<'a>>, String> {
    let Some(name) = claims::schedule_named(arn) else {
        return Ok(None);
    };
    if draft.input.desired.scheduled().any(|it| it.name == name) {
        return Ok(None);
    }
    match &draft.input.observed.group {
        Some(Known::Present(group)) if scheduled::is_owned_group(draft, group) => {}
        Some(Known::Unknown(why)) => return Err(why.clone()),
        _ => return Ok(None),
    }
    let found: &Scheduled = match draft.input.observed.scheduled.get(name) {
        Some(Known::Present(found)) => found,
        Some(Known::Unknown(why)) => return Err(format!("schedule {name}: {why}")),
        Some(Known::Absent) | None => return Ok(None),
    };
    Ok(Some(Other {
        found: Found::Scheduled(Some(found)),
        fires: scheduled::fires(found, draft.input.now),
    }))
}

/// Where a switch was cut off with both off, and what is declared since may not be written yet:
/// what switches one of them on as it is, and its name. The new one, if that takes no more than its
/// state.
pub(super) fn cut_off(
    draft: &Draft<'_>,
    schedule: &Schedule,
    found: Found<'_>,
) -> Option<(Step, String)> {
    if schedule.state == ScheduleState::Disabled || found.fires(draft) {
        return None;
    }
    let other = other(draft, schedule).ok()??;
    if other.fires || !was_on(draft, schedule) {
        return None;
    }
    on_again(draft, found).or_else(|| on_again(draft, other.found))
}

/// Whether what was delivered last has this schedule fire: else it is off because that was declared.
fn was_on(draft: &Draft<'_>, schedule: &Schedule) -> bool {
    let revisions = &draft.input.observed.ledger.revisions;
    let mut delivered = revisions.range(1..).rev().map(|(_, it)| it);
    let newest = delivered.find(|it| it.outcome == RevisionOutcome::Ready);
    newest.is_some_and(|newest| {
        let declared = draft.input.desired.at_revision(newest).schedules;
        let mut on = declared
            .iter()
            .filter(|it| it.state == ScheduleState::Enabled);
        on.any(|it| it.name == schedule.name)
    })
}

/// What switches something of ours on that is off and has what it runs, and its name.
fn on_again(draft: &Draft<'_>, found: Found<'_>) -> Option<(Step, String)> {
    let state = ScheduleState::Enabled;
    match found {
        Found::Rule(Some(rule)) => {
            let ours = is_owned(draft, rule) && our_target(draft, rule, false).is_some();
            ours.then(|| {
                let name = format!("rule {}", rule.name);
                (rule::switched(draft, rule, state), name)
            })
        }
        Found::Scheduled(Some(found)) => {
            let group = draft.input.observed.group.as_ref()?.present()?;
            let ours = scheduled::is_owned_group(draft, group);
            (ours && scheduled::is_off(found, draft.input.now)).then(|| {
                let name = format!("schedule {}", found.name);
                (scheduled::switched(draft, found, state), name)
            })
        }
        Found::Rule(None) | Found::Scheduled(None) => None,
    }
}

/// Switches over, now or in a quiet moment; says what is waited for.
pub(super) fn over(
    draft: &mut Draft<'_>,
    schedule: &Schedule,
    found: Found<'_>,
    other: &Other<'_>,
    on: Change,
) -> Option<String> {
    let resource = format!("schedule/{}", schedule.name);
    let (off, name) = match other.found {
        Found::Rule(Some(rule)) => {
            let name = format!("rule {}", rule.name);
            (rule::switched(draft, rule, ScheduleState::Disabled), name)
        }
        Found::Scheduled(Some(found)) => {
            let name = format!("schedule {}", found.name);
            (
                scheduled::switched(draft, found, ScheduleState::Disabled),
                name,
            )
        }
        Found::Rule(None) | Found::Scheduled(None) => return None,
    };
    let progress = format!("{resource} goes over from {name}");
    if schedule.state == ScheduleState::Disabled || found.fires(draft) {
        let reason = format!("{name} has been replaced");
        draft.act(&resource, reason, off);
        draft.progress(&resource, "SwitchingSchedules", progress);
        return None;
    }
    if !draft.actions.is_empty() {
        // The moment is that of this pass: nothing else may take time before it.
        let message = format!("{progress} once the steps before it are done");
        draft.progress(&resource, "SwitchingSchedules", message.clone());
        return Some(message);
    }
    let times = [times_of(other.found), times_of_new(schedule)];
    let now = draft.input.now;
    if let Some(at) = quiet(now, &times).filter(|at| *at > now) {
        let left = at.duration_since(now);
        let message = format!("{progress} in a quiet moment, at {at}");
        draft.wait(&resource, message.clone());
        let reason = "SwitchingSchedules".to_owned();
        let told = message.clone();
        draft.progressing.push(crate::model::ledger::Explanation {
            reason,
            message: told,
        });
        draft.wake_after(left);
        return Some(message);
    }
    // What would refuse to switch the new one on refuses this, before the old one is off.
    let mut steps = on.steps.iter();
    let rehearsed = steps.find_map(|(_, step)| scheduled::rehearsed(draft, step));
    if let Some(step) = rehearsed {
        let reason = "may it be switched on? As it is, still off";
        draft.act(&resource, reason, step);
    }
    draft.act(&resource, format!("{name} is replaced: off"), off);
    act(
        draft,
        &resource,
        on,
        &format!("{name} is off: switch on by"),
    );
    draft.progress(&resource, "SwitchingSchedules", progress);
    None
}

/// When something fires, and for how long after its time it may be started.
type Times = Option<(Firings, SignedDuration)>;

fn times_of(found: Found<'_>) -> Times {
    let text = |map: &serde_json::Map<String, Value>, member: &str| {
        Some(map.get(member)?.as_str()?.to_owned())
    };
    match found {
        Found::Rule(rule) => {
            let expression = text(&rule?.rule, "ScheduleExpression")?;
            Some((Firings::of(&expression, None)?, SignedDuration::ZERO))
        }
        Found::Scheduled(found) => {
            let schedule = &found?.schedule;
            let zone = text(schedule, "ScheduleExpressionTimezone");
            let firings = Firings::of(&text(schedule, "ScheduleExpression")?, zone.as_deref())?;
            let window = schedule.get("FlexibleTimeWindow");
            let window = window.and_then(|it| it.get("MaximumWindowInMinutes")?.as_i64());
            Some((firings, SignedDuration::from_mins(window.unwrap_or(0))))
        }
    }
}

/// The new one is off: what it will be late with does not matter yet.
fn times_of_new(schedule: &Schedule) -> Times {
    let settings = schedule.scheduler.as_ref();
    let zone = settings.map(|settings| settings.time_zone.as_str());
    Some((
        Firings::of(&schedule.expression, zone)?,
        SignedDuration::ZERO,
    ))
}

/// The first quiet moment; none where they come too often for one.
fn quiet(now: Timestamp, times: &[Times]) -> Option<Timestamp> {
    let mut at = now;
    for _ in 0..TIMES {
        match times
            .iter()
            .flatten()
            .filter_map(|it| disturbed(at, it))
            .max()
        {
            None => return Some(at),
            Some(later) => at = later,
        }
    }
    None
}

/// Until when a moment is not quiet.
fn disturbed(at: Timestamp, (firings, window): &(Firings, SignedDuration)) -> Option<Timestamp> {
    let over = |time: Timestamp| time.checked_add(STARTED.checked_add(*window)?).ok();
    let before = firings.latest(at).and_then(over).filter(|over| at < *over);
    let next = firings
        .next(at)
        .filter(|next| next.duration_since(at) < AHEAD);
    before.max(next.and_then(over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn quiet_at(now: &str, expression: &str) -> Option<String> {
        let firings = Firings::of(expression, None).expect(expression);
        let found = quiet(at(now), &[Some((firings, SignedDuration::ZERO))]);
        found.map(|at| at.to_string())
    }

    #[test]
    fn a_quiet_moment_is_neither_just_after_a_time_nor_just_before_one() {
        let hourly = "cron(0 * * * ? *)";
        for (now, wanted) in [
            ("2026-03-02T09:30:00Z", "2026-03-02T09:30:00Z"),
            ("2026-03-02T09:57:29Z", "2026-03-02T09:57:29Z"),
            ("2026-03-02T09:57:31Z", "2026-03-02T10:01:15Z"),
            ("2026-03-02T10:00:00Z", "2026-03-02T10:01:15Z"),
            ("2026-03-02T10:01:14Z", "2026-03-02T10:01:15Z"),
        ] {
            assert_eq!(quiet_at(now, hourly).as_deref(), Some(wanted), "{now}");
        }
    }

    #[test]
    fn what_comes_too_often_is_switched_in_its_longest_pause_or_at_once() {
        let by_day = "cron(* 9-17 * * ? *)";
        let found = quiet_at("2026-03-02T17:30:00Z", by_day);
        assert_eq!(found.as_deref(), Some("2026-03-02T18:00:15Z"));
        assert_eq!(quiet_at("2026-03-02T17:30:00Z", "cron(* * * * ? *)"), None);
        let rate = quiet_at("2026-03-02T17:30:00Z", "rate(1 minute)");
        assert_eq!(rate.as_deref(), Some("2026-03-02T17:30:00Z"));
    }
}
