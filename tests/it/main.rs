//! The one integration-test binary.

#[cfg(test)]
mod github;
#[cfg(test)]
mod github_client;
mod postgres;
#[cfg(test)]
mod samples;
mod store;
