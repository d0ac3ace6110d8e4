//! Everything that the page of one release shows.

use serde::Serialize;

use crate::domain::time::Timestamp;
use crate::http::about::ChannelLine;
use crate::http::published::PublicationLine;

use super::glance::{Light, Link, readable, rfc3339, short};
use super::grid::{ReleaseHead, StageBox};
use super::reasons::{ApprovalLine, AskedTable, CheckRow, NextLine, OverrideLine, StageWhy};
use super::variables::StageVariables;

/// How far a release's build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildBox {
    /// In a word.
    pub state: String,
    /// At a glance.
    pub light: Light,
    /// Why it is so, in one line.
    pub line: String,
}

/// Everything about one release; the engine fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleasePage {
    /// What it is.
    #[serde(flatten)]
    pub head: ReleaseHead,
    /// `owner/name` of its repository.
    pub repo: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The channel it is a release of, of the pipeline's `channels`.
    pub channel: Option<String>,
    /// The channels of stages it is in.
    pub channels: Vec<ChannelLine>,
    /// A page to read about the pipeline.
    pub docs_url: Option<Link>,
    /// Further facts in order: a name and a text, such as `branch` and `main`.
    pub facts: Vec<(String, String)>,
    /// The commit on its host.
    pub commit_url: Option<Link>,
    /// The files its build is written in, at its commit.
    pub files: Vec<FileLine>,
    /// Where its artifacts are from, when nothing was built for it.
    pub reused: Option<ReusedLine>,
    /// How far its build is.
    pub build: BuildBox,
    /// The name of the build's log.
    pub build_log: Option<String>,
    /// The stages, in order.
    pub stages: Vec<StageBox>,
    /// Why the stages that wait do.
    pub why: Vec<StageWhy>,
    /// What a person could write now.
    pub next: Vec<NextLine>,
    /// What people are asked for now, and who is missing.
    pub asked: Vec<AskedTable>,
    /// What checks say, by stage.
    pub checks: Vec<CheckRow>,
    /// Who approved what.
    pub approvals: Vec<ApprovalLine>,
    /// What was passed over, by whom and why; it stays with the release for ever.
    pub overrides: Vec<OverrideLine>,
    /// What was built, as stages have left it.
    pub artifacts: Vec<ArtifactLine>,
    /// The stage that made some of it anew or in addition, the last of them.
    pub made_in: Option<String>,
    /// What of it is published where.
    pub publications: Vec<PublicationLine>,
    /// Commits since the release before, newest first.
    pub changes: Vec<ChangeLine>,
    /// How many more commits there are.
    pub changes_left_out: u32,
    /// What happened, newest first.
    pub events: Vec<EventLine>,
    /// What the commands of each stage are told.
    pub variables: Vec<StageVariables>,
}

impl ReleasePage {
    /// What is said in the place of a commit when what it is made of was handed in.
    pub fn handed_in(&self) -> Option<&str> {
        self.facts.iter().find(|(name, _)| name == "source").map(|(_, text)| text.as_str())
    }
}

/// What a release took over instead of being built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReusedLine {
    /// What it was built for.
    pub of: String,
    /// Where that is shown.
    pub path: String,
    /// The commit it was built from.
    pub commit: String,
    /// The tree that both commits have, when they are two.
    pub tree: Option<String>,
}

impl ReusedLine {
    /// The beginning of its commit's id.
    pub fn short_commit(&self) -> String {
        short(&self.commit)
    }
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// Its path.
    pub path: String,
    /// On its host.
    pub url: Option<Link>,
}

/// A file or image of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactLine {
    /// What the manifest calls it.
    pub alias: String,
    /// Its name as a file.
    pub file: String,
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// The image that it is, by name and digest, when it is one.
    pub image: Option<String>,
    /// The build of another pipeline that it was taken from, with its version.
    pub from: Option<String>,
    /// How it came to be, when a stage made it: which, and out of what.
    pub made: Option<MadeLine>,
    /// Whether it goes to others.
    pub ships: bool,
}

impl ArtifactLine {
    /// Its size as people say it.
    pub fn readable_size(&self) -> String {
        readable(self.size)
    }
}

/// How a stage made an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeLine {
    /// In which stage.
    pub stage: String,
    /// By which step.
    pub step: String,
    /// The digest of what it was before; nothing for one that was not there.
    pub was: Option<String>,
}

/// A commit of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeLine {
    /// Its id.
    pub commit: String,
    /// Its first line.
    pub subject: String,
    /// By whom.
    pub author: String,
    /// On its host.
    pub url: Option<Link>,
}

impl ChangeLine {
    /// The beginning of its commit's id.
    pub fn short_commit(&self) -> String {
        short(&self.commit)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// Its number in the log.
    pub seq: i64,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// Who did it.
    pub who: String,
    /// What happened, in a sentence.
    pub text: String,
}
