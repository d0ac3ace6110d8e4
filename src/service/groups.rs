//! Variable groups in a stage: secrets fetched when it starts, and what its commands write back (CHECKLIST A04).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::domain::decide::{Command, Learned};
use crate::domain::event::{Failure, GroupWritten};
use crate::domain::group::Author;
use crate::domain::group::access::Asker;
use crate::domain::group::write::{LARGEST_FILE, Writes, parse};
use crate::domain::name::{GroupName, PipelineId, SecretAddress};
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::release::Release;
use crate::domain::time::Span;
use crate::domain::variable::{self, Facts, Linked, Resolution, Taken};
use crate::secret::Asking;
use crate::service::library::{Edit, NewValue};
use crate::service::worker::Lease;
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};
use crate::vault::Fetched;

/// How often a secret store is asked before the stage ends without it; the stage's `retries` ask again later.
const TRIES: u32 = 3;
/// Time between two of them: a store that restarts is back by then.
const PAUSE: Span = Span::seconds(2);

/// Largest file of a repository that a store opens: it is one secret, or a page of them.
const LARGEST_SEALED: u64 = 1 << 20;

/// Where a stage's commands say what is to be written; see [`parse`].
const FILE: &str = "group-writes";
/// The variable that names the file.
pub const VARIABLE: &str = "LIFTLOCK_GROUP_WRITES";

/// Secrets of a stage by their addresses.
pub type Secrets = BTreeMap<String, Fetched>;

impl Service {
    /// What a release of this pipeline takes of the groups it links.
    pub async fn take_groups(&self, id: &PipelineId, pipeline: &Pipeline) -> Outcome<Taken> {
        let mut taken = Taken::default();
        for name in variable::all_linked(pipeline) {
            match self.library().snapshot(id, &name).await? {
                Ok(snapshot) => drop(taken.groups.insert(name, snapshot)),
                Err(refused) => drop(taken.refused.insert(name, refused.to_string())),
            }
        }
        Ok(taken)
    }

    /// The values of the secrets that a stage's variables are; from here on everything that leaves hides them.
    pub async fn group_secrets(&self, id: &PipelineId, release: &Release, stage: &Stage) -> Outcome<Secrets> {
        let facts = Facts::of(release, None);
        let levels = variable::levels(&release.created.pipeline, stage, (&facts, &release.groups));
        // Variables that cannot be used are told of where they are.
        let Ok(levels) = levels else { return Ok(Secrets::new()) };
        let Ok(all) = Resolution::of(&levels) else { return Ok(Secrets::new()) };
        let repository = self.journal().name_of(&id.repo).await?;
        let asking = Asking { repository: &repository, pipeline: &id.name, stage: &stage.name };
        let mut secrets = Secrets::new();
        for entry in all.all() {
            let Some(at) = secret_of(entry.value)? else { continue };
            if matches!(entry.value, variable::Value::Named(_)) {
                self.library().vault().may_name(&at, asking)?;
            }
            if !secrets.contains_key(at.as_str()) {
                let file = self.file_of(id, release, &at).await?;
                let fetched = self.group_secret(&at, &file).await?;
                self.hide([&fetched.value]);
                secrets.insert(at.to_string(), fetched);
            }
        }
        Ok(secrets)
    }

    /// Why a secret that the manifest names is not for this stage, if so.
    pub fn not_named(&self, asking: Asking<'_>, release: &Release, stage: &Stage) -> Option<String> {
        let links = variable::linked(&release.created.pipeline, stage).unwrap_or_default();
        links
            .iter()
            .flat_map(|link| link.secrets.values())
            .find_map(|at| self.library().vault().may_name(at, asking).err().map(|trouble| trouble.chain()))
    }

    /// The file of the released commit that the store of a secret reads; empty when it reads none.
    async fn file_of(&self, id: &PipelineId, release: &Release, at: &SecretAddress) -> Outcome<Vec<u8>> {
        if !self.library().vault().wants_file(at) {
            return Ok(Vec::new());
        }
        let (commit, path) = (release.created.commit.clone(), at.path().to_owned());
        let read = self.mirror(&id.repo, move |mirror| mirror.read_file(&commit, &path, LARGEST_SEALED));
        let missing = || Trouble::refused(format!("{at}: the released commit has no file `{}`", at.path()));
        read.await?.ok_or_else(missing)
    }

    async fn group_secret(&self, at: &SecretAddress, file: &[u8]) -> Outcome<Fetched> {
        let mut tries = 1;
        loop {
            match self.library().fetch(at, file).await {
                Err(trouble) if trouble.is_transient() && tries < TRIES => {
                    tracing::warn!(secret = %at, error = trouble.chain(), "a secret store is asked again");
                    tokio::time::sleep(PAUSE.as_std()).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// The groups that a stage may write into, and the file for it; none of both when there is no such group.
    pub async fn writable(
        &self,
        release: &Release,
        stage: &Stage,
        folder: &Path,
    ) -> Outcome<Option<(Vec<Linked>, PathBuf)>> {
        let links = variable::linked(&release.created.pipeline, stage).unwrap_or_default();
        let links: Vec<Linked> = links.into_iter().filter(|link| link.write).collect();
        if links.is_empty() {
            return Ok(None);
        }
        let path = folder.join(FILE);
        let made = path.clone();
        blocking(move || {
            std::fs::File::create_new(&made)
                .map(drop)
                .map_err(|e| Trouble::transient("make the file for writes into groups").because(e))
        })
        .await?;
        Ok(Some((links, path)))
    }

    /// Carries out what a stage's commands wrote; nothing of it when one line is wrong or one group says no.
    pub async fn write_groups(
        &self,
        (id, lease): (&PipelineId, &Lease),
        (release, stage): (&Release, &Stage),
        (links, path): &(Vec<Linked>, PathBuf),
    ) -> Outcome<Option<Failure>> {
        let failed = |how: String| {
            let how = self.mask().apply(&how);
            Failure { step: "write groups".to_owned(), how, tail: Vec::new() }
        };
        let writes = match self.wanted(links, path.clone()).await? {
            Ok(writes) => writes,
            Err(how) => return Ok(Some(failed(how))),
        };
        let attempt = release.run(&stage.name).map_or(1, |run| run.attempt);
        let author = Author::Stage {
            pipeline: id.clone(),
            release: release.created.version.clone(),
            stage: stage.name.clone(),
            attempt,
        };
        let asker = Asker::Pipeline(id.clone());
        for group in writes.keys() {
            if let Err(refused) = self.library().may_write(group, &asker).await? {
                return Ok(Some(failed(refused.to_string())));
            }
        }
        for (group, values) in writes {
            let set = values.iter().map(|(name, text)| (name.clone(), NewValue::Plain(text.clone())));
            let edit = Edit { set: set.collect(), ..Edit::default() };
            let changed = match self.library().change(&group, &asker, &edit, &author).await? {
                Ok(changed) => changed,
                Err(refused) => return Ok(Some(failed(refused.to_string()))),
            };
            let learned = Learned::GroupWritten(GroupWritten {
                release: release.no(),
                stage: stage.name.clone(),
                attempt,
                group,
                version: changed.group.version,
                values,
            });
            if let Err(refusal) = self.journal().decide(id, &Command::Learn(learned), lease.around()).await? {
                return Ok(Some(failed(refusal.code().to_owned())));
            }
        }
        Ok(None)
    }

    /// The lines of the file, or why they do not count.
    async fn wanted(&self, links: &[Linked], path: PathBuf) -> Outcome<Result<Writes, String>> {
        let text = match blocking(move || Ok(read(&path))).await? {
            Ok(text) => text,
            Err(why) => return Ok(Err(format!("${VARIABLE} {why}"))),
        };
        let writes = match parse(&text) {
            Ok(writes) => writes,
            Err(bad) => return Ok(Err(bad.to_string())),
        };
        let mask = self.mask();
        for (group, values) in &writes {
            if !links.iter().any(|link| link.name == *group) {
                return Ok(Err(not_linked(group)));
            }
            if let Some((name, _)) = values.iter().find(|(_, text)| mask.apply(text) != **text) {
                return Ok(Err(format!("`{group}/{name}` would be a secret for everybody to see")));
            }
        }
        Ok(Ok(writes))
    }
}

/// The address of a secret; nothing for a plain text.
fn secret_of(value: &variable::Value) -> Outcome<Option<SecretAddress>> {
    let (variable::Value::Secret(at) | variable::Value::Named(at)) = value else { return Ok(None) };
    at.parse().map(Some).map_err(|e| Trouble::bug("a secret's address").because(Box::new(e)))
}

fn not_linked(group: &GroupName) -> String {
    format!(
        "the stage may not write into the group `{group}`; link it with `groups: [{{name: {group}, write: true}}]`"
    )
}

/// A file that commands had in their hands: no link, no device, and no more than it may be.
fn read(path: &Path) -> Result<String, String> {
    let gone = |_: std::io::Error| "is gone; append to it and leave it there".to_owned();
    if !path.symlink_metadata().map_err(gone)?.is_file() {
        return Err("is no longer a file".to_owned());
    }
    let most = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(gone)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(gone)?;
    if bytes.len() > LARGEST_FILE {
        return Err(format!("is larger than {} KiB", LARGEST_FILE >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}
