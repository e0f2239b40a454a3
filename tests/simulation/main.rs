//! The whole controller against the simulated AWS, in virtual time.

mod crash;
mod images;
mod migrations;
mod rails;
mod refusals;
mod scene;
mod world;
