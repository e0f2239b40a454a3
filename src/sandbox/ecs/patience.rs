//! The scheduler's patience with tasks that fail again and again.

use jiff::SignedDuration;

/// The wait between failing tasks never grows beyond this.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(27 * 60);
/// So many failures in a row cost no patience.
const PATIENT: u32 = 3;

/// What is said when it begins to lose it.
pub(super) const IMPAIRED: &str = "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";

/// How long the scheduler waits after so many failures in a row, if it does.
pub(super) fn wait_after(failures: u32) -> Option<SignedDuration> {
    let too_many = failures.saturating_sub(PATIENT);
    let shift = too_many.min(16).checked_sub(1)?;
    let seconds = 4_i64.checked_shl(shift).unwrap_or(i64::MAX);
    Some(SignedDuration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Whether this failure is the first that costs patience.
pub(super) fn begins_to_wait(failures: u32) -> bool {
    failures == PATIENT + 1
}
