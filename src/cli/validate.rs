//! `liftlock validate`: what checks that are built in say of files; exit 75 when there is nothing that they know.

use std::path::PathBuf;

use crate::cli::{Ended, Exit, terminal};
use crate::domain::check::BuiltIn;
use crate::domain::contract::Contract;
use crate::domain::name::CommitSha;
use crate::sign::{Public, minisign, ssh};
use crate::trouble::Trouble;
use crate::validate::{self, Promise, Seal};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is looked at: asset, binary, checksum, coherent, contract, packages, signing, sourcelink, symbols.
    what: String,
    /// Folders and files.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The commits that were built, for sourcelink.
    #[arg(long)]
    commit: Vec<CommitSha>,
    /// The release's contract as JSON, for asset, contract and signing; each path is called as its artifact.
    #[arg(long, env = "LIFTLOCK_CONTRACT", hide_env_values = true, value_parser = read)]
    contract: Option<Contract>,
}

fn read(text: &str) -> Result<Contract, String> {
    serde_json::from_str(text).map_err(|e| format!("it is no contract: {e}"))
}

pub(super) fn run(asked: &Arguments) -> Ended {
    let what = BuiltIn::of_word(&asked.what).ok_or_else(|| {
        let known: Vec<&str> = BuiltIn::ALL.iter().map(|kind| kind.word()).collect();
        Trouble::refused(format!("`{}` is none of {}", asked.what, known.join(", ")))
    })?;
    let contract = asked.contract.as_ref();
    let keys = contract.and_then(|contract| contract.keys.as_ref());
    let keys: Vec<Public> =
        keys.into_iter().flatten().map(Public::of_key).collect::<Result<_, _>>().map_err(Trouble::refused)?;
    let proof = |seal: Seal, signature: &str, file: &[u8]| match seal {
        Seal::Ssh => ssh::verify(signature, file, &keys),
        Seal::Minisign => minisign::verify(signature, file, &keys),
        Seal::Gpg => Err("nothing here knows GPG's keys".to_owned()),
    };
    let promise = Promise { roots: &asked.paths, commits: &asked.commit, contract, proof: &proof };
    let verdict = validate::run(what, &promise)?;
    let (word, count) = (what.word(), verdict.looked_at);
    verdict.problems.iter().chain(&verdict.notes).for_each(|said| terminal::line(said));
    if let [first, rest @ ..] = verdict.problems.as_slice() {
        // The last line is what people are told first.
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        return Err(Trouble::refused(format!("{word}: {first}{more}")));
    }
    if count == 0 {
        terminal::line(&format!("{word}: there is nothing to look at"));
        return Ok(Exit::CannotTell);
    }
    terminal::line(&format!("{word}: {count} looked at, nothing is wrong"));
    Ok(Exit::Done)
}
