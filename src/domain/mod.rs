//! The rules: synchronous, total, without clock, log or IO.

pub mod command;
pub mod markdown;
pub mod name;
pub mod time;
