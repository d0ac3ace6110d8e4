//! One event in a few words, wherever events are listed: on the page of a release, and in a simulation.

use std::collections::BTreeSet;

use crate::domain::check::LegId;
use crate::domain::derivation::Made;
use crate::domain::event::{ApprovalSide, BuildOutcome, Created, Detail, Event, GroupWritten, RunKind};
use crate::domain::evidence::{Attested, Matter};
use crate::domain::join::{Built, Expected, Listener};
use crate::domain::name::{CommitSha, PipelineName, RefName, StageName, VariableName};
use crate::domain::person::Person;
use crate::domain::probe::Reading;
use crate::domain::progress::Progress;
use crate::domain::reuse::TakenOver;
use crate::domain::source::Found;
use crate::domain::track::Track;

fn built(outcome: &BuildOutcome, reused: Option<&TakenOver>) -> String {
    match outcome {
        BuildOutcome::Sealed(_) => reused.map_or_else(|| "artifact sealed".to_owned(), TakenOver::not_built),
        BuildOutcome::Passed => "build passed".to_owned(),
        BuildOutcome::Failed(failure) => format!("build failed at \"{}\"", failure.step),
        BuildOutcome::Errored(why) => format!("build could not be done: {why}"),
        BuildOutcome::Cancelled(person) => format!("build cancelled by {}", person.login),
    }
}

fn checked(commit: &CommitSha, outcome: &BuildOutcome) -> String {
    let kept = if matches!(outcome, BuildOutcome::Sealed(_)) { ", what it built is kept" } else { "" };
    format!("quality build of {} ended{kept}", commit.short())
}

fn opened(kind: RunKind, attempt: u32) -> String {
    match (kind, attempt) {
        (RunKind::Rollback, _) => "rollback asked for".to_owned(),
        (RunKind::Verify, _) => "its tests asked for again".to_owned(),
        (RunKind::Deploy | RunKind::Redeploy, 1) => "waiting".to_owned(),
        (RunKind::Deploy | RunKind::Redeploy, n) => format!("waiting, attempt {n}"),
    }
}

fn moved(start: &str, detail: &Detail) -> String {
    match detail {
        Detail::Reason(why) => format!("{start}, {why}"),
        Detail::Failed(_) | Detail::By { .. } => super::sentence(start, detail),
        Detail::None | Detail::Fence(_) | Detail::Took(_) | Detail::Newer(_) => start.to_owned(),
    }
}

fn made(created: &Created) -> String {
    let of: Vec<String> = created.builds.iter().map(ToString::to_string).collect();
    let of = if of.is_empty() { String::new() } else { format!(", of {}", of.join(", ")) };
    format!("{} made from {}{of}", created.version, created.commit.short())
}

fn sources(found: &[Found]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn expected(push: &Expected) -> String {
    let started: Vec<&str> = push.started.iter().map(PipelineName::as_str).collect();
    format!("{} starts {}", push.commit.short(), started.join(", "))
}

fn told(built: &Built) -> String {
    let how = built.outcome.as_ref().map_or_else(|why| format!("not built: {why}"), |_| "built".to_owned());
    format!("{} {} of {} {how}", built.pipeline, built.version, built.commit.short())
}

fn listening(listeners: &BTreeSet<Listener>) -> String {
    let names: Vec<String> = listeners.iter().map(|listener| listener.pipeline.to_string()).collect();
    let names = if names.is_empty() { "no other repository".to_owned() } else { names.join(", ") };
    format!("builds are told to {names}")
}

fn signed(attested: &Attested) -> String {
    let names: Vec<&str> = attested.files.iter().map(|kept| kept.name.as_str()).collect();
    match &attested.what {
        Matter::Written { stage, .. } => format!("{stage}: written: {}", names.join(", ")),
        Matter::Build | Matter::Stage { .. } | Matter::Links | Matter::Revision { .. } => {
            format!("signed: {}", names.join(", "))
        }
    }
}

fn pointed(tag: &RefName, commit: Option<&CommitSha>) -> String {
    format!("tag {tag} points at {}", commit.map_or("nowhere", |c| c.short()))
}

fn sampled(stage: &StageName, readings: &[(LegId, Reading)]) -> String {
    let said: Vec<String> = readings.iter().map(|(gate, r)| format!("{gate}: {}", r.detail)).collect();
    format!("{stage}: gates answered: {}", said.join("; "))
}

fn noted(by: Option<&Person>, frozen: bool) -> String {
    let what = if frozen { "notes published" } else { "notes written" };
    by.map_or_else(|| what.to_owned(), |by| format!("{what}, by {}", by.login))
}

fn done(stage: &StageName, progress: &Progress) -> String {
    let outputs: Vec<&str> = progress.outputs.keys().map(VariableName::as_str).collect();
    let wrote = if outputs.is_empty() { String::new() } else { format!(", wrote {}", outputs.join(", ")) };
    format!("{stage}: {}{wrote}", progress.phase.word())
}

/// What is new in a revision of a release.
pub fn revised(made: &[Made]) -> String {
    let said: Vec<String> = made
        .iter()
        .map(|made| {
            let (alias, now) = (made.alias(), made.sealed.digest.short());
            match &made.was {
                Some(was) => format!("made {alias} anew, {} became {now}", was.short()),
                None => format!("made {alias}, {now}"),
            }
        })
        .collect();
    said.join("; ")
}

/// One event in a few words.
pub fn sentence(event: &Event) -> String {
    match event {
        Event::ReleaseCreated(created) => made(created),
        Event::Demand(fact) => super::demand::sentence(fact),
        Event::BuildsExpected(push) => expected(push),
        Event::BuildHeard(built) => told(built),
        Event::ListenersSeen { listeners } => listening(listeners),
        Event::SourcesFound { found, .. } => sources(found),
        Event::BuildStarted { attempt, .. } => format!("build started, attempt {attempt}"),
        Event::BuildFinished { outcome, reused, .. } => built(outcome, reused.as_deref()),
        Event::Noted { by, frozen, .. } => noted(by.as_ref(), *frozen),
        Event::Retired { .. } => "artifact deleted: it was not to be kept any longer".to_owned(),
        Event::Attested(attested) => signed(attested),
        Event::BuildRetried { attempt, .. } => format!("build to be tried again, attempt {attempt}"),
        Event::TagSeen { tag, commit, .. } => pointed(tag, commit.as_ref()),
        Event::PlaceFound { place, .. } => format!("spoken about at {place}"),
        Event::OfferShown { stage, place, .. } => format!("approval of {stage} asked for at {place}"),
        Event::Alarm { text, .. } => text.clone(),
        Event::Held { reason, track, .. } => format!("put on hold{}: {reason}", of(track.as_ref())),
        Event::Unheld { track, .. } => format!("hold{} lifted", of(track.as_ref())),
        Event::Frozen { reason, .. } => format!("frozen: {reason}"),
        Event::Unfrozen { .. } => "freeze lifted".to_owned(),
        Event::Heard(heard) => heard.line.clone(),
        Event::Pause(fact) => super::pause::sentence(fact),
        Event::Target(fact) => format!("{}: {}", fact.stage, fact.said.sentence()),
        Event::Publication(fact) => format!("{}: {}", fact.stage, fact.said.sentence()),
        Event::Revised(fact) => format!("{}: {}", fact.stage, revised(&fact.said)),
        Event::Runbook(fact) => fact.kind().replace('_', " "),
        Event::PolicySeen { commit, .. } => format!("rules read at {}", commit.short()),
        Event::ServerPolicySeen { .. } => "the server's policy read".to_owned(),
        Event::PolicyProposed(proposal) => super::proposal::sentence(proposal),
        Event::CheckAsked { commit, .. } => format!("quality build of {} asked for", commit.short()),
        Event::CheckStarted { commit, .. } => format!("quality build of {} started", commit.short()),
        Event::CheckFinished { commit, outcome, .. } => checked(commit, outcome),
        Event::CheckRetired { commit } => {
            format!("what the quality build of {} left is deleted", commit.short())
        }
        Event::StageOpened { stage, attempt, kind, .. } => format!("{stage}: {}", opened(*kind, *attempt)),
        Event::StageMoved { stage, to, detail, .. } => moved(&format!("{stage}: {}", to.word()), detail),
        Event::PhaseDone { stage, progress, .. } => done(stage, progress),
        Event::Approved { stage, approval, .. } => {
            let team = approval.team.as_ref().map_or_else(String::new, |team| format!(" for {team}"));
            let what = match approval.side {
                ApprovalSide::Before => "approved",
                ApprovalSide::After => "signed off",
            };
            format!("{stage}: {what}{team} by {}", approval.standing.person.login)
        }
        Event::GroupWritten(GroupWritten { stage, group, values, .. }) => {
            let names: Vec<&str> = values.keys().map(VariableName::as_str).collect();
            format!("{stage}: wrote {} into the group {group}", names.join(", "))
        }
        Event::ApprovalWithdrawn { stage, why, .. } => {
            format!("{stage}: an approval no longer counts, {why:?}")
        }
        Event::Overridden { stage, check, by, reason, .. } => {
            format!("{stage}: {} overridden by {}: {reason}", check.word(), by.login)
        }
        Event::LegAnswered(answered) => {
            format!("{}: check {} answered: {}", answered.stage, answered.leg, answered.reading.detail)
        }
        Event::GatesOpened { stage, side, .. } => format!("{stage}: its gates ({}) are asked", side.word()),
        Event::GatesClosed { stage, .. } => format!("{stage}: its gates are not asked for now"),
        Event::GatesSampled { stage, readings, .. } => sampled(stage, readings),
        Event::FoundFaulty { stage, gate, detail, .. } => {
            format!("{stage}: found faulty by {gate}: {detail}")
        }
        Event::Promoted { stage, by, .. } => format!("{stage}: promoted by {}", by.login),
        Event::Vetoed { stage, reason, .. } => format!("{stage}: vetoed, {reason}"),
        Event::VetoLifted { stage, .. } => format!("{stage}: veto lifted"),
    }
}

/// For whom alone a hold is.
fn of(track: Option<&Track>) -> String {
    track.map_or_else(String::new, |track| format!(" for {track}"))
}
