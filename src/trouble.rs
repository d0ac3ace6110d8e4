//! What the edges (store, host, git, runner, artifacts) answer when they fail: a kind to act on and a text to read.

use std::error::Error;
use std::fmt;

use tokio::task::JoinError;

use crate::domain::time::Span;

/// What to do about a failure; the worker branches on this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It may work later; the other side may have said when.
    Transient {
        /// The wait the other side asked for.
        retry_after: Option<Span>,
    },
    /// The other side understood and said no; asking again changes nothing.
    Refused,
    /// The thing is not there.
    NotFound,
    /// Somebody else was first: read again, decide again.
    Conflict,
    /// We are wrong: stop this work, tell a person.
    Bug,
}

/// A failure at an edge. `Display` is one lower-case fragment without its source; [`Trouble::chain`] has all.
#[derive(Debug)]
pub struct Trouble {
    kind: Kind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What an edge answers.
pub type Outcome<T> = Result<T, Trouble>;

impl Trouble {
    /// A failure of this kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// A failure that may pass.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::new(Kind::Transient { retry_after: None }, what)
    }

    /// A failure that will not pass.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Kind::Refused, what)
    }

    /// Something that is not there.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, what)
    }

    /// A lost race.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, what)
    }

    /// A mistake of ours.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(Kind::Bug, what)
    }

    /// A task of ours that ended without an answer: a mistake, or the end of the process, and the next one goes on.
    pub fn of_task(ended: JoinError) -> Self {
        let what = "a task of ours ended early";
        let trouble = if ended.is_cancelled() { Self::transient(what) } else { Self::bug(what) };
        trouble.because(ended)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// True when trying later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient { .. })
    }

    /// The failure and its causes on one line, for the log at the boundary that handles it.
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut next: Option<&(dyn Error + 'static)> = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| {
            let e: &(dyn Error + 'static) = e;
            e
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_has_every_cause_once() {
        let t =
            Trouble::transient("read the mirror").because(Trouble::bug("open it").because("no such folder"));
        assert_eq!(t.to_string(), "read the mirror");
        assert_eq!(t.chain(), "read the mirror: open it: no such folder");
        assert!(t.is_transient());
    }

    #[tokio::test]
    async fn t11_work_that_the_end_of_the_process_cut_off_is_for_the_next_one() {
        let cut = tokio::spawn(std::future::pending::<()>());
        cut.abort();
        assert!(Trouble::of_task(cut.await.unwrap_err()).is_transient());
        let wrong = tokio::spawn(async { panic!("on purpose") });
        assert_eq!(Trouble::of_task(wrong.await.unwrap_err()).kind(), Kind::Bug);
    }
}
