//! liftlock raises one sealed artifact from stage to stage, when its keepers say so.
//!
//! Reading order: [`domain`] holds the rules; `store`, `git`, `artifact`, `runner`, `probe`, `sign`, `validate` and
//! `forge` are the edges;
//! `service` drives them; `http` and `cli` are the doors.

pub mod artifact;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod folder;
pub mod forge;
pub mod git;
pub mod http;
pub mod https;
pub mod mask;
pub mod notify;
pub mod probe;
pub mod publish;
pub mod runner;
pub mod secret;
pub mod service;
pub mod sign;
pub mod store;
pub mod telemetry;
pub mod trouble;
pub mod upstream;
pub mod validate;
pub mod vault;
pub mod zipped;
