//! The groups of a pipeline's stages from one template, such as `$(prefix).Invictus.$(stage)` (CHECKLIST A05, A06).

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::name::{GroupName, NameError};
use crate::domain::pipeline::Pipeline;

/// Why a template names no groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTemplate {
    /// It has no `$(stage)`, so that all stages would share one group.
    NoStage,
    /// Nobody says what a part of it is.
    Unknown(String),
    /// A `$(` is never closed.
    Open,
    /// What it makes is not a name.
    Name(NameError),
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStage => {
                f.write_str("the template has no `$(stage)`, so every stage would get the same group")
            }
            Self::Unknown(name) => {
                write!(
                    f,
                    "nothing says what `$({name})` is; add `--with {name}=…`, or write its value into the template"
                )
            }
            Self::Open => f.write_str("the template has a `$(` without its `)`"),
            Self::Name(error) => error.fmt(f),
        }
    }
}

/// One group name per stage, in the order of the stages. `$(stage)` and `$(pipeline)` are known, the rest is `with`;
/// case does not tell two names apart.
pub fn names(
    template: &str,
    pipeline: &Pipeline,
    with: &BTreeMap<String, String>,
) -> Result<Vec<GroupName>, BadTemplate> {
    let mut names = Vec::new();
    for stage in pipeline.stage_names() {
        let name = filled(template, &|macro_name| match macro_name.to_ascii_lowercase().as_str() {
            "stage" => Some(stage.as_str()),
            "pipeline" => Some(pipeline.name.as_str()),
            _ => with.iter().find(|(name, _)| name.eq_ignore_ascii_case(macro_name)).map(|(_, v)| v.as_str()),
        })?;
        let name = name.parse().map_err(BadTemplate::Name)?;
        if names.contains(&name) {
            return Err(BadTemplate::NoStage);
        }
        names.push(name);
    }
    Ok(names)
}

fn filled<'a>(template: &str, value: &dyn Fn(&str) -> Option<&'a str>) -> Result<String, BadTemplate> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, behind) = after.split_once(')').ok_or(BadTemplate::Open)?;
        out.push_str(before);
        out.push_str(value(name).ok_or_else(|| BadTemplate::Unknown(name.to_owned()))?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}
