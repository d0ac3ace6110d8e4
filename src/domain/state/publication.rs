//! The ledger of a release: how its rows move.

use crate::domain::event::OfRun;
use crate::domain::publication::{Row, Said};
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
            release.ledger.extend(row.map(|row| (publish.clone(), row)));
            Ok(())
        })
    }
}
