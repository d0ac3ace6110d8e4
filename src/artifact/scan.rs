//! Looks for known secrets in what is about to be handed from stage to stage: they belong outside an artifact.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use crate::folder::shown;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Read at once; a finding may lie across two reads, so the end of one is kept for the next.
const CHUNK_BYTES: usize = 1 << 20;
/// Shorter values occur by chance in compiled code.
const SHORTEST_BYTES: usize = 8;
/// Findings that are told; whoever mends these finds the rest by building again.
const MOST_FINDINGS: usize = 10;

/// A file that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the workspace.
    pub file: String,
    /// The secret's name, never its value.
    pub name: String,
}

/// Files at or below `path` of the workspace that hold one of these secrets as it is. Links are not followed, just as
/// sealing does not follow them.
pub fn scan(workspace: &Path, path: &Path, secrets: &[(String, Secret)]) -> Outcome<Vec<Finding>> {
    let wanted: Vec<(&str, Finder<'_>)> = secrets
        .iter()
        .filter(|(_, secret)| secret.expose().len() >= SHORTEST_BYTES)
        .map(|(name, secret)| (name.as_str(), Finder::new(secret.expose().as_bytes())))
        .collect();
    let mut findings = Vec::new();
    if wanted.is_empty() {
        return Ok(findings);
    }
    let mut left = vec![workspace.join(path)];
    while let Some(path) = left.pop() {
        let failed = |e: io::Error| Trouble::transient(format!("look into {}", path.display())).because(e);
        let kind = path.symlink_metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            let mut inside: Vec<PathBuf> = path
                .read_dir()
                .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
                .map_err(failed)?;
            inside.sort_by(|a, b| b.cmp(a));
            left.extend(inside);
        } else if kind.is_file() {
            for name in held(&path, &wanted).map_err(failed)? {
                let file = path.strip_prefix(workspace).unwrap_or(&path).as_os_str();
                findings.push(Finding { file: shown(file.as_encoded_bytes()), name });
                if findings.len() == MOST_FINDINGS {
                    return Ok(findings);
                }
            }
        }
    }
    Ok(findings)
}

/// The names of the secrets that a file holds.
fn held(path: &Path, wanted: &[(&str, Finder<'_>)]) -> io::Result<Vec<String>> {
    let keep = wanted.iter().map(|(_, finder)| finder.needle().len()).max().unwrap_or(1).saturating_sub(1);
    let mut file = File::open(path)?;
    let mut text = Vec::with_capacity(CHUNK_BYTES.saturating_add(keep));
    let mut found = Vec::new();
    loop {
        let begun = text.len();
        let most = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        file.by_ref().take(most).read_to_end(&mut text)?;
        if text.len() == begun {
            return Ok(found);
        }
        for (name, finder) in wanted {
            if !found.iter().any(|known| known == name) && finder.find(&text).is_some() {
                found.push((*name).to_owned());
            }
        }
        text.drain(..text.len().saturating_sub(keep));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn e14_a_known_secret_is_found_wherever_it_lies_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut across = vec![b'x'; CHUNK_BYTES - 5];
        across.extend(b"canary-5e1c09d7 and more");
        write(&at("dist/app/across"), &across);
        write(&at("dist/config"), b"key=canary-5e1c09d7\ntoken=second-canary");
        write(&at("dist/clean"), b"canary-5e1c09d");
        write(&at("src/config"), b"canary-5e1c09d7");
        std::os::unix::fs::symlink(at("src/config"), at("dist/link")).unwrap();
        let secrets = [("DEPLOY_KEY", "canary-5e1c09d7"), ("TOKEN", "second-canary"), ("SHORT", "key=")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let found = scan(folder.path(), Path::new("dist"), &secrets).unwrap();
        let shown: Vec<String> = found.iter().map(|f| format!("{} {}", f.file, f.name)).collect();
        assert_eq!(shown, ["dist/app/across DEPLOY_KEY", "dist/config DEPLOY_KEY", "dist/config TOKEN"]);
        assert!(scan(folder.path(), Path::new("dist/clean"), &secrets).unwrap().is_empty());
    }
}
