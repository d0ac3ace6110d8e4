//! Freezes and windows: two kinds of lines, with the next opening in each (SEMANTICS §6).

use crate::domain::event::{Overridable, RunKind};
use crate::domain::gate::{Blocker, Line, Look, Mark, Wait, line, waits_since};
use crate::domain::name::StageName;
use crate::domain::pipeline::Stage;
use crate::domain::release::{Release, StageRun};
use crate::domain::state::{Freeze, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::window::{self, Half, Windows, Zone};

impl Look<'_> {
    /// Freezes said by people, and the days and hours that the manifest denies.
    pub(super) fn freezes(&self) -> Vec<Line> {
        let closed = self.frozen();
        if closed.is_empty() {
            return self.not_frozen().into_iter().collect();
        }
        let mut lines = self.unless_passed(&Overridable::Freeze, closed);
        let ends: Option<Vec<_>> = lines.iter().map(|l| l.until).collect();
        if let (Some(last), Some(end)) = (lines.last_mut(), ends.and_then(|ends| ends.into_iter().max())) {
            // While the window is closed as well, its own line says when it opens.
            let open = window::open(&self.stage.windows, Half::Allow, self.now);
            if let Some(opens) = self.opens(end).filter(|opens| open && *opens != end) {
                last.text.push_str("; then the window opens ");
                last.text.push_str(&self.shown(opens));
            }
        }
        lines
    }

    /// The hours in which it may start.
    pub(super) fn window(&self) -> Option<Line> {
        if let Some(closed) = self.shut() {
            return self.unless_passed(&Overridable::Window, vec![closed]).pop();
        }
        if self.stage.windows.iter().all(|w| w.allow.is_empty()) {
            return None;
        }
        let closes = window::next_change(&self.stage.windows, Half::Allow, self.now);
        let until = closes.map_or_else(String::new, |at| format!(" until {}", self.shown(at)));
        Some(line(Blocker::Window, Mark::Pass, format!("window open{until}")))
    }

    /// What is closed stays closed, unless somebody overrode it or a rollback does not wait for it.
    fn unless_passed(&self, check: &Overridable, closed: Vec<Line>) -> Vec<Line> {
        let why = if let Some(passed) = self.overridden(check) {
            format!("{} overridden by {}", check.word(), passed.by.login)
        } else if self.rolls_back_through() {
            "a rollback does not wait for it".to_owned()
        } else {
            return closed;
        };
        let pass = |l: Line| Line {
            mark: Mark::Pass,
            text: format!("{why}: {}", l.text),
            until: None,
            next: None,
            ..l
        };
        closed.into_iter().map(pass).collect()
    }

    fn rolls_back_through(&self) -> bool {
        self.run.kind == RunKind::Rollback && self.stage.rollback_ignores_windows
    }

    /// Every freeze that holds now, whoever may pass it.
    fn frozen(&self) -> Vec<Line> {
        let said = self.state.freezes_on(&self.stage.name, self.now);
        let mut lines: Vec<Line> = said.map(|(stage, freeze)| self.frozen_by(stage, freeze)).collect();
        lines.extend(self.denied());
        lines
    }

    fn frozen_by(&self, stage: Option<&StageName>, freeze: &Freeze) -> Line {
        let what = if stage.is_none() { "everything is frozen" } else { "frozen" };
        let until = freeze.until.map_or_else(String::new, |at| format!(", until {}", self.shown(at)));
        let said = format!(
            "{what} by {} since {}{until}: {}",
            freeze.by.login,
            freeze.since.minute(),
            freeze.reason
        );
        let mark = if freeze.until.is_some() { Mark::Wait } else { Mark::Stop };
        let name = stage.map_or("*", StageName::as_str);
        Line {
            until: freeze.until,
            next: Some(format!("a maintainer comments `/unfreeze {name}`")),
            ..line(Blocker::Freeze, mark, said)
        }
    }

    fn denied(&self) -> Option<Line> {
        let (deny, _) = window::denied(&self.stage.windows, self.now)?;
        let ends = window::next_open(&self.stage.windows, Half::Deny, self.now);
        let until =
            ends.map_or_else(|| "no end is known".to_owned(), |at| format!("until {}", self.shown(at)));
        let mark = if ends.is_some() { Mark::Wait } else { Mark::Stop };
        Some(Line {
            until: ends,
            next: Some(self.override_act(&Overridable::Freeze)),
            ..line(Blocker::Freeze, mark, format!("frozen: {}, {until}", deny.called()))
        })
    }

    fn not_frozen(&self) -> Option<Line> {
        if self.stage.windows.iter().all(|w| w.deny.is_empty()) {
            return None;
        }
        let begins = window::next_change(&self.stage.windows, Half::Deny, self.now)?;
        Some(line(Blocker::Freeze, Mark::Pass, format!("not frozen until {}", self.shown(begins))))
    }

    /// The line of a window that lets nothing start now, whoever may pass it.
    fn shut(&self) -> Option<Line> {
        let open = window::open(&self.stage.windows, Half::Allow, self.now);
        let short = if open { self.too_short()? } else { "window closed".to_owned() };
        let opens = self.opens(self.now);
        let when =
            opens.map_or_else(|| "no opening is known".to_owned(), |at| format!("opens {}", self.shown(at)));
        let mark = if opens.is_some() { Mark::Wait } else { Mark::Stop };
        Some(Line {
            until: opens,
            next: Some(self.override_act(&Overridable::Window)),
            ..line(Blocker::Window, mark, format!("{short}, {when}"))
        })
    }

    /// Why what is open now is not open long enough, where a stage must end before its window does.
    fn too_short(&self) -> Option<String> {
        let takes = self.takes()?;
        let closes = closing(&self.stage.windows, self.half(), self.now)?;
        (closes < self.now.plus(takes)).then(|| {
            format!("window open until {}, and nine of ten deploys take up to {takes}", self.shown(closes))
        })
    }

    fn takes(&self) -> Option<Span> {
        takes(self.state, self.stage)
    }

    /// When the stage may start next as far as its windows go.
    fn opens(&self, from: Timestamp) -> Option<Timestamp> {
        match self.takes() {
            Some(takes) => window::next_open_for(&self.stage.windows, self.half(), (takes, from)),
            None => window::next_open(&self.stage.windows, self.half(), from),
        }
    }

    /// What the next opening depends on: denied days, too, unless somebody overrode them.
    fn half(&self) -> Half {
        if self.overridden(&Overridable::Freeze).is_some() { Half::Allow } else { Half::Both }
    }

    /// A time on the stage's own wall.
    fn shown(&self, at: Timestamp) -> String {
        zone_of(self.stage).shown(at)
    }
}

/// The zone people of the stage think in: that of its windows.
pub(in crate::domain) fn zone_of(stage: &Stage) -> Zone {
    stage.windows.first().map_or_else(Zone::utc, |w| w.tz.clone())
}

/// How long a deploy usually takes, where that matters.
fn takes(state: &State, stage: &Stage) -> Option<Span> {
    stage.windows.iter().any(|w| w.must_finish).then(|| state.usual(&stage.name))?
}

fn closing(windows: &[Windows], half: Half, now: Timestamp) -> Option<Timestamp> {
    window::open(windows, half, now).then(|| window::next_change(windows, half, now))?
}

/// What a rollback starts in spite of, for the record.
pub fn passed_over(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> Option<String> {
    let run = release.run(&stage.name)?;
    let look = Look { state, release, stage, run, now };
    if !look.rolls_back_through() {
        return None;
    }
    let closed: Vec<String> = look.frozen().into_iter().chain(look.shut()).map(|l| l.text).collect();
    (!closed.is_empty()).then(|| format!("a rollback does not wait: {}", closed.join("; ")))
}

/// When a wait for the window ends by the clock, if it does: counted from when nothing else was missing, or
/// from when it was given back.
pub fn window_wait_ends(state: &State, wait: Wait<'_>, now: Timestamp) -> Option<Timestamp> {
    let (_, stage, run) = wait;
    let timeout = stage.windows.iter().filter_map(|w| w.timeout).min()?;
    let approved = run.approvals.iter().map(|a| a.at).max();
    // A window that opened while it was queued was no use, and the wait began anew.
    let since = waits_since(state, wait, now).max(run.moved_at);
    Some(approved.map_or(since, |at| at.max(since)).plus(timeout))
}

/// The next time anything about a stage's windows and freezes changes by itself, opening or closing.
pub fn window_changes(state: &State, stage: &Stage, now: Timestamp) -> Option<Timestamp> {
    let windows = &stage.windows;
    let halves = [Half::Allow, Half::Deny].map(|half| window::next_change(windows, half, now));
    // The last moment at which a deploy would end in time, with denied days and, should they be overridden, without.
    let enough = [Half::Allow, Half::Both].map(|half| {
        let (takes, closes) = takes(state, stage).zip(closing(windows, half, now))?;
        let late = closes.0.saturating_sub_unsigned(takes.as_millis()).saturating_add(1);
        Some(Timestamp(late)).filter(|late| *late > now)
    });
    halves.into_iter().chain(enough).flatten().min()
}

/// Whether nobody knows when people will be able to let it start: their time does not run meanwhile.
pub(super) fn frozen_without_end(state: &State, wait: Wait<'_>, now: Timestamp) -> bool {
    let (_, stage, run) = wait;
    !passes_freezes(stage, run)
        && state.freezes_on(&stage.name, now).any(|(_, freeze)| freeze.until.is_none())
}

/// When freezes of the stage end that have begun: the time people have counts from then on.
pub(super) fn thaws(state: &State, wait: Wait<'_>, now: Timestamp) -> Option<Timestamp> {
    let (_, stage, run) = wait;
    if passes_freezes(stage, run) {
        return None;
    }
    let said = state.freezes_on(&stage.name, now).filter_map(|(_, freeze)| freeze.until);
    said.chain(window::denied_days_end(&stage.windows, now)).max()
}

fn passes_freezes(stage: &Stage, run: &StageRun) -> bool {
    let rolls_back = run.kind == RunKind::Rollback && stage.rollback_ignores_windows;
    rolls_back || run.overridden(&Overridable::Freeze, stage).is_some()
}
