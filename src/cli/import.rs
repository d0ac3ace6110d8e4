//! `liftlock import`: another tool's pipeline as a manifest to begin with, and what is left to do by hand.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::check::read;
use crate::cli::{Ended, Exit, terminal};
use crate::domain::import::{azure_release, copilot};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What the file is.
    #[arg(value_enum)]
    kind: Kind,
    /// The file.
    file: PathBuf,
    /// Where the manifest is written, if nothing is there yet; it is printed when absent.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A pipeline of AWS Copilot: `copilot/pipeline.yml`.
    Copilot,
    /// A classic release definition of Azure DevOps, as its REST API answers it.
    AzureRelease,
}

pub(super) fn run(asked: &Arguments) -> Ended {
    let text = read(&asked.file)?;
    let imported = match asked.kind {
        Kind::Copilot => copilot(&text),
        Kind::AzureRelease => azure_release(&text),
    };
    let imported = imported
        .map_err(|why| Trouble::refused(format!("{} cannot be imported: {why}", asked.file.display())))?;
    match &asked.output {
        Some(path) => {
            write_new(path, &imported.manifest)?;
            terminal::note(&format!("wrote {}; look at it with `liftlock check`", path.display()));
        }
        None => terminal::line(imported.manifest.trim_end()),
    }
    if !imported.left.is_empty() {
        terminal::note("not carried over:");
        imported.left.iter().for_each(|left| terminal::note(&format!("  - {left}")));
    }
    Ok(Exit::Done)
}

/// Never over something that is there.
fn write_new(path: &Path, text: &str) -> Result<(), Trouble> {
    let failed = |e| Trouble::transient(format!("write {}", path.display())).because(e);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|e| {
        if e.kind() == ErrorKind::AlreadyExists {
            Trouble::conflict(format!("{} is there already; name another file", path.display()))
        } else {
            failed(e)
        }
    })?;
    file.write_all(text.as_bytes()).map_err(failed)
}
