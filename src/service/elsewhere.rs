//! Files of other repositories that manifests are made of, read at their commit from where this server may read.

use crate::domain::manifest::elsewhere::Elsewhere;
use crate::domain::name::{RepoId, RepoName};
use crate::domain::time::Span;
use crate::forge::Repository;
use crate::git::fetch::Remote;
use crate::git::origin::{self, Origin};
use crate::git::repo::Mirror;
use crate::service::repository::{MANIFEST_BYTES, remote};
use crate::service::{Service, blocking};
use crate::trouble::{Kind, Outcome};

/// Longest that a repository of manifests may take to be fetched, while the push that names it waits.
const FETCH_WITHIN: Span = Span::minutes(5);

/// Where a repository is that this server may read.
enum Home {
    /// One of the config's.
    Configured(Box<Origin>),
    /// One that this server serves.
    Served(RepoId),
}

/// A text, or why the manifest cannot have it, whoever asks again.
type Read = Result<String, String>;

impl Service {
    /// Reads a file for the manifest of a repository. A host that does not answer is asked again later; a commit that
    /// was read once is kept here, whatever becomes of it there.
    pub(super) async fn read_elsewhere(
        &self,
        (repo, name): (&RepoId, &RepoName),
        file: &Elsewhere,
    ) -> Outcome<Read> {
        let home = match self.home_of((repo, name), file).await? {
            Ok(home) => home,
            Err(why) => return Ok(Err(why)),
        };
        match self.read_there(&home, file).await {
            Ok(Some(text)) => Ok(Ok(text)),
            Ok(None) => Ok(Err(format!("the repository has no such file at {}", file.commit.short()))),
            Err(trouble) => match trouble.kind() {
                Kind::Refused | Kind::NotFound => Ok(Err(self.mask().apply(&trouble.chain()))),
                Kind::Transient { .. } | Kind::Conflict | Kind::Bug => Err(trouble),
            },
        }
    }

    /// The repository, when the manifest of this one may be made of its files: who reads one repository's manifest
    /// is shown what it is made of.
    async fn home_of(
        &self,
        (repo, name): (&RepoId, &RepoName),
        file: &Elsewhere,
    ) -> Outcome<Result<Home, String>> {
        let Some(wanted) = file.beside() else { return Ok(self.origin_of(name, file)) };
        let is_wanted = |known: &str| known.eq_ignore_ascii_case(wanted.as_str());
        if owner(&wanted).eq_ignore_ascii_case(owner(name)) {
            let host = self.host(repo)?;
            for id in host.configured().await? {
                let known = match self.store().repository(id.as_str()).await? {
                    Some(row) => row.name,
                    None => host.repository(&id).await?.name.to_string(),
                };
                if is_wanted(&known) {
                    return Ok(Ok(Home::Served(id)));
                }
            }
        }
        Ok(Err(format!(
            "{wanted} is no repository of {} that this server serves; one of its [[repository]] is named with its \
             host, `host/{wanted}`",
            owner(name)
        )))
    }

    fn origin_of(&self, name: &RepoName, file: &Elsewhere) -> Result<Home, String> {
        let known = self.settings().origins.iter().find(|origin| origin.name == file.repository);
        match known {
            None => Err(format!(
                "the server does not know it; add a [[repository]] with its address to the config, and \
                 allow = [\"{name}:*/{}\"]",
                origin::MANIFEST
            )),
            Some(origin) if !origin.is_extended_by(name) => Err(format!(
                "it is not for manifests of {name}; the `allow` of its [[repository]] in the server's config says for \
                 whose: \"{name}:*/{}\"",
                origin::MANIFEST
            )),
            Some(origin) => Ok(Home::Configured(Box::new(origin.clone()))),
        }
    }

    async fn read_there(&self, home: &Home, file: &Elsewhere) -> Outcome<Option<String>> {
        let mirrors = self.settings().data.join("mirrors");
        let path = match home {
            Home::Configured(origin) => origin.mirror_path(&mirrors),
            Home::Served(id) => origin::mirror_path(&mirrors, id.as_str()),
        };
        let (at, commit) = (path.clone(), file.commit.clone());
        if !blocking(move || Mirror::open_or_init(&at)?.has_reached(&commit)).await? {
            let remote = self.remote_of(home).await?;
            let (at, commit) = (path.clone(), file.commit.clone());
            blocking(move || Mirror::open_or_init(&at)?.reach(&remote, &commit, FETCH_WITHIN)).await?;
        }
        let (commit, inside) = (file.commit.clone(), file.path.clone());
        let bytes =
            blocking(move || Mirror::open(&path)?.read_file(&commit, &inside, MANIFEST_BYTES)).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn remote_of(&self, home: &Home) -> Outcome<Remote> {
        match home {
            Home::Configured(origin) => Ok(origin.remote.clone()),
            Home::Served(id) => {
                let host = self.host(id)?;
                // It may have been taken out of the config since it was seen.
                let Repository { id, .. } = host.repository(id).await?;
                remote(host.source(&id).await?)
            }
        }
    }
}

/// Whose repository it is; nobody's by name on a plain host.
fn owner(name: &RepoName) -> &str {
    name.as_str().split_once('/').map_or("", |(owner, _)| owner)
}
