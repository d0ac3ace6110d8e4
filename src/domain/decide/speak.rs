//! What people say: who may, what it changes, and what they are told.

use std::collections::BTreeSet;

use crate::domain::approval::{approvers, asked, default_rule, entitled_for, stage_approvers, tally};
use crate::domain::command::{Ask, ReleaseRef, StageRef, Verb};
use crate::domain::decide::resolve::HOST_CLOCK_MS;
use crate::domain::decide::{Draft, Spoken, Unclear, withdrawal};
use crate::domain::effect::{Place, Reaction};
use crate::domain::event::{Approval, ApprovalSide, Detail, Event, Heard, RunKind, Withdrawal};
use crate::domain::name::{StageName, TeamWord};
use crate::domain::person::{Account, Standing};
use crate::domain::pipeline::{ApprovalRule, Role};
use crate::domain::policy;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState, Transition};
use crate::domain::state::Hold;
use crate::domain::time::Span;
use crate::domain::track::Track;
use crate::domain::view;

/// Answers in words per thread and ten minutes; beyond that only reactions, so that two bots cannot talk (T14).
const REPLIES_PER_THREAD: usize = 5;
/// The window of [`REPLIES_PER_THREAD`].
const REPLY_WINDOW: Span = Span::minutes(10);
/// Somebody without the right is told so once a day and thread (THREATS T22).
const RIGHTS_WINDOW: Span = Span::hours(24);

/// The code of an answer to what no command came of.
const UNCLEAR: &str = "unclear";

/// What the speaker is told.
pub(super) struct Told {
    reaction: Reaction,
    reply: Option<String>,
}

impl Told {
    pub(super) fn started() -> Self {
        Self { reaction: Reaction::Rocket, reply: None }
    }

    pub(super) fn counted() -> Self {
        Self { reaction: Reaction::ThumbsUp, reply: None }
    }

    pub(super) fn text(reply: String) -> Self {
        Self { reaction: Reaction::Rocket, reply: Some(reply) }
    }
}

impl Draft {
    /// Carries a command out, or records why not; both are on the record with who said what.
    pub(super) fn hear(&mut self, spoken: &Spoken) -> Result<(), Refusal> {
        let line = spoken.comment.as_ref().map(|comment| (comment.clone(), spoken.line.clone()));
        if line.is_some_and(|line| self.state.heard.contains(&line)) {
            // Hosts deliver a comment more than once (THREATS T7).
            return Ok(());
        }
        let (code, told) = match self.carry_out(spoken) {
            Ok(told) => ("ok", told),
            Err(bug @ (Refusal::Illegal(_) | Refusal::Missing(_) | Refusal::Full)) => return Err(bug),
            Err(refusal) => {
                let to = (spoken.place.as_ref(), &spoken.standing);
                let may = self.may_reply(to, (refusal.code(), refusal.is_about_rights()));
                let reply = may.then(|| refusal.to_string());
                (refusal.code(), Told { reaction: refusal.reaction(), reply })
            }
        };
        self.add(Event::Heard(Box::new(Heard {
            comment: spoken.comment.clone(),
            place: spoken.place.clone(),
            by: Some(spoken.standing.person.clone()),
            line: spoken.line.clone(),
            code: code.to_owned(),
            reaction: told.reaction,
            reply: told
                .reply
                .filter(|_| spoken.comment.is_none() || self.within_budget(spoken.place.as_ref())),
        })))
    }

    /// Answers what no command came of, within what is said to anybody on a thread; nothing else is done.
    pub(super) fn answer_unclear(&mut self, unclear: &Unclear) -> Result<(), Refusal> {
        let Unclear { line, comment, place, standing, reply } = unclear;
        if self.state.heard.contains(&(comment.clone(), line.clone())) {
            return Ok(());
        }
        let may =
            self.may_reply((Some(place), standing), (UNCLEAR, false)) && self.within_budget(Some(place));
        self.add(Event::Heard(Box::new(Heard {
            comment: Some(comment.clone()),
            place: Some(place.clone()),
            by: Some(standing.person.clone()),
            line: line.clone(),
            code: UNCLEAR.to_owned(),
            reaction: Reaction::Confused,
            reply: may.then(|| reply.clone()),
        })))
    }

    fn within_budget(&self, place: Option<&Place>) -> bool {
        let since = |at| self.now.since(at) < REPLY_WINDOW;
        let recent = self
            .state
            .answers
            .values()
            .filter(|(at, h)| since(*at) && h.reply.is_some() && h.place.as_ref() == place)
            .count();
        recent < REPLIES_PER_THREAD
    }

    /// Whether somebody is told in words why nothing was done, or has been told already.
    fn may_reply(&self, (place, to): (Option<&Place>, &Standing), (code, rights): (&str, bool)) -> bool {
        let weak = to.role < Role::Write;
        let told = self.state.answers.values().any(|(at, h)| {
            self.now.since(*at) < RIGHTS_WINDOW
                && h.place.as_ref() == place
                && h.by.as_ref().is_some_and(|p| p.id == to.person.id)
                && h.reply.is_some()
                && if weak { h.code != "ok" } else { h.code == code }
        });
        !(told && (weak || rights))
    }

    fn carry_out(&mut self, spoken: &Spoken) -> Result<Told, Refusal> {
        if let Ask::Run { runbook, inputs } = &spoken.ask {
            return self.run_book(spoken, runbook, inputs);
        }
        if let Ask::Start { inputs, .. } = &spoken.ask {
            return self.press(spoken, inputs);
        }
        match self.means_runbook(&spoken.ask) {
            Some(runbook) => self.speak_of_runbook(spoken, &runbook),
            None => self.speak_of_stages(spoken),
        }
    }

    fn speak_of_stages(&mut self, spoken: &Spoken) -> Result<Told, Refusal> {
        match &spoken.ask {
            Ask::Approve { stage, release, note } => {
                let stage = self.stage(Verb::Approve, stage)?;
                self.approve(spoken, &stage, release.as_ref(), note.as_ref().map(ToString::to_string))
            }
            Ask::Signoff { team, stage, release, note } => {
                let note = note.as_ref().map(ToString::to_string);
                self.sign_off(spoken, (team, stage.as_ref()), release.as_ref(), note)
            }
            Ask::Revoke { stage, .. } => self.revoke(spoken, stage),
            Ask::Reject { stage, release, reason } => {
                let stage = self.stage(Verb::Reject, stage)?;
                self.reject(spoken, &stage, release.as_ref(), reason.as_str())
            }
            Ask::Resume { stage, release, note } => {
                let stage = self.stage(Verb::Resume, stage)?;
                let note = note.as_ref().map(ToString::to_string);
                self.resume_asked(spoken, &stage, (release.as_ref(), note))
            }
            Ask::Hold { stage, reason } => self.hold(spoken, stage.as_ref(), reason.as_str()),
            Ask::Unhold { stage } => self.unhold(spoken, stage.as_ref()),
            Ask::Freeze { stage, until, reason } => {
                self.freeze(spoken, stage.as_ref(), (*until, reason.as_str()))
            }
            Ask::Unfreeze { stage } => self.unfreeze(spoken, stage.as_ref()),
            Ask::Promote { stage, .. } => self.promote(spoken, stage),
            Ask::Retry { stage, part, .. } => self.retry(spoken, stage, *part),
            Ask::Cancel { stage, exactly, .. } => self.cancel(spoken, stage, *exactly),
            Ask::Rollback { stage, release, .. } => {
                let stage = self.stage(Verb::Rollback, stage)?;
                self.rollback(spoken, &stage, release.as_ref())
            }
            Ask::Override { stage, check, reason, .. } => {
                let stage = self.stage(Verb::Override, stage)?;
                self.pass_over(spoken, &stage, check, reason.as_str())
            }
            Ask::Preview { stage, .. } => self.preview(spoken, stage),
            Ask::Why { stage } => self.why(spoken, stage),
            Ask::Status { stage } => self.status(spoken, stage.as_ref()),
            Ask::Recheck => {
                needs(spoken, None, spoken.visibility.to_make_work())?;
                Ok(Told::started())
            }
            Ask::Run { .. } | Ask::Start { .. } => Err(Refusal::Stale),
            Ask::Help => {
                needs(spoken, None, Role::Read)?;
                Ok(Told::text(view::help::help(&self.state, (&spoken.standing, spoken.visibility), self.now)))
            }
        }
    }

    fn approve(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        wanted: Option<&ReleaseRef>,
        note: Option<String>,
    ) -> Result<Told, Refusal> {
        let release = self.for_consent(spoken, stage, wanted)?;
        let rule = release.rule(stage).ok_or(Refusal::Stale)?;
        let outrun = self.state.outrun_by(&release, stage).is_some();
        let fits = |run: &&StageRun| {
            run.state.asks()
                && (run.side() == ApprovalSide::After || !outrun || run.kind == RunKind::Rollback)
        };
        let Some(run) = release.run(stage).filter(fits) else {
            return Err(self.cannot_start(Verb::Approve, &release, stage));
        };
        was_there(spoken, &release, (stage, run))?;
        let asked = asked(rule, run).unwrap_or_else(|| default_rule(0));
        self.give(spoken, &release, (stage, run, &asked), (None, note))
    }

    /// Records a yes of somebody who may give it.
    fn give(
        &mut self,
        spoken: &Spoken,
        release: &Release,
        (stage, run, asked): (&StageName, &StageRun, &ApprovalRule),
        (team, note): (Option<&TeamWord>, Option<String>),
    ) -> Result<Told, Refusal> {
        entitled_for(asked, (release, run), &spoken.standing, team).map_err(|why| Refusal::NotEntitled {
            stage: stage.clone(),
            login: spoken.standing.person.login.to_string(),
            why,
            who: approvers(asked)
                .iter()
                .filter(|who| team.is_none_or(|team| who.is_called(team)))
                .map(ToString::to_string)
                .collect(),
        })?;
        let given = approval(spoken, &release.seen_by(run), Some(asked), note).ok_or(Refusal::Stale)?;
        let given = Approval { side: run.side(), team: team.cloned(), ..given };
        let same = |a: &Approval| a.digest == given.digest && (a.team.is_none() || a.team == given.team);
        if run.given_by(spoken.standing.person.id).any(same) {
            return Ok(Told::counted());
        }
        let (no, attempt) = (release.no(), run.attempt);
        self.add(Event::Approved { release: no, stage: stage.clone(), attempt, approval: Box::new(given) })?;
        let release = self.release(no)?;
        let complete = release.run(stage).is_some_and(|run| tally(asked, &release, run, self.now).complete());
        Ok(if complete { Told::started() } else { Told::counted() })
    }

    /// `/signoff qa prod`: a yes that serves the one team it names, before or after the deploy.
    fn sign_off(
        &mut self,
        spoken: &Spoken,
        (team, stage): (&TeamWord, Option<&StageRef>),
        wanted: Option<&ReleaseRef>,
        note: Option<String>,
    ) -> Result<Told, Refusal> {
        let stage = match stage {
            Some(stage) => self.stage(Verb::Signoff, stage)?,
            None => self.stage_of_team(team)?,
        };
        let release = self.for_consent(spoken, &stage, wanted)?;
        let rule = release.rule(&stage).ok_or(Refusal::Stale)?;
        let Some(run) = release.run(&stage).filter(|run| run.state.asks()) else {
            return Err(self.cannot_start(Verb::Signoff, &release, &stage));
        };
        let asked = asked(rule, run).filter(|rule| approvers(rule).iter().any(|who| who.is_called(team)));
        let Some(asked) = asked else {
            let rule = crate::domain::approval::asked(rule, run);
            let teams = rule.iter().flat_map(approvers);
            let teams = teams.filter_map(|who| who.word().map(str::to_owned)).collect();
            return Err(Refusal::NotThisTeam { stage, team: team.to_string(), teams });
        };
        was_there(spoken, &release, (&stage, run))?;
        self.give(spoken, &release, (&stage, run, &asked), (Some(team), note))
    }

    /// The one stage that waits for this team.
    fn stage_of_team(&self, team: &TeamWord) -> Result<StageName, Refusal> {
        let stages = self.waiting_for(team);
        match stages.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(Refusal::WhichStage { team: team.to_string(), stages }),
        }
    }

    /// Why this release cannot be approved any more: it is live, it is older than what is live, or it ended.
    pub(super) fn cannot_start(&self, verb: Verb, release: &Release, stage: &StageName) -> Refusal {
        let version = release.created.version.to_string();
        if let Some(newer) = self.state.outrun_by(release, stage) {
            let live = newer.created.version.to_string();
            return Refusal::OlderThanLive { release: version, live, stage: stage.clone() };
        }
        if let (Verb::Approve, Some(Detail::Newer(newer))) = (verb, release.run(stage).map(|run| &run.detail))
        {
            return Refusal::Moved { old: version, new: self.state.version_of(*newer), stage: stage.clone() };
        }
        let live = self.state.live_in(stage, release.track()).filter(|live| live.no() != release.no());
        let instead = match (release.state_in(stage), &release.created.channel) {
            (Some(StageState::Succeeded), _) if live.is_some() => {
                let live = live.map_or_else(String::new, |live| live.created.version.to_string());
                let targets = self.state.rollback_targets(stage, release.track());
                let back = if targets.iter().any(|target| target.no() == release.no()) {
                    format!(" `/rollback {stage} {version} -- reason` puts it back.")
                } else {
                    String::new()
                };
                format!("{version} was live there; {live} is now.{back}")
            }
            (Some(state), _) => format!("{version} is {} there.", state.word()),
            (None, Some(channel)) if release.rule(stage).is_none() => {
                format!("{version} is of the channel {channel}, which passes no {stage}.")
            }
            (None, _) => format!("{version} is not built yet there."),
        };
        Refusal::Nothing { verb, stage: stage.clone(), instead }
    }

    fn revoke(&mut self, spoken: &Spoken, stage: &StageRef) -> Result<Told, Refusal> {
        let stage = self.stage(Verb::Revoke, stage)?;
        let person = spoken.standing.person.id;
        let mine = self.with_run(&stage, |run| run.state.asks());
        let named = spoken.ask.release().map(|r| self.named(r, Verb::Revoke, &stage)).transpose()?;
        let mut revoked = 0_u32;
        for release in mine {
            if named.as_ref().is_some_and(|n| n.no() != release.no()) {
                continue;
            }
            let Some(run) = release.run(&stage) else { continue };
            for given in run.given_by(person) {
                self.add(withdrawal((release.no(), &stage, run.attempt), given, Withdrawal::Revoked))?;
                revoked = revoked.saturating_add(1);
            }
        }
        if revoked == 0 { Err(Refusal::NoApproval { stage }) } else { Ok(Told::counted()) }
    }

    fn reject(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        wanted: Option<&ReleaseRef>,
        reason: &str,
    ) -> Result<Told, Refusal> {
        let release = match (wanted, self.asking_here(spoken, stage)) {
            (None, Some(asking)) => asking,
            (wanted, _) => self.for_consent(spoken, stage, wanted)?,
        };
        let side = release.run(stage).map_or(ApprovalSide::Before, StageRun::side);
        must_be_approver(spoken, &release, (stage, side))?;
        match release.state_in(stage) {
            Some(StageState::AwaitingSignoff) => {
                self.reject_deployed(&release, stage, by(spoken, Some(reason)))?;
                return Ok(Told::counted());
            }
            Some(StageState::Queued) => {
                self.move_stage(
                    release.no(),
                    stage,
                    (Transition::BlockersReturned, StageState::Pending),
                    Detail::None,
                )?;
            }
            Some(StageState::Pending) => {}
            Some(StageState::Paused) => return self.reject_asked(spoken, (&release, stage), reason),
            _ => return Err(self.cannot_start(Verb::Reject, &release, stage)),
        }
        let by = by(spoken, Some(reason));
        self.move_stage(release.no(), stage, (Transition::Reject, StageState::Rejected), by)?;
        Ok(Told::counted())
    }

    fn hold(&mut self, spoken: &Spoken, stage: Option<&StageRef>, reason: &str) -> Result<Told, Refusal> {
        let stage = stage.map(|s| self.stage(Verb::Hold, s)).transpose()?;
        needs(spoken, stage.as_ref(), Role::Write)?;
        let person = &spoken.standing.person;
        let here = (stage, None);
        // Taking a hold over would be a way to lift it: of what a rollback left, that is a maintainer's.
        let mine = |hold: &Hold| match &hold.by {
            Some(by) => by.id == person.id,
            None => spoken.standing.role >= Role::Maintain,
        };
        let other = self.state.holds.get(&here).filter(|hold| !mine(hold));
        let (stage, track) = here;
        if let Some(hold) = other {
            let place = stage.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
            let lift = unhold_line(stage.as_ref());
            let who = match &hold.by {
                Some(by) => format!("{} or a maintainer", by.login),
                None => "a maintainer".to_owned(),
            };
            let by = hold.by.as_ref().map_or_else(|| "a rollback".to_owned(), |by| by.login.to_string());
            let hold = format!("on hold by {by} since {}: {}", hold.since.minute(), hold.reason);
            return Err(Refusal::OnHold { place, lift, who, hold });
        }
        let by = Some(person.clone());
        self.add(Event::Held { stage, track, by, reason: reason.to_owned() })?;
        Ok(Told::counted())
    }

    /// Lifts the holds on a stage, and with them the vetoes that a rollback or a rewritten branch left there; of tracks
    /// those that are spoken about here, elsewhere all.
    fn unhold(&mut self, spoken: &Spoken, stage: Option<&StageRef>) -> Result<Told, Refusal> {
        let stage = stage.map(|s| self.stage(Verb::Unhold, s)).transpose()?;
        needs(spoken, stage.as_ref(), Role::Write)?;
        // What waited behind it for too long is over, also when nobody was there to see the time pass.
        self.lapse()?;
        let here: BTreeSet<Option<Track>> =
            self.tracks_here(spoken).into_iter().map(Option::<&Track>::cloned).collect();
        let of = |track: &Option<Track>| track.is_none() || here.is_empty() || here.contains(track);
        let on = self.state.holds.iter().filter(|((at, track), _)| *at == stage && of(track));
        let mut holds: Vec<_> = on.map(|(place, hold)| (place.clone(), hold.by.clone())).collect();
        let mut vetoes: Vec<_> = self
            .state
            .vetoes
            .keys()
            .filter(|(at, no)| Some(at) == stage.as_ref() && !self.state.tampered(*no))
            .filter(|(_, no)| self.state.release(*no).is_none_or(|r| of(&r.created.track)))
            .cloned()
            .collect();
        if holds.is_empty() && vetoes.is_empty() {
            let beside = self.state.holds.get(&(None, None)).filter(|_| stage.is_some());
            let beside = beside.and_then(|hold| Some((hold.by.as_ref()?, hold)));
            let beside = beside.map(|(by, hold)| format!("held by {}: {}", by.login, hold.reason));
            return Err(Refusal::NotHeld { stage, beside });
        }
        if spoken.standing.role < Role::Maintain {
            // One's own holds, and nothing that somebody else or a rollback left beside them.
            let holder = holds.iter().find_map(|(_, by)| by.as_ref());
            let holder = holder.map_or_else(|| "liftlock".to_owned(), |p| p.login.to_string());
            holds.retain(|(_, by)| by.as_ref().is_some_and(|p| p.id == spoken.standing.person.id));
            vetoes.clear();
            if holds.is_empty() {
                return Err(Refusal::NotHolder { holder });
            }
        }
        let by = Some(spoken.standing.person.clone());
        for (place, _) in holds {
            let lifted = Event::Unheld { stage: place.0.clone(), track: place.1.clone(), by: by.clone() };
            self.add(lifted.clone())?;
            // What a rollback left below it is a maintainer's to lift, who need not say it twice.
            if spoken.standing.role >= Role::Maintain && self.state.holds.contains_key(&place) {
                self.add(lifted)?;
            }
        }
        for (stage, release) in vetoes {
            self.add(Event::VetoLifted { release, stage })?;
        }
        Ok(Told::counted())
    }
}

fn unhold_line(stage: Option<&StageName>) -> String {
    stage.map_or_else(|| "/unhold".to_owned(), |stage| format!("/unhold {stage}"))
}

/// The speaker has at least this role.
pub(super) fn needs(spoken: &Spoken, stage: Option<&StageName>, needs: Role) -> Result<(), Refusal> {
    let has = spoken.standing.role;
    if has >= needs && spoken.standing.kind == Account::Human {
        return Ok(());
    }
    Err(Refusal::NeedsRole { verb: spoken.ask.verb(), stage: stage.cloned(), needs, has })
}

/// The speaker is one of the stage's approvers, before or after the deploy.
pub(super) fn must_be_approver(
    spoken: &Spoken,
    release: &Release,
    (stage, side): (&StageName, ApprovalSide),
) -> Result<(), Refusal> {
    let rule = release.rule(stage).ok_or(Refusal::Stale)?;
    let who = match (side, &rule.signoff) {
        (ApprovalSide::After, Some(asked)) => approvers(asked),
        (ApprovalSide::After, None) | (ApprovalSide::Before, _) => stage_approvers(rule),
    };
    if spoken.standing.kind == Account::Human && who.iter().any(|w| spoken.standing.is(w)) {
        return Ok(());
    }
    Err(Refusal::NotEntitled {
        stage: stage.clone(),
        login: spoken.standing.person.login.to_string(),
        why: crate::domain::approval::NotCounted::NotInRule,
        who: who.iter().map(ToString::to_string).collect(),
    })
}

/// Nobody can agree to what was not there yet when they wrote.
fn was_there(
    spoken: &Spoken,
    release: &Release,
    (stage, run): (&StageName, &StageRun),
) -> Result<(), Refusal> {
    let said = spoken.at.0.saturating_add(HOST_CLOCK_MS);
    // A word that came late is of the attempt that there was when it was said; who asked for the attempt knows of it.
    let asked_for_it = run.by.as_ref().is_some_and(|by| by.id == spoken.standing.person.id);
    let is_late = run.attempt > 1 && said <= run.opened_at.0 && !asked_for_it;
    if run.side() == ApprovalSide::Before && is_late {
        let version = release.created.version.to_string();
        return Err(Refusal::BeforeAttempt { stage: stage.clone(), release: version });
    }
    if run.side() == ApprovalSide::After && said <= run.moved_at.0 {
        let version = release.created.version.to_string();
        return Err(Refusal::BeforeDeploy { stage: stage.clone(), release: version });
    }
    Ok(())
}

/// The record of a yes, with all it is bound to; nothing before the artifact is sealed.
pub(super) fn approval(
    spoken: &Spoken,
    release: &Release,
    rule: Option<&ApprovalRule>,
    note: Option<String>,
) -> Option<Approval> {
    Some(Approval {
        standing: spoken.standing.clone(),
        comment: spoken.comment.clone(),
        body: spoken.body.clone(),
        digest: release.digest.clone()?,
        commit: release.created.commit.clone(),
        side: ApprovalSide::Before,
        team: None,
        reused_from: None,
        version: Some(release.created.version.clone()),
        manifest: Some(release.created.manifest.clone()),
        policy: rule.map(policy::digest),
        note,
        at: spoken.at,
    })
}

/// Who said it, as the detail of a move.
pub(super) fn by(spoken: &Spoken, reason: Option<&str>) -> Detail {
    Detail::By { person: spoken.standing.person.clone(), reason: reason.map(str::to_owned) }
}
