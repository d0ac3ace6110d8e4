//! The variables of a stage, and who says what about each.

use serde::Serialize;

/// The variables of a stage; secrets as `***`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageVariables {
    /// The stage.
    pub stage: String,
    /// Why they cannot be used, if so.
    pub problem: Option<String>,
    /// One per name.
    pub variables: Vec<VariableLine>,
}

impl StageVariables {
    /// Those that somebody declared: what the engine says is the same for everybody.
    pub fn declared(&self) -> impl Iterator<Item = &VariableLine> {
        self.variables.iter().filter(|v| v.said.first().is_some_and(|s| s.level != "predefined"))
    }
}

/// A variable of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableLine {
    /// Its name.
    pub name: String,
    /// What a command sees it as.
    pub environment: String,
    /// What it stands for.
    pub value: String,
    /// Who says something about it, the winner first.
    pub said: Vec<SaidLine>,
}

/// What one source says about a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SaidLine {
    /// The level: `stage`, `release`, `predefined`.
    pub level: String,
    /// Who.
    pub source: String,
    /// What, macros as written.
    pub value: String,
}
