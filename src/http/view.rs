//! What pages and the API show: plain values, filled from stored rows here and by the engine for one release.

mod glance;
mod grid;
mod reasons;
mod release;
mod variables;

use crate::store::delivery::Delivery;

pub use glance::{Light, Link, plain_line, readable};
pub(super) use glance::{rfc3339, rfc3339_or_null, spans};
pub use grid::{Grid, GridRow, Overview, ReleaseHead, StageBox};
pub use reasons::{
    ApprovalLine, AskedRow, AskedTable, CheckRow, Mark, NextLine, OverrideLine, StageWhy, WhyLine,
};
pub use release::{
    ArtifactLine, BuildBox, ChangeLine, EventLine, FileLine, MadeLine, ReleasePage, ReusedLine,
};
pub use variables::{SaidLine, StageVariables, VariableLine};

/// A delivery with what pages say about it.
#[derive(Debug, Clone)]
pub(super) struct Shown(pub(super) Delivery);

impl std::ops::Deref for Shown {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.0
    }
}

impl Shown {
    /// How far it has come, at a glance.
    pub(super) fn light(&self) -> Light {
        Light::of(self.0.state.word())
    }

    /// Its size as people say it.
    pub(super) fn readable_size(&self) -> String {
        readable(u64::try_from(self.0.size).unwrap_or(0))
    }
}
