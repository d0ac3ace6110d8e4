//! What people read about freezes and windows: on the stages, in `/help`, and how long it is until they pass.

use crate::domain::gate::{Blocker, Line, Mark, zone_of};
use crate::domain::pipeline::Stage;
use crate::domain::state::{Freeze, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::window::Zone;

/// ` (in 11h)` behind a line that passes by the calendar; only where nothing keeps the text after it was asked for.
pub(super) fn in_time(line: &Line, now: Timestamp) -> String {
    let calendar = matches!(line.blocker, Blocker::Window | Blocker::Freeze) && line.mark != Mark::Pass;
    let left = line.until.filter(|_| calendar).map(|until| until.since(now).as_millis());
    // To the minute: what is an hour and some seconds away is an hour away.
    let left = left.map(|ms| Span::minutes(ms.div_ceil(Span::minutes(1).as_millis())));
    left.map_or_else(String::new, |left| format!(" (in {left})"))
}

/// What is frozen in a stage now.
pub(super) fn of_stage(state: &State, stage: &Stage, now: Timestamp) -> Vec<String> {
    let zone = zone_of(stage);
    state
        .freezes_on(&stage.name, now)
        .map(|(name, f)| said(name.map_or("everything", |n| n.as_str()), f, &zone))
        .collect()
}

/// What is frozen anywhere in the pipeline.
pub(super) fn all(state: &State, now: Timestamp) -> Vec<String> {
    let pipeline = state.pipeline();
    let holds = state.freezes.iter().filter(|(_, freeze)| freeze.holds(now));
    holds
        .map(|(stage, freeze)| {
            let rule = stage.as_ref().and_then(|name| pipeline.as_ref()?.stage(name));
            let zone = rule.map_or_else(Zone::utc, zone_of);
            said(stage.as_ref().map_or("everything", |n| n.as_str()), freeze, &zone)
        })
        .collect()
}

fn said(what: &str, freeze: &Freeze, zone: &Zone) -> String {
    let until = freeze.until.map_or_else(String::new, |at| format!(", until {}", zone.shown(at)));
    format!(
        "{what} is frozen by {} since {}{until}: {}",
        freeze.by.login,
        freeze.since.minute(),
        freeze.reason
    )
}

/// `, starts tue, wed 09:00-16:00 America/Los_Angeles` behind a stage's rule.
pub(super) fn hours(stage: &Stage) -> String {
    let all = stage.windows.iter().filter(|w| !w.allow.is_empty()).map(|w| {
        let allow: Vec<String> = w.allow.iter().map(ToString::to_string).collect();
        format!(", starts {} {}", allow.join(" and "), w.tz)
    });
    all.collect()
}
