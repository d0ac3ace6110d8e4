//! `liftlock verify` and `liftlock keys`: checking what a release proves, offline, and the keys it is proven with.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::artifact::hashing::digest_of;
use crate::cli::{ConfigFile, Ended, Exit, serve, terminal};
use crate::clock;
use crate::domain::evidence::PAYLOAD_TYPE;
use crate::domain::evidence::claim::{Claim, claim};
use crate::domain::name::Digest;
use crate::sign::{Envelope, FOLDER, Public, minisign, ssh};
use crate::trouble::{Outcome, Trouble};

/// Largest file of statements or keys that is read: a statement has some kilobytes.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The file.
    file: PathBuf,
    /// Its statements, one envelope a line; `<file>.intoto.jsonl` by default.
    #[arg(long)]
    provenance: Option<PathBuf>,
    /// The public keys that are trusted, as the server's `/keys` gives them.
    #[arg(long)]
    keys: PathBuf,
    /// It must be of this repository.
    #[arg(long)]
    repository: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    what: KeysDo,
}

#[derive(Debug, clap::Subcommand)]
enum KeysDo {
    /// Make the first keys now, rather than when something is to be signed; where there are some, nothing happens.
    Init {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Make new keys, which sign from now on; older ones stay, to be checked against.
    Rotate {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print the public halves, newest first, with the times in which each signed.
    Export {
        /// For what.
        #[arg(long, value_enum, default_value = "pem")]
        format: Format,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Who is to read public keys.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// `liftlock verify` and openssl: all of them.
    Pem,
    /// `ssh-keygen -Y verify`: a file of allowed signers.
    Ssh,
    /// `minisign -V`.
    Minisign,
}

/// Absent, unreadable or foreign evidence proves nothing: only one way leads to exit 0 (THREATS T45).
pub(super) fn verify(asked: &Verify) -> Ended {
    let digest = hashed(&asked.file)?;
    let beside = || PathBuf::from(format!("{}.intoto.jsonl", asked.file.display()));
    let path = asked.provenance.clone().unwrap_or_else(beside);
    let keys = Public::all_of_pem(&text(&asked.keys)?)
        .map_err(|why| Trouble::refused(format!("{}: {why}", asked.keys.display())))?;
    let lines = text(&path)?;
    let mut whys: Vec<String> = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        match proven(line, &keys, &digest) {
            Ok(claim) => match asked.repository.as_ref().filter(|wanted| **wanted != claim.repository) {
                None => return Ok(told(asked, &digest, &claim)),
                Some(wanted) => whys.push(format!("it is of {}, not of {wanted}", claim.repository)),
            },
            Err(why) => whys.push(why),
        }
    }
    let why = if whys.is_empty() { "there is no statement in it".to_owned() } else { whys.join("; ") };
    Err(Trouble::refused(format!("{} is not proven by {}: {why}", asked.file.display(), path.display())))
}

fn proven(line: &str, keys: &[Public], digest: &Digest) -> Result<Claim, String> {
    let envelope: Envelope =
        serde_json::from_str(line).map_err(|_| "a line of it is no signed statement".to_owned())?;
    let payload = envelope.open(PAYLOAD_TYPE, keys)?;
    let statement: Value =
        serde_json::from_slice(&payload).map_err(|_| "what is signed is no statement".to_owned())?;
    claim(&statement, digest)
}

fn told(asked: &Verify, digest: &Digest, claim: &Claim) -> Exit {
    if asked.json {
        let all = json!({
            "file": asked.file.display().to_string(),
            "digest": digest,
            "name": claim.name,
            "repository": claim.repository,
            "version": claim.version,
            "commit": claim.commit,
            "builder": claim.builder,
        });
        terminal::line(&all.to_string());
    } else {
        terminal::line(&format!("{} is {digest}", asked.file.display()));
        terminal::line(&format!(
            "{} of {} {}, built by {} from commit {}",
            claim.name, claim.repository, claim.version, claim.builder, claim.commit
        ));
    }
    Exit::Done
}

fn hashed(path: &Path) -> Outcome<Digest> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut file = File::open(path).map_err(fail)?;
    digest_of(&mut file).map(|(digest, _)| digest).map_err(fail)
}

fn text(path: &Path) -> Outcome<String> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut text = String::new();
    File::open(path).map_err(fail)?.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

pub(super) fn keys(asked: &Keys) -> Ended {
    let (KeysDo::Init { config } | KeysDo::Rotate { config } | KeysDo::Export { config, .. }) = &asked.what;
    let folder = serve::read_config(&config.config)?.data.join(FOLDER);
    let keys = match asked.what {
        KeysDo::Rotate { .. } => crate::sign::Keys::rotate(&folder, clock::now())?,
        KeysDo::Init { .. } | KeysDo::Export { .. } => crate::sign::Keys::of_folder(&folder, clock::now())?,
    };
    let format = match asked.what {
        KeysDo::Export { format, .. } => format,
        KeysDo::Init { .. } | KeysDo::Rotate { .. } => Format::Pem,
    };
    let text = |key: &Public| match format {
        Format::Pem => Some(key.to_string()),
        Format::Ssh => ssh::allowed_signer(key),
        Format::Minisign => minisign::public(key),
    };
    let text: String = keys.public()?.iter().filter_map(text).collect();
    terminal::line(text.trim_end());
    Ok(Exit::Done)
}
