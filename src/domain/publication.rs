//! What is published where: one row of a ledger per release and outlet, and what is to be done next by it.
//!
//! Every move of a row is a fact, so that whoever comes after a dead worker knows how far it came. What is to be done
//! is a function of the row and of what was found at the outlet, never of what the worker before meant to do: what is
//! there with the same digest is done, what is missing is put there, and what is there with another digest ends it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::document::{documents, lists};
use crate::domain::event::Sealed;
use crate::domain::evidence::{Evidence, SHA256SUMS, checksums, current, file_name};
use crate::domain::image::tag_of;
use crate::domain::name::{Alias, Digest, OutletName, StageName};
use crate::domain::release::Release;
use crate::domain::version::Version;

pub mod tag;

/// The file that says what the release is, for programs.
pub const METADATA: &str = "release.json";

/// What people read of an edited text, with the way back.
const EDITED: &str = "its text was edited there since it was published and is left as it is; `liftlock notes` prints the \
                      release's own, for whoever wants it back";

/// What is published where, and so the name of its row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// Files at an outlet of the server's config.
    Files {
        /// The outlet.
        to: OutletName,
        /// What of the release.
        what: Goods,
    },
    /// A tag in its repository, in every one that it took the tree of, and in those that it took builds of.
    Tags,
    /// The same by the release's final name.
    FinalTags,
    /// The host's own release, with its files.
    HostRelease {
        /// Whether it says what changed.
        notes: bool,
        /// Whether its checksums and `release.json` are among its files.
        metadata: bool,
        /// By which name.
        #[serde(default, skip_serializing_if = "Called::is_candidate")]
        called: Called,
    },
}

/// By which of its names a release is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// Its version, such as `v1.4.0-rc.2`.
    #[default]
    Candidate,
    /// The version that its candidates lead up to, such as `v1.4.0`.
    Final,
}

impl Called {
    /// True for the version itself.
    pub fn is_candidate(&self) -> bool {
        *self == Self::Candidate
    }

    /// The name.
    pub fn name(self, version: &Version) -> Version {
        match self {
            Self::Candidate => version.clone(),
            Self::Final => version.base(),
        }
    }
}

/// What of a release is published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goods {
    /// Its files and their checksums.
    All,
    /// Its files.
    SignedBits,
    /// The checksums of its files.
    Checksums,
    /// What its steps wrote down: notes, lists of checksums, `release.json`.
    Documents,
    /// What is signed of it by then: checksums, where its files come from, what they are made of, where they passed.
    Evidence,
    /// One file.
    One(Alias),
}

/// A file that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name there.
    pub name: String,
    /// What must be there: the digest of the file's bytes, or the commit that the tag names.
    pub is: String,
}

/// Whose words stand beside the files, where an outlet shows words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// The release's, or none.
    #[default]
    Ours,
    /// Somebody's, who has changed them there since they were published.
    Edited,
}

/// Something that happened to a row; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Which row.
    pub publish: Publish,
    /// What.
    pub moved: Move,
}

/// How a row moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// These files are to be there; nothing of them is.
    Planned(Vec<Item>),
    /// These are not published there, each with the reason.
    LeftOut(Vec<String>),
    /// The words there are no longer whose they were.
    Worded(Words),
    /// All bytes are at the outlet.
    Uploaded,
    /// They stand where people look for them.
    Visible,
    /// They were read back there and are the same.
    Verified,
    /// People are told where, when there is an address.
    Announced(Option<String>),
    /// It went no further in this attempt.
    Stopped(Stopped),
}

/// Why a row went no further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The reason, as the end of a sentence.
    pub how: String,
    /// The files that are there.
    #[serde(default)]
    pub there: Vec<String>,
    /// Whether something else has the name of one: only another version can be published.
    #[serde(default)]
    pub clash: bool,
}

/// How far a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing is known to be there.
    Planned,
    /// All bytes are there.
    Uploaded,
    /// People can get at them.
    Visible,
    /// They were read back.
    Verified,
    /// People were told.
    Announced,
}

/// Whether an outlet has had all of a row's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Not as far as is known.
    NotYet,
    /// It has, and what is missing since was taken away.
    Once,
}

/// One row: a release at an outlet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The stage that worked on it last.
    pub stage: StageName,
    /// The files.
    pub items: Vec<Item>,
    /// What is not published there, each with the reason.
    pub left_out: Vec<String>,
    /// How far it is.
    pub reached: Reached,
    /// Whether all of it was there once: from then on it is the release's own, and what is written there is not.
    pub filled: Filled,
    /// Whose words stand there.
    pub words: Words,
    /// Where people find it.
    pub address: Option<String>,
    /// Why it went no further the last time.
    pub stopped: Option<Stopped>,
}

/// All rows of a release.
pub type Ledger = BTreeMap<Publish, Row>;

/// What stands at an outlet under the name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or what a put left that died.
    Missing,
    /// The file, where nobody looks for it yet.
    Hidden,
    /// The file.
    Same,
    /// Something else, in words: its digest or its kind.
    Other(String),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Say so, then look again at what is to be done.
    Say(Move),
    /// Put these there.
    Put(Vec<Item>),
    /// Bring what is hidden to where people look for it.
    Show,
    /// Read all of it back.
    ReadBack,
    /// All of it is done.
    Done,
    /// Nothing can be done but by people.
    Stop(Stopped),
}

impl Goods {
    /// What `what` says in a manifest; another word is an artifact's alias.
    pub fn of_word(word: &str) -> Result<Self, String> {
        match word {
            "all" => Ok(Self::All),
            "signed-bits" => Ok(Self::SignedBits),
            "checksums" => Ok(Self::Checksums),
            "documents" => Ok(Self::Documents),
            "evidence" => Ok(Self::Evidence),
            alias => alias.parse().map(Self::One).map_err(|_| {
                "`what` is `all`, `signed-bits`, `checksums`, `documents`, `evidence` or the alias of an artifact"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { to, what } => match what {
                Goods::All => write!(f, "{to}"),
                Goods::SignedBits => write!(f, "{to} (signed bits)"),
                Goods::Checksums => write!(f, "{to} (checksums)"),
                Goods::Documents => write!(f, "{to} (documents)"),
                Goods::Evidence => write!(f, "{to} (evidence)"),
                Goods::One(alias) => write!(f, "{to} ({alias})"),
            },
            Self::Tags => f.write_str("git tags"),
            Self::FinalTags => f.write_str("final git tags"),
            Self::HostRelease { called: Called::Candidate, .. } => f.write_str("GitHub release"),
            Self::HostRelease { called: Called::Final, .. } => f.write_str("final GitHub release"),
        }
    }
}

impl Publish {
    /// The step that publishes it, as a manifest has it, without what it may say besides.
    pub fn written(&self) -> String {
        match self {
            Self::Files { to, .. } => format!("{{uses: publish, with: {{to: {to}}}}}"),
            Self::Tags | Self::FinalTags | Self::HostRelease { .. } => match self.called() {
                Called::Candidate => format!("{{uses: {}}}", self.outlet()),
                Called::Final => format!("{{uses: {}, with: {{final: true}}}}", self.outlet()),
            },
        }
    }

    /// By which of the release's names it is published.
    pub const fn called(&self) -> Called {
        match self {
            Self::Files { .. } | Self::Tags => Called::Candidate,
            Self::FinalTags => Called::Final,
            Self::HostRelease { called, .. } => *called,
        }
    }

    /// Where it goes, in a word.
    pub fn outlet(&self) -> &str {
        match self {
            Self::Files { to, .. } => to.as_str(),
            Self::Tags | Self::FinalTags => "git-tags",
            Self::HostRelease { .. } => "github-release",
        }
    }
}

impl Move {
    /// Its kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Planned(_) => "publication_planned",
            Self::LeftOut(_) => "publication_left_out",
            Self::Worded(_) => "publication_worded",
            Self::Uploaded => "publication_uploaded",
            Self::Visible => "publication_visible",
            Self::Verified => "publication_verified",
            Self::Announced(_) => "publication_announced",
            Self::Stopped(_) => "publication_stopped",
        }
    }
}

impl Said {
    /// In a few words.
    pub fn sentence(&self) -> String {
        let to = &self.publish;
        match &self.moved {
            Move::Planned(items) => format!("{to}: {} to be published", names(items)),
            Move::LeftOut(left) if left.is_empty() => format!("{to}: nothing is left out"),
            Move::LeftOut(left) => format!("{to}: left out: {}", left.join("; ")),
            Move::Worded(Words::Ours) => format!("{to}: its text is the release's again"),
            Move::Worded(Words::Edited) => format!("{to}: {EDITED}"),
            Move::Uploaded => format!("{to}: uploaded"),
            Move::Visible => format!("{to}: visible"),
            Move::Verified => format!("{to}: read back, the same bytes"),
            Move::Announced(None) => format!("{to}: published"),
            Move::Announced(Some(address)) => format!("{to}: published at {address}"),
            Move::Stopped(stopped) => format!("{to}: not published, {}", stopped.how),
        }
    }
}

impl Reached {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Uploaded => "uploaded",
            Self::Visible => "visible",
            Self::Verified => "verified",
            Self::Announced => "announced",
        }
    }
}

impl Stopped {
    /// The sentence people read, with what is there and what is not.
    pub fn sentence(&self, items: &[Item]) -> String {
        let missing = items.iter().filter(|item| !self.there.contains(&item.name));
        let missing: Vec<&str> = missing.map(|item| item.name.as_str()).collect();
        let there = if self.there.is_empty() { "nothing".to_owned() } else { self.there.join(", ") };
        match (self.clash, missing.as_slice()) {
            (true, _) => format!("{}; there of it: {there}", self.how),
            (false, []) => format!("{}; all of it is there: {there}", self.how),
            (false, missing) => format!("{}; there: {there}; missing: {}", self.how, missing.join(", ")),
        }
    }
}

impl Row {
    /// Whether a move can follow.
    pub fn takes(row: Option<&Self>, moved: &Move) -> bool {
        let Some(row) = row else { return matches!(moved, Move::Planned(_)) };
        match moved {
            Move::Planned(items) => row.reached > Reached::Planned || row.items != *items,
            Move::LeftOut(left) => row.left_out != *left,
            Move::Worded(words) => row.words != *words,
            Move::Uploaded => row.reached == Reached::Planned,
            Move::Visible => row.reached == Reached::Uploaded,
            Move::Verified => row.reached == Reached::Visible,
            Move::Announced(_) => row.reached >= Reached::Verified,
            Move::Stopped(_) => true,
        }
    }

    /// Adds a move to a row of this stage, which a plan begins.
    pub fn add(row: Option<Self>, stage: &StageName, moved: &Move) -> Option<Self> {
        let row = match (row, moved) {
            (row, Move::Planned(items)) => Self {
                stage: stage.clone(),
                items: items.clone(),
                left_out: Vec::new(),
                reached: Reached::Planned,
                filled: row.as_ref().map_or(Filled::NotYet, |row| row.filled),
                words: row.map(|row| row.words).unwrap_or_default(),
                address: None,
                stopped: None,
            },
            (None, _) => return None,
            (Some(row), _) => row,
        };
        let stopped = if let Move::Stopped(stopped) = moved { Some(stopped.clone()) } else { None };
        let mut row = Self { stage: stage.clone(), stopped, ..row };
        match moved {
            Move::Planned(_) | Move::Stopped(_) => {}
            Move::LeftOut(left) => row.left_out.clone_from(left),
            Move::Worded(words) => row.words = *words,
            Move::Uploaded => (row.reached, row.filled) = (Reached::Uploaded, Filled::Once),
            Move::Visible => row.reached = Reached::Visible,
            Move::Verified => row.reached = Reached::Verified,
            Move::Announced(address) => {
                row.reached = Reached::Announced;
                row.address.clone_from(address);
            }
        }
        Some(row)
    }

    /// In words, for people.
    pub fn line(&self) -> String {
        let line = match &self.stopped {
            Some(stopped) => format!("{}; {}", self.reached.word(), stopped.sentence(&self.items)),
            None => format!("{}, {}", self.reached.word(), names(&self.items)),
        };
        let line = if self.left_out.is_empty() {
            line
        } else {
            format!("{line}; left out: {}", self.left_out.join("; "))
        };
        self.remark().map_or_else(|| line.clone(), |remark| format!("{line}; {remark}"))
    }

    /// What people are to know of it that keeps nothing from being published.
    pub const fn remark(&self) -> Option<&'static str> {
        match self.words {
            Words::Ours => None,
            Words::Edited => Some(EDITED),
        }
    }
}

/// What is to be done next for a row that is to hold these files and not what is left out, by what was found under their
/// names and whose words stand there.
pub fn next(
    row: Option<&Row>,
    (items, left_out): (&[Item], &[String]),
    (found, words): (&BTreeMap<String, Found>, Words),
    address: Option<&str>,
) -> Next {
    let at = |item: &Item| found.get(&item.name).unwrap_or(&Found::Missing);
    let there = || items.iter().filter(|item| *at(item) == Found::Same).map(|item| item.name.clone());
    let other = items.iter().find_map(|item| match at(item) {
        Found::Other(what) => Some((item, what)),
        Found::Missing | Found::Hidden | Found::Same => None,
    });
    let planned = row.filter(|row| row.items == items);
    let Some(row) = planned else { return Next::Say(Move::Planned(items.to_vec())) };
    if row.left_out != left_out {
        return Next::Say(Move::LeftOut(left_out.to_vec()));
    }
    if row.words != words {
        return Next::Say(Move::Worded(words));
    }
    if let Some((item, what)) = other {
        let how = format!(
            "{} is there already as {what}, and this release has {}; what is published is never replaced, so release a \
             new version",
            item.name, item.is
        );
        return Next::Stop(Stopped { how, there: there().collect(), clash: true });
    }
    let lacking: Vec<Item> = items.iter().filter(|item| *at(item) == Found::Missing).cloned().collect();
    if !lacking.is_empty() {
        // What was there is gone: the row says so before anything is put there again.
        let gone = row.reached > Reached::Planned;
        return if gone { Next::Say(Move::Planned(items.to_vec())) } else { Next::Put(lacking) };
    }
    let hidden = items.iter().any(|item| *at(item) == Found::Hidden);
    match row.reached {
        Reached::Planned => Next::Say(Move::Uploaded),
        _ if hidden => Next::Show,
        Reached::Uploaded => Next::Say(Move::Visible),
        Reached::Visible => Next::ReadBack,
        Reached::Verified => Next::Say(Move::Announced(address.map(str::to_owned))),
        Reached::Announced if row.stopped.is_some() => Next::Say(Move::Announced(address.map(str::to_owned))),
        Reached::Announced => Next::Done,
    }
}

/// What of a release is published; `own` is its repository's present name. The error is why there is nothing.
pub fn items(release: &Release, publish: &Publish, own: &str) -> Result<Vec<Item>, String> {
    match publish {
        Publish::Files { what, .. } => files(release, what),
        Publish::HostRelease { metadata: true, .. } => files(release, &Goods::All),
        Publish::HostRelease { metadata: false, .. } => files(release, &Goods::SignedBits),
        Publish::Tags | Publish::FinalTags => {
            tag::items(release, &publish.called().name(&release.created.version), own)
        }
    }
}

fn files(release: &Release, what: &Goods) -> Result<Vec<Item>, String> {
    let file = |sealed: &Sealed| Item { name: file_name(sealed), is: sealed.digest.to_string() };
    let sums = || Item {
        name: SHA256SUMS.to_owned(),
        is: Digest::of_text(&checksums(release.shipped())).to_string(),
    };
    let kept = |file: &Evidence| Item { name: file.name.clone(), is: file.digest.to_string() };
    let lists = || lists(release).map(kept);
    match what {
        Goods::All => Ok(release.shipped().map(file).chain([sums()]).chain(lists()).collect()),
        Goods::SignedBits => Ok(release.shipped().map(file).collect()),
        Goods::Checksums => Ok([sums()].into_iter().chain(lists()).collect()),
        Goods::Documents => {
            let all: Vec<Item> = documents(release).into_values().map(kept).collect();
            if all.is_empty() {
                Err("no step has written a document of the release".to_owned())
            } else {
                Ok(all)
            }
        }
        Goods::Evidence => {
            let all: Vec<Item> = current(release).map(kept).collect();
            if all.is_empty() { Err("nothing of the release is signed yet".to_owned()) } else { Ok(all) }
        }
        Goods::One(alias) => {
            let one = release.artifacts.iter().find(|sealed| sealed.alias == *alias);
            one.map(|sealed| vec![file(sealed)]).ok_or_else(|| format!("the release has no artifact {alias}"))
        }
    }
}

/// The images of a release that are published; the error is why there are none.
pub fn images(release: &Release, publish: &Publish) -> Result<Vec<Item>, String> {
    let wanted = |sealed: &&Sealed| match publish {
        Publish::Files { what: Goods::One(one), .. } => sealed.alias == *one,
        Publish::Files { what: Goods::All | Goods::SignedBits, .. } => release.ships(sealed),
        Publish::Files { what: Goods::Checksums | Goods::Documents | Goods::Evidence, .. }
        | Publish::Tags
        | Publish::FinalTags
        | Publish::HostRelease { .. } => false,
    };
    let tag = tag_of(&release.created.version);
    let images = release.artifacts.iter().filter(wanted);
    let items = images.filter_map(|sealed| {
        let image = sealed.image.as_ref()?;
        Some(Item { name: format!("{}:{tag}", image.name.here()), is: image.manifest.to_string() })
    });
    let items: Vec<Item> = items.collect();
    if items.is_empty() { Err("the release has no image to publish there".to_owned()) } else { Ok(items) }
}

/// The rows that a stage worked on last, in words, with where people find them.
pub fn lines<'a>(
    release: &'a Release,
    stage: &'a StageName,
) -> impl Iterator<Item = (String, Option<&'a str>)> {
    let rows = release.ledger.iter().filter(move |(_, row)| row.stage == *stage);
    rows.map(|(publish, row)| (format!("{publish}: {}", row.line()), row.address.as_deref()))
}

fn names(items: &[Item]) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Item {
        Item { name: name.to_owned(), is: Digest::of_text(name).to_string() }
    }

    fn publish() -> Publish {
        Publish::Files { to: "cdn".parse().unwrap(), what: Goods::All }
    }

    /// An outlet whose bytes are hidden until they are shown, and a worker that dies after so many moves.
    struct Play {
        row: Option<Row>,
        left_out: Vec<String>,
        there: BTreeMap<String, Found>,
        words: Words,
        puts: Vec<String>,
        shown: usize,
    }

    impl Play {
        fn new() -> Self {
            Self {
                row: None,
                left_out: Vec::new(),
                there: BTreeMap::new(),
                words: Words::Ours,
                puts: Vec::new(),
                shown: 0,
            }
        }

        /// Whether it came to its end.
        fn work(&mut self, items: &[Item], mut moves: usize) -> Result<bool, Stopped> {
            let stage = "prod".parse().unwrap();
            while moves > 0 {
                moves -= 1;
                let goods = (items, self.left_out.as_slice());
                let there = (&self.there, self.words);
                match next(self.row.as_ref(), goods, there, Some("https://cdn.example")) {
                    Next::Say(moved) => {
                        assert!(Row::takes(self.row.as_ref(), &moved), "{moved:?} {:?}", self.row);
                        self.row = Row::add(self.row.take(), &stage, &moved);
                    }
                    Next::Put(lacking) => {
                        // It dies behind the first of them, too.
                        let Some(first) = lacking.first() else { panic!("{lacking:?}") };
                        self.puts.push(first.name.clone());
                        self.there.insert(first.name.clone(), Found::Hidden);
                    }
                    Next::Show => {
                        self.shown += 1;
                        let hidden = self.there.values_mut().find(|found| **found == Found::Hidden);
                        *hidden.unwrap() = Found::Same;
                    }
                    Next::ReadBack => {
                        self.row = Row::add(self.row.take(), &stage, &Move::Verified);
                    }
                    Next::Done => return Ok(true),
                    Next::Stop(stopped) => return Err(stopped),
                }
            }
            Ok(false)
        }
    }

    #[test]
    fn d53_a_row_that_is_cut_off_anywhere_ends_as_if_nothing_had_happened() {
        let items = [item("app"), item("docs.tar.zst"), item(SHA256SUMS)];
        let mut whole = Play::new();
        assert_eq!(whole.work(&items, 100), Ok(true));
        assert_eq!(whole.puts, ["app", "docs.tar.zst", SHA256SUMS]);
        for first in 0..12 {
            for second in 0..12 {
                let mut cut = Play::new();
                let done: Vec<bool> =
                    [first, second, 100].iter().map(|moves| cut.work(&items, *moves).unwrap()).collect();
                assert_eq!(done.last(), Some(&true));
                assert_eq!((&cut.row, &cut.puts, cut.shown), (&whole.row, &whole.puts, whole.shown));
            }
        }
    }

    #[test]
    fn d53_what_is_there_with_another_digest_is_a_hard_stop() {
        let items = [item("app"), item("docs")];
        let mut play = Play::new();
        play.there.insert("app".to_owned(), Found::Same);
        play.there.insert("docs".to_owned(), Found::Other("sha256:4711".to_owned()));
        let stopped = play.work(&items, 100).unwrap_err();
        assert!(stopped.clash && play.puts.is_empty());
        assert!(stopped.sentence(&items).contains("docs is there already as sha256:4711"), "{stopped:?}");
        assert!(stopped.sentence(&items).ends_with("release a new version; there of it: app"), "{stopped:?}");
    }

    #[test]
    fn d53_what_is_there_already_is_left_alone_and_what_is_gone_is_put_again() {
        let items = [item("app"), item("docs")];
        let mut play = Play::new();
        play.there.insert("app".to_owned(), Found::Same);
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.puts, ["docs"]);
        play.there.remove("app");
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.puts, ["docs", "app"]);
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.puts.len(), 2, "nothing is left to do");
    }

    #[test]
    fn d41_d53_what_is_left_out_is_said_before_anything_is_put_and_whenever_it_changes() {
        let items = [item("v1 of acme/shop")];
        let mut play = Play::new();
        play.left_out = vec!["acme/platform, because".to_owned()];
        assert_eq!(play.work(&items, 2), Ok(false), "planned, and what is left out");
        assert!(play.puts.is_empty());
        assert_eq!(play.work(&items, 100), Ok(true));
        let line = "announced, v1 of acme/shop; left out: acme/platform, because";
        assert_eq!(play.row.as_ref().unwrap().line(), line);
        play.left_out.clear();
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.row.as_ref().unwrap().line(), "announced, v1 of acme/shop");
        assert_eq!(play.puts.len(), 1);
    }

    #[test]
    fn d52_an_edited_text_is_said_and_keeps_no_file_from_being_put() {
        let items = [item("app"), item("docs")];
        let mut play = Play::new();
        assert_eq!(play.work(&items, 3), Ok(false), "both are put");
        assert_eq!(play.row.as_ref().unwrap().filled, Filled::NotYet);
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.row.as_ref().unwrap().remark(), None);
        play.words = Words::Edited;
        play.there.remove("docs");
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.puts, ["app", "docs", "docs"]);
        let row = play.row.clone().unwrap();
        assert_eq!((row.reached, row.filled), (Reached::Announced, Filled::Once));
        assert!(row.line().starts_with("announced, app, docs; its text was edited there"), "{}", row.line());
        // Said once, also through another plan, and taken back when it is the release's again.
        assert!(!Row::takes(Some(&row), &Move::Worded(Words::Edited)));
        play.there.remove("app");
        assert_eq!(play.work(&items, 1), Ok(false));
        assert_eq!(play.row.as_ref().unwrap().words, Words::Edited);
        play.words = Words::Ours;
        assert_eq!(play.work(&items, 100), Ok(true));
        assert_eq!(play.row.unwrap().line(), "announced, app, docs");
    }

    #[test]
    fn a_row_says_what_is_there_and_what_is_missing() {
        let items = vec![item("app"), item("docs")];
        let stage = "prod".parse().unwrap();
        let row = Row::add(None, &stage, &Move::Planned(items)).unwrap();
        assert_eq!(row.line(), "planned, app, docs");
        let stopped =
            Stopped { how: "cdn answered 503".to_owned(), there: vec!["app".to_owned()], clash: false };
        let row = Row::add(Some(row), &stage, &Move::Stopped(stopped)).unwrap();
        assert_eq!(row.line(), "planned; cdn answered 503; there: app; missing: docs");
        let said = Said { publish: publish(), moved: Move::Verified };
        assert_eq!(said.sentence(), "cdn: read back, the same bytes");
        assert!(!Row::takes(Some(&row), &Move::Verified) && !Row::takes(None, &Move::Uploaded));
    }
}
