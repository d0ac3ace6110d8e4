//! Which release a command means: the first rule that matches, and never a guess (COMMANDS §4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::command::{Move, ReleaseRef, StageRef, Verb};
use crate::domain::decide::{Draft, Spoken};
use crate::domain::effect::Place;
use crate::domain::name::StageName;
use crate::domain::refusal::{Named, Refusal};
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::track::Track;

/// Most candidates an answer lists.
const LISTED: usize = 5;
/// Host times have this resolution; two things in the same second have no order (COMMANDS §4).
pub(super) const HOST_CLOCK_MS: i64 = 1_000;

impl Draft {
    /// The stage a command names, if the pipeline has it or had it when an open release was made. What stands on a stage is
    /// lifted by the name that it was said with, as long as it stands.
    pub(super) fn stage(&self, verb: Verb, wanted: &StageRef) -> Result<StageName, Refusal> {
        self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        let mut known = self.state.stage_names();
        for stage in self.stands_on(verb) {
            if !known.contains(stage) {
                known.push(stage.clone());
            }
        }
        if known.contains(&wanted.stage) {
            return Ok(wanted.stage.clone());
        }
        let stages: Vec<String> = known.iter().map(ToString::to_string).collect();
        let nearest = stages
            .iter()
            .map(|s| (strsim::damerau_levenshtein(s, wanted.stage.as_str()), s))
            .filter(|(distance, _)| *distance <= 2)
            .min()
            .map(|(_, s)| format!("/{verb} {s}"));
        Err(Refusal::UnknownStage { stage: wanted.to_string(), stages, nearest })
    }

    /// The stages on which there is something for the verb to lift.
    fn stands_on(&self, verb: Verb) -> Vec<&StageName> {
        if verb == Verb::Unhold {
            self.state.holds.keys().filter_map(|(stage, _)| stage.as_ref()).collect()
        } else if verb == Verb::Unfreeze {
            self.state.freezes.keys().flatten().collect()
        } else {
            Vec::new()
        }
    }

    /// The release an explicit name means: exact version, unique commit prefix or digest prefix among known
    /// releases; git is never asked (THREATS T21).
    pub(super) fn named(
        &self,
        wanted: &ReleaseRef,
        verb: Verb,
        stage: &StageName,
    ) -> Result<Arc<Release>, Refusal> {
        let version = |r: &Release| r.created.version.to_string();
        let matches = |r: &Release| match wanted {
            ReleaseRef::Version(text) => version(r) == *text,
            ReleaseRef::Commit(digits) => {
                r.created.commit.as_str().starts_with(digits) || version(r) == *digits
            }
            ReleaseRef::Digest(digits) => r
                .digest
                .iter()
                .chain(r.artifacts.iter().map(|a| &a.digest))
                .any(|d| d.hex().starts_with(digits)),
        };
        let found: Vec<_> = self.state.in_order().into_iter().filter(|r| matches(r)).cloned().collect();
        match found.as_slice() {
            [only] => Ok(Arc::clone(only)),
            [] => Err(Refusal::UnknownRelease { wanted: wanted.to_string(), known: self.newest() }),
            many => Err(Refusal::WhichRelease { verb, stage: stage.clone(), waiting: names(many) }),
        }
    }

    fn newest(&self) -> Vec<Named> {
        let all = self.state.in_order();
        all.into_iter().rev().take(LISTED).map(|r| name(r)).collect()
    }

    /// The release an approval or a rejection means.
    pub(super) fn for_consent(
        &self,
        spoken: &Spoken,
        stage: &StageName,
        wanted: Option<&ReleaseRef>,
    ) -> Result<Arc<Release>, Refusal> {
        let verb = spoken.ask.verb();
        if let Some(wanted) = wanted {
            return self.named(wanted, verb, stage);
        }
        let waiting = self.with_run(stage, |run| run.state.asks());
        match &spoken.place {
            None => self.only(waiting, verb, stage),
            Some(Place::Commit(commit)) => {
                let here: Vec<_> = waiting.into_iter().filter(|r| r.created.commit == *commit).collect();
                self.only(here, verb, stage)
            }
            Some(place) => self.offered(spoken, stage, place),
        }
    }

    /// The release whose offer stands on this thread, shown before the comment and not replaced.
    fn offered(&self, spoken: &Spoken, stage: &StageName, place: &Place) -> Result<Arc<Release>, Refusal> {
        let verb = spoken.ask.verb();
        let mut shown: Vec<_> = self
            .state
            .in_order()
            .into_iter()
            .filter_map(|r| {
                let run = r.run(stage)?;
                let side = run.side();
                let offer = run.offers.iter().find(|o| o.place == *place && o.side == side)?;
                Some((r, offer.at))
            })
            .collect();
        shown.retain(|(_, at)| at.0 < spoken.at.0.saturating_add(HOST_CLOCK_MS));
        let open: Vec<_> =
            shown.iter().filter(|(r, _)| r.state_in(stage).is_some_and(StageState::asks)).collect();
        match open.as_slice() {
            [(release, at)] if at.0 / HOST_CLOCK_MS < spoken.at.0 / HOST_CLOCK_MS => Ok(Arc::clone(release)),
            [(release, _)] => Err(Refusal::TooClose { verb, stage: stage.clone(), release: name(release) }),
            [] => Err(self.nothing_offered(verb, stage, place, shown.last().map(|(r, _)| *r))),
            many => {
                let waiting = many.iter().map(|(r, _)| name(r)).collect();
                Err(Refusal::WhichRelease { verb, stage: stage.clone(), waiting })
            }
        }
    }

    fn nothing_offered(
        &self,
        verb: Verb,
        stage: &StageName,
        place: &Place,
        last: Option<&Arc<Release>>,
    ) -> Refusal {
        use crate::domain::event::Detail;
        let run = last.and_then(|r| r.run(stage).map(|run| (r, run)));
        if let Some((old, run)) = run {
            return match (&run.state, &run.detail) {
                (StageState::Superseded, Detail::Newer(newer)) => Refusal::Moved {
                    old: old.created.version.to_string(),
                    new: self.state.version_of(*newer),
                    stage: stage.clone(),
                },
                (state, _) => Refusal::Nothing {
                    verb,
                    stage: stage.clone(),
                    instead: format!("{} is {} there.", old.created.version, state.word()),
                },
            };
        }
        let here = self.state.releases.values().any(|r| r.place.as_ref() == Some(place));
        let waiting = names(&self.with_run(stage, |run| run.state.asks()));
        match (here, waiting.is_empty()) {
            (_, false) => Refusal::WhichRelease { verb, stage: stage.clone(), waiting },
            (true, true) => Refusal::Nothing { verb, stage: stage.clone(), instead: self.stage_line(stage) },
            (false, true) => Refusal::NoReleaseHere,
        }
    }

    /// The release any other verb means: the one spoken about here; elsewhere the only one that fits where all that
    /// fit stand there now, or the newest for verbs that only look or may be about what ended long ago.
    pub(super) fn for_action(
        &self,
        spoken: &Spoken,
        stage: &StageName,
        fits: fn(&StageRun) -> bool,
    ) -> Result<Arc<Release>, Refusal> {
        let verb = spoken.ask.verb();
        if let Some(wanted) = spoken.ask.release() {
            return self.named(wanted, verb, stage);
        }
        let all = self.with_run(stage, fits);
        let here: Vec<_> = all.iter().filter(|r| spoken_here(r, spoken)).cloned().collect();
        if let Some(newest) = newest_of(&here, (verb, stage))? {
            return Ok(newest);
        }
        let moves = verb.row().moves != Move::Look;
        let about = self.with_run(stage, |_| true).into_iter().rfind(|r| spoken_here(r, spoken));
        if let Some(about) = about.filter(|_| moves) {
            // Somebody who speaks about one release does not mean another.
            return Err(self.cannot_start(verb, &about, stage));
        }
        if matches!(verb, Verb::Promote | Verb::Resume | Verb::Cancel) {
            return self.only(all, verb, stage);
        }
        newest_of(&all, (verb, stage))?.ok_or_else(|| Refusal::Nothing {
            verb,
            stage: stage.clone(),
            instead: self.stage_line(stage),
        })
    }

    /// Of releases of different tracks the one that is meant: that of the track spoken about here, elsewhere the only
    /// one there is.
    pub(super) fn track_meant(
        &self,
        spoken: &Spoken,
        stage: &StageName,
        found: &[Arc<Release>],
    ) -> Result<Option<Arc<Release>>, Refusal> {
        let here = self.tracks_here(spoken);
        let meant = found.iter().filter(|r| here.is_empty() || here.contains(&r.track()));
        let meant: Vec<_> = meant.cloned().collect();
        newest_of(&meant, (spoken.ask.verb(), stage))
    }

    /// The tracks of the releases that are spoken about here.
    pub(super) fn tracks_here(&self, spoken: &Spoken) -> BTreeSet<Option<&Track>> {
        self.state.releases.values().filter(|r| spoken_here(r, spoken)).map(|r| r.track()).collect()
    }

    /// Releases with such a run in the stage, in the order of commits; of a track none that a newer one has started
    /// over, so that what was long ago is not asked about.
    pub(super) fn with_run(&self, stage: &StageName, fits: fn(&StageRun) -> bool) -> Vec<Arc<Release>> {
        let all = self.state.in_order();
        let started = |r: &Release| r.run(stage).is_some_and(|run| run.started_at.is_some());
        let is_over = |r: &Release| r.track().is_some() && all.iter().any(|n| n.is_ahead_of(r) && started(n));
        let found = all.iter().filter(|r| r.run(stage).is_some_and(fits) && !is_over(r));
        found.map(|r| Arc::clone(r)).collect()
    }

    fn only(
        &self,
        mut found: Vec<Arc<Release>>,
        verb: Verb,
        stage: &StageName,
    ) -> Result<Arc<Release>, Refusal> {
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                Err(Refusal::WhichRelease { verb, stage: stage.clone(), waiting: names(&found) })
            }
            (None, _) => {
                Err(Refusal::Nothing { verb, stage: stage.clone(), instead: self.stage_line(stage) })
            }
        }
    }

    /// What is in the stage, in a sentence.
    fn stage_line(&self, stage: &StageName) -> String {
        let newest = self.with_run(stage, |_| true).pop();
        match newest.as_ref().and_then(|r| r.run(stage).map(|run| (r, run.state))) {
            Some((release, state)) => format!("{} is {} there.", release.created.version, state.word()),
            None => "No release has come that far.".to_owned(),
        }
    }
}

/// Whether the comment stands where the release is spoken about.
pub(super) fn spoken_here(release: &Release, spoken: &Spoken) -> bool {
    match &spoken.place {
        None => false,
        Some(Place::Commit(commit)) => release.created.commit == *commit,
        Some(place) => release.place.as_ref() == Some(place),
    }
}

/// The newest of them, in the order of commits. What moves something asks again when they are of several tracks: of
/// what they are, no order of commits says.
pub(super) fn newest_of(
    found: &[Arc<Release>],
    (verb, stage): (Verb, &StageName),
) -> Result<Option<Arc<Release>>, Refusal> {
    let of_each: BTreeMap<Option<&Track>, &Arc<Release>> = found.iter().map(|r| (r.track(), r)).collect();
    if of_each.len() > 1 && verb.row().moves != Move::Look {
        let of_each: Vec<Arc<Release>> = of_each.into_values().cloned().collect();
        return Err(Refusal::WhichRelease { verb, stage: stage.clone(), waiting: names(&of_each) });
    }
    Ok(found.last().cloned())
}

fn name(release: &Release) -> Named {
    let commit = release.created.commit.short();
    let of = release.track().map_or_else(|| commit.to_owned(), |track| format!("{track}, {commit}"));
    (release.created.version.to_string(), of)
}

fn names(releases: &[Arc<Release>]) -> Vec<Named> {
    releases.iter().rev().take(LISTED).rev().map(|r| name(r)).collect()
}
