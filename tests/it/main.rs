//! The one integration-test binary.

mod faults;
mod github;
mod github_client;
mod postgres;
mod samples;
mod store;
