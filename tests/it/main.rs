//! The one integration-test binary.

#[cfg(test)]
mod github;
#[cfg(test)]
mod github_client;
