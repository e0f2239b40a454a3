//! (under construction)

pub mod dynamodb;
