//! The rules: synchronous, total, without clock, log or IO.

pub mod name;
pub mod time;
