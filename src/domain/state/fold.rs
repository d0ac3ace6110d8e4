//! How each event changes the state; an event that cannot follow is an error, never a guess.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::approval::brought::Brought;
use crate::domain::check::Side;
use crate::domain::demand;
use crate::domain::derivation::{self, release_digest, revision_for};
use crate::domain::event::{
    Approval, ApprovalSide, BuildOutcome, Created, Detail, Event, GroupWritten, Heard, LegAnswered, OfRun,
    RunKind, StartedBy,
};
use crate::domain::evidence::{Attested, Signed};
use crate::domain::join::Listener;
use crate::domain::name::{CommitSha, ReleaseNo, StageName};
use crate::domain::notes::Kept;
use crate::domain::pause::{Pausing, Question, Said};
use crate::domain::pipeline::{Pipeline, QueuePolicy};
use crate::domain::policy;
use crate::domain::policy::server::{StagePolicy, tightened};
use crate::domain::progress::Walked;
use crate::domain::proposal::Proposal;
use crate::domain::release::{
    BuildState, Offer, Override, Release, StageRun, StageState, TagState, Transition, legal,
};
use crate::domain::rollout::Rollout;
use crate::domain::runbook::fact::Fact;
use crate::domain::state::{Alarm, Check, CheckProgress, Hold, Illegal, State, TOLD_AFTER};
use crate::domain::tag::TagNow;
use crate::domain::time::Timestamp;
use crate::domain::variable;

/// So many pull requests are known by what they would do to the rules.
const PROPOSALS: usize = 100;

impl State {
    /// Adds one event.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        self.version = self.version.saturating_add(1);
        self.end_guards(event, at);
        match event {
            Event::PolicySeen { .. } | Event::ServerPolicySeen { .. } | Event::PolicyProposed(_) => {
                self.apply_policy(event, at);
                Ok(())
            }
            Event::ReleaseCreated(created) => self.create(created, at),
            Event::Held { .. } | Event::Unheld { .. } => {
                self.hold(event, at);
                Ok(())
            }
            Event::Frozen { .. } | Event::Unfrozen { .. } => {
                self.freeze(event, at);
                Ok(())
            }
            Event::Vetoed { release, .. } | Event::VetoLifted { release, .. } => {
                self.veto(event, *release, at)
            }
            Event::Runbook(fact) => self.apply_runbook(fact, at),
            Event::Demand(fact) => self.apply_demand(fact, at),
            Event::BuildsExpected(_) | Event::BuildHeard(_) | Event::ListenersSeen { .. } => {
                self.apply_joining(event, at);
                Ok(())
            }
            Event::Heard(_) | Event::Alarm { .. } => {
                self.take_word(event, at);
                Ok(())
            }
            Event::CheckAsked { .. }
            | Event::CheckStarted { .. }
            | Event::CheckFinished { .. }
            | Event::CheckRetired { .. } => self.apply_check(event, at),
            Event::SourcesFound { .. }
            | Event::BuildStarted { .. }
            | Event::BuildFinished { .. }
            | Event::BuildRetried { .. }
            | Event::Retired { .. }
            | Event::Noted { .. }
            | Event::TagSeen { .. }
            | Event::PlaceFound { .. } => self.apply_build(event, at),
            Event::StageOpened { .. } => self.open_stage(event, at),
            Event::StageMoved { release, stage, to, .. } => {
                self.move_stage(event, (*release, stage, *to), at)
            }
            Event::PhaseDone { .. } => self.phase_done(event),
            Event::GroupWritten(written) => self.write_group(written),
            Event::Attested(attested) => self.take_signed(attested, at),
            Event::Pause(fact) => self.take_pause(fact, at),
            Event::Target(fact) => self.roll(fact),
            Event::Revised(fact) => self.with(fact.release, |r| r.revise(fact, at)),
            Event::Publication(fact) => self.publish(fact),
            Event::LegAnswered(answered) => self.take_answer(answered, at),
            Event::GatesOpened { release, stage, attempt, .. }
            | Event::GatesClosed { release, stage, attempt, .. }
            | Event::GatesSampled { release, stage, attempt, .. }
            | Event::FoundFaulty { release, stage, attempt, .. } => self.with(*release, |r| {
                r.run_mut(stage, *attempt)?.take_sample(event, at);
                Ok(())
            }),
            Event::OfferShown { release, stage, attempt, .. }
            | Event::Approved { release, stage, attempt, .. }
            | Event::ApprovalWithdrawn { release, stage, attempt, .. }
            | Event::Overridden { release, stage, attempt, .. }
            | Event::Promoted { release, stage, attempt, .. } => self.with(*release, |r| {
                r.run_mut(stage, *attempt)?.take_note(event, at);
                Ok(())
            }),
        }
    }

    fn apply_joining(&mut self, event: &Event, at: Timestamp) {
        if let Event::ListenersSeen { listeners } = event {
            let since = |listener: &Listener| self.listeners.get(listener).copied().unwrap_or(at);
            let all = listeners.iter().map(|listener| (listener.clone(), since(listener))).collect();
            self.listeners = Arc::new(all);
        } else {
            Arc::make_mut(&mut self.upstream).take(event, at);
        }
    }

    fn take_answer(&mut self, answered: &LegAnswered, at: Timestamp) -> Result<(), Illegal> {
        self.with(answered.release, |r| {
            r.run_mut(&answered.stage, answered.attempt)?.take_answer(answered, at);
            Ok(())
        })
    }

    /// Somebody's hold and that of a rollback stand beside one another. Who may take over what a rollback left may lift it,
    /// too, so that theirs stands alone.
    fn hold(&mut self, event: &Event, at: Timestamp) {
        if let Event::Held { stage, track, by, reason } = event {
            let (place, since) = ((stage.clone(), track.clone()), at);
            let mut hold = Hold { by: by.clone(), reason: reason.clone(), since, below: None };
            match self.holds.remove(&place) {
                Some(top) if top.by.is_some() && hold.by.is_none() => {
                    hold = Hold { below: Some(Box::new(hold)), ..top };
                }
                Some(top) => hold.below = top.below,
                None => {}
            }
            self.holds.insert(place, hold);
        } else if let Event::Unheld { stage, track, by } = event {
            let place = (stage.clone(), track.clone());
            let left = self.holds.remove(&place).and_then(|top| match (by, &top.by) {
                // What was promoted past the hold of a rollback lifts no other.
                (None, Some(_)) => Some(Hold { below: None, ..top }),
                (Some(_) | None, _) => top.below.map(|below| *below),
            });
            self.holds.extend(left.map(|left| (place, left)));
            self.ask_again(stage.as_ref(), at);
        }
    }

    fn move_stage(
        &mut self,
        event: &Event,
        (release, stage, to): (ReleaseNo, &StageName, StageState),
        at: Timestamp,
    ) -> Result<(), Illegal> {
        let from = self.release(release).and_then(|r| r.state_in(stage));
        self.with(release, |r| r.move_stage(event, at))?;
        // Who took it back after the deploy did not change what runs there.
        if !(from == Some(StageState::AwaitingSignoff) && to == StageState::Cancelled) {
            self.note_live(release, stage, to, at);
        }
        self.note_owing(release, stage);
        if to == StageState::Succeeded {
            self.note_all_brought(stage);
        }
        Ok(())
    }

    fn apply_demand(&mut self, fact: &demand::Fact, at: Timestamp) -> Result<(), Illegal> {
        let version = self.version;
        Arc::make_mut(&mut self.demands).apply(fact, at, version);
        let demand::Fact::Departed { stage, due, release: Some(no), .. } = fact else { return Ok(()) };
        self.with(*no, |release| {
            let run = release.stages.get_mut(stage).and_then(|runs| runs.last_mut());
            let run = run.ok_or_else(|| format!("it has no run in {stage}"))?;
            run.departed = Some(*due);
            run.asked_from = at;
            Ok(())
        })
    }

    fn apply_runbook(&mut self, fact: &Fact, at: Timestamp) -> Result<(), Illegal> {
        let version = self.version;
        let runs = Arc::make_mut(&mut self.runbooks);
        runs.apply(fact, at, version).map_err(|what| Illegal { version, what })
    }

    pub(super) fn illegal(&self, what: impl Into<String>) -> Illegal {
        Illegal { version: self.version, what: what.into() }
    }

    fn apply_policy(&mut self, event: &Event, at: Timestamp) {
        if let Event::PolicySeen { commit, pipeline } = event {
            self.see_policy(commit, pipeline);
            Arc::make_mut(&mut self.runbooks).declare(&pipeline.runbooks, at);
            Arc::make_mut(&mut self.demands).declare(pipeline, at);
        } else if let Event::ServerPolicySeen { policies } = event {
            self.see_server_policy(policies);
        } else if let Event::PolicyProposed(proposal) = event {
            self.propose(proposal);
        }
    }

    /// What the server asks holds for open releases, too; what it no longer asks, they keep.
    fn see_server_policy(&mut self, policies: &[StagePolicy]) {
        self.server_policy = Arc::new(policies.to_vec());
        self.in_force = self.head.as_ref().map(|(_, head)| tightened(head, policies));
        for release in self.releases.values_mut().filter(|r| r.is_open()) {
            let asked = tightened(&release.rules, policies);
            if asked != release.rules {
                Arc::make_mut(release).rules = asked;
            }
        }
    }

    /// Only the last pull requests are kept: of older ones everything has been said.
    fn propose(&mut self, proposal: &Proposal) {
        self.proposals.insert(proposal.thread.clone(), (self.version, Arc::new(proposal.clone())));
        let oldest = self.proposals.iter().min_by_key(|(_, (touched, _))| *touched);
        if let Some(oldest) = oldest.map(|(thread, _)| thread.clone())
            && self.proposals.len() > PROPOSALS
        {
            self.proposals.remove(&oldest);
        }
    }

    fn write_group(&mut self, written: &GroupWritten) -> Result<(), Illegal> {
        self.with(written.release, |release| {
            release.groups.write(&written.group, written.version, &written.values);
            Ok(())
        })
    }

    fn take_signed(&mut self, attested: &Attested, at: Timestamp) -> Result<(), Illegal> {
        self.with(attested.release, |release| {
            let (what, files) = (attested.what.clone(), attested.files.clone());
            release.evidence.push(Signed { what, at, files });
            Ok(())
        })
    }

    fn take_pause(&mut self, fact: &OfRun<Said>, at: Timestamp) -> Result<(), Illegal> {
        self.with(fact.release, |release| {
            release.run_mut(&fact.stage, fact.attempt)?.take_pause(&fact.said, at);
            Ok(())
        })
    }

    fn veto(&mut self, event: &Event, no: ReleaseNo, at: Timestamp) -> Result<(), Illegal> {
        if let Event::Vetoed { stage, reason, .. } = event {
            self.vetoes.insert((stage.clone(), no), reason.clone());
            self.ask_behind(no, Some(stage), at);
        } else if let Event::VetoLifted { stage, .. } = event {
            self.vetoes.remove(&(stage.clone(), no));
        }
        self.with(no, |r| {
            if let Event::VetoLifted { stage, .. } = event {
                r.ask_again(Some(stage), at);
            }
            Ok(())
        })
    }

    /// What somebody said, or what people should look at.
    fn take_word(&mut self, event: &Event, at: Timestamp) {
        if let Event::Alarm { release, code, text } = event {
            self.alarm(*release, code, text);
        } else if let Event::Heard(heard) = event {
            self.hear(heard, at);
        }
    }

    fn hear(&mut self, heard: &Heard, at: Timestamp) {
        if let Some(comment) = &heard.comment {
            Arc::make_mut(&mut self.heard).insert((comment.clone(), heard.line.clone()));
        }
        self.answers.insert(self.version, (at, Arc::new(heard.clone())));
        let oldest = self.version.saturating_sub(TOLD_AFTER);
        self.answers = self.answers.split_off(&oldest);
    }

    /// Changes one release and notes that it changed.
    pub(super) fn with(
        &mut self,
        no: ReleaseNo,
        change: impl FnOnce(&mut Release) -> Result<(), String>,
    ) -> Result<(), Illegal> {
        let version = self.version;
        let Some(release) = self.releases.get_mut(&no) else {
            return Err(self.illegal(format!("there is no release {no}")));
        };
        let release = Arc::make_mut(release);
        release.touched = version;
        change(release).map_err(|what| Illegal { version, what })
    }

    /// Every open release is judged by the strictest rules it has met (SEMANTICS §3, THREATS T30).
    fn see_policy(&mut self, commit: &CommitSha, pipeline: &Pipeline) {
        let head = Arc::new(pipeline.clone());
        self.in_force = Some(tightened(&head, &self.server_policy));
        self.head = Some((commit.clone(), Arc::clone(&head)));
        for release in self.releases.values_mut().filter(|r| r.is_open()) {
            let merged = policy::stricter_pipeline(&release.rules, &head);
            if merged != *release.rules {
                Arc::make_mut(release).rules = Arc::new(merged);
            }
        }
    }

    /// What kept people from acting is gone: their time counts from now.
    pub(super) fn ask_again(&mut self, stage: Option<&StageName>, at: Timestamp) {
        for release in self.releases.values_mut().filter(|r| r.is_open()) {
            Arc::make_mut(release).ask_again(stage, at);
        }
    }

    /// A release that cannot start any more keeps nobody waiting: the time of those behind it in a queue counts from now.
    fn ask_behind(&mut self, no: ReleaseNo, stage: Option<&StageName>, at: Timestamp) {
        let Some(gone) = self.release(no).cloned() else { return };
        let left = |name: &StageName| {
            stage.is_none_or(|stage| stage == name) && gone.run(name).is_some_and(|run| run.state.waits())
        };
        for release in self.releases.values_mut().filter(|r| r.is_open() && r.follows(&gone)) {
            let queues = release.rules.stages.iter().filter(|s| s.queue == QueuePolicy::All && left(&s.name));
            let behind: Vec<StageName> = queues.map(|stage| stage.name.clone()).collect();
            for name in &behind {
                Arc::make_mut(release).ask_again(Some(name), at);
            }
        }
    }

    fn alarm(&mut self, release: Option<ReleaseNo>, code: &str, text: &str) {
        let alarm = Alarm { release, code: code.to_owned(), text: text.to_owned() };
        self.alarms.insert(self.version, alarm);
    }

    fn create(&mut self, created: &Created, at: Timestamp) -> Result<(), Illegal> {
        if self.releases.contains_key(&created.release) {
            return Err(self.illegal(format!("release {} exists", created.release)));
        }
        let rules = match &self.head {
            Some((_, head)) if **head == *created.pipeline => Arc::clone(head),
            Some((_, head)) => Arc::new(policy::stricter_pipeline(&created.pipeline, head)),
            None => Arc::new(Pipeline::clone(&created.pipeline)),
        };
        let rules = tightened(&rules, &self.server_policy);
        let build = if created.included_in.is_some() { BuildState::NotNeeded } else { BuildState::Waiting };
        let release = Release {
            created: Arc::new(created.clone()),
            at,
            rules,
            unusable: variable::problems(&created.pipeline, &created.groups, &created.inputs),
            groups: created.groups.clone(),
            sources: Vec::new(),
            build_attempt: 1,
            build,
            built_at: None,
            reused: None,
            locks: None,
            executor: None,
            artifacts: Vec::new(),
            revisions: Vec::new(),
            digest: None,
            tag: TagState::Unknown,
            final_tag: TagState::Unknown,
            tag_objects: BTreeMap::new(),
            place: None,
            proposed_by: None,
            listed: BTreeMap::new(),
            evidence: Vec::new(),
            ledger: BTreeMap::new(),
            retired: None,
            notes: None,
            stages: BTreeMap::new(),
            touched: self.version,
        };
        for (key, rev) in &created.names.counters {
            let last = self.counters.entry(key.clone()).or_default();
            *last = (*last).max(*rev);
        }
        if let StartedBy::Demand { no, .. } = &created.started_by {
            Arc::make_mut(&mut self.demands).made(*no);
        }
        self.releases.insert(created.release, Arc::new(release));
        Ok(())
    }

    fn apply_check(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        if let Event::CheckAsked { commit, thread, attempt, pipeline, refused, tree } = event {
            let check = Check {
                tree: tree.clone(),
                sources: Vec::new(),
                locks: None,
                executor: None,
                ended_at: None,
                gone: self.checks.get(commit).map(Check::let_go).unwrap_or_default(),
                thread: thread.clone(),
                attempt: *attempt,
                pipeline: Arc::new(Pipeline::clone(pipeline)),
                progress: refused.clone().map_or(CheckProgress::Waiting, CheckProgress::Refused),
                touched: self.version,
            };
            self.checks.insert(commit.clone(), check);
            Ok(())
        } else if let Event::CheckStarted { commit, attempt, fence } = event {
            self.check(commit, *attempt, CheckProgress::Running(*fence))
        } else if let Event::CheckFinished { commit, attempt, outcome, sources, locks, executor } = event {
            self.check(commit, *attempt, CheckProgress::Over(outcome.clone()))?;
            if let Some(check) = self.checks.get_mut(commit) {
                check.sources.clone_from(sources);
                check.locks.clone_from(locks);
                check.executor.clone_from(executor);
                check.ended_at = Some(at);
            }
            Ok(())
        } else if let (Event::CheckRetired { commit }, version) = (event, self.version) {
            let illegal = Illegal { version, what: format!("there is no quality build of {commit}") };
            let check = self.checks.get_mut(commit).ok_or(illegal)?;
            check.gone = check.let_go();
            check.locks = None;
            check.progress = CheckProgress::Over(BuildOutcome::Passed);
            Ok(())
        } else {
            Err(self.illegal(format!("{} is not about a quality build", event.kind())))
        }
    }

    fn check(&mut self, commit: &CommitSha, attempt: u32, progress: CheckProgress) -> Result<(), Illegal> {
        let touched = self.version;
        match self.checks.get_mut(commit) {
            Some(check) if check.attempt == attempt => {
                check.progress = progress;
                check.touched = touched;
                Ok(())
            }
            Some(_) | None => Err(self.illegal(format!("there is no quality build {attempt} of {commit}"))),
        }
    }

    fn apply_build(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        if let Event::BuildFinished { release, outcome, reused, locks, executor, .. } = event {
            return self.with(*release, |r| {
                r.reused = reused.as_deref().cloned();
                r.locks.clone_from(locks);
                r.executor.clone_from(executor);
                r.end_build(outcome, at)
            });
        }
        let Some(no) = event.release() else { return Err(self.illegal("a build of no release")) };
        let stood = self.release(no).is_some_and(|r| r.moved_tag().is_none());
        self.with(no, |r| {
            if let Event::BuildStarted { attempt, fence, .. } = event {
                r.build_attempt = *attempt;
                r.build = BuildState::Running { fence: *fence };
            } else if let Event::BuildRetried { attempt, .. } = event {
                r.build_attempt = *attempt;
                r.build = BuildState::Waiting;
            } else if let Event::SourcesFound { found, .. } = event {
                r.sources.clone_from(found);
            } else if let Event::Retired { .. } = event {
                r.retired = Some(at);
            } else if let Event::Noted { text, by, frozen, .. } = event {
                r.notes = Some(Kept { text: text.clone(), by: by.clone(), frozen: *frozen });
            } else if let Event::PlaceFound { place, proposed_by, .. } = event {
                r.place = Some(place.clone());
                r.proposed_by = *proposed_by;
            } else if let Event::TagSeen { tag, commit, object, .. } = event {
                r.see_tag(TagNow { tag: tag.clone(), commit: commit.clone(), object: object.clone() }, at);
            }
            Ok(())
        })?;
        if stood && self.release(no).is_some_and(|r| r.moved_tag().is_some()) {
            self.ask_behind(no, None, at);
        }
        Ok(())
    }

    fn open_stage(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        let Event::StageOpened { release, stage, attempt, kind, .. } = event else {
            return Err(self.illegal("not an opening"));
        };
        let revision = self.release(*release).map_or(derivation::FIRST, |r| revision_for(r, stage, *kind));
        let run = StageRun::opened(event, revision, at).ok_or_else(|| self.illegal("not an opening"))?;
        let head = self.in_force.clone();
        self.with(*release, |r| {
            // What was over is judged by today's rules when it is opened again (THREATS T30).
            if let Some(head) = head.filter(|_| !r.is_open()) {
                r.tighten(&head);
            }
            let runs = r.stages.entry(stage.clone()).or_default();
            if runs.last().is_some_and(|last| last.attempt >= *attempt || !last.state.is_terminal()) {
                return Err(format!("attempt {attempt} of {stage} before the last one ended"));
            }
            runs.push(run);
            Ok(())
        })?;
        self.note_brought(*release, stage);
        Ok(())
    }
}

impl Release {
    fn end_build(&mut self, outcome: &BuildOutcome, at: Timestamp) -> Result<(), String> {
        self.built_at = Some(at);
        match outcome {
            BuildOutcome::Sealed(artifacts) => {
                self.digest = Some(release_digest(&self.created, &self.sources, artifacts));
                self.artifacts.clone_from(artifacts);
                self.build = BuildState::Sealed;
                Ok(())
            }
            BuildOutcome::Failed(failure) => {
                self.build = BuildState::Failed(Detail::Failed(failure.clone()));
                Ok(())
            }
            BuildOutcome::Errored(reason) => {
                self.build = BuildState::Failed(Detail::Reason(reason.clone()));
                Ok(())
            }
            BuildOutcome::Cancelled(person) => {
                self.build = BuildState::Failed(Detail::By { person: person.clone(), reason: None });
                Ok(())
            }
            BuildOutcome::Passed => Err("a release is sealed, not just built".to_owned()),
        }
    }

    fn tighten(&mut self, head: &Pipeline) {
        self.rules = Arc::new(policy::stricter_pipeline(&self.rules, head));
    }

    fn see_tag(&mut self, now: TagNow, at: Timestamp) {
        let seen = self.seen_as(&now);
        let there = seen == TagState::There;
        let known = if self.is_finally(&now.tag) { &mut self.final_tag } else { &mut self.tag };
        let before = std::mem::replace(known, seen);
        if let Some(object) = now.object.filter(|_| there) {
            self.tag_objects.entry(now.tag).or_insert(object);
        }
        if matches!(before, TagState::Moved(_) | TagState::Remade) && there {
            self.ask_again(None, at);
        }
    }

    pub(super) fn ask_again(&mut self, stage: Option<&StageName>, at: Timestamp) {
        let here = |name: &StageName| stage.is_none_or(|s| s == name);
        for (_, runs) in self.stages.iter_mut().filter(|(name, _)| here(name)) {
            if let Some(run) = runs.last_mut().filter(|run| run.state.waits()) {
                run.asked_from = run.asked_from.max(at);
            }
        }
    }

    pub(super) fn run_mut(&mut self, stage: &StageName, attempt: u32) -> Result<&mut StageRun, String> {
        self.stages
            .get_mut(stage)
            .and_then(|runs| runs.last_mut())
            .filter(|run| run.attempt == attempt)
            .ok_or_else(|| format!("there is no attempt {attempt} in {stage}"))
    }

    fn move_stage(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        let Event::StageMoved { stage, attempt, transition, to, detail, .. } = event else {
            return Err("not a move".to_owned());
        };
        let last = self.revision();
        let run = self.run_mut(stage, *attempt)?;
        if !legal(Some(run.state), *transition, *to) {
            return Err(format!("{stage} cannot go from {:?} to {to:?} by {transition:?}", run.state));
        }
        run.state = *to;
        run.moved_at = at;
        run.detail = detail.clone();
        if to.is_terminal() {
            run.rollout.end();
        }
        if *transition == Transition::Admit {
            run.admissions = run.admissions.saturating_add(1);
        } else if let (Transition::LockAcquired, Detail::Fence(fence)) = (transition, detail) {
            run.revision = if run.kind == RunKind::Deploy { last } else { run.revision };
            run.begins_with = run.revision;
            run.started_at = Some(at);
            run.fence = Some(*fence);
            self.enter(stage, at);
        } else if let (Transition::Resume, Detail::Fence(fence)) = (transition, detail) {
            run.fence = Some(*fence);
        } else if let (Transition::PhaseDone, Detail::Took(ms)) = (transition, detail) {
            run.worked_at = Some(at);
            run.took_ms = *ms;
        }
        Ok(())
    }
}

impl StageRun {
    fn opened(event: &Event, revision: u32, at: Timestamp) -> Option<Self> {
        let Event::StageOpened { attempt, kind, by, not_before, .. } = event else { return None };
        Some(Self {
            attempt: *attempt,
            kind: *kind,
            begins_with: revision,
            revision,
            state: StageState::Pending,
            by: by.clone(),
            brought: Brought::default(),
            opened_at: at,
            asked_from: at,
            not_before: *not_before,
            moved_at: at,
            detail: Detail::None,
            admissions: 0,
            fence: None,
            started_at: None,
            approvals: Vec::new(),
            signoffs: Vec::new(),
            withdrawn: Vec::new(),
            overrides: Vec::new(),
            promoted: None,
            promoted_at: None,
            departed: None,
            offers: Vec::new(),
            walked: Walked::default(),
            rollout: Rollout::default(),
            pauses: Vec::new(),
            worked_at: None,
            took_ms: 0,
            legs: BTreeMap::new(),
            gates: BTreeMap::new(),
            fault: None,
            stayed: None,
        })
    }

    /// Whoever worked on it is gone once it asks; an answer is work for the next.
    fn take_pause(&mut self, said: &Said, at: Timestamp) {
        match said {
            Said::Asked(question) => {
                self.fence = None;
                // What was sampled in a hold before says nothing about this one.
                if let Some(ticks) = self.gates.get_mut(&Side::Hold) {
                    ticks.closed = true;
                }
                self.pauses.push(Pausing { question: Question::clone(question), at, answer: None });
            }
            Said::Answered(answer) => {
                self.admissions = self.admissions.saturating_add(1);
                if let Some(pausing) = self.pauses.last_mut() {
                    pausing.answer = Some(answer.clone());
                }
            }
            Said::Taken { fence } => self.fence = Some(*fence),
        }
    }

    fn take_note(&mut self, event: &Event, at: Timestamp) {
        if let Event::OfferShown { place, at: shown, side, .. } = event {
            self.offers.push(Offer { side: *side, place: place.clone(), at: *shown });
        } else if let Event::Approved { approval, .. } = event {
            let given = self.given_mut(approval.side);
            let person = approval.standing.person.id;
            given.retain(|a| a.standing.person.id != person || a.team != approval.team);
            given.push(Approval::clone(approval));
        } else if let Event::ApprovalWithdrawn { person, side, team, why, .. } = event {
            let of = |a: &mut Approval| a.standing.person.id == *person && a.team == *team;
            let gone: Vec<Approval> = self.given_mut(*side).extract_if(.., of).collect();
            self.withdrawn.extend(gone.into_iter().map(|a| (a, *why)));
        } else if let Event::Overridden { check, by, reason, of, .. } = event {
            let (check, by, reason) = (check.clone(), by.clone(), reason.clone());
            self.overrides.push(Override { check, by, reason, of: *of, at });
            self.asked_from = at;
        } else if let Event::Promoted { by, .. } = event {
            self.promoted = Some(by.clone());
            self.promoted_at = Some(at);
            self.asked_from = at;
        }
    }

    fn given_mut(&mut self, side: ApprovalSide) -> &mut Vec<Approval> {
        match side {
            ApprovalSide::Before => &mut self.approvals,
            ApprovalSide::After => &mut self.signoffs,
        }
    }
}
