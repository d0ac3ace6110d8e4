//! When a stage goes back to the release before by itself (SEMANTICS §8).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a stage says about going back, besides who must agree when a person asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// After what it goes back by itself; never, when this is empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub auto: BTreeSet<Trigger>,
    /// How many people must agree when it goes back by itself; nobody by default.
    #[serde(default)]
    pub approvals: u32,
    /// Whether it may go back without anybody having looked; not after a migration, for example.
    #[serde(default = "yes")]
    pub safe: bool,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { auto: BTreeSet::new(), approvals: 0, safe: true }
    }
}

fn yes() -> bool {
    true
}

/// What a release may be found bad by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its tests or checks after the deploy said no.
    VerifyFailed,
    /// A gate after the deploy was not green in time, or turned red once the release was live.
    GateFailed,
    /// Its deploy itself failed or took too long.
    DeployFailed,
}

impl Trigger {
    /// Every trigger, in order.
    pub const ALL: &'static [Self] = &[Self::VerifyFailed, Self::GateFailed, Self::DeployFailed];
    /// Their words.
    pub const WORDS: &'static [&'static str] = &["verify_failed", "gate_failed", "deploy_failed"];
    /// Those that `auto: true` means (SEMANTICS §8): what a failed deploy has left is better looked at first.
    pub const USUAL: [Self; 2] = [Self::VerifyFailed, Self::GateFailed];

    /// The word of the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::VerifyFailed => "verify_failed",
            Self::GateFailed => "gate_failed",
            Self::DeployFailed => "deploy_failed",
        }
    }

    /// The trigger of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|trigger| trigger.word() == word)
    }

    /// What people read of it, after "when".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::VerifyFailed => "its tests or checks fail",
            Self::GateFailed => "a gate is not green",
            Self::DeployFailed => "its deploy fails",
        }
    }
}

impl Rollback {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The stricter of two: back after whatever either names, with as many people as either asks for, and not by
    /// itself when either says that this is not safe.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self {
            auto: self.auto.union(&other.auto).copied().collect(),
            approvals: self.approvals.max(other.approvals),
            safe: self.safe && other.safe,
        }
    }
}
