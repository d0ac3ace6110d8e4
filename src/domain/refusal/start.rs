//! Why a release was not started by hand, and nothing was taken in for one.

use std::fmt;

/// Why nothing starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStart {
    /// The pipeline is not started by hand.
    Button {
        /// The pipeline.
        pipeline: String,
    },
    /// The pipeline takes nothing of this name that was built elsewhere.
    Upload {
        /// The name.
        alias: String,
        /// What it takes.
        known: Vec<String>,
    },
}

impl NoStart {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Button { .. } => "no_button",
            Self::Upload { .. } => "no_upload",
        }
    }
}

impl fmt::Display for NoStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Button { pipeline } => write!(
                f,
                "❓ **{pipeline} is not started by hand.** Its manifest would say so with `triggers: {{button: {{}}}}`."
            ),
            Self::Upload { alias, known } if known.is_empty() => write!(
                f,
                "❓ **Nothing called `{alias}` is handed in here.** The manifest would say so with `artifacts: [{{alias: \
                 …, from: upload}}]`."
            ),
            Self::Upload { alias, known } => write!(
                f,
                "❓ **Nothing called `{alias}` is handed in here.** The manifest takes {}.",
                known.join(", ")
            ),
        }
    }
}
