//! What a scenario expects: lines that fail the simulation when they are not so.

use crate::domain::gate::Blocker;
use crate::domain::name::printable;
use crate::domain::release::{ReleaseState, StageState};
use crate::domain::simulate::scenario::{Expect, Reader};

/// How an expectation is written.
const EXPECT: &str = "write `expect prod has v1.4`, `expect prod has not v1.4`, `expect prod has nothing`, \
                      `expect prod waits: window`, `expect v1.4 in prod waits`, `expect prod failed`, \
                      `expect v1.4 is released`, `expect accepted` or `expect refused`";

/// What keeps a release from starting.
const BLOCKERS: [Blocker; 17] = [
    Blocker::Build,
    Blocker::Variables,
    Blocker::Tag,
    Blocker::Channel,
    Blocker::Revert,
    Blocker::Veto,
    Blocker::Deps,
    Blocker::Soak,
    Blocker::Order,
    Blocker::Trigger,
    Blocker::Approval,
    Blocker::Gate,
    Blocker::Freeze,
    Blocker::Window,
    Blocker::Hold,
    Blocker::Retry,
    Blocker::Signoff,
];

const STAGE_STATES: [StageState; 18] = [
    StageState::Pending,
    StageState::Queued,
    StageState::Running,
    StageState::Paused,
    StageState::AwaitingSignoff,
    StageState::Succeeded,
    StageState::Failed,
    StageState::Errored,
    StageState::TimedOut,
    StageState::Rejected,
    StageState::RejectedAfterDeploy,
    StageState::Superseded,
    StageState::Cancelled,
    StageState::Cancelling,
    StageState::Skipped,
    StageState::SkippedUpstream,
    StageState::RollingBack,
    StageState::RolledBack,
];

const RELEASE_STATES: [ReleaseState; 8] = [
    ReleaseState::Building,
    ReleaseState::BuildFailed,
    ReleaseState::Ready,
    ReleaseState::Active,
    ReleaseState::Released,
    ReleaseState::Failed,
    ReleaseState::Superseded,
    ReleaseState::Abandoned,
];

impl Reader<'_> {
    /// `prod has v1.4`, `v1.4 in prod waits: window`, `v1.4 is released`, `refused: not_entitled`.
    pub(super) fn expect(&self, text: &str) -> Result<Expect, String> {
        let text = text.trim();
        if text == "accepted" {
            return Ok(Expect::Accepted);
        }
        if let Some(code) = text.strip_prefix("refused") {
            let code = code.trim_start_matches(':').trim();
            return Ok(Expect::Refused((!code.is_empty()).then(|| code.to_owned())));
        }
        if let Some((release, word)) = text.split_once(" is ") {
            let word = one_of(word, &RELEASE_STATES.map(ReleaseState::word))?;
            return Ok(Expect::Release { release: release.trim().to_owned(), word });
        }
        let (release, text) = match text.split_once(" in ") {
            Some((release, rest)) => (Some(release.trim().to_owned()), rest.trim()),
            None => (None, text),
        };
        let (stage, what) = text.split_once(' ').ok_or(EXPECT)?;
        let stage = self.stage(stage)?;
        let what = what.trim();
        if let Some(other) = what.strip_prefix("has ") {
            let (yes, other) = other.strip_prefix("not ").map_or((true, other), |other| (false, other));
            let release = (other.trim() != "nothing").then(|| other.trim().to_owned());
            return Ok(Expect::Has { stage, release, yes });
        }
        if let Some(blockers) = what.strip_prefix("waits") {
            let words = blockers.trim_start_matches(':').split(',').map(str::trim);
            let blockers = words.filter(|w| !w.is_empty()).map(blocker).collect::<Result<_, _>>()?;
            return Ok(Expect::Waits { stage, release, blockers });
        }
        let word = one_of(what, &STAGE_STATES.map(StageState::word));
        let word = word.map_err(|_| format!("`{}` is nothing a stage can be; {EXPECT}", printable(what)))?;
        Ok(Expect::Is { stage, release, word })
    }
}

fn blocker(word: &str) -> Result<Blocker, String> {
    BLOCKERS.into_iter().find(|b| b.word() == word).ok_or_else(|| {
        let known = BLOCKERS.map(|b| format!("`{}`", b.word()));
        format!("nothing waits for `{}`; there is {}", printable(word), known.join(", "))
    })
}

/// One of the words people read, with or without what follows its colon.
fn one_of(text: &str, words: &[&str]) -> Result<String, String> {
    let short = |word: &str| word.split(':').next().unwrap_or(word).to_owned();
    let found = words.iter().map(|w| short(w)).find(|w| *w == text.trim());
    found.ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|w| format!("`{}`", short(w))).collect();
        format!("`{}` is not one of {}", printable(text), known.join(", "))
    })
}
