//! Bringing the files and the evidence of a release from a server, to be checked here; nothing of it is believed.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::{self, MAX_TEXT_BYTES};
use super::{Arguments, Checked};
use crate::cli::ask::{list, text};
use crate::cli::{Server, client};
use crate::domain::name::{is_file_name, printable};
use crate::sign::Public;
use crate::trouble::{Outcome, Trouble};

/// Largest file of a release that is brought: as much as a build may leave.
const MAX_FILE_BYTES: u64 = 20 * 1024 * 1024 * 1024;

/// What stands before the name of a release in the API.
const API: &str = "/api/releases/";

/// The server, and the path of the release in its API; nothing when it is no address of a release.
pub(in crate::cli) fn address(what: &str, server: &Server) -> Option<(Server, String)> {
    let what = what.trim_end_matches('/');
    let (address, release) = match what.split_once("/releases/") {
        Some((host, release)) if host.starts_with("http://") || host.starts_with("https://") => {
            (host.trim_end_matches("/api").to_owned(), release)
        }
        Some(_) | None => (server.address.clone(), what),
    };
    let parts: Vec<&str> = release.split('/').collect();
    let [repository, pipeline, no] = parts.as_slice() else { return None };
    let no = no.parse::<u32>().ok().filter(|_| repository.contains(':') && !pipeline.is_empty())?;
    Some((Server { address, ..server.clone() }, format!("{API}{repository}/{pipeline}/{no}")))
}

/// Brings a release into a folder of its own, checks it there, and removes the folder. A server that gives another
/// release than the one that was asked for is found out (THREATS T45).
pub(super) async fn release(asked: &Arguments, keys: &[Public]) -> Outcome<Vec<Checked>> {
    let (server, path) = address(&asked.what, &asked.server)
        .ok_or_else(|| Trouble::bug("an address was checked before it was taken"))?;
    let place = Place::make()?;
    let evidence = client::get(&server, &format!("{path}/evidence")).await?;
    for (part, most) in [("files", MAX_FILE_BYTES), ("evidence", MAX_TEXT_BYTES)] {
        for file in list(&evidence, part) {
            let name = text(file, "name");
            // It becomes the name of a file here (THREATS T42).
            if !is_file_name(name) {
                return Err(Trouble::refused(format!("`{}` is no name of a file", printable(name))));
            }
            let from = format!("{path}/{part}/{name}");
            client::download(&server, &from, (&place.0.join(name), most)).await?;
        }
    }
    if list(&evidence, "files").is_empty() {
        let what = printable(&asked.what);
        return Err(Trouble::refused(format!("{what} has no files: {}", Value::to_string(&evidence))));
    }
    let keys = keys.to_vec();
    let checked = crate::service::blocking(move || {
        let checked = folder::release(&place.0, &keys, path.strip_prefix(API));
        drop(place);
        checked
    });
    checked.await
}

/// A folder that nobody else has, gone when it is done with.
struct Place(PathBuf);

impl Place {
    fn make() -> Outcome<Self> {
        let path =
            std::env::temp_dir().join(format!("liftlock-verify-{}", crate::artifact::file::unused_name()));
        let fail = |e| Trouble::transient(format!("make the folder {}", Path::display(&path))).because(e);
        std::fs::create_dir(&path).map_err(fail)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}
