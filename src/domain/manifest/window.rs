//! `windows` → the hours in which a stage may start (SEMANTICS §6).

use std::collections::BTreeSet;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::window::{Clock, Day, Deny, Weekday, Weekly, Windows, Zone};

pub(super) fn check_clock(text: &str) -> Result<(), String> {
    text.parse::<Clock>().map(drop)
}

pub(super) fn check_date_or_clock(text: &str) -> Result<(), String> {
    if text.contains(':') {
        return check_clock(text);
    }
    text.parse::<Day>().map(drop)
}

/// The windows of a stage, if it has any.
pub(super) fn of_stage(stage: View<'_>, findings: &mut Findings<'_>) -> Vec<Windows> {
    let Some(node) = stage.get("windows") else { return Vec::new() };
    let view = View::of(node);
    if view.get("allow").is_some_and(|n| view::items(n).is_empty()) {
        let message =
            "nothing could ever start: `allow` is empty; leave it out to allow every hour".to_owned();
        findings.add(Code::Impossible, view.place("allow"), message);
    }
    let Some(tz) = view.parsed::<Zone>("tz") else { return Vec::new() };
    let allow = view.items("allow").iter().filter_map(|node| {
        let window = weekly(node, findings)?;
        warn_of_gaps(node, &window, &tz, findings);
        Some(window)
    });
    let allow = allow.collect();
    let deny = view.items("deny").iter().filter_map(|n| denied(n, findings)).collect();
    vec![Windows {
        tz,
        allow,
        deny,
        must_finish: view.flag("must_finish").unwrap_or(false),
        timeout: view.parsed("timeout"),
    }]
}

/// Whether rollbacks pass windows and freezes (SEMANTICS §6); two keys may say no.
pub(super) fn ignored_by_rollbacks(stage: View<'_>) -> bool {
    let listed = stage.below("windows").get("ignore_for").is_none_or(|list| !view::items(list).is_empty());
    listed && stage.below("rollback").flag("ignore_windows").unwrap_or(true)
}

fn weekly(node: &Node, findings: &mut Findings<'_>) -> Option<Weekly> {
    let entry = View::of(node);
    let days: BTreeSet<Weekday> =
        entry.items("days").iter().filter_map(view::text).filter_map(Weekday::of_word).collect();
    let (from, to): (Clock, Clock) = entry.parsed("from").zip(entry.parsed("to"))?;
    if days.is_empty() {
        findings.add(Code::Impossible, entry.place("days"), "it is on no day: `days` is empty".to_owned());
    }
    if from == to {
        let message = format!("it ends when it begins, at {from}; a whole day is `00:00` to `24:00`");
        findings.add(Code::Impossible, entry.place("to"), message);
    }
    Some(Weekly { name: entry.line("name"), days, from, to })
}

fn denied(node: &Node, findings: &mut Findings<'_>) -> Option<Deny> {
    let entry = View::of(node);
    let hours =
        ["from", "to"].map(|key| entry.get(key).and_then(view::text).is_some_and(|t| t.contains(':')));
    match (entry.get("days").is_some(), hours) {
        (true, [true, true]) => return weekly(node, findings).map(Deny::Weekly),
        (false, [false, false]) => {}
        (true, _) => {
            let message = "with `days`, `from` and `to` are times of day".to_owned();
            findings.add(Code::BadText, entry.place("from"), message);
            return None;
        }
        (false, _) => {
            let message = "without `days`, `from` and `to` are dates".to_owned();
            findings.add(Code::BadText, entry.place("from"), message);
            return None;
        }
    }
    let (from, to): (Day, Day) = entry.parsed("from").zip(entry.parsed("to"))?;
    if to <= from {
        let message = format!("it ends before it begins: `to` is the first day after it, later than {from}");
        findings.add(Code::Impossible, entry.place("to"), message);
    }
    let name = entry.line("name").unwrap_or_else(|| format!("{from} to {to}"));
    Some(Deny::Days { name, from, to })
}

/// A window that lies in hours the clocks jump over does not open that day (SEMANTICS §6).
fn warn_of_gaps(node: &Node, window: &Weekly, tz: &Zone, findings: &mut Findings<'_>) {
    let (from, to) = (window.from.minute(), window.to.minute());
    let swallowed = tz.gaps().into_iter().find(|(day, start, end)| {
        from < to && window.days.contains(&day.weekday()) && *start <= from && to <= *end
    });
    if let Some((day, ..)) = swallowed {
        let message =
            format!("it does not open on {day}: the clocks of {tz} jump over {}-{}", window.from, window.to);
        findings.add(Code::Swallowed, node.at, message);
    }
}
