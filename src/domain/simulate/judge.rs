//! Whether what a scenario expects is so, and what is so instead.

use crate::domain::gate::{Blocker, verdict};
use crate::domain::name::StageName;
use crate::domain::release::{Release, StageState};
use crate::domain::simulate::scenario::Expect;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view;

/// Looks at an expectation; the error is what was found instead.
pub(super) fn judge(
    (state, now): (&State, Timestamp),
    answered: Option<&(String, String)>,
    expect: &Expect,
) -> Result<(), String> {
    match expect {
        Expect::Has { stage, release, yes } => has(state, stage, (release.as_deref(), *yes)),
        Expect::Waits { stage, release, blockers } => {
            waits((state, now), stage, release.as_deref(), blockers)
        }
        Expect::Is { stage, release, word } => {
            let found = release_in(state, stage, release.as_deref(), |_| true)?;
            let state = found.state_in(stage).map_or("not there", StageState::word);
            let state = state.split(':').next().unwrap_or(state);
            same(state == word, || format!("{} is {state} in {stage}", found.created.version))
        }
        Expect::Release { release, word } => {
            let found = named(state, release)?;
            let word_now = found.state().word();
            same(word_now == word, || format!("{} is {word_now}", found.created.version))
        }
        Expect::Accepted => {
            let (code, text) = answered.ok_or("nobody has said anything yet")?;
            same(code == "ok", || format!("it was refused ({code}): {text}"))
        }
        Expect::Refused(wanted) => {
            let (code, text) = answered.ok_or("nobody has said anything yet")?;
            if code == "ok" {
                return Err("it was accepted".to_owned());
            }
            same(wanted.as_ref().is_none_or(|w| w == code), || format!("it was refused for {code}: {text}"))
        }
    }
}

fn same(so: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(found()) }
}

fn has(state: &State, stage: &StageName, (wanted, yes): (Option<&str>, bool)) -> Result<(), String> {
    let versions: Vec<String> =
        state.live_of(stage).map(|(_, live)| state.version_of(live.release())).collect();
    let so = match wanted {
        Some(wanted) => versions.iter().any(|version| means(wanted, version)),
        None => versions.is_empty(),
    };
    same(so == yes, || {
        let has = if versions.is_empty() { "nothing".to_owned() } else { versions.join(", ") };
        format!("{stage} has {has}")
    })
}

fn waits(
    (state, now): (&State, Timestamp),
    stage: &StageName,
    wanted: Option<&str>,
    blockers: &[Blocker],
) -> Result<(), String> {
    let found = release_in(state, stage, wanted, StageState::asks)?;
    let version = &found.created.version;
    let asks = found.state_in(stage).filter(|state| state.asks());
    let (Some(at), Some(rule)) = (asks, found.rule(stage)) else {
        let is = found.state_in(stage).map_or("not there", StageState::word);
        return Err(format!("{version} is {is} in {stage}"));
    };
    if at == StageState::Queued {
        return same(blockers.is_empty(), || format!("{version} is only queued for {}", rule.environment));
    }
    let verdict = verdict(state, found, rule, now);
    let so = blockers.iter().all(|wanted| verdict.blockers().any(|line| line.blocker == *wanted));
    same(so && !verdict.open(), || view::short_wait(&verdict, version))
}

/// The release somebody names, or the newest in a stage that fits.
fn release_in<'s>(
    state: &'s State,
    stage: &StageName,
    wanted: Option<&str>,
    fits: fn(StageState) -> bool,
) -> Result<&'s Release, String> {
    if let Some(wanted) = wanted {
        return named(state, wanted);
    }
    let all = state.in_order();
    let newest = all.iter().rev().find(|r| r.state_in(stage).is_some_and(fits));
    if let Some(release) = newest {
        Ok(release)
    } else {
        let live = state.live_of(stage).filter_map(|(track, _)| state.live_in(stage, track));
        let live: Vec<String> = live.map(|live| live.created.version.to_string()).collect();
        let has = if live.is_empty() { String::new() } else { format!(", which has {}", live.join(", ")) };
        Err(format!("nothing waits for {stage}{has}"))
    }
}

/// The newest release that a name means: a version, or the beginning of one.
pub(super) fn named<'s>(state: &'s State, wanted: &str) -> Result<&'s Release, String> {
    let all = state.in_order();
    let found = all.iter().rev().find(|r| means(wanted, &r.created.version.to_string()));
    found.map(|release| &***release).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|r| r.created.version.to_string()).collect();
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
        format!("there is no release {wanted}; there is {known}")
    })
}

/// `v1.4` means `v1.4.0` and `v1.4.0-rc.2`, and not `v1.40.0`.
fn means(wanted: &str, version: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::means;

    #[test]
    fn a_version_is_meant_by_its_beginning() {
        for (wanted, version) in [("v1.4", "v1.4.0-rc.1"), ("v1.4.0", "v1.4.0"), ("v1.4.0-rc", "v1.4.0-rc.2")]
        {
            assert!(means(wanted, version), "{wanted} {version}");
        }
        for (wanted, version) in [("v1.4", "v1.40.0"), ("v1.4.0-rc.1", "v1.4.0-rc.12"), ("1.4", "v1.4.0")] {
            assert!(!means(wanted, version), "{wanted} {version}");
        }
    }
}
