//! What a step writes down for later steps: lines `name=value` in the file `$LIFTLOCK_OUTPUT`.

use std::path::Path;

use crate::domain::name::printable;
use crate::domain::pipeline::step::Output;
use crate::domain::progress::Outputs;
use crate::domain::variable::environment_name;
use crate::mask::Mask;
use crate::trouble::{Outcome, Trouble};

/// Most bytes of one step's outputs: they are stored in the log of events for ever.
pub const MOST_BYTES: u64 = 64 * 1024;

/// What a step wrote.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Declared values; of two with one name the later one.
    pub outputs: Outputs,
    /// Lines that say nothing, for the log.
    pub ignored: Vec<String>,
}

/// Reads the file after the step; what is not a file of its own any more has nothing in it.
pub fn take(path: &Path) -> Outcome<Result<String, String>> {
    let unreadable =
        |e| Trouble::transient(format!("read what a step wrote to {}", path.display())).because(e);
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() && meta.len() > MOST_BYTES => {
            Ok(Err(format!("wrote more than {} KiB of outputs", MOST_BYTES / 1024)))
        }
        Ok(meta) if meta.is_file() => {
            let bytes = std::fs::read(path).map_err(unreadable)?;
            Ok(String::from_utf8(bytes).map_err(|_| "wrote outputs that are not text".to_owned()))
        }
        Ok(_) => Ok(Ok(String::new())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ok(String::new())),
        Err(e) => Err(unreadable(e)),
    }
}

/// The values of declared names; the error is why the step has failed with them.
pub fn read(text: &str, declared: &[Output], mask: &Mask) -> Result<Written, String> {
    let mut written = Written::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once('=') else {
            written.ignored.push(format!("`{}` is not `name=value`", printable(line)));
            continue;
        };
        let name = name.trim();
        let same = |output: &&Output| output.name.as_str() == name || environment_name(&output.name) == name;
        let Some(output) = declared.iter().find(same) else {
            written.ignored.push(format!("`{}` is not one of the step's `outputs`", printable(name)));
            continue;
        };
        if value.contains('\0') {
            return Err(format!("wrote a NUL character to the output `{}`", output.name));
        }
        // It would stand in the log of events, in the environment of every later step and of later releases.
        if mask.apply(value) != value {
            return Err(format!("wrote a secret to the output `{}`; secrets are not kept", output.name));
        }
        written.outputs.insert(output.name.clone(), value.to_owned());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn declared(names: &[&str]) -> Vec<Output> {
        names.iter().map(|name| Output { name: name.parse().unwrap(), keep: false }).collect()
    }

    #[test]
    fn a20_declared_names_have_values_and_the_last_one_counts() {
        let mask = Mask::new(&[]);
        let text = "stopped=a\n\nstopped=a b=c\nPOLICIES=[{\"x\": 1}]\nother=1\nno value\n";
        let written = read(text, &declared(&["stopped", "policies"]), &mask).unwrap();
        let outputs: Vec<(&str, &str)> =
            written.outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(outputs, [("policies", "[{\"x\": 1}]"), ("stopped", "a b=c")]);
        assert_eq!(
            written.ignored,
            ["`other` is not one of the step's `outputs`", "`no value` is not `name=value`"]
        );
    }

    #[test]
    fn t47_a_secret_is_not_an_output_in_any_spelling() {
        let mask = Mask::new(&[Secret::new("canary-4711")]);
        for value in ["canary-4711", "x canary-4711 y", "Y2FuYXJ5LTQ3MTE=", "canary%2D4711"] {
            let why = read(&format!("key={value}\n"), &declared(&["key"]), &mask).unwrap_err();
            assert_eq!(why, "wrote a secret to the output `key`; secrets are not kept");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_a_link_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (long, link) = (folder.path().join("long"), folder.path().join("link"));
        std::fs::File::create(&long).unwrap().set_len(70_000).unwrap();
        assert_eq!(take(&long).unwrap(), Err("wrote more than 64 KiB of outputs".to_owned()));
        std::os::unix::fs::symlink(&long, &link).unwrap();
        assert_eq!(take(&link).unwrap(), Ok(String::new()));
        assert_eq!(take(&folder.path().join("none")).unwrap(), Ok(String::new()));
    }
}
