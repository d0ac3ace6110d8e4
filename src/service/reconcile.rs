//! Finding what was missed: deliveries the host could not deliver, refs that moved unseen, leases of duty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::decide::{Command, Learned};
use crate::domain::name::{PipelineId, RefName, RepoId};
use crate::domain::release::{Release, TagState};
use crate::domain::time::{Span, Timestamp};
use crate::forge::fact::Reference;
use crate::git::repo::{Mirror, TagRef};
use crate::service::Service;
use crate::service::intake::{Heard, head_cursor};
use crate::service::tag::now_of;
use crate::trouble::{Kind, Outcome};

mod branches;

/// The host redelivers for three days; older ones cannot be had (STORAGE §4).
const LOOK_BACK: Span = Span::days(3);
/// Deliveries younger than this may still be on their way.
const SETTLED: Span = Span::minutes(1);
/// Most deliveries asked for again in one round.
const REDELIVERIES: usize = 100;
/// Most tags of one round that are taken as pushed: more are a history that somebody brought, not releases.
const NEW_TAGS: usize = 20;
/// The name of the duty: one process of many does it.
const DUTY: &str = "reconcile";
/// How much longer than a round's distance the duty is held: it outlasts a slow round, and is free soon after a crash.
const OUTLASTS: Span = Span::minutes(1);
/// How soon a process without the duty looks whether it is free.
const LOOK_AGAIN: Span = Span::seconds(30);

/// A tag that a release has.
struct ExpectedTag {
    pipeline: PipelineId,
    release: Arc<Release>,
    tag: RefName,
    /// What it was when it was last seen.
    stood: TagState,
}

impl Service {
    /// At the start and then every few minutes, on one process at a time.
    pub async fn reconcile(self, stop: CancellationToken) {
        let every = self.settings().reconcile_every;
        let mut is_first = true;
        loop {
            let wait = match self.on_duty().await {
                Ok(true) => {
                    if std::mem::take(&mut is_first)
                        && let Err(trouble) = self.revive(None).await
                    {
                        tracing::warn!(error = trouble.chain(), "cannot try again what failed too often");
                    }
                    self.reconcile_once().await;
                    every
                }
                Ok(false) => every.min(LOOK_AGAIN),
                Err(trouble) => {
                    tracing::warn!(error = trouble.chain(), "cannot take the duty to reconcile");
                    every.min(LOOK_AGAIN)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.as_std()) => {}
            }
        }
    }

    /// Takes the duty, or keeps it for a round more; false while it is another process's (STORAGE T8).
    async fn on_duty(&self) -> Outcome<bool> {
        let every = self.settings().reconcile_every;
        let held = Span::millis(every.as_millis().saturating_add(OUTLASTS.as_millis()));
        Ok(self.store().lead(DUTY, self.worker(), held).await?.is_some())
    }

    /// One round; what fails is tried in the next. A round that took so long that another process has the duty ends.
    pub async fn reconcile_once(&self) {
        let hosts: Vec<&'static str> = self.hosts().map(|(word, _)| word).collect();
        for word in hosts {
            if let Err(trouble) = self.redeliver(word).await {
                tracing::warn!(host = word, error = trouble.chain(), "cannot look for missed deliveries");
            }
        }
        for (word, host) in self.hosts() {
            // Asked every time: a host that was down at the start, or got a new repository, is seen.
            match host.configured().await {
                Ok(found) => self.reread_all(found).await,
                Err(trouble) => {
                    tracing::warn!(host = word, error = trouble.chain(), "cannot list the repositories");
                }
            }
        }
        if !self.on_duty().await.unwrap_or(false) {
            return;
        }
        if let Err(trouble) = self.daily().await {
            tracing::warn!(error = trouble.chain(), "cannot delete what need not be kept");
        }
        if let Err(trouble) = self.store().write_checkpoint(clock::now()).await {
            tracing::warn!(error = trouble.chain(), "cannot write a checkpoint of the logs");
        }
    }

    /// Deliveries that the host sent and nobody here has stored, whatever somebody in between answered.
    async fn redeliver(&self, word: &str) -> Outcome<()> {
        let Some((_, host)) = self.hosts().find(|(w, _)| *w == word) else { return Ok(()) };
        let now = clock::now();
        let since = Timestamp(now.0.saturating_sub_unsigned(LOOK_BACK.as_millis()));
        let sent = host.deliveries_since(since).await?;
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for missed in sent.into_iter().filter(|m| now.since(m.at) > SETTLED) {
            newest.entry(missed.guid).or_insert(missed.id);
        }
        let guids: Vec<String> = newest.keys().cloned().collect();
        let known = self.store().known_guids(word, &guids).await?;
        newest.retain(|guid, _| !known.contains(guid));
        // The newest first: what the host has no more is the oldest, and must not keep the others waiting.
        let mut missed: Vec<(u64, String)> = newest.into_iter().map(|(guid, id)| (id, guid)).collect();
        missed.sort_unstable_by(|one, other| other.cmp(one));
        for (id, guid) in missed.into_iter().take(REDELIVERIES) {
            match host.redeliver(id).await {
                Ok(()) => tracing::warn!(host = word, delivery.id = guid, "missed; asked for it again"),
                Err(trouble) if matches!(trouble.kind(), Kind::Transient { .. }) => return Err(trouble),
                Err(trouble) => {
                    let error = trouble.chain();
                    tracing::warn!(
                        host = word,
                        delivery.id = guid,
                        error,
                        "missed, and the host does not send it again"
                    );
                }
            }
        }
        Ok(())
    }

    async fn reread_all(&self, repositories: Vec<RepoId>) {
        for repo in repositories {
            if !self.on_duty().await.unwrap_or(false) {
                return;
            }
            if let Err(trouble) = self.reread(&repo).await {
                tracing::warn!(%repo, error = trouble.chain(), "cannot read the repository again");
            }
        }
    }

    /// Branch heads and tags as they are now: what no webhook told is taken as if one had (STORAGE §5, row 5).
    async fn reread(&self, repo: &RepoId) -> Outcome<()> {
        let Some(repository) = self.configured(repo).await? else { return Ok(()) };
        // What must be there is read before what is there: a tag that is made in between is not missed.
        let expected = self.expected_tags(repo).await?;
        self.fetch(&repository, None, None).await?;
        let heard = Heard { cause: "reconcile", actor: "engine".to_owned() };
        let branch = repository.default_branch.clone();
        let tip = branch.clone();
        let head = self.mirror(repo, move |mirror| mirror.head_of(&tip)).await?;
        let seen = head_cursor(&repository, &branch);
        let last = self.store().cursor(&seen).await?;
        if let Some(head) = head.filter(|h| last.as_deref() != Some(h.as_str())) {
            // The very first look only notes where the branch is: history is not released over night.
            if last.is_some() {
                let before = last.as_deref().and_then(|l| l.parse().ok());
                let reference = Reference::Branch(branch);
                self.take_missed_push(repo, reference, (before, head.clone()), &heard).await?;
            } else {
                self.see_policy(&repository, &heard).await?;
            }
            self.store().set_cursor(&seen, head.as_str()).await?;
        }
        self.reread_branches(&repository, &heard).await?;
        let tags = self.mirror(repo, Mirror::tags).await?;
        self.reread_tags(expected, &tags, &heard).await?;
        self.find_tags(repo, &tags, &heard).await?;
        for state in self.pipelines_of(repo).await? {
            self.see_server_policy(&state.id, &heard).await?;
            self.see_listeners(&state.id, &heard).await?;
            self.watch_sources(&state, &heard, |_| true).await?;
            self.tell_pipeline(&state.id, &Command::Tick, &heard).await?;
        }
        Ok(())
    }

    /// Tags that were made for releases, and where they stood.
    async fn expected_tags(&self, repo: &RepoId) -> Outcome<Vec<ExpectedTag>> {
        let mut expected = Vec::new();
        for state in self.pipelines_of(repo).await? {
            for release in state.releases.values() {
                for (name, known) in release.tags() {
                    let Ok(tag) = name.to_string().parse() else { continue };
                    let (pipeline, release, stood) = (state.id.clone(), Arc::clone(release), known.clone());
                    expected.push(ExpectedTag { pipeline, release, tag, stood });
                }
            }
        }
        Ok(expected)
    }

    /// Each tag must still be where it was (THREATS T35); one that went and is back is back.
    async fn reread_tags(
        &self,
        expected: Vec<ExpectedTag>,
        tags: &[TagRef],
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let there: BTreeMap<&RefName, &TagRef> = tags.iter().map(|tag| (&tag.name, tag)).collect();
        for ExpectedTag { pipeline, release, tag, stood } in expected {
            let found = there.get(&tag).copied();
            let now = now_of(tag, found);
            if release.seen_as(&now) == stood {
                continue;
            }
            let learned = Learned::Tag { release: release.no(), now };
            self.tell_pipeline(&pipeline, &Command::Learn(learned), heard).await?;
        }
        Ok(())
    }

    /// Tags that are new since the last round are taken as if a webhook had told of them: of more than three that are
    /// pushed at once GitHub tells nobody. A tag that was told of, and our own, has its release already.
    async fn find_tags(&self, repo: &RepoId, tags: &[TagRef], heard: &Heard<'_>) -> Outcome<()> {
        let seen = format!("tags:{repo}");
        let mut names: BTreeSet<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        let last = self.store().cursor(&seen).await?;
        if last.as_ref().is_some_and(|last| last.lines().collect::<BTreeSet<_>>() == names) {
            return Ok(());
        }
        // The very first look only notes which there are.
        if let Some(last) = last {
            let last: BTreeSet<&str> = last.lines().collect();
            let new: Vec<&TagRef> = tags.iter().filter(|tag| !last.contains(tag.name.as_str())).collect();
            let few = new.len() <= NEW_TAGS;
            if !few {
                tracing::warn!(%repo, tags = new.len(), "too many tags came at once for each to make a release");
            }
            let states = self.pipelines_of(repo).await?;
            let has_release = |tag: &TagRef| {
                let mut releases = states.iter().flat_map(|state| state.releases.values());
                releases.any(|release| release.created.version.to_string() == tag.name.as_str())
            };
            for tag in new.into_iter().filter(|tag| few && !has_release(tag)) {
                let reference = Reference::Tag(tag.name.clone());
                let taken = self.take_missed_push(repo, reference, (None, tag.commit.clone()), heard).await;
                if let Err(trouble) = taken {
                    // The next round takes it up; the other tags and the rest of this one do not wait for it.
                    tracing::warn!(%repo, tag = %tag.name, error = trouble.chain(), "cannot take a tag");
                    names.remove(tag.name.as_str());
                }
            }
        }
        let names: Vec<&str> = names.into_iter().collect();
        self.store().set_cursor(&seen, &names.join("\n")).await
    }
}
