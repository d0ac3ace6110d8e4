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

/// What somebody said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Yes.
    Yes,
    /// Anything else.
    No,
    /// Nobody is there to be asked.
    Nobody,
}

/// Asks whoever sits at the terminal; what reads from or writes to something else has nobody.
pub(super) fn ask(question: &str) -> Answer {
    if !std::io::stdin().is_terminal() || !is_watched() {
        return Answer::Nobody;
    }
    write!(std::io::stderr(), "{question} [y/N] ").unwrap_or_default();
    let mut said = String::new();
    if std::io::stdin().read_line(&mut said).is_err() {
        // Who hangs up has not said yes.
        return Answer::No;
    }
    match said.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

/// Whether somebody is watching.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
