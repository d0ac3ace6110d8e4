//! What is owed for evidence: signing what a release was built from, and where it succeeded.

use crate::domain::effect::Effect;
use crate::domain::evidence::{Matter, owed as unsigned};
use crate::domain::plan::{Lane, Owed};
use crate::domain::release::Release;
use crate::domain::state::State;

/// So much is owed at a time. A log from before anything was signed owes for all of its releases; each that is signed
/// makes room for the next.
const AT_A_TIME: usize = 20;

/// Newest releases first, so that an old one whose bytes are gone keeps nobody waiting.
pub(super) fn owe(state: &State, owed: &mut Vec<Owed>) {
    let all = state.releases.values().rev();
    // What was taken over is signed after what it was built for, whose provenance goes along.
    let waits = |release: &Release, what: &Matter| {
        let by = release.reused.as_ref().and_then(|over| state.release(over.by.release()?));
        *what == Matter::Build && by.is_some_and(|by| unsigned(by).contains(&Matter::Build))
    };
    let all = all.flat_map(|release| {
        let due = unsigned(release).into_iter().filter(|what| !waits(release, what));
        due.map(|what| (release.no(), what)).collect::<Vec<_>>()
    });
    owed.extend(all.take(AT_A_TIME).map(|(release, what)| {
        let about = match &what {
            Matter::Build => "build".to_owned(),
            Matter::Stage { stage, attempt } => format!("stage:{stage}:{attempt}"),
            Matter::Links => "links".to_owned(),
            Matter::Revision { no } => format!("revision:{no}"),
            Matter::Written { stage, attempt, document } => {
                format!("written:{stage}:{attempt}:{}", document.word())
            }
        };
        Owed {
            key: format!("attest:{}:{release}:{about}", state.id),
            effect: Effect::Attest { release, what },
            lane: Lane::Evidence,
            group: Some(format!("attest:{}", state.id)),
            priority: 0,
            not_before: None,
            cancel: false,
        }
    }));
}
