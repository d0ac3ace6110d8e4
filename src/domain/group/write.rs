//! What a step wants to write into groups: lines `group/NAME=value` in the file that `LIFTLOCK_GROUP_WRITES` names.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::group::fits;
use crate::domain::name::{GroupName, VariableName, printable};

/// Most bytes of the file; a value that needs more belongs into an artifact.
pub const LARGEST_FILE: usize = 256 << 10;
/// Most variables one stage may write.
pub const MOST_WRITES: usize = 100;

/// What a step wants to be set: by group, the variables with their values.
pub type Writes = BTreeMap<GroupName, BTreeMap<VariableName, String>>;

/// A file that cannot be read as lines `group/NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it, without its value.
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of $LIFTLOCK_GROUP_WRITES {}; a line is `group/NAME=value`", self.line, self.why)
    }
}

/// Reads the whole file: all lines are good, or none counts. Empty lines are skipped, and of two lines about one
/// variable the later one counts, as with any file that is appended to.
pub fn parse(text: &str) -> Result<Writes, BadLine> {
    let mut writes = Writes::new();
    let mut count = 0;
    for (no, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |why: String| BadLine { line: no, why };
        let (place, value) = line.split_once('=').ok_or_else(|| bad("has no `=`".to_owned()))?;
        let (group, name) =
            place.split_once('/').ok_or_else(|| bad(format!("names no group: `{}`", printable(place))))?;
        let group: GroupName = group.trim().parse().map_err(|e| bad(format!("names no group: {e}")))?;
        let name: VariableName = name.trim().parse().map_err(|e| bad(format!("names no variable: {e}")))?;
        if !fits(value) {
            return Err(bad(format!("gives `{name}` a value that is too long or holds a NUL")));
        }
        count += 1;
        if count > MOST_WRITES {
            return Err(bad(format!("is more than the {MOST_WRITES} that one stage may write")));
        }
        let values = writes.entry(group).or_default();
        values.retain(|known: &VariableName, _| !known.as_str().eq_ignore_ascii_case(name.as_str()));
        values.insert(name, value.to_owned());
    }
    Ok(writes)
}
