//! The hosts of repositories: what they tell us ([`fact`]) and how each of them says it ([`github`]).

pub mod fact;
pub mod github;
