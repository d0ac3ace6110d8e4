//! The one integration-test binary.

mod postgres;
mod store;
mod scenario;
