//! The rules: synchronous, total, without clock, log or IO.

pub mod effect;
pub mod glob;
pub mod name;
pub mod person;
pub mod pipeline;
pub mod time;
