use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::sandbox::cx::{Ids, ImageLookup, Images};
use crate::sandbox::rules::Rules;
use crate::sandbox::settings::Settings;

struct Nowhere;

impl Images for Nowhere {
    fn lookup(&self, _: &str) -> ImageLookup {
        ImageLookup::Foreign
    }
}

fn at<T>(second: i64, delay: u64, run: impl FnOnce(&Cx<'_>) -> T) -> T {
    let settings = Settings {
        read_delay: Duration::from_secs(delay),
        ..Settings::default()
    };
    run(&Cx {
        now: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second),
        account: "123456789012",
        region: "eu-west-1",
        principal: String::new(),
        rules: &Rules::default(),
        settings: &settings,
        ids: &mut Ids::default(),
        images: &Nowhere,
    })
}

#[test]
fn reads_lag_behind_and_writers_see_the_truth() {
    let mut value = Delayed::default();
    at(0, 5, |cx| value.set(cx, 'a'));
    assert_eq!(value.latest(), Some(&'a'));
    at(4, 5, |cx| assert_eq!(value.visible(cx), None));
    at(5, 5, |cx| assert_eq!(value.visible(cx), Some(&'a')));
    at(6, 5, |cx| value.edit(cx, |v| *v = 'b'));
    at(8, 5, |cx| value.remove(cx));
    at(10, 5, |cx| assert_eq!(value.visible(cx), Some(&'a')));
    at(11, 5, |cx| assert_eq!(value.visible(cx), Some(&'b')));
    at(12, 5, |cx| assert!(!value.is_gone(cx)));
    at(13, 5, |cx| assert!(value.is_gone(cx)));
}

#[test]
fn without_a_delay_nothing_of_the_past_is_kept() {
    let mut value = Delayed::default();
    at(0, 0, |cx| value.set(cx, 0));
    for second in 1..100 {
        at(second, 0, |cx| value.set(cx, second));
        at(second, 0, |cx| assert_eq!(value.visible(cx), Some(&second)));
    }
    assert_eq!(value.versions.len(), 1);
}
