//! Writing to the terminal: results to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};

/// Prints a line of the result. A reader that went away is not a failure of ours.
pub(super) fn line(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

/// Prints a line about what is going on.
pub(super) fn note(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}

/// Prints why it failed.
pub(super) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// Whether somebody is watching.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
