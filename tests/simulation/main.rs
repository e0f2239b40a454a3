//! The whole controller against the simulated AWS, in virtual time.

mod crash;
mod rails;
mod world;
