//! State gives the effects owed to the world and the next time to look: no choice is left to whoever carries them out.
//!
//! `plan` reads state only, never the event that woke it, so that losing a wake-up loses nothing (invariant 5).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::effect::{Effect, Offering, Place};
use crate::domain::event::{Detail, RunKind};
use crate::domain::gate::{verdict, window_changes, window_wait_ends};
use crate::domain::name::{RefName, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::release::{BuildState, Ending, Release, ReleaseState, StageRun, StageState, TagState};
use crate::domain::rollback;
use crate::domain::state::{CheckProgress, State, TOLD_AFTER};
use crate::domain::time::Timestamp;
use crate::domain::track::Lock;
use crate::domain::view;

pub(in crate::domain) use approval::is_asked;

mod approval;
pub mod check;
mod demand;
mod evidence;
mod join;
pub mod lock;
mod notice;
mod overriding;
mod runbook;

/// An effect and how it is to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// What makes it unique: the same key is the same effect.
    pub key: String,
    /// The effect.
    pub effect: Effect,
    /// Which workers take it.
    pub lane: Lane,
    /// Effects of one group never run at the same time.
    pub group: Option<String>,
    /// Higher goes first.
    pub priority: i64,
    /// Not before.
    pub not_before: Option<Timestamp>,
    /// Whether running work should stop.
    pub cancel: bool,
}

/// Which workers take an effect; each lane has its own limit, so that waits in one never starve another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Builds and quality builds.
    Build,
    /// Stages.
    Deploy,
    /// Calls to the host.
    Host,
    /// Checks that run commands.
    Check,
    /// Checks that ask the outside world.
    Probe,
    /// Notices to places outside.
    Notify,
    /// Signing.
    Evidence,
    /// Timers, and what pipelines tell each other.
    Timer,
}

impl Lane {
    /// The store's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Host => "host",
            Self::Check => "check",
            Self::Probe => "probe",
            Self::Notify => "notify",
            Self::Evidence => "evidence",
            Self::Timer => "timer",
        }
    }
}

/// Everything owed for a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Effects, by key.
    pub owed: Vec<Owed>,
    /// When something changes by itself.
    pub wake_at: Option<Timestamp>,
}

/// What is still owed. Releases nothing has happened to for [`TOLD_AFTER`] events have been told about already;
/// they are planned for again when something touches them.
pub fn plan(state: &State, now: Timestamp) -> Plan {
    let recent = |touched: u64| state.version.saturating_sub(touched) < TOLD_AFTER;
    let mut owed = Vec::new();
    for release in state.releases.values() {
        let shipping = release.state() == ReleaseState::Superseded && recent_success(state);
        if release.is_open() || recent(release.touched) || shipping {
            plan_release(state, release, now, &mut owed);
            check::plan_release(state, release, now, &mut owed);
            notice::plan_release(state, release, now, &mut owed);
            join::announce(state, release, &mut owed);
        }
    }
    join::owe(state, &mut owed);
    demand::owe(state, &mut owed);
    plan_deploys(state, &mut owed);
    runbook::owe(state, now, &mut owed);
    check::plan_watches(state, now, &mut owed);
    notice::plan_pipeline(state, &mut owed);
    evidence::owe(state, &mut owed);
    for (commit, check) in state.checks.iter().filter(|(_, check)| recent(check.touched)) {
        if matches!(check.progress, CheckProgress::Waiting | CheckProgress::Running(_)) {
            let effect = Effect::Check { commit: commit.clone(), attempt: check.attempt };
            owed.push(work(state, format!("check:{}:{commit}:{}", state.id, check.attempt), effect));
        }
        let status = view::check_status(state, commit, check);
        owed.push(host(
            state,
            format!("status:{}:{commit}:{}", state.id.repo, status.context),
            Effect::Status { commit: commit.clone(), status },
        ));
    }
    for (_, proposal) in state.proposals.values().filter(|(touched, _)| recent(*touched)) {
        let marker = format!("policy:{}:{}", state.id, proposal.thread);
        let place = Place::Thread(proposal.thread.clone());
        let body = view::proposal::comment(&state.id, proposal);
        owed.push(note_effect(state, (marker, &place, body), None));
    }
    plan_answers(state, &mut owed);
    let wake_at = wake_at(state, now);
    if let Some(at) = wake_at {
        let mut wake = host(state, format!("wake:{}", state.id), Effect::Wake);
        wake.lane = Lane::Timer;
        wake.not_before = Some(at);
        owed.push(wake);
    }
    Plan { owed, wake_at }
}

/// A success among the last events may have shipped older commits (SEMANTICS §2).
fn recent_success(state: &State) -> bool {
    state
        .history
        .values()
        .filter_map(|h| h.last())
        .filter_map(|no| state.release(*no))
        .any(|r| state.version.saturating_sub(r.touched) < TOLD_AFTER)
}

fn work(state: &State, key: String, effect: Effect) -> Owed {
    Owed {
        key,
        effect,
        lane: Lane::Build,
        group: Some(format!("build:{}", state.id)),
        priority: 0,
        not_before: None,
        cancel: false,
    }
}

fn host(state: &State, key: String, effect: Effect) -> Owed {
    // One effect of a pipeline at a time on the host keeps comments in the order of events.
    let group = Some(format!("host:{}", state.id));
    Owed { key, effect, lane: Lane::Host, group, priority: 0, not_before: None, cancel: false }
}

fn plan_release(state: &State, release: &Arc<Release>, now: Timestamp, owed: &mut Vec<Owed>) {
    let (id, no) = (&state.id, release.no());
    if release.build == BuildState::Waiting && release.lacks_sources() {
        let attempt = release.build_attempt;
        let key = format!("sources:{id}:{no}:{attempt}");
        owed.push(Owed { group: None, ..host(state, key, Effect::Sources { release: no, attempt }) });
    } else if matches!(release.build, BuildState::Waiting | BuildState::Running { .. }) {
        let attempt = release.build_attempt;
        let effect = Effect::Build { release: no, attempt };
        owed.push(work(state, format!("build:{id}:{no}:{attempt}"), effect));
    } else if matches!(release.build, BuildState::Failed(Detail::By { .. })) {
        let attempt = release.build_attempt;
        let effect = Effect::Build { release: no, attempt };
        owed.push(Owed { cancel: true, ..work(state, format!("build:{id}:{no}:{attempt}"), effect) });
    }
    plan_statuses(state, release, now, owed);
    if release.build == BuildState::NotNeeded {
        return;
    }
    if let (BuildState::Sealed, TagState::Unknown, Ok(tag)) =
        (&release.build, &release.tag, release.created.version.to_string().parse::<RefName>())
    {
        owed.push(host(
            state,
            format!("tag:{id}:{no}"),
            Effect::Tag {
                release: no,
                tag,
                commit: release.created.commit.clone(),
                message: view::notes::of_tag(release),
            },
        ));
    }
    for stage in &release.rules.stages {
        let run = release.run(&stage.name);
        owed.extend(run.and_then(|run| approval::confirmation(state, release, (stage, run), now)));
    }
    match &release.place {
        // Until its build is over there is nothing to say about a release, and maybe there never is.
        None if matches!(release.build, BuildState::Waiting | BuildState::Running { .. })
            || release.state() == ReleaseState::Superseded => {}
        None => owed.push(host(
            state,
            format!("thread:{id}:{no}"),
            Effect::Thread {
                release: no,
                commit: release.created.commit.clone(),
                title: format!("Release {} of {}", release.created.version, id.name),
            },
        )),
        Some(place) => plan_comments(state, release, (place, now), owed),
    }
}

/// Of a branch only the newest release of a commit speaks for it. Where the commit was released on several, each status has
/// one of them speak: of the build the newest, of a stage the one that moved there last. One that waits has not moved since
/// that began, and does not hide that the commit is live.
fn plan_statuses(state: &State, release: &Release, now: Timestamp, owed: &mut Vec<Owed>) {
    let all: Vec<&Arc<Release>> = state.twins(release).collect();
    let speak = |r: &&&Arc<Release>| !all.iter().any(|other| other.is_newer_than(r));
    let speakers: Vec<&Arc<Release>> = all.iter().filter(speak).copied().collect();
    let is_last = |last: Option<&&Arc<Release>>| last.is_some_and(|last| last.no() == release.no());
    let mut statuses = Vec::new();
    if is_last(speakers.iter().max_by_key(|r| r.no())) {
        statuses.push(view::build_status(state, release));
    }
    let speaks = |stage: &&Stage| {
        let here = speakers.iter().filter(|r| r.rule(&stage.name).is_some());
        let alone = speakers.len() == 1;
        let said = |r: &Release, run: &StageRun| {
            if run.state.waits() {
                (!alone && !state.carries(&stage.name, r), run.opened_at)
            } else {
                (true, run.moved_at)
            }
        };
        is_last(here.max_by_key(|r| (r.run(&stage.name).map(|run| said(r, run)), r.no())))
    };
    let stages: Vec<&Stage> = release.rules.stages.iter().filter(speaks).collect();
    statuses.extend(stages.iter().map(|stage| view::stage_status(state, release, stage, now)));
    statuses.extend(stages.iter().flat_map(|stage| view::check::statuses(state, release, stage)));
    for status in statuses {
        let commit = release.created.commit.clone();
        let key = format!("status:{}:{commit}:{}", state.id.repo, status.context);
        let mut effect = host(state, key, Effect::Status { commit, status });
        // Statuses are seen first and cost the host least.
        effect.priority = 10;
        effect.group = None;
        owed.push(effect);
    }
}

fn plan_comments(state: &State, release: &Release, (place, now): (&Place, Timestamp), owed: &mut Vec<Owed>) {
    let (id, no) = (&state.id, release.no());
    owed.push(host(
        state,
        format!("sticky:{id}:{no}"),
        Effect::Sticky {
            release: no,
            place: place.clone(),
            body: view::comment::sticky(state, release, now),
        },
    ));
    for stage in &release.rules.stages {
        owed.extend(overriding::notes(state, release, stage, place));
        let Some(run) = release.run(&stage.name) else { continue };
        let key = format!("{id}:{no}:{}:{}", stage.name, run.attempt);
        owed.extend(approval::asked(state, release, (stage, run), (place, now)));
        // A run may stop for a person more than once, each time with another question.
        let paused = || format!("paused:{key}:{}", run.moved_at.0);
        let note = match run.state.ending() {
            None if run.state == StageState::Paused => match run.asking() {
                // What is held asks nobody, and the release's own comment says until when.
                Some(asking) if asking.question.hold.is_some() => None,
                Some(asking) => Some((paused(), view::pause::asked(release, stage, asking))),
                None => {
                    run.worked_at.map(|_| (paused(), view::comment::verification_paused(release, stage, run)))
                }
            },
            Some(Ending::Failed | Ending::Rejected) => {
                Some((format!("failed:{key}"), view::comment::stage_failed(state, release, stage, run)))
            }
            Some(Ending::Live | Ending::Dropped) | None => None,
        };
        let back = view::comment::put_back(state, release, (&stage.name, run));
        let back = back.map(|body| (format!("back:{key}"), body));
        let notes = note.into_iter().chain(back);
        owed.extend(notes.map(|(marker, body)| note_effect(state, (marker, place, body), None)));
    }
    if release.state() == ReleaseState::Released {
        let note = (format!("released:{id}:{no}"), place, view::comment::released(release));
        owed.push(note_effect(state, note, None));
    }
    for (version, alarm) in state.alarms.iter().filter(|(_, alarm)| alarm.release == Some(no)) {
        let note = (format!("alarm:{id}:{version}"), place, view::comment::alarm(&alarm.code, &alarm.text));
        owed.push(note_effect(state, note, None));
    }
}

fn note_effect(
    state: &State,
    (marker, place, body): (String, &Place, String),
    offers: Option<Offering>,
) -> Owed {
    let mut owed = host(state, marker.clone(), Effect::Note { marker, place: place.clone(), body, offers });
    owed.priority = 5;
    owed
}

/// For each environment that no runbook works on, and each track there: the run that has it, or the one that goes first
/// (rollback, then by hand, then seq; I1).
fn plan_deploys(state: &State, owed: &mut Vec<Owed>) {
    let at_work = state.runbooks.at_work().flat_map(|run| &run.asked.environments);
    let mut taken: Vec<Lock<'_>> = at_work.map(|environment| Lock { environment, track: None }).collect();
    let mut queued: Vec<(&Arc<Release>, &StageName, &StageRun, &Stage)> = Vec::new();
    for release in state.open() {
        for (name, runs) in &release.stages {
            let Some((run, stage)) = runs.last().zip(release.rule(name)) else { continue };
            if run.state.occupies() {
                taken.push(release.lock(stage));
                // Once its commands have passed there is nothing left to deploy, only to ask.
                let works = run.worked_at.is_none()
                    && run.state != StageState::AwaitingSignoff
                    && run.asking().is_none();
                owed.extend(works.then(|| deploy(state, release, (name, run), stage)));
            } else if run.state == StageState::Queued {
                queued.push((release, name, run, stage));
            }
        }
    }
    queued.sort_by_key(|(_, _, run, _)| Reverse(rank(run)));
    for (release, name, run, stage) in queued {
        let lock = release.lock(stage);
        if !taken.iter().any(|other| other.collides(&lock)) {
            taken.push(lock);
            owed.push(deploy(state, release, (name, run), stage));
        }
    }
}

/// Rollbacks before what was started by hand before what started itself; among equals the older release.
fn rank(run: &StageRun) -> u8 {
    match (run.kind, run.promoted.is_some()) {
        (RunKind::Rollback, _) => 2,
        (RunKind::Deploy | RunKind::Redeploy | RunKind::Verify, true) => 1,
        (RunKind::Deploy | RunKind::Redeploy | RunKind::Verify, false) => 0,
    }
}

fn deploy(state: &State, release: &Release, (stage, run): (&StageName, &StageRun), rule: &Stage) -> Owed {
    let (no, attempt, admission) = (release.no(), run.attempt, run.admissions);
    Owed {
        key: format!("deploy:{}:{no}:{stage}:{attempt}:{admission}", state.id),
        effect: Effect::Deploy { release: no, stage: stage.clone(), attempt, admission },
        lane: Lane::Deploy,
        group: Some(release.lock_group(rule, &state.id.repo)),
        priority: i64::from(rank(run)),
        not_before: None,
        // What stopped to ask and is cancelled is taken up once more, for what runs whatever happened.
        cancel: run.state == StageState::Cancelling && run.fence.is_some(),
    }
}

fn plan_answers(state: &State, owed: &mut Vec<Owed>) {
    let mut by_comment: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (_, heard) in state.answers.values() {
        if let (Some(comment), Some(place)) = (&heard.comment, &heard.place) {
            by_comment.entry((comment.clone(), place.clone())).or_default().push(heard);
        }
    }
    for ((comment, place), heard) in by_comment {
        let bodies: Vec<&str> = heard.iter().filter_map(|h| h.reply.as_deref()).collect();
        let reaction = heard.iter().map(|h| h.reaction).max();
        let Some(reaction) = reaction else { continue };
        owed.push(host(
            state,
            format!("reply:{}:{comment}", state.id),
            Effect::Reply {
                to: comment,
                place,
                reaction,
                body: (!bodies.is_empty()).then(|| bodies.join("\n\n")),
            },
        ));
    }
}

/// The next time a soak, an approval, a wait, a retry or a freeze ends, or a window opens or closes.
fn wake_at(state: &State, now: Timestamp) -> Option<Timestamp> {
    let mut next: Option<Timestamp> = None;
    let mut consider = |at: Timestamp| {
        if at > now && next.is_none_or(|n| at < n) {
            next = Some(at);
        }
    };
    state.freezes.values().filter_map(|freeze| freeze.until).for_each(&mut consider);
    for release in state.open() {
        let asking = release.stages.values().filter_map(|runs| runs.last()?.asking());
        asking.for_each(|asking| consider(asking.ends()));
        for stage in &release.rules.stages {
            let Some(run) = release.run(&stage.name).filter(|run| run.state.asks()) else { continue };
            verdict(state, release, stage, now).next_time().into_iter().for_each(&mut consider);
            window_changes(state, stage, now).into_iter().for_each(&mut consider);
            window_wait_ends(state, (release, stage, run), now).into_iter().for_each(&mut consider);
            approval::times(state, (release, stage, run), now).into_iter().for_each(&mut consider);
            rollback::lapses_at(stage, run).into_iter().for_each(&mut consider);
        }
    }
    demand::times(state, now).into_iter().for_each(&mut consider);
    runbook::times(state, now).into_iter().for_each(&mut consider);
    check::wake_times(state, now, &mut consider);
    next
}
