//! Starts that no push asks for, in words: what is being made, and what came to nothing.

use crate::domain::demand::{Asked, Cause, Dropped, Fact};
use crate::domain::markdown::escape;
use crate::domain::name::Alias;
use crate::domain::state::State;

/// Starts that came to nothing which pages show.
const SHOWN: usize = 3;

/// `ana`, or that its time came.
fn who(asked: &Asked) -> String {
    match (&asked.cause, &asked.by) {
        (_, Some(by)) => format!("asked for by {}", by.login),
        (Cause::Schedule { due, .. }, None) => format!("due {}", due.minute()),
        (Cause::Run(run), None) => format!("of run {} of {}", run.id, run.file),
        (Cause::Button { .. } | Cause::Upload { .. }, None) => "asked for".to_owned(),
    }
}

/// What whoever asked is told when no release comes of it.
pub fn dropped(state: &State, dropped: &Dropped) -> String {
    format!("❌ **No release of {} was made**: {}.", state.id.name, escape(&dropped.why))
}

/// What is being made, and what came to nothing last.
pub fn lines(state: &State) -> Vec<String> {
    let demands = &state.demands;
    let open = demands.open.values().map(|asked| format!("a release {} is being made", who(asked)));
    let last = demands.dropped.iter().rev().take(SHOWN).map(|dropped| match &dropped.asked {
        Some(asked) => format!("no release {}: {}", who(asked), dropped.why),
        None => dropped.why.clone(),
    });
    let pipeline = state.pipeline();
    let missing: Vec<&str> = pipeline
        .iter()
        .flat_map(|p| p.handed_in())
        .filter(|alias| !demands.uploads.contains_key(*alias) && !demands.uploads.is_empty())
        .map(Alias::as_str)
        .collect();
    let missing =
        (!missing.is_empty()).then(|| format!("a release waits for {} to be handed in", missing.join(", ")));
    open.chain(missing).chain(last).collect()
}

/// One fact in a few words.
pub fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::Asked(asked) => format!("release {}", who(asked)),
        Fact::Uploaded { artifact, by } => {
            format!("{} handed in by {}, {}", artifact.alias, by.login, artifact.digest.short())
        }
        Fact::Dropped { why, .. } => format!("no release: {why}"),
        Fact::Departed { stage, release: Some(no), .. } => {
            format!("the train to {stage} left with release {no}")
        }
        Fact::Departed { stage, why, .. } => {
            format!("the train to {stage} left empty: {}", why.as_deref().unwrap_or("nothing to take along"))
        }
        Fact::Missed { clock, due, why, .. } => format!("{clock}, due {}: {why}", due.minute()),
        Fact::Counted { clock, from } => format!("{clock} counts from {}", from.minute()),
    }
}
