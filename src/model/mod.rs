//! Plain checked data that the planner reads and writes: no I/O, no clock, no AWS types.

pub mod build;
pub mod desired;
pub mod hash;
pub mod hook;
pub mod interest;
pub mod known;
pub mod ledger;
pub mod notice;
pub mod observed;
pub mod pins;
pub mod plan;
