//! Sending probes out: addresses through the guarded client, statuses, check runs and issues through the host.

use crate::domain::name::{CommitSha, RepoId};
use crate::domain::probe::{
    Answer, Awaited, ChecksProbe, Patience, Probe, Reading, StatusProbe, issues_reading,
};
use crate::probe;
use crate::service::Service;
use crate::trouble::Outcome;

/// What a probe is about: a commit of a repository.
type About<'a> = (&'a RepoId, &'a CommitSha);

impl Service {
    /// What came of a probe about a commit; what could not be asked is a reading, too. The texts of the probe have
    /// their macros' values in them already, and no secret leaves in the reading.
    pub async fn probe(&self, repo: &RepoId, commit: &CommitSha, probe: &Probe) -> Reading {
        let reach = &self.settings().probe;
        let about = (repo, commit);
        let reading = match probe {
            Probe::Http(probe) => Ok(probe::http(probe, reach).await),
            Probe::Metric { server, query, pass } => Ok(probe::metric(server, query, pass, reach).await),
            Probe::Status(probe) => self.probe_status(about, probe, Patience::None).await,
            Probe::Checks(probe) => self.probe_checks(about, probe, Patience::None).await,
            Probe::WaitFor(Awaited::Status(probe)) => self.probe_status(about, probe, Patience::Waits).await,
            Probe::WaitFor(Awaited::Checks(probe)) => self.probe_checks(about, probe, Patience::Waits).await,
            Probe::Issues { query, max } => self.probe_issues(repo, query, *max).await,
        };
        let reading = reading.unwrap_or_else(|trouble| Reading::new(Answer::Error, trouble.chain()));
        Reading { detail: self.mask().apply(&reading.detail), ..reading }
    }

    async fn probe_status(
        &self,
        (repo, commit): About<'_>,
        probe: &StatusProbe,
        patience: Patience,
    ) -> Outcome<Reading> {
        let statuses = self.host(repo)?.statuses(repo, commit).await?;
        Ok(probe.read(&statuses, patience, commit))
    }

    async fn probe_checks(
        &self,
        (repo, commit): About<'_>,
        probe: &ChecksProbe,
        patience: Patience,
    ) -> Outcome<Reading> {
        let runs = self.host(repo)?.check_runs(repo, commit, &probe.name).await?;
        Ok(probe.read(&runs, patience, commit))
    }

    async fn probe_issues(&self, repo: &RepoId, query: &str, max: u32) -> Outcome<Reading> {
        let count = self.host(repo)?.count_issues(repo, query).await?;
        Ok(issues_reading(count, max))
    }
}
