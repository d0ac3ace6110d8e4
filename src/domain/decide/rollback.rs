//! Going back without being asked: a release that was found bad, once everything has settled (SEMANTICS §8).

use crate::domain::decide::Draft;
use crate::domain::event::{Event, RunKind};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::refusal::Refusal;
use crate::domain::rollback::{ASKS, Answer, bad};
use crate::domain::track::Track;

impl Draft {
    /// Stages in which a release was found bad go back to the one before, or people are asked.
    pub(super) fn go_back(&mut self) -> Result<(), Refusal> {
        let places: Vec<(StageName, Option<Track>)> = self.state.live.keys().cloned().collect();
        for (stage, track) in places {
            let Some(found) = bad(&self.state, &stage, track.as_ref()) else { continue };
            match found.answer(&self.state, self.now) {
                Answer::Back(target) => {
                    self.open_again(target, &stage, RunKind::Rollback, (None, None))?;
                }
                Answer::Ask(target) => {
                    let reason = format!(
                        "{} {} and going back is not safe by itself",
                        found.release.created.version,
                        found.what()
                    );
                    let text = self.state.release(target).map(|to| found.question(to)).unwrap_or_default();
                    let no = found.release.no();
                    self.ask_to_go_back(no, (&stage, reason), text)?;
                }
                Answer::Answered(_) | Answer::Asked(_) | Answer::Busy | Answer::Old | Answer::NoTarget => {}
            }
        }
        Ok(())
    }

    fn ask_to_go_back(
        &mut self,
        no: ReleaseNo,
        (stage, reason): (&StageName, String),
        text: String,
    ) -> Result<(), Refusal> {
        let release = self.release(no)?;
        self.hold_after_rollback(&release, stage, reason)?;
        self.add(Event::Alarm { release: Some(no), code: ASKS.to_owned(), text })
    }
}
