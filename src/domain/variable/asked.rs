//! Macros in what the checks of a stage ask.

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::domain::check::{Check, CheckKind};
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::step::Shell;
use crate::domain::probe::{Awaited, ChecksProbe, HttpProbe, Probe, StatusProbe};
use crate::domain::release::Release;
use crate::domain::variable::{Facts, Problem, Resolution, ShellText, levels};

impl Resolution<'_> {
    /// What a check asks, with the values of its macros: a command has them as references, like every step, and a
    /// probe as text, so that a secret has no place in one.
    pub fn asked(&self, check: &Check) -> Result<CheckKind, Problem> {
        let used = format!("check `{}`", check.name);
        Ok(match &check.kind {
            CheckKind::Run(text) => {
                let script = ShellText { text, shell: Shell::Sh, given: &BTreeSet::new() };
                CheckKind::Run(self.expand_shell(&script, &used)?)
            }
            CheckKind::Probe(probe) => CheckKind::Probe(self.probe(probe, &used)?),
            CheckKind::BuiltIn(what) => CheckKind::BuiltIn(*what),
        })
    }

    fn probe(&self, probe: &Probe, used: &str) -> Result<Probe, Problem> {
        let secret = Cell::new(false);
        let reveal = |_: &str| {
            secret.set(true);
            String::new()
        };
        let text = |text: &String| self.expand(text, used, &reveal);
        let status = |of: &StatusProbe| Ok(StatusProbe { context: text(&of.context)?, by: of.by.clone() });
        let checks = |of: &ChecksProbe| Ok(ChecksProbe { name: text(&of.name)?, app: of.app });
        let probe = match probe {
            Probe::Http(http) => Probe::Http(HttpProbe {
                url: text(&http.url)?,
                body_contains: http.body_contains.as_ref().map(text).transpose()?,
                ..http.clone()
            }),
            Probe::Status(of) => Probe::Status(status(of)?),
            Probe::Checks(of) => Probe::Checks(checks(of)?),
            Probe::WaitFor(Awaited::Status(of)) => Probe::WaitFor(Awaited::Status(status(of)?)),
            Probe::WaitFor(Awaited::Checks(of)) => Probe::WaitFor(Awaited::Checks(checks(of)?)),
            Probe::Issues { query, max } => Probe::Issues { query: text(query)?, max: *max },
            Probe::Metric { server, query, pass } => {
                Probe::Metric { server: text(server)?, query: text(query)?, pass: *pass }
            }
        };
        if secret.get() { Err(Problem::Open { used: used.to_owned() }) } else { Ok(probe) }
    }
}

/// What a check asks of a release in a stage; most checks have no macros, and gates are asked every minute.
pub fn question(release: &Release, stage: &Stage, check: &Check) -> Result<CheckKind, Problem> {
    if texts(check).iter().all(|text| !text.contains("$(")) {
        return Ok(check.kind.clone());
    }
    let facts = Facts::of(release, None);
    let levels = levels(&release.created.pipeline, stage, (&facts, &release.groups))?;
    Resolution::of(&levels)?.asked(check)
}

/// The texts of a check that may hold macros.
pub(super) fn texts(check: &Check) -> Vec<&String> {
    match &check.kind {
        CheckKind::Run(text) => vec![text],
        CheckKind::BuiltIn(_) => Vec::new(),
        CheckKind::Probe(Probe::Http(http)) => [&http.url].into_iter().chain(&http.body_contains).collect(),
        CheckKind::Probe(
            Probe::Status(StatusProbe { context: name, .. })
            | Probe::Checks(ChecksProbe { name, .. })
            | Probe::WaitFor(
                Awaited::Status(StatusProbe { context: name, .. })
                | Awaited::Checks(ChecksProbe { name, .. }),
            )
            | Probe::Issues { query: name, .. },
        ) => vec![name],
        CheckKind::Probe(Probe::Metric { server, query, .. }) => vec![server, query],
    }
}
