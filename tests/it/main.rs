//! The one integration-test binary.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod components;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod github;
#[cfg(test)]
mod github_client;
mod http;
#[cfg(test)]
mod people;
mod postgres;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
mod scenario;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod served;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod sshd;
mod store;
#[cfg(test)]
mod tidy;
