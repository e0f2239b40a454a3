//! The whole controller against the simulated AWS, in virtual time.

mod rails;
mod world;
