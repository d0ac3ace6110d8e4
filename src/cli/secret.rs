//! `liftlock secret`: the secrets that the server's config names and does not hold.

use crate::cli::group::from_stdin;
use crate::cli::serve::read_text;
use crate::cli::{ConfigFile, Ended, Exit, terminal};
use crate::config::Config;
use crate::config::sealed::SealedName;
use crate::secret::Secret;
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Seal what comes on standard input under a name, in the place of what had it; the server reads it when it starts.
    Set {
        /// The name, as in `token = { sealed = "github-token" }`.
        name: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Ended {
    let What::Set { name } = &arguments.what;
    let name = SealedName::try_from(name.clone()).map_err(Trouble::refused)?;
    let path = &arguments.config.config;
    let (text, environment) = read_text(path)?;
    let seals =
        Config::seals(&text, &environment, &|file| std::fs::read_to_string(file).map_err(|e| e.to_string()));
    let seals = seals.map_err(|problems| Trouble::refused(format!("{}: {problems}", path.display())))?;
    seals.set(&name, &Secret::new(from_stdin()?))?;
    let name = name.as_str();
    terminal::line(&format!("{name} is sealed; name it as {{ sealed = \"{name}\" }} in {}", path.display()));
    Ok(Exit::Done)
}
