//! The queue in which every release passes: the oldest that can start goes first (SEMANTICS §4).

use super::{Blocker, Line, Look, Mark, build_line, line, verdict};
use crate::domain::event::RunKind;
use crate::domain::pipeline::QueuePolicy;
use crate::domain::release::{BuildState, Release, StageState};

impl Look<'_> {
    /// The older release that goes first, with what it waits for and who can do something about that.
    pub(super) fn first_in_queue(&self) -> Option<Line> {
        if self.stage.queue != QueuePolicy::All {
            return None;
        }
        let older = self.state.releases.values().filter(|older| self.release.follows(older));
        let first = older.filter(|older| self.goes_first(older)).min_by_key(|older| older.order())?;
        let (name, version) = (&self.stage.name, &first.created.version);
        let waits = match (first.state_in(name), first.rule(name)) {
            (Some(StageState::Pending), Some(rule)) => {
                verdict(self.state, first, rule, self.now).blockers().next().cloned()
            }
            (Some(_), _) => None,
            (None, _) => Some(build_line(first)),
        };
        let word = first.state_in(name).map_or("waiting", StageState::word);
        let why = waits.as_ref().map_or_else(|| format!("{word} here"), |first| first.text.clone());
        Some(Line {
            next: waits.and_then(|first| first.next),
            ..line(Blocker::Order, Mark::Wait, format!("{version} goes first: {why}"))
        })
    }

    /// Whether an older release comes here before this one. What cannot start here keeps nobody waiting, and neither
    /// does what was built already and opened no such stage.
    fn goes_first(&self, older: &Release) -> bool {
        let name = &self.stage.name;
        let Some(rule) = older.rule(name) else { return false };
        let closed = older.unusable.contains_key(name)
            || older.retired.is_some()
            || older.moved_tag().is_some()
            || !rule.branches.take(&older.created.branch)
            || self.state.vetoes.contains_key(&(name.clone(), older.no()));
        match older.run(name) {
            Some(run) => {
                // Another try is a turn like the first one: of the deploy, or of what is asked after it.
                let open = !run.state.is_terminal() && run.kind != RunKind::Rollback;
                open && (!closed || run.state.occupies())
            }
            None => !closed && matches!(older.build, BuildState::Waiting | BuildState::Running { .. }),
        }
    }
}
