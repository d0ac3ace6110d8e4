//! Runbooks: operational tasks beside deployments (a clean-up, a migration), as a manifest declares them.
//!
//! A run is of the protected branch's head as it was when somebody asked, or its time came; what it runs and with
//! which inputs is frozen then. A runbook has one open run at a time, so that its name says which is meant.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::approval::{NotCounted, approvers};
use crate::domain::name::{RunbookName, StageName, printable};
use crate::domain::person::{Account, Standing};
use crate::domain::pipeline::{ApprovalRule, Step, Who};
use crate::domain::schedule::Schedule;
use crate::domain::time::Span;

pub mod fact;
pub mod run;
pub mod wait;

/// Longest value of an input.
const VALUE_BYTES: usize = 200;

/// What a manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// Its name in commands.
    pub name: RunbookName,
    /// Its commands, in the source tree.
    pub steps: Vec<Step>,
    /// When it starts by itself.
    pub schedule: Option<Schedule>,
    /// Who may start it, at least one.
    pub from: Vec<Who>,
    /// Who must agree before it runs.
    pub approval: Option<ApprovalRule>,
    /// What may be given to it, by name.
    pub inputs: BTreeMap<String, Input>,
    /// The stages it works on: nothing is deployed there while it runs, and their holds stop it, too.
    pub stages: Vec<StageName>,
    /// Variables for every command.
    pub environment_variables: BTreeMap<String, String>,
    /// Names of the server's secrets.
    pub secrets: BTreeSet<String>,
    /// How long all commands together may take.
    pub timeout: Span,
}

/// Something that may be given to a runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<String>,
    /// The only values it may have; anything that [`is_value`] when empty.
    pub choices: Vec<String>,
}

/// Whether a text may be an input's value: no blank, nothing a shell reads as more than a word, and no option of a
/// program, because it is a stranger's (THREATS T20).
pub fn is_value(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+,=-".contains(&b);
    text.len() <= VALUE_BYTES && !text.starts_with('-') && text.bytes().all(plain)
}

/// Whether a text may be an input's name: small letters, digits and `-`.
pub fn is_input(text: &str) -> bool {
    text.parse::<RunbookName>().is_ok()
}

/// The variable that an input is given in: `older-than` is `INPUT_OLDER_THAN`, which is no variable of anybody else.
pub fn variable(input: &str) -> String {
    format!("INPUT_{}", input.to_ascii_uppercase().replace('-', "_"))
}

impl Runbook {
    /// Everybody who may start it or agree.
    pub fn people(&self) -> Vec<Who> {
        self.from.iter().cloned().chain(self.approval.iter().flat_map(approvers)).collect()
    }

    /// A line that starts it, with what must be given.
    pub fn example(&self) -> String {
        let needed = self.inputs.iter().filter(|(_, input)| input.required);
        let words = needed.map(|(name, input)| {
            let value = input.choices.first().map_or("…", String::as_str);
            format!(" {name}={value}")
        });
        format!("/run {}{}", self.name, words.collect::<String>())
    }

    /// The inputs of a run with their defaults, or why they will not do.
    pub fn take(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        let known = || {
            let all: Vec<String> = self.inputs.keys().map(|name| format!("`{name}`")).collect();
            if all.is_empty() {
                "it takes no inputs".to_owned()
            } else {
                format!("it takes {}", all.join(", "))
            }
        };
        if let Some(stranger) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            return Err(format!("{} has no input `{}`: {}", self.name, printable(stranger), known()));
        }
        let mut taken = BTreeMap::new();
        for (name, input) in &self.inputs {
            let value = given.get(name).or(input.default.as_ref());
            let Some(value) = value else {
                if input.required {
                    return Err(format!("{} needs `{name}=…`, {}", self.name, input.expected()));
                }
                continue;
            };
            let fits = if input.choices.is_empty() { is_value(value) } else { input.choices.contains(value) };
            if !fits {
                return Err(format!("`{name}` is {}, and not `{}`", input.expected(), printable(value)));
            }
            taken.insert(name.clone(), value.clone());
        }
        Ok(taken)
    }
}

impl Input {
    /// What it may be, as a sentence fragment.
    fn expected(&self) -> String {
        if self.choices.is_empty() {
            "a word of letters, digits and `._:/@+,=-`".to_owned()
        } else {
            let all: Vec<String> = self.choices.iter().map(|c| format!("`{c}`")).collect();
            format!("one of {}", all.join(", "))
        }
    }
}

/// Whether somebody is among these; bots only by name.
pub fn counts(who: &[Who], standing: &Standing) -> Result<(), NotCounted> {
    if standing.kind == Account::Bot && !who.iter().any(|who| standing.is_named_by(who)) {
        return Err(NotCounted::Bot);
    }
    if who.iter().any(|who| standing.is(who)) { Ok(()) } else { Err(NotCounted::NotInRule) }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn book(inputs: &[(&str, Input)]) -> Runbook {
        Runbook {
            name: "clean-images".parse().unwrap(),
            steps: Vec::new(),
            schedule: None,
            from: Vec::new(),
            approval: None,
            inputs: inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect(),
            stages: Vec::new(),
            environment_variables: BTreeMap::new(),
            secrets: BTreeSet::new(),
            timeout: Span::hours(1),
        }
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn e16_inputs_are_checked_and_defaults_filled_in() {
        let days = Input { default: Some("7".to_owned()), ..Input::default() };
        let dry =
            Input { choices: vec!["yes".to_owned(), "no".to_owned()], required: true, ..Input::default() };
        let book = book(&[("days", days), ("dry-run", dry), ("note", Input::default())]);
        let taken = book.take(&given(&[("dry-run", "no")])).unwrap();
        assert_eq!(taken, given(&[("days", "7"), ("dry-run", "no")]));
        for (pairs, why) in [
            (given(&[]), "clean-images needs `dry-run=…`, one of `yes`, `no`"),
            (given(&[("dry-run", "maybe")]), "`dry-run` is one of `yes`, `no`, and not `maybe`"),
            (
                given(&[("dry-run", "no"), ("PATH", "/x")]),
                "has no input `PATH`: it takes `days`, `dry-run`, `note`",
            ),
            (
                given(&[("dry-run", "no"), ("days", "-rf")]),
                "`days` is a word of letters, digits and `._:/@+,=-`, and not `-rf`",
            ),
        ] {
            let refused = book.take(&pairs).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(book.example(), "/run clean-images dry-run=yes");
        assert_eq!(variable("dry-run"), "INPUT_DRY_RUN");
    }

    #[test]
    fn t20_a_value_is_one_word_to_every_shell_and_no_option() {
        for good in ["7", "westeurope", "v1.4.2", "a/b:c@d", "", "x=y"] {
            assert!(is_value(good), "{good}");
        }
        let long = "x".repeat(VALUE_BYTES + 1);
        for bad in [
            "-x",
            "--help",
            "$(id)",
            ";id",
            "&&",
            "|",
            "`id`",
            "{curl,-sS,x}",
            "$TOKEN",
            "a&&id",
            "'a",
            "a b",
            "a\nb",
            "*",
            "?",
            "~root",
            "a\\b",
            "<x",
            "\u{202e}x",
            long.as_str(),
        ] {
            assert!(!is_value(bad), "{bad}");
        }
        for bad in ["PATH", "a_b", "", "a b", "-a", "1a"] {
            assert!(!is_input(bad), "{bad}");
        }
    }
}
