//! Variables: what the commands of a stage are told, level over level; the strongest level wins (SEMANTICS §9).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::VariableName;

mod asked;
mod check;
mod environment;
mod expand;
mod group;
mod predefined;

#[cfg(test)]
mod tests;

pub use asked::question;
pub use check::{Told, levels, of_release, problem, problems};
pub use environment::{artifact_variable, environment_name, image_variable, is_reserved};
pub use expand::{Reveal, ShellText, hidden};
pub use group::{GroupLink, Linked, Taken, all_linked, linked};
pub use predefined::{Facts, source_branch};

/// A variable as the manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its text, macros in it as written.
    pub value: String,
    /// At which level it counts.
    #[serde(default)]
    pub scope: Scope,
    /// Whether whoever starts a release may say otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settable: bool,
}

/// At which level a variable of the pipeline counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// As one of the release: stages and the groups linked to them may say otherwise.
    #[default]
    Release,
    /// As one of every stage: stronger than the groups linked to it.
    Stage,
}

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A text; macros in it are resolved.
    Plain(String),
    /// Where the server finds the secret; its text is taken as it is.
    Secret(String),
    /// The same, named by the manifest: the store's `allow` in the server's config says for which stages.
    Named(String),
}

/// How strong a level is, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// What the release was given when it was started.
    Given,
    /// A variable of the stage.
    Stage,
    /// A variable of a group that the stage is linked to.
    StageGroup,
    /// A variable of the release.
    Release,
    /// A variable of a group that the release is linked to.
    ReleaseGroup,
    /// What the engine itself says.
    Predefined,
}

impl Rank {
    /// The word in `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Stage => "stage",
            Self::StageGroup => "stage_group",
            Self::Release => "release",
            Self::ReleaseGroup => "release_group",
            Self::Predefined => "predefined",
        }
    }
}

/// Variables of one source.
#[derive(Debug, Clone)]
pub struct Level<'a> {
    /// How strong it is.
    pub rank: Rank,
    /// What people call it: `variables of prod`.
    pub source: String,
    /// Its variables.
    pub values: Cow<'a, BTreeMap<VariableName, Value>>,
}

/// Why the variables of a stage cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Two sources of one level have the same key.
    Twice {
        /// The key.
        name: VariableName,
        /// One source.
        first: String,
        /// The other.
        second: String,
    },
    /// A macro names no variable.
    Missing {
        /// What stands between the parentheses, made printable.
        name: String,
        /// Where it stands.
        used: String,
    },
    /// Macros lead to macros without an end.
    Deep {
        /// The macro that was one too many.
        name: String,
        /// Where the first one stands.
        used: String,
    },
    /// What comes out is longer than a process takes.
    Long {
        /// Where it stands.
        used: String,
    },
    /// A macro stands where the shell would not look at its value.
    Quoted {
        /// The macro.
        name: String,
        /// Where it stands.
        used: String,
    },
    /// A macro stands where only Python reads.
    Foreign {
        /// The macro.
        name: VariableName,
        /// Where it stands.
        used: String,
    },
    /// Two names become one variable of the environment.
    Clash {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What they become.
        becomes: String,
    },
    /// A name becomes a variable of the environment that every step has.
    Reserved {
        /// The name.
        name: VariableName,
        /// What it becomes.
        becomes: String,
    },
    /// A group that the stage is linked to cannot be had.
    Group {
        /// The group.
        group: String,
        /// Why not.
        why: String,
    },
    /// A secret would stand where everybody can read it.
    Open {
        /// Where.
        used: String,
    },
    /// All of them together are more than a process takes.
    Many {
        /// How many bytes they are.
        bytes: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { name, first, second } => {
                write!(f, "`{name}` stands in {first} and in {second}, and neither is stronger")
            }
            Self::Missing { name, used } => write!(f, "`$({name})` in {used} names no variable"),
            Self::Deep { name, used } => {
                write!(f, "`$({name})` in {used} leads on for more than {} steps", expand::MAX_DEPTH)
            }
            Self::Long { used } => {
                write!(f, "{used} is more than {} KiB with its variables", expand::MAX_BYTES / 1_024)
            }
            Self::Quoted { name, used } => {
                write!(f, "`$({name})` in {used} stands in single quotes; double quotes let the shell see it")
            }
            Self::Foreign { name, used } => {
                let becomes = environment_name(name);
                write!(
                    f,
                    "`$({name})` in {used} means nothing to Python; os.environ[\"{becomes}\"] is its value"
                )
            }
            Self::Clash { first, second, becomes } => {
                write!(f, "{first} and {second} both become `{becomes}` in the environment")
            }
            Self::Reserved { name, becomes } => {
                write!(f, "variable `{name}` becomes `{becomes}` in the environment, which every step has")
            }
            Self::Open { used } => {
                write!(f, "a secret in {used} would be sent and shown as text; ask it with a command")
            }
            Self::Group { group, why } => write!(f, "the group `{group}` cannot be linked: {why}"),
            Self::Many { bytes } => {
                let most = environment::MAX_BYTES / 1_024;
                write!(f, "the variables have {bytes} bytes, and a process takes at most {most} KiB of them")
            }
        }
    }
}

impl std::error::Error for Problem {}

/// The variables of a stage, each with the value that wins.
#[derive(Debug)]
pub struct Resolution<'l> {
    levels: &'l [Level<'l>],
    /// One per name, in the order of names.
    winners: Vec<Entry<'l>>,
}

/// One variable of one level.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'l> {
    /// Its name, as the level spells it.
    pub name: &'l VariableName,
    /// What it stands for.
    pub value: &'l Value,
    /// How strong it is.
    pub rank: Rank,
    /// Where it comes from.
    pub source: &'l str,
}

impl<'l> Resolution<'l> {
    /// Finds the winner of every name; a key that two sources of one rank have is an error, used or not.
    pub fn of(levels: &'l [Level<'l>]) -> Result<Self, Problem> {
        let mut all: Vec<Entry<'l>> = levels
            .iter()
            .flat_map(|level| {
                level.values.iter().map(|(name, value)| Entry {
                    name,
                    value,
                    rank: level.rank,
                    source: &level.source,
                })
            })
            .collect();
        // Every level comes in order, which this sort makes use of.
        all.sort_by(|a, b| a.name.cmp(b.name).then(a.rank.cmp(&b.rank)));
        let mut winners: Vec<Entry<'l>> = Vec::with_capacity(all.len());
        let mut before: Option<Entry<'l>> = None;
        for entry in all {
            match before.replace(entry).filter(|before| before.name == entry.name) {
                Some(before) if before.rank == entry.rank => {
                    let (first, second) = (before.source.to_owned(), entry.source.to_owned());
                    return Err(Problem::Twice { name: before.name.clone(), first, second });
                }
                Some(_) => {}
                None => winners.push(entry),
            }
        }
        Ok(Self { levels, winners })
    }

    /// What a name stands for.
    pub fn get(&self, name: &VariableName) -> Option<&Entry<'l>> {
        let at = self.winners.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
        self.winners.get(at)
    }

    /// Every variable with its winner, in the order of names.
    pub fn all(&self) -> &[Entry<'l>] {
        &self.winners
    }

    /// Everything that says something about a name, the winner first.
    pub fn candidates(&self, name: &VariableName) -> Vec<Entry<'l>> {
        let mut found: Vec<Entry<'l>> = self
            .levels
            .iter()
            .filter_map(|level| {
                let (name, value) = level.values.get_key_value(name)?;
                Some(Entry { name, value, rank: level.rank, source: &level.source })
            })
            .collect();
        found.sort_by_key(|entry| entry.rank);
        found
    }

    /// Whether anybody declared a variable for this stage.
    pub fn is_spoken(&self) -> bool {
        self.levels.iter().any(|level| level.rank != Rank::Predefined && !level.values.is_empty())
    }
}
