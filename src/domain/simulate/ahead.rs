//! What comes next: a push or an approval is played ahead of where a pipeline is, in a copy of it.
//!
//! Everything passes, people answer at once, and each stage says first what it waited for and who can act. How long
//! a stage takes is what its deploys usually take; one that was never deployed takes what a simulation says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::approval::asked;
use crate::domain::command::parse::{Parsed, Spelling, parse};
use crate::domain::decide::{Command, Spoken, Start};
use crate::domain::event::{Detail, Event, StartedBy, Unlisted};
use crate::domain::gate::{Blocker, Line, Verdict, verdict};
use crate::domain::name::{Digest, Login, NameError, ReleaseNo, StageName, UserId};
use crate::domain::person::{Account, Person, Standing, Visibility};
use crate::domain::pipeline::{ApprovalRule, Members, NamedTeam, Pipeline, Role, Who};
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::simulate::player::Player;
use crate::domain::simulate::scenario::Habit;
use crate::domain::simulate::transcript::{Transcript, is_reached};
use crate::domain::simulate::world::World;
use crate::domain::simulate::{default_branch, groups, judge};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::window::Zone;

/// How far it is looked ahead: past that nobody plans by the minute.
const HORIZON: Span = Span::days(60);
/// Most moments that are looked at: three days of a gate that is sampled every minute.
const MOMENTS: usize = 4_500;
/// Ids of made-up people and numbers of made-up leases begin here, far above real ones.
const STRANGERS: u64 = 1 << 62;

/// What is thought of doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Pushing a commit to the default branch.
    Push,
    /// Approving a stage, for the release that waits for it longest or for this one.
    Approve(StageName, Option<String>),
}

/// What would come of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The version of this format.
    pub schema: u32,
    /// The pipeline.
    pub pipeline: String,
    /// From when it is looked ahead.
    pub from: String,
    /// What is thought of doing.
    pub act: String,
    /// The release it is about; that of a push has the number it would get without knowing its commits.
    pub release: Option<String>,
    /// Why nothing would come of it, if so.
    pub refused: Option<String>,
    /// The stages that it has before it, in their order.
    pub stages: Vec<StageAhead>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageAhead {
    /// The stage.
    pub stage: StageName,
    /// What it waits for when its turn comes.
    pub waits: Vec<Wait>,
    /// When it starts, if everybody answers at once.
    pub starts: Option<String>,
    /// When the release is live there.
    pub live: Option<String>,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The word for it.
    #[serde(rename = "for")]
    pub blocker: String,
    /// In words.
    pub text: String,
    /// Until when, when it ends by the clock.
    pub until: Option<String>,
    /// Who can do what about it.
    pub next: Option<String>,
}

/// Looks ahead.
pub fn ahead(state: &State, pipeline: &Pipeline, act: &Act, now: Timestamp) -> Result<Ahead, String> {
    let mut world = World::of(state.clone(), now);
    world.leases_from(STRANGERS);
    let mut look = Look {
        player: Player::new(world, Transcript::new(Zone::utc())).at_most(MOMENTS),
        strangers: 0,
        stages: Vec::new(),
    };
    for stage in pipeline.stage_names() {
        if let Some(usual) = state.usual(stage) {
            look.player.deploys(stage, &Habit::Takes(usual));
        }
    }
    look.player.resume();
    let begun = match act {
        Act::Push => look.push(pipeline),
        Act::Approve(stage, release) => look.approve(stage, release.as_deref()),
    };
    let (release, refused) = match begun {
        Ok(no) => (Some(no), None),
        Err(why) => (None, Some(why)),
    };
    if let Some(no) = release {
        look.follow(no, now.plus(HORIZON))?;
    }
    Ok(Ahead {
        schema: 1,
        pipeline: pipeline.name.to_string(),
        from: now.minute(),
        act: act.to_string(),
        release: release.map(|no| look.player.world.state.version_of(no)),
        refused,
        stages: look.stages,
    })
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push => f.write_str("push"),
            Self::Approve(stage, None) => write!(f, "/approve {stage}"),
            Self::Approve(stage, Some(release)) => write!(f, "/approve {stage} {release}"),
        }
    }
}

impl FromStr for Act {
    type Err = String;
    /// `push`, `/approve prod`, `/approve prod v1.4.0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let stage = |text: &str| text.parse().map_err(|e: NameError| e.to_string());
        match words.as_slice() {
            ["push"] => Ok(Self::Push),
            ["/approve" | "approve", name] => Ok(Self::Approve(stage(name)?, None)),
            ["/approve" | "approve", name, release] => {
                Ok(Self::Approve(stage(name)?, Some((*release).to_owned())))
            }
            _ => {
                Err("what is planned is `push`, `/approve <stage>` or `/approve <stage> <release>`"
                    .to_owned())
            }
        }
    }
}

struct Look {
    player: Player,
    strangers: u64,
    stages: Vec<StageAhead>,
}

impl Look {
    fn state(&self) -> &State {
        &self.player.world.state
    }

    /// A commit after all that are known.
    fn push(&mut self, pipeline: &Pipeline) -> Result<ReleaseNo, String> {
        let place = self.state().releases.len();
        let text = Digest::of_text(&format!("a commit that nobody has pushed, after {place}"));
        let commit =
            text.hex().get(..40).and_then(|hex| hex.parse().ok()).ok_or("there are no more commits")?;
        let newest = self.state().in_order().last().map(|r| (r.created.seq, r.created.groups.clone()));
        let (seq, groups) = newest.unwrap_or_else(|| (0, groups(pipeline, &BTreeMap::new())));
        let pusher = self.somebody()?;
        let start = Start {
            commit,
            tree: None,
            branch: default_branch(pipeline),
            started_by: StartedBy::Push,
            seq: seq.saturating_add(1),
            initiator: Some(pusher.person.clone()),
            pusher: Some(pusher.person.login),
            changes: Vec::new(),
            unheard: false,
            unlisted: Unlisted::default(),
            messages: Vec::new(),
            taken: Vec::new(),
            taken_by_others: Vec::new(),
            pipeline: Box::new(pipeline.clone()),
            manifest: Digest::of_text("the manifest that is looked at"),
            epoch_s: self.player.world.now.0.div_euclid(1_000),
            included_in: None,
            project: pipeline.name.to_string(),
            files: Vec::new(),
            groups,
            fetched: Vec::new(),
        };
        let commit = start.commit.clone();
        self.decide(&Command::SeePolicy { commit: commit.clone(), pipeline: Box::new(pipeline.clone()) })?;
        self.decide(&Command::Start(Box::new(start)))?;
        self.player.world.release_of(&commit).ok_or_else(|| "no release is made of it".to_owned())
    }

    /// The approval of somebody who may, of the release it would mean.
    fn approve(&mut self, stage: &StageName, named: Option<&str>) -> Result<ReleaseNo, String> {
        let (state, now) = (&self.player.world.state, self.player.world.now);
        let asks = |reached: bool| {
            state.in_order().into_iter().map(|r| &**r).find(|release| {
                let rule =
                    release.rule(stage).filter(|_| release.state_in(stage).is_some_and(StageState::asks));
                let verdict = rule.map(|rule| verdict(state, release, rule, now));
                verdict.is_some_and(|verdict| is_reached(&verdict) == reached && asks_people(&verdict))
            })
        };
        // Who is on its way there may be approved in advance.
        let found = match named {
            Some(named) => Some(judge::named(state, named)?),
            None => asks(true).or_else(|| asks(false)),
        };
        let no = found.map(Release::no).ok_or_else(|| format!("nothing waits for {stage} now"))?;
        self.note(no);
        if self.answer(no, stage)? { Ok(no) } else { Err(format!("nobody is asked to approve {stage} now")) }
    }

    /// Time passes, and people answer whenever they are asked.
    fn follow(&mut self, no: ReleaseNo, horizon: Timestamp) -> Result<(), String> {
        for _ in 0..MOMENTS {
            let plan = self.player.settle()?;
            self.note(no);
            if self.act(no)? {
                continue;
            }
            let over = self.state().release(no).is_none_or(|r| {
                let ended = |runs: &Vec<StageRun>| runs.last().is_none_or(|run| run.state.is_terminal());
                !r.is_open() && r.stages.values().all(ended)
            });
            match self.player.next(&plan).filter(|at| *at <= horizon && !over) {
                // Whoever looks that far ahead is told as far as it is known.
                Some(at) if self.player.advance(at).is_err() => break,
                Some(_) => {}
                None => break,
            }
        }
        self.times(no);
        Ok(())
    }

    /// What each stage waits for when its turn has come.
    fn note(&mut self, no: ReleaseNo) {
        let Some(release) = self.state().release(no).cloned() else { return };
        for rule in &release.rules.stages {
            let Some(run) = release.run(&rule.name).filter(|run| run.state.asks()) else { continue };
            let verdict = verdict(self.state(), &release, rule, self.player.world.now);
            let fresh = self.stages.iter().all(|known| known.stage != rule.name);
            let after = run.state == StageState::AwaitingSignoff;
            if verdict.open() || !is_reached(&verdict) {
                continue;
            }
            if fresh {
                self.stages.push(StageAhead {
                    stage: rule.name.clone(),
                    waits: waits(&verdict),
                    starts: None,
                    live: None,
                });
            } else if let Some(known) = self.stages.iter_mut().find(|k| after && k.stage == rule.name) {
                let signoff = Blocker::Signoff.word();
                if known.waits.iter().all(|wait| wait.blocker != signoff) {
                    known.waits.extend(waits(&verdict));
                }
            }
        }
    }

    /// The first thing that people are asked for is done; true when it changed anything.
    fn act(&mut self, no: ReleaseNo) -> Result<bool, String> {
        let Some(release) = self.state().release(no).cloned() else { return Ok(false) };
        for rule in &release.rules.stages {
            let verdict = verdict(self.state(), &release, rule, self.player.world.now);
            if !release.state_in(&rule.name).is_some_and(StageState::asks) || !is_reached(&verdict) {
                continue;
            }
            let waits_for = |what: &[Blocker]| verdict.blockers().any(|line| what.contains(&line.blocker));
            if waits_for(&[Blocker::Trigger]) {
                let admin = self.somebody()?;
                let line = format!("/promote {} {}", rule.name, release.created.version);
                if self.say(&line, &Standing { role: Role::Admin, ..admin })? {
                    return Ok(true);
                }
            }
            if waits_for(&[Blocker::Approval, Blocker::Signoff]) && self.answer(no, &rule.name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those whom the rule asks say yes, until nobody is asked any more; true when that changed anything.
    fn answer(&mut self, no: ReleaseNo, stage: &StageName) -> Result<bool, String> {
        let Some(release) = self.state().release(no).cloned() else { return Ok(false) };
        let rule = release.rule(stage).zip(release.run(stage)).and_then(|(rule, run)| asked(rule, run));
        let Some(rule) = rule else { return Ok(false) };
        let line = format!("/approve {stage} {}", release.created.version);
        let mut changed = false;
        for person in self.people(&rule)? {
            let missing = self.state().release(no).is_some_and(|release| {
                let verdict =
                    release.rule(stage).map(|r| verdict(self.state(), release, r, self.player.world.now));
                verdict.is_some_and(|verdict| asks_people(&verdict))
                    && release.state_in(stage).is_some_and(StageState::asks)
            });
            if missing {
                changed |= self.say(&line, &person)?;
            }
        }
        Ok(changed)
    }

    /// Enough people for a rule, one after another from each of those it names.
    fn people(&mut self, rule: &ApprovalRule) -> Result<Vec<Standing>, String> {
        let required = rule.require.iter().map(|r| (&r.who, r.min));
        let all: Vec<(Who, u32)> = required
            .chain(rule.from.iter().map(|who| (who, rule.min)))
            .map(|(who, min)| (who.clone(), min.max(1)))
            .collect();
        let mut people = Vec::new();
        for (who, min) in all {
            match who {
                Who::User(login) => people.push(self.known(login)?),
                Who::Users(logins) | Who::Named(NamedTeam { members: Members::Users(logins), .. }) => {
                    for login in logins {
                        people.push(self.known(login)?);
                    }
                }
                Who::Role(role) => {
                    for _ in 0..min {
                        people.push(Standing { role, ..self.somebody()? });
                    }
                }
                Who::Team(team) | Who::Named(NamedTeam { members: Members::Team(team), .. }) => {
                    for _ in 0..min {
                        let teams = [team.clone()].into();
                        people.push(Standing { teams, ..self.somebody()? });
                    }
                }
            }
        }
        Ok(people)
    }

    fn somebody(&mut self) -> Result<Standing, String> {
        let login = format!("somebody-{}", self.strangers.saturating_add(1));
        self.known(login.parse().map_err(|e: NameError| e.to_string())?)
    }

    fn known(&mut self, login: Login) -> Result<Standing, String> {
        self.strangers = self.strangers.saturating_add(1);
        let id =
            NonZeroU64::new(STRANGERS.saturating_add(self.strangers)).ok_or("there are no more people")?;
        let person = Person { id: UserId(id), login };
        let (role, teams) = (Role::Write, BTreeSet::new());
        Ok(Standing { person, role, teams, kind: Account::Human })
    }

    /// Somebody writes a line; true when it was taken.
    fn say(&mut self, line: &str, standing: &Standing) -> Result<bool, String> {
        *self.player.world.person(&standing.person.login) = standing.clone();
        let Parsed::Commands(commands) = parse(Some(line), Spelling::Bare) else { return Ok(false) };
        let before = self.player.world.steps.len();
        for command in commands {
            let spoken = Spoken {
                ask: command.ask,
                line: command.line,
                comment: None,
                place: None,
                at: self.player.world.now,
                body: Digest::of_text(line),
                standing: standing.clone(),
                visibility: Visibility::Private,
            };
            self.decide(&Command::Speak(Box::new(spoken)))?;
        }
        let said = self.player.world.steps.get(before..).unwrap_or_default();
        Ok(said.iter().flat_map(|step| &step.events).any(|event| !matches!(event, Event::Heard(_))))
    }

    fn decide(&mut self, command: &Command) -> Result<(), String> {
        self.player.world.decide(command).map(drop).map_err(|refusal| refusal.to_string())
    }

    /// When each stage started and was live.
    fn times(&mut self, no: ReleaseNo) {
        for step in &self.player.world.steps {
            for event in &step.events {
                let Event::StageMoved { release, stage, to, detail, .. } = event else { continue };
                if *release != no {
                    continue;
                }
                let starts = *to == StageState::Running && matches!(detail, Detail::Fence(_));
                let live = *to == StageState::Succeeded;
                if !starts && !live {
                    continue;
                }
                let at = Some(step.at.minute());
                match self.stages.iter_mut().find(|known| known.stage == *stage) {
                    Some(known) if starts => known.starts = at,
                    Some(known) => known.live = at,
                    None => self.stages.push(StageAhead {
                        stage: stage.clone(),
                        waits: Vec::new(),
                        starts: at.clone().filter(|_| starts),
                        live: at.filter(|_| live),
                    }),
                }
            }
        }
        let Some(release) = self.player.world.state.release(no) else { return };
        let order: Vec<&StageName> = release.rules.stages.iter().map(|rule| &rule.name).collect();
        self.stages.sort_by_key(|known| order.iter().position(|name| **name == known.stage));
    }
}

/// Whether approvals or sign-offs are missing.
fn asks_people(verdict: &Verdict) -> bool {
    verdict.blockers().any(|line| matches!(line.blocker, Blocker::Approval | Blocker::Signoff))
}

fn waits(verdict: &Verdict) -> Vec<Wait> {
    let wait = |line: &Line| Wait {
        blocker: line.blocker.word().to_owned(),
        text: line.text.clone(),
        until: line.until.map(Timestamp::minute),
        next: line.next.as_ref().map(|next| next.replace('`', "")),
    };
    verdict.blockers().map(wait).collect()
}

impl Ahead {
    /// The whole of it for people.
    pub fn text(&self) -> String {
        let mut out = vec![format!(
            "{}: {} at {}, if everything passes and people answer at once",
            self.pipeline, self.act, self.from
        )];
        out.extend(self.refused.iter().map(|why| format!("nothing would come of it: {why}")));
        for stage in &self.stages {
            let name = &stage.stage;
            if stage.waits.is_empty() {
                out.push(format!("{name}: waits for nothing"));
            } else {
                out.push(format!("{name}: waits for {}", words(&stage.waits)));
            }
            for wait in &stage.waits {
                out.push(format!("  {}", wait.text));
                out.extend(wait.next.iter().map(|next| format!("    next: {next}")));
            }
            let live = stage.live.as_ref().map_or_else(String::new, |at| format!(", live {at}"));
            out.push(match &stage.starts {
                Some(at) => format!("  starts {at}{live}"),
                None if live.is_empty() => "  does not start by itself within 60 days".to_owned(),
                None => format!("  under way{live}"),
            });
        }
        out.join("\n")
    }
}

fn words(waits: &[Wait]) -> String {
    waits.iter().map(|wait| wait.blocker.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::{NATIVE_PATHS, Sources, check};
    use crate::domain::simulate::{Session, scenario, untouched};

    const MANIFEST: &str = "version: 1\nname: shop\nbuild: make\ndeploy: ./d\nstages:\n  - name: test\n  \
                            - name: prod\n    soak: 24h\n    approvals: {pre: {min: 2, from: [\"@bo\", \"@cy\"]}}\n";

    fn pipeline() -> Pipeline {
        let files = Sources::from([(NATIVE_PATHS[0].to_owned(), MANIFEST.to_owned())]);
        let report = check(&files, &"acme/shop".parse().unwrap());
        report.pipelines.into_iter().next().unwrap_or_else(|| panic!("{:?}", report.problems))
    }

    #[test]
    fn e07_an_approval_is_planned_from_where_a_pipeline_is() {
        let pipeline = pipeline();
        let act: Act = "/approve prod".parse().unwrap();
        let nothing = ahead(&untouched(&pipeline), &pipeline, &act, Timestamp(0)).unwrap();
        assert_eq!(nothing.refused.as_deref(), Some("nothing waits for prod now"));
        // bo pushed the release and cy approved it; another one is being built.
        let lines = "person cy: write\n2026-12-21 08:00 push by bo: feat: one\n09:00 cy: /approve prod\n\
                     10:00 push by bo: feat: two\n";
        let scenario = scenario::read(lines, &pipeline).unwrap();
        let mut session = Session::new(&pipeline, &scenario);
        for line in scenario.setup.iter().chain(&scenario.lines) {
            session.line(line).unwrap();
        }
        let world = &session.player.world;
        let plan = ahead(&world.state, &pipeline, &act, world.now).unwrap();
        assert_eq!(plan.release.as_deref(), Some("v0.1.0-rc.1"));
        let prod = plan.stages.iter().find(|s| s.stage.as_str() == "prod").unwrap();
        let waits: Vec<&str> = prod.waits.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(
            waits,
            ["soaks for 1d, until 2026-12-22 08:10 UTC", "1 of 2 approvals (cy); needs 1 of bo or cy"]
        );
        // The one that is being built takes its place in test before the day is over.
        assert_eq!((prod.starts.as_deref(), prod.live.as_deref()), (None, None));
        let unknown =
            ahead(&world.state, &pipeline, &"/approve prod v9".parse().unwrap(), world.now).unwrap();
        assert_eq!(
            unknown.refused.as_deref(),
            Some("there is no release v9; there is v0.1.0-rc.1, v0.1.0-rc.2")
        );
        assert!("ship it".parse::<Act>().is_err());
    }
}
