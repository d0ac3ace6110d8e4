//! Variables as a process sees them: `Invictus.Secrets.ApiKey1.Name` is `INVICTUS_SECRETS_APIKEY1_NAME` (row A07).

use std::collections::BTreeMap;

use crate::domain::name::VariableName;
use crate::domain::variable::expand::Reveal;
use crate::domain::variable::{Problem, Rank, Resolution, Value};

/// Most bytes of variables for one process: half of what Linux gives arguments and environment together.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// What every step has, or what a shell or loader acts on: a variable that becomes one of these would change how
/// commands run, not what they are told.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "CI",
    "STAGE",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PSMODULEPATH",
    "PWD",
    "SHELL",
    "USER",
    "TMPDIR",
    "FENCE_TOKEN",
    "RELEASE_DIGEST",
];
/// Beginnings that are ours, Copilot's or the loader's.
const RESERVED_BEGINNINGS: &[&str] = &["LIFTLOCK_", "COPILOT_", "LD_"];

/// The name a process sees: capitals, and `_` for `.` and `-`.
pub fn environment_name(name: &VariableName) -> String {
    name.as_str().chars().map(|c| if matches!(c, '.' | '-') { '_' } else { c.to_ascii_uppercase() }).collect()
}

/// What commands find the place of an artifact in.
pub fn artifact_variable(alias: &str) -> String {
    of_alias("LIFTLOCK_ARTIFACT", alias)
}

/// What commands find the name of an image in, with its digest.
pub fn image_variable(alias: &str) -> String {
    of_alias("LIFTLOCK_IMAGE", alias)
}

fn of_alias(what: &str, alias: &str) -> String {
    format!("{what}_{}", alias.to_uppercase().replace('-', "_"))
}

/// Whether a variable of the environment is not a manifest's to give.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_BEGINNINGS.iter().any(|start| name.starts_with(start))
}

impl Resolution<'_> {
    /// Every variable as the environment of a process.
    pub fn environment(&self, reveal: Reveal<'_>) -> Result<BTreeMap<String, String>, Problem> {
        let mut out = BTreeMap::new();
        let mut names: BTreeMap<String, &VariableName> = BTreeMap::new();
        let mut bytes: usize = 0;
        for entry in self.all() {
            let becomes = environment_name(entry.name);
            if entry.rank != Rank::Predefined && is_reserved(&becomes) {
                return Err(Problem::Reserved { name: entry.name.clone(), becomes });
            }
            if let Some(other) = names.insert(becomes.clone(), entry.name) {
                let (first, second) = (format!("variable `{other}`"), format!("variable `{}`", entry.name));
                return Err(Problem::Clash { first, second, becomes });
            }
            let value = match entry.value {
                Value::Plain(text) => self.expand(text, &format!("variable `{}`", entry.name), reveal)?,
                Value::Secret(reference) | Value::Named(reference) => reveal(reference),
            };
            bytes = bytes.saturating_add(becomes.len()).saturating_add(value.len());
            out.insert(becomes, value);
        }
        if bytes > MAX_BYTES { Err(Problem::Many { bytes }) } else { Ok(out) }
    }

    /// Names that a manifest gives the environment by itself must not be those of variables.
    pub(super) fn apart<'n>(
        &self,
        exported: &BTreeMap<String, String>,
        (given, whose): (impl Iterator<Item = &'n String>, &str),
    ) -> Result<(), Problem> {
        for name in given.filter(|name| exported.contains_key(*name)) {
            let variable = self.all().iter().find(|e| environment_name(e.name) == *name);
            let Some(variable) = variable.filter(|e| e.rank != Rank::Predefined) else { continue };
            return Err(Problem::Clash {
                first: format!("variable `{}`", variable.name),
                second: format!("{whose} `{name}`"),
                becomes: name.clone(),
            });
        }
        Ok(())
    }
}
