//! What people say in comments and by the API: read it back, ask who they are, find the pipeline they mean.

use std::sync::Arc;

use crate::domain::command::parse::{Parsed, Spelling, parse};
use crate::domain::command::{Ask, Exactly, StageRef};
use crate::domain::decide::{Command, Spoken, Unclear};
use crate::domain::effect::{Effect, Place, Reaction};
use crate::domain::event::Event;
use crate::domain::markdown::inline_code;
use crate::domain::name::{CommentId, Digest, PipelineId, RepoId, StageName, UserId, printable};
use crate::domain::person::{Person, Standing, Visibility};
use crate::domain::pipeline::{Pipeline, Role};
use crate::domain::plan::{Lane, Owed};
use crate::domain::queue::RunId;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::misread::misread;
use crate::forge::{Comment, Threads};
use crate::service::Service;
use crate::service::intake::{Heard, Said, Taken, teams_of};
use crate::service::journal::{Decided, to_row};
use crate::store::effect::{EffectFilter, OwedEffect};
use crate::trouble::{Kind, Outcome};

/// The answer to a command that stands somewhere down in a comment.
const NOT_AT_TOP: &str = "ℹ️ Commands are read only at the very top of a comment. Nothing was done.";

/// Statuses that `/recheck` sends again: the last ten releases of four stages and their builds.
const RECHECKED: u32 = 50;

/// Something said, with who said it, ready for the rules.
struct Utterance {
    ask: Ask,
    line: String,
    comment: Option<CommentId>,
    place: Option<Place>,
    at: Timestamp,
    text: String,
    standing: Standing,
    visibility: Visibility,
}

impl Service {
    /// A new comment: parsed first, because most comments are none of our business; what counts is what is read back.
    pub(super) async fn take_comment(&self, repo: &RepoId, said: Said, cause: &str) -> Outcome<Taken> {
        let told = match (&said.author, &said.sender) {
            (Some(author), Some(sender)) if author.id == sender.id && !author.bot => Some(author.id),
            // A host whose deliveries carry ids alone: the comment itself says who wrote it.
            (None, None) => None,
            _ => {
                return Ok(Taken::ignored(
                    "commands are taken from the people who write them, never from bots",
                ));
            }
        };
        if said.via_app {
            return Ok(Taken::ignored("an app wrote this in somebody's name"));
        }
        let spelling = self.spelling(repo)?;
        let nothing = Parsed::Nothing { hint: None };
        if said.body.as_deref().is_some_and(|body| parse(Some(body), spelling) == nothing) {
            return Ok(Taken::ignored("no command in it"));
        }
        let Some(_) = self.configured(repo).await? else {
            return Ok(Taken::ignored("the server's config does not name this repository"));
        };
        let (now, person) = match self.read_back(repo, &said, told).await? {
            Ok(read) => read,
            Err(why) => return Ok(Taken::ignored(why)),
        };
        let parsed = parse(Some(&now.body), spelling);
        if parsed == nothing {
            return Ok(Taken::ignored("no command in it"));
        }
        let states = self.pipelines_of(repo).await?;
        let standing = self.host(repo)?.standing(repo, &person, &teams_of(&states)).await?;
        let answer = |line: &str, reply: String| Unclear {
            line: printable(line),
            comment: said.comment.clone(),
            place: said.place.clone(),
            standing: standing.clone(),
            reply,
        };
        let first_line = now.body.lines().next().unwrap_or_default();
        let commands = match parsed {
            Parsed::Nothing { .. } => {
                let unclear = answer(first_line, NOT_AT_TOP.to_owned());
                return self.misheard(repo, &states, unclear, cause).await;
            }
            Parsed::Refused(error) => {
                let text = misread(&states, Some(&said.place), &error, self.store().here());
                let unclear = answer(first_line, format!("❓ {text}"));
                return self.misheard(repo, &states, unclear, cause).await;
            }
            Parsed::Commands(commands) => commands,
        };
        let mut taken = Taken::default();
        for command in commands {
            let line = command.line.clone();
            let utterance = Utterance {
                line: command.line,
                comment: Some(said.comment.clone()),
                place: Some(said.place.clone()),
                at: said.created_at.unwrap_or(now.created_at).max(now.created_at),
                text: now.body.clone(),
                visibility: self.visibility_for(repo, &command.ask, &standing).await?,
                standing: standing.clone(),
                ask: command.ask,
            };
            if let Some(text) = self.hear(&states, utterance, cause).await? {
                taken.owed.extend(self.answer(repo, &states, answer(&line, text), cause).await?);
            }
        }
        Ok(taken)
    }

    /// How commands are written in comments there.
    fn spelling(&self, repo: &RepoId) -> Outcome<Spelling<'_>> {
        let prefix = &self.settings().prefix;
        Ok(match self.host(repo)?.threads() {
            Threads::Shared => prefix.required(),
            Threads::Own => prefix.optional(),
        })
    }

    /// Who may read the repository, asked of the host only where what somebody may do hangs on it.
    async fn visibility_for(&self, repo: &RepoId, ask: &Ask, standing: &Standing) -> Outcome<Visibility> {
        let hangs = matches!(ask, Ask::Preview { .. } | Ask::Help) && standing.role < Role::Write;
        if !hangs {
            return Ok(Visibility::Public);
        }
        Ok(self.host(repo)?.repository(repo).await?.visibility)
    }

    /// The comment as the host shows it now, and who wrote it; the error says why it counts for nothing.
    async fn read_back(
        &self,
        repo: &RepoId,
        said: &Said,
        told: Option<UserId>,
    ) -> Outcome<Result<(Comment, Person), &'static str>> {
        let now = match self.host(repo)?.comment(repo, &said.place, &said.comment).await {
            Ok(comment) => comment,
            Err(trouble) if trouble.kind() == Kind::NotFound => {
                tracing::warn!(%repo, comment = %said.comment, "a comment that the host does not have");
                return Ok(Err("the host does not have this comment: forged, or deleted already"));
            }
            Err(trouble) => return Err(trouble),
        };
        let Some(person) = now.author.clone().filter(|p| told.is_none_or(|id| id == p.id) && !now.via_app)
        else {
            tracing::warn!(%repo, comment = %said.comment, "a comment that the host says somebody else wrote");
            return Ok(Err("the host says that somebody else wrote this comment"));
        };
        if now.updated_at > now.created_at {
            return Ok(Err("the comment was edited before it was read"));
        }
        Ok(Ok((now, person)))
    }

    /// Answers what could not be read, and does nothing else.
    async fn misheard(
        &self,
        repo: &RepoId,
        states: &[Arc<State>],
        unclear: Unclear,
        cause: &str,
    ) -> Outcome<Taken> {
        tracing::info!(%repo, cause, "a comment that could not be read as a command");
        let owed = self.answer(repo, states, unclear, cause).await?;
        Ok(Taken { ignored: Some("no command could be read from it".to_owned()), owed: Vec::from_iter(owed) })
    }

    /// Answers what no command came of: the first pipeline of the repository counts what is said on a thread and to
    /// whom (THREATS T14, T22). Where there is none yet, only people who may write are told in words.
    async fn answer(
        &self,
        repo: &RepoId,
        states: &[Arc<State>],
        unclear: Unclear,
        cause: &str,
    ) -> Outcome<Option<OwedEffect>> {
        let Some(first) = states.first() else {
            return reply_row(repo, unclear).map(Some);
        };
        let heard = Heard { cause, actor: unclear.standing.person.login.to_string() };
        self.tell_pipeline(&first.id, &Command::Answer(Box::new(unclear)), &heard).await?;
        Ok(None)
    }

    /// Gives what was said to the pipelines it is for; the answer is text when no pipeline can be found.
    async fn hear(
        &self,
        states: &[Arc<State>],
        utterance: Utterance,
        cause: &str,
    ) -> Outcome<Option<String>> {
        let body = Digest::of_text(&utterance.text);
        let chosen = match choose(states, &utterance) {
            Ok(chosen) => chosen,
            Err(text) => return Ok(Some(text)),
        };
        let heard = Heard { cause, actor: utterance.standing.person.login.to_string() };
        let spoken = Spoken {
            ask: utterance.ask,
            line: utterance.line,
            comment: utterance.comment,
            place: utterance.place,
            at: utterance.at,
            body,
            standing: utterance.standing,
            visibility: utterance.visibility,
        };
        for id in chosen {
            let command = Command::Speak(Box::new(spoken.clone()));
            match self.journal().decide(&id, &command, heard.around()).await? {
                Ok(decided) => self.recheck(&id, &spoken.ask, &decided).await?,
                Err(refusal) => {
                    tracing::info!(pipeline = %id, code = refusal.code(), cause = heard.cause, "refused");
                }
            }
        }
        Ok(None)
    }

    /// `/recheck` shows again what the host may have lost, the newest statuses of the pipeline, and tries once more what
    /// was given up after too many mistakes.
    async fn recheck(&self, id: &PipelineId, ask: &Ask, decided: &Decided) -> Outcome<()> {
        let carried_out = |e: &Event| matches!(e, Event::Heard(heard) if heard.code == "ok");
        if !matches!(ask, Ask::Recheck) || !decided.events.iter().any(carried_out) {
            return Ok(());
        }
        let filter =
            EffectFilter { state: None, kind: Some("status".to_owned()), stream: Some(id.to_string()) };
        for effect in self.store().effects(&filter, RECHECKED).await? {
            self.store().again(&effect.key).await?;
        }
        self.revive(Some(id.to_string())).await
    }

    /// Says a line for somebody who pressed something: rights, refusals and the record are those of a comment.
    pub(super) async fn say_for(
        &self,
        state: &Arc<State>,
        line: String,
        standing: &Standing,
        cause: &str,
    ) -> Outcome<()> {
        let Parsed::Commands(commands) = parse(Some(&line), Spelling::Bare) else {
            tracing::warn!(pipeline = %state.id, line, "a button stands for what is no command");
            return Ok(());
        };
        for command in commands {
            let utterance = Utterance {
                ask: command.ask,
                line: command.line,
                comment: None,
                place: None,
                at: self.store().here(),
                text: line.clone(),
                standing: standing.clone(),
                // Nothing that is pressed only looks.
                visibility: Visibility::Public,
            };
            self.hear(std::slice::from_ref(state), utterance, cause).await?;
        }
        Ok(())
    }

    /// A command that came by the API, said by a person the host knows. Gives the answers in words.
    pub async fn ask(
        &self,
        id: &PipelineId,
        line: &str,
        person: &Person,
    ) -> Outcome<Result<Vec<String>, String>> {
        let state = self.journal().load(id).await?;
        let states = [state];
        let commands = match parse(Some(line), self.settings().prefix.optional()) {
            Parsed::Commands(commands) => commands,
            Parsed::Refused(error) => {
                return Ok(Err(misread(&states, None, &error, self.store().here())));
            }
            Parsed::Nothing { .. } => return Ok(Err(format!("{} is not a command", inline_code(line)))),
        };
        let standing = self.host(&id.repo)?.standing(&id.repo, person, &teams_of(&states)).await?;
        let mut answers = Vec::new();
        for command in commands {
            match self.do_as(id, (command.ask, command.line), &standing).await? {
                Ok(said) => answers.extend(said),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(answers))
    }

    /// Exactly this run is not wanted any more; what runs is stopped only with force (row B37).
    pub async fn cancel_run(
        &self,
        run: &RunId,
        force: bool,
        person: &Person,
    ) -> Outcome<Result<Vec<String>, String>> {
        let id = &run.pipeline;
        let states = [self.journal().load(id).await?];
        let standing = self.host(&id.repo)?.standing(&id.repo, person, &teams_of(&states)).await?;
        let [state] = &states;
        let line = format!("/cancel {} {}", run.what, state.version_of(run.release));
        let exactly = Some(Exactly { release: run.release, attempt: run.attempt, force });
        let stage = StageRef { pipeline: None, stage: run.what.clone() };
        self.do_as(id, (Ask::Cancel { stage, release: None, exactly }, line), &standing).await
    }

    /// One command of somebody; the error is the refusal in words.
    async fn do_as(
        &self,
        id: &PipelineId,
        (ask, line): (Ask, String),
        standing: &Standing,
    ) -> Outcome<Result<Vec<String>, String>> {
        let spoken = Spoken {
            ask: ask.clone(),
            body: Digest::of_text(&line),
            line,
            comment: None,
            place: None,
            at: self.store().here(),
            standing: standing.clone(),
            visibility: self.visibility_for(&id.repo, &ask, standing).await?,
        };
        let heard = Heard { cause: "api", actor: standing.person.login.to_string() };
        let command = Command::Speak(Box::new(spoken));
        let decided = match self.journal().decide(id, &command, heard.around()).await? {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        self.recheck(id, &ask, &decided).await?;
        let mut answers = Vec::new();
        for event in &decided.events {
            let Event::Heard(heard) = event else { continue };
            let text = heard.reply.clone().unwrap_or_else(|| heard.code.clone());
            if heard.code != "ok" {
                return Ok(Err(text));
            }
            answers.push(text);
        }
        Ok(Ok(answers))
    }
}

/// The pipelines a command is for: the one it names, else those that have the stage, else the one spoken about here.
fn choose(states: &[Arc<State>], utterance: &Utterance) -> Result<Vec<PipelineId>, String> {
    let Some(wanted) = utterance.ask.stage() else {
        if let Ask::Signoff { team, .. } = &utterance.ask {
            let asking: Vec<PipelineId> =
                states.iter().filter(|s| s.asks(team)).map(|s| s.id.clone()).collect();
            let first = states.iter().take(1).map(|s| s.id.clone()).collect();
            return if asking.is_empty() && !states.is_empty() { Ok(first) } else { only_one(asking) };
        }
        if let Ask::Start { pipeline, .. } = &utterance.ask {
            let named = states.iter().find(|s| s.id.name == *pipeline);
            return named.map(|s| vec![s.id.clone()]).ok_or_else(|| no_such(states));
        }
        return if states.is_empty() {
            Err(no_pipeline())
        } else {
            Ok(states.iter().map(|s| s.id.clone()).collect())
        };
    };
    let having: Vec<&Arc<State>> = states.iter().filter(|s| has(s, wanted)).collect();
    let here = |state: &&&Arc<State>| {
        state.releases.values().any(|r| match &utterance.place {
            Some(Place::Commit(commit)) => r.created.commit == *commit,
            place => r.place.is_some() && r.place == *place,
        })
    };
    let spoken: Vec<&&Arc<State>> = having.iter().filter(here).collect();
    match (having.as_slice(), spoken.as_slice(), states) {
        ([only], _, _) => Ok(vec![only.id.clone()]),
        (_, [only], _) => Ok(vec![only.id.clone()]),
        // Nobody has the stage: the first one says so, with the stages there are.
        ([], _, [first, ..]) => Ok(vec![first.id.clone()]),
        ([], _, []) => Err(no_pipeline()),
        (many, _, _) => {
            let verb = utterance.ask.verb();
            let lines: Vec<String> = many
                .iter()
                .map(|s| inline_code(&format!("/{verb} {}/{}", s.id.name, wanted.stage)))
                .collect();
            Err(format!(
                "❓ **Which pipeline?** Several have a stage {}: {}.",
                wanted.stage,
                lines.join(", ")
            ))
        }
    }
}

/// The pipeline whose stage a sign-off without one means.
fn only_one(asking: Vec<PipelineId>) -> Result<Vec<PipelineId>, String> {
    match asking.as_slice() {
        [] => Err(no_pipeline()),
        [_] => Ok(asking),
        many => {
            let names: Vec<String> = many.iter().map(|id| inline_code(id.name.as_str())).collect();
            Err(format!(
                "❓ **Which pipeline?** Several wait for that team: {}. Write the stage as `pipeline/stage`.",
                names.join(", ")
            ))
        }
    }
}

fn has(state: &State, wanted: &StageRef) -> bool {
    let named = wanted.pipeline.as_ref().is_none_or(|name| *name == state.id.name);
    // `build` is what `/retry` calls the build.
    let build = wanted.stage.as_str() == "build";
    let runbook = |name: &StageName| name.as_str().parse().ok();
    let known = |p: &Pipeline| {
        state.stage_names().contains(&wanted.stage)
            || runbook(&wanted.stage).is_some_and(|name| p.runbook(&name).is_some())
    };
    named && state.pipeline().is_some_and(|p| build || known(&p))
}

/// There is no pipeline of that name here.
fn no_such(states: &[Arc<State>]) -> String {
    let names: Vec<String> = states.iter().map(|s| inline_code(s.id.name.as_str())).collect();
    format!("❓ **No such pipeline.** There is {}.", names.join(", "))
}

fn no_pipeline() -> String {
    crate::domain::refusal::Refusal::NoPipeline.to_string()
}

fn reply_row(repo: &RepoId, unclear: Unclear) -> Outcome<OwedEffect> {
    let may_write = unclear.standing.role >= Role::Write;
    let owed = Owed {
        key: format!("reply:{repo}:{}", unclear.comment),
        effect: Effect::Reply {
            to: unclear.comment,
            place: unclear.place,
            reaction: Reaction::Confused,
            body: may_write.then_some(unclear.reply),
        },
        lane: Lane::Host,
        group: None,
        priority: 0,
        not_before: None,
        cancel: false,
    };
    to_row(owed, Some(format!("{repo}/manifest")))
}
