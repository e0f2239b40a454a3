//! An AWS on this machine.

pub(crate) mod clock;
pub(crate) mod cx;
pub(crate) mod delayed;
pub(crate) mod ecs;
pub(crate) mod fault;
pub(crate) mod glob;
pub(crate) mod rules;
pub(crate) mod settings;
mod span;
