//! Why notes of a release are not written, or cannot be made.

use std::fmt;

use crate::domain::name::Login;
use crate::domain::notes::MAX_BYTES;
use crate::domain::pipeline::Role;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNotes {
    /// They are published.
    Frozen {
        /// The release's version.
        version: String,
    },
    /// They are too long.
    TooLong {
        /// What they have.
        bytes: usize,
    },
    /// The pipeline's template does not make any.
    Template {
        /// Why.
        why: String,
    },
    /// Who wants to write them may not.
    Role {
        /// Who.
        login: Login,
        /// What they have.
        has: Role,
    },
}

impl NoNotes {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Frozen { .. } => "notes_frozen",
            Self::TooLong { .. } => "notes_too_long",
            Self::Template { .. } => "notes_template",
            Self::Role { .. } => "notes_role",
        }
    }
}

impl fmt::Display for NoNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen { version } => write!(
                f,
                "❌ **The notes of {version} are published** and stay as they are; what is to be said goes into the notes of \
                 the next release."
            ),
            Self::TooLong { bytes } => {
                write!(f, "❌ **The notes have {bytes} bytes**, and at most {MAX_BYTES} are kept.")
            }
            Self::Template { why } => write!(
                f,
                "❌ **The template of the notes does not work**: {why}. Mend it in the repository, or write the notes with \
                 `liftlock notes <release> --write <file>`."
            ),
            Self::Role { login, has } => {
                write!(
                    f,
                    "❌ **{login} may not write notes**: that needs write, and their role is {}.",
                    has.word()
                )
            }
        }
    }
}
