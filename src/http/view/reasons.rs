//! Why stages of a release wait, what checks and people said about them, and what somebody could say now.

use serde::Serialize;

use crate::domain::time::Timestamp;

use super::glance::{Light, Link, rfc3339, rfc3339_or_null};

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

impl ApprovalLine {
    /// Whether it counts, at a glance.
    pub const fn light(&self) -> Light {
        if self.counts { Light::Good } else { Light::Off }
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
