use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Recurring, closed};
use crate::resource::release::{Window, Windows};

fn windows(value: &Value) -> Windows {
    serde_json::from_value(value.clone()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn is_open(rules: &[Windows], moment: &str) -> bool {
    closed(rules, at(moment)).is_none()
}

/// When it opens that is closed at a moment.
fn opens(rules: &[Windows], moment: &str) -> Option<String> {
    let closed = closed(rules, at(moment)).expect("it is closed");
    closed.opens.map(|opens| opens.to_string())
}

#[test]
fn a_window_is_open_from_its_opening_up_to_its_end() {
    let rules = [windows(
        &json!({"allow": [{"cron": "0 9 * * MON-FRI", "duration": "8h", "timeZone": "Europe/Berlin"}]}),
    )];
    // A Monday, in winter.
    assert!(!is_open(&rules, "2026-03-02T07:59:59Z"));
    assert!(is_open(&rules, "2026-03-02T08:00:00Z"));
    assert!(is_open(&rules, "2026-03-02T15:59:59.999Z"));
    assert!(!is_open(&rules, "2026-03-02T16:00:00Z"));
    let closed = closed(&rules, at("2026-03-06T16:00:00Z")).unwrap();
    assert_eq!(
        closed.message,
        "the window `0 9 * * MON-FRI` (8h, Europe/Berlin) is closed; it opens next at \
         2026-03-09 09:00 Europe/Berlin (2026-03-09T08:00:00Z)"
    );
    assert_eq!(closed.opens, Some(at("2026-03-09T08:00:00Z")));
}

#[test]
fn deny_counts_more_than_allow_and_every_object_has_to_allow() {
    let environment = windows(&json!({
        "allow": [{"cron": "0 8 * * *", "duration": "10h"}],
        "deny": [{"cron": "0 12 * * FRI", "duration": "64h"}],
    }));
    let release = windows(&json!({"allow": [{"cron": "0 10 * * *", "duration": "12h"}]}));
    let both = [environment.clone(), release.clone()];
    assert!(is_open(
        std::slice::from_ref(&environment),
        "2026-03-02T09:00:00Z"
    ));
    assert!(!is_open(&both, "2026-03-02T09:00:00Z"));
    assert_eq!(
        opens(&both, "2026-03-02T09:00:00Z").unwrap(),
        "2026-03-02T10:00:00Z"
    );
    assert!(is_open(&both, "2026-03-02T10:00:00Z"));
    assert!(
        !is_open(&both, "2026-03-02T18:00:00Z"),
        "the environment's is closed"
    );
    // Friday noon to Monday four o'clock nothing goes; then both open in turn.
    assert_eq!(
        opens(&both, "2026-03-06T12:00:00Z").unwrap(),
        "2026-03-09T10:00:00Z"
    );
    let told = closed(&both, at("2026-03-06T12:00:00Z")).unwrap().message;
    assert_eq!(
        told,
        "the deny window `0 12 * * FRI` (64h, UTC) is on; the way opens next at 2026-03-09T10:00:00Z"
    );
    // Nothing but a deny window: open whenever that is not on.
    let only = [windows(
        &json!({"deny": [{"cron": "0 0 * * *", "duration": "1h"}]}),
    )];
    assert!(!is_open(&only, "2026-03-02T00:59:59Z"));
    assert!(is_open(&only, "2026-03-02T01:00:00Z"));
    assert!(is_open(&[windows(&json!({}))], "2026-03-02T01:00:00Z"));
}

#[test]
fn what_never_opens_is_told_and_the_search_ends() {
    for cron in ["0 0 * * *", "* * * * *"] {
        let duration = if cron == "* * * * *" { "1m" } else { "25h" };
        let rules = [windows(
            &json!({"deny": [{"cron": cron, "duration": duration}]}),
        )];
        let closed = closed(&rules, at("2026-03-02T09:00:00Z")).unwrap();
        assert_eq!(closed.opens, None);
        assert!(
            closed.message.ends_with("does not open within a year"),
            "{}",
            closed.message
        );
    }
    let leap = [windows(
        &json!({"allow": [{"cron": "0 0 29 2 *", "duration": "1h"}]}),
    )];
    assert_eq!(opens(&leap, "2026-03-02T09:00:00Z"), None);
    assert_eq!(
        opens(&leap, "2027-06-02T09:00:00Z").unwrap(),
        "2028-02-29T00:00:00Z"
    );
}

/// Every opening of a window in a stretch of time.
fn openings(cron: &str, from: &str, to: &str) -> Vec<String> {
    let window: Window = serde_json::from_value(
        json!({"cron": cron, "duration": "1h", "timeZone": "Europe/Berlin"}),
    )
    .unwrap();
    let window = Recurring::of(&window).unwrap();
    let mut found = Vec::new();
    let mut moment = at(from);
    while let Some(next) = window.next(moment).filter(|next| *next < at(to)) {
        assert_eq!(
            window.latest(next),
            Some(next),
            "it is found from behind as well"
        );
        found.push(next.to_string());
        moment = next;
    }
    found
}

#[test]
fn an_opening_comes_once_where_clocks_are_turned() {
    // Forward on 29 March at two o'clock: half past two comes at half past three.
    assert_eq!(
        openings("30 2 * * *", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-30T00:30:00Z"
        ]
    );
    // Back on 25 October at three o'clock: half past two comes the first time only.
    assert_eq!(
        openings("30 2 * * *", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
        [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z"
        ]
    );
    // Nine o'clock is nine o'clock.
    assert_eq!(
        openings("0 9 * * *", "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z"),
        ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]
    );
    // Those that fall on each other are one.
    assert_eq!(
        openings("30 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        [
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-29T02:30:00Z"
        ]
    );
}

#[test]
fn a_window_lasts_as_long_as_it_says_where_clocks_are_turned() {
    let rules = [windows(
        &json!({"allow": [{"cron": "0 1 * * *", "duration": "3h", "timeZone": "Europe/Berlin"}]}),
    )];
    // 01:00 CET to 05:00 CEST.
    assert!(is_open(&rules, "2026-03-29T02:59:59Z"));
    assert!(!is_open(&rules, "2026-03-29T03:00:00Z"));
    // 01:00 CEST to 03:00 CET.
    assert!(is_open(&rules, "2026-10-25T01:59:59Z"));
    assert!(!is_open(&rules, "2026-10-25T02:00:00Z"));
}

proptest! {
    /// Day by day and minute by minute, the slow way says the same.
    #[test]
    fn as_counted_by_hand(
        minute in 0..60_i8, hour in 0..24_i8, length in 1..50_i64,
        day in 0..700_i32, second in 0..86_400_i64,
        zone in prop_oneof![
            Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"),
            Just("Australia/Lord_Howe"), Just("Asia/Kathmandu"),
        ],
    ) {
        let window: Window = serde_json::from_value(json!({
            "cron": format!("{minute} {hour} * * *"), "duration": format!("{length}h"),
            "timeZone": zone,
        })).unwrap();
        let recurring = Recurring::of(&window).unwrap();
        let today: Date = date(2026, 1, 1).checked_add(day.days()).unwrap();
        let now = recurring.zone.to_timestamp(today.at(0, 0, 0, 0)).unwrap()
            + SignedDuration::from_secs(second);
        let opening = |offset: i32| {
            let day = today.checked_add(offset.days()).unwrap();
            recurring.zone.to_timestamp(day.at(hour, minute, 0, 0)).unwrap()
        };
        let all: Vec<Timestamp> = (-5..=5).map(opening).collect();
        let latest = all.iter().copied().filter(|it| *it <= now).max();
        let next = all.iter().copied().filter(|it| *it > now).min();
        prop_assert_eq!(recurring.latest(now), latest);
        prop_assert_eq!(recurring.next(now), next);
        let by_hand = all.iter().any(|it| *it <= now && now < *it + hours(length));
        let rule = Windows { allow: vec![window.clone()], deny: Vec::new() };
        prop_assert_eq!(closed(&[rule], now).is_none(), by_hand);
    }
}
