//! The ledger of a release: how its rows move.

use crate::domain::event::OfRun;
use crate::domain::publication::{Called, Move, Row, Said};
use crate::domain::release::TagState;
use crate::domain::state::{Illegal, State};

impl State {
    pub(super) fn publish(&mut self, fact: &OfRun<Said>) -> Result<(), Illegal> {
        self.with(fact.release, |release| {
            release.run_mut(&fact.stage, fact.attempt)?;
            let Said { publish, moved } = &fact.said;
            let row = release.ledger.remove(publish);
            if !Row::takes(row.as_ref(), moved) {
                return Err(format!("{} cannot happen now", fact.said.sentence()));
            }
            let row = Row::add(row, &fact.stage, moved);
            // The tag is among what was put, or was put for the host's release.
            let put = matches!(moved, Move::Uploaded) && publish.called() == Called::Final;
            if put && !release.created.version.is_final() && release.final_tag == TagState::Unknown {
                release.final_tag = TagState::There;
            }
            release.ledger.extend(row.map(|row| (publish.clone(), row)));
            Ok(())
        })
    }
}
