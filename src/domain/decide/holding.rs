//! Canaries that are held: what their gates say and the end of their time move them on, or end them.

use crate::domain::check::Side;
use crate::domain::check::hold::Holding;
use crate::domain::decide::Draft;
use crate::domain::event::Detail;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pause::{Answer, Then};
use crate::domain::refusal::Refusal;

impl Draft {
    /// Runs that are held between two portions.
    pub(super) fn watch_holds(&mut self) -> Result<(), Refusal> {
        let held = |(stage, runs): (&StageName, &Vec<crate::domain::release::StageRun>)| {
            runs.last().and_then(|run| run.holding()).map(|_| stage.clone())
        };
        let open = self.state.open();
        let held: Vec<(ReleaseNo, StageName)> = open
            .into_iter()
            .flat_map(|release| release.stages.iter().filter_map(held).map(|stage| (release.no(), stage)))
            .collect();
        held.into_iter().try_for_each(|(no, stage)| self.watch_hold(no, &stage))
    }

    fn watch_hold(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let now = self.now;
        let (then, note) = match self.on_course(no, stage, |course| course.holding(now))? {
            None | Some(Holding::Wait) => return Ok(()),
            Some(Holding::Sample) => {
                let run = self.run(no, stage)?;
                return self.open_gates(no, stage, &run, Side::Hold);
            }
            Some(Holding::GoOn) => (Then::GoOn, None),
            Some(Holding::Stop(why)) => (Then::Fail, Some(why)),
        };
        self.answer(no, stage, (Answer { by: None, then, note }, Detail::None))
    }
}
