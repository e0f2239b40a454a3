//! Lengths of time as people read them in a table.

use jiff::{SignedDuration, Timestamp};

/// `12s`, `4m`, `3h`, `9d`: how long ago, in one unit; two units below ten of the larger.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    short(now.duration_since(then))
}

/// A length in one or two units; nothing below a second.
pub fn short(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let two = |large: i64, unit: char, rest: i64, small: char| {
        if large < 10 && rest > 0 {
            format!("{large}{unit}{rest}{small}")
        } else {
            format!("{large}{unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, 'm', seconds % 60, 's'),
        3_600..86_400 => two(seconds / 3_600, 'h', seconds % 3_600 / 60, 'm'),
        _ => two(seconds / 86_400, 'd', seconds % 86_400 / 3_600, 'h'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        let of = |seconds| short(SignedDuration::from_secs(seconds));
        assert_eq!(of(-5), "0s");
        assert_eq!(of(59), "59s");
        assert_eq!(of(61), "1m1s");
        assert_eq!(of(120), "2m");
        assert_eq!(of(40 * 60 + 3), "40m");
        assert_eq!(of(3_600 + 120), "1h2m");
        assert_eq!(of(86_400 * 30), "30d");
    }
}
