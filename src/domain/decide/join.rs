//! What other pipelines tell of their builds, and the release that joins them.

use std::collections::BTreeSet;

use crate::domain::decide::{Draft, Start};
use crate::domain::event::{BuildOutcome, Event, Failure};
use crate::domain::join::{Built, Expected, Line, Listener};
use crate::domain::name::ReleaseNo;
use crate::domain::refusal::Refusal;
use crate::domain::release::Release;

impl Draft {
    pub(super) fn expect(&mut self, push: &Expected) -> Result<(), Refusal> {
        if self.state.upstream.knows_push(push) {
            return Ok(());
        }
        self.add(Event::BuildsExpected(Box::new(push.clone())))
    }

    pub(super) fn hear_build(&mut self, built: &Built) -> Result<(), Refusal> {
        if self.state.upstream.knows(built) {
            return Ok(());
        }
        // Two repositories that take each other's builds would make releases for ever.
        if built.abroad.is_some() && built.made_of(&self.state.id.repo).contains(&self.state.id) {
            return Err(Refusal::OwnBuild);
        }
        self.add(Event::BuildHeard(Box::new(built.clone())))
    }

    pub(super) fn see_listeners(&mut self, listeners: &BTreeSet<Listener>) -> Result<(), Refusal> {
        if self.state.listeners.keys().eq(listeners) {
            return Ok(());
        }
        self.add(Event::ListenersSeen { listeners: listeners.clone() })
    }

    /// The builds that join on this line now; whoever gathered for other ones has to look again.
    pub(super) fn joined(&self, line: &Line, start: &Start) -> Result<Vec<Built>, Refusal> {
        let (joins, _) = self.state.joins();
        let join = joins.into_iter().find(|join| join.line == *line && join.at <= self.now);
        join.filter(|join| join.commit == start.commit).map(|join| join.builds).ok_or(Refusal::Stale)
    }

    /// A release that only takes what others built is sealed as it is made: there is nothing to build.
    pub(super) fn seal_inherited(&mut self, no: ReleaseNo) -> Result<(), Refusal> {
        let release = self.release(no)?;
        if release.created.pipeline.builds() {
            return Ok(());
        }
        let outcome = with_inherited(&release, &BuildOutcome::Sealed(Vec::new()));
        let sealed = matches!(outcome, BuildOutcome::Sealed(_));
        self.add(Event::BuildFinished {
            release: no,
            attempt: 1,
            outcome,
            reused: None,
            locks: None,
            executor: None,
        })?;
        if sealed { self.open_stages(no) } else { Ok(()) }
    }
}

/// What a build sealed, and with it what the release takes of other pipelines.
pub(super) fn with_inherited(release: &Release, outcome: &BuildOutcome) -> BuildOutcome {
    let BuildOutcome::Sealed(own) = outcome else { return outcome.clone() };
    match release.created.inherited() {
        Ok(inherited) => BuildOutcome::Sealed(own.iter().cloned().chain(inherited).collect()),
        Err(how) => {
            let step = "take over what other pipelines built".to_owned();
            BuildOutcome::Failed(Failure { step, how, tail: Vec::new() })
        }
    }
}
