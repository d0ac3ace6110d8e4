//! What waits for people: everything of a pipeline that somebody could decide now, since when, and the line to type.

use std::collections::BTreeMap;

use crate::domain::approval::{asked, entitled, stage_approvers, tally};
use crate::domain::decide::in_the_way;
use crate::domain::effect::Place;
use crate::domain::event::{ApprovalSide, Overridable};
use crate::domain::gate::waits_since;
use crate::domain::person::{Account, Standing};
use crate::domain::pipeline::{Contexts, Stage};
use crate::domain::plan::is_asked;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::runbook::run::{Progress, Run};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::track::Track;
use crate::domain::view;

/// What somebody is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// To agree before a stage, or a runbook, starts.
    Approve,
    /// To sign off what is deployed.
    SignOff,
    /// To answer what a stage stopped to ask.
    Answer,
    /// To say that a check which is not good may be passed over.
    Override,
}

impl Matter {
    /// The word in JSON and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::SignOff => "sign off",
            Self::Answer => "answer",
            Self::Override => "override",
        }
    }
}

/// One thing that waits for people.
#[derive(Debug, Clone)]
pub struct Wait {
    /// What they are asked to do.
    pub matter: Matter,
    /// The release's number; none for a runbook.
    pub release: Option<u32>,
    /// What it is about: a version, or a run of a runbook.
    pub about: String,
    /// The stage or the runbook.
    pub stage: String,
    /// Since when.
    pub since: Timestamp,
    /// Who is missing, or who may.
    pub who: String,
    /// Why, in one sentence.
    pub why: String,
    /// The comment to write.
    pub line: String,
}

/// A release in a stage.
type At<'a> = (&'a Release, &'a Stage, &'a StageRun);

/// What waits for people now; with somebody's standing, only what they can still decide.
pub fn waits(state: &State, of: Option<&Standing>, now: Timestamp) -> Vec<Wait> {
    let mut all = Vec::new();
    // One that failed is over, and may be taken up again as long as nothing newer of its track is there.
    let newest: BTreeMap<Option<&Track>, _> =
        state.in_order().into_iter().map(|release| (release.track(), release)).collect();
    let failed = newest.into_values().filter(|release| !release.is_open());
    for release in state.open().into_iter().chain(failed) {
        for stage in &release.rules.stages {
            let Some(run) = release.run(&stage.name) else { continue };
            let at = (&**release, stage, run);
            all.extend(asked_now(state, at, of, now));
            all.extend(question(state, at, of, now));
            all.extend(overrides(state, at, of, now));
        }
    }
    all.extend(runbooks(state, of, now));
    all
}

/// A comment that would be taken as it stands.
#[derive(Debug, Clone)]
pub struct Line {
    /// What to write.
    pub text: String,
    /// Where the release is spoken about: its thread, and its commit; nowhere for a runbook.
    pub places: Vec<Place>,
}

impl Line {
    fn about(release: Option<&Release>, text: String) -> Self {
        let places = release.into_iter().flat_map(|release| {
            release.place.clone().into_iter().chain([Place::Commit(release.created.commit.clone())])
        });
        Self { text, places: places.collect() }
    }
}

/// The comments that give what waits for a yes now.
pub fn to_approve(state: &State, now: Timestamp) -> Vec<Line> {
    let asked = waits(state, None, now).into_iter();
    let asked = asked.filter(|wait| matches!(wait.matter, Matter::Approve | Matter::SignOff));
    let of = |no: Option<u32>| state.releases.values().find(|release| Some(release.no().0.get()) == no);
    asked.map(|wait| Line::about(of(wait.release).map(|release| &**release), wait.line)).collect()
}

/// The comments that approve what waits for something else first: of sealed releases alone, since a yes is for bytes.
pub fn ahead_of_turn(state: &State, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    for release in state.open().into_iter().filter(|release| release.digest.is_some()) {
        for stage in &release.rules.stages {
            let Some(run) = release.run(&stage.name) else { continue };
            let lacks = asked(stage, run).is_some_and(|rule| !tally(&rule, release, run, now).complete());
            let early = run.state == StageState::Pending && !is_asked(state, release, (stage, run), now);
            if lacks && early && state.outrun_by(release, &stage.name).is_none() {
                lines.push(Line::about(Some(release), approve(state, release, stage)));
            }
        }
    }
    lines
}

fn approve(state: &State, release: &Release, stage: &Stage) -> String {
    format!("/approve {} {}", place(state, release, stage), release.created.version)
}

fn wait(
    state: &State,
    (release, stage, run): At<'_>,
    what: (Matter, String, String),
    now: Timestamp,
) -> Wait {
    let (matter, who, line) = what;
    let since = waits_since(state, (release, stage, run), now);
    Wait {
        matter,
        release: Some(release.no().0.get()),
        about: release.created.version.to_string(),
        stage: stage.name.to_string(),
        since: if run.state == StageState::Pending { since } else { run.moved_at },
        who,
        why: view::stage_status(state, release, stage, now).description,
        line,
    }
}

/// The stage as commands of the repository name it.
fn place(state: &State, release: &Release, stage: &Stage) -> String {
    match release.created.pipeline.contexts {
        Contexts::Short => stage.name.to_string(),
        Contexts::Qualified => format!("{}/{}", state.id.name, stage.name),
    }
}

/// An approval before the stage, or a sign-off after it.
fn asked_now(state: &State, at: At<'_>, of: Option<&Standing>, now: Timestamp) -> Option<Wait> {
    let (release, stage, run) = at;
    if !is_asked(state, release, (stage, run), now) {
        return None;
    }
    let rule = asked(stage, run)?;
    let tally = tally(&rule, release, run, now);
    let may = |standing: &Standing| {
        let login = standing.person.login.as_str();
        entitled(&rule, release, run, standing).is_ok() && !tally.by.iter().any(|by| by == login)
    };
    if tally.complete() || !of.is_none_or(may) {
        return None;
    }
    let matter = match run.side() {
        ApprovalSide::Before => Matter::Approve,
        ApprovalSide::After => Matter::SignOff,
    };
    let line = approve(state, release, stage);
    Some(wait(state, at, (matter, tally.missing.join(" and "), line), now))
}

/// What the stage stopped to ask; a canary that is held asks nobody.
fn question(state: &State, at: At<'_>, of: Option<&Standing>, now: Timestamp) -> Option<Wait> {
    let (release, stage, run) = at;
    run.asking().filter(|asking| asking.question.hold.is_none())?;
    let who = stage_approvers(stage);
    let may = |standing: &Standing| standing.kind == Account::Human && who.iter().any(|who| standing.is(who));
    if !of.is_none_or(may) {
        return None;
    }
    let line = format!("/resume {} {}", place(state, release, stage), release.created.version);
    let who: Vec<String> = who.iter().map(ToString::to_string).collect();
    Some(wait(state, at, (Matter::Answer, who.join(" or "), line), now))
}

/// Checks that are not good and may be passed over; waits that end by themselves are left to whoever looks for them.
fn overrides(state: &State, at: At<'_>, of: Option<&Standing>, now: Timestamp) -> Vec<Wait> {
    let (release, stage, run) = at;
    // What is queued waits for another release, which has a line of its own.
    if run.state == StageState::Queued {
        return Vec::new();
    }
    let checks = in_the_way(state, release, stage).into_iter().map(Overridable::Check);
    let may = |standing: &Standing, check: &Overridable| {
        let given = run.overrides_of(check).any(|given| given.by.id == standing.person.id);
        stage.overriding.allows(standing) && !given
    };
    let one = |check: &Overridable| {
        let line = format!("/override {} {} -- reason", place(state, release, stage), check.word());
        wait(state, at, (Matter::Override, stage.overriding.to_string(), line), now)
    };
    let theirs = checks.filter(|check| of.is_none_or(|standing| may(standing, check)));
    theirs.map(|check| one(&check)).collect()
}

fn runbooks(state: &State, of: Option<&Standing>, now: Timestamp) -> Vec<Wait> {
    let one = |run: &Run| {
        let missing = run.missing(now);
        let given = |standing: &Standing| {
            run.approvals.iter().any(|given| given.standing.person.id == standing.person.id)
        };
        let may = |standing: &Standing| run.entitled(standing).is_ok() && !given(standing);
        if run.progress != Progress::Waiting || missing.is_empty() || !of.is_none_or(may) {
            return None;
        }
        let name = &run.runbook().name;
        Some(Wait {
            matter: Matter::Approve,
            release: None,
            about: format!("run {}", run.no()),
            stage: name.to_string(),
            since: run.asked.at,
            why: format!("{} waits for approval", run.title()),
            who: missing.join(" and "),
            line: format!("/approve {name} {}", run.no()),
        })
    };
    state.runbooks.all.values().filter_map(|run| one(run)).collect()
}
