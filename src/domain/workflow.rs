//! Artifacts that the host's own CI builds: which run of a workflow makes a release, and what it takes of it.
//!
//! A workflow runs for pull requests of strangers, too, so what a run is of decides (CHECKLIST E19): success, of the
//! repository's own code, on the protected branch, and not for a pull request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Alias, CommitSha, RefName, printable};
use crate::domain::person::Person;

/// The events of GitHub whose runs are of the branch that they name. Others name the default branch, too, and may have
/// checked out anybody's code: a comment on a pull request, or the end of its build.
const OF_A_BRANCH: [&str; 3] = ["push", "schedule", "workflow_dispatch"];

/// A workflow, and what a pipeline takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its file below `.github/workflows`: `build.yml`.
    pub file: String,
    /// Its artifacts by the names they get here.
    pub artifacts: BTreeMap<Alias, String>,
}

/// One attempt of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    /// The host's number.
    pub id: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The file of its workflow.
    pub file: String,
}

/// A run as the host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub run: RunRef,
    /// The commit it is of.
    pub commit: CommitSha,
    /// The branch; nothing for a tag, or a name that we would not touch.
    pub branch: Option<RefName>,
    /// What started it, in the host's word.
    pub event: String,
    /// How it ended, in the host's word; nothing while it runs.
    pub conclusion: Option<String>,
    /// Whether its code is the repository's own.
    pub own: bool,
    /// Who started it, when the host knows.
    pub by: Option<Person>,
}

/// An artifact of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The host's number.
    pub id: u64,
    /// Its name there.
    pub name: String,
    /// Bytes of its archive.
    pub size: u64,
    /// The host keeps it no longer.
    pub expired: bool,
}

impl Run {
    /// Whether it makes a release; the error is why it does not, in the middle of a sentence.
    pub fn counts(&self, protected: &RefName) -> Result<(), String> {
        let RunRef { id, file, .. } = &self.run;
        let what = format!("run {id} of {file}");
        if !self.own {
            return Err(format!("{what} is of a fork"));
        }
        if !OF_A_BRANCH.contains(&self.event.as_str()) {
            let (event, known) = (printable(&self.event), OF_A_BRANCH.join(", "));
            return Err(format!(
                "{what} was started by {event}, so its code may be anybody's; {known} count"
            ));
        }
        match self.conclusion.as_deref() {
            None => return Err(format!("{what} is not over")),
            Some("success") => {}
            Some(other) => return Err(format!("{what} ended as {}", printable(other))),
        }
        match &self.branch {
            Some(branch) if branch == protected => Ok(()),
            Some(branch) => Err(format!("{what} is of {branch}, and releases are made of {protected}")),
            None => Err(format!("{what} is of no branch")),
        }
    }
}

impl Workflow {
    /// What a release takes of those that a run left, in the order of the names here; the error is what is missing.
    pub fn take<'l>(&self, left: &'l [Left]) -> Result<Vec<(&Alias, &'l Left)>, String> {
        let mut taken = Vec::with_capacity(self.artifacts.len());
        for (alias, name) in &self.artifacts {
            // An attempt that was run again leaves another one of the same name: the newest has the highest number.
            let newest = left.iter().filter(|left| left.name == *name).max_by_key(|left| left.id);
            let Some(found) = newest else {
                let there: Vec<String> = left.iter().map(|l| printable(&l.name)).collect();
                let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
                return Err(format!("the run left no artifact `{}`; it left {there}", printable(name)));
            };
            if found.expired {
                return Err(format!("the host keeps the artifact `{}` no longer", printable(name)));
            }
            taken.push((alias, found));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(change: impl FnOnce(&mut Run)) -> Run {
        let mut run = Run {
            run: RunRef { id: 7, attempt: 1, file: "build.yml".to_owned() },
            commit: "a".repeat(40).parse().unwrap(),
            branch: Some("main".parse().unwrap()),
            event: "push".to_owned(),
            conclusion: Some("success".to_owned()),
            own: true,
            by: None,
        };
        change(&mut run);
        run
    }

    #[test]
    fn e19_only_good_runs_of_our_own_code_on_the_protected_branch_count() {
        let main = "main".parse().unwrap();
        let why = |change: fn(&mut Run)| run(change).counts(&main).unwrap_err();
        assert_eq!(run(|_| ()).counts(&main), Ok(()));
        assert_eq!(why(|r| r.conclusion = None), "run 7 of build.yml is not over");
        assert_eq!(why(|r| r.conclusion = Some("failure".to_owned())), "run 7 of build.yml ended as failure");
        for event in OF_A_BRANCH {
            assert_eq!(run(|r| r.event = event.to_owned()).counts(&main), Ok(()));
        }
        for event in ["pull_request", "pull_request_target", "merge_group", "issue_comment", "workflow_run"] {
            let why = run(|r| r.event = event.to_owned()).counts(&main).unwrap_err();
            assert!(
                why.starts_with(&format!("run 7 of build.yml was started by {event}, so its code")),
                "{why}"
            );
        }
        assert_eq!(why(|r| r.own = false), "run 7 of build.yml is of a fork");
        assert_eq!(
            why(|r| r.branch = Some("feature".parse().unwrap())),
            "run 7 of build.yml is of feature, and releases are made of main"
        );
        assert_eq!(why(|r| r.branch = None), "run 7 of build.yml is of no branch");
    }

    #[test]
    fn e19_a_release_takes_the_newest_of_each_name_or_nothing() {
        let names = [("App", "app"), ("Docs", "site")];
        let names = names.map(|(alias, name)| (alias.parse().unwrap(), name.to_owned()));
        let workflow = Workflow { file: "build.yml".to_owned(), artifacts: names.into() };
        let left = |id, name: &str, expired| Left { id, name: name.to_owned(), size: 1, expired };
        let all =
            [left(1, "app", false), left(3, "app", false), left(2, "site", false), left(4, "logs", false)];
        let taken = workflow.take(&all).unwrap();
        let taken: Vec<(&str, u64)> =
            taken.into_iter().map(|(alias, left)| (alias.as_str(), left.id)).collect();
        assert_eq!(taken, [("App", 3), ("Docs", 2)]);
        let why = workflow.take(&all[..2]).unwrap_err();
        assert_eq!(why, "the run left no artifact `site`; it left app, app");
        let why = workflow.take(&[]).unwrap_err();
        assert_eq!(why, "the run left no artifact `app`; it left nothing");
        let old = [left(1, "app", true), left(2, "site", false)];
        assert_eq!(workflow.take(&old).unwrap_err(), "the host keeps the artifact `app` no longer");
    }
}
