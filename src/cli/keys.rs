//! `liftlock keys`: the keys that evidence is signed with.

use crate::cli::{ConfigFile, Ended, Exit, serve, terminal};
use crate::clock;
use crate::sign::{FOLDER, Keys as Keyring, Public, minisign, ssh};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
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

pub(super) fn run(asked: &Arguments) -> Ended {
    let (KeysDo::Init { config } | KeysDo::Rotate { config } | KeysDo::Export { config, .. }) = &asked.what;
    let folder = serve::read_config(&config.config)?.data.join(FOLDER);
    let keys = match asked.what {
        KeysDo::Rotate { .. } => Keyring::rotate(&folder, clock::now())?,
        KeysDo::Init { .. } | KeysDo::Export { .. } => Keyring::of_folder(&folder, clock::now())?,
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
