//! Blue and green: which slot of an environment is live, what each holds, and where the next release goes.
//!
//! Every step is a fact of the environment, so that whoever comes after a dead worker knows what is where. A switch
//! that was begun and not reported leaves nobody knowing which slot is live; that is said, and only somebody who names
//! a release that a slot holds settles it (ARCHITECTURE invariant 11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::event::RunKind;
use crate::domain::name::{ReleaseNo, SlotName};
use crate::domain::pipeline::{Stage, Strategy};
use crate::domain::release::{Release, StageRun};
use crate::domain::rollout::Seen;
use crate::domain::state::State;
use crate::domain::track::Site;

/// What happened to the slots in a run; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The run works in this slot.
    Chosen(Choice),
    /// The commands that fill it are over: it holds the release.
    Filled,
    /// The command that makes this slot the live one is about to begin.
    Switching(SlotName),
    /// It is the live one now.
    Switched(SlotName),
    /// The command failed, and nobody knows which one is live.
    Unswitched {
        /// The slot that was to be live.
        to: SlotName,
        /// What went wrong.
        how: String,
    },
}

/// Where a release goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The slot that is to hold it.
    pub slot: SlotName,
    /// The other one, when it holds a release that can be switched back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<SlotName>,
    /// Whether the commands run that fill it; not when it holds the release already.
    pub fill: bool,
    /// Whether it has to be made the live one.
    pub switch: bool,
}

/// Where a run is with its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InSlot {
    /// Where it goes.
    pub choice: Choice,
    /// Whether the slot holds the release.
    pub filled: bool,
    /// How far the switch is.
    pub switch: Switch,
}

/// How far a switch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// Nothing was switched.
    Before,
    /// To this slot, and nobody has said that it is done.
    Begun(SlotName),
    /// This slot was made the live one.
    Done(SlotName),
    /// The command failed.
    Failed(SlotName),
}

/// What is known of an environment's slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// What each holds.
    pub holds: BTreeMap<SlotName, Seen>,
    /// Which one is live.
    pub live: Live,
}

/// Which slot is live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Live {
    /// Nothing was ever switched here.
    #[default]
    Never,
    /// This one.
    Slot(SlotName),
    /// Nobody knows since a switch to this one was begun.
    Unsure(SlotName),
}

/// What is known of slots, by environment.
pub type Known = BTreeMap<Site, Slots>;

impl Said {
    /// Its kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Chosen(_) => "slot_chosen",
            Self::Filled => "slot_filled",
            Self::Switching(_) => "slot_switching",
            Self::Switched(_) => "slot_switched",
            Self::Unswitched { .. } => "slot_unswitched",
        }
    }

    /// In a few words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Chosen(Choice { slot, fill: true, .. }) => format!("goes to {slot}"),
            Self::Chosen(Choice { slot, fill: false, .. }) => format!("is in {slot} already"),
            Self::Filled => "deployed to its slot".to_owned(),
            Self::Switching(to) => format!("switch to {to} begun"),
            Self::Switched(to) => format!("{to} is live"),
            Self::Unswitched { to, how } => format!("switch to {to} failed, {how}"),
        }
    }
}

impl Slots {
    /// The release that a slot holds and nothing else, as far as anybody knows.
    pub fn held(&self, slot: &SlotName) -> Option<ReleaseNo> {
        self.holds.get(slot).filter(|seen| seen.tried.is_none()).and_then(|seen| seen.runs)
    }

    /// Where a release goes. The slot that is live is never filled; when nobody knows which one that is, only a
    /// release that a slot holds already can be made the live one.
    pub fn choose(&self, release: ReleaseNo, slots: &[SlotName; 2]) -> Result<Choice, String> {
        let [first, second] = slots;
        let to = |slot: &SlotName, fill, switch| {
            let other = if slot == first { second } else { first };
            let other = self.held(other).filter(|held| *held != release).map(|_| other.clone());
            Choice { slot: slot.clone(), other, fill, switch }
        };
        let holds = |slot: &&SlotName| self.held(slot) == Some(release);
        match &self.live {
            Live::Slot(live) if holds(&live) => Ok(to(live, false, false)),
            Live::Slot(live) => {
                let idle = if live == first { second } else { first };
                Ok(to(idle, !holds(&idle), true))
            }
            Live::Never => Ok(to(first, !holds(&first), true)),
            Live::Unsure(_) => match [first, second].into_iter().find(holds) {
                Some(slot) => Ok(to(slot, false, true)),
                None => Err(format!(
                    "nobody knows whether {first} or {second} is live since a switch was not reported; retry or roll \
                     back to a release that one of them holds"
                )),
            },
        }
    }

    /// Keeps what a fact of a release says.
    pub fn note(&mut self, release: ReleaseNo, run: &InSlot, said: &Said) {
        match said {
            Said::Chosen(Choice { slot, fill: true, .. }) => {
                let seen = self.holds.entry(slot.clone()).or_insert(Seen { runs: None, tried: None });
                seen.tried = Some(release);
            }
            Said::Chosen(Choice { fill: false, .. }) => {}
            Said::Filled => {
                let seen = Seen { runs: Some(release), tried: None };
                self.holds.insert(run.choice.slot.clone(), seen);
            }
            Said::Switching(to) | Said::Unswitched { to, .. } => self.live = Live::Unsure(to.clone()),
            Said::Switched(to) => self.live = Live::Slot(to.clone()),
        }
    }
}

impl InSlot {
    /// A run that works in a slot.
    pub fn of(choice: &Choice) -> Self {
        Self { choice: choice.clone(), filled: !choice.fill, switch: Switch::Before }
    }

    /// Whether a fact can follow.
    pub fn takes(&self, said: &Said) -> bool {
        match said {
            Said::Chosen(_) => false,
            Said::Filled => !self.filled,
            Said::Switching(to) => {
                let forth = self.filled && self.choice.switch && self.switch == Switch::Before;
                (forth && *to == self.choice.slot) || self.back() == Some(to)
            }
            Said::Switched(to) | Said::Unswitched { to, .. } => self.switch == Switch::Begun(to.clone()),
        }
    }

    /// Adds a fact.
    pub fn add(&mut self, said: &Said) {
        match said {
            Said::Chosen(_) => {}
            Said::Filled => self.filled = true,
            Said::Switching(to) => self.switch = Switch::Begun(to.clone()),
            Said::Switched(to) => self.switch = Switch::Done(to.clone()),
            Said::Unswitched { to, .. } => self.switch = Switch::Failed(to.clone()),
        }
    }

    /// Whether what was live before is live still, or again.
    pub fn is_untouched(&self) -> bool {
        match &self.switch {
            Switch::Before => self.choice.switch,
            Switch::Done(live) => self.choice.other.as_ref() == Some(live),
            Switch::Begun(_) | Switch::Failed(_) => false,
        }
    }

    /// The slot that is switched back to when the run ends badly now.
    pub fn back(&self) -> Option<&SlotName> {
        let live = match &self.switch {
            Switch::Done(live) => *live == self.choice.slot,
            Switch::Before => !self.choice.switch,
            Switch::Begun(_) | Switch::Failed(_) => false,
        };
        self.choice.other.as_ref().filter(|_| live)
    }

    /// What a run that ended badly did with the slots.
    pub fn ended(&self) -> String {
        let Choice { slot, other, .. } = &self.choice;
        match (&self.switch, other) {
            (Switch::Before, Some(other)) if self.choice.switch => {
                format!("nothing was switched: {other} is live as before")
            }
            (Switch::Before, None) if self.choice.switch => "nothing was switched".to_owned(),
            (Switch::Before, _) => format!("{slot} is live"),
            (Switch::Done(live), Some(other)) if live == other => {
                format!("switched back: {other} is live again")
            }
            (Switch::Done(live), _) => format!("{live} is live"),
            (Switch::Begun(to), _) => {
                format!("the switch to {to} was begun and never reported: nobody knows which slot is live")
            }
            (Switch::Failed(to), _) => format!("the switch to {to} failed: nobody knows which slot is live"),
        }
    }
}

/// Whether a run of a stage with slots left alone what was live there.
pub fn untouched(stage: &Stage, run: &StageRun) -> bool {
    let slots = matches!(stage.strategy, Some(Strategy::BlueGreen(_))) && run.kind != RunKind::Verify;
    slots && run.rollout.slot.as_ref().is_none_or(InSlot::is_untouched)
}

/// Why a release cannot start in a stage with slots, if so.
pub fn unclear(state: &State, release: &Release, stage: &Stage) -> Option<String> {
    let Some(Strategy::BlueGreen(rule)) = &stage.strategy else { return None };
    state.slots.get(&release.site(stage))?.choose(release.no(), &rule.slots).err()
}

/// What the slots of a stage hold, for the track of a release, line by line.
pub fn lines(state: &State, release: &Release, stage: &Stage) -> Vec<String> {
    let slots = matches!(stage.strategy, Some(Strategy::BlueGreen(_)));
    let Some(known) = state.slots.get(&release.site(stage)).filter(|_| slots) else { return Vec::new() };
    let line = |(slot, seen): (&SlotName, &Seen)| {
        let live = if known.live == Live::Slot(slot.clone()) { ", live" } else { "" };
        let version = |no: ReleaseNo| state.version_of(no);
        match (seen.runs.map(version), seen.tried.map(version)) {
            (Some(runs), None) => format!("{slot}: {runs}{live}"),
            (Some(runs), Some(tried)) => format!("{slot}: it held {runs}, and {tried} was begun there{live}"),
            (None, Some(tried)) => format!("{slot}: {tried} was begun there{live}"),
            (None, None) => format!("{slot}: nothing{live}"),
        }
    };
    let unsure = match &known.live {
        Live::Unsure(to) => {
            Some(format!("nobody knows which slot is live: the switch to {to} was not reported"))
        }
        Live::Never | Live::Slot(_) => None,
    };
    known.holds.iter().map(line).chain(unsure).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn slot(name: &str) -> SlotName {
        name.parse().unwrap()
    }

    fn no(n: u32) -> ReleaseNo {
        ReleaseNo(NonZeroU32::new(n).unwrap())
    }

    /// Plays a run of a release to its end, and gives where it went.
    fn run(slots: &mut Slots, release: ReleaseNo) -> Choice {
        let choice = slots.choose(release, &[slot("blue"), slot("green")]).unwrap();
        let mut at = InSlot::of(&choice);
        let mut say = |slots: &mut Slots, said: Said| {
            assert!(at.takes(&said), "{said:?}");
            at.add(&said);
            assert!(!at.takes(&said), "nothing happens twice: {said:?}");
            slots.note(release, &at, &said);
        };
        slots.note(release, &InSlot::of(&choice), &Said::Chosen(choice.clone()));
        if choice.fill {
            say(slots, Said::Filled);
        }
        if choice.switch {
            say(slots, Said::Switching(choice.slot.clone()));
            say(slots, Said::Switched(choice.slot.clone()));
        }
        choice
    }

    #[test]
    fn e23_releases_take_turns_and_going_back_to_what_the_other_slot_holds_is_only_a_switch() {
        let mut slots = Slots::default();
        let all = [
            (1, "blue", true),
            (2, "green", true),
            (1, "blue", false),
            (3, "green", true),
            (1, "blue", false),
        ];
        for (release, to, fill) in all {
            let choice = run(&mut slots, no(release));
            assert_eq!((choice.slot, choice.fill, choice.switch), (slot(to), fill, true), "{release}");
            assert_eq!(slots.live, Live::Slot(slot(to)));
        }
        let again = run(&mut slots, no(1));
        assert!(!again.fill && !again.switch, "what is live is left alone");
        assert_eq!(again.other, Some(slot("green")), "it holds another release");
    }

    #[test]
    fn e23_t57_after_a_switch_that_was_not_reported_nothing_is_filled() {
        let mut slots = Slots::default();
        run(&mut slots, no(1));
        let both = [slot("blue"), slot("green")];
        let choice = slots.choose(no(2), &both).unwrap();
        let mut at = InSlot::of(&choice);
        assert!(at.is_untouched());
        for said in [Said::Chosen(choice), Said::Filled, Said::Switching(slot("green"))] {
            at.add(&said);
            slots.note(no(2), &at, &said);
        }
        assert!(!at.is_untouched());
        assert!(slots.choose(no(3), &both).unwrap_err().contains("nobody knows"));
        for (release, to) in [(1, "blue"), (2, "green")] {
            let choice = slots.choose(no(release), &both).unwrap();
            assert_eq!((choice.slot, choice.fill, choice.switch), (slot(to), false, true));
        }
    }

    #[test]
    fn e23_a_slot_that_was_begun_holds_nothing_for_certain() {
        let mut slots = Slots::default();
        run(&mut slots, no(1));
        let both = [slot("blue"), slot("green")];
        let choice = slots.choose(no(2), &both).unwrap();
        slots.note(no(2), &InSlot::of(&choice), &Said::Chosen(choice));
        assert_eq!(slots.held(&slot("green")), None);
        let again = slots.choose(no(2), &both).unwrap();
        assert!(again.fill && again.slot == slot("green"), "the slot that is not live is filled anew");
        assert_eq!(again.other, Some(slot("blue")));
    }
}
