//! Command and state give events or a refusal: the one place where anything is decided.
//!
//! [`decide`] never looks at a clock and never asks anybody; what it must know of the world arrives in the command.

use std::collections::BTreeSet;

use crate::domain::event::{Approval, Event, Withdrawal};
use crate::domain::evidence::{Attested, owed};
use crate::domain::name::{CommentId, CommitSha, Digest, ReleaseNo, StageName};
use crate::domain::pipeline::Pipeline;
use crate::domain::policy::server::StagePolicy;
use crate::domain::proposal::Proposal;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun};
use crate::domain::retention::{Retention, has_bytes, kept};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

mod act;
mod advance;
mod built;
mod command;
mod demand;
mod derivation;
mod freeze;
mod holding;
mod join;
mod names;
mod notes;
mod overriding;
mod overriding_check;
mod pausing;
mod resolve;
mod reuse;
mod rollback;
mod runbook;
mod signoff;
mod source;
mod speak;
mod start;
mod tag;
mod verify;
mod work;

pub use command::{
    CheckRequest, Command, Ended, Fresh, Learned, Spoken, StageEnd, Start, Unclear, Upload, Work,
};
pub(in crate::domain) use overriding_check::in_the_way;

/// What happens next; the events are complete: applied in order they give the state that follows.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let mut draft = Draft::of(state, now);
    match command {
        Command::SeePolicy { commit, pipeline } => draft.see_policy(commit, pipeline)?,
        Command::SeeServerPolicy { policies } => draft.see_server_policy(policies)?,
        Command::Start(start) => draft.start(start)?,
        Command::Find { release, attempt, found } => draft.find_sources(*release, *attempt, found)?,
        Command::Check(request) => draft.check(request)?,
        Command::Propose(proposal) => draft.propose(proposal)?,
        Command::Expect(push) => draft.expect(push)?,
        Command::Hear(built) => draft.hear_build(built)?,
        Command::SeeListeners(listeners) => draft.see_listeners(listeners)?,
        Command::Upload(upload) => draft.take_upload(upload)?,
        Command::WriteNotes { release, text, standing } => draft.write_notes(*release, text, standing)?,
        Command::FreezeNotes { release } => draft.freeze_notes(*release)?,
        Command::SeeRun(run) => draft.take_run(run)?,
        Command::Drop { no, why } => draft.drop_start(*no, why)?,
        Command::Begin { work, fence, fresh } => draft.begin(work, *fence, fresh)?,
        Command::Finish { work, fence, ended } => draft.finish(work, *fence, ended)?,
        Command::Confirm { release, stage, attempt, fresh } => {
            draft.confirm(*release, stage, *attempt, fresh)?;
        }
        Command::Progress { work, fence, progress } => draft.progress(work, *fence, progress)?,
        Command::Roll { work, fence, said } => draft.roll(work, *fence, said)?,
        Command::Publish { work, fence, said } => draft.publish(work, *fence, said)?,
        Command::Write { work, fence, written } => draft.write_down(work, *fence, written)?,
        Command::Learn(learned) => draft.learn(learned)?,
        Command::Speak(spoken) => draft.hear(spoken)?,
        Command::Answer(unclear) => draft.answer_unclear(unclear)?,
        Command::Unspeak { comment, why } => draft.unspeak(comment, *why)?,
        Command::Retire { release, rule } => draft.retire(*release, rule)?,
        Command::RetireCheck { commit } => draft.retire_check(commit)?,
        Command::Attest(attested) => draft.attest(attested)?,
        Command::Tick => {}
    }
    draft.advance()?;
    Ok(draft.events)
}

/// The state as it becomes while deciding.
struct Draft {
    state: State,
    events: Vec<Event>,
    now: Timestamp,
}

impl Draft {
    fn of(state: &State, now: Timestamp) -> Self {
        Self { state: state.clone(), events: Vec::new(), now }
    }

    fn add(&mut self, event: Event) -> Result<(), Refusal> {
        self.state.apply(&event, self.now)?;
        self.events.push(event);
        Ok(())
    }

    fn release(&self, no: ReleaseNo) -> Result<std::sync::Arc<Release>, Refusal> {
        self.state.release(no).cloned().ok_or(Refusal::Missing(no))
    }

    fn run(&self, no: ReleaseNo, stage: &StageName) -> Result<StageRun, Refusal> {
        self.release(no)?.run(stage).cloned().ok_or(Refusal::Stale)
    }

    fn see_policy(&mut self, commit: &CommitSha, pipeline: &Pipeline) -> Result<(), Refusal> {
        let known = self.state.head.as_ref().is_some_and(|(c, p)| c == commit && **p == *pipeline);
        if known {
            return Ok(());
        }
        self.add(Event::PolicySeen { commit: commit.clone(), pipeline: Box::new(pipeline.clone()) })
    }

    fn see_server_policy(&mut self, policies: &[StagePolicy]) -> Result<(), Refusal> {
        if *self.state.server_policy == *policies {
            return Ok(());
        }
        self.add(Event::ServerPolicySeen { policies: policies.to_vec() })
    }

    /// What was said already, or never needed to be, is not said again.
    fn propose(&mut self, proposal: &Proposal) -> Result<(), Refusal> {
        let known = self.state.proposals.get(&proposal.thread).map(|(_, known)| &known.changes);
        if known.map_or(proposal.changes.is_empty(), |known| *known == proposal.changes) {
            return Ok(());
        }
        self.add(Event::PolicyProposed(Box::new(proposal.clone())))
    }

    /// SEMANTICS §11: only what nothing keeps, and once.
    fn retire(&mut self, no: ReleaseNo, rule: &Retention) -> Result<(), Refusal> {
        let release = self.release(no)?;
        if !has_bytes(&release) || kept(&self.state, &release, Some(rule), self.now).is_some() {
            return Err(Refusal::Stale);
        }
        let digests: BTreeSet<Digest> = release.stored().cloned().collect();
        let digests = digests.into_iter().collect();
        self.add(Event::Retired { release: no, digests, rule: *rule })
    }

    /// What was signed first is what counts: of two who signed the same, the second has nothing to say.
    fn attest(&mut self, attested: &Attested) -> Result<(), Refusal> {
        if !owed(&*self.release(attested.release)?).contains(&attested.what) {
            return Err(Refusal::Stale);
        }
        self.add(Event::Attested(Box::new(attested.clone())))
    }

    fn learn(&mut self, learned: &Learned) -> Result<(), Refusal> {
        match learned {
            Learned::Tag { release, now } => self.learn_tag(*release, now),
            Learned::Place { release, place, proposed_by } => {
                let known = self.release(*release)?;
                if known.place.as_ref() == Some(place) && known.proposed_by == *proposed_by {
                    return Ok(());
                }
                let (place, proposed_by) = (place.clone(), *proposed_by);
                self.add(Event::PlaceFound { release: *release, place, proposed_by })
            }
            Learned::Offer { release, stage, attempt, place, at, side } => {
                let run = self.run(*release, stage)?;
                let known = run.offers.iter().any(|o| o.place == *place && o.side == *side);
                if run.attempt != *attempt || known {
                    return Ok(());
                }
                self.add(Event::OfferShown {
                    release: *release,
                    stage: stage.clone(),
                    attempt: *attempt,
                    place: place.clone(),
                    at: *at,
                    side: *side,
                })
            }
            Learned::GroupWritten(written) => {
                if self.run(written.release, &written.stage)?.attempt != written.attempt {
                    return Err(Refusal::Stale);
                }
                self.add(Event::GroupWritten(written.clone()))
            }
            Learned::Alarm { release, code, text } => {
                let known = self.state.alarms.values().any(|a| a.code == *code && a.text == *text);
                if known {
                    return Ok(());
                }
                self.add(Event::Alarm { release: *release, code: code.clone(), text: text.clone() })
            }
        }
    }

    fn unspeak(&mut self, comment: &CommentId, why: Withdrawal) -> Result<(), Refusal> {
        let gone: Vec<Event> = self
            .state
            .approvals_by_comment(comment)
            // A run that is over well keeps what it started with; any other may be tried again with its approvals.
            .filter(|(_, _, run)| !run.state.is_terminal() || run.state.is_bad_end())
            .flat_map(|(release, stage, run)| {
                let all = run.approvals.iter().chain(&run.signoffs);
                all.filter(|a| a.comment.as_ref() == Some(comment))
                    .map(|a| withdrawal((release.no(), stage, run.attempt), a, why))
                    .collect::<Vec<_>>()
            })
            .collect();
        gone.into_iter().try_for_each(|event| self.add(event))?;
        self.unspeak_of_runs(comment, why)
    }
}

/// That an approval does not count any more.
fn withdrawal(
    (release, stage, attempt): (ReleaseNo, &StageName, u32),
    approval: &Approval,
    why: Withdrawal,
) -> Event {
    Event::ApprovalWithdrawn {
        release,
        stage: stage.clone(),
        attempt,
        person: approval.standing.person.id,
        side: approval.side,
        team: approval.team.clone(),
        why,
    }
}
