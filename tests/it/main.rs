//! The one integration-test binary.

mod http;
