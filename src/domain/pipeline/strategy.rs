//! How a stage brings a release out when not all at once.

use serde::{Deserialize, Serialize};

use crate::domain::check::Check;
use crate::domain::event::RunKind;
use crate::domain::name::SlotName;
use crate::domain::pipeline::step::Step;
use crate::domain::time::Span;

/// A way to bring a release out, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A part of it first, which is watched for a while, then more.
    Canary(Vec<Portion>),
    /// Beside what is live, and then in its place.
    BlueGreen(Box<BlueGreen>),
}

/// Two slots, of which one is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlueGreen {
    /// The slots; the first is filled first.
    pub slots: [SlotName; 2],
    /// The command that makes a slot the live one.
    pub switch: Step,
    /// What is asked of a slot before it is made the live one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Check>,
    /// What is sampled while the other slot is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Check>,
    /// How long the other slot is kept to be switched back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
}

/// How far a canary goes before it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    /// So many of a hundred run the release then: of the stage's targets rounded up, or whatever its commands make
    /// of it.
    pub percent: u32,
    /// How long it is watched before it goes further; nothing behind the last portion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// What is sampled meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Check>,
}

impl Portion {
    /// All of it, and nothing is waited for.
    pub const WHOLE: &[Self] = &[Self { percent: 100, hold: None, gates: Vec::new() }];
}

impl Strategy {
    /// The portions of a run of this kind. Who goes back does so at once: the bad release is not to stay for another
    /// hour.
    pub fn portions(&self, kind: RunKind) -> &[Portion] {
        match (self, kind) {
            (Self::BlueGreen(_), _) => &[],
            (Self::Canary(_), RunKind::Rollback) => Portion::WHOLE,
            (Self::Canary(portions), RunKind::Deploy | RunKind::Redeploy | RunKind::Verify) => portions,
        }
    }

    /// What is asked while it is brought out.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        let (portions, slots) = match self {
            Self::Canary(portions) => (portions.as_slice(), None),
            Self::BlueGreen(rule) => (&[][..], Some(rule)),
        };
        let slots = slots.into_iter().flat_map(|rule| rule.before.iter().chain(&rule.gates));
        portions.iter().flat_map(|portion| &portion.gates).chain(slots)
    }

    /// The command it runs besides those that deploy.
    pub fn step(&self) -> Option<&Step> {
        match self {
            Self::Canary(_) => None,
            Self::BlueGreen(rule) => Some(&rule.switch),
        }
    }
}
