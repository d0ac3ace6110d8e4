//! Freezes: what they are, where they hold, and how long deploys there usually take.

use crate::domain::event::{Detail, Event};
use crate::domain::name::StageName;
use crate::domain::person::Person;
use crate::domain::release::StageState;
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};

/// Successes of a stage that say how long its deploys take; older ones were other programs.
const REMEMBERED: usize = 20;

/// A freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Who.
    pub by: Person,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

impl Freeze {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl State {
    /// A freeze comes or goes; what it kept people from is asked for again when it has gone.
    pub(super) fn freeze(&mut self, event: &Event, at: Timestamp) {
        if let Event::Frozen { stage, by, reason, until } = event {
            let freeze = Freeze { by: by.clone(), reason: reason.clone(), since: at, until: *until };
            self.freezes.insert(stage.clone(), freeze);
        } else if let Event::Unfrozen { stage, .. } = event {
            self.freezes.remove(stage);
            self.ask_again(stage.as_ref(), at);
        }
    }

    /// The freezes that hold in a stage: the one of everything first. None of them is of a stage by name when it is
    /// of everything.
    pub fn freezes_on<'s>(
        &'s self,
        stage: &StageName,
        now: Timestamp,
    ) -> impl Iterator<Item = (Option<&'s StageName>, &'s Freeze)> {
        let all = self.freezes.get_key_value(&None);
        let own = self.freezes.get_key_value(&Some(stage.clone()));
        let found = all.into_iter().chain(own).map(|(stage, freeze)| (stage.as_ref(), freeze));
        found.filter(move |(_, freeze)| freeze.holds(now))
    }

    /// How long nine of ten deploys of the stage took; nothing when none succeeded yet.
    pub fn usual(&self, stage: &StageName) -> Option<Span> {
        let history = self.history.get(stage)?;
        let runs = history.iter().rev().take(REMEMBERED).filter_map(|no| self.release(*no)?.run(stage));
        let mut took: Vec<u64> = runs
            .filter(|run| run.state == StageState::Succeeded)
            .filter_map(|run| if let Detail::Took(ms) = run.detail { Some(ms) } else { None })
            .collect();
        nine_of_ten(&mut took)
    }
}

/// The time in which nine of ten were done; nothing of nothing.
pub(in crate::domain) fn nine_of_ten(took_ms: &mut [u64]) -> Option<Span> {
    took_ms.sort_unstable();
    let last = (took_ms.len() * 9).div_ceil(10).checked_sub(1)?;
    took_ms.get(last).copied().map(Span::millis)
}
