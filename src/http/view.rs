//! What pages and the API show: plain values, filled from stored rows here and by the engine for one release.

use std::fmt;

use serde::Serialize;

use crate::domain::release::LIVE_WITH_ISSUES;
use crate::domain::time::Timestamp;
use crate::http::about::{ChannelLine, StageAbout};
use crate::http::published::PublicationLine;
use crate::store::delivery::Delivery;
use crate::store::model::{PipelineRow, ReleaseRow, StageRow};

/// The variables of a stage; secrets as `***`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageVariables {
    /// The stage.
    pub stage: String,
    /// Why they cannot be used, if so.
    pub problem: Option<String>,
    /// One per name.
    pub variables: Vec<VariableLine>,
}

impl StageVariables {
    /// Those that somebody declared: what the engine says is the same for everybody.
    pub fn declared(&self) -> impl Iterator<Item = &VariableLine> {
        self.variables.iter().filter(|v| v.said.first().is_some_and(|s| s.level != "predefined"))
    }
}

/// A variable of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableLine {
    /// Its name.
    pub name: String,
    /// What a command sees it as.
    pub environment: String,
    /// What it stands for.
    pub value: String,
    /// Who says something about it, the winner first.
    pub said: Vec<SaidLine>,
}

/// What one source says about a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SaidLine {
    /// The level: `stage`, `release`, `predefined`.
    pub level: String,
    /// Who.
    pub source: String,
    /// What, macros as written.
    pub value: String,
}

/// How something stands, as far as a glance tells: an icon, a colour and a word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// It is as it should be.
    Good,
    /// It is on its way.
    Moving,
    /// It waits for a time or for something else.
    Waiting,
    /// It waits for a person.
    Asking,
    /// It went wrong.
    Bad,
    /// It will not happen, and that is fine.
    Off,
}

impl Light {
    /// The light of a state, by the word the rules have for it.
    pub fn of(state: &str) -> Self {
        match state.replace([' ', '-'], "_").as_str() {
            "live" | "live_with_issues" | "succeeded" | "released" | "done" | "passed" | "overridden" => {
                Self::Good
            }
            "running" | "building" | "active" | "rolling_back" | "cancelling" | "queued" => Self::Moving,
            "paused" | "awaiting_signoff" | "awaiting_sign_off" | "inconclusive" => Self::Asking,
            "failed"
            | "error"
            | "errored"
            | "timed_out"
            | "rejected"
            | "rejected_after_deploy"
            | "build_failed"
            | "rolled_back"
            | "poison" => Self::Bad,
            "superseded" | "cancelled" | "skipped" | "skipped_upstream" | "abandoned" | "ignored" => {
                Self::Off
            }
            // Waiting, pending, ready, new; and a state of a newer program shows its own word.
            _ => Self::Waiting,
        }
    }

    /// The class in the style sheet, and the shape of the icon.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }

    /// The path of its icon in a box of 16 by 16: a tick, a lift, a clock, a person, a cross, a line.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Good => "M3 8.5l3.5 3.5L13 4.5",
            Self::Moving => "M8 13V3.5M4 7.5l4-4 4 4",
            Self::Waiting => "M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z",
            Self::Asking => "M10.5 5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM3 14a5 5 0 0 1 10 0",
            Self::Bad => "M4 4l8 8M12 4l-8 8",
            Self::Off => "M4 8h8",
        }
    }
}

/// An address on the web: `http` or `https` and nothing else, so it can stand in a link (THREATS T49).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Link(String);

impl Link {
    /// The text as a link, if it is one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let web = text.starts_with("https://") || text.starts_with("http://");
        (web && text.bytes().all(|b| b.is_ascii_graphic())).then_some(Self(text))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pipelines and where their newest releases stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// One grid each.
    pub pipelines: Vec<Grid>,
    /// The stream to ask for pipelines after, if there are more.
    pub more: Option<String>,
}

/// The newest releases of a pipeline against its stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// The pipeline's stream, `<repository id>/<pipeline>`.
    pub stream: String,
    /// `owner/name` of its repository.
    pub repo: String,
    /// Its name.
    pub name: String,
    /// The stages, in order.
    pub stages: Vec<String>,
    /// The releases, newest first.
    pub rows: Vec<GridRow>,
    /// The number to ask for releases before, if there are more.
    pub before: Option<u32>,
}

/// A release and how it stands in each stage of its grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GridRow {
    /// What it is.
    #[serde(flatten)]
    pub head: ReleaseHead,
    /// One cell per stage of the grid; none where the release has no such stage.
    pub cells: Vec<Option<StageBox>>,
}

/// What a release is called and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseHead {
    /// Its pipeline's stream.
    pub stream: String,
    /// Its number in the pipeline.
    pub no: u32,
    /// Its version.
    pub version: String,
    /// What it is of, when others of its pipeline are of something else: `service=checkout`.
    pub track: Option<String>,
    /// One line for people.
    pub title: String,
    /// The commit it is made from.
    pub commit: String,
    /// The digest of its artifact, once sealed.
    pub digest: Option<String>,
    /// Its state in a word.
    pub state: String,
    /// Its state at a glance.
    pub light: Light,
    /// When it was opened.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: Timestamp,
    /// The last event that changed it.
    pub seq: i64,
}

/// A stage of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageBox {
    /// Its name.
    pub stage: String,
    /// Which attempt this is about.
    pub attempt: u32,
    /// Its state in a word.
    pub state: String,
    /// Its state at a glance.
    pub light: Light,
    /// Whether it is live although something was passed over (SEMANTICS §2).
    pub succeeded_with_issues: bool,
    /// Why it is so, in one line.
    pub line: String,
    /// When it last changed.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: Timestamp,
    /// When something happens next by itself.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub next_at: Option<Timestamp>,
    /// The name of its log, if it has one.
    pub log: Option<String>,
    /// What it says about itself.
    pub about: StageAbout,
}

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

/// Why one stage waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageWhy {
    /// The stage.
    pub stage: String,
    /// Everything that was looked at, in order.
    pub lines: Vec<WhyLine>,
}

/// Whether one thing lets a stage pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It does.
    Pass,
    /// Not yet.
    Wait,
    /// Not by itself: somebody has to act.
    Stop,
}

impl Mark {
    /// The light it is drawn with.
    pub const fn light(self) -> Light {
        match self {
            Self::Pass => Light::Good,
            Self::Wait => Light::Waiting,
            Self::Stop => Light::Asking,
        }
    }

    /// The word beside the icon, for those who do not see it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "passed",
            Self::Wait => "waiting",
            Self::Stop => "needs somebody",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhyLine {
    /// Whether it lets the stage pass.
    pub mark: Mark,
    /// What there is to say.
    pub text: String,
    /// Who can do what about it.
    pub next: Option<String>,
    /// When it passes by itself, if it does.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub until: Option<Timestamp>,
}

/// A line somebody may write in a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextLine {
    /// What it does.
    pub what: String,
    /// The line, such as `/approve prod v1.4.2`.
    pub line: String,
}

/// A leg or gate of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// The stage.
    pub stage: String,
    /// The check, with its component when it is asked for each.
    pub check: String,
    /// How it stands, in a word.
    pub state: String,
    /// The same at a glance.
    pub light: Light,
    /// What it answered.
    pub text: String,
    /// When it last changed.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub at: Option<Timestamp>,
    /// The name of its log, if it has one.
    pub log: Option<String>,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalLine {
    /// For which stage.
    pub stage: String,
    /// `approval` before the deploy, `sign-off` after it.
    pub side: String,
    /// By whom.
    pub who: String,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// Whether it counts.
    pub counts: bool,
    /// What for, or why not.
    pub note: String,
    /// The comment.
    pub url: Option<Link>,
}

/// What a stage asks of people now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedTable {
    /// The stage.
    pub stage: String,
    /// `approval` before the deploy, `sign-off` after it.
    pub side: String,
    /// What they should do before they answer.
    pub instructions: Option<String>,
    /// One line for everything that is asked.
    pub rows: Vec<AskedRow>,
}

/// One thing asked of people, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedRow {
    /// Of whom.
    pub who: String,
    /// How many.
    pub need: u32,
    /// Who gave it.
    pub by: Vec<String>,
    /// How many are missing.
    pub lacks: u32,
}

impl AskedRow {
    /// Its state at a glance.
    pub const fn light(&self) -> Light {
        if self.lacks == 0 { Light::Good } else { Light::Asking }
    }

    /// Who gave it, in words.
    pub fn names(&self) -> String {
        if self.by.is_empty() { "nobody yet".to_owned() } else { self.by.join(", ") }
    }
}

/// Something that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverrideLine {
    /// In which stage.
    pub stage: String,
    /// Which attempt.
    pub attempt: u32,
    /// What.
    pub check: String,
    /// By whom.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// Whether enough people said so.
    pub counts: bool,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
pub(super) fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

#[expect(clippy::ref_option, reason = "the shape serde calls")]
pub(super) fn rfc3339_or_null<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(serializer)
}

/// As many digits of a commit's id as people compare.
fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

impl ReleaseHead {
    /// The address of its page.
    pub fn href(&self) -> String {
        format!("/releases/{}/{}", self.stream, self.no)
    }

    /// The beginning of its commit's id.
    pub fn short_commit(&self) -> String {
        short(&self.commit)
    }
}

impl ChangeLine {
    /// The beginning of its commit's id.
    pub fn short_commit(&self) -> String {
        short(&self.commit)
    }
}

impl ArtifactLine {
    /// Its size as people say it.
    pub fn readable_size(&self) -> String {
        readable(self.size)
    }
}

impl ApprovalLine {
    /// Whether it counts, at a glance.
    pub const fn light(&self) -> Light {
        if self.counts { Light::Good } else { Light::Off }
    }
}

/// The track of a release; nothing in rows from before there were any.
fn track_of(summary: &str) -> Option<String> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    Some(plain_line(summary.get("track")?.as_str()?))
}

impl From<ReleaseRow> for ReleaseHead {
    fn from(row: ReleaseRow) -> Self {
        Self {
            light: Light::of(&row.state),
            state: row.state.replace('_', " "),
            stream: row.stream,
            no: row.no,
            version: plain_line(&row.version),
            track: track_of(&row.summary),
            title: plain_line(&row.title),
            commit: row.commit,
            digest: row.digest,
            created_at: row.created_at,
            updated_at: row.updated_at,
            seq: row.seq,
        }
    }
}

impl From<StageRow> for StageBox {
    fn from(row: StageRow) -> Self {
        Self {
            light: Light::of(&row.state),
            state: row.state.replace('_', " "),
            succeeded_with_issues: row.state == LIVE_WITH_ISSUES,
            stage: row.stage,
            attempt: row.attempt,
            line: plain_line(&row.line),
            updated_at: row.updated_at,
            next_at: row.next_at,
            log: None,
            about: StageAbout { runs_commands: true, ..StageAbout::default() },
        }
    }
}

impl Grid {
    /// The grid of stored rows. Columns are in the order of the newest release; stages only older releases have
    /// come after them.
    pub fn of(pipeline: PipelineRow, rows: Vec<(ReleaseRow, Vec<StageRow>)>, before: Option<u32>) -> Self {
        let mut stages: Vec<String> = Vec::new();
        for stage in rows.iter().flat_map(|(_, stages)| stages) {
            if !stages.contains(&stage.stage) {
                stages.push(stage.stage.clone());
            }
        }
        let rows = rows.into_iter().map(|(release, own)| {
            let cell = |name: &String| own.iter().find(|row| row.stage == *name).cloned().map(StageBox::from);
            GridRow { cells: stages.iter().map(cell).collect(), head: release.into() }
        });
        let rows = rows.collect();
        Self { stream: pipeline.stream, repo: pipeline.repo_name, name: pipeline.name, stages, rows, before }
    }

    /// The part of addresses that names the pipeline.
    pub fn path(&self) -> &str {
        &self.stream
    }
}

/// Bytes as people say them.
pub fn readable(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

/// A text from outside as one line of a page or a stream: without control characters, which could move a
/// terminal's cursor, and without the marks that turn the order of letters around (THREATS T50).
pub fn plain_line(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !hidden(*c)).collect()
}

/// A sentence in parts, true for those between backticks, which pages set as code.
pub(super) fn spans(text: impl AsRef<str>) -> Vec<(bool, String)> {
    let text = plain_line(text.as_ref());
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        // One backtick is without its partner: nothing is code.
        return vec![(false, text)];
    }
    let of = |(no, part): (usize, &str)| (no % 2 == 1, part.to_owned());
    parts.into_iter().enumerate().map(of).filter(|(_, part)| !part.is_empty()).collect()
}

/// A delivery with what pages say about it.
#[derive(Debug, Clone)]
pub(super) struct Shown(pub(super) Delivery);

impl std::ops::Deref for Shown {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.0
    }
}

impl Shown {
    /// How far it has come, at a glance.
    pub(super) fn light(&self) -> Light {
        Light::of(self.0.state.word())
    }

    /// Its size as people say it.
    pub(super) fn readable_size(&self) -> String {
        readable(u64::try_from(self.0.size).unwrap_or(0))
    }
}
