//! What may be given to a runbook or a release by whoever starts it: names, values and their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::name::{RunbookName, printable};

/// Longest value of an input.
pub const VALUE_BYTES: usize = 200;

/// Something that may be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<String>,
    /// The only values it may have; anything that [`is_value`] when empty.
    pub choices: Vec<String>,
}

/// Whether a text may be an input's value: no blank, nothing a shell reads as more than a word, and no option of a
/// program, because it is a stranger's (THREATS T20).
pub fn is_value(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+,=-".contains(&b);
    text.len() <= VALUE_BYTES && !text.starts_with('-') && text.bytes().all(plain)
}

/// Whether a text may be an input's name: small letters, digits and `-`.
pub fn is_input(text: &str) -> bool {
    text.parse::<RunbookName>().is_ok()
}

/// The inputs that are given, with the defaults of the others, or why they will not do.
pub fn take(
    what: &str,
    inputs: &BTreeMap<String, Input>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let known = || {
        let all: Vec<String> = inputs.keys().map(|name| format!("`{name}`")).collect();
        if all.is_empty() { "it takes no inputs".to_owned() } else { format!("it takes {}", all.join(", ")) }
    };
    if let Some(stranger) = given.keys().find(|name| !inputs.contains_key(*name)) {
        return Err(format!("{what} has no input `{}`: {}", printable(stranger), known()));
    }
    let mut taken = BTreeMap::new();
    for (name, input) in inputs {
        let value = given.get(name).or(input.default.as_ref());
        let Some(value) = value else {
            if input.required {
                return Err(format!("{what} needs `{name}=…`, {}", input.expected()));
            }
            continue;
        };
        let fits = if input.choices.is_empty() { is_value(value) } else { input.choices.contains(value) };
        if !fits {
            return Err(format!("`{name}` is {}, and not `{}`", input.expected(), printable(value)));
        }
        taken.insert(name.clone(), value.clone());
    }
    Ok(taken)
}

/// What must be given, as one writes it: ` service=…`.
pub fn example(inputs: &BTreeMap<String, Input>) -> String {
    let needed = inputs.iter().filter(|(_, input)| input.required);
    let words = needed.map(|(name, input)| {
        let value = input.choices.first().map_or("…", String::as_str);
        format!(" {name}={value}")
    });
    words.collect()
}

impl Input {
    /// What it may be, as a sentence fragment.
    fn expected(&self) -> String {
        if self.choices.is_empty() {
            "a word of letters, digits and `._:/@+,=-`".to_owned()
        } else {
            let all: Vec<String> = self.choices.iter().map(|c| format!("`{c}`")).collect();
            format!("one of {}", all.join(", "))
        }
    }
}
