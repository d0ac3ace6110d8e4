//! The contract of a release, looked at in every stage: what its seals, its evidence and its files say.

use std::io::Read as _;

use serde_json::Value;

use crate::artifact::store::{Store, Unusable};
use crate::domain::contract::Contract;
use crate::domain::derivation::FIRST;
use crate::domain::event::{Failure, RunKind, Sealed};
use crate::domain::evidence::claim::{Claim, claim, named};
use crate::domain::evidence::{
    Evidence, PAYLOAD_TYPE, PROVENANCE_FILE, SBOM_ENVELOPE, SBOM_FILE, SHA256SUMS, SHA512SUMS, built_here,
    checksums, file, file_name, made_file,
};
use crate::domain::name::Digest;
use crate::domain::pipeline::Stage;
use crate::domain::release::{Release, StageRun};
use crate::domain::sbom::{READ, UNREAD};
use crate::runner::{Job, Limits, Program, Sandbox, Stops};
use crate::service::environment::Grounds;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::service::{Service, blocking};
use crate::sign::{Envelope, FOLDER, Keys, Public, minisign, ssh};
use crate::trouble::{Outcome, Trouble};

/// Where `liftlock validate` finds the contract.
pub(super) const VARIABLE: &str = "LIFTLOCK_CONTRACT";
/// What the failure of a stage calls it.
const STEP: &str = "contract";
/// Largest piece of evidence that is read: a list of checksums of some hundred thousand files.
const MAX_EVIDENCE_BYTES: u64 = 64 * 1024 * 1024;

/// The contract as `liftlock validate` reads it.
pub(super) fn spelled(contract: &Contract) -> Outcome<String> {
    serde_json::to_string(contract).map_err(|e| Trouble::bug("write a contract").because(e))
}

impl Service {
    /// Whether the release keeps its contract, before the first command of a stage; the artifacts are there.
    pub(super) async fn keeps_contract(
        &self,
        (release, stage): (&Release, &Stage),
        grounds: &Grounds,
        (kept, stops): (&mut KeptLog, &Stops),
    ) -> Outcome<StepsEnd> {
        let Some(contract) = release.contract_in(&stage.name) else { return Ok(StepsEnd::Passed) };
        // What is put back kept its contract when it came; what newer ones promise is not its fault, and must not keep it
        // away. A run that goes on behind a question was looked at when it began; what it has made is signed at its end.
        let looked_at = |run: &StageRun| run.kind == RunKind::Rollback || !run.walked.made.is_empty();
        if release.run(&stage.name).is_some_and(looked_at) {
            return Ok(StepsEnd::Passed);
        }
        let broken = self.broken(release, &contract).await?;
        if !broken.is_empty() {
            for line in &broken {
                kept.log.note(&format!("contract: {line}")).await;
            }
            return Ok(StepsEnd::Failed(failure(broken)));
        }
        if contract.sbom {
            for line in self.unread_locks(release).await? {
                kept.log.note(&format!("contract: {SBOM_FILE} does not have all of {line}")).await;
            }
        }
        let program = self.settings().program.display().to_string();
        let paths =
            release.artifacts.iter().map(|sealed| grounds.artifact(&sealed.alias).display().to_string());
        let words = [program, "validate".to_owned(), STEP.to_owned()].into_iter().chain(paths);
        let mut environment = self.base_environment(&grounds.home());
        environment.insert(VARIABLE.to_owned(), spelled(&contract)?);
        let job = Job {
            program: Program::Argv(words.collect()),
            tree: grounds.artifacts(),
            folder: std::path::PathBuf::new(),
            environment,
            limits: Limits { wall: stage.timeout, ..Limits::default() },
            sandbox: Sandbox::Plain,
        };
        let report = self.runner().run(&job, &mut kept.log, stops).await?;
        Ok(StepsEnd::of_process(&report.ended, || Failure {
            step: STEP.to_owned(),
            how: said(&report.tail).unwrap_or_else(|| report.ended.to_string()),
            tail: report.tail.clone(),
        }))
    }

    /// The lock files that are not in the bill, or not to their end, with the reasons: a contract is kept without them,
    /// and whoever reads the log knows.
    async fn unread_locks(&self, release: &Release) -> Outcome<Vec<String>> {
        let (store, release) = (self.artifacts().clone(), release.clone());
        blocking(move || {
            let proofs = Proofs { release: &release, store: &store, keys: &[] };
            Ok(proofs.text(SBOM_FILE)?.map(|(_, text)| unread(&text)).unwrap_or_default())
        })
        .await
    }

    /// What a release lacks by its seals and its evidence, in the order of the contract; its files are not looked into.
    pub(super) async fn broken(&self, release: &Release, contract: &Contract) -> Outcome<Vec<String>> {
        let lacking = contract.lacks(release);
        let folder = self.settings().data.join(FOLDER);
        let (store, release, sbom) = (self.artifacts().clone(), release.clone(), contract.sbom);
        let now = self.store().here();
        let unproven = blocking(move || {
            let keys = Keys::of_folder(&folder, now)?.public()?;
            let proofs = Proofs { release: &release, store: &store, keys: &keys };
            proofs.lacks(sbom)
        });
        Ok(lacking.into_iter().chain(unproven.await?).collect())
    }
}

/// What a bill of materials says of a kind in its metadata.
fn property(bill: &str, name: &str) -> Vec<String> {
    let bill: Value = serde_json::from_str(bill).unwrap_or_default();
    let all = bill.pointer("/metadata/properties").and_then(Value::as_array);
    let of = all.into_iter().flatten().filter(|one| one.get("name").and_then(Value::as_str) == Some(name));
    of.filter_map(|one| one.get("value")?.as_str().map(str::to_owned)).collect()
}

fn unread(bill: &str) -> Vec<String> {
    property(bill, UNREAD)
}

/// The last line of a validation, which is what is wrong; without the word that errors begin with.
pub(super) fn said(tail: &[String]) -> Option<String> {
    let last = tail.last()?;
    Some(last.strip_prefix("error: ").unwrap_or(last).to_owned())
}

fn failure(lines: Vec<String>) -> Failure {
    let first = lines.first().cloned().unwrap_or_default();
    let (how, tail) = match lines.len() {
        0 | 1 => (first, Vec::new()),
        more => (format!("{first}, and {} more", more.saturating_sub(1)), lines),
    };
    Failure { step: STEP.to_owned(), how, tail }
}

/// What was signed about a release when it was built.
struct Proofs<'a> {
    release: &'a Release,
    store: &'a Store,
    keys: &'a [Public],
}

impl Proofs<'_> {
    /// What is missing, or proves nothing.
    fn lacks(&self, sbom: bool) -> Outcome<Vec<String>> {
        let mut lacks = Vec::new();
        for list in [SHA256SUMS, SHA512SUMS] {
            lacks.extend(self.list(list)?.err().map(|why| format!("{list}: {why}")));
        }
        let all = &self.release.artifacts;
        let as_built = |sealed: &&Sealed| self.release.made(&sealed.alias).is_none();
        let built = all.iter().filter(as_built).filter(|sealed| built_here(self.release, sealed)).collect();
        let made = self.release.revisions.iter().map(|revision| {
            let here =
                |sealed: &&Sealed| self.release.made(&sealed.alias).is_some_and(|(r, _)| r == revision);
            (made_file(revision), all.iter().filter(here).collect())
        });
        let statements: Vec<(String, Vec<&Sealed>)> =
            [(PROVENANCE_FILE.to_owned(), built)].into_iter().chain(made).collect();
        for (name, about) in statements.iter().filter(|(_, about)| !about.is_empty()) {
            lacks.extend(self.statement(name, about)?.err().map(|why| format!("{name}: {why}")));
        }
        if sbom {
            lacks.extend(self.bill()?.err().map(|why| format!("{SBOM_FILE}: {why}")));
        }
        Ok(lacks)
    }

    /// A signed list of checksums that names every artifact of the release that ships, and nothing else.
    fn list(&self, name: &str) -> Outcome<Result<(), String>> {
        let text = match self.text(name)? {
            Ok((_, text)) => text,
            Err(why) => return Ok(Err(why)),
        };
        let tools: [(&str, Verify); 2] = [("sig", ssh::verify), ("minisig", minisign::verify)];
        for (ending, verify) in tools {
            let good = match self.text(&format!("{name}.{ending}"))? {
                Ok((_, signature)) => verify(&signature, text.as_bytes(), self.keys),
                Err(why) => Err(why),
            };
            if let Err(why) = good {
                return Ok(Err(format!("its signature `.{ending}`: {why}")));
            }
        }
        let listed: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
        let files: Vec<String> = self.release.shipped().map(file_name).collect();
        let same = name != SHA256SUMS || text == checksums(self.release.shipped());
        Ok(if same && listed == files { Ok(()) } else { Err("it is of other files".to_owned()) })
    }

    /// A signed statement about all of these artifacts.
    fn statement(&self, name: &str, about: &[&Sealed]) -> Outcome<Result<Value, String>> {
        let text = match self.text(name)? {
            Ok((_, text)) => text,
            Err(why) => return Ok(Err(why)),
        };
        let opened = serde_json::from_str::<Envelope>(&text)
            .map_err(|_| "it is no signed statement".to_owned())
            .and_then(|envelope| envelope.open(PAYLOAD_TYPE, self.keys))
            .and_then(|(payload, _)| serde_json::from_slice::<Value>(&payload).map_err(|e| e.to_string()));
        let statement = match opened {
            Ok(statement) => statement,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match about.iter().find(|sealed| named(&statement, &sealed.digest).is_none()) {
            Some(sealed) => Err(format!("it is not about {}", sealed.alias)),
            None => Ok(statement),
        })
    }

    /// A bill of materials, and the signed statement that it is the one of these files.
    fn bill(&self) -> Outcome<Result<(), String>> {
        let (digest, text) = match self.text(SBOM_FILE)? {
            Ok(bill) => bill,
            Err(why) => return Ok(Err(why)),
        };
        let unread = unread(&text);
        // One of nothing but what was not read is none.
        if let Some(first) = unread.first().filter(|_| property(&text, READ).is_empty()) {
            return Ok(Err(format!("no lock file could be read: {first}")));
        }
        let built = self.release.at_revision(FIRST);
        let own =
            built.artifacts.iter().filter(|sealed| built_here(self.release, sealed)).collect::<Vec<_>>();
        let about = self.statement(SBOM_ENVELOPE, &own)?.and_then(|statement| claim(&statement));
        Ok(match about {
            Ok(Claim::Refers { sha256, .. }) if sha256 == digest.hex() => Ok(()),
            Ok(_) => Err(format!("{SBOM_ENVELOPE} is about another one")),
            Err(why) => Err(format!("{SBOM_ENVELOPE}: {why}")),
        })
    }

    /// A kept file, whose bytes are hashed again; the inner error is why there is none.
    fn text(&self, name: &str) -> Outcome<Result<(Digest, String), String>> {
        let Some(Evidence { digest, .. }) = file(self.release, name) else {
            return Ok(Err("there is none".to_owned()));
        };
        let (file, _) = match self.store.open_verified(digest) {
            Ok(opened) => opened,
            Err(Unusable::Mismatch { .. }) => return Ok(Err("it is not what was kept".to_owned())),
            Err(Unusable::Trouble(trouble)) if trouble.is_transient() => return Err(trouble),
            Err(Unusable::Trouble(_)) => return Ok(Err("it is no longer there".to_owned())),
        };
        let mut text = String::new();
        let read = file.take(MAX_EVIDENCE_BYTES).read_to_string(&mut text);
        Ok(read.map(|_| (digest.clone(), text)).map_err(|_| "it is no text".to_owned()))
    }
}

type Verify = fn(&str, &[u8], &[Public]) -> Result<(), String>;
