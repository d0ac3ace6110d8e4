//! Which branches' releases a stage takes (SEMANTICS §2, "branch/channel allowed").

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::glob::{Glob, selects};
use crate::domain::name::RefName;

/// Lists of patterns, each of which must select the branch: every source of policy adds its own. Without one, any
/// branch will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Branches(BTreeSet<Vec<Glob>>);

impl Branches {
    /// Those that these patterns select.
    pub fn of(patterns: Vec<Glob>) -> Self {
        Self(if patterns.is_empty() { BTreeSet::new() } else { BTreeSet::from([patterns]) })
    }

    /// Whether any branch will do.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether releases of this branch are taken.
    pub fn take(&self, branch: &RefName) -> bool {
        self.0.iter().all(|patterns| selects(patterns, branch.as_str()))
    }

    /// What both take.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }
}

/// `main, release/*`; of several sources `hotfix/*, main and also main, release/*`.
impl fmt::Display for Branches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any");
        }
        let list =
            |patterns: &Vec<Glob>| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        f.write_str(&self.0.iter().map(list).collect::<Vec<_>>().join(" and also "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branches(patterns: &[&str]) -> Branches {
        Branches::of(patterns.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_branch_is_taken_when_every_source_of_policy_takes_it() {
        let take = |branches: &Branches, branch: &str| branches.take(&branch.parse().unwrap());
        assert!(take(&Branches::default(), "any") && take(&branches(&[]), "any"));
        let both = branches(&["main", "release/*"]).stricter(&branches(&["hotfix/*", "main"]));
        assert!(take(&both, "main") && !take(&both, "release/8") && !take(&both, "hotfix/1"));
        assert_eq!(both.to_string(), "hotfix/*, main and also main, release/*");
        assert_eq!(both.stricter(&Branches::default()), both);
        let reread: Branches = serde_json::from_value(serde_json::to_value(&both).unwrap()).unwrap();
        assert_eq!(reread, both);
    }
}
