//! The one integration-test binary.

mod postgres;
mod properties;
mod store;
mod scenario;
