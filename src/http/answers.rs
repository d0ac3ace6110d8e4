//! The engine behind pages and API: one release as people read it, and things said without a host's webhook.

mod approvals;
mod asked_there;
mod build;
mod digest;
pub mod evidence;
mod lock;
mod notes;
mod queue;
mod resources;
mod retention;
mod runbook;
mod tried;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::artifact::store::Incoming;
use crate::domain::approval::{asked, count, rule_on};
use crate::domain::demand::Cause;
use crate::domain::effect::Place;
use crate::domain::event::{ApprovalSide, Event, StartedBy};
use crate::domain::gate;
use crate::domain::manifest::elsewhere::Elsewhere;
use crate::domain::name::{
    Alias, CommitSha, Digest, Login, PipelineId, ReleaseNo, RepoId, RepoName, StageName, printable,
};
use crate::domain::person::{Person, Standing};
use crate::domain::pipeline::{Agent, Stage};
use crate::domain::release::{BuildState, Override, Release, StageRun};
use crate::domain::simulate::ahead::{Act, Ahead, ahead};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view;
use crate::forge::Forge;
use crate::forge::plain::payload::Delivery;
use crate::forge::plain::{Plain, id_of};
use crate::http::about::{About, ChannelLine, StageAbout};
use crate::http::api::{Acts, Apply, Ask, Comment, Reader, Reply};
use crate::http::approvals::AskedLine;
use crate::http::builds::{BuildRow, WhichBuilds};
use crate::http::digests::DigestPage;
use crate::http::evidence::{EvidenceList, FileBytes, Form};
use crate::http::notes::{NotesText, Written};
use crate::http::published::PublicationLine;
use crate::http::queue::{Cancel, QueueLine};
use crate::http::resources::Resource;
use crate::http::retention::{Deleted, RetentionLine};
use crate::http::runbooks::RunbooksPage;
use crate::http::session::Caller;
use crate::http::typed::Says;
use crate::http::upload::Admitted;
use crate::http::view::{
    ApprovalLine, AskedRow, AskedTable, ChangeLine, CheckRow, EventLine, FileLine, Light, Link, Mark,
    NextLine, OverrideLine, ReleaseHead, ReleasePage, SaidLine, StageBox, StageVariables, StageWhy,
    VariableLine, WhyLine,
};
use crate::service::{Service, blocking};
use crate::store::delivery::NewDelivery;
use crate::store::stream::{EventFilter, StoredEvent};
use crate::trouble::{Outcome, Trouble};

/// Most events a release's page shows; `liftlock events` shows all.
const EVENTS: u32 = 300;
/// Most commits it shows.
const CHANGES: usize = 50;

/// Reads and acts through the service.
#[derive(Debug, Clone)]
pub struct Answers {
    service: Service,
    plain: Option<Plain>,
}

impl Answers {
    /// Answers from this service; comments of the API go to this plain host.
    pub fn new(service: Service, plain: Option<Plain>) -> Self {
        Self { service, plain }
    }

    /// With every line as it is typed here.
    fn typed<T: Says>(&self, said: Outcome<T>) -> Outcome<T> {
        said.said_as(&self.service.settings().prefix)
    }

    /// A release of a pipeline by its number, with the state it is part of.
    async fn release(&self, stream: &str, no: u32) -> Outcome<(Arc<State>, Arc<Release>)> {
        let missing = || no_release(stream, no);
        let id: PipelineId = stream.parse().map_err(|_| missing())?;
        let number = std::num::NonZeroU32::new(no).map(ReleaseNo).ok_or_else(missing)?;
        let state = self.service.journal().load(&id).await?;
        let release = state.release(number).map(Arc::clone).ok_or_else(missing)?;
        Ok((state, release))
    }

    async fn page(&self, stream: &str, no: u32) -> Outcome<ReleasePage> {
        let (state, release) = self.release(stream, no).await?;
        let (id, release, number) = (&state.id, &*release, release.no());
        let row = self.service.store().release(stream, no).await?.ok_or_else(|| no_release(stream, no))?;
        let filter = EventFilter { stream: Some(stream.to_owned()), release: Some(no), kind: None };
        let events = self.service.store().events(&filter, 0, EVENTS).await?;
        let now = self.service.store().here();
        let commit = &release.created.commit;
        let web = self.web(id, stream).await?;
        let mut why = whys(&state, release, now);
        why.extend(self.locked(&state, release).await?);
        why.extend(self.tried(&state, release).await?);
        why.extend(asked_there::asked_there(release));
        Ok(ReleasePage {
            head: ReleaseHead::from(row),
            repo: web.name.clone(),
            pipeline: id.name.to_string(),
            channel: release.created.channel.as_ref().map(ToString::to_string),
            channels: channels(&state, release),
            docs_url: release.created.pipeline.about.docs_url.as_ref().and_then(Link::new),
            facts: facts(release),
            commit_url: web.link(commit, None),
            files: files(release, &web),
            reused: release.reused.as_ref().map(|over| build::reused(id, over)),
            build: build::standing(&state, release),
            build_log: Some(view::log_id(id, number, "build", release.build_attempt)),
            stages: stages(&state, release, now),
            why,
            next: nexts(&state, release, now),
            asked: asked_tables(release, now),
            checks: checks(&state, release),
            approvals: approvals(release, now),
            overrides: overrides(release),
            artifacts: release.artifacts.iter().map(|sealed| build::artifact(release, sealed)).collect(),
            made_in: release.revisions.last().map(|revision| revision.stage.to_string()),
            publications: PublicationLine::all(release),
            changes: changes(release, &web),
            changes_left_out: left_out(release),
            events: events.into_iter().map(event_line).collect(),
            variables: release.created.pipeline.stage_names().map(|s| stage_variables(release, s)).collect(),
        })
    }

    async fn web(&self, id: &PipelineId, stream: &str) -> Outcome<Web<'_>> {
        let row = self.service.store().pipeline(stream).await?;
        let name = row.map_or_else(|| id.repo.to_string(), |row| row.repo_name);
        // A page is shown whether or not the host is still in the config.
        Ok(Web { host: self.service.host(&id.repo).ok().map(AsRef::as_ref), name })
    }

    async fn runbooks(&self, stream: &str) -> Outcome<RunbooksPage> {
        let missing = || Trouble::not_found(format!("there is no pipeline {stream}"));
        let id: PipelineId = stream.parse().map_err(|_| missing())?;
        self.service.store().pipeline(stream).await?.ok_or_else(missing)?;
        let state = self.service.journal().load(&id).await?;
        Ok(runbook::page(&state, self.service.store().here()))
    }

    async fn comment(&self, comment: Comment) -> Outcome<Reply> {
        let plain = self.plain.as_ref().ok_or_else(|| {
            Trouble::refused("comments come by the API on a plain git host only; on GitHub, comment there")
        })?;
        let repo: RepoName = named(&comment.repo)?;
        let commit: CommitSha = self.full_commit(&id_of(&repo)?, &comment.place).await?;
        let login: Login = named(&comment.by)?;
        let place = Place::Commit(commit.clone());
        let written = plain.write_comment(&id_of(&repo)?, &place, &login, &comment.body).await?;
        let delivery = Delivery::comment(&repo, &commit, &written.id);
        let new = NewDelivery {
            source: "plain".to_owned(),
            guid: delivery.guid,
            event: delivery.event.to_owned(),
            repo: Some(repo.to_string()),
            headers: "{}".to_owned(),
            body: delivery.body.into_bytes(),
            received_at: self.service.store().here(),
        };
        self.service.store().put_delivery(new).await?;
        let text =
            format!("said as {login} on {}; the answer comes as a comment and on the page", commit.short());
        Ok(Reply { accepted: true, text })
    }

    /// A commit by its full id, or by the start of one that a release has.
    async fn full_commit(&self, repo: &RepoId, text: &str) -> Outcome<CommitSha> {
        if let Ok(full) = text.parse() {
            return Ok(full);
        }
        let prefix = text.to_ascii_lowercase();
        let sane = prefix.len() >= 7 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
        let rows =
            if sane { self.service.store().releases_by_commit(&prefix, 10).await? } else { Vec::new() };
        let ours = format!("{repo}/");
        let mut commits: Vec<String> =
            rows.into_iter().filter(|r| r.stream.starts_with(&ours)).map(|r| r.commit).collect();
        commits.sort();
        commits.dedup();
        match commits.as_slice() {
            [only] => named(only),
            _ => {
                Err(Trouble::refused(format!("`{text}` is not one commit of a release; write all of its id")))
            }
        }
    }

    async fn apply(&self, apply: Apply, caller: Caller) -> Outcome<Reply> {
        let id = self.repository(&apply.repo).await?;
        let applied = self.service.apply(&id, &caller.name).await?;
        let names: Vec<String> = applied.pipelines.iter().map(|p| p.name.to_string()).collect();
        let text = format!(
            "the manifest of {} at {} is in force: {}",
            applied.branch,
            applied.commit.short(),
            names.join(", ")
        );
        Ok(Reply { accepted: true, text })
    }

    /// A repository of the server's config, by its id or its name there.
    async fn repository(&self, text: &str) -> Outcome<RepoId> {
        let mut names = Vec::new();
        for (_, host) in self.service.hosts() {
            for id in host.configured().await? {
                let name = host.repository(&id).await?.name;
                if id.as_str() == text || name.as_str() == text {
                    return Ok(id);
                }
                names.push(name.to_string());
            }
        }
        Err(Trouble::refused(format!(
            "the server's config has no repository `{}`; it has {}",
            printable(text),
            names.join(", ")
        )))
    }

    /// Somebody the server's config knows.
    fn person(&self, login: &str) -> Outcome<Person> {
        let login: Login = named(login)?;
        self.plain
            .as_ref()
            .and_then(|plain| plain.person(&login))
            .ok_or_else(|| Trouble::refused(format!("nobody called `{login}` is in the server's config")))
    }

    async fn ask(&self, ask: Ask) -> Outcome<Reply> {
        let id: PipelineId = named(&ask.pipeline)?;
        let person = self.person(&ask.by)?;
        let said = self.service.ask(&id, &ask.line, &person).await?;
        Ok(Reply::of(said.map(|answers| answers.join("\n"))))
    }
}

fn no_release(stream: &str, no: u32) -> Trouble {
    Trouble::not_found(format!("there is no release {no} in {stream}"))
}

fn named<T: std::str::FromStr<Err = crate::domain::name::NameError>>(text: &str) -> Outcome<T> {
    text.parse().map_err(|e: crate::domain::name::NameError| Trouble::refused(e.to_string()))
}

impl Reader for Answers {
    fn digest<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Outcome<DigestPage>> {
        Box::pin(self.digest_page(digest))
    }

    fn evidence<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<EvidenceList>> {
        Box::pin(self.evidence_of(stream, no))
    }

    fn proof<'a>(&'a self, stream: &'a str, no: u32, name: &'a str) -> BoxFuture<'a, Outcome<String>> {
        Box::pin(self.prove(stream, no, name))
    }

    fn notes<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<NotesText>> {
        Box::pin(self.notes_of(stream, no))
    }

    fn metadata<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<Value>> {
        Box::pin(self.metadata_of(stream, no))
    }

    fn keys(&self, form: Form) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(self.public_keys(form))
    }

    fn file<'a>(&'a self, stream: &'a str, no: u32, name: &'a str) -> BoxFuture<'a, Outcome<FileBytes>> {
        Box::pin(self.file_bytes(stream, no, name))
    }

    fn runbooks_page<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<RunbooksPage>> {
        Box::pin(async move { self.typed(self.runbooks(stream).await) })
    }

    fn queue<'a>(&'a self, stream: Option<&'a str>) -> BoxFuture<'a, Outcome<Vec<QueueLine>>> {
        Box::pin(async move { self.typed(self.lines(stream).await) })
    }

    fn asked<'a>(&'a self, person: Option<&'a Login>) -> BoxFuture<'a, Outcome<Vec<AskedLine>>> {
        Box::pin(async move { self.typed(self.asked_of(person).await) })
    }

    fn retention(&self) -> BoxFuture<'_, Outcome<Vec<RetentionLine>>> {
        Box::pin(self.retention_lines())
    }

    fn builds<'a>(&'a self, which: &'a WhichBuilds) -> BoxFuture<'a, Outcome<Vec<BuildRow>>> {
        Box::pin(build::rows(&self.service, which))
    }

    fn release_page<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<ReleasePage>> {
        Box::pin(async move { self.typed(self.page(stream, no).await) })
    }

    fn ahead<'a>(&'a self, stream: &'a str, act: Act) -> BoxFuture<'a, Outcome<Ahead>> {
        Box::pin(async move {
            let id: PipelineId = named(stream)?;
            let state = self.service.journal().load(&id).await?;
            let pipeline = state.pipeline().ok_or_else(|| Trouble::not_found("there is no such pipeline"))?;
            let now = self.service.store().here();
            // Weeks are played ahead: that is work for a thread of its own.
            let look = move || ahead(&state, &pipeline, &act, now);
            let look = move || look().map_err(|why| Trouble::bug(format!("look ahead: {why}")));
            self.typed(blocking(look).await)
        })
    }

    fn about<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<About>> {
        Box::pin(async move {
            let Ok(id) = stream.parse::<PipelineId>() else { return Ok(About::default()) };
            let state = self.service.journal().load(&id).await?;
            self.typed(Ok(About::of(&state, &self.service.settings().notify)))
        })
    }

    fn resources<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<Vec<Resource>>> {
        Box::pin(self.resources_of(stream))
    }

    fn pending_apply<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<Option<String>>> {
        Box::pin(async move {
            let Ok(id) = stream.parse::<PipelineId>() else { return Ok(None) };
            self.typed(self.service.pending_apply(&id).await)
        })
    }
}

/// A personal token speaks for its owner alone.
fn own(caller: &Caller, by: &str) -> Outcome<()> {
    match &caller.login {
        Some(login) if !login.as_str().eq_ignore_ascii_case(by) => {
            Err(Trouble::refused(format!("this is the token of {login}, which does not speak for `{by}`")))
        }
        Some(_) | None => Ok(()),
    }
}

impl Acts for Answers {
    fn say(&self, comment: Comment, caller: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move {
            own(&caller, &comment.by)?;
            self.typed(self.comment(comment).await)
        })
    }

    fn act(&self, ask: Ask, caller: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move {
            own(&caller, &ask.by)?;
            self.typed(self.ask(ask).await)
        })
    }

    fn admit_upload<'a>(
        &'a self,
        stream: &'a str,
        by: &'a Login,
        caller: Caller,
    ) -> BoxFuture<'a, Outcome<Admitted>> {
        Box::pin(async move {
            own(&caller, by.as_str())?;
            let standing = self.service.may_upload(&named(stream)?, &self.person(by.as_str())?).await?;
            Ok((self.service.begin_upload().await?, standing))
        })
    }

    fn end_upload<'a>(
        &'a self,
        stream: &'a str,
        incoming: Incoming,
        what: (Alias, Digest, Option<CommitSha>),
        standing: Standing,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async move {
            let said = self.service.end_upload(&named(stream)?, incoming, what, standing).await?;
            self.typed(Ok(Reply::of(said)))
        })
    }

    fn write_notes<'a>(
        &'a self,
        which: (&'a str, u32),
        written: Written,
        caller: Caller,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async move { self.typed(self.note(which, written, caller).await) })
    }

    fn retain(&self, caller: Caller) -> BoxFuture<'_, Outcome<Deleted>> {
        Box::pin(async move { self.delete_due(&caller).await })
    }

    fn cancel(&self, cancel: Cancel, caller: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move {
            own(&caller, &cancel.by)?;
            self.typed(self.take_out(cancel).await)
        })
    }

    fn apply(&self, apply: Apply, caller: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move { self.typed(Self::apply(self, apply, caller).await) })
    }
}

fn facts(release: &Release) -> Vec<(String, String)> {
    let created = &release.created;
    let names = &created.names;
    let known = |name: &str, text: &str| (!text.is_empty()).then(|| (name.to_owned(), text.to_owned()));
    let mut facts: Vec<_> =
        known("name", &names.name).into_iter().chain(known("build number", &names.build_number)).collect();
    facts.extend([
        ("branch".to_owned(), created.branch.to_string()),
        ("manifest".to_owned(), created.manifest.short().to_owned()),
    ]);
    if let StartedBy::Demand { cause: Cause::Upload { commit: None, .. }, .. } = &created.started_by {
        // Row E11: the commit is only the one that the branch had.
        let own = format!("none: it was handed in; {} only says how it is deployed", created.commit.short());
        facts.push(("source".to_owned(), own));
    }
    facts.extend(release.sources.iter().map(|found| {
        let place = format!("{} at {}", found.source, found.commit);
        (format!("source {}", found.source.alias), place)
    }));
    facts.extend(release.retired.map(|at| ("artifact".to_owned(), format!("deleted {}", at.minute()))));
    facts.extend(release.digest.as_ref().map(|d| ("release digest".to_owned(), d.short().to_owned())));
    facts.extend(created.initiator.as_ref().map(|p| ("started by".to_owned(), p.login.to_string())));
    facts.extend(release.place.as_ref().map(|p| ("spoken about at".to_owned(), p.to_string())));
    facts
}

fn channels(state: &State, release: &Release) -> Vec<ChannelLine> {
    let listed = release.listed.iter();
    listed.map(|(label, since)| ChannelLine::of(state, label.as_str(), (release, *since))).collect()
}

fn stages(state: &State, release: &Release, now: Timestamp) -> Vec<StageBox> {
    release
        .rules
        .stages
        .iter()
        .map(|stage| {
            let run = release.run(&stage.name);
            let word = run.map_or("not reached", |r| r.word(stage));
            let logs = stage.agent == Agent::Local;
            let started = run.filter(|r| logs && r.started_at.is_some());
            StageBox {
                stage: stage.name.to_string(),
                attempt: run.map_or(0, |r| r.attempt),
                state: word.to_owned(),
                light: Light::of(word),
                succeeded_with_issues: run.is_some_and(|r| r.has_issues(stage)),
                line: view::stage_status(state, release, stage, now).description,
                updated_at: run.map_or(release.at, |r| r.moved_at),
                next_at: gate::verdict(state, release, stage, now).next_time(),
                about: StageAbout::of(stage),
                log: started.map(|r| view::log_id(&state.id, release.no(), stage.name.as_str(), r.attempt)),
            }
        })
        .collect()
}

fn stage_variables(release: &Release, stage: &StageName) -> StageVariables {
    let shown = view::variables::variables(release, stage);
    let problem = release.unusable.get(stage).or(shown.as_ref().err()).map(ToString::to_string);
    let said = |said: view::variables::Said| SaidLine {
        level: said.rank.word().to_owned(),
        source: said.source,
        value: said.value,
    };
    let line = |shown: view::variables::Shown| VariableLine {
        name: shown.name,
        environment: shown.environment,
        value: shown.value,
        said: shown.said.into_iter().map(said).collect(),
    };
    let variables = shown.unwrap_or_default().into_iter().map(line).collect();
    StageVariables { stage: stage.to_string(), problem, variables }
}

/// The stages that wait, with the verdict that decides about them.
fn whys(state: &State, release: &Release, now: Timestamp) -> Vec<StageWhy> {
    waiting(release)
        .map(|stage| {
            let verdict = gate::verdict(state, release, stage, now);
            let lines = verdict.lines.into_iter().map(|line| WhyLine {
                mark: mark(line.mark),
                text: line.text,
                next: line.next,
                until: line.until,
            });
            StageWhy { stage: stage.name.to_string(), lines: lines.collect() }
        })
        .collect()
}

fn waiting(release: &Release) -> impl Iterator<Item = &Stage> {
    let building = matches!(release.build, BuildState::Waiting | BuildState::Running { .. });
    release.rules.stages.iter().filter(move |stage| match release.state_in(&stage.name) {
        None => building,
        Some(state) => state.asks(),
    })
}

fn mark(mark: gate::Mark) -> Mark {
    match mark {
        gate::Mark::Pass => Mark::Pass,
        gate::Mark::Wait => Mark::Wait,
        gate::Mark::Stop => Mark::Stop,
    }
}

/// What a person can type now: the first stage that waits for people comes first.
fn nexts(state: &State, release: &Release, now: Timestamp) -> Vec<NextLine> {
    waiting(release)
        .flat_map(|stage| {
            let verdict = gate::verdict(state, release, stage, now);
            let lines: Vec<NextLine> = verdict
                .blockers()
                .filter_map(|line| line.next.as_deref().and_then(command_in).map(|c| (line, c)))
                .map(|(line, command)| NextLine { what: line.text.clone(), line: command })
                .collect();
            lines
        })
        .collect()
}

/// The command in a sentence such as "one of them comments `/approve prod v1`".
fn command_in(sentence: &str) -> Option<String> {
    let start = sentence.split_once('`')?.1;
    let command = start.split_once('`')?.0;
    command.starts_with('/').then(|| command.to_owned())
}

fn checks(state: &State, release: &Release) -> Vec<CheckRow> {
    let lines = view::check::lines(state, release).into_iter();
    lines
        .map(|line| CheckRow {
            stage: line.stage.to_string(),
            check: line.leg.to_string(),
            light: Light::of(line.state),
            state: line.state.to_owned(),
            text: line.text,
            at: line.at,
            log: line.log,
        })
        .collect()
}

fn approvals(release: &Release, now: Timestamp) -> Vec<ApprovalLine> {
    let mut lines = Vec::new();
    for stage in &release.rules.stages {
        let Some(run) = release.run(&stage.name) else { continue };
        for side in [ApprovalSide::Before, ApprovalSide::After] {
            let rule = rule_on(stage, run, side);
            let counted =
                rule.as_ref().map(|rule| count(rule, release, (run, side), now).by).unwrap_or_default();
            lines.extend(run.given(side).iter().map(|a| {
                let who = a.standing.person.login.to_string();
                let team = a.team.as_ref().map(|team| format!("for {team}"));
                let from = a.reused_from.as_ref().map(|from| format!("as in {from}"));
                let said = [team, from, a.note.clone()].into_iter().flatten().collect::<Vec<_>>();
                ApprovalLine {
                    stage: stage.name.to_string(),
                    side: side_word(side).to_owned(),
                    counts: counted.contains(&who),
                    who,
                    at: a.at,
                    note: said.join(": "),
                    url: None,
                }
            }));
        }
        lines.extend(run.withdrawn.iter().map(|(a, why)| ApprovalLine {
            stage: stage.name.to_string(),
            side: side_word(a.side).to_owned(),
            who: a.standing.person.login.to_string(),
            at: a.at,
            counts: false,
            note: format!("{why:?}").to_lowercase(),
            url: None,
        }));
    }
    lines
}

fn side_word(side: ApprovalSide) -> &'static str {
    match side {
        ApprovalSide::Before => "approval",
        ApprovalSide::After => "sign-off",
    }
}

/// Who has answered and who is missing, per stage that asks people now.
fn asked_tables(release: &Release, now: Timestamp) -> Vec<AskedTable> {
    release
        .rules
        .stages
        .iter()
        .filter_map(|stage| {
            let run = release.run(&stage.name).filter(|run| run.state.asks())?;
            let rule = asked(stage, run)?;
            let rows = count(&rule, release, (run, run.side()), now).seats.into_iter();
            Some(AskedTable {
                stage: stage.name.to_string(),
                side: side_word(run.side()).to_owned(),
                instructions: rule.instructions.clone(),
                rows: rows
                    .map(|seat| AskedRow { lacks: seat.lacks(), who: seat.who, need: seat.need, by: seat.by })
                    .collect(),
            })
        })
        .collect()
}

fn overrides(release: &Release) -> Vec<OverrideLine> {
    let of_stage = |stage: &Stage| {
        let runs = release.stages.get(&stage.name).map(Vec::as_slice).unwrap_or_default();
        let line = |run: &StageRun, said: &Override| OverrideLine {
            stage: stage.name.to_string(),
            attempt: run.attempt,
            check: said.check.word().to_owned(),
            who: said.by.login.to_string(),
            reason: said.reason.clone(),
            at: said.at,
            counts: run.overridden(&said.check, stage).is_some(),
        };
        runs.iter().flat_map(|run| run.overrides.iter().map(move |said| line(run, said))).collect::<Vec<_>>()
    };
    release.rules.stages.iter().flat_map(of_stage).collect()
}

/// The repository as its host shows it to browsers.
struct Web<'a> {
    host: Option<&'a dyn Forge>,
    name: String,
}

impl Web<'_> {
    fn link(&self, commit: &CommitSha, file: Option<&str>) -> Option<Link> {
        let name: RepoName = self.name.parse().ok()?;
        Link::new(self.host?.web(&name, commit, file)?)
    }

    /// A file of the commit, or of another repository that the manifest is made of.
    fn file(&self, commit: &CommitSha, path: &str) -> Option<Link> {
        let Ok(other) = Elsewhere::parse(path) else { return self.link(commit, Some(path)) };
        Link::new(self.host?.web(&other.beside()?, &other.commit, Some(&other.path))?)
    }
}

fn files(release: &Release, web: &Web<'_>) -> Vec<FileLine> {
    let created = &release.created;
    let line = |path: &String| FileLine { path: path.clone(), url: web.file(&created.commit, path) };
    created.files.iter().map(line).collect()
}

fn changes(release: &Release, web: &Web<'_>) -> Vec<ChangeLine> {
    release
        .created
        .changes
        .iter()
        .take(CHANGES)
        .map(|c| ChangeLine {
            commit: c.commit.to_string(),
            subject: c.subject.clone(),
            author: c.author.as_ref().map_or_else(|| c.author_email.clone(), ToString::to_string),
            url: web.link(&c.commit, None),
        })
        .collect()
}

/// How many commits the page does not list.
fn left_out(release: &Release) -> u32 {
    let listed = release.created.changes.len().min(CHANGES);
    u32::try_from(release.created.commits().saturating_sub(listed)).unwrap_or(u32::MAX)
}

fn event_line(stored: StoredEvent) -> EventLine {
    let text = serde_json::from_str::<Event>(&stored.data)
        .map_or_else(|_| String::new(), |event| view::event::sentence(&event));
    EventLine { seq: stored.seq, at: stored.at, kind: stored.kind, who: stored.actor, text }
}
