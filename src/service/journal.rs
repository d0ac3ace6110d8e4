//! The log of events of each pipeline: fold what is stored, decide, and commit the step in one transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::decide::{Command, decide};
use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::name::{PipelineId, RepoId, RepoName};
use crate::domain::plan::lock::locks;
use crate::domain::plan::{Owed, Plan, plan};
use crate::domain::refusal::Refusal;
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view;
use crate::store::Store;
use crate::store::delivery::DeliveryState;
use crate::store::effect::OwedEffect;
use crate::store::lock::Locks;
use crate::store::model::{PipelineRow, ReleaseRow, Row, StageRow};
use crate::store::step::{Done, Race, Step};
use crate::store::stream::{Append, NewEvent, StoredEvent};
use crate::trouble::{Outcome, Trouble};

/// Events read at a time while folding a log.
const PAGE: u32 = 2_000;
/// How often a step is decided again because somebody else was first; each round means that others made progress.
const ROUNDS: usize = 20;
/// Wait before the end of work is reported again.
const REPORT_AGAIN: Span = Span::millis(200);
/// Pipelines kept folded in memory; the others are folded again when they are needed.
const KEPT: usize = 500;

/// Reads, decides, writes.
#[derive(Debug)]
pub struct Journal {
    store: Store,
    folded: Mutex<BTreeMap<String, Arc<State>>>,
    /// Present names of repositories, for the rows of their pipelines.
    names: Mutex<BTreeMap<RepoId, String>>,
}

/// What a step carries beside the events of its decision.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Who or what decided, for the log: `ana`, `engine`.
    pub actor: String,
    /// Why: `delivery:17`, `effect:build:…#3`, `api`.
    pub cause: String,
    /// The effect that this step completes.
    pub done: Option<Done>,
    /// The delivery that this step completes.
    pub delivery: Option<(i64, DeliveryState, Option<String>)>,
}

/// What a step came to.
#[derive(Debug)]
pub struct Decided {
    /// The state after it.
    pub state: Arc<State>,
    /// What happened.
    pub events: Vec<Event>,
    /// The number of the last of them in the log of all pipelines; 0 when nothing happened.
    pub seq: i64,
}

impl Journal {
    /// A journal over this store.
    pub fn new(store: Store) -> Self {
        Self { store, folded: Mutex::default(), names: Mutex::default() }
    }

    /// The pipeline as it is now.
    pub async fn load(&self, id: &PipelineId) -> Outcome<Arc<State>> {
        let stream = id.to_string();
        let known = self.folded().get(&stream).cloned();
        let mut state = known.unwrap_or_else(|| Arc::new(State::new(id.clone())));
        loop {
            let after = i64::try_from(state.version).unwrap_or(i64::MAX);
            let read = self.store.read(&stream, after, PAGE).await?;
            if read.version < after {
                // What was told to people and to hosts would be decided a second time (STORAGE §5, row 19).
                return Err(Trouble::bug(format!(
                    "the log of {stream} went back from event {after} to {}: an older copy of the database took the \
                     place of the one that this server knew; it decides nothing there until it is started again on \
                     the right one",
                    read.version
                )));
            }
            if !read.events.is_empty() {
                let folding = Arc::make_mut(&mut state);
                read.events.iter().try_for_each(|stored| fold(folding, stored))?;
            }
            if i64::try_from(state.version).unwrap_or(i64::MAX) >= read.version {
                break;
            }
            if read.events.is_empty() {
                return Err(Trouble::bug(format!("the log of {stream} has a hole after event {after}")));
            }
        }
        self.keep(stream, Arc::clone(&state));
        Ok(state)
    }

    fn folded(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<State>>> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, stream: String, state: Arc<State>) {
        let mut folded = self.folded();
        if folded.len() >= KEPT && !folded.contains_key(&stream) {
            folded.pop_first();
        }
        folded.insert(stream, state);
    }

    /// Decides and commits: events, effects owed, read models, and what the step completes, all or nothing.
    ///
    /// The outer error is ours or the store's, a lost lease among them as a conflict; the inner one is the rules' no.
    pub async fn decide(
        &self,
        id: &PipelineId,
        command: &Command,
        with: Around,
    ) -> Outcome<Result<Decided, Refusal>> {
        for _ in 0..ROUNDS {
            let before = self.load(id).await?;
            let now = self.store.here();
            let events = match decide(&before, command, now) {
                Ok(events) => events,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let after = applied(&before, &events, now)?;
            let name = self.name_of(&id.repo).await?;
            let step = step((&before, &after, &name), &events, (&with, now))?;
            match self.store.commit(step).await {
                Ok(committed) => {
                    let state = Arc::new(after);
                    self.keep(id.to_string(), Arc::clone(&state));
                    let seq = committed.events.last().map_or(0, |event| event.seq);
                    return Ok(Ok(Decided { state, events, seq }));
                }
                Err(trouble) if matches!(Race::of(&trouble), Some(Race::Version { .. })) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::transient(format!("others kept changing {id} for {ROUNDS} rounds")))
    }

    /// Notes the present name of a repository.
    pub fn call(&self, repo: &RepoId, name: &RepoName) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(repo.clone(), name.to_string());
    }

    /// The name last noted, now or by an earlier start; its id when nobody ever asked the host.
    pub(super) async fn name_of(&self, repo: &RepoId) -> Outcome<String> {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(repo).cloned();
        if let Some(name) = known {
            return Ok(name);
        }
        let row = self.store.repository(repo.as_str()).await?;
        Ok(row.map_or_else(|| repo.to_string(), |row| row.name))
    }

    /// Decides how work ended. That is known here alone, so a database that is away is waited for: to give the work
    /// back would call a deploy lost that succeeded. A lease that was lost meanwhile is a conflict as ever.
    pub async fn report(
        &self,
        id: &PipelineId,
        command: &Command,
        with: Around,
    ) -> Outcome<Result<Decided, Refusal>> {
        loop {
            match self.decide(id, command, with.clone()).await {
                Err(trouble) if trouble.is_transient() => {
                    tracing::warn!(pipeline = %id, error = trouble.chain(), "the end of work is not stored yet");
                    tokio::time::sleep(REPORT_AGAIN.as_std()).await;
                }
                answer => return answer,
            }
        }
    }

    /// Completes an effect or a delivery without deciding anything.
    pub async fn close(&self, with: Around, owed: Vec<OwedEffect>) -> Outcome<()> {
        let step = Step { done: with.done, delivery: with.delivery, effects: owed, ..Step::default() };
        self.store.commit(step).await.map(|_| ())
    }

    /// Writes the read models and the effects owed of a pipeline again, from its events (`liftlock rebuild`).
    pub async fn rebuild(&self, id: &PipelineId) -> Outcome<usize> {
        let state = self.load(id).await?;
        let now = self.store.here();
        let rows = rows(&state, &self.name_of(&id.repo).await?, 0, now);
        let count = rows.len();
        let effects = owed(&state, plan(&state, now))?;
        let locks = Some(Locks { stream: id.to_string(), held: locks(&state) });
        self.store.commit(Step { effects, rows, locks, ..Step::default() }).await?;
        Ok(count)
    }
}

fn fold(state: &mut State, stored: &StoredEvent) -> Outcome<()> {
    let event: Event = serde_json::from_str(&stored.data).map_err(|e| {
        Trouble::bug(format!(
            "event {} of {} (`{}`) is not known to this version; run the version that wrote it, or a newer one",
            stored.version, stored.stream, stored.kind
        ))
        .because(e)
    })?;
    state
        .apply(&event, stored.at)
        .map_err(|e| Trouble::bug(format!("the log of {} is broken", stored.stream)).because(e))
}

fn applied(before: &State, events: &[Event], now: Timestamp) -> Outcome<State> {
    let mut after = before.clone();
    for event in events {
        after
            .apply(event, now)
            .map_err(|e| Trouble::bug("a decision does not follow from its state").because(e))?;
    }
    Ok(after)
}

fn step(
    (before, after, name): (&State, &State, &str),
    events: &[Event],
    (with, now): (&Around, Timestamp),
) -> Outcome<Step> {
    let stream = before.id.to_string();
    let new: Vec<NewEvent> = events
        .iter()
        .map(|event| {
            Ok(NewEvent {
                kind: event.kind().to_owned(),
                release: event.release().map(|no| no.0.get()),
                data: json(event)?,
                actor: with.actor.clone(),
                cause: with.cause.clone(),
            })
        })
        .collect::<Outcome<_>>()?;
    let expect = i64::try_from(before.version).unwrap_or(i64::MAX);
    let held = locks(after);
    let changed = held != locks(before);
    let locks = changed.then(|| Locks { stream: stream.clone(), held });
    // Without events too: what is owed follows from this version, and must not overwrite what a newer one owes.
    let appends = if new.is_empty() && expect == 0 {
        Vec::new()
    } else {
        vec![Append { stream, expect, events: new, at: now }]
    };
    Ok(Step {
        done: with.done.clone(),
        delivery: with.delivery.clone().map(|delivery| judged(delivery, events)),
        appends,
        effects: owed(after, plan(after, now))?,
        rows: rows(after, name, before.version, now),
        locks,
    })
}

/// A delivery that was somebody's command, and was refused, is ignored for the reason that was given.
fn judged(
    (seq, state, why): (i64, DeliveryState, Option<String>),
    events: &[Event],
) -> (i64, DeliveryState, Option<String>) {
    for event in events {
        let Event::Heard(heard) = event else { continue };
        if heard.code != "ok" {
            let said = heard.reply.clone().unwrap_or_else(|| heard.code.clone());
            return (seq, DeliveryState::Ignored, Some(said));
        }
    }
    (seq, state, why)
}

fn json<T: serde::Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|e| Trouble::bug("write an event as JSON").because(e))
}

fn owed(state: &State, plan: Plan) -> Outcome<Vec<OwedEffect>> {
    plan.owed.into_iter().map(|owed| to_row(owed, Some(state.id.to_string()))).collect()
}

/// An owed effect as the store keeps it.
pub fn to_row(owed: Owed, stream: Option<String>) -> Outcome<OwedEffect> {
    Ok(OwedEffect {
        kind: kind(&owed.effect).to_owned(),
        lane: owed.lane.word().to_owned(),
        stream,
        group: owed.group,
        priority: owed.priority,
        run_after: owed.not_before,
        desired: json(&owed.effect)?,
        cancel: owed.cancel,
        key: owed.key,
    })
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Sources { .. } => "sources",
        Effect::Build { .. } => "build",
        Effect::Check { .. } => "check",
        Effect::Deploy { .. } => "deploy",
        Effect::Runbook { .. } => "runbook",
        Effect::Leg { .. } => "leg",
        Effect::Gates { .. } => "gates",
        Effect::Tag { .. } => "tag",
        Effect::Thread { .. } => "thread",
        Effect::Status { .. } => "status",
        Effect::Sticky { .. } => "sticky",
        Effect::Note { .. } => "note",
        Effect::Confirm { .. } => "confirm",
        Effect::Reply { .. } => "reply",
        Effect::Notify(_) => "notify",
        Effect::Wake => "wake",
        Effect::Announce { .. } => "announce",
        Effect::Attest { .. } => "attest",
        Effect::Join { .. } => "join",
        Effect::Start { .. } => "start",
    }
}

/// Read models of everything that changed since that version, and of everything still open.
fn rows(state: &State, name: &str, since: u64, now: Timestamp) -> Vec<Row> {
    let mut rows = vec![Row::Pipeline(PipelineRow {
        stream: state.id.to_string(),
        repo_id: state.id.repo.to_string(),
        repo_name: name.to_owned(),
        name: state.id.name.to_string(),
        settings: pipeline_settings(state),
    })];
    for release in state.releases.values().filter(|r| r.touched > since || r.is_open()) {
        rows.push(Row::Release(release_row(state, release, now)));
        for (position, stage) in release.rules.stages.iter().enumerate() {
            let status = view::stage_status(state, release, stage, now);
            let run = release.run(&stage.name);
            rows.push(Row::Stage(StageRow {
                stream: state.id.to_string(),
                no: release.no().0.get(),
                stage: stage.name.to_string(),
                position: u32::try_from(position).unwrap_or(u32::MAX),
                attempt: run.map_or(0, |r| r.attempt),
                state: run.map_or("not reached", |r| r.word(stage)).to_owned(),
                digest: run.map_or_else(|| digest(release), |run| digest(&release.seen_by(run))),
                line: status.description,
                next_at: crate::domain::gate::verdict(state, release, stage, now).next_time(),
                updated_at: run.map_or(release.at, |r| r.moved_at),
            }));
        }
    }
    rows
}

fn digest(release: &Release) -> Option<String> {
    release.shown_digest().map(ToString::to_string)
}

fn pipeline_settings(state: &State) -> String {
    let pipeline = state.pipeline();
    let stages: Vec<String> =
        pipeline.iter().flat_map(|p| p.stage_names().map(ToString::to_string)).collect();
    let starts = pipeline.as_deref().map(view::trigger::sentences).unwrap_or_default();
    let about = pipeline.map(|p| p.about.clone()).unwrap_or_default();
    serde_json::json!({
        "stages": stages, "title": about.title, "description": about.description,
        "tags": about.tags, "weight": about.weight, "starts": starts,
    })
    .to_string()
}

fn release_row(state: &State, release: &Release, now: Timestamp) -> ReleaseRow {
    let title = release.created.changes.first().map_or_else(String::new, |c| c.subject.clone());
    let build = view::build_status(state, release);
    let summary = serde_json::json!({
        "build": build.description, "build_state": build.state.word(),
        "branch": release.created.branch, "track": release.track().map(ToString::to_string), "initiator": release.created.initiator.as_ref().map(|p| p.login.to_string()),
    });
    ReleaseRow {
        stream: state.id.to_string(),
        no: release.no().0.get(),
        seq: i64::try_from(release.created.seq).unwrap_or(i64::MAX),
        version: release.created.version.to_string(),
        commit: release.created.commit.to_string(),
        digest: digest(release),
        state: release.state().word().to_owned(),
        title,
        created_at: release.at,
        updated_at: now,
        summary: summary.to_string(),
    }
}
