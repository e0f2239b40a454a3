//! The command line as people and programs meet it: help, exit codes, sentences, contracts.

#![cfg(feature = "sandbox")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail as tests do, and clippy's allowance is for test functions only"
)]

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/hidden.rs"]
mod hidden;
#[path = "cli/logs.rs"]
mod logs;
#[path = "cli/pauses.rs"]
mod pauses;
#[path = "cli/pins.rs"]
mod pins;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/readme.rs"]
mod readme;
#[path = "cli/stories.rs"]
mod stories;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/tour.rs"]
mod tour;
#[path = "cli/unsure.rs"]
mod unsure;
