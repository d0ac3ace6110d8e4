//! The rules: synchronous, total, without clock, log or IO.

pub mod glob;
pub mod name;
pub mod pipeline;
pub mod time;
