//! The SDK's times as ours.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

/// A time that AWS answered; a time that no calendar holds is none.
pub(super) fn timestamp(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}
