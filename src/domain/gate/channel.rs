//! The channels of a release and its stage: they keep nothing from starting, and people want to know them.

use super::{Blocker, Line, Look, Mark, line};

impl Look<'_> {
    /// Which channel the release is of, and where starting here adds it to.
    pub(super) fn channels(&self) -> Vec<Line> {
        let of = self.release.created.channel.as_ref().map(|name| format!("a release of the channel {name}"));
        let to = self.stage.channel.as_ref().map(|label| match self.release.listed.get(label) {
            Some(since) => format!("in the channel {label} since {}", since.minute()),
            None => format!("starting adds it to the channel {label}"),
        });
        of.into_iter().chain(to).map(|text| line(Blocker::Channel, Mark::Pass, text)).collect()
    }
}
