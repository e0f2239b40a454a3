//! The whole controller against the simulated AWS, in virtual time.

// A test's future holds the SDK's, whose own nest some hundred deep.
#![recursion_limit = "256"]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod acceptance;
mod accounts;
mod bakes;
mod budgets;
mod chaos;
mod corners;
mod crash;
mod deletion;
mod doubts;
mod drift;
mod environments;
mod evidence;
mod examples;
mod following;
mod going_back;
mod holds;
mod hooks;
mod images;
mod kinds;
mod leases;
mod migrations;
mod notifications;
mod overtaken;
mod pins;
mod rails;
mod refusals;
mod rejections;
mod replaced;
mod requests;
mod requires;
mod retries;
mod running;
mod scene;
mod scheduler;
mod schedules;
mod services;
mod shop;
mod sweep;
mod table;
mod world;
