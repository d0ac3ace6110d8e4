//! The variables of a stage as people read them: names, values, and who said otherwise; secrets as `***`.

use crate::domain::name::StageName;
use crate::domain::release::Release;
use crate::domain::variable::{
    Entry, Facts, Problem, Rank, Resolution, Value, environment_name, hidden, levels,
};

/// One variable of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name, as the winner spells it.
    pub name: String,
    /// What a command sees it as.
    pub environment: String,
    /// What it stands for, macros replaced.
    pub value: String,
    /// Everybody who says something about it, the winner first.
    pub said: Vec<Said>,
}

/// What one source says about a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How strong the source is.
    pub rank: Rank,
    /// Who.
    pub source: String,
    /// What, macros as written.
    pub value: String,
}

fn said(entry: &Entry<'_>) -> Said {
    let value = match entry.value {
        Value::Plain(text) => text.clone(),
        Value::Secret(reference) | Value::Named(reference) => hidden(reference),
    };
    Said { rank: entry.rank, source: entry.source.to_owned(), value }
}

/// Every variable of a stage, in the order of names.
pub fn variables(release: &Release, stage: &StageName) -> Result<Vec<Shown>, Problem> {
    let created = &release.created;
    let Some(stage) = created.pipeline.stage(stage) else { return Ok(Vec::new()) };
    let levels = levels(&created.pipeline, stage, (&Facts::of(release, None), &release.groups))?;
    let all = Resolution::of(&levels)?;
    let shown = |entry: &Entry<'_>| {
        let written = said(entry).value;
        let value = match entry.value {
            // What cannot be replaced is shown as written; the verdict says what is wrong with it.
            Value::Plain(text) => all.expand(text, "", &hidden).unwrap_or(written),
            Value::Secret(_) | Value::Named(_) => written,
        };
        Shown {
            name: entry.name.to_string(),
            environment: environment_name(entry.name),
            value,
            said: all.candidates(entry.name).iter().map(said).collect(),
        }
    };
    Ok(all.all().iter().map(shown).collect())
}
