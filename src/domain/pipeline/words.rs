//! The words a script is started with: macros replaced, arguments by name or by place, each one word for the system.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::name::printable;
use crate::domain::pipeline::step::{Argument, Lack, Script};

/// Why a script cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Which argument, or nothing for the script's path.
    pub argument: Option<String>,
    /// The name no value was found for; nothing when the value is there and empty.
    pub name: Option<String>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "the argument `{argument}` has no value")?,
            None => f.write_str("the script's path is not complete")?,
        }
        match &self.name {
            Some(name) => write!(f, ": there is no `$({name})`"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Lacking {}

/// Values by name, whatever the case of their letters; dotted names are found under their variable, `INFRA_ENV`.
#[derive(Debug, Default)]
pub struct Names<'a>(BTreeMap<String, &'a str>);

impl<'a> Names<'a> {
    /// Of the variables of an environment.
    pub fn of(environment: &'a BTreeMap<String, String>) -> Self {
        Self(environment.iter().map(|(name, value)| (flat(name), value.as_str())).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(&flat(name)).copied()
    }
}

fn flat(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(upper).collect()
}

/// The text with every `$(name)` replaced and `$$(name)` as `$(name)`; the error is the first name without a value.
/// What stands in place of a macro is not looked at again, so that no value can name another.
pub fn expand(text: &str, names: &Names<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let Some((name, tail)) = after.split_once(')') else { break };
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("$(");
            out.push_str(name);
            out.push(')');
        } else {
            out.push_str(before);
            out.push_str(names.get(name.trim()).ok_or_else(|| printable(name.trim()))?);
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The path of a script and its arguments, in order.
pub fn words(script: &Script, names: &Names<'_>) -> Result<(String, Vec<String>), Lacking> {
    let path = expand(&script.path, names).map_err(|name| Lacking { argument: None, name: Some(name) })?;
    let mut words = Vec::new();
    for (at, argument) in script.arguments.iter().enumerate() {
        let Some(value) = value(argument, (at, &script.arguments), names)? else { continue };
        words.push(match &argument.name {
            Some(name) => script.shell.named(name, &value),
            None => value,
        });
    }
    Ok((path, words))
}

/// Nothing means that the script does without it.
fn value(
    argument: &Argument,
    (at, all): (usize, &[Argument]),
    names: &Names<'_>,
) -> Result<Option<String>, Lacking> {
    let found = argument.value.as_deref().map(|text| expand(text, names));
    let missing = match found {
        // A word that stands for itself may be empty: its place says what it is.
        Some(Ok(value)) if !value.is_empty() || argument.name.is_none() => return Ok(Some(value)),
        Some(Ok(_)) | None => None,
        Some(Err(name)) => Some(name),
    };
    match &argument.lack {
        Lack::Refuse => {
            let shown = argument.name.clone().unwrap_or_else(|| (at + 1).to_string());
            Err(Lacking { argument: Some(shown), name: missing })
        }
        Lack::LeaveOut => Ok(None),
        Lack::Same(other) => {
            // The manifest takes only fallbacks that have a value of their own, so this goes one step.
            let target = all.iter().enumerate().find(|(_, a)| a.name.as_ref() == Some(other));
            match target.filter(|(_, a)| a.lack == Lack::Refuse) {
                Some((at, target)) => value(target, (at, all), names),
                None => Err(Lacking { argument: argument.name.clone(), name: missing }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pipeline::step::Shell;

    fn named(name: &str, value: Option<&str>, lack: Lack) -> Argument {
        Argument { name: Some(name.to_owned()), value: value.map(str::to_owned), lack }
    }

    fn script(arguments: Vec<Argument>) -> Script {
        Script { path: "$(ArtifactsPath)/Deploy.ps1".to_owned(), shell: Shell::Pwsh, arguments }
    }

    fn infra() -> BTreeMap<String, String> {
        let pairs = [
            ("ARTIFACTSPATH", "/a/Framework"),
            ("INFRA_ENVIRONMENT_SHORTNAME", "dev"),
            ("INFRA_REGION", "weu"),
            ("Customer", "acme"),
            ("EMPTY", ""),
            ("EVIL", "-Force:$(ArtifactsPath); rm -rf /"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a29_a_missing_argument_is_named() {
        let variables = infra();
        let names = Names::of(&variables);
        let lacking = |a: Argument| words(&script(vec![a]), &names).unwrap_err().to_string();
        let unknown = named("ResourcePrefix", Some("$(Infra.Nothing)"), Lack::Refuse);
        assert_eq!(
            lacking(unknown),
            "the argument `ResourcePrefix` has no value: there is no `$(Infra.Nothing)`"
        );
        assert_eq!(
            lacking(named("ResourcePrefix", Some("$(Empty)"), Lack::Refuse)),
            "the argument `ResourcePrefix` has no value"
        );
    }

    #[test]
    fn a30_an_optional_argument_falls_back_to_another_or_is_left_out() {
        let variables = infra();
        let names = Names::of(&variables);
        let path = || named("ArtifactsPath", Some("$(ArtifactsPath)"), Lack::Refuse);
        for unset in [None, Some("$(Scripts.Path)"), Some("")] {
            let scripts = named("ArtifactsPathScripts", unset, Lack::Same("ArtifactsPath".to_owned()));
            let (file, given) = words(&script(vec![path(), scripts]), &names).unwrap();
            assert_eq!(file, "/a/Framework/Deploy.ps1");
            assert_eq!(given, ["-ArtifactsPath:/a/Framework", "-ArtifactsPathScripts:/a/Framework"]);
        }
        let set = named("ArtifactsPathScripts", Some("/s"), Lack::Same("ArtifactsPath".to_owned()));
        let without = named("WhatIf", Some("$(Nothing)"), Lack::LeaveOut);
        let (_, given) = words(&script(vec![path(), set, without]), &names).unwrap();
        assert_eq!(given, ["-ArtifactsPath:/a/Framework", "-ArtifactsPathScripts:/s"]);
    }

    #[test]
    fn a31_a_composite_argument_is_put_together_and_nothing_is_passed_as_it_stands() {
        let variables = infra();
        let names = Names::of(&variables);
        let text = "$(Infra.Environment.ShortName)-$(infra.region)-$(customer)";
        assert_eq!(expand(text, &names).unwrap(), "dev-weu-acme");
        assert_eq!(expand("$(Infra.Region)-$(Infra.Nothing)", &names), Err("Infra.Nothing".to_owned()));
        assert_eq!(
            expand("costs $$(Infra.Region) $( open", &names).unwrap(),
            "costs $(Infra.Region) $( open"
        );
    }

    #[test]
    fn t20_a_value_is_one_word_and_never_a_name_or_a_macro() {
        let variables = infra();
        let names = Names::of(&variables);
        let (_, given) = words(&script(vec![named("Note", Some("$(Evil)"), Lack::Refuse)]), &names).unwrap();
        assert_eq!(given, ["-Note:-Force:$(ArtifactsPath); rm -rf /"]);
        assert_eq!(Shell::Sh.named("note", "--help"), "--note=--help");
    }
}
