//! The words of notices: the same fact for who keeps the gates, for who wrote the code, and for who uses it (row E06).
//!
//! All of it is plain text; each place escapes it in its own way. Nothing in it changes once the fact is there, so
//! that a notice that is sent again says the same.

use std::fmt::Write as _;

use crate::domain::approval::{approvers, asked, needed};
use crate::domain::event::{ApprovalSide, Detail};
use crate::domain::markdown::{escape, inline_code, one_line};
use crate::domain::name::StageName;
use crate::domain::notice::{Audience, Fact, Topic};
use crate::domain::pipeline::Stage;
use crate::domain::release::{BuildState, Release, StageRun};
use crate::domain::state::State;
use crate::domain::view::{overriding, release_path};

/// Most commits a notice lists.
const LISTED: usize = 10;

/// A notice in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line that says it all.
    pub title: String,
    /// What there is to add, line by line.
    pub lines: Vec<String>,
    /// The comment to write.
    pub comment: Option<String>,
    /// The page to look at, relative to the server's public address.
    pub path: String,
    /// The release, when it is about one.
    pub version: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// The stage, when it is about one.
    pub stage: Option<String>,
}

impl Message {
    /// As a comment.
    pub fn markdown(&self) -> String {
        let mut out = format!("📣 **{}**\n", escape(&self.title));
        for line in &self.lines {
            write!(out, "\n- {}", escape(line)).unwrap_or_default();
        }
        if let Some(comment) = &self.comment {
            write!(out, "\n- comment: {}", inline_code(comment)).unwrap_or_default();
        }
        out
    }
}

/// What a notice says; nothing when the fact is no longer one.
pub fn message(state: &State, topic: Topic, fact: &Fact, audience: Audience) -> Option<Message> {
    match fact {
        Fact::Run { release, stage, attempt, nth } => {
            let release = state.release(*release)?;
            let rule = release.rule(stage)?;
            let run = release.attempt(stage, *attempt)?;
            of_run(state, (release, rule, run), (topic, *nth), audience)
        }
        Fact::Release { release, .. } => {
            let release = state.release(*release)?;
            let (title, lines) = match &release.build {
                BuildState::Failed(detail) => build_failed(release, detail, audience),
                BuildState::Waiting
                | BuildState::Running { .. }
                | BuildState::Sealed
                | BuildState::NotNeeded => {
                    (format!("{} is released", named(state, release)), news(release, audience))
                }
            };
            Some(about(state, release, None, (title, lines)))
        }
        Fact::Stage { stage, since } => of_pipeline(state, topic, (stage.as_ref(), *since)),
    }
}

/// `web v1.4.0`.
fn named(state: &State, release: &Release) -> String {
    format!("{} {}", state.id.name, release.created.version)
}

fn about(
    state: &State,
    release: &Release,
    stage: Option<&Stage>,
    (title, lines): (String, Vec<String>),
) -> Message {
    Message {
        title: one_line(&title),
        lines: lines.iter().map(|line| one_line(line)).collect(),
        comment: None,
        path: release_path(&state.id, release.no()),
        version: Some(release.created.version.to_string()),
        commit: Some(release.created.commit.to_string()),
        stage: stage.map(|stage| stage.name.to_string()),
    }
}

/// How a stage is called: by its name in commands, for who only uses it by the one for people.
fn called(stage: &Stage, audience: Audience) -> String {
    let title = stage.about.title.clone().filter(|_| audience == Audience::Stakeholders);
    title.unwrap_or_else(|| stage.name.to_string())
}

fn of_run(
    state: &State,
    (release, stage, run): (&Release, &Stage, &StageRun),
    (topic, nth): (Topic, usize),
    audience: Audience,
) -> Option<Message> {
    let (what, place) = (named(state, release), called(stage, audience));
    let said = match topic {
        Topic::ApprovalRequested => (asks(&what, &place, nth), request(release, (stage, run), nth, audience)),
        Topic::Deployed => (format!("{what} is live in {place}"), news(&release.seen_by(run), audience)),
        Topic::RolledBack => {
            (format!("{place} is back at {what}"), because(run, audience).into_iter().collect())
        }
        Topic::Rejected => {
            let lines = because(run, audience).into_iter().collect();
            (format!("{what} was rejected in {place}"), lines)
        }
        Topic::Failed => (format!("{what} {} in {place}", run.state.word()), failure(run, audience)),
        Topic::Faulty => {
            let fault = run.fault.as_ref()?;
            let line = format!("{} says {}", fault.gate, fault.detail);
            let lines = if audience == Audience::Stakeholders { Vec::new() } else { vec![line] };
            (format!("{what} is live in {place} and was found faulty"), lines)
        }
        Topic::Override => {
            let (before, said) = overriding::of_run(run).nth(nth)?;
            (format!("{what} in {place}: {}", overriding::kept(said, before)), Vec::new())
        }
        Topic::Freeze | Topic::Hold | Topic::Released => return None,
    };
    let comment = comment(release, stage, topic).filter(|_| audience == Audience::ReleaseManagers);
    Some(Message { comment, ..about(state, release, Some(stage), said) })
}

/// What those who keep the gates can write about it.
fn comment(release: &Release, stage: &Stage, topic: Topic) -> Option<String> {
    match topic {
        Topic::ApprovalRequested => Some(format!("/approve {} {}", stage.name, release.created.version)),
        Topic::Failed => Some(format!("/retry {}", stage.name)),
        Topic::Rejected
        | Topic::Deployed
        | Topic::RolledBack
        | Topic::Override
        | Topic::Freeze
        | Topic::Hold
        | Topic::Faulty
        | Topic::Released => None,
    }
}

fn asks(what: &str, place: &str, nth: usize) -> String {
    if nth == 0 {
        format!("{what} waits for approval in {place}")
    } else {
        format!("{what} waits for sign-off in {place}")
    }
}

/// Who is asked for what.
fn request(
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    nth: usize,
    audience: Audience,
) -> Vec<String> {
    let side = if nth == 0 { ApprovalSide::Before } else { ApprovalSide::After };
    let rule = match side {
        ApprovalSide::Before => asked(stage, run),
        ApprovalSide::After => stage.signoff.clone(),
    };
    let people = rule.map(|rule| {
        let who: Vec<String> = approvers(&rule).iter().map(ToString::to_string).collect();
        format!("{} of {}", needed(&rule), who.join(", "))
    });
    let mut lines: Vec<String> = people.into_iter().collect();
    match audience {
        Audience::ReleaseManagers => {}
        Audience::Developers => lines.extend(commits(release)),
        Audience::Stakeholders => lines = commits(release),
    }
    lines
}

/// What is new in it.
fn news(release: &Release, audience: Audience) -> Vec<String> {
    match audience {
        Audience::ReleaseManagers => {
            let digest = release.shown_digest().map_or("nothing", |digest| digest.short());
            vec![format!("commit {}, artifact {digest}", release.created.commit.short())]
        }
        Audience::Developers => {
            let of = |change: &crate::domain::event::Change| {
                format!("{} {}", change.commit.short(), change.subject)
            };
            release.created.changes.iter().take(LISTED).map(of).collect()
        }
        Audience::Stakeholders => commits(release),
    }
}

/// The subjects of its commits.
fn commits(release: &Release) -> Vec<String> {
    release.created.changes.iter().take(LISTED).map(|change| change.subject.clone()).collect()
}

/// Who did it and why, or what the engine says about it.
fn because(run: &StageRun, audience: Audience) -> Option<String> {
    match &run.detail {
        Detail::By { reason: Some(reason), .. } if audience == Audience::Stakeholders => Some(reason.clone()),
        Detail::By { person, reason: Some(reason) } => Some(format!("{}: {reason}", person.login)),
        Detail::By { person, reason: None } => Some(format!("by {}", person.login)),
        Detail::Reason(reason) => Some(reason.clone()),
        Detail::None | Detail::Fence(_) | Detail::Failed(_) | Detail::Newer(_) | Detail::Took(_) => run
            .by
            .as_ref()
            .filter(|_| audience != Audience::Stakeholders)
            .map(|by| format!("by {}", by.login)),
    }
}

fn failure(run: &StageRun, audience: Audience) -> Vec<String> {
    let step = match &run.detail {
        Detail::Failed(failure) => Some(format!("at \"{}\": {}", failure.step, failure.how)),
        Detail::None
        | Detail::Fence(_)
        | Detail::Reason(_)
        | Detail::By { .. }
        | Detail::Newer(_)
        | Detail::Took(_) => because(run, audience),
    };
    let tail = match &run.detail {
        Detail::Failed(failure) => failure.tail.clone(),
        Detail::None
        | Detail::Fence(_)
        | Detail::Reason(_)
        | Detail::By { .. }
        | Detail::Newer(_)
        | Detail::Took(_) => Vec::new(),
    };
    match audience {
        Audience::ReleaseManagers => step.into_iter().collect(),
        Audience::Developers => step.into_iter().chain(tail).collect(),
        // Whoever waits for it wants to know that what is there stays; why is for others.
        Audience::Stakeholders => Vec::new(),
    }
}

fn build_failed(release: &Release, detail: &Detail, audience: Audience) -> (String, Vec<String>) {
    let title = format!("{} was not built", release.created.version);
    let lines = match (detail, audience) {
        (_, Audience::Stakeholders) => Vec::new(),
        (Detail::Failed(failure), Audience::ReleaseManagers | Audience::Developers) => {
            let step = format!("at \"{}\": {}", failure.step, failure.how);
            let tail = if audience == Audience::Developers { failure.tail.clone() } else { Vec::new() };
            [step].into_iter().chain(tail).collect()
        }
        (Detail::Reason(reason), Audience::ReleaseManagers | Audience::Developers) => vec![reason.clone()],
        (
            Detail::None | Detail::Fence(_) | Detail::By { .. } | Detail::Newer(_) | Detail::Took(_),
            Audience::ReleaseManagers | Audience::Developers,
        ) => Vec::new(),
    };
    (title, lines)
}

/// A freeze or a hold, as long as it is the one of that time.
fn of_pipeline(state: &State, topic: Topic, (stage, since): (Option<&StageName>, i64)) -> Option<Message> {
    let place = stage.map_or("everything", |stage| stage.as_str());
    let key = stage.cloned();
    let (title, reason) = match topic {
        Topic::Freeze => {
            let freeze = state.freezes.get(&key).filter(|freeze| freeze.since.0 == since)?;
            let until = freeze.until.map_or_else(String::new, |until| format!(" until {}", until.minute()));
            (format!("{}: {place} is frozen{until} by {}", state.id.name, freeze.by.login), &freeze.reason)
        }
        Topic::Hold => {
            let mut holds = state.holds.iter().filter(|((at, _), hold)| *at == key && hold.since.0 == since);
            let ((_, track), hold) = holds.next()?;
            let place = track.as_ref().map_or_else(|| place.to_owned(), |track| format!("{place} ({track})"));
            let by = hold.by.as_ref().map_or("a rollback", |by| by.login.as_str());
            (format!("{}: {place} is on hold by {by}", state.id.name), &hold.reason)
        }
        Topic::ApprovalRequested
        | Topic::Rejected
        | Topic::Deployed
        | Topic::RolledBack
        | Topic::Override
        | Topic::Failed
        | Topic::Faulty
        | Topic::Released => return None,
    };
    Some(Message {
        title: one_line(&title),
        lines: vec![one_line(reason)],
        comment: None,
        path: format!("/pipelines/{}/{}", state.id.repo, state.id.name),
        version: None,
        commit: None,
        stage: stage.map(ToString::to_string),
    })
}
