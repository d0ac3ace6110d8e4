//! Who wrote what a stage gets with the releases that wait for it.

use std::sync::Arc;

use crate::domain::approval::brought::Brought;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::state::State;

impl State {
    /// Notes it for the attempt of one release, which has just been opened.
    pub(super) fn note_brought(&mut self, no: ReleaseNo, stage: &StageName) {
        let Some(release) = self.releases.get(&no) else { return };
        let brought = Brought::of(self, release, stage);
        let run = release.run(stage).filter(|run| !run.state.is_terminal());
        if run.is_none_or(|run| run.brought == brought) {
            return;
        }
        let release = self.releases.get_mut(&no).map(Arc::make_mut);
        let run = release.and_then(|release| release.stages.get_mut(stage)?.last_mut());
        if let Some(run) = run {
            run.brought = brought;
        }
    }

    /// Notes it anew for all that are open, once the stage has had another release.
    pub(super) fn note_all_brought(&mut self, stage: &StageName) {
        let open = self.releases.values().filter(|release| release.is_open());
        let open: Vec<ReleaseNo> = open.map(|release| release.no()).collect();
        for no in open {
            self.note_brought(no, stage);
        }
    }
}
