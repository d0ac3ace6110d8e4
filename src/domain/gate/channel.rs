//! The channels, the track and the branch of a release: whether its stage takes it, and what people want to know of it.

use super::{Blocker, Line, Look, Mark, line};
use crate::domain::event::RunKind;

impl Look<'_> {
    /// Which channel and track the release is of, and where starting here adds it to.
    pub(super) fn channels(&self) -> Vec<Line> {
        let of = self.release.created.channel.as_ref().map(|name| format!("a release of the channel {name}"));
        let to = self.stage.channels.iter().map(|label| match self.release.listed.get(label) {
            Some(since) => format!("in the channel {label} since {}", since.minute()),
            None => format!("starting adds it to the channel {label}"),
        });
        let track = self.release.track().map(|track| {
            let others = format!("releases of another {} are not in its way, nor it in theirs", track.input);
            format!("a release of {track}: {others}")
        });
        let told = of.into_iter().chain(track).chain(to).map(|text| line(Blocker::Channel, Mark::Pass, text));
        told.chain(self.branch()).collect()
    }

    /// A release of another branch has no such stage from its creation on, as far as its own manifest says so; this
    /// is for what other sources of policy say, and for what they say since. What was here before may come back.
    fn branch(&self) -> Option<Line> {
        let branch = &self.release.created.branch;
        if self.run.kind == RunKind::Rollback || self.stage.branches.take(branch) {
            return None;
        }
        let text = format!(
            "{} takes releases of the branches {}, and this is one of {branch}",
            self.stage.name, self.stage.branches
        );
        let next = Some("somebody with write pushes the change to such a branch".to_owned());
        Some(Line { next, ..line(Blocker::Channel, Mark::Stop, text) })
    }
}
