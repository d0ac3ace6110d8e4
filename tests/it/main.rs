//! The one integration-test binary.

mod people;
mod postgres;
mod properties;
mod store;
mod scenario;
