//! The rules: synchronous, total, without clock, log or IO.

pub mod approval;
pub mod command;
pub mod decide;
pub mod detect;
pub mod effect;
pub mod event;
pub mod gate;
pub mod glob;
pub mod manifest;
pub mod markdown;
pub mod name;
pub mod overridable;
pub mod person;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod refusal;
pub mod release;
pub mod runbook;
pub mod schedule;
pub mod state;
pub mod time;
pub mod version;
pub mod view;
