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
    let trains = demands.boarded.iter().map(|(stage, boarding)| {
        let (due, cut_off) = (boarding.due.minute(), boarding.cut_off.minute());
        let what = match &boarding.passenger {
            Ok(no) => format!("takes {} along", state.version_of(*no)),
            Err(why) => format!("leaves empty: {why}"),
        };
        format!("the train to {stage} of {due} is past its cut-off at {cut_off} and {what}")
    });
    open.chain(trains).chain(missing).chain(last).collect()
}

/// One fact in a few words.
pub fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::Asked(asked) => format!("release {}", who(asked)),
        Fact::Uploaded { artifact, by } => {
            format!("{} handed in by {}, {}", artifact.alias, by.login, artifact.digest.short())
        }
        Fact::Dropped { why, .. } => format!("no release: {why}"),
        Fact::Closed { stage, due, release: Some(no), .. } => {
            format!("the cut-off of the train to {stage} of {}: release {no} boards", due.minute())
        }
        Fact::Closed { stage, due, why, .. } => {
            let why = why.as_deref().unwrap_or("nothing to take along");
            format!("the cut-off of the train to {stage} of {}: it will be empty, {why}", due.minute())
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::demand::Boarding;
    use crate::domain::name::ReleaseNo;
    use crate::domain::time::Timestamp;

    #[test]
    fn e28_pages_say_what_a_train_past_its_cut_off_takes_along() {
        let at = |text| Timestamp::parse(text).unwrap();
        let [due, cut_off] = ["2026-03-03T16:00:00Z", "2026-03-03T14:00:00Z"].map(at);
        let mut state = State::new("github:1/web".parse().unwrap());
        let demands = Arc::make_mut(&mut state.demands);
        let one = ReleaseNo(1.try_into().unwrap());
        for (stage, passenger) in [("eu", Ok(one)), ("us", Err("nothing new since v1".to_owned()))] {
            demands.boarded.insert(stage.parse().unwrap(), Boarding { due, cut_off, passenger });
        }
        assert_eq!(
            lines(&state),
            [
                "the train to eu of 2026-03-03 16:00 UTC is past its cut-off at 2026-03-03 14:00 UTC and takes \
                 release 1 along",
                "the train to us of 2026-03-03 16:00 UTC is past its cut-off at 2026-03-03 14:00 UTC and leaves \
                 empty: nothing new since v1",
            ]
        );
    }
}
