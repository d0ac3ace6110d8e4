//! The one integration-test binary.

mod engine;
mod github;
mod github_client;
mod postgres;
mod samples;
mod store;
