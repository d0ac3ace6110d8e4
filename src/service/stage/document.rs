//! Steps that write a document of their release: made of what is known then, kept with it, there for later steps.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::domain::decide::Command;
use crate::domain::derivation::summed;
use crate::domain::document::{Algorithm, Document, NOTES, documents, envelope};
use crate::domain::event::{Failure, OfRun, Sealed};
use crate::domain::evidence::statement::{Origin, written};
use crate::domain::evidence::{Attested, Evidence, Matter, PAYLOAD_TYPE, file_name, sums};
use crate::domain::metadata;
use crate::domain::pipeline::Step;
use crate::domain::publication::METADATA;
use crate::domain::release::Release;
use crate::domain::time::Timestamp;
use crate::folder;
use crate::service::evidence::line;
use crate::service::stage::Walk;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::service::{Service, blocking};
use crate::sign::{FOLDER, Keys};
use crate::trouble::{Outcome, Trouble};

/// A document with its text, behind the signatures of it.
type Text = Vec<(String, String)>;

impl Service {
    /// Lays out what steps wrote down of a release before.
    pub(in crate::service) async fn lay_out(&self, release: &Release, to: PathBuf) -> Outcome<()> {
        let all: Vec<Evidence> = documents(release).into_values().cloned().collect();
        let store = self.artifacts().clone();
        blocking(move || {
            folder::make(&to)?;
            for file in all {
                let (mut from, _) = store.open_verified(&file.digest)?;
                let fail = |e| Trouble::transient(format!("lay out {}", file.name)).because(e);
                let mut text = Vec::new();
                std::io::copy(&mut from, &mut text).map_err(fail)?;
                write(&to, &file.name, &text)?;
            }
            Ok(())
        })
        .await
    }
}

impl Walk<'_> {
    /// Makes the document and keeps it; what is kept already is made no second time.
    pub(super) async fn write_down(
        &self,
        (step, document): (&Step, &Document),
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let course = self.course;
        let texts = match self.texts(document).await? {
            Ok(texts) => texts,
            Err(how) => {
                let step = kept.mask.apply(&step.name);
                return Ok(StepsEnd::Failed(Failure { step, how, tail: Vec::new() }));
            }
        };
        let (store, to) = (self.service.artifacts().clone(), course.documents.clone());
        let documents = blocking(move || {
            let keep = |(name, text): (String, String)| {
                write(&to, &name, text.as_bytes())?;
                let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
                Ok(Evidence { name, digest: store.put(text.as_bytes())?, size })
            };
            let one = |text: Text| text.into_iter().map(keep).collect();
            texts.into_iter().map(one).collect::<Outcome<Vec<Vec<Evidence>>>>()
        });
        let documents = documents.await?;
        for file in documents.iter().flatten() {
            kept.log.note(&format!("wrote {}, {}", file.name, file.digest)).await;
        }
        let vouched = if document.is_signed_list() { Vec::new() } else { self.vouched(&documents).await? };
        let files = documents.into_iter().flatten().chain(vouched).collect();
        let (release, stage) = (course.release.no(), course.stage.name.clone());
        let attempt = course.release.run(&stage).map_or(1, |run| run.attempt);
        let what = Matter::Written { stage, attempt, document: document.clone() };
        let written = Box::new(Attested { release, what, files });
        let command = Command::Write { work: course.work.clone(), fence: course.lease.fence(), written };
        match self.service.journal().report(course.id, &command, course.lease.around()).await? {
            Ok(_) => Ok(StepsEnd::Passed),
            Err(refusal) => {
                kept.log.note(&format!("the engine goes on without this run: {}", refusal.code())).await;
                Ok(StepsEnd::Lost)
            }
        }
    }

    /// What is signed about documents that were written: of each, and of its signatures, under its own name. Whatever
    /// is written later under that name takes the place of both, so that no statement is left of what is gone.
    async fn vouched(&self, documents: &[Vec<Evidence>]) -> Outcome<Vec<Evidence>> {
        let (course, service) = (self.course, self.service);
        let now = service.store().here();
        let repository = service.journal().name_of(&course.id.repo).await?;
        let server = &service.settings().notify.public_url;
        let origin = Origin { pipeline: course.id, repository: &repository, commit_url: None, server };
        let attempt = course.release.run(&course.stage.name).map_or(1, |run| run.attempt);
        let of = |files: &Vec<Evidence>| {
            let said = written(course.release, (&course.stage.name, attempt), (files, now), origin);
            Some((envelope(&files.last()?.name), said.to_string()))
        };
        let all: Vec<(String, String)> = documents.iter().filter_map(of).collect();
        let (folder, store) = (service.settings().data.join(FOLDER), service.artifacts().clone());
        blocking(move || {
            let keys = Keys::of_folder(&folder, now)?;
            let sign = |(name, said): (String, String)| {
                let text = line(&keys.sign(PAYLOAD_TYPE, said.as_bytes())?)?;
                let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
                Ok(Evidence { name, digest: store.put(text.as_bytes())?, size })
            };
            all.into_iter().map(sign).collect()
        })
        .await
    }

    /// The files of a document, as things are now; the inner error is why there are none.
    async fn texts(&self, document: &Document) -> Outcome<Result<Vec<Text>, String>> {
        let (service, course) = (self.service, self.course);
        match document {
            Document::Notes => {
                let freeze = Command::FreezeNotes { release: course.release.no() };
                match service.journal().report(course.id, &freeze, course.lease.around()).await? {
                    Ok(decided) => {
                        let release = decided.state.release(course.release.no());
                        let text = release.and_then(|release| release.notes.clone()).map(|kept| kept.text);
                        Ok(Ok(vec![vec![(NOTES.to_owned(), text.unwrap_or_default())]]))
                    }
                    Err(refusal) => Ok(Err(refusal.to_string())),
                }
            }
            Document::Metadata => {
                let own = service.journal().name_of(&course.id.repo).await?;
                let state = service.journal().load(course.id).await?;
                let mut release =
                    state.release(course.release.no()).map_or(course.release, |now| now).clone();
                // What the steps before it have made is as good as part of the release: when a later one fails, the
                // document is written again.
                let said =
                    release.run(&course.stage.name).map_or_else(Vec::new, |run| summed(&run.walked.made));
                if let Some(attempt) =
                    release.run(&course.stage.name).map(|run| run.attempt).filter(|_| !said.is_empty())
                {
                    let made =
                        OfRun { release: release.no(), stage: course.stage.name.clone(), attempt, said };
                    release.revise(&made, self.service.store().here()).map_err(Trouble::refused)?;
                }
                let text = metadata::text(&release, &course.id.name, &own);
                Ok(Ok(vec![vec![(METADATA.to_owned(), text)]]))
            }
            Document::Checksums { algorithm, aggregate } => {
                let (folder, store) = (service.settings().data.join(FOLDER), service.artifacts().clone());
                let ships = |sealed: &&Sealed| course.release.ships(sealed);
                let sealed: Vec<Sealed> = self.artifacts.iter().filter(ships).cloned().collect();
                let (algorithm, aggregate, now) = (*algorithm, *aggregate, service.store().here());
                let signed = blocking(move || {
                    let hash = |file: &Sealed| match algorithm {
                        Algorithm::Sha256 => Ok(file.digest.hex().to_owned()),
                        Algorithm::Sha512 => Ok(store.sha512(&file.digest)?),
                    };
                    let hex: Vec<String> = sealed.iter().map(hash).collect::<Outcome<_>>()?;
                    let keys = Keys::of_folder(&folder, now)?;
                    signed(&keys, lists((&sealed, &hex), algorithm, aggregate), now)
                });
                signed.await.map(Ok)
            }
        }
    }
}

/// One list of all files, or one for each, under their names.
fn lists((sealed, hex): (&[Sealed], &[String]), algorithm: Algorithm, aggregate: bool) -> Text {
    let lines = || sealed.iter().zip(hex.iter().map(String::as_str));
    if aggregate {
        return vec![(algorithm.list().to_owned(), sums(lines()))];
    }
    let one = |line: (&Sealed, &str)| {
        let text = sums(std::iter::once(line));
        (format!("{}.{}", file_name(line.0), algorithm.ending()), text)
    };
    lines().map(one).collect()
}

/// Lists, each behind what OpenSSH and minisign check it with.
fn signed(keys: &Keys, lists: Text, now: Timestamp) -> Outcome<Vec<Text>> {
    let one = |(name, text): (String, String)| {
        let ssh = keys.sign_ssh(text.as_bytes())?;
        let minisign = keys.sign_minisign(&name, text.as_bytes(), now)?;
        Ok(vec![(format!("{name}.sig"), ssh), (format!("{name}.minisig"), minisign), (name, text)])
    };
    lists.into_iter().map(one).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Outcome<()> {
    let path = folder.join(name);
    let fail = |e| Trouble::transient(format!("write {}", path.display())).because(e);
    // What a command of the stage put there in its place is not written through.
    if path.symlink_metadata().is_ok() {
        std::fs::remove_file(&path).map_err(fail)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(fail)?;
    file.write_all(bytes).map_err(fail)
}
