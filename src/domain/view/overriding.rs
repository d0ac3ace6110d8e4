//! What people read about overrides: who did what and why, on the thread and on the release for ever (SEMANTICS §7).

use std::fmt::Write as _;

use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::StageName;
use crate::domain::release::{Override, Release, StageRun};

/// One override, as everybody is told about it (COMMANDS §5); so many others said it before.
pub fn told(release: &Release, stage: &StageName, said: &Override, before: usize) -> String {
    let given = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    let count = if said.of > 1 { format!(" ({given} of {})", said.of) } else { String::new() };
    let check = said.check.word();
    let version = &release.created.version;
    let mut out = format!(
        "⚠️ **{} overrode \"{check}\" for {version} in {stage}{count}: \"{}\".**",
        said.by.login,
        escape(&said.reason)
    );
    if given < said.of {
        let line = inline_code(&format!("/override {stage} {check} -- reason"));
        write!(out, " It counts once {} people have commented {line}.", said.of).unwrap_or_default();
    }
    out
}

/// Every override of an attempt, each with how many said the same before.
pub fn of_run(run: &StageRun) -> impl Iterator<Item = (usize, &Override)> {
    run.overrides.iter().enumerate().map(|(at, said)| {
        let before = run.overrides.iter().take(at).filter(|o| o.check == said.check).count();
        (before, said)
    })
}

/// One override on the release's page and in its comment, for ever: `soak overridden by ana: reason`.
pub fn kept(said: &Override, before: usize) -> String {
    let given = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    let count = if said.of > 1 { format!(" ({given} of {})", said.of) } else { String::new() };
    format!("{} overridden by {}{count}: {}", said.check.word(), said.by.login, said.reason)
}
