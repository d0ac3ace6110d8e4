//! The tags of releases: signed by the server where their manifest says so.

use crate::domain::decide::{Command, Learned};
use crate::domain::name::{CommitSha, PipelineId, RefName, ReleaseNo, RepoId};
use crate::domain::publication::tag::became;
use crate::domain::release::Release;
use crate::domain::tag::{SignTags, Signed, Tag, TagNow, signed_part};
use crate::git::repo::{Mirror, TagRef};
use crate::service::journal::Around;
use crate::service::{Service, blocking};
use crate::sign::{FOLDER, Keys, Public, ssh};
use crate::trouble::{Kind, Outcome, Trouble};

/// What is wrong with a tag that the manifest wants signed and this server did not sign.
const UNSIGNED: &str = "a tag without this server's signature";

/// A tag as the mirror has it.
pub(super) fn now_of(tag: RefName, there: Option<&TagRef>) -> TagNow {
    TagNow {
        tag,
        commit: there.map(|there| there.commit.clone()),
        object: there.map(|there| there.object.clone()),
    }
}

/// The keys that tags of a release are signed with; none where its manifest asks for none.
#[derive(Debug, Clone)]
pub(super) struct Signers(Vec<Public>);

impl Signers {
    /// What is wrong with a tag of the mirror: it is to be signed by this server, and is not.
    pub(super) fn miss(&self, mirror: &Mirror, tag: &RefName) -> Outcome<Option<&'static str>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let object = mirror.tag_object(tag)?;
        let parts = object.as_deref().and_then(signed_part);
        let is_ours =
            parts.is_some_and(|(text, signature)| ssh::verify_tag(signature, text, &self.0).is_ok());
        Ok((!is_ours).then_some(UNSIGNED))
    }
}

impl Service {
    /// With what the tags of a release are checked that this server makes.
    pub(super) async fn signers(&self, release: &Release) -> Outcome<Signers> {
        match release.rules.release.sign_tags {
            SignTags::Never => Ok(Signers(Vec::new())),
            SignTags::Ssh => {
                let (folder, at) = (self.settings().data.join(FOLDER), self.store().here());
                blocking(move || Keys::of_folder(&folder, at)?.public().map(Signers)).await
            }
        }
    }

    /// With what a tag in the release's own repository is checked: the one that somebody pushed to have it is theirs.
    pub(super) async fn own_signers(&self, release: &Release, tag: &RefName) -> Outcome<Signers> {
        if release.created.started_by.tag() == Some(tag) {
            return Ok(Signers(Vec::new()));
        }
        self.signers(release).await
    }

    /// Makes sure that a tag which is in the release's own repository is signed as it is to be, whoever put it there.
    pub(super) async fn is_signed(&self, release: &Release, tag: &RefName, repo: &RepoId) -> Outcome<()> {
        let signers = self.own_signers(release, tag).await?;
        if signers.0.is_empty() {
            return Ok(());
        }
        let repository = self.host(repo)?.repository(repo).await?;
        self.fetch(&repository, None, None).await?;
        let name = tag.clone();
        let missed = match self.mirror(repo, move |mirror| signers.miss(mirror, &name)).await {
            // The host has it and does not list it yet.
            Err(trouble) if trouble.kind() == Kind::NotFound => {
                return Err(Trouble::transient(format!("the host does not list the tag {tag} yet")));
            }
            missed => missed?,
        };
        missed.map_or(Ok(()), |what| {
            Err(Trouble::refused(format!("tag {tag} is there already as {what}; release a new version")))
        })
    }

    /// Asks the host once more where a release stands, and tells its log of its tags (THREATS T35, T37); the error is why
    /// nothing of it is to be published any more.
    pub(super) async fn still_stands(
        &self,
        id: &PipelineId,
        no: ReleaseNo,
        around: Around,
    ) -> Outcome<Result<(), String>> {
        let state = self.journal().load(id).await?;
        let Some(release) = state.release(no) else { return Ok(Err("there is no such release".to_owned())) };
        let (now, off_branch) = self.stands(&id.repo, release).await?;
        let commit = &release.created.commit;
        for tag in now {
            let (name, seen) = (tag.tag.clone(), release.seen_as(&tag));
            let learned = Command::Learn(Learned::Tag { release: no, now: tag });
            // A log that does not take it is no reason to publish.
            drop(self.journal().report(id, &learned, around.clone()).await?);
            if let Some(what) = became(&seen, commit) {
                return Ok(Err(format!("tag {name} {what}")));
            }
        }
        let gone = || format!("its commit {} is no longer on {}", commit.short(), release.created.branch);
        Ok(if off_branch { Err(gone()) } else { Ok(()) })
    }

    /// What the host has right now of a release's tags, and whether the branch has lost its commit.
    pub(super) async fn stands(&self, repo: &RepoId, release: &Release) -> Outcome<(Vec<TagNow>, bool)> {
        let repository = self.host(repo)?.repository(repo).await?;
        let branch = self.branch_now(&repository, &release.created.branch).await?;
        let wanted: Vec<RefName> =
            release.tags().filter_map(|(name, _)| name.to_string().parse().ok()).collect();
        let commit = release.created.commit.clone();
        self.mirror(repo, move |mirror| {
            let there = if wanted.is_empty() { Vec::new() } else { mirror.tags()? };
            let now = |tag: RefName| {
                let found = there.iter().find(|t| t.name == tag);
                now_of(tag, found)
            };
            let now: Vec<TagNow> = wanted.into_iter().map(now).collect();
            Ok((now, !mirror.leads_to(&branch, &commit)?))
        })
        .await
    }

    /// A tag for this release as it is to be made.
    pub(super) async fn tag_of(
        &self,
        release: &Release,
        (name, commit): (&RefName, &CommitSha),
        message: &str,
    ) -> Outcome<Tag> {
        let tag =
            Tag { name: name.clone(), commit: commit.clone(), message: message.to_owned(), signed: None };
        match release.rules.release.sign_tags {
            SignTags::Never => Ok(tag),
            SignTags::Ssh => {
                let (folder, at) = (self.settings().data.join(FOLDER), self.store().here());
                blocking(move || {
                    let signature = Keys::of_folder(&folder, at)?.sign_tag(tag.payload(at).as_bytes())?;
                    Ok(Tag { signed: Some(Signed { at, signature }), ..tag })
                })
                .await
            }
        }
    }
}
