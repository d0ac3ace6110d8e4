//! What waits for people, read from the states of the pipelines, and what one of them can still decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::inbox::waits;
use crate::domain::name::{Login, PipelineId, RepoId};
use crate::domain::person::Standing;
use crate::domain::state::State;
use crate::http::answers::{Answers, named};
use crate::http::approvals::AskedLine;
use crate::trouble::Outcome;

impl Answers {
    /// What has waited longest comes first. Who somebody is, and may, is asked of the host now, once a repository.
    pub(super) async fn asked_of(&self, person: Option<&Login>) -> Outcome<Vec<AskedLine>> {
        let (store, now) = (self.service.store(), self.service.store().here());
        let mut repos: BTreeMap<RepoId, Vec<Arc<State>>> = BTreeMap::new();
        for row in store.pipelines().await? {
            let id: PipelineId = named(&row.stream)?;
            let state = self.service.journal().load(&id).await?;
            if !waits(&state, None, now).is_empty() {
                repos.entry(id.repo).or_default().push(state);
            }
        }
        let mut lines: Vec<AskedLine> = Vec::new();
        for (repo, states) in repos {
            let standing = match person {
                None => None,
                Some(login) => match self.standing(&repo, login, &states).await? {
                    // Nobody of that name is known there.
                    None => continue,
                    found => found,
                },
            };
            for state in states {
                let stream = state.id.to_string();
                let found = waits(&state, standing.as_ref(), now);
                lines.extend(found.into_iter().map(|wait| AskedLine::of(&stream, wait)));
            }
        }
        lines.sort_by_key(|line| line.since);
        Ok(lines)
    }

    async fn standing(
        &self,
        repo: &RepoId,
        login: &Login,
        states: &[Arc<State>],
    ) -> Outcome<Option<Standing>> {
        let host = self.service.host(repo)?;
        let Some(person) = host.person_called(repo, login).await? else { return Ok(None) };
        let teams = states.iter().flat_map(|state| state.teams()).collect();
        host.standing(repo, &person, &teams).await.map(Some)
    }
}
