//! What GitHub's own CI built: runs of workflows, their artifacts, and the bytes of those.

use std::path::Path;

use crate::domain::name::RepoId;
use crate::domain::workflow::{Left, Run, RunRef};
use crate::forge::github::app::{Identity, Work};
use crate::forge::github::client::{GitHub, PER_PAGE};
use crate::forge::github::dto;
use crate::trouble::{Outcome, Trouble};

/// Where the files of workflows are in a repository; those of organisations and of apps are elsewhere.
const FOLDER: &str = ".github/workflows/";
/// Largest archive of an artifact that is fetched: the bound of what is handed in by API.
const MAX_ARCHIVE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

impl GitHub {
    /// A run as it is now.
    pub(super) async fn run_of(&self, repo: &RepoId, run: u64) -> Outcome<Run> {
        let (identity, path) = self.actions(repo, run).await?;
        let found: dto::WorkflowRun = self.get(&identity, &path).await?;
        found.run().ok_or_else(|| Trouble::refused(format!("{path}: GitHub describes no run of a workflow")))
    }

    /// Everything that a run left.
    pub(super) async fn left_by(&self, repo: &RepoId, run: u64) -> Outcome<Vec<Left>> {
        let (identity, path) = self.actions(repo, run).await?;
        let found: dto::Artifacts =
            self.get(&identity, &format!("{path}/artifacts?per_page={PER_PAGE}")).await?;
        let more = usize::try_from(found.total_count).is_ok_and(|total| total > found.artifacts.len());
        if more {
            return Err(Trouble::refused(format!(
                "{path}: the run left {} artifacts, more than the {PER_PAGE} that are looked at",
                found.total_count
            )));
        }
        let left = found.artifacts.into_iter();
        Ok(left.map(|a| Left { id: a.id, name: a.name, size: a.size_in_bytes, expired: a.expired }).collect())
    }

    /// Writes the archive of an artifact to a new file.
    pub(super) async fn archive_to(&self, repo: &RepoId, artifact: &Left, to: &Path) -> Outcome<()> {
        if artifact.size > MAX_ARCHIVE_BYTES {
            return Err(Trouble::refused(format!(
                "the artifact {} has {} bytes, more than the {MAX_ARCHIVE_BYTES} that are fetched",
                artifact.name, artifact.size
            )));
        }
        let home = self.home(repo).await?;
        let target = format!("/repositories/{}/actions/artifacts/{}/zip", home.id, artifact.id);
        let identity = home.to(Work::Actions);
        self.stack.download(&identity, &target, (to, MAX_ARCHIVE_BYTES)).await
    }

    async fn actions(&self, repo: &RepoId, run: u64) -> Outcome<(Identity, String)> {
        let home = self.home(repo).await?;
        Ok((home.to(Work::Actions), format!("/repositories/{}/actions/runs/{run}", home.id)))
    }
}

impl dto::WorkflowRun {
    /// The run in our words; nothing when it is of no workflow of the repository's own.
    pub(super) fn run(self) -> Option<Run> {
        // `.github/workflows/build.yml@refs/heads/main` is how some events spell it.
        let path = self.path.split_once('@').map_or(self.path.as_str(), |(path, _)| path);
        let file = path.strip_prefix(FOLDER)?.to_owned();
        let own = self.head_repository.as_ref().is_some_and(|head| head.id == self.repository.id);
        let over = self.status == "completed";
        Some(Run {
            run: RunRef { id: self.id, attempt: self.run_attempt, file },
            commit: self.head_sha.parse().ok()?,
            branch: self.head_branch.and_then(|name| name.parse().ok()),
            event: self.event,
            conclusion: self.conclusion.filter(|_| over),
            own,
            by: self.triggering_actor.or(self.actor).as_ref().and_then(dto::User::person),
        })
    }
}
