//! What others put on a commit, and how many issues match a search: read only, for probes.

use std::ops::ControlFlow;

use crate::domain::effect::StatusState;
use crate::domain::name::{CommitSha, Login, RepoId, RepoName, printable};
use crate::domain::probe::{CheckRun, CommitStatus};
use crate::forge::github::app::Work;
use crate::forge::github::client::{GitHub, MAX_PAGES, PER_PAGE};
use crate::forge::github::dto;
use crate::forge::github::route::segment;
use crate::trouble::{Outcome, Trouble};

impl GitHub {
    /// Every status of a commit, newest first.
    pub(super) async fn statuses_of(&self, repo: &RepoId, commit: &CommitSha) -> Outcome<Vec<CommitStatus>> {
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/commits/{commit}/statuses", home.id);
        let mut found = Vec::new();
        let each = |status: dto::Status| {
            found.push(CommitStatus {
                state: state(&status.state),
                by: status.creator.and_then(|user| user.login.parse::<Login>().ok()),
                context: status.context,
            });
            ControlFlow::<()>::Continue(())
        };
        self.pages(&home.to(Work::Statuses), &path, each).await?;
        Ok(found)
    }

    /// Every check run of this name on a commit, whichever app made it.
    pub(super) async fn check_runs_of(
        &self,
        repo: &RepoId,
        commit: &CommitSha,
        name: &str,
    ) -> Outcome<Vec<CheckRun>> {
        let home = self.home(repo).await?;
        let path = format!(
            "/repositories/{}/commits/{commit}/check-runs?check_name={}&filter=all",
            home.id,
            segment(name)
        );
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            let target = format!("{path}&per_page={PER_PAGE}&page={page}");
            let runs: dto::CheckRuns = self.get(&home.to(Work::Checks), &target).await?;
            let last = runs.check_runs.len() < PER_PAGE;
            found.extend(runs.check_runs.into_iter().map(|run| CheckRun {
                id: run.id,
                name: run.name,
                app: run.app.map(|app| app.id),
                conclusion: run.conclusion.filter(|_| run.status == "completed"),
            }));
            if last {
                return Ok(found);
            }
        }
        Err(Trouble::refused(format!("{commit} has more than {} check runs", MAX_PAGES * PER_PAGE)))
    }

    /// How many issues match, in one repository of the server's config: the release's own when the query names none.
    pub(super) async fn issues_matching(&self, repo: &RepoId, query: &str) -> Outcome<u64> {
        let (home, query) = if let Some(name) = named(query)? {
            (self.home_named(&name).await?, query.to_owned())
        } else {
            let (home, now) = self.describe(repo).await?;
            (home, format!("{query} repo:{}", now.name))
        };
        let kind = ["is:issue", "is:pr", "is:pull-request", "type:issue", "type:pr"];
        let query = if words(&query).iter().any(|word| kind.contains(&word.as_str())) {
            query
        } else {
            format!("{query} is:issue")
        };
        let path = format!("/search/issues?per_page=1&q={}", segment(&query));
        let found: dto::Found = self.get(&home.to(Work::Issues), &path).await?;
        if found.incomplete_results {
            return Err(Trouble::transient("GitHub's search gave up before it had counted all issues"));
        }
        Ok(found.total_count)
    }
}

/// A word of tomorrow is not green.
fn state(word: &str) -> StatusState {
    match word {
        "success" => StatusState::Success,
        "pending" => StatusState::Pending,
        "failure" => StatusState::Failure,
        _ => StatusState::Error,
    }
}

/// The words of a search; what is in quotes is no word.
fn words(query: &str) -> Vec<String> {
    let outside = query.split('"').step_by(2);
    outside.flat_map(str::split_whitespace).map(str::to_ascii_lowercase).collect()
}

/// The repository a search names; one that reaches further is refused, since the token does not and GitHub would
/// count less than there is.
fn named(query: &str) -> Outcome<Option<RepoName>> {
    let words = words(query);
    let reaches = |word: &&String| ["org:", "user:", "owner:"].iter().any(|start| word.starts_with(start));
    if let Some(word) = words.iter().find(reaches) {
        return Err(Trouble::refused(format!(
            "`{}` searches more than one repository; name one with `repo:owner/name`",
            printable(word)
        )));
    }
    if let Some(word) = words.iter().find(|word| word.as_str() == "or" || word.contains(['(', ')'])) {
        return Err(Trouble::refused(format!("`{}` is not taken in a search", printable(word))));
    }
    let mut repos = words.iter().filter_map(|word| word.strip_prefix("repo:"));
    match (repos.next(), repos.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => {
            name.parse().map(Some).map_err(|e| Trouble::refused("read the search").because(e))
        }
        (Some(_), Some(_)) => {
            Err(Trouble::refused("a search names one repository with `repo:`, not several"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_stays_in_one_repository() {
        let name = |query: &str| named(query).map(|n| n.map(|n| n.to_string()));
        assert_eq!(name("label:x state:open").unwrap(), None);
        assert_eq!(name("Repo:Acme/Release label:\"repo:other/x org:y\"").unwrap().unwrap(), "acme/release");
        for wide in [
            "org:acme",
            "user:acme label:x",
            "repo:a/b repo:c/d",
            "repo:a/b OR label:x",
            "(repo:a/b)",
            "repo:/",
        ] {
            assert!(named(wide).is_err(), "{wide}");
        }
    }
}
