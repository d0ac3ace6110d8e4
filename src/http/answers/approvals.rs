//! What waits for people, read from the states of the pipelines, and what one of them can still decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::inbox::{Wait, waits};
use crate::domain::name::{Login, PipelineId, RepoId};
use crate::domain::person::Standing;
use crate::domain::state::State;
use crate::http::answers::{Answers, named};
use crate::http::approvals::AskedLine;
use crate::trouble::Outcome;

/// The pipelines of a repository in which something waits, each with all of that.
type Waiting = Vec<(Arc<State>, Vec<Wait>)>;

impl Answers {
    /// What has waited longest comes first. Who somebody is, and may, is asked of the host now, once a repository.
    pub(super) async fn asked_of(&self, person: Option<&Login>) -> Outcome<Vec<AskedLine>> {
        let (store, now) = (self.service.store(), self.service.store().here());
        let mut repos: BTreeMap<RepoId, Waiting> = BTreeMap::new();
        for row in store.pipelines().await? {
            let id: PipelineId = named(&row.stream)?;
            let state = self.service.journal().load(&id).await?;
            let waits = waits(&state, None, now);
            if !waits.is_empty() {
                repos.entry(id.repo).or_default().push((state, waits));
            }
        }
        let mut lines: Vec<AskedLine> = Vec::new();
        for (repo, waiting) in repos {
            let standing = match person {
                None => None,
                Some(login) => match self.standing(&repo, login, &waiting).await? {
                    // Nobody of that name is known there.
                    None => continue,
                    found => found,
                },
            };
            for (state, all) in waiting {
                let stream = state.id.to_string();
                let theirs = standing.as_ref().map(|standing| waits(&state, Some(standing), now));
                lines.extend(theirs.unwrap_or(all).into_iter().map(|wait| AskedLine::of(&stream, wait)));
            }
        }
        lines.sort_by_key(|line| line.since);
        Ok(lines)
    }

    async fn standing(&self, repo: &RepoId, login: &Login, waiting: &Waiting) -> Outcome<Option<Standing>> {
        let host = self.service.host(repo)?;
        let Some(person) = host.person_called(repo, login).await? else { return Ok(None) };
        let teams = waiting.iter().flat_map(|(state, _)| state.teams()).collect();
        host.standing(repo, &person, &teams).await.map(Some)
    }
}
