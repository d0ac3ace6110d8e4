//! Which targets a stage deploys to, and in which portions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::check::Check;
use crate::domain::name::RoleName;

/// The targets of a stage: those of its environment, which the server's config declares, that have one of the roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// The roles, any of which will do; empty means all targets of the environment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleName>,
    /// What is asked after every batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Check>,
    /// How many go at once, and how many may fail.
    #[serde(default)]
    pub rolling: Rolling,
}

/// A rollout in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// How large a batch is.
    pub batch: Batch,
    /// So many targets that failed are put up with; one more stops it.
    #[serde(default)]
    pub max_unavailable: u32,
}

impl Rolling {
    /// All targets of a portion go in one batch; its gates look at them then.
    pub const AT_ONCE: Self = Self { batch: Batch::Percent(100), max_unavailable: 0 };
}

/// One target at a time, and none may fail.
impl Default for Rolling {
    fn default() -> Self {
        Self { batch: Batch::Count(1), max_unavailable: 0 }
    }
}

/// How large a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// So many targets.
    Count(u32),
    /// So many of a hundred of all of them, rounded up.
    Percent(u32),
}

impl Batch {
    /// Its size among so many targets; at least one.
    pub fn of(self, all: usize) -> usize {
        let size = match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => {
                let percent = usize::try_from(percent).unwrap_or(100);
                all.saturating_mul(percent).div_ceil(100)
            }
        };
        size.max(1)
    }
}

/// `3` or `25%`.
impl std::str::FromStr for Batch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a batch such as `3` or `25%`");
        let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        match (number, percent) {
            (1..=100, true) => Ok(Self::Percent(number)),
            (1..=1_000, false) => Ok(Self::Count(number)),
            (_, _) => Err(wrong()),
        }
    }
}

impl Targets {
    /// Whether a target with these roles is one of them.
    pub fn takes(&self, roles: &BTreeSet<RoleName>) -> bool {
        self.roles.is_empty() || !self.roles.is_disjoint(roles)
    }
}
