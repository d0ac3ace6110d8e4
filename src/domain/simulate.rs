//! Trying a release process without doing it: a manifest is played against a scenario with the server's own rules.
//!
//! There is one set of rules. [`world`] answers what the server would ask of its host, its people and its workers, and
//! holds no rule; [`player`] gives it time: work takes a while, timers ring when they are due. The notation is one of
//! its own ([`scenario`]): that of the tests' transcripts is made to reach into races and lost workers, this one to
//! be written by a release manager and to be read by the next.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::decide::{Command, Spoken, Start};
use crate::domain::effect::Place;
use crate::domain::event::StartedBy;
use crate::domain::glob::{Glob, selects};
use crate::domain::group::{GroupSnapshot, Value};
use crate::domain::name::{
    CommentId, CommitSha, Digest, GroupName, Login, PipelineId, RefName, RepoId, StageName, VariableName,
};
use crate::domain::person::Visibility;
use crate::domain::pipeline::Pipeline;
use crate::domain::refusal::Refusal;
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::variable::{Taken, all_linked};
use crate::domain::window::Zone;

pub mod ahead;
mod judge;
mod player;
mod rollout;
pub mod scenario;
mod source;
pub mod transcript;
pub mod world;

use player::Player;
use scenario::{Comment, Expect, Line, Problem, Push, Said, Scenario, Spot, Tag, Traits};
use source::Source;
use transcript::{Entry, StageNow, Transcript, What};
use world::World;

/// The branch that is pushed to when neither the scenario nor the manifest names one.
const BRANCH: &str = "main";
/// A comment comes so much later than what happened in the same second: hosts know no smaller time.
const BREATH: Span = Span::seconds(2);
/// Every scenario has a repository; only a look ahead from a server has none.
const NO_SOURCE: &str = "the simulation has no repository";

/// A simulation that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Played {
    /// The version of this format.
    pub schema: u32,
    /// The pipeline.
    pub pipeline: String,
    /// The zone of times for people.
    pub zone: Zone,
    /// What happened.
    pub transcript: Vec<Entry>,
    /// When it ended.
    pub until: String,
    /// When it ended, on the wall clock.
    #[serde(skip)]
    pub until_when: String,
    /// Where everything is by then.
    pub stages: Vec<StageNow>,
    /// Expectations that hold.
    pub held: usize,
    /// Lines of expectations that do not.
    pub missed: Vec<usize>,
}

/// Plays a scenario, to its end or to a moment before or after that.
pub fn simulate(
    pipeline: &Pipeline,
    scenario: &Scenario,
    until: Option<Timestamp>,
) -> Result<Played, Problem> {
    let mut session = Session::new(pipeline, scenario);
    let mut last = 1;
    for line in &scenario.setup {
        session.said(line).map_err(|message| Problem { line: line.no, message })?;
    }
    for line in &scenario.lines {
        if until.is_some_and(|until| until < line.at) {
            break;
        }
        last = line.no;
        session.line(line).map_err(|message| Problem { line: line.no, message })?;
    }
    if let Some(until) = until {
        session.player.advance(until).map_err(|message| Problem { line: last, message })?;
    }
    Ok(session.played())
}

impl Played {
    /// Whether everything is as it was expected to be.
    pub fn passes(&self) -> bool {
        self.missed.is_empty()
    }

    /// The whole of it for people.
    pub fn text(&self) -> String {
        let told = transcript::render(&self.transcript);
        let ending = transcript::render_ending(&self.stages);
        format!("{told}\n{} {}:\n{ending}\n{}\n", self.until_when, self.zone, self.verdict())
    }

    /// The last line.
    fn verdict(&self) -> String {
        let lines: Vec<String> = self.missed.iter().map(ToString::to_string).collect();
        match (self.missed.len(), self.held) {
            (0, 0) => "nothing was expected".to_owned(),
            (0, 1) => "the one expectation holds".to_owned(),
            (0, held) => format!("all {held} expectations hold"),
            (1, held) => format!("1 of {} expectations does not hold: line {}", held + 1, lines.join(", ")),
            (missed, held) => {
                format!("{missed} of {} expectations do not hold: lines {}", held + missed, lines.join(", "))
            }
        }
    }
}

/// A scenario under way.
struct Session<'p> {
    pipeline: &'p Pipeline,
    player: Player,
    comments: u32,
    held: usize,
    missed: Vec<usize>,
}

impl<'p> Session<'p> {
    fn new(pipeline: &'p Pipeline, scenario: &'p Scenario) -> Self {
        let begin = scenario.lines.first().map_or(Timestamp(0), |line| line.at);
        let world = World::of(untouched(pipeline), begin);
        let mut player = Player::new(world, Transcript::new(scenario.zone.clone()));
        player.source = Some(Source::of(pipeline, scenario));
        Self { pipeline, player, comments: 0, held: 0, missed: Vec::new() }
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        self.player.advance(line.at)?;
        let at = self.player.world.now;
        let tells = !matches!(line.said, Said::Expect(_) | Said::Nothing);
        if tells {
            self.player.script.add(at, What::Line { line: line.no, text: line.text.clone() });
        }
        self.said(line)?;
        let plan = self.player.settle()?;
        self.player.keep(plan);
        Ok(())
    }

    fn said(&mut self, line: &Line) -> Result<(), String> {
        match &line.said {
            Said::Nothing => {}
            Said::Person(login, traits) => self.person(login, traits),
            Said::Push(push) => self.push(push)?,
            Said::Tag(tag) => self.tag(tag)?,
            Said::Comment(comment) => self.comment(comment)?,
            Said::Build(habit) => self.player.builds(habit),
            Said::Built(pipeline, failed) => {
                let Player { world, source, .. } = &mut self.player;
                let heard = source.as_ref().ok_or(NO_SOURCE)?.built(world, pipeline, failed.as_deref())?;
                self.decide(&heard)?;
            }
            Said::Stage(stage, habit) => self.player.deploys(stage, habit),
            Said::Runbook(runbook, habit) => self.player.runs(runbook, habit),
            Said::Check(check, answers) => self.player.answers(check, answers),
            Said::Targets(stage, targets) => self.player.hosts.give(stage, targets),
            Said::Target(target, goes) => self.player.hosts.take_up(target, goes),
            Said::Expect(expect) => self.expect(line, expect),
        }
        Ok(())
    }

    fn person(&mut self, login: &Login, traits: &Traits) {
        let standing = self.player.world.person(login);
        standing.role = traits.role;
        standing.teams = traits.teams.iter().cloned().collect();
        standing.kind = traits.kind;
    }

    fn push(&mut self, push: &Push) -> Result<(), String> {
        let source = self.player.source.as_mut().ok_or(NO_SOURCE)?;
        let branch = push.branch.clone().unwrap_or_else(|| source.branch.clone());
        let (default, commit) = (source.branch.clone(), source.commit(push)?);
        let expected = (!push.building.is_empty()).then(|| source.expect(&commit, &branch, push)).flatten();
        if let Some(thread) = &push.thread {
            self.player.world.merged.insert(commit.clone(), thread.clone());
        }
        let touched = |patterns: &[Glob]| push.touches.as_ref().is_none_or(|path| selects(patterns, path));
        let trigger = self.pipeline.triggers.push.as_ref();
        let takes = trigger.is_some_and(|t| t.takes(&branch, &default) && touched(&t.paths));
        if branch == default || takes {
            self.see_policy(&commit)?;
        }
        if let Some(expected) = &expected {
            self.decide(expected)?;
        }
        if !takes {
            if expected.is_none() {
                self.ignored("nothing starts: the pipeline does not listen to this branch and path");
            }
            return Ok(());
        }
        let start = self.start(&commit, branch, &push.by)?;
        self.decide(&Command::Start(Box::new(start)))
    }

    fn tag(&mut self, tag: &Tag) -> Result<(), String> {
        let source = self.player.source.as_ref().ok_or(NO_SOURCE)?;
        let (last, branch) = (source.head(), source.branch.clone());
        let commit = match &tag.on {
            Some(release) => judge::named(&self.player.world.state, release)?.created.commit.clone(),
            None => last.ok_or("no commit was pushed that the tag could name")?,
        };
        self.player.world.tags.insert(tag.name.clone(), Some(commit.clone()));
        if !self.pipeline.triggers.takes_tag(&tag.name) {
            self.ignored("nothing starts: the pipeline does not listen to this tag");
            return Ok(());
        }
        let start = self.start(&commit, branch, &tag.by)?;
        self.decide(&Command::Start(Box::new(Start {
            started_by: StartedBy::Tag(tag.name.clone()),
            ..start
        })))
    }

    fn ignored(&mut self, why: &str) {
        let at = self.player.world.now;
        self.player.script.add(at, What::Event { release: None, kind: "ignored", text: why.to_owned() });
    }

    /// The rules at the head of the default branch are the manifest that is tried.
    fn see_policy(&mut self, commit: &CommitSha) -> Result<(), String> {
        let pipeline = Box::new(self.pipeline.clone());
        self.decide(&Command::SeePolicy { commit: commit.clone(), pipeline })
    }

    fn start(&mut self, commit: &CommitSha, branch: RefName, by: &Login) -> Result<Start, String> {
        let Player { world, source, .. } = &mut self.player;
        source.as_ref().ok_or(NO_SOURCE)?.start(world, (commit, branch), Some(by))
    }

    fn comment(&mut self, comment: &Comment) -> Result<(), String> {
        let now = self.player.world.now;
        let just = self.player.world.steps.last().is_some_and(|step| now.since(step.at) < BREATH);
        if just {
            self.player.advance(now.plus(BREATH))?;
        }
        let place = match &comment.on {
            Some(Spot::Thread(thread)) => Some(Place::Thread(thread.clone())),
            Some(Spot::Release(name)) => judge::named(&self.player.world.state, name)?.place.clone(),
            None => self.asked_at(comment.command.ask.stage().map(|stage| &stage.stage)),
        };
        self.comments = self.comments.saturating_add(1);
        let id: Option<CommentId> = format!("k{}", self.comments).parse().ok();
        let spoken = Spoken {
            ask: comment.command.ask.clone(),
            line: comment.command.line.clone(),
            comment: place.as_ref().and(id),
            place,
            at: self.player.world.now,
            body: Digest::of_text(&comment.command.line),
            standing: self.player.world.person(&comment.by).clone(),
            visibility: Visibility::Private,
        };
        self.decide(&Command::Speak(Box::new(spoken)))
    }

    /// Where people write when they are asked: in the newest thread that asks for the stage, or the newest at all.
    fn asked_at(&self, stage: Option<&StageName>) -> Option<Place> {
        let all = self.player.world.state.in_order();
        let asks = all.iter().rev().find(|release| {
            let run = stage.and_then(|stage| release.run(stage));
            run.is_some_and(|run| run.state.asks() && !run.offers.is_empty())
        });
        let newest = || all.iter().rev().find(|release| release.place.is_some());
        asks.or_else(newest)?.place.clone()
    }

    /// What is refused is told; it does not end the simulation.
    fn decide(&mut self, command: &Command) -> Result<(), String> {
        match self.player.world.decide(command) {
            Ok(_) => Ok(()),
            Err(refusal @ (Refusal::Illegal(_) | Refusal::Full)) => Err(refusal.to_string()),
            Err(refusal) => {
                let (code, text) = (refusal.code().to_owned(), refusal.to_string());
                self.player.script.answered = Some((code.clone(), text.clone()));
                let at = self.player.world.now;
                self.player.script.add(at, What::Answer { code, text });
                Ok(())
            }
        }
    }

    fn expect(&mut self, line: &Line, expect: &Expect) {
        let (state, now) = (&self.player.world.state, self.player.world.now);
        let found = judge::judge((state, now), self.player.script.answered.as_ref(), expect).err();
        match found {
            None => self.held = self.held.saturating_add(1),
            Some(_) => self.missed.push(line.no),
        }
        self.player.script.add(now, What::Expected { line: line.no, text: line.text.clone(), found });
    }

    fn played(self) -> Played {
        let (now, script) = (self.player.world.now, self.player.script);
        Played {
            schema: 1,
            pipeline: self.pipeline.name.to_string(),
            stages: script.ending(&self.player.world.state, now),
            until: now.rfc3339(),
            until_when: script.zone.minute(now),
            zone: script.zone,
            transcript: script.entries,
            held: self.held,
            missed: self.missed,
        }
    }
}

/// A pipeline that nothing has happened to yet.
pub fn untouched(pipeline: &Pipeline) -> State {
    State::new(PipelineId { repo: repository(), name: pipeline.name.clone() })
}

/// The groups that a pipeline links, with what is said to be in them.
fn groups(pipeline: &Pipeline, said: &BTreeMap<GroupName, BTreeMap<VariableName, String>>) -> Taken {
    let groups = all_linked(pipeline).into_iter().map(|name| {
        let said = said.get(&name).into_iter().flatten();
        let values = said.map(|(variable, text)| (variable.clone(), Value::Plain(text.clone())));
        (name.clone(), GroupSnapshot { name, version: 1, values: values.collect() })
    });
    Taken { groups: groups.collect(), ..Taken::default() }
}

/// The first branch that the manifest names, when it names one.
fn default_branch(pipeline: &Pipeline) -> RefName {
    let named = pipeline.triggers.push.iter().flat_map(|trigger| &trigger.branches);
    let plain = named.map(ToString::to_string).find_map(|text| text.parse::<RefName>().ok());
    plain.unwrap_or_else(main_branch)
}

#[expect(clippy::expect_used, reason = "the literal is a branch")]
fn main_branch() -> RefName {
    BRANCH.parse().expect("the literal is a branch")
}

#[expect(clippy::expect_used, reason = "the literal is a repository's id")]
fn repository() -> RepoId {
    "plain:simulated".parse().expect("the literal is a repository's id")
}
