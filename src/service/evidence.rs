//! Signing what is known of a release: each statement is made once, kept by its digest, and named in the log.

use serde_json::Value;

use crate::artifact::store::Store;
use crate::domain::decide::Command;
use crate::domain::derivation::FIRST;
use crate::domain::event::Sealed;
use crate::domain::evidence::chain::{link_name, links};
use crate::domain::evidence::statement::{self, Origin, statements};
use crate::domain::evidence::{
    Attested, BUNDLE_FILE, Evidence, Matter, PAYLOAD_TYPE, PROVENANCE_FILE, SBOM_ENVELOPE, SBOM_FILE,
    SHA256SUMS, SHA512SUMS, checksums, owed, sums,
};
use crate::domain::layout;
use crate::domain::name::ReleaseNo;
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, blocking};
use crate::sign::{FOLDER, Keys};
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// Signs one matter of a release. What a worker kept that died before it said so is signed again and never named.
    pub(super) async fn attest(&self, lease: &Lease, no: ReleaseNo, what: Matter) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let Some(release) = state.release(no).filter(|release| owed(release).contains(&what)) else {
            return lease.complete(self, "nothing is to be signed").await;
        };
        let repository = self.journal().name_of(&id.repo).await?;
        let web = repository.parse().ok().zip(self.host(&id.repo).ok());
        let commit_url = web.and_then(|(name, host)| host.web(&name, &release.created.commit, None));
        let origin = Origin {
            pipeline: &id,
            repository: &repository,
            commit_url: commit_url.as_deref(),
            server: &self.settings().notify.public_url,
        };
        let masked = |(name, said): (String, Value)| (name, self.mask().apply(&said.to_string()));
        let texts = Texts {
            statements: statements(release, &what, origin).into_iter().map(masked).collect(),
            links: links(release, &what, origin).into_iter().map(masked).collect(),
        };
        let revision = match what {
            Matter::Build => Some(FIRST),
            Matter::Revision { no } => Some(no),
            Matter::Stage { .. } | Matter::Links | Matter::Written { .. } => None,
        };
        let revised = revision.map(|no| release.at_revision(no));
        let sealed: Vec<Sealed> = revised.iter().flat_map(|at| at.shipped().cloned()).collect();
        let laid = revised.map(|at| (layout::folder(&id, release.no()), layout::layout(&at.artifacts)));
        let bill = if what == Matter::Build { self.bill(&id, release, &repository).await? } else { None };
        let bill = bill.map(|bill| {
            let about = statement::reference(release, (SBOM_FILE, &bill), origin);
            (bill, about.to_string())
        });
        let (folder, store) = (self.settings().data.join(FOLDER), self.artifacts().clone());
        let kept = if what == Matter::Build { provenance_of_builder(&state, release) } else { Vec::new() };
        let now = self.store().here();
        let files = blocking(move || {
            if let Some((name, layout)) = laid {
                store.lay_out(&name, &layout)?;
            }
            let signing = Signing { keys: Keys::of_folder(&folder, now)?, store, now, kept };
            signing.all(&sealed, &texts, bill.as_ref())
        });
        let attested = Attested { release: no, what, files: files.await? };
        let command = Command::Attest(Box::new(attested));
        match self.journal().decide(&id, &command, lease.done("signed")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }
}

/// The provenance of the build that a release took over, as it was signed then: the same bytes, kept for both.
fn provenance_of_builder(state: &State, release: &Release) -> Vec<Evidence> {
    let by = release.reused.as_ref().and_then(|over| state.release(over.by.release()?));
    let signed = by.and_then(|by| by.signed(&Matter::Build));
    let all = signed.into_iter().flat_map(|signed| &signed.files);
    all.filter(|kept| matches!(kept.name.as_str(), PROVENANCE_FILE | BUNDLE_FILE)).cloned().collect()
}

/// What is to be signed, each by the name of its file or of its step.
struct Texts {
    statements: Vec<(String, String)>,
    links: Vec<(String, String)>,
}

/// What is being signed, and what has been kept of it.
struct Signing {
    keys: Keys,
    store: Store,
    now: Timestamp,
    kept: Vec<Evidence>,
}

impl Signing {
    fn all(
        mut self,
        sealed: &[Sealed],
        texts: &Texts,
        bill: Option<&(String, String)>,
    ) -> Outcome<Vec<Evidence>> {
        if !sealed.is_empty() {
            self.keep_signed(SHA256SUMS, &checksums(sealed))?;
            let hex: Vec<String> =
                sealed.iter().map(|file| Ok(self.store.sha512(&file.digest)?)).collect::<Outcome<_>>()?;
            let list = sums(sealed.iter().zip(hex.iter().map(String::as_str)));
            self.keep_signed(SHA512SUMS, &list)?;
        }
        for (name, statement) in &texts.statements {
            let envelope = self.keys.sign(PAYLOAD_TYPE, statement.as_bytes())?;
            self.keep(name, &line(&envelope)?)?;
            if name == PROVENANCE_FILE {
                self.keep(BUNDLE_FILE, &line(&envelope.bundle())?)?;
            }
        }
        if let Some((bill, about)) = bill {
            self.keep(SBOM_FILE, bill)?;
            let envelope = self.keys.sign(PAYLOAD_TYPE, about.as_bytes())?;
            self.keep(SBOM_ENVELOPE, &line(&envelope)?)?;
        }
        for (step, link) in &texts.links {
            let envelope = self.keys.sign(PAYLOAD_TYPE, link.as_bytes())?;
            self.keep(&link_name(step, envelope.key()), &line(&envelope)?)?;
        }
        Ok(self.kept)
    }

    /// A file, and beside it what OpenSSH and minisign check it with.
    fn keep_signed(&mut self, name: &str, text: &str) -> Outcome<()> {
        let ssh = self.keys.sign_ssh(text.as_bytes())?;
        let minisign = self.keys.sign_minisign(name, text.as_bytes(), self.now)?;
        self.keep(name, text)?;
        self.keep(&format!("{name}.sig"), &ssh)?;
        self.keep(&format!("{name}.minisig"), &minisign)
    }

    fn keep(&mut self, name: &str, text: &str) -> Outcome<()> {
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let digest = self.store.put(text.as_bytes())?;
        self.kept.push(Evidence { name: name.to_owned(), digest, size });
        Ok(())
    }
}

/// One line of JSON.
pub(super) fn line<T: serde::Serialize>(value: &T) -> Outcome<String> {
    let line = serde_json::to_string(value).map_err(|e| Trouble::bug("write a statement").because(e))?;
    Ok(line + "\n")
}
