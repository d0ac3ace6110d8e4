//! `liftlock init`: look at the project, write a starter manifest, say what comes next; nothing leaves this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::artifact::file::write_synced;
use crate::cli::{Ended, Exit, terminal};
use crate::domain::detect::{KINDS, Kind, detect, starter};
use crate::domain::manifest::NATIVE_PATHS;
use crate::domain::manifest::source::normalise_repository;
use crate::domain::name::PipelineName;
use crate::git::repo::remotes;
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The project's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The kind of project, instead of looking: see `--list`.
    #[arg(long)]
    kind: Option<String>,
    /// The pipeline's name; the repository's when absent.
    #[arg(long)]
    name: Option<PipelineName>,
    /// The address of the repository it is for, written into the manifest; the folder's remotes are listed when absent.
    #[arg(long)]
    url: Option<String>,
    /// List the kinds of projects.
    #[arg(long)]
    list: bool,
    /// Write over a manifest that is there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments) -> Ended {
    if arguments.list {
        for kind in KINDS {
            terminal::line(kind.word());
        }
        return Ok(Exit::Done);
    }
    if let Some(url) = &arguments.url {
        normalise_repository(url).map_err(Trouble::refused)?;
    }
    let kind = if let Some(word) = &arguments.kind {
        Kind::of_word(word).ok_or_else(|| {
            let all: Vec<&str> = KINDS.iter().map(|k| k.word()).collect();
            Trouble::refused(format!("there is no kind `{word}`; choose one of {}", all.join(", ")))
        })?
    } else {
        let package = std::fs::read_to_string(arguments.folder.join("package.json")).ok();
        detect(&names(&arguments.folder)?, package.as_deref()).into_iter().next().unwrap_or(Kind::Empty)
    };
    let path = arguments.folder.join(NATIVE_PATHS[0]);
    if path.exists() && !arguments.force {
        return Err(Trouble::conflict(format!(
            "{} is there already; --force writes over it",
            path.display()
        )));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|e| Trouble::transient(format!("make the folder {}", parent.display())).because(e))?;
    }
    let text = starter(kind, arguments.name.as_ref(), arguments.url.as_deref());
    write_synced(&path, text.as_bytes(), 0o644)?;
    terminal::line(&format!("wrote {} for a {} project:\n", path.display(), kind.word()));
    terminal::line(&text);
    if arguments.url.is_none() {
        for (name, url) in remotes(&arguments.folder)? {
            // What cannot be read as an address, one with a token in it among them, is not shown.
            if let Ok(repository) = normalise_repository(&url) {
                terminal::line(&format!("remote {name}: https://{repository}"));
            }
        }
    }
    terminal::line("next:");
    terminal::line("  liftlock check");
    terminal::line(&format!("  git add {} && git commit -m 'Add a release pipeline'", NATIVE_PATHS[0]));
    terminal::line("  git push");
    Ok(Exit::Done)
}

fn names(folder: &Path) -> Result<BTreeSet<String>, Trouble> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Trouble::not_found(format!("read the folder {}", folder.display())).because(e))?;
    Ok(entries.filter_map(Result::ok).filter_map(|e| e.file_name().into_string().ok()).collect())
}
