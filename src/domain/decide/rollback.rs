//! Going back without being asked: a release that was found bad, once everything has settled (SEMANTICS §8).

use crate::domain::decide::Draft;
use crate::domain::event::{Detail, Event, RunKind};
use crate::domain::gate::verdict;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::refusal::Refusal;
use crate::domain::release::{StageState, Transition};
use crate::domain::rollback::{ASKS, Answer, FRESH, LAPSED, Lapse, bad, lapse};
use crate::domain::state::Live;
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

    /// What the engine began answers a failure of now: a rollback that could not start in time is left to people, who are
    /// told on the thread of what is there.
    pub(super) fn lapse(&mut self) -> Result<(), Refusal> {
        for (no, stage) in self.waiting() {
            let release = self.release(no)?;
            let Some((rule, run)) = release.rule(&stage).zip(release.run(&stage)) else { continue };
            let Some(lapse) = lapse(&self.state, &release, (rule, run), self.now) else { continue };
            let (why, there) = match lapse {
                Lapse::Overtaken(other) => (format!("{} went live there since", other.created.version), None),
                Lapse::Late => {
                    let verdict = verdict(&self.state, &release, rule, self.now);
                    // Nothing may keep it any more that did while nobody looked.
                    let kept = verdict.blockers().next().map(|kept| format!(": {}", kept.text));
                    let there = self.state.live_at(&stage, release.track()).map(Live::release);
                    (format!("it did not start within {FRESH}{}", kept.unwrap_or_default()), there)
                }
            };
            let version = &release.created.version;
            let told = there.map(|there| Event::Alarm {
                release: Some(there),
                code: LAPSED.to_owned(),
                text: format!(
                    "{version} was not put back in {stage} by itself: {why}. Comment `/rollback {stage} {version} -- reason` to put it back."
                ),
            });
            let by = (Transition::Cancel, StageState::Cancelled);
            self.move_stage(no, &stage, by, Detail::Reason(why))?;
            told.into_iter().try_for_each(|told| self.add(told))?;
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
