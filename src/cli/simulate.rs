//! `liftlock simulate`: a manifest is tried against a scenario, without a server and without doing anything.

use std::path::PathBuf;

use crate::cli::{Ended, Exit, check, terminal};
use crate::domain::simulate::{scenario, simulate};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifest, such as .github/liftlock.yml.
    manifest: PathBuf,
    /// What happens: one line each, with a time in front (docs/simulate.md).
    scenario: PathBuf,
    /// The pipeline, where the manifest has several.
    #[arg(long)]
    pipeline: Option<String>,
    /// Play to this day, or to "2026-12-24 12:00", instead of to the last line.
    #[arg(long)]
    until: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(asked: &Arguments) -> Ended {
    let pipeline = check::pipeline(Some(&asked.manifest), asked.pipeline.as_deref())?;
    let shown = asked.scenario.display();
    let scenario = scenario::read(&check::read(&asked.scenario)?, &pipeline).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|p| format!("{shown}, {p}")).collect();
        Trouble::refused(lines.join("\nerror: "))
    })?;
    let until = asked.until.as_deref().map(|text| scenario.moment(text)).transpose();
    let until = until.map_err(|message| Trouble::refused(format!("--until: {message}")))?;
    let played = simulate(&pipeline, &scenario, until)
        .map_err(|problem| Trouble::refused(format!("{shown}, {problem}")))?;
    if asked.json {
        let text =
            serde_json::to_string(&played).map_err(|e| Trouble::bug("write the transcript").because(e))?;
        terminal::line(&text);
    } else {
        terminal::line(played.text().trim_end());
    }
    Ok(if played.passes() { Exit::Done } else { Exit::Failed })
}
