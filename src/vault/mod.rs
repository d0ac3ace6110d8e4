//! Where secrets are kept: sealed under this server's key, or fetched by reference from what its config names.
//!
//! A reference comes from a group's administrator or from a repository, so it never says what is run or read: it
//! names a store of the config, a variable listed there, or a file below a folder listed there. What a store's command
//! complains of is not repeated, for nobody can know what it prints.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::name::SecretAddress;
use crate::domain::time::{Span, Timestamp};
use crate::mask::SHORTEST_BYTES;
use crate::secret::{Allowed, Asking, Secret};
use crate::trouble::{Outcome, Trouble};

mod command;
pub mod seal;

use seal::Key;

/// Longest secret; Linux takes 128 KiB for one variable and its name.
pub const LONGEST_SECRET: usize = 64 << 10;
/// The store of values that are sealed in the database.
pub const SEALED: &str = "sealed";
/// The store of variables of the server.
const ENV: &str = "env";
/// The store of files of the server.
const FILE: &str = "file";
/// The store of commands that take no path: `exec:<name>`.
const EXEC: &str = "exec";
/// Stores that are not commands, so that no command may have their names.
pub const BUILT_IN: [&str; 4] = [SEALED, ENV, FILE, EXEC];

/// What references may reach, from the server's config.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Variables of the server's environment, for `env:NAME`.
    pub env: BTreeMap<String, Secret>,
    /// Folders whose files may be read, for `file:/path`.
    pub files: Vec<PathBuf>,
    /// Commands, for `<name>:<path>#<key>`, or for `exec:<name>` when they need neither.
    pub stores: BTreeMap<String, Command>,
}

/// A command that prints a secret.
#[derive(Clone)]
pub struct Command {
    /// The program and its arguments; `{path}` and `{key}` are replaced inside an argument, and no shell is between.
    pub argv: Vec<String>,
    /// Its environment, beside a path.
    pub environment: BTreeMap<String, Secret>,
    /// How long it may take.
    pub timeout: Span,
    /// What it reads.
    pub input: Input,
    /// The stages whose manifests may name its secrets themselves. What groups of the library refer to is for
    /// whoever may use the group.
    pub allow: Vec<Allowed>,
}

/// What a store's command reads from its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Nothing.
    #[default]
    Nothing,
    /// The file of the released commit that the reference's path names: `age --decrypt` needs no more.
    Repository,
}

/// Without the environment, which may hold the store's own token.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("argv", &self.argv).finish_non_exhaustive()
    }
}

/// A secret as a step gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The value.
    pub value: Secret,
    /// Which state of the store it is, without a word of the value: a version, or a time.
    pub version: String,
}

/// All places secrets may be in.
#[derive(Debug)]
pub struct Vault {
    settings: Settings,
    key: Key,
}

impl Vault {
    /// A vault with these stores; `key` seals what is kept in the database.
    pub fn new(settings: Settings, key: Key) -> Self {
        Self { settings, key }
    }

    /// The key that seals.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Texts of the settings that must never be shown.
    pub fn hidden(&self) -> impl Iterator<Item = &Secret> {
        let of_commands = self.settings.stores.values().flat_map(|command| command.environment.values());
        self.settings.env.values().chain(of_commands)
    }

    /// Whether a reference names something that the config allows; said when it is set, not when a stage waits for it.
    pub fn check(&self, at: &SecretAddress) -> Outcome<()> {
        match at.store() {
            ENV => self.variable(at).map(|_| ()),
            FILE => self.folder_of(Path::new(at.path()), at).map(|_| ()),
            _ => self.command(at).map(|_| ()),
        }
    }

    /// Whether this stage's manifest may name this secret itself: only in a store whose config says so, for
    /// everybody who may push to a repository could name any.
    pub fn may_name(&self, at: &SecretAddress, asking: Asking<'_>) -> Outcome<()> {
        if [SEALED, ENV, FILE].contains(&at.store()) {
            return Err(Trouble::refused(format!(
                "a manifest may not name {at}: only groups of the library have secrets of `{}`",
                at.store()
            )));
        }
        if self.command(at)?.allow.iter().any(|allowed| allowed.is(asking)) {
            return Ok(());
        }
        Err(Trouble::refused(format!(
            "{at} is not for {asking}; `allow` of the secret store in the server's config says for whom"
        )))
    }

    /// Whether the store of this secret reads a file of the released commit.
    pub fn wants_file(&self, at: &SecretAddress) -> bool {
        ![SEALED, ENV, FILE].contains(&at.store())
            && self.command(at).is_ok_and(|command| command.input == Input::Repository)
    }

    /// Fetches a secret of any store but the sealed ones, which the library reads; `file` is what
    /// [`Vault::wants_file`] asks for. A failure that may pass is transient: the store is slow, down, or says no today.
    pub async fn fetch(&self, at: &SecretAddress, file: &[u8], now: Timestamp) -> Outcome<Fetched> {
        let (text, version) = match at.store() {
            ENV => (self.variable(at)?.expose().to_owned(), "since the server's start".to_owned()),
            FILE => self.file(at)?,
            _ => (self.command(at)?.run(at, file).await?, format!("at {}", now.rfc3339())),
        };
        let text = text.trim_end_matches(['\n', '\r']);
        usable(text).map_err(|why| Trouble::refused(format!("the secret {at} {why}")))?;
        Ok(Fetched { value: Secret::new(text), version })
    }

    fn variable(&self, at: &SecretAddress) -> Outcome<&Secret> {
        self.settings.env.get(at.path()).ok_or_else(|| {
            Trouble::refused(format!(
                "{at} is not allowed: add \"{}\" to `[library] env` in the server's config",
                at.path()
            ))
        })
    }

    /// `exec:<name>` and `<name>:<path>` both name a command of the config.
    fn command(&self, at: &SecretAddress) -> Outcome<&Command> {
        let name = if at.store() == EXEC { at.path() } else { at.store() };
        self.settings.stores.get(name).ok_or_else(|| {
            Trouble::refused(format!(
                "{at} is not allowed: the server's config has no secret store `{name}`; \
                 add `[library.stores.{name}]` with its `command`"
            ))
        })
    }

    /// The listed folder that a path is in.
    fn folder_of(&self, path: &Path, at: &SecretAddress) -> Outcome<&Path> {
        let listed = self.settings.files.iter().find(|folder| path.starts_with(folder));
        listed.map(PathBuf::as_path).ok_or_else(|| {
            Trouble::refused(format!(
                "{at} is not allowed: its folder is not in `[library] files` of the server's config"
            ))
        })
    }

    fn file(&self, at: &SecretAddress) -> Outcome<(String, String)> {
        let path = Path::new(at.path());
        let folder = self.folder_of(path, at)?;
        let gone =
            |e: std::io::Error| Trouble::transient(format!("the secret {at} cannot be read")).because(e);
        // A link may lead out of the folder: what counts is where the bytes are.
        let (real, inside) = (path.canonicalize().map_err(gone)?, folder.canonicalize().map_err(gone)?);
        let about = real.metadata().map_err(gone)?;
        if !real.starts_with(inside) || !about.is_file() {
            return Err(Trouble::refused(format!("the secret {at} is not a file inside its listed folder")));
        }
        if about.len() > u64::try_from(LONGEST_SECRET).unwrap_or(u64::MAX) {
            return Err(Trouble::refused(format!(
                "the secret {at} is longer than {} KiB",
                LONGEST_SECRET >> 10
            )));
        }
        let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let changed =
            changed.and_then(|since| i64::try_from(since.as_millis()).ok()).map_or(Timestamp(0), Timestamp);
        let text = std::fs::read_to_string(&real).map_err(gone)?;
        Ok((text, format!("of {}", changed.rfc3339())))
    }
}

/// Whether a text can be a secret at all: what cannot be hidden in a log is refused before a step has it.
pub fn usable(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.trim().len() < SHORTEST_BYTES {
        return Err("is too short to be hidden in logs: at least 4 characters");
    }
    if text.len() > LONGEST_SECRET {
        return Err("is longer than 64 KiB");
    }
    if text.contains('\0') {
        return Err("holds a NUL, which no variable can hold");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
