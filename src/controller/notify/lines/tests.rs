use super::*;
use crate::model::notice::Notice;
use crate::resource::meta::ReleaseKey;
use crate::resource::notification::NotificationEvent;

/// The message of this number, in the order in which they came up.
fn errand(number: usize) -> Errand {
    let at = "2026-03-02T09:00:00Z".parse().unwrap();
    let notice = Notice {
        id: number.to_string(),
        release: ReleaseKey::new("shop", "web"),
        event: NotificationEvent::Ready,
        reason: "Ready".to_owned(),
        message: String::new(),
        generation: 1,
        revision: None,
        images: BTreeMap::new(),
        source: None,
        applier: None,
        again: false,
        at,
    };
    Errand {
        place: number.to_string(),
        outgoing: Outgoing {
            notification: "team".to_owned(),
            notice,
        },
        attempts: 0,
        sent: false,
    }
}

/// Sends so many; those that are sent.
fn sends(lines: &mut Lines, count: usize) -> Vec<usize> {
    let mut sent = Vec::new();
    while sent.len() < count {
        let (recipient, errand) = lines.take(Instant::now()).expect("one is due");
        lines.back(&recipient).expect("its line").succeeded();
        lines.forget(&errand.place);
        sent.push(errand.place.parse().unwrap());
    }
    sent
}

/// The table is listed, which holds these.
fn lists(lines: &mut Lines, held: impl IntoIterator<Item = usize>) {
    lines.list_begins();
    for number in held {
        lines.add(errand(number), true);
    }
    lines.list_ended();
}

#[test]
fn a_line_that_is_full_loses_nothing_and_nothing_is_told_before_its_turn() {
    let mut lines = Lines::default();
    for number in 0..1100 {
        lines.add(errand(number), false);
    }
    assert_eq!(lines.len(), 1100);
    assert!(!lines.run_short());
    let mut sent = sends(&mut lines, 600);
    // There is room by now, and yet it is not its turn.
    lines.add(errand(1100), false);
    assert!(!lines.run_short());
    sent.extend(sends(&mut lines, 150));
    assert!(lines.run_short());
    lists(&mut lines, 750..=1100);
    assert!(!lines.run_short());
    lines.add(errand(1101), false);
    assert_eq!(lines.len(), 352);
    sent.extend(sends(&mut lines, 352));
    assert_eq!(sent, (0..=1101).collect::<Vec<_>>());
    assert_eq!(lines.len(), 0);
}

#[test]
fn what_comes_while_the_table_is_listed_is_found_by_the_next_list() {
    let mut lines = Lines::default();
    for number in 0..1001 {
        lines.add(errand(number), false);
    }
    sends(&mut lines, 1000);
    lines.list_begins();
    lines.add(errand(1001), false);
    lines.list_failed();
    assert!(lines.run_short());
    assert_eq!(lines.len(), 2);
    lines.list_begins();
    lines.add(errand(1002), false);
    for number in 1000..=1001 {
        lines.add(errand(number), true);
    }
    lines.list_ended();
    assert!(lines.run_short());
    lists(&mut lines, 1000..=1002);
    assert_eq!(sends(&mut lines, 3), [1000, 1001, 1002]);
    assert!(!lines.run_short());
}

#[test]
fn what_is_not_in_the_table_any_more_is_not_looked_for_again() {
    let mut lines = Lines::default();
    for number in 0..1001 {
        lines.add(errand(number), false);
    }
    sends(&mut lines, 1000);
    lists(&mut lines, []);
    assert!(!lines.run_short());
    assert_eq!(lines.len(), 0);
    lines.add(errand(1001), false);
    assert_eq!(sends(&mut lines, 1), [1001]);
}
