//! What is said about an environment: where it is, what it shares a lock with, whether people depend on it.

use serde::{Deserialize, Serialize};

use crate::domain::name::EnvironmentName;

/// An environment as declared; one that nobody declared has nothing said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Where people find what runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The lock it shares with other environments of this server, also of other pipelines and repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<EnvironmentName>,
    /// Whether people depend on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub production: bool,
}

impl Environment {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The stricter of two: production when either says so. Its lock is that of the rules in force where they name
    /// one, so that a commit cannot take its environment out of a lock.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self {
            url: self.url.clone(),
            lock: other.lock.clone().or_else(|| self.lock.clone()),
            production: self.production || other.production,
        }
    }
}
