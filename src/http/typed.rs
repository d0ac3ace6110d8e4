//! Lines to type in what pages and the API say, as they are typed on this server.

use crate::domain::command::prefix::Prefix;
use crate::domain::simulate::ahead::Ahead;
use crate::http::about::{About, WaitLine};
use crate::http::api::Reply;
use crate::http::approvals::AskedLine;
use crate::http::queue::QueueLine;
use crate::http::runbooks::{MissedLine, RunLine, RunbooksPage};
use crate::http::view::{
    CheckRow, EventLine, Grid, NextLine, ReleasePage, StageBox, StageVariables, StageWhy, WhyLine,
};
use crate::store::delivery::Delivery;
use crate::trouble::Outcome;

/// What says things to people in sentences of ours; what others wrote in it is left alone.
pub(super) trait Says {
    /// Puts the server's word into every line to type.
    fn say_as(&mut self, prefix: &Prefix);

    /// The same as a value.
    fn said_as(mut self, prefix: &Prefix) -> Self
    where
        Self: Sized,
    {
        self.say_as(prefix);
        self
    }
}

impl Says for String {
    fn say_as(&mut self, prefix: &Prefix) {
        *self = prefix.show(self);
    }
}

impl<T: Says> Says for Option<T> {
    fn say_as(&mut self, prefix: &Prefix) {
        if let Some(one) = self {
            one.say_as(prefix);
        }
    }
}

impl<T: Says> Says for Vec<T> {
    fn say_as(&mut self, prefix: &Prefix) {
        for one in self {
            one.say_as(prefix);
        }
    }
}

/// What could not be had is said by the envelope.
impl<T: Says> Says for Outcome<T> {
    fn say_as(&mut self, prefix: &Prefix) {
        if let Ok(one) = self {
            one.say_as(prefix);
        }
    }
}

impl Says for ReleasePage {
    fn say_as(&mut self, prefix: &Prefix) {
        self.stages.say_as(prefix);
        self.why.say_as(prefix);
        self.next.say_as(prefix);
        self.checks.say_as(prefix);
        self.events.say_as(prefix);
        self.variables.say_as(prefix);
        for (_, text) in &mut self.facts {
            text.say_as(prefix);
        }
    }
}

impl Says for StageBox {
    fn say_as(&mut self, prefix: &Prefix) {
        self.line.say_as(prefix);
    }
}

impl Says for StageWhy {
    fn say_as(&mut self, prefix: &Prefix) {
        self.lines.say_as(prefix);
    }
}

impl Says for WhyLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.text.say_as(prefix);
        self.next.say_as(prefix);
    }
}

impl Says for NextLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.what.say_as(prefix);
        self.line = prefix.line(&self.line);
    }
}

impl Says for CheckRow {
    fn say_as(&mut self, prefix: &Prefix) {
        self.text.say_as(prefix);
    }
}

impl Says for EventLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.text.say_as(prefix);
    }
}

impl Says for StageVariables {
    fn say_as(&mut self, prefix: &Prefix) {
        self.problem.say_as(prefix);
    }
}

impl Says for Grid {
    fn say_as(&mut self, prefix: &Prefix) {
        for row in &mut self.rows {
            row.cells.say_as(prefix);
        }
    }
}

impl Says for AskedLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.why.say_as(prefix);
        self.line = prefix.line(&self.line);
    }
}

impl Says for QueueLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.line.say_as(prefix);
    }
}

impl Says for RunbooksPage {
    fn say_as(&mut self, prefix: &Prefix) {
        self.runs.say_as(prefix);
        self.missed.say_as(prefix);
    }
}

impl Says for RunLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.line.say_as(prefix);
    }
}

impl Says for MissedLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.why.say_as(prefix);
    }
}

impl Says for About {
    fn say_as(&mut self, prefix: &Prefix) {
        self.waits.say_as(prefix);
    }
}

impl Says for WaitLine {
    fn say_as(&mut self, prefix: &Prefix) {
        self.text.say_as(prefix);
        self.next.say_as(prefix);
    }
}

impl Says for Ahead {
    fn say_as(&mut self, prefix: &Prefix) {
        self.refused.say_as(prefix);
        for wait in self.stages.iter_mut().flat_map(|stage| &mut stage.waits) {
            wait.text.say_as(prefix);
            wait.next.say_as(prefix);
        }
    }
}

impl Says for Reply {
    fn say_as(&mut self, prefix: &Prefix) {
        self.text.say_as(prefix);
    }
}

impl Says for Delivery {
    fn say_as(&mut self, prefix: &Prefix) {
        self.error.say_as(prefix);
    }
}
