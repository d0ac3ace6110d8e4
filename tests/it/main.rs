//! The one integration-test binary.

mod postgres;
mod samples;
mod store;
