//! `liftlock validate`: what checks that are built in say of files; exit 75 when there is nothing that they know.

use std::path::PathBuf;

use crate::cli::{Ended, Exit, terminal};
use crate::domain::check::BuiltIn;
use crate::domain::name::CommitSha;
use crate::trouble::Trouble;
use crate::validate;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is looked at: binary, checksum, packages, sourcelink, symbols.
    what: String,
    /// Folders and files.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The released commit, for sourcelink.
    #[arg(long)]
    commit: Option<CommitSha>,
}

pub(super) fn run(asked: &Arguments) -> Ended {
    let what = BuiltIn::of_word(&asked.what).ok_or_else(|| {
        let known: Vec<&str> = BuiltIn::ALL.iter().map(|kind| kind.word()).collect();
        Trouble::refused(format!("`{}` is none of {}", asked.what, known.join(", ")))
    })?;
    let verdict = validate::run(what, &asked.paths, asked.commit.as_ref())?;
    verdict.problems.iter().for_each(|problem| terminal::line(problem));
    let (word, count) = (what.word(), verdict.looked_at);
    if !verdict.problems.is_empty() {
        return Err(Trouble::refused(format!("{word}: {} problems in {count}", verdict.problems.len())));
    }
    if count == 0 {
        terminal::line(&format!("{word}: there is nothing to look at"));
        return Ok(Exit::CannotTell);
    }
    terminal::line(&format!("{word}: {count} looked at, nothing is wrong"));
    Ok(Exit::Done)
}
