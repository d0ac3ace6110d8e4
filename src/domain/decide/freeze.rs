//! `/freeze` and `/unfreeze`, and freezes whose day has come (SEMANTICS §6).

use crate::domain::command::{StageRef, Verb};
use crate::domain::decide::speak::{Told, needs};
use crate::domain::decide::{Draft, Spoken};
use crate::domain::event::Event;
use crate::domain::gate::zone_of;
use crate::domain::name::StageName;
use crate::domain::pipeline::Role;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::window::{Day, Zone};

impl Draft {
    pub(super) fn freeze(
        &mut self,
        spoken: &Spoken,
        stage: Option<&StageRef>,
        (until, reason): (Option<Day>, &str),
    ) -> Result<Told, Refusal> {
        let stage = stage.map(|s| self.stage(Verb::Freeze, s)).transpose()?;
        needs(spoken, stage.as_ref(), Role::Maintain)?;
        let until = until.map(|day| self.start_of(stage.as_ref(), day)).transpose()?;
        let by = spoken.standing.person.clone();
        self.add(Event::Frozen { stage, by, reason: reason.to_owned(), until })?;
        Ok(Told::counted())
    }

    /// When a day begins where the stage lives; a freeze that would be over already is a mistake of the writer's.
    fn start_of(&self, stage: Option<&StageName>, day: Day) -> Result<Timestamp, Refusal> {
        let pipeline = self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        let rule = stage.map_or_else(
            || pipeline.stages.iter().find(|s| !s.windows.is_empty()),
            |stage| pipeline.stage(stage),
        );
        let zone = rule.map_or_else(Zone::utc, zone_of);
        let until = zone.start_of(day).filter(|until| *until > self.now);
        until.ok_or_else(|| Refusal::Past { day: day.to_string() })
    }

    pub(super) fn unfreeze(&mut self, spoken: &Spoken, stage: Option<&StageRef>) -> Result<Told, Refusal> {
        let stage = stage.map(|s| self.stage(Verb::Unfreeze, s)).transpose()?;
        needs(spoken, stage.as_ref(), Role::Maintain)?;
        if !self.state.freezes.contains_key(&stage) {
            let beside = self.state.freezes.get(&None).filter(|_| stage.is_some());
            let beside = beside.map(|freeze| format!("frozen by {}: {}", freeze.by.login, freeze.reason));
            return Err(Refusal::NotFrozen { stage, beside });
        }
        self.add(Event::Unfrozen { stage, by: Some(spoken.standing.person.clone()) })?;
        Ok(Told::counted())
    }

    /// Freezes whose day has come are over; the log says so, and people's time counts anew.
    pub(super) fn thaw(&mut self) -> Result<(), Refusal> {
        let over = self.state.freezes.iter().filter(|(_, freeze)| !freeze.holds(self.now));
        let over: Vec<Option<StageName>> = over.map(|(stage, _)| stage.clone()).collect();
        over.into_iter().try_for_each(|stage| self.add(Event::Unfrozen { stage, by: None }))
    }
}
