//! Deleting what need not be kept: first what is due is said in the logs, then bytes that no kept release has are
//! removed.

use std::collections::BTreeSet;

use crate::clock;
use crate::domain::decide::Command;
use crate::domain::evidence::files;
use crate::domain::layout;
use crate::domain::name::{Digest, PipelineId, ReleaseNo};
use crate::domain::retention::{Kept, Retention, has_bytes, kept, rule_of};
use crate::domain::reuse::due;
use crate::domain::time::{Span, Timestamp};
use crate::service::intake::Heard;
use crate::service::{Service, blocking};
use crate::trouble::Outcome;

/// Bytes stored since then may belong to a build that has not said so yet; none takes this long to say it.
const SETTLED: Span = Span::days(1);

/// A release with bytes, and what is to become of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Which release.
    pub release: ReleaseNo,
    /// Its version.
    pub version: String,
    /// How many bytes are stored for it.
    pub bytes: u64,
    /// What holds for it.
    pub rule: Option<Retention>,
    /// Why they are kept; nothing when they are not.
    pub kept: Option<Kept>,
}

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Releases, and quality builds, whose bytes are not kept any longer.
    pub releases: Vec<String>,
    /// Stored files.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Service {
    /// What would be deleted now, and why everything else would not.
    pub async fn judge_retention(&self) -> Outcome<Vec<Judged>> {
        let now = self.store().here();
        let states = self.pipelines(|_| true).await?;
        let judged = states.iter().flat_map(|state| {
            let rule = rule_of(state, self.settings().retention.as_ref());
            state.in_order().into_iter().filter(|release| has_bytes(release)).map(move |release| Judged {
                pipeline: state.id.clone(),
                release: release.no(),
                version: release.created.version.to_string(),
                bytes: release.ever_sealed().map(|artifact| artifact.size).sum(),
                rule,
                kept: kept(state, release, rule.as_ref(), now),
            })
        });
        Ok(judged.collect())
    }

    /// Deletes what nothing keeps. Stopped half-way, it goes on with the next call.
    pub async fn apply_retention(&self, actor: &str) -> Outcome<Swept> {
        let mut swept = Swept::default();
        for judged in self.judge_retention().await?.into_iter().filter(|judged| judged.kept.is_none()) {
            let Some(rule) = judged.rule else { continue };
            let heard = Heard { cause: "retention", actor: actor.to_owned() };
            let command = Command::Retire { release: judged.release, rule };
            // Refused is what has become of use again meanwhile.
            if self.journal().decide(&judged.pipeline, &command, heard.around()).await?.is_ok() {
                swept.releases.push(format!("{} {}", judged.pipeline, judged.version));
            }
        }
        for state in self.pipelines(|_| true).await? {
            for commit in due(&state, self.store().here()) {
                let heard = Heard { cause: "retention", actor: actor.to_owned() };
                let command = Command::RetireCheck { commit: commit.clone() };
                if self.journal().decide(&state.id, &command, heard.around()).await?.is_ok() {
                    swept.releases.push(format!("{} quality build of {}", state.id, commit.short()));
                }
            }
        }
        self.sweep(&mut swept).await?;
        Ok(swept)
    }

    /// Removes stored files that a retired release had and no other release has, of whatever pipeline.
    async fn sweep(&self, swept: &mut Swept) -> Outcome<()> {
        // A pipeline that cannot be read keeps everything, because it may refer to any of it.
        let states = self.pipelines(|_| true).await?;
        let mut gone: BTreeSet<Digest> = BTreeSet::new();
        let mut used: BTreeSet<Digest> = BTreeSet::new();
        let mut layouts = Vec::new();
        let all =
            states.iter().flat_map(|state| state.releases.values().map(move |release| (&state.id, release)));
        for (id, release) in all {
            let digests = release.stored().cloned();
            // What proves where a release came from stays, also after its bytes.
            used.extend(files(release).map(|kept| kept.digest.clone()));
            match release.retired {
                Some(_) => {
                    gone.extend(digests);
                    layouts.push(layout::folder(id, release.no()));
                }
                None => used.extend(digests),
            }
        }
        for check in states.iter().flat_map(|state| state.checks.values()) {
            used.extend(check.stored().cloned());
            gone.extend(check.gone.iter().cloned());
        }
        // The next release of a pipeline may be made of what another one's release has left.
        used.extend(states.iter().flat_map(|state| state.pledged()));
        gone.retain(|digest| !used.contains(digest));
        let store = self.artifacts().clone();
        let before = Timestamp(clock::now().0.saturating_sub_unsigned(SETTLED.as_millis()));
        let (blobs, bytes) = blocking(move || {
            layouts.iter().try_for_each(|layout| store.clear(layout))?;
            let mut deleted = (0_u64, 0_u64);
            for digest in &gone {
                if let Some(bytes) = store.forget(digest, before)? {
                    deleted = (deleted.0.saturating_add(1), deleted.1.saturating_add(bytes));
                }
            }
            Ok(deleted)
        })
        .await?;
        (swept.blobs, swept.bytes) = (blobs, bytes);
        Ok(())
    }
}
