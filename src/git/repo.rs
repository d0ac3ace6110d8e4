//! A bare mirror and questions about its refs and history.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository, RepositoryInitOptions, Sort};

use crate::clock;
use crate::domain::name::{CommitSha, ObjectId, RefName, TreeSha};
use crate::domain::time::Timestamp;
use crate::folder;
use crate::trouble::{Kind, Outcome, Trouble};

/// Longest wait for another writer of this program; then the work is tried again later.
const LOCK_WITHIN: Duration = Duration::from_secs(30);
/// How often the lock is tried for.
const LOCK_EVERY: Duration = Duration::from_millis(10);
/// Without these a folder is no repository.
const FIRST_FILES: [&str; 2] = ["HEAD", "config"];
/// Digits of a loose object's name, after the two that are its folder's.
const OBJECT_NAME: usize = 38;
/// Largest object of a tag that is read: ours are notes of one release.
const TAG_BYTES: usize = 1024 * 1024;

/// A bare repository on this machine; one handle per thread, opening one costs 0.1 ms.
pub struct Mirror {
    pub(super) path: PathBuf,
    pub(super) repo: Repository,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A tag as it is now; when a later look shows another object or commit, the tag was moved (THREATS T35).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRef {
    /// Its name without `refs/tags/`.
    pub name: RefName,
    /// What the ref holds: the tag object of an annotated tag, else the commit.
    pub object: ObjectId,
    /// The commit it leads to.
    pub commit: CommitSha,
}

/// How one commit lies to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They are one commit.
    Same,
    /// The first is an ancestor of the second.
    Before,
    /// The second is an ancestor of the first.
    After,
    /// Neither contains the other.
    Apart,
}

/// A commit as lists show it. Everything but `sha` and `parents` is the author's word (THREATS T19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub sha: CommitSha,
    /// The first paragraph of its message on one line.
    pub subject: String,
    /// Who wrote it.
    pub author_name: String,
    /// Under which address.
    pub author_email: String,
    /// When it says it was committed.
    pub committed_at: Timestamp,
    /// What it follows; several for a merge.
    pub parents: Vec<CommitSha>,
}

impl Mirror {
    /// Opens the bare repository at `path`, and makes it with the folders above when there is none. One that a power cut
    /// left without its first files is made anew: everything in a mirror can be fetched again.
    pub fn open_or_init(path: &Path) -> Outcome<Self> {
        if path.is_dir() && FIRST_FILES.iter().any(|name| is_lost(&path.join(name))) {
            tracing::warn!(path = %path.display(), "a mirror without its first files is made anew");
            // Aside first: of several who see it one moves it, and nobody removes the one that was made since.
            let aside = path.with_extension(unique("lost"));
            if std::fs::rename(path, &aside).is_ok() {
                folder::remove(&aside)?;
            }
        }
        match Self::open(path) {
            Err(e) if e.kind() == Kind::NotFound => {
                Self::make(path)?;
                Self::open(path)
            }
            other => other,
        }
    }

    /// Makes the repository under another name first: whoever is killed here leaves no half of one behind, whose
    /// lock files nobody would ever remove.
    fn make(path: &Path) -> Outcome<()> {
        let what = || format!("make the mirror {}", path.display());
        let beside = path.with_extension(unique("new"));
        let mut options = RepositoryInitOptions::new();
        options.bare(true).mkpath(true).external_template(false);
        Repository::init_opts(&beside, &options).map_err(|e| failed(what(), e))?;
        let synced = FIRST_FILES.iter().try_for_each(|name| File::open(beside.join(name))?.sync_all());
        synced
            .and_then(|()| File::open(&beside)?.sync_all())
            .map_err(|e| Trouble::transient(what()).because(e))?;
        match std::fs::rename(&beside, path) {
            Ok(()) => Ok(()),
            // Somebody else was first, with the same.
            Err(_) if path.join("HEAD").exists() => folder::remove(&beside),
            Err(e) => Err(Trouble::transient(what()).because(e)),
        }
    }

    /// Whether a power cut has left an object or a branch of it a name without bytes: git neither reads it nor fetches
    /// it again.
    pub fn has_lost_files(&self) -> bool {
        // What is being written has another name.
        let is_object = |name: &str| name.len() == OBJECT_NAME || name.starts_with("pack-");
        let is_ref = |name: &str| Path::new(name).extension().is_none_or(|end| end != "lock");
        has_empty(&self.path.join("objects"), &is_object) || has_empty(&self.path.join("refs"), &is_ref)
    }

    /// Opens the bare repository at `path`.
    pub fn open(path: &Path) -> Outcome<Self> {
        let repo = Repository::open_bare(path)
            .map_err(|e| failed(format!("open the repository {}", path.display()), e))?;
        Ok(Self { path: path.to_owned(), repo })
    }

    /// The folder it lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit at the tip of a branch; none when there is no such branch.
    pub fn head_of(&self, branch: &RefName) -> Outcome<Option<CommitSha>> {
        let what = || format!("read the branch {branch}");
        match self.repo.find_reference(&format!("refs/heads/{branch}")) {
            Ok(reference) => sha(reference.peel_to_commit().map_err(|e| failed(what(), e))?.id()).map(Some),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(failed(what(), e)),
        }
    }

    /// Every branch and its head, by name; a name that git would take and no host does is left out.
    pub fn branches(&self) -> Outcome<Vec<(RefName, CommitSha)>> {
        let what = "list the branches";
        let mut branches = Vec::new();
        for reference in self.repo.references_glob("refs/heads/*").map_err(|e| failed(what, e))? {
            let reference = reference.map_err(|e| failed(what, e))?;
            let name = reference.name().ok().and_then(|name| name.strip_prefix("refs/heads/")?.parse().ok());
            if let (Some(name), Ok(head)) = (name, reference.peel_to_commit()) {
                branches.push((name, sha(head.id())?));
            }
        }
        branches.sort();
        Ok(branches)
    }

    /// The branch that `HEAD` names, born or not; none when `HEAD` names a commit.
    pub fn head_branch(&self) -> Outcome<Option<RefName>> {
        let head = self.repo.find_reference("HEAD").map_err(|e| failed("read HEAD", e))?;
        let target = head.symbolic_target().map_err(|e| failed("read HEAD", e))?;
        Ok(target.and_then(|name| name.strip_prefix("refs/heads/")?.parse().ok()))
    }

    /// Every tag that leads to a commit, sorted by name; names that [`RefName`] refuses are no version's names.
    pub fn tags(&self) -> Outcome<Vec<TagRef>> {
        let mut tags = Vec::new();
        for reference in self.repo.references_glob("refs/tags/*").map_err(|e| failed("list the tags", e))? {
            let reference = reference.map_err(|e| failed("list the tags", e))?;
            let name = reference.name().ok().and_then(|n| n.strip_prefix("refs/tags/")?.parse().ok());
            if let (Some(name), Some(object), Ok(commit)) =
                (name, reference.target(), reference.peel_to_commit())
            {
                tags.push(TagRef { name, object: object_id(object)?, commit: sha(commit.id())? });
            }
        }
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tags)
    }

    /// The object of an annotated tag as it is written; nothing for a plain tag, and for one that nobody wrote by hand.
    pub fn tag_object(&self, name: &RefName) -> Outcome<Option<String>> {
        let fail = |e| failed(format!("read the tag {name}"), e);
        let reference = self.repo.find_reference(&format!("refs/tags/{name}")).map_err(fail)?;
        let Some(id) = reference.target() else { return Ok(None) };
        let odb = self.repo.odb().map_err(fail)?;
        let (size, kind) = odb.read_header(id).map_err(fail)?;
        if kind != ObjectType::Tag || size > TAG_BYTES {
            return Ok(None);
        }
        Ok(Some(text(odb.read(id).map_err(fail)?.data())))
    }

    /// True when the mirror has this commit.
    pub fn exists(&self, commit: &CommitSha) -> bool {
        self.commit(commit).is_ok()
    }

    /// True when `commit` is `tip` or one of its ancestors (THREATS T36, T37).
    pub fn is_ancestor(&self, commit: &CommitSha, tip: &CommitSha) -> Outcome<bool> {
        Ok(matches!(self.order(commit, tip)?, Order::Same | Order::Before))
    }

    /// True when a branch is here and leads to this commit; what is not here is on none of those that are.
    pub fn leads_to(&self, branch: &RefName, commit: &CommitSha) -> Outcome<bool> {
        let head = if self.exists(commit) { self.head_of(branch)? } else { None };
        head.map_or(Ok(false), |tip| self.is_ancestor(commit, &tip))
    }

    /// How `a` lies to `b`; both must be here.
    pub fn order(&self, a: &CommitSha, b: &CommitSha) -> Outcome<Order> {
        let (a, b) = (self.commit(a)?.id(), self.commit(b)?.id());
        if a == b {
            return Ok(Order::Same);
        }
        match self.repo.merge_base(a, b) {
            Ok(base) if base == a => Ok(Order::Before),
            Ok(base) if base == b => Ok(Order::After),
            Ok(_) => Ok(Order::Apart),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(Order::Apart),
            Err(e) => Err(failed("compare two commits", e)),
        }
    }

    /// The commit that two lines of history began from; both tips must be here.
    pub fn merge_base(&self, a: &CommitSha, b: &CommitSha) -> Outcome<Option<CommitSha>> {
        let (a, b) = (self.commit(a)?.id(), self.commit(b)?.id());
        match self.repo.merge_base(a, b) {
            Ok(base) => Ok(base.to_string().parse().ok()),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(failed("find where two commits parted", e)),
        }
    }

    /// How many commits are on the first-parent line that ends in this one: the order of releases (SEMANTICS §1).
    pub fn first_parent_position(&self, commit: &CommitSha) -> Outcome<u64> {
        let id = self.commit(commit)?.id();
        let walk = || {
            let mut walk = self.repo.revwalk()?;
            walk.simplify_first_parent()?;
            walk.push(id)?;
            Ok(walk.count())
        };
        let count: usize = walk().map_err(|e: git2::Error| failed("walk the first parents", e))?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// The commits that `head` has and `base` has not, newest first, no parent before its child, at most `max`.
    pub fn commits_between(
        &self,
        base: Option<&CommitSha>,
        head: &CommitSha,
        max: usize,
    ) -> Outcome<Vec<CommitInfo>> {
        let base = base.map(|b| self.commit(b)).transpose()?;
        let head = self.commit(head)?.id();
        let walk = || {
            let mut walk = self.repo.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
            walk.push(head)?;
            base.as_ref().map_or(Ok(()), |b| walk.hide(b.id()))?;
            walk.take(max).map(|id| self.repo.find_commit(id?)).collect::<Result<Vec<_>, git2::Error>>()
        };
        walk().map_err(|e| failed("list commits", e))?.iter().map(info).collect()
    }

    /// A commit as lists show it.
    pub fn commit_info(&self, commit: &CommitSha) -> Outcome<CommitInfo> {
        info(&self.commit(commit)?)
    }

    /// The tree of a commit.
    pub fn tree_sha(&self, commit: &CommitSha) -> Outcome<TreeSha> {
        let id = self.commit(commit)?.tree_id().to_string();
        id.parse().map_err(|e| Trouble::bug(format!("the tree of {commit}")).because(e))
    }

    /// A commit's message, all of it.
    pub fn full_commit_message(&self, commit: &CommitSha) -> Outcome<String> {
        Ok(text(self.commit(commit)?.message_bytes()))
    }

    /// Waits until no other writer of this program, in whatever process, writes to this repository; held until the
    /// file is dropped. libgit2 looks whether a new ref is there before it locks it, so two could both make it.
    pub(super) fn alone(&self) -> Outcome<File> {
        let what = || format!("lock the repository {}", self.path.display());
        let file = File::create(self.path.join(super::stale::OURS))
            .map_err(|e| Trouble::transient(what()).because(e))?;
        let begun = clock::monotonic();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                // A process that was stopped keeps its locks: waiting for it has an end.
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WITHIN => {
                    std::thread::sleep(LOCK_EVERY);
                }
                Err(e) => return Err(Trouble::transient(what()).because(e)),
            }
        }
    }

    /// Looks a commit up by its full id, the only way there is.
    pub(super) fn commit(&self, commit: &CommitSha) -> Outcome<git2::Commit<'_>> {
        let what = || format!("find the commit {commit}");
        // libgit2 fills a short id up with zeros and is built for 40 digits; anything else is not here.
        if commit.as_str().len() != 40 {
            return Err(Trouble::not_found(what()));
        }
        let id = Oid::from_str(commit.as_str()).map_err(|e| failed(what(), e))?;
        self.repo.find_commit(id).map_err(|e| failed(what(), e))
    }
}

/// A name that nobody else takes now.
fn unique(word: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{word}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether there is a file without bytes below a folder, of those with such names.
fn has_empty(folder: &Path, counts: &dyn Fn(&str) -> bool) -> bool {
    // What cannot be looked at may be well.
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| match entry.metadata() {
        Ok(file) if file.is_dir() => has_empty(&entry.path(), counts),
        Ok(file) => file.len() == 0 && entry.file_name().to_str().is_some_and(counts),
        Err(_) => false,
    })
}

/// Whether a file is not there, or was named and never written; one that cannot be looked at may be well.
fn is_lost(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(file) => file.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The remotes of the repository that a folder is in, by name, as a person configured them; none outside of one.
pub fn remotes(folder: &Path) -> Outcome<BTreeMap<String, String>> {
    let what = || format!("read the remotes of {}", folder.display());
    let repo = match Repository::discover(folder) {
        Ok(repo) => repo,
        Err(e) if e.code() == ErrorCode::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(failed(what(), e)),
    };
    let names = repo.remotes().map_err(|e| failed(what(), e))?;
    let mut found = BTreeMap::new();
    for name in names.iter_bytes().map(text) {
        let remote = repo.find_remote(&name).map_err(|e| failed(what(), e))?;
        found.insert(name, text(remote.url_bytes()));
    }
    Ok(found)
}

fn info(commit: &git2::Commit<'_>) -> Outcome<CommitInfo> {
    let author = commit.author();
    Ok(CommitInfo {
        sha: sha(commit.id())?,
        subject: text(commit.summary_bytes().unwrap_or_default()),
        author_name: text(author.name_bytes()),
        author_email: text(author.email_bytes()),
        committed_at: Timestamp(commit.time().seconds().saturating_mul(1000)),
        parents: commit.parent_ids().map(sha).collect::<Outcome<_>>()?,
    })
}

/// Text of a repository, whatever bytes it holds.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn sha(id: Oid) -> Outcome<CommitSha> {
    id.to_string().parse().map_err(|e| Trouble::bug("read a commit's id").because(e))
}

pub(super) fn object_id(id: Oid) -> Outcome<ObjectId> {
    id.to_string().parse().map_err(|e| Trouble::bug("read an object's id").because(e))
}

/// What libgit2's failure means.
pub(super) fn failed(what: impl Into<String>, e: git2::Error) -> Trouble {
    let what = what.into();
    let code = e.code();
    let trouble = if code == ErrorCode::NotFound {
        Trouble::not_found(what)
    } else if matches!(code, ErrorCode::Exists | ErrorCode::Modified) {
        Trouble::conflict(what)
    } else if code == ErrorCode::Locked || e.class() == ErrorClass::Os {
        Trouble::transient(what)
    } else if matches!(code, ErrorCode::InvalidSpec | ErrorCode::Invalid | ErrorCode::Peel) {
        Trouble::refused(what)
    } else {
        Trouble::bug(what)
    };
    trouble.because(e)
}

#[cfg(test)]
mod tests;
