//! The one integration-test binary.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod github;
#[cfg(test)]
mod github_client;
#[cfg(test)]
mod http;
#[cfg(test)]
mod people;
mod postgres;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scenario;
mod store;
#[cfg(test)]
mod tidy;
