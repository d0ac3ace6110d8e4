//! A canary that is held, or a slot that is watched: its gates are sampled for as long as it lasts, and once more when
//! the time is over.
//!
//! What was green before the server slept for an hour says nothing about now; therefore nothing goes on by itself
//! that was not looked at after its time was over.

use serde::{Deserialize, Serialize};

use crate::domain::check::course::Course;
use crate::domain::check::{Gates, Side};
use crate::domain::name::SlotName;
use crate::domain::pause::Pausing;
use crate::domain::pipeline::strategy::{BlueGreen, Portion};
use crate::domain::probe::Answer;
use crate::domain::release::StageRun;
use crate::domain::time::Timestamp;

/// What a run is held for between two portions; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// So many of a hundred run the release.
    pub percent: u32,
    /// The slot that is live meanwhile, where one of two is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotName>,
    /// What is sampled meanwhile, after the deploy as any gate is.
    pub gates: Gates,
}

/// What follows for a run that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// Nothing yet.
    Wait,
    /// Its gates are sampled from now on: at its beginning, and once more when its time is over.
    Sample,
    /// The next portion.
    GoOn,
    /// It goes no further, and why.
    Stop(String),
}

impl Hold {
    /// What follows this portion.
    pub fn of(portion: &Portion) -> Self {
        let gates = Gates { post: portion.gates.clone(), ..Gates::default() };
        Self { percent: portion.percent, slot: None, gates }
    }

    /// What follows a switch to this slot.
    pub fn of_slot(slot: &SlotName, rule: &BlueGreen) -> Self {
        let gates = Gates { post: rule.gates.clone(), ..Gates::default() };
        Self { percent: 100, slot: Some(slot.clone()), gates }
    }

    /// `held at 10 %`, after "it is".
    pub fn word(&self) -> String {
        match &self.slot {
            None => format!("held at {} %", self.percent),
            Some(slot) => format!("watched on {slot}"),
        }
    }
}

impl StageRun {
    /// What it is held for, or was held for last.
    pub fn hold(&self) -> Option<(&Pausing, &Hold)> {
        let last = self.pauses.last()?;
        Some((last, last.question.hold.as_deref()?))
    }

    /// What it is held for now.
    pub fn holding(&self) -> Option<(&Pausing, &Hold)> {
        self.asking().and(self.hold())
    }
}

impl Course<'_> {
    /// What follows by itself for a run that is held; nothing for one that is not.
    pub fn holding(&self, now: Timestamp) -> Option<Holding> {
        let (pausing, hold) = self.run.holding()?;
        let over = pausing.ends() <= now;
        if hold.gates.post.is_empty() {
            return Some(if over { Holding::GoOn } else { Holding::Wait });
        }
        let Some(ticks) = self.ticks(Side::Hold) else { return Some(Holding::Sample) };
        if ticks.reds > self.forgiven(Side::Hold) {
            let reds = self.reds(Side::Hold);
            let red = reds.iter().find(|(_, reading)| reading.answer == Answer::Fail);
            let said =
                red.map_or_else(String::new, |(gate, reading)| format!("{gate} says {}", reading.detail));
            return Some(Holding::Stop(said));
        }
        Some(if !over {
            Holding::Wait
        } else if self.blocking(Side::Hold).is_empty() {
            Holding::GoOn
        } else if ticks.opened_at < pausing.ends() {
            Holding::Sample
        } else if ticks.streak >= hold.gates.streak(Side::Hold) {
            Holding::GoOn
        } else if self.gates_deadline(Side::Hold).is_some_and(|deadline| deadline <= now) {
            let reds = self.reds(Side::Hold);
            let last = reds.first().map(|(gate, reading)| format!("{gate} says {}", reading.detail));
            Holding::Stop(format!(
                "not green in time, {}",
                last.unwrap_or_else(|| "nobody could ask".to_owned())
            ))
        } else {
            Holding::Wait
        })
    }
}
