//! Versions and how the next candidate's version follows from commits (Conventional Commits 1.0, `SemVer` 2.0).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version as a tag spells it: `v1.4.2`, `v1.4.2-rc.3`, `2.0.0`; the prefix and the pre-release are kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    prefix: String,
    major: u64,
    minor: u64,
    patch: u64,
    pre: Option<String>,
}

/// Why a text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionError;

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a version is `1.4.2` or `1.4.2-rc.1` with an optional prefix such as `v`, at most 64 characters",
        )
    }
}

impl std::error::Error for VersionError {}

/// Numbers of a version, by `SemVer`.
const CORE_NUMBERS: usize = 3;

/// Longest version, as the comment grammar reads it (COMMANDS §1).
const MAX_BYTES: usize = 64;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let start = text.find(|c: char| c.is_ascii_digit()).ok_or(VersionError)?;
        let (prefix, rest) = text.split_at_checked(start).ok_or(VersionError)?;
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if text.len() > MAX_BYTES || !plain(text) || prefix.starts_with(['.', '-', '_']) {
            return Err(VersionError);
        }
        let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let mut numbers = core.split('.').map(|n| {
            let canonical = n == "0" || !n.starts_with('0');
            if canonical { n.parse::<u64>().map_err(|_| VersionError) } else { Err(VersionError) }
        });
        let mut next = || numbers.next().unwrap_or(Err(VersionError));
        let version = Self {
            prefix: prefix.to_owned(),
            major: next()?,
            minor: next()?,
            patch: next()?,
            pre: pre.map(str::to_owned),
        };
        let tidy = pre.is_none_or(|p| !p.is_empty() && p.split('.').all(|part| !part.is_empty()));
        if numbers.next().is_none() && tidy { Ok(version) } else { Err(VersionError) }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}.{}", self.prefix, self.major, self.minor, self.patch)?;
        self.pre.iter().try_for_each(|pre| write!(f, "-{pre}"))
    }
}

impl Version {
    /// What stands behind the `-`.
    pub fn pre_release(&self) -> Option<&str> {
        self.pre.as_deref()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Version {
    /// `SemVer` precedence; the prefix only breaks ties.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| match (&self.pre, &other.pre) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) => compare_pre(a, b),
            })
            .then_with(|| self.prefix.cmp(&other.prefix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Numeric parts compare as numbers and come before words; a longer list wins when the rest is equal.
fn compare_pre(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(number), Ok(than)) => number.cmp(&than),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// How much a set of commits changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// Fixes, and everything that does not say what it is.
    Patch,
    /// A new feature (`feat:`).
    Minor,
    /// A breaking change (`!` or `BREAKING CHANGE:`).
    Major,
}

/// What one commit message asks for.
pub fn bump(message: &str) -> Bump {
    match git_conventional::Commit::parse(message.trim()) {
        Ok(commit) if commit.breaking() => Bump::Major,
        Ok(commit) if commit.type_() == git_conventional::Type::FEAT => Bump::Minor,
        Ok(_) | Err(_) => Bump::Patch,
    }
}

impl Version {
    /// True for a version without a pre-release.
    pub fn is_final(&self) -> bool {
        self.pre.is_none()
    }

    /// The version that a name was meant to be which is none: numbers that are left out are 0, and have no zeros in
    /// front (`v1.2`, `v2026.03.1`).
    pub fn near(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_at_checked(text.find(|c: char| c.is_ascii_digit())?)?;
        let (core, pre) = rest.split_at(rest.find('-').unwrap_or(rest.len()));
        let tidy = |number: &str| {
            let number = number.trim_start_matches('0');
            if number.is_empty() { "0".to_owned() } else { number.to_owned() }
        };
        let mut numbers: Vec<String> = core.split('.').map(tidy).collect();
        while numbers.len() < CORE_NUMBERS {
            numbers.push("0".to_owned());
        }
        format!("{prefix}{}{pre}", numbers.join(".")).parse().ok()
    }

    /// The version the candidates lead up to.
    #[must_use]
    pub fn base(&self) -> Self {
        Self { pre: None, ..self.clone() }
    }

    fn bumped(&self, bump: Bump) -> Self {
        let (major, minor, patch) = match bump {
            // Before 1.0 a breaking change raises the minor number (SemVer §4).
            Bump::Major if self.major == 0 => (0, self.minor.saturating_add(1), 0),
            Bump::Major => (self.major.saturating_add(1), 0, 0),
            Bump::Minor => (self.major, self.minor.saturating_add(1), 0),
            Bump::Patch => (self.major, self.minor, self.patch.saturating_add(1)),
        };
        Self { prefix: self.prefix.clone(), major, minor, patch, pre: None }
    }

    fn candidate_number(&self) -> Option<u64> {
        self.pre.as_deref()?.strip_prefix("rc.")?.parse().ok()
    }
}

/// The next candidate: the highest final version raised by the strongest commit since it, then the first `rc`
/// number that nobody has taken. Without a final version the first one is `v0.1.0`. Nothing counts from versions of
/// others, but their names are not given a second time.
pub fn next_candidate<'a>(
    taken: impl Iterator<Item = &'a Version>,
    others: &[Version],
    messages: &[String],
) -> Version {
    let taken: Vec<&Version> = taken.collect();
    let last = taken.iter().filter(|v| v.is_final()).max();
    let strongest = messages.iter().map(|m| bump(m)).max().unwrap_or(Bump::Patch);
    let base = last.map_or_else(
        || Version { prefix: "v".to_owned(), major: 0, minor: 1, patch: 0, pre: None },
        |v| v.bumped(strongest),
    );
    // One more than there are of others: one of them is free.
    let free = std::iter::successors(Some(base.clone()), |v| Some(v.bumped(Bump::Patch)))
        .take(others.len().saturating_add(1))
        .find(|v| !others.contains(v));
    let base = free.unwrap_or(base);
    let number = taken
        .iter()
        .filter(|v| (v.major, v.minor, v.patch) == (base.major, base.minor, base.patch))
        .filter_map(|v| v.candidate_number())
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let most = number.saturating_add(u64::try_from(others.len()).unwrap_or(u64::MAX));
    let candidate = |number| Version { pre: Some(format!("rc.{number}")), ..base.clone() };
    (number..=most).map(candidate).find(|v| !others.contains(v)).unwrap_or_else(|| candidate(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_that_is_no_version_is_near_one_or_none() {
        let near = |text: &str| Version::near(text).map(|version| version.to_string());
        for (text, expected) in [
            ("v1.2", "v1.2.0"),
            ("v1", "v1.0.0"),
            ("v2026.03.1", "v2026.3.1"),
            ("v1.00.0-rc.1", "v1.0.0-rc.1"),
            ("release-w40", "release-w40.0.0"),
        ] {
            assert_eq!(near(text).as_deref(), Some(expected));
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        for text in ["nightly", "v1.2.3.4", "v1.x", "v1.2-", ""] {
            assert_eq!(near(text), None, "{text}");
        }
    }

    #[test]
    fn versions_keep_their_spelling_and_sort_by_semver() {
        for text in ["v1.4.2", "1.4.2-rc.1", "release-1.0.0", "v0.1.0-rc.10"] {
            assert_eq!(v(text).to_string(), text);
        }
        let sorted = ["v1.0.0-alpha", "v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0", "v1.0.1-rc.1", "v1.10.0"];
        assert!(sorted.windows(2).all(|w| v(w[0]) < v(w[1])));
    }

    #[test]
    fn t42_a_version_is_never_a_path_or_an_option() {
        for text in ["../../x", "a/b", "-1.0.0", "1.0", "1.0.0.0", "v1.0.0-", "01.0.0", "", "HEAD", "1.0.0 x"]
        {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert!(format!("v1.0.0-{}", "x".repeat(300)).parse::<Version>().is_err());
    }

    #[test]
    fn the_next_candidate_follows_the_strongest_commit() {
        let next = |taken: &[&str], messages: &[&str]| {
            let taken: Vec<Version> = taken.iter().map(|t| v(t)).collect();
            let messages: Vec<String> = messages.iter().map(|m| (*m).to_owned()).collect();
            next_candidate(taken.iter(), &[], &messages).to_string()
        };
        assert_eq!(next(&[], &["feat: start"]), "v0.1.0-rc.1");
        assert_eq!(next(&["v1.2.3"], &["fix: a", "feat(x): b"]), "v1.3.0-rc.1");
        assert_eq!(next(&["v1.2.3"], &["Merge pull request #4"]), "v1.2.4-rc.1");
        assert_eq!(next(&["v1.2.3", "v1.3.0-rc.1"], &["feat: b"]), "v1.3.0-rc.2");
        assert_eq!(next(&["v1.2.3"], &["feat!: drop x"]), "v2.0.0-rc.1");
        assert_eq!(next(&["v1.2.3"], &["fix: x\n\nBREAKING CHANGE: y"]), "v2.0.0-rc.1");
        assert_eq!(next(&["0.3.1"], &["feat!: drop x"]), "0.4.0-rc.1");
    }

    #[test]
    fn d41_nothing_counts_from_versions_of_others_and_their_names_are_taken() {
        let next = |taken: &[&str], others: &[&str]| {
            let [taken, others] = [taken, others].map(|all| all.iter().map(|t| v(t)).collect::<Vec<_>>());
            next_candidate(taken.iter(), &others, &["feat: more".to_owned()]).to_string()
        };
        assert_eq!(next(&["v1.4.0"], &["v9.2.0", "v9.3.0-rc.1"]), "v1.5.0-rc.1");
        assert_eq!(next(&[], &["v9.2.0"]), "v0.1.0-rc.1");
        assert_eq!(next(&["v1.4.0"], &["v1.5.0-rc.1", "v1.5.0-rc.3"]), "v1.5.0-rc.2");
        assert_eq!(next(&["v1.4.0", "v1.5.0-rc.2"], &["v1.5.0-rc.3"]), "v1.5.0-rc.4");
        assert_eq!(next(&["v1.4.0"], &["v1.5.1", "v1.5.0"]), "v1.5.2-rc.1");
    }
}
