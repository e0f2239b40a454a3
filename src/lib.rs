//! evenkeel: a reconciling release controller for Amazon ECS.
//!
//! Each folder imports only from those above it in this list; `tests/architecture.rs` enforces it.

pub mod resource;

pub mod model;

pub mod plan;

pub mod aws;

pub mod store;

pub mod reconcile;

pub mod controller;

pub mod report;

pub mod http;

#[cfg(feature = "sandbox")]
pub mod sandbox;

pub mod cli;
