//! What stages make of a release's artifacts: others in their place, and further ones (CHECKLIST D06, D33, D34).
//!
//! A release is never edited: what a stage made is a further revision of it, with a digest of its own (SEMANTICS §1).
//! It comes to be when all commands of the stage have passed, so that a try that failed leaves the release as it was;
//! the old bytes are kept beside the new ones.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::event::{ApprovalSide, Created, Failure, OfRun, RunKind, Sealed};
use crate::domain::evidence::Matter;
use crate::domain::name::{Alias, Digest, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::source::Found;
use crate::domain::time::Timestamp;

/// The number of the revision that the build made.
pub const FIRST: u32 = 1;

/// What a step makes of the release's artifacts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Makes {
    /// Artifacts that it makes anew: signed, notarized, repacked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anew: Vec<Alias>,
    /// Artifacts that nothing before it has made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Alias>,
}

/// An artifact that a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What was sealed.
    pub sealed: Sealed,
    /// The digest of what it takes the place of; nothing for a further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Digest>,
    /// Which step made it.
    pub step: String,
}

/// A revision of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number: 2 for the first that a stage made.
    pub no: u32,
    /// The stage that made it.
    pub stage: StageName,
    /// In which attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What is new in it.
    pub made: Vec<Made>,
    /// The artifacts of the revision before it.
    pub before: Vec<Sealed>,
    /// The digest of the revision before it.
    pub digest_before: Option<Digest>,
}

impl Makes {
    /// Whether it makes nothing.
    pub fn is_nothing(&self) -> bool {
        self.anew.is_empty() && self.further.is_empty()
    }

    /// Everything it makes, in the order it was written.
    pub fn all(&self) -> impl Iterator<Item = &Alias> {
        self.anew.iter().chain(&self.further)
    }
}

impl Made {
    /// The name of the artifact.
    pub fn alias(&self) -> &Alias {
        &self.sealed.alias
    }
}

/// What a stage's steps make besides what is there when it starts.
pub fn further(stage: &Stage) -> impl Iterator<Item = &Alias> {
    stage.all_steps().flat_map(|step| &step.terms.makes.further)
}

/// What a list of artifacts is with what was made of it: replaced in its place, or behind the others.
pub fn with(artifacts: &[Sealed], made: &[Made]) -> Vec<Sealed> {
    let mut all = artifacts.to_vec();
    for made in made {
        match all.iter_mut().find(|old| old.alias == *made.alias()) {
            Some(old) => old.clone_from(&made.sealed),
            None => all.push(made.sealed.clone()),
        }
    }
    all
}

/// Of several makings of the same artifact in one run, the last, and what the first of them began with.
pub fn summed(made: &[Made]) -> Vec<Made> {
    let mut all: Vec<Made> = Vec::new();
    for made in made {
        match all.iter_mut().find(|known| known.alias() == made.alias()) {
            Some(known) => *known = Made { was: known.was.clone(), ..made.clone() },
            None => all.push(made.clone()),
        }
    }
    all.retain(|made| made.was.as_ref() != Some(&made.sealed.digest));
    all
}

impl Release {
    /// Adds a revision: what all steps of a run have made together.
    pub fn revise(&mut self, fact: &OfRun<Vec<Made>>, at: Timestamp) -> Result<(), String> {
        if let Some(failure) = self.overtaken(&fact.said) {
            return Err(format!("\"{}\" {}", failure.step, failure.how));
        }
        let no = self.revision().saturating_add(1);
        let run = self.stages.get_mut(&fact.stage).and_then(|runs| runs.last_mut());
        let run = run.filter(|run| run.attempt == fact.attempt);
        run.ok_or_else(|| format!("there is no attempt {} in {}", fact.attempt, fact.stage))?.revision = no;
        let after = with(&self.artifacts, &fact.said);
        let digest = release_digest(&self.created, &self.sources, &after);
        self.revisions.push(Revision {
            no,
            stage: fact.stage.clone(),
            attempt: fact.attempt,
            at,
            made: fact.said.clone(),
            before: std::mem::replace(&mut self.artifacts, after),
            digest_before: self.digest.replace(digest),
        });
        Ok(())
    }

    /// The number of its last revision.
    pub fn revision(&self) -> u32 {
        self.revisions.last().map_or(FIRST, |last| last.no)
    }

    /// The revision that a run works with: a deploy takes the last one there is when it starts; what is done again, or
    /// put back, has the bytes that were good there.
    pub fn revision_of(&self, run: &StageRun) -> u32 {
        if Self::waits_for_last(run) { self.revision() } else { run.revision }
    }

    /// The digest that approvals of a run bind to: of what it begins with, or of what it has come to.
    pub fn digest_for(&self, run: &StageRun, side: ApprovalSide) -> Option<&Digest> {
        self.after(self.bound_to(run, side)).map_or(self.digest.as_ref(), |next| next.digest_before.as_ref())
    }

    /// The revision that approvals of a run bind to.
    fn bound_to(&self, run: &StageRun, side: ApprovalSide) -> u32 {
        match (Self::waits_for_last(run), side) {
            (true, _) => self.revision(),
            (false, ApprovalSide::Before) => run.begins_with,
            (false, ApprovalSide::After) => run.revision,
        }
    }

    /// Whether a run will begin with the last revision that there is then.
    fn waits_for_last(run: &StageRun) -> bool {
        run.kind == RunKind::Deploy && run.started_at.is_none()
    }

    /// The release as a run sees it: with the artifacts of its revision, and what its own steps have made so far.
    pub fn seen_by(&self, run: &StageRun) -> Cow<'_, Self> {
        let seen = self.at_revision(self.revision_of(run));
        if run.walked.made.is_empty() || run.worked_at.is_some() || !run.state.occupies() {
            return seen;
        }
        Cow::Owned(Self { artifacts: with(&seen.artifacts, &run.walked.made), ..seen.into_owned() })
    }

    /// The release as it was in a revision: without what was made of it, and signed about that, since.
    pub fn at_revision(&self, no: u32) -> Cow<'_, Self> {
        let Some(next) = self.after(no) else { return Cow::Borrowed(self) };
        let mut then =
            Self { artifacts: next.before.clone(), digest: next.digest_before.clone(), ..self.clone() };
        then.revisions.retain(|revision| revision.no <= no);
        then.evidence.retain(|signed| !matches!(signed.what, Matter::Revision { no: made } if made > no));
        Cow::Owned(then)
    }

    /// The revision that followed one.
    fn after(&self, no: u32) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.no > no)
    }

    /// Whether what a run binds to is what this digest was, made anew and with nothing further in it: the log has the
    /// link from each old artifact to the new one (SEMANTICS §3).
    pub fn derives_from(&self, digest: &Digest, (run, side): (&StageRun, ApprovalSide)) -> bool {
        let to = self.bound_to(run, side);
        let between = self.revisions.iter().take_while(|revision| revision.no <= to);
        let mut since =
            between.skip_while(|revision| revision.digest_before.as_ref() != Some(digest)).peekable();
        let anew = |revision: &Revision| revision.made.iter().all(|made| made.was.is_some());
        since.peek().is_some() && since.all(anew)
    }

    /// The revision that a stage has made of it.
    pub fn revised_in(&self, stage: &StageName) -> Option<&Revision> {
        self.revisions.iter().rev().find(|revision| revision.stage == *stage)
    }

    /// The revision that the artifact as it is comes from, and what it was in it; nothing for one that the build made.
    pub fn made(&self, alias: &Alias) -> Option<(&Revision, &Made)> {
        self.revisions.iter().rev().find_map(|revision| {
            let made = revision.made.iter().find(|made| made.alias() == alias)?;
            Some((revision, made))
        })
    }

    /// What artifacts were that have been made anew since, each with the revision that took its place.
    pub fn replaced(&self) -> impl Iterator<Item = (&Revision, &Sealed)> {
        self.revisions.iter().flat_map(|revision| {
            let gone =
                |old: &&Sealed| revision.made.iter().any(|made| made.was.as_ref() == Some(&old.digest));
            revision.before.iter().filter(gone).map(move |old| (revision, old))
        })
    }

    /// Everything that was ever sealed for it, so that none of it is forgotten when its bytes are deleted.
    pub fn ever_sealed(&self) -> impl Iterator<Item = &Sealed> {
        let before = self.revisions.iter().flat_map(|revision| &revision.before);
        let made = self.stages.values().flatten().flat_map(|run| &run.walked.made).map(|made| &made.sealed);
        self.artifacts.iter().chain(before).chain(made)
    }

    /// Every stored file that is its, and goes with its bytes.
    pub fn stored(&self) -> impl Iterator<Item = &Digest> {
        self.ever_sealed().map(|sealed| &sealed.digest).chain(&self.locks)
    }

    /// Why what a run made cannot become part of the release, if so: something else changed it meanwhile.
    pub fn overtaken(&self, made: &[Made]) -> Option<Failure> {
        let now = |alias: &Alias| self.artifacts.iter().find(|sealed| sealed.alias == *alias);
        let late =
            made.iter().find(|made| now(made.alias()).map(|sealed| &sealed.digest) != made.was.as_ref())?;
        let alias = late.alias();
        let by =
            self.revisions.iter().rev().find(|revision| revision.made.iter().any(|m| m.alias() == alias));
        let by = by.map_or_else(String::new, |revision| format!(" by {}", revision.stage));
        let how = format!("was overtaken: {alias} was made anew{by} meanwhile; let one stage need the other");
        Some(Failure { step: late.step.clone(), how, tail: Vec::new() })
    }
}

/// The revision of a run that begins: of the last that succeeded there, when it does that again or puts it back.
pub fn revision_for(release: &Release, stage: &StageName, kind: RunKind) -> u32 {
    let mut runs = release.stages.get(stage).into_iter().flatten();
    match kind {
        RunKind::Deploy => release.revision(),
        RunKind::Redeploy | RunKind::Rollback => {
            let good = runs.rfind(|run| run.state == StageState::Succeeded);
            good.map_or(release.revision(), |run| run.revision)
        }
        // It asks about what the last run left there.
        RunKind::Verify => runs.last().map_or(release.revision(), |run| run.revision),
    }
}

/// SEMANTICS §1: the digest of canonical JSON (sorted keys, no spaces) of components, artifacts and manifest.
pub fn release_digest(created: &Created, sources: &[Found], artifacts: &[Sealed]) -> Digest {
    let mut sorted: Vec<&Sealed> = artifacts.iter().collect();
    sorted.sort_by(|a, b| a.alias.cmp(&b.alias));
    let artifacts: Vec<serde_json::Value> = sorted
        .iter()
        .map(|a| serde_json::json!({"alias": a.alias, "sha256": a.digest.hex(), "size": a.size}))
        .collect();
    // Releases without sources keep the digest they always had.
    let own = serde_json::json!(created.commit);
    let other = |f: &Found| serde_json::json!({"repo": f.source.repository, "sha": f.commit});
    let components: Vec<serde_json::Value> = [own].into_iter().chain(sources.iter().map(other)).collect();
    let document = serde_json::json!({
        "artifacts": artifacts,
        "components": components,
        "manifest_sha": created.manifest.hex(),
    });
    Digest::of_text(&document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Form;

    fn sealed(alias: &str, text: &str) -> Sealed {
        let digest = Digest::of_text(text);
        Sealed {
            alias: alias.parse().unwrap(),
            content: digest.clone(),
            digest,
            size: 1,
            form: Form::File,
            image: None,
        }
    }

    fn made(alias: &str, was: Option<&str>, text: &str) -> Made {
        Made { sealed: sealed(alias, text), was: was.map(Digest::of_text), step: format!("make {text}") }
    }

    #[test]
    fn d06_what_is_made_anew_takes_its_place_and_what_is_further_comes_behind() {
        let before = [sealed("Runtime", "r1"), sealed("Sdk", "s1")];
        let after = with(&before, &[made("tarball", None, "t1"), made("Runtime", Some("r1"), "r2")]);
        assert_eq!(after, [sealed("Runtime", "r2"), sealed("Sdk", "s1"), sealed("tarball", "t1")]);
    }

    #[test]
    fn d34_two_steps_that_sign_the_same_are_one_link_and_nothing_new_is_none() {
        let twice =
            [made("Sdk", Some("s1"), "s2"), made("Sdk", Some("s2"), "s3"), made("Runtime", Some("r1"), "r1")];
        let sum = summed(&twice);
        assert_eq!(sum.len(), 1);
        assert_eq!(
            (sum[0].was.clone(), sum[0].sealed.clone()),
            (Some(Digest::of_text("s1")), sealed("Sdk", "s3"))
        );
        assert_eq!(sum[0].step, "make s3");
    }
}
