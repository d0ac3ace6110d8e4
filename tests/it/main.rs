//! The one integration-test binary.

mod github;
mod github_client;
mod postgres;
mod samples;
mod store;
mod tidy;
