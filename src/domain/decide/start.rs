//! How a release begins: from a push, from a tag, or as a quality build of a pull request.

use crate::domain::channel;
use crate::domain::decide::demand::unasked;
use crate::domain::decide::{CheckRequest, Draft, Learned, Start};
use crate::domain::event::{Created, Detail, Event, RunKind, StartedBy, Unlisted};
use crate::domain::name::{ChannelName, ReleaseNo};
use crate::domain::refusal::Refusal;
use crate::domain::release::{StageState, Transition};
use crate::domain::reuse::keeps;
use crate::domain::state::CheckProgress;
use crate::domain::tag::TagNow;
use crate::domain::track::Track;
use crate::domain::version::Version;

/// What the alarm is called that a pipeline's releases cannot be told apart.
const MIXED_TRACKS: &str = "mixed_tracks";
/// Most commits a release lists; of older ones it keeps how many there are, and who wrote them.
const MAX_CHANGES: usize = 200;

/// What a release keeps of the commits that it does not list.
fn unlisted(start: &Start) -> Unlisted {
    let mut unlisted = start.unlisted.clone();
    start.changes.iter().skip(MAX_CHANGES).for_each(|change| unlisted.add(change));
    unlisted
}

impl Draft {
    pub(super) fn start(&mut self, start: &Start) -> Result<(), Refusal> {
        let mut builds = self.state.last_built(&start.branch, (&start.pipeline, start.seq));
        let mut demanded = None;
        let tagged = match &start.started_by {
            StartedBy::Push if self.has_release_of_push(start) => return Ok(()),
            StartedBy::Push => None,
            StartedBy::Builds(line) => {
                builds = self.joined(line, start)?;
                None
            }
            StartedBy::Demand { no, .. } => {
                let Some(brought) = self.demanded(*no, start)? else { return Ok(()) };
                demanded = Some(brought);
                None
            }
            StartedBy::Tag(tag) => {
                let Ok(version) = tag.as_str().parse::<Version>() else { return Ok(()) };
                if let Some(no) = self.release_of_version(&version).or_else(|| self.release_of_final(tag)) {
                    // Our own tag comes back as a push, and a tag that somebody moved is not a new release.
                    let now = TagNow { tag: tag.clone(), commit: Some(start.commit.clone()), object: None };
                    return self.learn(&Learned::Tag { release: no, now });
                }
                Some(version)
            }
        };
        let no = self.state.next_no().ok_or(Refusal::Full)?;
        let (inputs, channel, uploads) = match demanded {
            Some(brought) => (brought.inputs, brought.channel, brought.uploads),
            None => (unasked(start), None, Vec::new()),
        };
        let (names, version) = self.names((start, &inputs), no, tagged);
        let said = start.pipeline.channels.iter().find(|of| Some(&of.name) == channel.as_ref());
        let channel = said.or_else(|| channel::of_release(&start.pipeline.channels, &start.branch, &version));
        let pipeline = channel::pipeline_of(&start.pipeline, &start.branch, channel);
        let track = start.pipeline.triggers.button.as_ref().and_then(|button| button.track(&inputs));
        if let Some(why) = self.unlike_the_others(start, track.as_ref()) {
            return self.turn_away(start, why);
        }
        let channel = channel.map(|of| of.name.clone());
        let included_in = self.brings(start, channel.as_ref(), track.as_ref());
        let created = Created {
            release: no,
            seq: start.seq,
            version,
            commit: start.commit.clone(),
            tree: start.tree.clone(),
            branch: start.branch.clone(),
            started_by: start.started_by.clone(),
            initiator: start.initiator.clone(),
            pusher: start.pusher.clone(),
            unheard: start.unheard,
            changes: start.changes.iter().take(MAX_CHANGES).cloned().collect(),
            unlisted: unlisted(start),
            channel,
            track,
            pipeline: Box::new(pipeline),
            manifest: start.manifest.clone(),
            epoch_s: start.epoch_s,
            included_in,
            names,
            files: start.files.clone(),
            groups: start.groups.clone(),
            builds,
            inputs,
            uploads,
        };
        self.add(Event::ReleaseCreated(Box::new(created)))?;
        match included_in {
            Some(newer) => self.born_superseded(no, newer),
            None => self.seal_inherited(no),
        }
    }

    /// The newer release that brings what this one would. One of another branch, channel or track contains it, and does
    /// not bring it to where this one goes.
    fn brings(
        &self,
        start: &Start,
        channel: Option<&ChannelName>,
        track: Option<&Track>,
    ) -> Option<ReleaseNo> {
        let newer = self.state.release(start.included_in?)?;
        let of = &newer.created;
        let same = of.branch == start.branch && of.channel.as_ref() == channel && newer.track() == track;
        same.then_some(newer.no())
    }

    /// Why a release may not be of a track, or of none, when those before it are not: what is live, held and kept is a
    /// track's own, and where some have none nobody could say which of two is there.
    fn unlike_the_others(&self, start: &Start, track: Option<&Track>) -> Option<String> {
        let other = self.state.releases.values().rev().find(|r| r.track().is_some() != track.is_some())?;
        let of = |track: Option<&Track>| track.map_or_else(|| "everything".to_owned(), ToString::to_string);
        Some(format!(
            "{} is a release of {}, and this would be one of {}: releases that an input tells apart are of a pipeline of \
             their own; give {} another name, or leave `per` as it was",
            other.created.version,
            of(other.track()),
            of(track),
            start.pipeline.name
        ))
    }

    /// Makes no release, and says so once: to whoever asked for it, or to everybody.
    fn turn_away(&mut self, start: &Start, text: String) -> Result<(), Refusal> {
        if let StartedBy::Demand { no, .. } = &start.started_by {
            return self.drop_start(*no, &text);
        }
        if self.state.alarms.values().any(|alarm| alarm.text == text) {
            return Ok(());
        }
        self.add(Event::Alarm { release: None, code: MIXED_TRACKS.to_owned(), text })
    }

    fn has_release_of_push(&self, start: &Start) -> bool {
        self.state.releases.values().map(|r| &r.created).any(|made| {
            let same = made.commit == start.commit && made.branch == start.branch;
            same && matches!(made.started_by, StartedBy::Push)
        })
    }

    fn release_of_version(&self, version: &Version) -> Option<ReleaseNo> {
        self.state.releases.values().find(|r| r.created.version == *version).map(|r| r.no())
    }

    /// A push that arrives after a newer one that contains it (SEMANTICS §1): nothing of it will run.
    fn born_superseded(&mut self, no: ReleaseNo, newer: ReleaseNo) -> Result<(), Refusal> {
        self.open_stages(no)?;
        let release = self.release(no)?;
        for stage in release.stages.keys() {
            self.move_stage(
                no,
                stage,
                (Transition::NewerEligible, StageState::Superseded),
                Detail::Newer(newer),
            )?;
        }
        Ok(())
    }

    /// Every stage of the release gets its first attempt.
    pub(super) fn open_stages(&mut self, no: ReleaseNo) -> Result<(), Refusal> {
        let release = self.release(no)?;
        for stage in release.created.pipeline.stage_names() {
            self.add(Event::StageOpened {
                release: no,
                stage: stage.clone(),
                attempt: 1,
                kind: RunKind::Deploy,
                by: None,
                not_before: None,
            })?;
        }
        Ok(())
    }

    pub(super) fn check(&mut self, request: &CheckRequest) -> Result<(), Refusal> {
        let before = self.state.checks.get(&request.commit);
        let attempt = match before {
            None => 1,
            Some(check) if request.again && matches!(check.progress, CheckProgress::Over(_)) => {
                check.attempt.saturating_add(1)
            }
            // What came from a fork first came from a branch of our own now: somebody who may write pushed it there.
            Some(check)
                if !request.again
                    && request.refused.is_none()
                    && matches!(check.progress, CheckProgress::Refused(_)) =>
            {
                check.attempt.saturating_add(1)
            }
            // A push and a pull request announce the same commit: once is enough.
            Some(_) => return Ok(()),
        };
        self.add(Event::CheckAsked {
            commit: request.commit.clone(),
            thread: request.thread.clone(),
            attempt,
            pipeline: request.pipeline.clone(),
            refused: request.refused.clone(),
            tree: request.tree.clone().filter(|_| request.refused.is_none() && keeps(&request.pipeline)),
        })
    }
}
