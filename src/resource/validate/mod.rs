//! x
pub use super::problem::FieldError;
use super::meta::{Environment, Release};
/// x
pub fn release(_release: &Release) -> Vec<FieldError> { Vec::new() }
/// x
pub fn environment(_e: &Environment) -> Vec<FieldError> { Vec::new() }
