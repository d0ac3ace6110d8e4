//! The mask: replaces every secret by `***` in a text that leaves, by value in all its usual spellings and by shape.
//!
//! By value: the secret as it is, percent-encoded, JSON-escaped and in base64 (both alphabets, with or without
//! padding, alone or inside a longer text), also when a line break or an invisible control character cuts it.
//! By shape: tokens of GitHub, JSON web tokens and `x-access-token:…@` in addresses, whoever they belong to.
//! A text that comes in pieces goes through [`MaskStream`], whose result does not depend on where the cuts are.

mod needle;
mod pattern;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::secret::Secret;
use needle::Needle;

/// What stands where a secret stood.
pub const MARK: &str = "***";

/// Secrets with fewer bytes than this (without white space around them) are not masked. A value of three characters
/// occurs by chance all over a text, and the marks in the gaps would spell it out. Refuse such secrets in settings.
pub const SHORTEST_BYTES: usize = 4;

/// All secrets that this process has loaded, ready to be found; cheap to clone.
#[derive(Clone)]
pub struct Mask {
    needles: Arc<Needles>,
}

struct Needles {
    all: Vec<Needle>,
    /// For each of the 256 byte values the needles that may start with it, as positions in `all`.
    starts: Vec<Vec<usize>>,
}

/// The mask of a process that learns secrets while it runs; a text is hidden by what was known when it was asked.
#[derive(Debug)]
pub struct Learning(RwLock<(Vec<Secret>, Mask)>);

impl Learning {
    /// Knows these from the start.
    pub fn new(secrets: Vec<Secret>) -> Self {
        let mask = Mask::new(&secrets);
        Self(RwLock::new((secrets, mask)))
    }

    /// The mask as it is now.
    pub fn mask(&self) -> Mask {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The mask as it is now, which hides one more secret that only one piece of work has.
    pub fn mask_with(&self, secret: &Secret) -> Mask {
        let mut all = self.0.read().unwrap_or_else(PoisonError::into_inner).0.clone();
        all.push(secret.clone());
        Mask::new(&all)
    }

    /// Hides these from now on, for as long as the process runs.
    pub fn learn<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.0.len();
        for secret in secrets {
            if !known.0.contains(secret) {
                known.0.push(secret.clone());
            }
        }
        if known.0.len() > before {
            known.1 = Mask::new(&known.0);
        }
    }
}

/// Masks a text that comes in pieces; it keeps back the end of a piece while that may be the start of a secret.
#[derive(Debug)]
pub struct MaskStream {
    mask: Mask,
    held: String,
    /// So many bytes at the start of `held` lie under a mark that has been written already.
    covered: usize,
}

/// What stands at a place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// Nothing to hide starts here.
    No,
    /// The text ended before it could be told.
    MayContinue,
    /// Hide from here to this position.
    To(usize),
}

impl Match {
    /// The answer of two questions about one place: wait when either needs more text, else hide the longer one.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::MayContinue, _) | (_, Self::MayContinue) => Self::MayContinue,
            (Self::To(a), Self::To(b)) => Self::To(a.max(b)),
            (Self::To(end), Self::No) | (Self::No, Self::To(end)) => Self::To(end),
            (Self::No, Self::No) => Self::No,
        }
    }
}

impl Mask {
    /// A mask for these secrets; those under [`SHORTEST_BYTES`] are left out.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut all: Vec<Needle> = secrets.iter().flat_map(|s| needle::spellings(s.expose())).collect();
        all.sort();
        all.dedup();
        let mut starts = vec![Vec::new(); 256];
        for (position, needle) in all.iter().enumerate() {
            for first in needle.first_bytes() {
                if let Some(list) = starts.get_mut(usize::from(first)) {
                    list.push(position);
                }
            }
        }
        Self { needles: Arc::new(Needles { all, starts }) }
    }

    /// The text with everything hidden that must not leave.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut stream = self.stream();
        stream.push(text, &mut out);
        stream.finish(&mut out);
        out
    }

    /// The same for a text that comes in pieces.
    pub fn stream(&self) -> MaskStream {
        MaskStream { mask: self.clone(), held: String::new(), covered: 0 }
    }

    /// `complete` says that nothing follows the text, so that nothing is waited for.
    fn at(&self, text: &[u8], at: usize, complete: bool) -> Match {
        let Some(first) = text.get(at) else { return Match::No };
        let mut found = pattern::at(text, at, complete);
        let candidates = self.needles.starts.get(usize::from(*first)).map_or(&[][..], Vec::as_slice);
        for needle in candidates.iter().filter_map(|position| self.needles.all.get(*position)) {
            let one = match needle.at(text, at) {
                Match::MayContinue if complete => Match::No,
                other @ (Match::No | Match::MayContinue | Match::To(_)) => other,
            };
            found = found.or(one);
        }
        found
    }
}

impl MaskStream {
    /// Takes the next piece and appends to `out` what is certain by now.
    pub fn push(&mut self, text: &str, out: &mut String) {
        self.held.push_str(text);
        self.advance(false, out);
    }

    /// Says that the text is at its end and appends the rest to `out`; a new text may follow.
    pub fn finish(&mut self, out: &mut String) {
        self.advance(true, out);
    }

    fn advance(&mut self, complete: bool, out: &mut String) {
        let text = std::mem::take(&mut self.held);
        // Everything before `done` has been written or hidden. Hits that overlap share one mark, for the part of the
        // second that looks out from under the first may be most of it.
        let mut done = self.covered;
        let mut at = 0;
        while at < text.len() {
            match self.mask.at(text.as_bytes(), at, complete) {
                Match::No => {}
                Match::MayContinue => break,
                Match::To(end) => {
                    if at >= done {
                        out.push_str(text.get(done..at).unwrap_or_default());
                        out.push_str(MARK);
                    }
                    done = done.max(end);
                }
            }
            at += 1;
        }
        out.push_str(text.get(done..at).unwrap_or_default());
        self.covered = done.saturating_sub(at);
        text.get(at..).unwrap_or_default().clone_into(&mut self.held);
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} spellings)", self.needles.all.len())
    }
}

#[cfg(test)]
mod tests;
