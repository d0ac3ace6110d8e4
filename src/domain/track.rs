//! Tracks: releases of one pipeline that bring out different things, each told apart by an input of its button.
//!
//! A channel says what kind of release one is, a track of what: `service=checkout`. Releases of different tracks never
//! follow one another (`Release::follows`), so that none of them supersedes, outruns or waits for one of another, or
//! goes back to it (CHECKLIST B14).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::EnvironmentName;

/// What releases are of that follow one another, and no others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Track {
    /// The input of the button that tells them apart.
    pub input: String,
    /// What it was given.
    pub value: String,
}

/// Where releases of a track take one another's place; of all releases in a pipeline without tracks.
pub type Site = (EnvironmentName, Option<Track>);

/// What no two runs work on at the same time: an environment or a group of them, for one track when they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock<'a> {
    /// The environment, or the name of the group.
    pub environment: &'a EnvironmentName,
    /// Whose it is there; everybody's without one.
    pub track: Option<&'a Track>,
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.input, self.value)
    }
}

impl Lock<'_> {
    /// Whether two runs with these may not be at work at the same time. Values of two different inputs may well mean
    /// the same thing, and what has no track is about everything there is.
    pub fn collides(&self, other: &Self) -> bool {
        let apart =
            self.track.zip(other.track).is_some_and(|(a, b)| a.input == b.input && a.value != b.value);
        self.environment == other.environment && !apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b14_only_two_values_of_one_input_are_apart() {
        let track = |input: &str, value: &str| Track { input: input.to_owned(), value: value.to_owned() };
        let (one, other, app) = (track("service", "one"), track("service", "other"), track("app", "other"));
        let (prod, test): (EnvironmentName, EnvironmentName) =
            ("prod".parse().unwrap(), "test".parse().unwrap());
        let lock = |track| Lock { environment: &prod, track };
        assert!(lock(Some(&one)).collides(&lock(Some(&one))));
        assert!(!lock(Some(&one)).collides(&lock(Some(&other))));
        assert!(lock(Some(&one)).collides(&lock(Some(&app))), "the two may be the same thing");
        assert!(lock(None).collides(&lock(Some(&one))) && lock(Some(&one)).collides(&lock(None)));
        assert!(!lock(None).collides(&Lock { environment: &test, track: None }));
    }
}
