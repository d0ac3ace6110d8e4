//! Secrets of the config that are kept sealed in the data folder, under names: `token = { sealed = "github-token" }`.
//!
//! The key is that of the library, so a copy of the data folder alone opens nothing when the key is kept elsewhere
//! (`[library] key`), and the config holds no secret at all (CHECKLIST C18).

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Config, Environment, File, Given, Problems, Reading};
use crate::artifact::file::write_synced;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};
use crate::vault::LONGEST_SECRET;
use crate::vault::seal::Key;

/// The folder of sealed secrets, below the data folder.
const FOLDER: &str = "secrets";
/// Longest name; AWS Secrets Manager, whose names Copilot writes into manifests, takes 512, file systems 255.
const MAX_NAME_BYTES: usize = 200;

/// What a sealed secret is called: letters, digits, `-`, `_` and `.`, the first one no `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SealedName(String);

impl TryFrom<String> for SealedName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = !text.is_empty() && !text.starts_with('.') && text.chars().all(plain);
        if good && text.len() <= MAX_NAME_BYTES {
            return Ok(Self(text));
        }
        let shown = crate::domain::name::printable(&text);
        Err(format!("`{shown}` is no name of a sealed secret: letters, digits, `-`, `_` and `.`"))
    }
}

impl SealedName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the sealed bytes are bound to: those of one name open under no other.
    fn place(&self) -> String {
        format!("config/{}", self.0)
    }
}

/// Where the sealed secrets of a server are, and what opens them.
#[derive(Debug)]
pub struct Seals {
    folder: PathBuf,
    key: Key,
}

impl Seals {
    /// Those of this data folder; its key is made when there is none yet.
    pub fn open(data: &Path, key: Option<&Secret>) -> Outcome<Self> {
        let folder = data.join(FOLDER);
        let fail = |e| Trouble::transient(format!("make the folder {}", folder.display())).because(e);
        std::fs::create_dir_all(&folder).map_err(fail)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(fail)?;
        let key = key.map_or_else(|| Key::of_file(&data.join("library.key")), Key::from_hex)?;
        Ok(Self { folder, key })
    }

    /// Seals a secret under a name, in the place of the one that was there.
    pub fn set(&self, name: &SealedName, secret: &Secret) -> Outcome<()> {
        if secret.expose().is_empty() || secret.expose().len() > LONGEST_SECRET {
            return Err(Trouble::refused(format!("a secret has 1 to {LONGEST_SECRET} bytes")));
        }
        write_synced(&self.folder.join(name.as_str()), &self.key.seal(&name.place(), secret)?, 0o600)
    }

    /// The secret of a name.
    pub fn get(&self, name: &SealedName) -> Outcome<Secret> {
        let path = self.folder.join(name.as_str());
        let sealed = std::fs::read(&path).map_err(|e| {
            let name = name.as_str();
            Trouble::refused(format!("there is no sealed secret; `liftlock secret set {name}` seals one"))
                .because(e)
        })?;
        self.key.open(&name.place(), &sealed)
    }
}

impl Config {
    /// The sealed secrets of a config's server, before anything else of the config can be read.
    pub fn seals(
        text: &str,
        environment: &Environment,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Seals, Problems> {
        let mut file: File = super::parse(text)?;
        let mut reading = Reading::new(environment, read_file);
        reading.overrides(&mut file);
        reading.open_seals().ok_or(Problems(reading.problems))
    }
}

impl Reading<'_> {
    /// The data folder and the key are there in the clear: they open the rest.
    fn open_seals(&mut self) -> Option<Seals> {
        let Some(data) = self.data.clone() else {
            self.problem("data is missing: name the folder for mirrors, artifacts and the database");
            return None;
        };
        let key = match self.library_key.clone() {
            Some(Given::Sealed { .. }) => {
                self.problem("library.key opens what is sealed, so it is not sealed itself");
                return None;
            }
            Some(given) => Some(self.secret("library.key", given)?),
            None => None,
        };
        match Seals::open(&data, key.as_ref()) {
            Ok(seals) => Some(seals),
            Err(trouble) => {
                self.problem(trouble.chain());
                None
            }
        }
    }

    /// A sealed secret; the folder and its key are looked at when the first one is named.
    pub(super) fn sealed(&mut self, what: &str, name: &SealedName) -> Option<String> {
        let seals = match self.seals.take() {
            Some(seals) => seals,
            None => self.open_seals()?,
        };
        let found = self.seals.insert(seals).get(name);
        match found {
            Ok(secret) => Some(secret.expose().to_owned()),
            Err(trouble) => {
                self.problem(format!("{what}: {}", trouble.chain()));
                None
            }
        }
    }
}
