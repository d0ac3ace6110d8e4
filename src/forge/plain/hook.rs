//! The `post-receive` hook of a bare repository: what it is, what it tells, and how it is told to the server.
//!
//! A push never fails because of us: whatever goes wrong here is one line for the person who pushes, and the server
//! reads the refs again by itself.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};

use crate::artifact::file::write_synced;
use crate::domain::name::{RepoName, printable};
use crate::forge::plain::payload::Delivery;
use crate::forge::signature;
use crate::git::write::Origin;
use crate::https::{self, Connections};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Where the server takes deliveries from.
const DOOR: &str = "/webhook/plain";

/// As long a push waits for the server, over all refs; what is not told by then the server finds by itself.
const DEADLINE: Duration = Duration::from_secs(10);

/// The line by which we know a hook as ours.
const OURS: &str = "# Written by `liftlock hook install`, which overwrites it.";

/// What the hook runs.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a> {
    /// This program, by its absolute path.
    pub program: &'a Path,
    /// The server's address, `http` on this machine alone.
    pub server: &'a str,
    /// The file with the webhook's secret, by its absolute path; readable by whoever pushes.
    pub secret_file: &'a Path,
    /// The repository's name in the server's config.
    pub repository: &'a RepoName,
}

/// What became of a hook to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It is written, new or in place of an older one of ours.
    Written(PathBuf),
    /// It is there as it should be.
    Already(PathBuf),
}

/// Puts the hook into a bare repository; a hook that is not ours stays, and the answer has the line to add to it.
pub fn install(bare: &Path, hook: &Hook<'_>) -> Outcome<Installed> {
    check_address(hook.server)?;
    let line = hook.line()?;
    let origin = Origin::open(bare)?;
    if let Some(folder) = origin.hooks_elsewhere()? {
        return Err(Trouble::refused(format!(
            "git runs the hooks of {folder} here, as `core.hooksPath` says; add this line to `post-receive` there: {line}"
        )));
    }
    let path = bare.join("hooks").join("post-receive");
    let script = hook.script(&line)?;
    match std::fs::read(&path) {
        Ok(there) if there == script.as_bytes() => return Ok(Installed::Already(path)),
        Ok(there) if is_ours(&there) => {}
        Ok(_) => {
            return Err(Trouble::refused(format!(
                "{} is a hook of somebody else and stays as it is; add this line, which reads what git gives the hook: {line}",
                path.display()
            )));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Trouble::transient(format!("read {}", path.display())).because(e)),
    }
    let folder = bare.join("hooks");
    std::fs::create_dir_all(&folder)
        .map_err(|e| Trouble::transient(format!("make the folder {}", folder.display())).because(e))?;
    write_synced(&path, script.as_bytes(), 0o755).map(|()| Installed::Written(path))
}

fn is_ours(script: &[u8]) -> bool {
    String::from_utf8_lossy(script).lines().nth(1) == Some(OURS)
}

impl Hook<'_> {
    /// The command, for `sh`.
    fn line(&self) -> Outcome<String> {
        Ok(format!(
            "{} hook run --server {} --secret-file {} --repository {}",
            path(self.program)?,
            quoted(self.server)?,
            path(self.secret_file)?,
            quoted(self.repository.as_str())?,
        ))
    }

    fn script(&self, line: &str) -> Outcome<String> {
        let program = path(self.program)?;
        Ok(format!(
            "#!/bin/sh\n\
             {OURS}\n\
             # It tells the server what was pushed. A push never fails because of it.\n\
             if ! [ -x {program} ]; then\n\
             \techo 'liftlock was not told of this push: '{program}' is not there; the server finds the push by itself' >&2\n\
             \texit 0\n\
             fi\n\
             {line} || :\n\
             exit 0\n"
        ))
    }
}

fn path(path: &Path) -> Outcome<String> {
    let text = path.to_str().filter(|_| path.is_absolute());
    quoted(text.ok_or_else(|| {
        Trouble::refused(format!("{} is not an absolute path; a hook runs in another folder", path.display()))
    })?)
}

/// A word that `sh` takes as it is written.
fn quoted(text: &str) -> Outcome<String> {
    if text.contains(char::is_control) {
        return Err(Trouble::refused(format!("`{}` cannot stand in a script", printable(text))));
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

/// What git tells a `post-receive` hook on its standard input, as deliveries: one for each branch and tag.
///
/// The same push gives the same GUIDs, so that running it twice tells once.
pub fn deliveries(stdin: &str, repository: &RepoName, pusher: Option<&str>) -> Vec<Delivery> {
    stdin.lines().filter_map(|line| delivery(line, repository, pusher)).collect()
}

fn delivery(line: &str, repository: &RepoName, pusher: Option<&str>) -> Option<Delivery> {
    let (before, rest) = line.split_once(' ')?;
    let (after, reference) = rest.split_once(' ')?;
    let followed = reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/");
    followed.then(|| Delivery::push(repository, reference, (before, after), pusher))
}

/// Tells the server all of this push; when that fails, the answer is the one line for the person who pushes.
pub async fn tell(server: &str, secret: &Secret, deliveries: &[Delivery]) -> Option<String> {
    let work = async {
        let client = https::connections()?;
        for delivery in deliveries {
            send(&client, server, secret, delivery).await?;
        }
        Ok(())
    };
    let outcome = tokio::time::timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(Trouble::transient(format!("no answer in {} s", DEADLINE.as_secs()))));
    outcome.err().map(|trouble| {
        let what = if trouble.is_transient() { "was not reached" } else { "did not take this push" };
        let why = trouble.chain();
        format!("liftlock {what} at {server} ({why}); it finds the push by itself when it is back")
    })
}

/// Posts one delivery, signed, over https, or over http on this machine.
pub async fn post(server: &str, secret: &Secret, delivery: &Delivery) -> Outcome<()> {
    let client = https::connections()?;
    tokio::time::timeout(DEADLINE, send(&client, server, secret, delivery))
        .await
        .unwrap_or_else(|e| Err(Trouble::transient("no answer from the server").because(e)))
}

async fn send(client: &Connections, server: &str, secret: &Secret, delivery: &Delivery) -> Outcome<()> {
    let address = check_address(server)?;
    let signature = signature::sign(secret.expose().as_bytes(), delivery.body.as_bytes())
        .map_err(|e| Trouble::refused("sign the delivery").because(e))?;
    let request = Request::post(address)
        .header(CONTENT_TYPE, "application/json")
        .header("x-github-event", delivery.event)
        .header("x-github-delivery", &delivery.guid)
        .header(signature::HEADER, signature)
        .body(Full::new(Bytes::from(delivery.body.clone())))
        .map_err(|e| Trouble::bug("make the request").because(e))?;
    let answer = client.request(request).await.map_err(|e| Trouble::transient("connect").because(e))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Trouble::refused(
            "the signature does not match: the hook's secret file and the server's webhook secret differ",
        )),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::transient(format!("it answered {status}")))
        }
        status => Err(Trouble::refused(format!("it answered {status}"))),
    }
}

/// The address deliveries go to; without TLS only on this machine, so that nobody on the way reads or drops them.
fn check_address(server: &str) -> Outcome<Uri> {
    let address: Uri = format!("{}{DOOR}", server.trim_end_matches('/'))
        .parse()
        .map_err(|e| Trouble::refused(format!("`{}` is no address", printable(server))).because(e))?;
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match address.scheme_str() {
        Some("https") => Ok(address),
        Some("http") if here => Ok(address),
        Some(_) | None => Err(Trouble::refused(format!(
            "`{}` is neither https nor http on this machine; give the server's address as `https://…`",
            printable(server)
        ))),
    }
}

#[cfg(test)]
mod tests;
