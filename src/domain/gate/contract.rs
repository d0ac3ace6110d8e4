//! The line about what a contract is read off: nothing of the release starts before that is signed.

use crate::domain::evidence::Matter;
use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::release::BuildState;

impl Look<'_> {
    /// Whether the lists and statements are there that a contract asks for; what is missing is not passed over.
    pub(super) fn evidence(&self) -> Option<Line> {
        let release = self.release;
        let asked = release.rules.release.contract.is_some() && !release.artifacts.is_empty();
        if !asked || release.build != BuildState::Sealed || release.signed(&Matter::Build).is_some() {
            return None;
        }
        let next = "if that stays so, whoever runs the server looks into its log and `liftlock doctor`";
        let text = "the checksums and statements that its contract asks for are being signed";
        Some(Line { next: Some(next.to_owned()), ..line(Blocker::Build, Mark::Wait, text) })
    }
}
