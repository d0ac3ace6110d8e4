//! `liftlock verify`: a file, a downloaded release or a release on a server, checked offline with public keys.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{Ended, Exit, Server, terminal};
use crate::domain::evidence::claim::{Built, Claim};
use crate::domain::name::{Digest, printable};
use crate::sign::Public;
use crate::trouble::{Outcome, Trouble};

mod chain;
pub(super) mod fetch;
pub(super) mod folder;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file with its statements beside it, a folder with the files of a release and their evidence, or a release on
    /// a server: the address of its page, or `<repository>/<pipeline>/<number>` of --server.
    what: String,
    /// The statements about a file, one envelope a line; `<file>.intoto.jsonl` by default.
    #[arg(long)]
    provenance: Option<PathBuf>,
    /// The public keys that are trusted, as the server's `/keys` gives them.
    #[arg(long)]
    keys: PathBuf,
    /// It must be of this repository.
    #[arg(long)]
    repository: Option<String>,
    /// It must be of the release with this version.
    #[arg(long)]
    version: Option<String>,
    /// It must have been found good in this stage.
    #[arg(long)]
    stage: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// A file, and what is proven about it.
#[derive(Debug)]
struct Checked {
    /// Its name.
    file: String,
    /// Its digest.
    digest: Digest,
    /// The release that all of it is about, as its page is called; some of it may be about files alone.
    release: Option<String>,
    /// The signed lists that it is in.
    sums: Vec<String>,
    /// What signed statements claim about it, oldest first.
    claims: Vec<Claim>,
}

/// Absent, unreadable or foreign evidence proves nothing: only one way leads to exit 0 (THREATS T45).
pub(super) async fn run(asked: &Arguments) -> Ended {
    let keys = Public::all_of_pem(&folder::text(&asked.keys)?)
        .map_err(|why| Trouble::refused(format!("{}: {why}", asked.keys.display())))?;
    let path = Path::new(&asked.what);
    let checked = if path.is_dir() {
        folder::release(path, &keys, None)?
    } else if path.exists() || fetch::address(&asked.what, &asked.server).is_none() {
        let beside = || PathBuf::from(format!("{}.intoto.jsonl", path.display()));
        vec![folder::file(path, &asked.provenance.clone().unwrap_or_else(beside), &keys)?]
    } else {
        fetch::release(asked, &keys).await?
    };
    checked.iter().try_for_each(|file| file.is_wanted(asked))?;
    if asked.server.json {
        let files: Vec<Value> = checked.iter().map(Checked::json).collect();
        terminal::line(&json!({"verified": asked.what, "files": files}).to_string());
    } else {
        checked.iter().for_each(Checked::tell);
    }
    Ok(Exit::Done)
}

impl Checked {
    fn built(&self) -> Option<&Built> {
        self.claims.iter().find_map(|claim| {
            let Claim::Built(built) = claim else { return None };
            Some(built)
        })
    }

    /// The version of the release that it is of; of a file that was taken over it is not the one that it was built for.
    fn version(&self) -> Option<&str> {
        let taken = self.claims.iter().find_map(|claim| {
            let Claim::Reused { version, .. } = claim else { return None };
            Some(version)
        });
        taken.or(self.built().map(|built| &built.version)).map(String::as_str)
    }

    fn stages(&self) -> Vec<&str> {
        let stages = self.claims.iter().filter_map(|claim| {
            let Claim::Passed { stage, .. } = claim else { return None };
            Some(stage.as_str())
        });
        stages.collect()
    }

    /// Somebody must have said where it comes from, or that it is good; how tests ended is not enough.
    fn is_proven(&self) -> bool {
        self.built().is_some() || !self.stages().is_empty()
    }

    fn is_wanted(&self, asked: &Arguments) -> Outcome<()> {
        let refused = |what: String| Err(Trouble::refused(format!("{} {what}", self.file)));
        if let Some(wanted) = &asked.repository {
            match self.built() {
                Some(built) if built.repository == *wanted => {}
                Some(built) => return refused(format!("is of {}, not of {wanted}", built.repository)),
                None => {
                    return refused(format!("was not built here, so nothing says that it is of {wanted}"));
                }
            }
        }
        if let Some(wanted) = &asked.version {
            match self.version() {
                Some(version) if version == wanted => {}
                Some(version) => return refused(format!("is of {}, not of {wanted}", printable(version))),
                None => {
                    return refused(format!("was not built here, so nothing says that it is of {wanted}"));
                }
            }
        }
        match &asked.stage {
            Some(wanted) if !self.stages().contains(&wanted.as_str()) => {
                refused(format!("was not found good in {wanted}, as far as anybody signed"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn tell(&self) {
        terminal::line(&format!("{} is {}", self.file, self.digest));
        if let Some(release) = &self.release {
            terminal::line(&format!("  in the release {}", printable(release)));
        }
        if !self.sums.is_empty() {
            terminal::line(&format!("  in {}, signed", self.sums.join(" and ")));
        }
        for claim in &self.claims {
            terminal::line(&match claim {
                Claim::Built(built) => format!(
                    "  of {} {}, built by {} from commit {}",
                    built.repository, built.version, built.builder, built.commit
                ),
                Claim::Reused { version, commit, tree: None, built_for, .. } => {
                    format!("  taken over for {version} of {commit}: built for {built_for}")
                }
                Claim::Reused { version, commit, tree: Some(tree), built_for, .. } => {
                    format!(
                        "  taken over for {version} of {commit}, whose tree is {tree}: built for {built_for}"
                    )
                }
                Claim::Passed { stage, verifier, at } => {
                    format!("  found good in {stage} by {verifier}, {at}")
                }
                Claim::Refers { name, sha256 } => format!("  made of what {name} lists, sha256:{sha256}"),
                Claim::Tested { warned, .. } if warned.is_empty() => "  tested: all passed".to_owned(),
                Claim::Tested { warned, .. } => format!("  tested; passed over: {}", warned.join(", ")),
                Claim::Linked { step, by: None } => format!("  went through {step}"),
                Claim::Linked { step, by: Some(person) } => format!("  went through {step}, by {person}"),
            });
        }
    }

    fn json(&self) -> Value {
        let built = self.built();
        let tests = self.claims.iter().filter_map(|claim| {
            let Claim::Tested { result, warned } = claim else { return None };
            Some(json!({"result": result, "warned": warned}))
        });
        let steps = self.claims.iter().filter_map(|claim| {
            let Claim::Linked { step, by } = claim else { return None };
            Some(json!({"step": step, "by": by}))
        });
        let reused = self.claims.iter().find_map(|claim| {
            let Claim::Reused { version, commit, tree, built_for, .. } = claim else { return None };
            Some(json!({"version": version, "commit": commit, "tree": tree, "built_for": built_for}))
        });
        json!({
            "file": self.file,
            "digest": self.digest,
            "release": self.release,
            "checksums": self.sums,
            "repository": built.map(|built| &built.repository),
            "version": built.map(|built| &built.version),
            "commit": built.map(|built| &built.commit),
            "builder": built.map(|built| &built.builder),
            "reused": reused,
            "passed": self.stages(),
            "tests": tests.collect::<Vec<Value>>(),
            "steps": steps.collect::<Vec<Value>>(),
        })
    }
}
