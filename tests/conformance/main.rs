//! evenkeel against servers that others wrote, and others' clients against evenkeel's sandbox.
//!
//! The servers and clients are Python packages: the tests make a virtual environment of their own
//! below `target/` and install pinned versions from PyPI, once. They need Python 3.10 or later and,
//! the first time, the network. Nothing is skipped: without Python the tests fail and say what to
//! install.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests fail by panicking, outside of #[test] functions too"
)]

mod evenkeel;
mod listener;
mod manifest;
mod python;
mod servers;

mod cases {
    mod alarms;
    mod events;
    mod hooks;
    mod logs;
    mod ministack;
    mod moto;
    mod notifications;
    mod python;
    #[cfg(feature = "sandbox")]
    mod sandbox;
}
