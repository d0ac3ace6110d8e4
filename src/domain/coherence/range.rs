//! Versions and ranges of versions as each feed writes them: `^1.2`, `>=1.2,<2`, `~=1.2.3`, `[1.2,2.0)`.
//!
//! What cannot be read is no answer, and never a yes.

use semver::{Prerelease, Version, VersionReq};

use crate::domain::coherence::Feed;

/// What npm's ranges put before a version; two signs come first.
const NPM_SIGNS: [(&str, &str); 8] =
    [(">=", ">="), ("<=", "<="), ("~>", "~"), (">", ">"), ("<", "<"), ("~", "~"), ("^", "^"), ("=", "=")];
/// Any version.
const ANY: &str = "*";
/// What Python's put before one, the longest first.
const PYTHON_SIGNS: [&str; 8] = ["===", "==", "!=", "~=", ">=", "<=", ">", "<"];
/// Numbers in a version of `NuGet`.
const NUGET_NUMBERS: usize = 4;

/// Whether a version is one of those; nothing when nobody can tell.
pub fn satisfies(feed: Feed, version: &str, wanted: &str) -> Option<bool> {
    let wanted = wanted.trim();
    match feed {
        Feed::Cargo => Some(VersionReq::parse(wanted).ok()?.matches(&Version::parse(version).ok()?)),
        Feed::Npm => npm(&Version::parse(version).ok()?, wanted),
        Feed::NuGet => nuget(&NuGet::read(version)?, wanted),
        Feed::PyPi => python(&Python::read(version)?, wanted),
    }
}

/// Whether two texts are the same version.
pub fn same(feed: Feed, one: &str, other: &str) -> bool {
    let both = match feed {
        Feed::Cargo | Feed::Npm => {
            let plain = |text: &str| Version::parse(text).ok().map(|v| (v.major, v.minor, v.patch, v.pre));
            plain(one).zip(plain(other)).map(|(one, other)| one == other)
        }
        Feed::NuGet => NuGet::read(one).zip(NuGet::read(other)).map(|(one, other)| one == other),
        Feed::PyPi => Python::read(one).zip(Python::read(other)).map(|(one, other)| one == other),
    };
    both.unwrap_or(one == other)
}

/// One of several sets, parted by `||`.
fn npm(version: &Version, wanted: &str) -> Option<bool> {
    let sets: Option<Vec<bool>> = wanted.split("||").map(|set| npm_set(version, set)).collect();
    sets.map(|answers| answers.contains(&true))
}

/// All of a set, parted by blanks.
fn npm_set(version: &Version, set: &str) -> Option<bool> {
    if let Some((from, to)) = set.split_once(" - ") {
        return npm_set(version, &format!(">={} <={}", from.trim(), to.trim()));
    }
    let (mut wanted, mut sign) = (Vec::new(), String::new());
    for word in set.split_whitespace() {
        let is_sign = NPM_SIGNS.iter().any(|(known, _)| *known == word);
        if is_sign {
            word.clone_into(&mut sign);
            continue;
        }
        wanted.push(npm_word(&format!("{}{word}", std::mem::take(&mut sign)))?);
    }
    wanted.retain(|word| word != ANY);
    if !sign.is_empty() {
        return None;
    }
    if wanted.is_empty() {
        return Some(true);
    }
    Some(VersionReq::parse(&wanted.join(", ")).ok()?.matches(version))
}

/// One word of a set as Cargo writes it.
fn npm_word(word: &str) -> Option<String> {
    let known = NPM_SIGNS.iter().find_map(|(sign, ours)| Some((word.strip_prefix(sign)?, *ours)));
    // Without a sign it is exactly that one, or with fewer numbers any that begins so.
    let (mut number, sign) = known.unwrap_or((word, "="));
    number = number.strip_prefix('v').unwrap_or(number);
    while let Some(fewer) = [".x", ".X", ".*"].iter().find_map(|any| number.strip_suffix(any)) {
        number = fewer;
    }
    if matches!(number, "x" | "X" | "*") {
        return (!matches!(sign, "<" | ">")).then(|| ANY.to_owned());
    }
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{sign}{number}"))
}

/// A version of `NuGet`: up to four numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct NuGet {
    numbers: Vec<u64>,
    pre: Prerelease,
}

impl NuGet {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().split('+').next()?;
        let (core, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
        let fits = numbers.len() <= NUGET_NUMBERS;
        numbers.resize(NUGET_NUMBERS, 0);
        let pre = Prerelease::new(&pre.to_lowercase()).ok()?;
        fits.then_some(Self { numbers, pre })
    }
}

/// A lowest version, or an interval as mathematicians write it.
fn nuget(version: &NuGet, wanted: &str) -> Option<bool> {
    if wanted.is_empty() {
        return Some(true);
    }
    let ends = |text: &str, open: char, closed: char| {
        if text.starts_with(closed) || text.ends_with(closed) {
            Some(true)
        } else {
            (text.starts_with(open) || text.ends_with(open)).then_some(false)
        }
    };
    let Some(with_low) = ends(wanted.get(..1)?, '(', '[') else {
        return Some(*version >= NuGet::read(wanted)?);
    };
    let with_high = ends(wanted.get(wanted.len().checked_sub(1)?..)?, ')', ']')?;
    let inner = wanted.get(1..wanted.len().checked_sub(1)?)?;
    let Some((low, high)) = inner.split_once(',') else {
        return (with_low && with_high).then_some(*version == NuGet::read(inner)?);
    };
    let bound = |text: &str| if text.trim().is_empty() { Some(None) } else { NuGet::read(text).map(Some) };
    let (low, high) = (bound(low)?, bound(high)?);
    let above = low.is_none_or(|low| *version > low || (with_low && *version == low));
    let below = high.is_none_or(|high| *version < high || (with_high && *version == high));
    Some(above && below)
}

/// A version of Python (PEP 440), in its order; what is local about it does not count.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Python {
    epoch: u64,
    /// Without zeros at the end: `1.0` is `1`.
    numbers: Vec<u64>,
    phase: (Phase, u64),
    /// One more than it says; nothing is 0.
    post: u64,
    /// Nothing comes last.
    dev: u64,
}

/// How far a version of Python is, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Dev,
    Alpha,
    Beta,
    Candidate,
    Final,
}

impl Python {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text).split('+').next()?;
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, rest)) => (number(epoch)?, rest),
            None => (0, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (core, mut rest) = text.split_at_checked(end)?;
        let mut numbers: Vec<u64> =
            core.trim_end_matches('.').split('.').map(number).collect::<Option<_>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        let mut version = Self { epoch, numbers, phase: (Phase::Final, 0), post: 0, dev: u64::MAX };
        while !rest.is_empty() {
            rest = version.take(rest)?;
        }
        if version.dev != u64::MAX && version.post == 0 && version.phase.0 == Phase::Final {
            version.phase.0 = Phase::Dev;
        }
        Some(version)
    }

    /// Takes what stands next behind the numbers, `rc1` or `.post2`, and gives the rest.
    fn take<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        const SEPARATORS: [char; 3] = ['.', '-', '_'];
        let short = rest.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let rest = rest.trim_start_matches(SEPARATORS);
        let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let (word, rest) = rest.split_at_checked(letters)?;
        let rest = rest.trim_start_matches(SEPARATORS);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (count, rest) = rest.split_at_checked(digits)?;
        let count = if count.is_empty() { 0 } else { number(count)? };
        match word {
            "a" | "alpha" => self.phase = (Phase::Alpha, count),
            "b" | "beta" => self.phase = (Phase::Beta, count),
            "c" | "rc" | "pre" | "preview" => self.phase = (Phase::Candidate, count),
            "post" | "rev" | "r" => self.post = count.saturating_add(1),
            "" if short.is_some() => self.post = count.saturating_add(1),
            "dev" => self.dev = count,
            _ => return None,
        }
        Some(rest)
    }

    fn is_early(&self) -> bool {
        self.phase.0 != Phase::Final || self.dev != u64::MAX
    }

    /// Whether it begins with these numbers, given as text.
    fn begins(&self, prefix: &str) -> Option<bool> {
        let wanted: Vec<u64> = prefix.split('.').map(number).collect::<Option<_>>()?;
        let own = self.numbers.iter().copied().chain(std::iter::repeat(0));
        Some(own.zip(&wanted).all(|(own, wanted)| own == *wanted))
    }
}

/// All conditions, parted by commas.
fn python(version: &Python, wanted: &str) -> Option<bool> {
    let inner = wanted.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(wanted);
    let conditions = inner.split(',').map(str::trim).filter(|condition| !condition.is_empty());
    let answers: Option<Vec<bool>> = conditions.map(|condition| python_one(version, condition)).collect();
    answers.map(|answers| answers.iter().all(|good| *good))
}

fn python_one(version: &Python, condition: &str) -> Option<bool> {
    let known = PYTHON_SIGNS.iter().find_map(|sign| Some((*sign, condition.strip_prefix(sign)?.trim())));
    let (sign, text) = known?;
    if let Some(prefix) = text.strip_suffix(".*") {
        let begins = version.begins(prefix)?;
        return match sign {
            "==" => Some(begins),
            "!=" => Some(!begins),
            _ => None,
        };
    }
    let wanted = Python::read(text)?;
    let same_numbers = version.epoch == wanted.epoch && version.numbers == wanted.numbers;
    Some(match sign {
        "==" | "===" => *version == wanted,
        "!=" => *version != wanted,
        ">=" => *version >= wanted,
        "<=" => *version <= wanted,
        // `<2` leaves out what comes before 2 as its candidate, and `>1` what comes behind 1 as its repair.
        "<" => *version < wanted && !(same_numbers && version.is_early() && !wanted.is_early()),
        ">" => *version > wanted && !(same_numbers && version.post > 0 && wanted.post == 0),
        "~=" => {
            let core = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            let (prefix, _) = text.get(..core)?.trim_end_matches('.').rsplit_once('.')?;
            *version >= wanted && version.begins(prefix)?
        }
        _ => return None,
    })
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
