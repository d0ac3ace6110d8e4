//! One line of a scenario, after its time: who somebody is, what happens, how work goes.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use crate::domain::command::parse::{Parsed, Spelling, parse};
use crate::domain::name::{
    CheckName, GroupName, Login, PipelineName, RunbookName, StageName, TargetName, VariableName, printable,
};
use crate::domain::person::Account;
use crate::domain::pipeline::Role;
use crate::domain::probe::{Answer, Reading};
use crate::domain::simulate::scenario::{
    Answers, Comment, Habit, How, Push, Reader, Said, Spot, Tag, TargetGoes, Traits, word,
};
use crate::domain::version::Version;

/// How a push is written.
const PUSH: &str = "write `push by bo: feat: login`, before the colon also `#7`, `to <branch>`, \
                    `building <pipeline>`, `touching <path>` and `written by <login>`";
/// How a build of another pipeline is told of.
const BUILT: &str = "write `built <pipeline> passes` or `built <pipeline> fails: <how>`";
/// How work is told to go.
const HABIT: &str = "write `takes 10m`, `passes`, `fails: <how>`, `errors: <why>` or `times out`";
/// How a check is told to answer.
const ANSWER: &str = "write `takes 2m`, `passes`, `fails: <what>`, `cannot tell: <why>` or `errors: <why>`";
/// How targets are named.
const TARGETS: &str = "write `targets prod: web-1, web-2`";
/// How a target is told to go.
const TARGET: &str =
    "write `target web-1 fails: exit 3`, `target web-1 is ill: answers 500` or `target web-1 passes`";
/// Every way a line can begin.
const LINES: &str = "a line is `zone`, `released`, `group`, `person`, `push`, `tag`, `build`, `built`, `stage`, `runbook`, \
                     `check`, `targets`, `target`, `expect` or a comment, `ana: /approve prod`";

impl Reader<'_> {
    /// What a line says; nothing when it is about the scenario as a whole.
    pub(super) fn statement(&mut self, text: &str) -> Result<Option<Said>, String> {
        let (first, rest) = word(text);
        let said = match first {
            "" => Said::Nothing,
            "zone" | "released" | "group" if self.last.is_some() => {
                return Err(format!("`{first}` stands before the first time"));
            }
            "zone" => {
                self.scenario.zone = checked(rest)?;
                return Ok(None);
            }
            "released" => {
                let said = rest.split([',', ' ']).filter(|v| !v.is_empty()).map(version);
                self.scenario.released.extend(said.collect::<Result<Vec<_>, _>>()?);
                return Ok(None);
            }
            "group" => return self.group(rest).map(|()| None),
            "person" => self.person(rest)?,
            "push" => {
                let push = push(rest)?;
                push.building.iter().try_for_each(|name| self.listened(name.as_str()).map(drop))?;
                Said::Push(push)
            }
            "tag" => Said::Tag(tag(rest)?),
            "build" => Said::Build(habit(rest)?),
            "built" => {
                let (name, how) = word(rest);
                let failed = match habit(how)? {
                    Habit::Ends(How::Passes) => None,
                    Habit::Ends(How::Fails(why) | How::Errors(why)) => Some(why),
                    Habit::Ends(How::TimesOut) | Habit::Takes(_) => return Err(BUILT.to_owned()),
                };
                Said::Built(self.listened(name)?, failed)
            }
            "stage" => {
                let (name, rest) = word(rest);
                Said::Stage(self.stage(name)?, habit(rest)?)
            }
            "runbook" => {
                let (name, rest) = word(rest);
                Said::Runbook(self.runbook(name)?, habit(rest)?)
            }
            "check" => {
                let (name, rest) = word(rest);
                Said::Check(self.check(name)?, answers(rest)?)
            }
            "targets" => self.targets(rest)?,
            "target" => self.target(rest)?,
            "expect" => Said::Expect(self.expect(rest)?),
            _ => Said::Comment(self.comment(text)?),
        };
        Ok(Some(said))
    }

    /// A stage of the pipeline.
    pub(super) fn stage(&self, name: &str) -> Result<StageName, String> {
        let found = self.pipeline.stage_names().find(|stage| stage.as_str() == name);
        found.cloned().ok_or_else(|| {
            let known: Vec<String> = self.pipeline.stage_names().map(|s| format!("`{s}`")).collect();
            format!("there is no stage `{}`; there is {}", printable(name), known.join(", "))
        })
    }

    /// A pipeline whose builds are listened to.
    fn listened(&self, name: &str) -> Result<PipelineName, String> {
        let all = self.pipeline.triggers.builds.iter().flat_map(|builds| &builds.from);
        let known: Vec<String> = all.clone().map(|name| format!("`{name}`")).collect();
        all.clone().find(|known| known.as_str() == name).cloned().ok_or_else(|| {
            format!("`{}` is no pipeline that is listened to; there is {}", printable(name), listed(&known))
        })
    }

    fn runbook(&self, name: &str) -> Result<RunbookName, String> {
        let found = self.pipeline.runbooks.iter().map(|book| &book.name).find(|book| book.as_str() == name);
        found.cloned().ok_or_else(|| {
            let known = self.pipeline.runbooks.iter().map(|book| format!("`{}`", book.name));
            format!(
                "there is no runbook `{}`; there is {}",
                printable(name),
                listed(&known.collect::<Vec<_>>())
            )
        })
    }

    fn check(&self, name: &str) -> Result<CheckName, String> {
        let mut known: Vec<String> = Vec::new();
        for stage in &self.pipeline.stages {
            for check in stage.checks() {
                if check.name.as_str() == name {
                    return Ok(check.name.clone());
                }
                known.push(format!("`{}`", check.name));
            }
        }
        known.sort();
        known.dedup();
        Err(format!("there is no check `{}`; there is {}", printable(name), listed(&known)))
    }

    /// `prod: web-1, web-2`.
    fn targets(&mut self, text: &str) -> Result<Said, String> {
        let (stage, names) = text.split_once(':').ok_or(TARGETS)?;
        let stage = self.stage(stage.trim())?;
        if self.pipeline.stage(&stage).is_none_or(|stage| stage.targets.is_none()) {
            return Err(format!("the manifest gives {stage} no `targets`, so its commands run once"));
        }
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: Vec<TargetName> = names.map(checked).collect::<Result<_, _>>()?;
        let known = names.iter().collect::<BTreeSet<_>>();
        if names.is_empty() || known.len() < names.len() {
            return Err(format!("each target is named once, and there is at least one; {TARGETS}"));
        }
        self.targets.extend(names.iter().cloned());
        Ok(Said::Targets(stage, names))
    }

    /// `web-1 fails: exit 3`.
    fn target(&self, text: &str) -> Result<Said, String> {
        let (name, rest) = word(text);
        let found = self.targets.iter().find(|known| known.as_str() == name).cloned();
        let target = found.ok_or_else(|| {
            let known: Vec<String> = self.targets.iter().map(|name| format!("`{name}`")).collect();
            format!("there is no target `{}`; there is {}", printable(name), listed(&known))
        })?;
        let goes = match rest.split_once(':').map_or((rest, ""), |(how, what)| (how.trim(), what.trim())) {
            ("passes", "") => TargetGoes::Well,
            ("fails", how) if !how.is_empty() => TargetGoes::Fails(how.to_owned()),
            ("is ill", what) if !what.is_empty() => TargetGoes::Ill(what.to_owned()),
            _ => return Err(TARGET.to_owned()),
        };
        Ok(Said::Target(target, goes))
    }

    /// `Infra: App.Host=example.org, Tier=gold`.
    fn group(&mut self, text: &str) -> Result<(), String> {
        let how = "write `group <name>: <variable>=<value>, …`";
        let (name, values) = text.split_once(':').ok_or(how)?;
        let name: GroupName = checked(name.trim())?;
        for pair in values.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (variable, value) = pair.split_once('=').ok_or(how)?;
            let variable: VariableName = checked(variable.trim())?;
            let group = self.scenario.groups.entry(name.clone()).or_default();
            group.insert(variable, value.trim().to_owned());
        }
        Ok(())
    }

    /// `ana: maintain, acme/release`.
    fn person(&mut self, text: &str) -> Result<Said, String> {
        let (login, traits) = text.split_once(':').unwrap_or((text, ""));
        let login: Login = checked(login.trim())?;
        self.people.push(login.clone());
        let mut who = Traits { role: Role::Write, teams: Vec::new(), kind: Account::Human };
        for part in traits.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match role(part) {
                Some(role) => who.role = role,
                None if part == "bot" => who.kind = Account::Bot,
                None if part.contains('/') => who.teams.push(checked(part)?),
                None => {
                    return Err(format!(
                        "`{}` is neither a role (`read`, `triage`, `write`, `maintain`, `admin`), a team \
                         (`acme/release`), nor `bot`",
                        printable(part)
                    ));
                }
            }
        }
        Ok(Said::Person(login, who))
    }

    /// `ana: /approve prod`, `ana on #7: …`, `ana on v1.4.0: …`.
    fn comment(&self, text: &str) -> Result<Comment, String> {
        let unknown = || format!("`{}` begins no line; {LINES}", printable(word(text).0));
        let (head, body) = text.split_once(": ").ok_or_else(unknown)?;
        let (login, spot) = head.split_once(" on ").map_or((head, None), |(login, spot)| (login, Some(spot)));
        let by: Login = login.trim().parse().map_err(|_| unknown())?;
        if !self.people.contains(&by) {
            return Err(format!(
                "nobody said who `{by}` is; write `person {by}: maintain` above, or another role or team"
            ));
        }
        let on = match spot.map(str::trim) {
            None => None,
            Some(spot) => Some(match spot.strip_prefix('#') {
                Some(thread) => Spot::Thread(checked(thread)?),
                None => Spot::Release(spot.to_owned()),
            }),
        };
        match parse(Some(body.trim()), Spelling::Bare) {
            Parsed::Commands(mut commands) => match (commands.pop(), commands.is_empty()) {
                (Some(command), true) => Ok(Comment { by, on, command }),
                _ => Err("one command a line".to_owned()),
            },
            Parsed::Refused(error) => Err(error.to_string()),
            Parsed::Nothing { .. } => {
                Err(format!("`{}` is not a command, such as `/approve prod`", printable(body)))
            }
        }
    }
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
}

/// A value that checks itself.
fn checked<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|_| format!("`{}` is not a version, such as `v1.3.0`", printable(text)))
}

fn role(word: &str) -> Option<Role> {
    let all = [Role::None, Role::Read, Role::Triage, Role::Write, Role::Maintain, Role::Admin];
    all.into_iter().find(|role| role.word() == word)
}

/// `#7 to release/1.x touching src/a.rs by bo, written by cy: feat: login`.
fn push(text: &str) -> Result<Push, String> {
    let (head, subject) = text.split_once(": ").ok_or(PUSH)?;
    let (mut thread, mut branch, mut touches, mut by, mut author) = (None, None, None, None, None);
    let mut building = BTreeSet::new();
    let mut words = head.split([' ', ',']).filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        if let Some(number) = word.strip_prefix('#') {
            thread = Some(checked(number)?);
            continue;
        }
        let mut next = || words.next().ok_or(PUSH);
        match word {
            "to" => branch = Some(checked(next()?)?),
            "touching" => touches = Some(next()?.to_owned()),
            "building" => {
                building.insert(checked::<PipelineName>(next()?)?);
            }
            "by" => by = Some(checked::<Login>(next()?)?),
            "written" if next()? == "by" => author = Some(checked(next()?)?),
            _ => return Err(format!("`{}` is not known here; {PUSH}", printable(word))),
        }
    }
    let by = by.ok_or_else(|| format!("nobody said who pushes; {PUSH}"))?;
    let author = author.unwrap_or_else(|| by.clone());
    Ok(Push { thread, branch, building, touches, by, author, subject: subject.trim().to_owned() })
}

/// `v1.4.0 by bo`, `v1.4.0 on v1.4.0-rc.2 by bo`.
fn tag(text: &str) -> Result<Tag, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [name, "by", by] => Ok(Tag { name: checked(name)?, on: None, by: checked(by)? }),
        [name, "on", on, "by", by] => {
            Ok(Tag { name: checked(name)?, on: Some((*on).to_owned()), by: checked(by)? })
        }
        _ => Err("write `tag v1.4.0 by bo` or `tag v1.4.0 on v1.4.0-rc.2 by bo`".to_owned()),
    }
}

fn habit(text: &str) -> Result<Habit, String> {
    let (first, rest) = word(text);
    let why = rest.to_owned();
    match first {
        "takes" => Ok(Habit::Takes(checked(rest)?)),
        "passes" => Ok(Habit::Ends(How::Passes)),
        "fails" | "fails:" => Ok(Habit::Ends(How::Fails(why))),
        "errors" | "errors:" => Ok(Habit::Ends(How::Errors(why))),
        "times" if rest == "out" => Ok(Habit::Ends(How::TimesOut)),
        _ => Err(HABIT.to_owned()),
    }
}

fn answers(text: &str) -> Result<Answers, String> {
    let (how, detail) = text.split_once(": ").unwrap_or((text, ""));
    let said = |answer, usual| {
        Ok(Answers::Says(Reading::new(answer, if detail.is_empty() { usual } else { detail })))
    };
    match how.trim() {
        "passes" => said(Answer::Pass, "fine"),
        "fails" => said(Answer::Fail, "not as it should be"),
        "cannot tell" => said(Answer::Inconclusive, "nobody can tell"),
        "errors" => said(Answer::Error, "it could not be asked"),
        other => match other.strip_prefix("takes ") {
            Some(span) => Ok(Answers::Takes(checked(span)?)),
            None => Err(ANSWER.to_owned()),
        },
    }
}
