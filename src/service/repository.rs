//! Reading repositories: keep the mirror fresh, load what a commit declares, gather what a release begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::domain::decide::Start;
use crate::domain::event::{Change, StartedBy, Unlisted};
use crate::domain::manifest::elsewhere::Others;
use crate::domain::manifest::{self, Loaded, Problems, Sources};
use crate::domain::name::{CommitSha, Digest, Login, PipelineName, RefName, RepoId, RepoName, TreeSha};
use crate::domain::notes::Message;
use crate::domain::pipeline::Pipeline;
use crate::domain::state::State;
use crate::domain::time::Span;
use crate::domain::version::Version;
use crate::forge::{Repository, Source};
use crate::git::fetch::{Branches, Credential, Remote, Wanted};
use crate::git::repo::{CommitInfo, Mirror, Order};
use crate::git::tree::Changed;
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

/// Longest a fetch may take; a first fetch of a large repository takes minutes.
const FETCH_WITHIN: Span = Span::minutes(15);
/// Largest manifest or buildspec; the parser has its own, smaller bound.
pub(super) const MANIFEST_BYTES: u64 = 1024 * 1024;
/// Most files looked through for manifests.
const FILES: usize = 500_000;
/// Most services of a repository; one more than the manifest takes, so that it says so.
const SERVICES: usize = 101;
/// Most commits a release is described by.
const COMMITS: usize = 200;
/// Most commits of the very first release, which has no release before it.
const FIRST_COMMITS: usize = 20;
/// Most commits looked through for their authors: what a large project makes in some years.
const LOOKED_THROUGH: usize = 20_000;
/// Most addresses of authors that the host is asked about beyond what is listed: each is a question to it.
const ASKED_AUTHORS: usize = 300;
/// Most paths compared with path filters; beyond that every path counts as changed.
const PATHS: usize = 20_000;

/// What a commit declares, or what is wrong with it.
pub type Declared = Result<Loaded, Problems>;

impl Service {
    fn mirror_path(&self, repo: &RepoId) -> PathBuf {
        self.settings().data.join("mirrors").join(format!("{}.git", repo.as_str().replace(':', "-")))
    }

    /// Runs queries on the repository's mirror.
    pub async fn mirror<T: Send + 'static>(
        &self,
        repo: &RepoId,
        query: impl FnOnce(&Mirror) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let path = self.mirror_path(repo);
        let asked = blocking(move || {
            let mirror = Mirror::open_or_init(&path)?;
            // A query that fails may have met what a power cut left of the mirror.
            Ok(query(&mirror).map_err(|trouble| (trouble, mirror.has_lost_files())))
        });
        match asked.await? {
            Ok(answer) => Ok(answer),
            Err((trouble, false)) => Err(trouble),
            Err((trouble, true)) => {
                self.replace_mirror(repo).await?;
                let what = "the mirror had lost files and was fetched anew; this is to be tried again";
                Err(Trouble::transient(what).because(trouble))
            }
        }
    }

    async fn replace_mirror(&self, repo: &RepoId) -> Outcome<()> {
        let path = self.mirror_path(repo);
        tracing::warn!(path = %path.display(), "a mirror that has lost files is fetched anew");
        let source = self.host(repo)?.source(repo).await?;
        blocking(move || Mirror::open(&path)?.replace(&remote(source)?, FETCH_WITHIN)).await
    }

    /// Brings the mirror to where the host is: the default branch, these branches, all tags, and this commit.
    pub async fn fetch(
        &self,
        repository: &Repository,
        branch: Option<&RefName>,
        commit: Option<&CommitSha>,
    ) -> Outcome<()> {
        let source = self.host(&repository.id)?.source(&repository.id).await?;
        let mut branches = vec![repository.default_branch.clone()];
        branches.extend(branch.filter(|b| **b != repository.default_branch).cloned());
        let commit = commit.cloned();
        self.mirror(&repository.id, move |mirror| {
            let remote = remote(source)?;
            let branches = Branches::Named(&branches);
            mirror.fetch(&remote, Wanted { branches, commit: commit.as_ref() }, FETCH_WITHIN)
        })
        .await
    }

    /// Brings every branch of the mirror to where the host has it.
    pub(super) async fn fetch_all(&self, repository: &Repository) -> Outcome<()> {
        let source = self.host(&repository.id)?.source(&repository.id).await?;
        self.mirror(&repository.id, move |mirror| {
            let all = Wanted { branches: Branches::All, commit: None };
            mirror.fetch(&remote(source)?, all, FETCH_WITHIN)
        })
        .await
    }

    /// What a commit declares, with the files of other repositories that it names. One of these that cannot be had is
    /// an error of the manifest, and a host that does not answer one of ours.
    pub async fn declared(&self, repo: &RepoId, name: &RepoName, commit: &CommitSha) -> Outcome<Declared> {
        let (mut listed, mut files) = self.listed(repo, commit).await?;
        let mut refused = BTreeMap::new();
        for _ in 0..manifest::READS {
            let mut wanted = manifest::needed_elsewhere(&files);
            wanted.retain(|file| !refused.contains_key(&file.to_string()));
            if wanted.is_empty() {
                break;
            }
            for file in wanted {
                match self.read_elsewhere((repo, name), &file).await? {
                    Ok(text) => drop(files.insert(file.to_string(), text)),
                    Err(why) => drop(refused.insert(file.to_string(), why)),
                }
            }
            files = self.completed(repo, commit, files).await?;
        }
        let folders = manifest::service_folders(&files);
        listed.retain(|path| manifest::is_service(path, &folders));
        listed.truncate(SERVICES);
        if !listed.is_empty() {
            let at = commit.clone();
            let read = move |mirror: &Mirror| {
                for path in listed {
                    add(mirror, &at, path, &mut files)?;
                }
                Ok(files)
            };
            files = self.mirror(repo, read).await?;
        }
        let loaded = manifest::load_with(&files, Others::Asked(&refused), name);
        Ok(loaded
            .and_then(|loaded| loaded.among(|pipeline, upstream| self.declares(name, (pipeline, upstream)))))
    }

    /// The paths of a commit, and its manifests with what they need of it besides.
    async fn listed(&self, repo: &RepoId, commit: &CommitSha) -> Outcome<(Vec<String>, Sources)> {
        let commit = commit.clone();
        self.mirror(repo, move |mirror| {
            let mut files = Sources::new();
            let listed = mirror.list_files(&commit, FILES)?;
            for path in listed.iter().filter(|p| manifest::is_manifest(p)) {
                add(mirror, &commit, path.clone(), &mut files)?;
            }
            complete(mirror, &commit, &mut files)?;
            Ok((listed, files))
        })
        .await
    }

    async fn completed(&self, repo: &RepoId, commit: &CommitSha, mut files: Sources) -> Outcome<Sources> {
        let commit = commit.clone();
        self.mirror(repo, move |mirror| complete(mirror, &commit, &mut files).map(|()| files)).await
    }

    /// Whether the commits of a push touch what the pipeline listens to (CHECKLIST B07).
    pub async fn touches(
        &self,
        repo: &RepoId,
        (before, after): (Option<CommitSha>, &CommitSha),
        paths: &[crate::domain::glob::Glob],
    ) -> Outcome<bool> {
        if paths.is_empty() {
            return Ok(true);
        }
        let (after, paths) = (after.clone(), paths.to_vec());
        self.mirror(repo, move |mirror| {
            let before = before.filter(|b| mirror.exists(b));
            Ok(match mirror.changed_paths(before.as_ref(), &after, PATHS)? {
                Changed::TooMany => true,
                Changed::Paths(changed) => changed.iter().any(|p| crate::domain::glob::selects(&paths, p)),
            })
        })
        .await
    }

    /// What a release of this commit begins with.
    pub async fn gather(
        &self,
        (repository, state): (&Repository, &State),
        (commit, branch): (&CommitSha, &RefName),
        (pipeline, loaded): (&Pipeline, &Loaded),
    ) -> Outcome<Start> {
        let repo = state.id.repo.clone();
        let known: Vec<_> = state
            .in_order()
            .into_iter()
            .rev()
            .map(|r| Known {
                no: r.no(),
                seq: r.created.seq,
                commit: r.created.commit.clone(),
                here: r.created.branch == *branch,
            })
            .take(COMMITS)
            .collect();
        let known_here = self.pipelines_of(&repo).await?;
        let mut outside = self.tags_from_outside(repository).await?;
        // One that a release of this repository has, too, is its own.
        for own in known_here.iter().flat_map(|state| state.releases.values()) {
            outside.remove(&(own.created.version.to_string(), own.created.commit.to_string()));
        }
        let head = commit.clone();
        let build = pipeline.build.clone();
        let (found, mut files) = self
            .mirror(&repo, move |mirror| {
                let there = mirror.list_files(&head, FILES)?.into_iter().collect();
                Ok((look(mirror, &head, &known, &outside)?, build.files(&there)))
            })
            .await?;
        files.extend(loaded.paths.iter().cloned());
        // A version names one commit of the repository, whichever pipeline released it.
        let mut taken = found.taken;
        for other in known_here.iter().filter(|other| other.id != state.id) {
            let elsewhere = other.releases.values().filter(|r| r.created.commit != *commit);
            taken.extend(elsewhere.map(|r| r.created.version.clone()));
        }
        let (changes, unlisted) = self.authored(&repo, found.commits, found.unlisted).await?;
        Ok(Start {
            commit: commit.clone(),
            tree: Some(found.tree),
            branch: branch.clone(),
            started_by: StartedBy::Push,
            seq: found.seq,
            initiator: None,
            pusher: None,
            unheard: false,
            changes,
            unlisted,
            messages: found.messages,
            taken,
            taken_by_others: found.taken_by_others,
            pipeline: Box::new(pipeline.clone()),
            manifest: Digest::of_text(&loaded.text),
            epoch_s: found.epoch_s,
            included_in: found.included_in,
            project: String::new(),
            files: files.into_iter().collect(),
            groups: self.take_groups(&state.id, pipeline).await?,
            fetched: Vec::new(),
        })
    }
}

impl Service {
    /// The commits of a release with their authors' accounts: each address is asked of the host once.
    async fn authored(
        &self,
        repo: &RepoId,
        commits: Vec<(CommitSha, Message, String)>,
        (count, others): (usize, BTreeMap<String, CommitSha>),
    ) -> Outcome<(Vec<Change>, Unlisted)> {
        let host = self.host(repo)?;
        let mut known: BTreeMap<String, Option<Login>> = BTreeMap::new();
        let mut changes = Vec::with_capacity(commits.len());
        for (sha, message, email) in commits {
            let author = match known.get(&email) {
                Some(author) => author.clone(),
                None => host.author(repo, &sha, &email).await?,
            };
            known.insert(email.clone(), author.clone());
            let Message { title: subject, breaking, reverts } = message;
            changes.push(Change { commit: sha, subject, author_email: email, author, breaking, reverts });
        }
        let left_out = count >= LOOKED_THROUGH || others.len() > ASKED_AUTHORS;
        let commits = u32::try_from(count).unwrap_or(u32::MAX);
        let mut unlisted = Unlisted { commits, authors_left_out: left_out, ..Unlisted::default() };
        for (email, sha) in others.into_iter().take(ASKED_AUTHORS) {
            let author = match known.get(&email) {
                Some(author) => author.clone(),
                None => host.author(repo, &sha, &email).await?,
            };
            unlisted.wrote(author.as_ref(), &email);
        }
        Ok((changes, unlisted))
    }
}

/// The pipeline of this name.
pub fn named<'a>(loaded: &'a Loaded, name: &PipelineName) -> Option<&'a Pipeline> {
    loaded.pipelines.iter().find(|p| p.name == *name)
}

/// Adds what the files need of their own commit.
fn complete(mirror: &Mirror, commit: &CommitSha, files: &mut Sources) -> Outcome<()> {
    for _ in 0..manifest::READS {
        for path in manifest::also_needed(files) {
            add(mirror, commit, path, files)?;
        }
    }
    Ok(())
}

fn add(mirror: &Mirror, commit: &CommitSha, path: String, files: &mut Sources) -> Outcome<()> {
    if let Some(bytes) = mirror.read_file(commit, &path, MANIFEST_BYTES)? {
        files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(())
}

pub(super) fn remote(source: Source) -> Outcome<Remote> {
    match source {
        Source::Local(path) => Remote::local(&path),
        Source::Https { url, credential } => {
            let remote =
                if url.starts_with("http://") { Remote::loopback(&url)? } else { Remote::hosted(&url)? };
            match credential {
                None => Ok(remote),
                Some((user, token)) => Ok(remote.with_credential(Credential::basic(user, token.expose())?)),
            }
        }
    }
}

/// What git knows about a commit that becomes a release.
struct Found {
    seq: u64,
    commits: Vec<(CommitSha, Message, String)>,
    /// How many there are beyond these, and one of each author's, by address.
    unlisted: (usize, BTreeMap<String, CommitSha>),
    messages: Vec<String>,
    taken: Vec<Version>,
    taken_by_others: Vec<Version>,
    epoch_s: i64,
    tree: TreeSha,
    included_in: Option<crate::domain::name::ReleaseNo>,
}

/// A release that there is already.
struct Known {
    no: crate::domain::name::ReleaseNo,
    seq: u64,
    commit: CommitSha,
    /// Whether it is of the same branch.
    here: bool,
}

fn look(
    mirror: &Mirror,
    head: &CommitSha,
    known: &[Known],
    outside: &BTreeSet<(String, String)>,
) -> Outcome<Found> {
    let info = mirror.commit_info(head)?;
    let seq = mirror.first_parent_position(head)?;
    let mut base = None;
    let mut included_in = None;
    for other in known.iter().filter(|other| mirror.exists(&other.commit)) {
        // Places on the lines of different branches say nothing about one another.
        let newer = other.here && other.seq > seq;
        match mirror.order(head, &other.commit)? {
            Order::Before if included_in.is_none() && newer => included_in = Some(other.no),
            Order::After if base.is_none() => base = Some(other.commit.clone()),
            Order::Before | Order::After | Order::Same | Order::Apart => {}
        }
        if base.is_some() {
            break;
        }
    }
    let max = if base.is_some() { COMMITS } else { FIRST_COMMITS };
    let mut commits = mirror.commits_between(base.as_ref(), head, max.saturating_add(LOOKED_THROUGH))?;
    let others = commits.split_off(commits.len().min(max));
    let unlisted = (others.len(), others.into_iter().map(|other| (other.author_email, other.sha)).collect());
    let tags = mirror.tags()?;
    let versions = tags.into_iter().filter_map(|t| Some((t.name.as_str().parse().ok()?, t.commit)));
    let of_others = |(version, commit): &(Version, CommitSha)| {
        outside.contains(&(version.to_string(), commit.to_string()))
    };
    let (others, versions): (Vec<_>, Vec<_>) = versions.partition(of_others);
    let last =
        versions.iter().filter(|(v, _)| v.is_final()).max_by(|a, b| a.0.cmp(&b.0)).map(|(_, c)| c.clone());
    let since = mirror.commits_between(last.as_ref(), head, COMMITS)?;
    let messages = since.iter().map(|c| mirror.full_commit_message(&c.sha)).collect::<Outcome<_>>()?;
    let said = |commit: CommitInfo| {
        let message = Message::of(&mirror.full_commit_message(&commit.sha)?);
        Ok((commit.sha, message, commit.author_email))
    };
    Ok(Found {
        seq,
        commits: commits.into_iter().map(said).collect::<Outcome<_>>()?,
        unlisted,
        messages,
        taken: versions.into_iter().map(|(v, _)| v).collect(),
        taken_by_others: others.into_iter().map(|(v, _)| v).collect(),
        epoch_s: info.committed_at.0.div_euclid(1_000),
        tree: mirror.tree_sha(head)?,
        included_in,
    })
}
