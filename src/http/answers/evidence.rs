//! Proofs of a release as they were kept when they were signed, its files, and the public keys.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use super::{Answers, named};
use crate::artifact::store::{Store, Unusable};
use crate::clock;
use crate::domain::event::Sealed;
use crate::domain::evidence::chain::{self, LAYOUT, Terms};
use crate::domain::evidence::{self, Evidence, Matter, Origin, STATEMENTS};
use crate::domain::name::{Digest, PipelineId, StageName};
use crate::domain::release::{BuildState, Release};
use crate::domain::time::Span;
use crate::http::evidence::{EvidenceLine, EvidenceList, FileBytes, Form};
use crate::service::blocking;
use crate::sign::{FOLDER, Keys, Kind, Public, minisign, ssh};
use crate::trouble::{Outcome, Trouble};

/// How long a layout is good unless its owner says something else.
const LAYOUT_LASTS: Span = Span::days(365);

impl Answers {
    async fn sealed(&self, stream: &str, no: u32) -> Outcome<Arc<Release>> {
        let (_, release) = self.release(stream, no).await?;
        if release.build != BuildState::Sealed || release.artifacts.is_empty() {
            return Err(Trouble::not_found(format!("release {no} of {stream} has no sealed artifact")));
        }
        Ok(release)
    }

    /// What there is to check the release with.
    pub(super) async fn evidence_of(&self, stream: &str, no: u32) -> Outcome<EvidenceList> {
        let release = self.sealed(stream, no).await?;
        let file = |sealed: &Sealed| Evidence {
            name: evidence::file_name(sealed),
            digest: sealed.digest.clone(),
            size: sealed.size,
        };
        Ok(EvidenceList {
            version: release.created.version.to_string(),
            commit: release.created.commit.to_string(),
            files: release.artifacts.iter().map(file).collect(),
            evidence: lines(&release).collect(),
        })
    }

    /// One file of evidence, or all statements about one file of the release.
    pub(super) async fn prove(&self, stream: &str, no: u32, name: &str) -> Outcome<String> {
        let release = self.sealed(stream, no).await?;
        if let Some(stage) = name.strip_suffix(LAYOUT) {
            return self.layout(stream, &release, stage).await;
        }
        let kept = evidence::file(&release, name);
        let about = name.strip_suffix(STATEMENTS);
        let about = about.and_then(|file| file_of(&release, file));
        let of_file = about.map(|file| evidence::statements_about(&release, file));
        let found: Vec<Digest> =
            kept.into_iter().chain(of_file.into_iter().flatten()).map(|kept| kept.digest.clone()).collect();
        if found.is_empty() {
            return Err(Trouble::not_found(lacks(stream, &release, name)));
        }
        let store = self.service.artifacts().clone();
        blocking(move || found.iter().map(|digest| text_of(&store, digest)).collect()).await
    }

    /// The layout of the promotion chain up to a stage, for its owner to sign: what is served here is nobody's word.
    async fn layout(&self, stream: &str, release: &Release, stage: &str) -> Outcome<String> {
        let stage: StageName = named(stage)?;
        let id: PipelineId = named(stream)?;
        let repository = self.web(&id, stream).await?.name;
        let folder = self.service.settings().data.join(FOLDER);
        let now = self.service.store().here();
        let public = blocking(move || Keys::of_folder(&folder, now)?.public()).await?;
        let signs = public.into_iter().filter(|key| key.kind == Kind::EcdsaP256);
        let keys: BTreeMap<String, String> = signs.map(|key| (key.id.clone(), key.pem())).collect();
        let server = &self.service.settings().notify.public_url;
        let origin = Origin { pipeline: &id, repository: &repository, commit_url: None, server };
        let terms = Terms { keys: &keys, expires: &now.plus(LAYOUT_LASTS).rfc3339() };
        let layout = chain::layout(release, &stage, origin, terms)
            .map_err(|why| Trouble::not_found(format!("release {} of {stream}: {why}", release.no())))?;
        serde_json::to_string_pretty(&layout).map_err(|e| Trouble::bug("write a layout").because(e))
    }

    pub(super) async fn public_keys(&self, form: Form) -> Outcome<String> {
        let folder = self.service.settings().data.join(FOLDER);
        let public = blocking(move || Keys::of_folder(&folder, clock::now())?.public()).await?;
        let text = |key: &Public| match form {
            Form::Pem => Some(key.to_string()),
            Form::AllowedSigners => ssh::allowed_signer(key),
            Form::Minisign => minisign::public(key),
        };
        Ok(public.iter().filter_map(text).collect())
    }

    pub(super) async fn file_bytes(&self, stream: &str, no: u32, name: &str) -> Outcome<FileBytes> {
        let release = self.sealed(stream, no).await?;
        let missing = || {
            let names: Vec<String> = release.artifacts.iter().map(evidence::file_name).collect();
            Trouble::not_found(format!("release {no} has no such file; it has {}", names.join(", ")))
        };
        let found = file_of(&release, name).ok_or_else(missing)?;
        let (store, digest) = (self.service.artifacts().clone(), found.digest.clone());
        let (file, size) = blocking(move || open(&store, &digest)).await?;
        Ok(FileBytes { name: name.to_owned(), file, size })
    }
}

fn lines(release: &Release) -> impl Iterator<Item = EvidenceLine> {
    let of = |file: &Evidence| release.evidence.iter().find(|signed| signed.files.contains(file));
    evidence::current(release)
        .filter_map(move |file| Some(EvidenceLine { file: file.clone(), signed: of(file)?.at }))
}

fn file_of<'a>(release: &'a Release, name: &str) -> Option<&'a Sealed> {
    release.artifacts.iter().find(|sealed| evidence::file_name(sealed) == name)
}

/// Why there is no such evidence.
fn lacks(stream: &str, release: &Release, name: &str) -> String {
    let no = release.no();
    if evidence::owed(release).contains(&Matter::Build) {
        return format!("release {no} of {stream} is being signed; ask again in a moment");
    }
    let of_build = name == evidence::PROVENANCE_FILE || name.ends_with(STATEMENTS);
    if of_build && release.signed(&Matter::Build).is_some() {
        return format!(
            "release {no} of {stream} built none of its files: what other pipelines built has statements of theirs, \
             and for what was handed in others have to answer"
        );
    }
    let names: Vec<&str> = evidence::current(release).map(|kept| kept.name.as_str()).collect();
    format!("release {no} of {stream} has no such evidence; it has {}", names.join(", "))
}

fn text_of(store: &Store, digest: &Digest) -> Outcome<String> {
    let mut text = String::new();
    let (mut file, _) = open(store, digest)?;
    file.read_to_string(&mut text).map_err(|e| Trouble::transient(format!("read {digest}")).because(e))?;
    Ok(text)
}

fn open(store: &Store, digest: &Digest) -> Outcome<(File, u64)> {
    store.open_verified(digest).map_err(|unusable| match unusable {
        Unusable::Trouble(trouble) => trouble,
        Unusable::Mismatch { wanted, .. } => Trouble::conflict(format!(
            "the stored bytes are no longer {wanted}; they were put aside and are not sent"
        )),
    })
}
