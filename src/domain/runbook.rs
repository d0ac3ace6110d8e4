//! Runbooks: operational tasks beside deployments (a clean-up, a migration), as a manifest declares them.
//!
//! A run is of the protected branch's head as it was when somebody asked, or its time came; what it runs and with
//! which inputs is frozen then. A runbook has one open run at a time, so that its name says which is meant.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::approval::{NotCounted, approvers};
use crate::domain::input::{self, Input};
use crate::domain::name::{RunbookName, StageName};
use crate::domain::person::{Account, Standing};
use crate::domain::pipeline::{ApprovalRule, Step, Who};
use crate::domain::schedule::Schedule;
use crate::domain::time::Span;

pub mod fact;
pub mod run;
pub mod wait;

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
        format!("/run {}{}", self.name, input::example(&self.inputs))
    }

    /// The inputs of a run with their defaults, or why they will not do.
    pub fn take(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        input::take(self.name.as_str(), &self.inputs, given)
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
    use crate::domain::input::{VALUE_BYTES, is_input, is_value};

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
