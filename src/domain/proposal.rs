//! What a pull request would do to the rules: per stage what is asked and what would be, and which way it goes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::check::Check;
use crate::domain::name::{CommitSha, StageName, ThreadId};
use crate::domain::pipeline::{ApprovalRule, Duty, Pipeline, Stage, Start};
use crate::domain::policy::stricter_stage;
use crate::domain::view::request::in_words;

/// Most changes that are kept and shown; a manifest that changes more is read, not skimmed.
pub const MAX_CHANGES: usize = 40;

/// What a pull request would do to the rules of a pipeline; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The pull request.
    pub thread: ThreadId,
    /// Its head.
    pub commit: CommitSha,
    /// What would be different; nothing when an earlier head's changes were taken back.
    pub changes: Vec<Change>,
}

/// One thing that would be different; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where; nothing for the pipeline as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageName>,
    /// What, as a sentence without its end.
    pub text: String,
    /// Which way.
    pub way: Way,
}

/// Which way a rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It asks for more.
    Stricter,
    /// It asks for less.
    Looser,
    /// More of one thing and less of another, or something that is no rule.
    Other,
}

impl Way {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stricter => "stricter",
            Self::Looser => "looser",
            Self::Other => "different",
        }
    }
}

/// Everything that is different, in the order of the new manifest's stages; stages that are gone come last.
pub fn difference(old: &Pipeline, new: &Pipeline) -> Vec<Change> {
    let mut changes = of_pipeline(old, new);
    for stage in &new.stages {
        if let Some(before) = old.stage(&stage.name) {
            changes.extend(of_stage(before, stage));
        } else {
            let asked = rule(stage.approval.as_ref());
            let text = format!("a new stage, in {}; before it: {asked}", stage.environment);
            changes.push(Change { stage: Some(stage.name.clone()), text, way: Way::Other });
        }
    }
    for gone in old.stages.iter().filter(|stage| new.stage(&stage.name).is_none()) {
        let text = "the stage is gone, with all its rules".to_owned();
        changes.push(Change { stage: Some(gone.name.clone()), text, way: Way::Looser });
    }
    changes.truncate(MAX_CHANGES);
    changes
}

/// What holds for all stages.
fn of_pipeline(old: &Pipeline, new: &Pipeline) -> Vec<Change> {
    let parts: [(&str, Value, Value); 7] = [
        ("what starts a release", json(&old.triggers), json(&new.triggers)),
        ("how the artifact is built", json(&old.build), json(&new.build)),
        ("what is sealed", json(&old.artifacts), json(&new.artifacts)),
        ("the variables of every stage", json(&old.variables), json(&new.variables)),
        ("the variable groups of every stage", json(&old.groups), json(&new.groups)),
        ("the channels", json(&old.channels), json(&new.channels)),
        ("the runbooks", json(&old.runbooks), json(&new.runbooks)),
    ];
    let changed = parts.into_iter().filter(|(_, old, new)| old != new);
    changed
        .map(|(what, _, _)| Change { stage: None, text: format!("{what} changes"), way: Way::Other })
        .collect()
}

/// What is looked at of a stage: its name in sentences, how to compare it, and what to say of it.
struct Aspect {
    what: &'static str,
    value: fn(&Stage) -> Value,
    said: fn(&Stage) -> String,
}

/// What rules ask: the merge of two policies says which of two asks for more.
const RULES: &[Aspect] = &[
    Aspect { what: "approvals", value: |s| json(&s.approval), said: |s| rule(s.approval.as_ref()) },
    Aspect { what: "sign-offs", value: |s| json(&s.signoff), said: |s| rule(s.signoff.as_ref()) },
    Aspect { what: "soak", value: |s| json(&s.soak), said: |s| s.soak.to_string() },
    Aspect { what: "start", value: |s| json(&s.start), said: |s| start(s.start).to_owned() },
    Aspect { what: "duty", value: |s| json(&s.duty), said: |s| duty(s.duty).to_owned() },
    Aspect {
        what: "checks after the deploy",
        value: |s| json(&s.verify),
        said: |s| names(s.verify.parallel.iter().chain(&s.verify.then)),
    },
    Aspect {
        what: "gates",
        value: |s| json(&s.gates),
        said: |s| names(s.gates.pre.iter().chain(&s.gates.post)),
    },
    Aspect { what: "windows", value: |s| json(&s.windows), said: |s| count(s.windows.len()) },
    Aspect {
        what: "rollback's approvals",
        value: |s| json(&s.rollback_approvals),
        said: |s| s.rollback_approvals.to_string(),
    },
    Aspect {
        what: "rollbacks outside of windows",
        value: |s| json(&s.rollback_ignores_windows),
        said: |s| yes(s.rollback_ignores_windows),
    },
    Aspect { what: "who overrides", value: |s| json(&s.overriding), said: overriding },
    Aspect { what: "branches", value: |s| json(&s.branches), said: |s| s.branches.to_string() },
    Aspect { what: "a token of the host", value: |s| json(&s.oauth_token), said: |s| yes(s.oauth_token) },
];

/// What is not a rule that is merged: of two, the one of the released commit counts.
const REST: &[Aspect] = &[
    Aspect { what: "environment", value: |s| json(&s.environment), said: |s| s.environment.to_string() },
    Aspect { what: "the stages before it", value: |s| json(&s.needs), said: |s| list(&s.needs) },
    Aspect {
        what: "the stages one of which comes before it",
        value: |s| json(&s.needs_any),
        said: |s| list(&s.needs_any),
    },
    Aspect { what: "queue", value: |s| json(&s.queue), said: |_| String::new() },
    Aspect { what: "secrets", value: |s| json(&s.secrets), said: |s| list(&s.secrets) },
    Aspect { what: "variables", value: |s| json(&(&s.variables, &s.groups)), said: |_| String::new() },
    Aspect { what: "rollback by itself", value: |s| json(&s.rollback), said: |_| String::new() },
    Aspect { what: "train", value: |s| json(&s.train), said: |_| String::new() },
    Aspect { what: "strategy", value: |s| json(&s.strategy), said: |_| String::new() },
    Aspect { what: "targets", value: |s| json(&s.targets), said: |_| String::new() },
    Aspect { what: "what it deploys", value: |s| json(&s.deployments), said: |_| String::new() },
    Aspect {
        what: "commands",
        value: |s| json(&(&s.hooks, &s.deploy, &s.test_commands, &s.environment_variables)),
        said: |_| String::new(),
    },
    Aspect { what: "time limit", value: |s| json(&s.timeout), said: |s| s.timeout.to_string() },
    Aspect { what: "retries", value: |s| json(&s.retries), said: |s| s.retries.to_string() },
];

fn of_stage(old: &Stage, new: &Stage) -> Vec<Change> {
    let both = stricter_stage(new, Some(old));
    // Merged with itself a stage is written as the merge writes it, so that only differences are seen.
    let (old, new) = (stricter_stage(old, Some(old)), stricter_stage(new, Some(new)));
    let rules = RULES.iter().map(|aspect| (aspect, true));
    let rest = REST.iter().map(|aspect| (aspect, false));
    let changed = rules.chain(rest).filter_map(|(aspect, merged)| {
        let (before, after) = ((aspect.value)(&old), (aspect.value)(&new));
        if before == after {
            return None;
        }
        let strictest = (aspect.value)(&both);
        let way = match (strictest == after, strictest == before) {
            (true, _) if merged => Way::Stricter,
            (_, true) if merged => Way::Looser,
            _ => Way::Other,
        };
        let (was, is) = ((aspect.said)(&old), (aspect.said)(&new));
        let what = aspect.what;
        let text = if was == is { format!("{what}: changed") } else { format!("{what}: {was} → {is}") };
        Some(Change { stage: Some(new.name.clone()), text, way })
    });
    changed.collect()
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn rule(rule: Option<&ApprovalRule>) -> String {
    let Some(rule) = rule.filter(|rule| rule.min > 0 || !rule.require.is_empty()) else {
        return "nobody is asked".to_owned();
    };
    let not: Vec<String> = rule.exclude.iter().map(ToString::to_string).collect();
    let not = if not.is_empty() { String::new() } else { format!(", not {}", not.join(", ")) };
    format!("{}{not}", in_words(rule))
}

fn start(start: Start) -> &'static str {
    match start {
        Start::Auto => "by itself",
        Start::Manual => "by hand",
    }
}

fn duty(duty: Duty) -> &'static str {
    match duty {
        Duty::Mandatory => "mandatory",
        Duty::Optional => "optional",
    }
}

fn names<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    list(&checks.map(|check| check.name.clone()).collect::<Vec<_>>())
}

fn overriding(stage: &Stage) -> String {
    let lists = stage.overriding.from.iter().map(|list| {
        let who: BTreeSet<String> = list.iter().map(ToString::to_string).collect();
        who.into_iter().collect::<Vec<_>>().join(" or ")
    });
    let lists: Vec<String> = lists.collect();
    format!("{} of {}", stage.overriding.min, lists.join(" and "))
}

fn list<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> String {
    let items: Vec<String> = items.into_iter().map(ToString::to_string).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn count(n: usize) -> String {
    if n == 0 { "always open".to_owned() } else { "only in hours that are named".to_owned() }
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::{self, Sources};

    fn pipeline(text: &str) -> Pipeline {
        let files = Sources::from([(".github/liftlock.yml".to_owned(), text.to_owned())]);
        let loaded = manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap();
        loaded.pipelines.into_iter().next().unwrap()
    }

    fn lines(old: &str, new: &str) -> Vec<String> {
        let changes = difference(&pipeline(old), &pipeline(new));
        let stage = |c: &Change| c.stage.as_ref().map_or("all".to_owned(), ToString::to_string);
        changes.iter().map(|c| format!("{} | {} | {}", stage(c), c.text, c.way.word())).collect()
    }

    const OLD: &str = "version: 1
name: shop
build: make dist
checks: {smoke: {run: ./smoke.sh}}
stages:
  - {name: test, deploy: ./deploy.sh}
  - name: prod
    deploy: ./deploy.sh
    approval: {min: 2, from: [maintain], exclude: [pusher]}
    soak: 1h
    verify: [smoke]
    windows: {tz: Europe/Oslo, allow: [{days: [mon], from: \"09:00\", to: \"15:00\"}]}
";

    #[test]
    fn what_does_not_change_the_rules_is_no_change() {
        assert_eq!(lines(OLD, OLD), [""; 0]);
        let moved = OLD.replace("soak: 1h", "soak: 60m").replace("version: 1\n", "# a comment\nversion: 1\n");
        assert_eq!(lines(OLD, &moved), [""; 0]);
    }

    #[test]
    fn each_rule_says_which_way_it_goes() {
        let new = OLD
            .replace(
                "min: 2, from: [maintain], exclude: [pusher]",
                "min: 1, from: [maintain], exclude: [pusher]",
            )
            .replace("soak: 1h", "soak: 2h")
            .replace("    verify: [smoke]\n", "    trigger: manual\n")
            .replace("make dist", "make all")
            .replace("    soak: 2h", "    rollback: {auto: [verify_failed]}\n    soak: 2h");
        assert_eq!(
            lines(OLD, &new),
            [
                "all | how the artifact is built changes | different",
                "prod | approvals: 2 of role maintain or higher, not who pushed it → 1 of role maintain or higher, not who pushed it | looser",
                "prod | soak: 1h → 2h | stricter",
                "prod | start: by itself → by hand | stricter",
                "prod | checks after the deploy: smoke → none | looser",
                "prod | rollback by itself: changed | different",
            ]
        );
    }

    #[test]
    fn stages_that_come_and_go_are_named() {
        let new = OLD.replace("name: test", "name: qa");
        assert_eq!(
            lines(OLD, &new),
            [
                "qa | a new stage, in qa; before it: nobody is asked | different",
                "prod | the stages before it: test → qa | different",
                "test | the stage is gone, with all its rules | looser",
            ]
        );
    }

    #[test]
    fn more_of_one_and_less_of_another_is_neither() {
        let new = OLD.replace(
            "min: 2, from: [maintain], exclude: [pusher]",
            "min: 1, from: [maintain], exclude: [pusher, commit_authors]",
        );
        assert!(lines(OLD, &new)[0].ends_with("| different"), "{:?}", lines(OLD, &new));
    }
}
