//! Pushes that nobody told of to branches beside the default one, as far as a pipeline listens to them.

use std::collections::BTreeSet;

use crate::domain::glob::{Glob, selects};
use crate::domain::name::{CommitSha, Digest, RefName};
use crate::forge::Repository;
use crate::forge::fact::Reference;
use crate::git::repo::Mirror;
use crate::service::Service;
use crate::service::intake::{Heard, head_cursor};
use crate::trouble::Outcome;

/// Most new branches of one round that are taken as pushed: more are a history that somebody brought, not releases.
const NEW_HEADS: usize = 20;

impl Service {
    /// Takes heads that moved, or are new, since the last round. After the patterns have changed a round only notes
    /// where branches are that were not listened to before: what was there is not released.
    pub(super) async fn reread_branches(&self, repository: &Repository, heard: &Heard<'_>) -> Outcome<()> {
        let listened = self.listened(repository).await?;
        if listened.is_empty() {
            return Ok(());
        }
        self.fetch_all(repository).await?;
        let mut heads = self.mirror(&repository.id, Mirror::branches).await?;
        heads.retain(|(name, _)| {
            *name != repository.default_branch && listened.iter().any(|globs| selects(globs, name.as_str()))
        });
        let patterns: Vec<String> = listened.iter().flatten().map(ToString::to_string).collect();
        let (marker, patterns) =
            (format!("branches:{}", repository.id), Digest::of_text(&patterns.join("\n")).to_string());
        let known = self.store().cursor(&marker).await?.is_some_and(|known| known == patterns);
        let mut moved = Vec::new();
        for (name, head) in heads {
            let last = self.store().cursor(&head_cursor(repository, &name)).await?;
            if last.as_deref() != Some(head.as_str()) {
                moved.push((name, last.and_then(|last| last.parse().ok()), head));
            }
        }
        let new = moved.iter().filter(|(_, last, _)| last.is_none()).count();
        if known && new > NEW_HEADS {
            tracing::warn!(repo = %repository.id, branches = new, "too many new branches for each to be released");
        }
        for (name, last, head) in moved {
            let is_pushed = last.is_some() || (known && new <= NEW_HEADS);
            self.take_head(repository, (&name, last, &head), heard, is_pushed).await?;
        }
        self.store().set_cursor(&marker, &patterns).await
    }

    async fn take_head(
        &self,
        repository: &Repository,
        (name, last, head): (&RefName, Option<CommitSha>, &CommitSha),
        heard: &Heard<'_>,
        is_pushed: bool,
    ) -> Outcome<()> {
        if is_pushed {
            let reference = Reference::Branch(name.clone());
            let taken = self.take_missed_push(&repository.id, reference, (last, head.clone()), heard).await;
            if let Err(trouble) = taken {
                // The next round takes it up; the other branches do not wait for it.
                tracing::warn!(repo = %repository.id, branch = %name, error = trouble.chain(), "cannot take a head");
                return Ok(());
            }
        }
        self.store().set_cursor(&head_cursor(repository, name), head.as_str()).await
    }

    /// The patterns of each pipeline on the default branch that listens to others, too.
    async fn listened(&self, repository: &Repository) -> Outcome<BTreeSet<Vec<Glob>>> {
        let Some((_, declared)) = self.declared_at_head(repository).await? else {
            return Ok(BTreeSet::new());
        };
        let pushes = declared.pipelines.into_iter().filter_map(|pipeline| pipeline.triggers.push);
        let is_only =
            |globs: &[Glob]| globs.iter().all(|glob| glob.to_string() == repository.default_branch.as_str());
        Ok(pushes.map(|push| push.branches).filter(|globs| !is_only(globs)).collect())
    }
}
