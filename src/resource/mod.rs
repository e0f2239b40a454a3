//! The resources people write and read: `Environment` and `Release`, their wire types, and how
//! manifests become them.
//!
//! Wire types keep what was written (an absent field stays absent), so that a three-way apply can
//! tell "not said" from "said"; defaults are put in when a [`crate::model::desired::Desired`] is
//! built from them.

pub mod conditions;
pub mod duration;
pub mod environment;
pub mod meta;
pub mod release;
pub mod status;
