//! GitHub as a host: its transport and credentials, what we ask of its API, and what it sends us.
//!
//! Reading order: [`settings`] and `transport` say where requests may go, `stack` sends them with the credential
//! that `app` holds and at the pace that `limits` allows, `client` answers [`crate::forge::Forge`].
//! GitHub's types end in this folder.

mod actions;
mod answer;
mod app;
mod client;
mod comment;
mod dto;
mod hook;
mod limits;
mod mark;
pub mod payload;
mod people;
mod registry;
mod release;
mod route;
pub mod settings;
mod stack;
pub mod translate;
mod transport;
mod watch;
pub mod webhook;

pub use answer::Rate;
pub use client::GitHub;
pub use settings::Settings;
pub use transport::Counts;
