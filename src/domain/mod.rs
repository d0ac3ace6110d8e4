//! The rules: synchronous, total, without clock, log or IO.

pub mod detect;
pub mod glob;
pub mod manifest;
pub mod name;
pub mod pipeline;
pub mod policy;
pub mod time;
