//! What people read: releases, plans and drift as table, JSON and HTML.
//!
//! Nothing here does I/O or reads a clock; the caller says what the time is and whether colours
//! are wanted.

pub mod drift;
pub mod evidence;
pub mod history;
pub mod html;
pub mod paint;
pub mod plan;
pub mod release;
pub mod table;
pub mod time;
