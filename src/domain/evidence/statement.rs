//! The statements themselves: who built a release from what, and that it succeeded in a stage.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::check::LegId;
use crate::domain::check::course::{Course, Shown};
use crate::domain::check::leg::Leg;
use crate::domain::derivation::{FIRST, Revision};
use crate::domain::event::Sealed;
use crate::domain::evidence::{
    ENVELOPE, Evidence, MADE, Matter, PROVENANCE, PROVENANCE_FILE, REUSED_FILE, STATEMENT, built_here,
    file_name, made_file,
};
use crate::domain::name::{CommitSha, Digest, PipelineId, StageName};
use crate::domain::release::{Release, StageRun};
use crate::domain::reuse::TakenOver;
use crate::domain::time::Timestamp;

/// How liftlock builds, which gives the parameters their meaning.
const BUILD_TYPE: &str = "urn:liftlock:build:v1";
/// How a stage makes artifacts: its steps are those of the commit, and what they began with is among the dependencies.
const DERIVATION_TYPE: &str = "urn:liftlock:derivation:v1";
/// That a stage was passed (<https://slsa.dev/spec/v1.1/verification_summary>).
pub(super) const PASSED: &str = "https://slsa.dev/verification_summary/v1";
/// How tests and checks ended (<https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>).
pub(super) const TESTS: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// That another file belongs to them (<https://github.com/in-toto/attestation/blob/main/spec/predicates/reference.md>).
pub(super) const REFERENCE: &str = "https://in-toto.io/attestation/reference/v0.1";
/// That a stage wrote the files down.
pub(super) const WRITTEN: &str = "urn:liftlock:written:v1";
/// The media type of a bill of materials.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// That the files are those of another build, whose terms and tree or commit are the same.
pub(super) const REUSED: &str = "urn:liftlock:reuse:v1";
/// What a level that is ours begins with; the stage follows.
pub(super) const STAGE: &str = "stage:";
/// What can be said of whatever was built here: how is on record. More depends on where the server stands.
const BUILT_LEVEL: &str = "SLSA_BUILD_LEVEL_1";

/// Where a release was made.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The pipeline.
    pub pipeline: &'a PipelineId,
    /// The present name of its repository.
    pub repository: &'a str,
    /// Where people find the commit, when the host has pages.
    pub commit_url: Option<&'a str>,
    /// The server's public address, without a slash at its end.
    pub server: &'a str,
}

impl Origin<'_> {
    /// The place of the commit.
    fn source(&self) -> String {
        self.commit_url.map_or_else(|| format!("git+{}", self.repository), str::to_owned)
    }

    /// The repository at a commit, as a thing that something was made of.
    fn source_at(&self, commit: &CommitSha) -> Value {
        json!({"uri": self.source(), "digest": {"gitCommit": commit}})
    }

    /// The page of a release.
    pub(super) fn page(&self, release: &Release) -> String {
        format!("{}/releases/{}/{}/{}", self.server, self.pipeline.repo, self.pipeline.name, release.no())
    }

    /// A page of the server.
    fn of(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    /// Where a file of evidence is.
    fn evidence(&self, release: &Release, name: &str) -> String {
        let (repo, pipeline) = (&self.pipeline.repo, &self.pipeline.name);
        format!("{}/api/releases/{repo}/{pipeline}/{}/evidence/{name}", self.server, release.no())
    }
}

/// Every statement about a matter, under the name that its envelope gets.
pub fn statements(release: &Release, what: &Matter, origin: Origin<'_>) -> Vec<(String, Value)> {
    match what {
        Matter::Build => {
            let built = release.at_revision(FIRST);
            let said = match &built.reused {
                None => provenance(&built, origin).map(|said| (PROVENANCE_FILE, said)),
                Some(over) => Some((REUSED_FILE, reused(&built, over, origin))),
            };
            // The provenance of another release is kept as it was signed for that; a pull request's is signed now.
            let of_head = built.reused.as_ref().filter(|over| over.by.release().is_none());
            let of_head =
                of_head.and_then(|_| provenance(&built, origin)).map(|said| (PROVENANCE_FILE, said));
            of_head.into_iter().chain(said).map(|(name, said)| (name.to_owned(), said)).collect()
        }
        Matter::Revision { no } => {
            let revision = release.revisions.iter().find(|revision| revision.no == *no);
            let one = |revision: &Revision| (made_file(revision), made(release, revision, origin));
            revision.map(one).into_iter().collect()
        }
        Matter::Stage { stage, attempt } => {
            let Some(run) = release.attempt(stage, *attempt) else { return Vec::new() };
            let named = |what: &str| format!("{what}-{stage}-{attempt}{ENVELOPE}");
            let release = &*release.seen_by(run);
            let passed = passed(release, (what, run), origin);
            let tests = tested(release, (what, run), origin).map(|statement| (named("tests"), statement));
            [(named("passed"), passed)].into_iter().chain(tests).collect()
        }
        Matter::Links | Matter::Written { .. } => Vec::new(),
    }
}

/// What a stage made, by which steps, and out of what.
fn made(release: &Release, revision: &Revision, origin: Origin<'_>) -> Value {
    let subject: Vec<Value> = revision.made.iter().map(|made| named(&made.sealed)).collect();
    let source = origin.source_at(&release.created.commit);
    let dependencies = [source].into_iter().chain(revision.before.iter().map(named)).collect();
    let steps: Vec<&str> = revision.made.iter().map(|made| made.step.as_str()).collect();
    let parameters = Fields::from([("stage", json!(revision.stage)), ("steps", json!(steps))]);
    let metadata = Fields::from([("finishedOn", json!(revision.at.rfc3339()))]);
    let predicate = made_by(DERIVATION_TYPE, (release, origin), (parameters, dependencies, metadata));
    statement(&subject, PROVENANCE, &predicate)
}

/// Fields of an object.
type Fields = BTreeMap<&'static str, Value>;

/// The predicate of SLSA v1: by which kind of making, from what and with which parameters of its own, and when.
fn made_by(
    kind: &str,
    (release, origin): (&Release, Origin<'_>),
    (mut parameters, dependencies, mut metadata): (Fields, Vec<Value>, Fields),
) -> Value {
    let created = &release.created;
    parameters.extend([
        ("repository", json!(origin.repository)),
        ("pipeline", json!(origin.pipeline.name)),
        ("version", json!(created.version.to_string())),
    ]);
    parameters.entry("ref").or_insert_with(|| json!(created.branch));
    metadata.entry("invocationId").or_insert_with(|| json!(origin.page(release)));
    json!({
        "buildDefinition": {
            "buildType": kind,
            "externalParameters": parameters,
            "internalParameters": {"manifest": {"sha256": created.manifest.hex()}},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": {"id": origin.server}, "metadata": metadata},
    })
}

fn statement(subject: &[Value], kind: &str, predicate: &Value) -> Value {
    json!({"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate})
}

fn named(file: &Sealed) -> Value {
    json!({"name": file_name(file), "digest": {"sha256": file.digest.hex()}})
}

/// Who built which files from what; nothing for a release that built none of its files.
pub fn provenance(release: &Release, origin: Origin<'_>) -> Option<Value> {
    let created = &release.created;
    let (own, taken): (Vec<&Sealed>, Vec<&Sealed>) =
        release.artifacts.iter().partition(|sealed| built_here(release, sealed));
    if own.is_empty() {
        return None;
    }
    let subject: Vec<Value> = own.into_iter().map(named).collect();
    let sources = release.sources.iter().map(|found| {
        let uri = format!("git+https://{}", found.source);
        json!({"name": found.source.alias, "uri": uri, "digest": {"gitCommit": found.commit}})
    });
    let elsewhere = created.builds.iter().filter_map(|build| {
        let (at, commit) = (build.abroad.as_ref()?, &build.commit);
        let page =
            origin.of(&format!("/releases/{}/{}/{}", at.pipeline.repo, at.pipeline.name, build.release));
        Some(json!({"name": build.to_string(), "uri": page, "digest": {"gitCommit": commit}}))
    });
    let own_source = origin.source_at(release.built_from());
    let dependencies = [own_source].into_iter().chain(sources).chain(elsewhere);
    let dependencies = dependencies.chain(taken.into_iter().map(named)).collect();
    let mut parameters = Fields::from([("inputs", json!(created.inputs))]);
    let mut metadata = Fields::new();
    match release.reused.as_ref().filter(|over| over.by.release().is_none()) {
        None => metadata.extend([("startedOn", json!(release.at.rfc3339()))]),
        Some(over) => {
            parameters.extend([("ref", json!(over.by.to_string()))]);
            let page = origin.of(&over.path(origin.pipeline));
            metadata.extend([("invocationId", json!(page)), ("finishedOn", json!(over.by.ended_at()))]);
        }
    }
    let predicate = made_by(BUILD_TYPE, (release, origin), (parameters, dependencies, metadata));
    Some(statement(&subject, PROVENANCE, &predicate))
}

/// That the files of a release are those of another build: its commit, through the tree where that is what they share,
/// to their digests. Who built them from what, the provenance of that build says, which is kept beside it.
fn reused(release: &Release, over: &TakenOver, origin: Origin<'_>) -> Value {
    let (created, at) = (&release.created, release.built_at.unwrap_or(release.at));
    let own = release.artifacts.iter().filter(|sealed| built_here(release, sealed));
    let subject: Vec<Value> = own.map(named).collect();
    let predicate = json!({
        "verifier": {"id": origin.server},
        "repository": origin.repository,
        "pipeline": origin.pipeline.name,
        "version": created.version.to_string(),
        "release": origin.page(release),
        "commit": {"gitCommit": created.commit},
        "tree": over.tree.as_ref().map(|tree| json!({"gitTree": tree})),
        "builtFrom": {"gitCommit": over.commit},
        "builtFor": {"name": over.by.to_string(), "uri": origin.of(&over.path(origin.pipeline))},
        "terms": {"sha256": over.terms.hex()},
        "timeTaken": at.rfc3339(),
    });
    statement(&subject, REUSED, &predicate)
}

/// That a stage found the files good, by which rules, and on which evidence.
fn passed(release: &Release, (what, run): (&Matter, &StageRun), origin: Origin<'_>) -> Value {
    let Matter::Stage { stage, .. } = what else { return Value::Null };
    let subject: Vec<Value> = release.artifacts.iter().map(named).collect();
    let all_built = release.artifacts.iter().all(|file| built_here(release, file));
    let mut levels = vec![format!("{STAGE}{stage}")];
    levels.extend(all_built.then(|| BUILT_LEVEL.to_owned()));
    let whence = |what: &Matter| match what {
        Matter::Build => true,
        Matter::Revision { no } => *no <= run.revision,
        Matter::Stage { .. } | Matter::Links | Matter::Written { .. } => false,
    };
    let signed = release.evidence.iter().filter(|signed| whence(&signed.what));
    let of_build = signed.flat_map(|signed| &signed.files);
    let input = |kept: &Evidence| json!({"uri": origin.evidence(release, &kept.name), "digest": {"sha256": kept.digest.hex()}});
    let inputs: Vec<Value> = of_build
        .filter(|kept| {
            matches!(kept.name.as_str(), PROVENANCE_FILE | REUSED_FILE) || kept.name.starts_with(MADE)
        })
        .map(input)
        .collect();
    let predicate = json!({
        "verifier": {"id": origin.server},
        "timeVerified": run.moved_at.rfc3339(),
        "resourceUri": origin.page(release),
        "policy": {"uri": origin.source(), "digest": {"sha256": release.created.manifest.hex()}},
        "inputAttestations": inputs,
        "verificationResult": "PASSED",
        "verifiedLevels": levels,
        "slsaVersion": "1.1",
    });
    statement(&subject, PASSED, &predicate)
}

/// How the tests and checks of a run ended; nothing when it had none.
fn tested(release: &Release, (what, run): (&Matter, &StageRun), origin: Origin<'_>) -> Option<Value> {
    let Matter::Stage { stage, .. } = what else { return None };
    let (rule, steps) = (release.rule(stage)?, release.steps(stage));
    let mut passed: Vec<String> =
        steps.into_iter().flat_map(|steps| &steps.test_commands).map(|step| step.name.clone()).collect();
    let mut warned = Vec::new();
    let course = Course { repo: &origin.pipeline.repo, release, stage: rule, run };
    for (leg, check) in course.legs() {
        match course.shown(&leg, check) {
            Shown::Passed => passed.push(leg.to_string()),
            Shown::Failed | Shown::Inconclusive | Shown::Error | Shown::Overridden | Shown::Skipped => {
                warned.push(leg.to_string());
            }
            Shown::Waiting | Shown::Running => {}
        }
    }
    if passed.is_empty() && warned.is_empty() {
        return None;
    }
    let subject: Vec<Value> = release.artifacts.iter().map(named).collect();
    // What was not asked of this release is said to be another one's; readers leave alone what they do not know.
    let over: Vec<Value> = run.legs.iter().filter_map(|(leg, said)| taken_over(release, leg, said)).collect();
    let mut predicate = json!({
        "result": if warned.is_empty() { "PASSED" } else { "WARNED" },
        "configuration": [{"name": "manifest", "digest": {"sha256": release.created.manifest.hex()}}],
        "url": origin.page(release),
        "timeVerified": run.moved_at.rfc3339(),
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": [],
    });
    if let Some(predicate) = predicate.as_object_mut().filter(|_| !over.is_empty()) {
        predicate.insert("takenOver".to_owned(), Value::Array(over));
    }
    Some(statement(&subject, TESTS, &predicate))
}

/// Where the answer to a check is from, when it is that of another release.
fn taken_over(release: &Release, leg: &LegId, said: &Leg) -> Option<Value> {
    let from = said.reused.as_ref().filter(|from| from.release != release.no())?;
    Some(json!({
        "test": leg.to_string(),
        "release": from.version.as_ref().map(ToString::to_string),
        "stage": from.stage,
        "finishedOn": from.at.map(Timestamp::rfc3339),
    }))
}

/// That a bill of materials is of the files that were built here.
pub fn reference(release: &Release, (name, bill): (&str, &str), origin: Origin<'_>) -> Value {
    let subject: Vec<Value> = release
        .at_revision(FIRST)
        .artifacts
        .iter()
        .filter(|file| built_here(release, file))
        .map(named)
        .collect();
    let predicate = json!({
        "attester": {"id": origin.server},
        "timeAttested": release.built_at.unwrap_or(release.at).rfc3339(),
        "references": [{
            "name": name,
            "downloadLocation": origin.evidence(release, name),
            "digest": {"sha256": Digest::of_text(bill).hex()},
            "mediaType": CYCLONEDX,
        }],
    });
    statement(&subject, REFERENCE, &predicate)
}

/// That a stage wrote these documents of its release.
pub fn written(
    release: &Release,
    (stage, attempt): (&StageName, u32),
    (files, at): (&[Evidence], Timestamp),
    origin: Origin<'_>,
) -> Value {
    let of = |file: &Evidence| json!({"name": file.name, "digest": {"sha256": file.digest.hex()}});
    let subject: Vec<Value> = files.iter().map(of).collect();
    let predicate = json!({
        "attester": {"id": origin.server},
        "repository": origin.repository,
        "version": release.created.version.to_string(),
        "release": origin.page(release),
        "stage": stage,
        "attempt": attempt,
        "timeWritten": at.rfc3339(),
    });
    statement(&subject, WRITTEN, &predicate)
}
