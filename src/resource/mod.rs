//! The resources people write and read: `Environment` and `Release`, their wire types, and how
//! manifests become them.
//!
//! Wire types keep what was written (an absent field stays absent), so that a three-way apply can
//! tell "not said" from "said"; defaults are put in when a [`crate::model::desired::Desired`] is
//! built from them.

pub mod circle;
pub mod conditions;
pub mod crd;
pub mod cron;
pub mod duration;
pub mod environment;
mod files;
pub mod firings;
pub mod hidden;
pub mod hooks;
pub mod image_ref;
pub mod manifest;
pub mod meta;
pub mod notification;
pub mod path;
pub mod patterns;
pub mod problem;
pub mod release;
pub mod rollout;
pub mod secret;
mod shape;
pub mod status;
pub mod suggest;
pub mod urls;
pub mod validate;
pub mod windows;
mod yaml;
