//! Filling a mirror: which addresses may be fetched, and the `git` program that does it with nothing it could leak.
//!
//! The program takes over the transfer because libgit2 knows no protocol version 2 and is many times slower on
//! repositories with many refs. It gets an empty environment, one allowed protocol, no redirects, no prompts, no
//! hooks, and the credential for exactly one scheme, host and port, never on its command line (THREATS T38, T40).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process_group};

use super::repo::Mirror;
use crate::domain::name::{CommitSha, RefName, printable};
use crate::domain::time::Span;
use crate::folder;
use crate::trouble::{Outcome, Trouble};

/// Where the program and its helpers are looked for; the caller's own search path is not trusted.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of the program's complaint is read, and how much of that is repeated.
const STDERR_BYTES: u64 = 64 * 1024;
const SHOWN_CHARS: usize = 500;
/// Longest address; longer ones are no repository's.
const URL_BYTES: usize = 1_000;

/// What proves to a host that we may read: sent to that host alone, shown nowhere.
#[derive(Clone)]
pub struct Credential {
    token: String,
    basic: String,
}

impl Credential {
    /// The credential of a user with a password or token, for example GitHub's `x-access-token`.
    pub fn basic(user: &str, token: &str) -> Outcome<Self> {
        // Anything else could end the header line and start another.
        if token.is_empty() || !user.bytes().chain(token.bytes()).all(|b| b.is_ascii_graphic()) {
            return Err(Trouble::refused("a git credential holds printable characters without spaces only"));
        }
        Ok(Self { token: token.to_owned(), basic: STANDARD.encode(format!("{user}:{token}")) })
    }

    fn mask(&self, text: &str) -> String {
        text.replace(&self.basic, "***").replace(&self.token, "***")
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(***)")
    }
}

/// An address that may be fetched from.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    /// `scheme://host[:port]`, none for a folder.
    origin: Option<String>,
    protocol: &'static str,
    credential: Option<Credential>,
}

impl Remote {
    /// A repository on a host, `https://host[:port]/path`; every other address is refused.
    pub fn hosted(url: &str) -> Outcome<Self> {
        Self::web(url, "https", |_| true)
    }

    /// A repository served by this machine to itself, `http://127.0.0.1:port/path`.
    pub fn loopback(url: &str) -> Outcome<Self> {
        Self::web(url, "http", |host| matches!(host, "127.0.0.1" | "localhost"))
    }

    /// A repository in a folder of this machine, named by an operator and never by a repository or a person.
    pub fn local(path: &Path) -> Outcome<Self> {
        let refuse =
            || Trouble::refused(format!("`{}` is not an absolute path", printable(&path.to_string_lossy())));
        let url = path
            .to_str()
            .filter(|p| p.starts_with('/') && !p.contains(char::is_control))
            .ok_or_else(refuse)?;
        Ok(Self { url: url.to_owned(), origin: None, protocol: "file", credential: None })
    }

    /// Adds the credential for this host.
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    fn web(url: &str, scheme: &'static str, host_allowed: fn(&str) -> bool) -> Outcome<Self> {
        let refuse = |rule: &str| {
            Trouble::refused(format!(
                "`{}` is not fetched: {rule}; give the repository as `{scheme}://host/owner/name`",
                printable(url)
            ))
        };
        let rest = url
            .strip_prefix(scheme)
            .and_then(|r| r.strip_prefix("://"))
            .ok_or_else(|| refuse("only this scheme is allowed"))?;
        if url.len() > URL_BYTES {
            return Err(refuse("it is too long"));
        }
        let (authority, path) = rest.split_once('/').ok_or_else(|| refuse("it has no path"))?;
        let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
        let name = |text: &str, also: &[u8]| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
        };
        if !name(host, b".-") || host.starts_with('.') || !host_allowed(host) {
            return Err(refuse("its host is not a plain host name"));
        }
        if port.is_some_and(|p| !p.bytes().all(|b| b.is_ascii_digit()) || p.parse::<u16>().is_err()) {
            return Err(refuse("its port is not a number"));
        }
        if path.split('/').any(|part| matches!(part, "." | "..") || !name(part, b"._~+-")) {
            return Err(refuse("its path holds more than plain names"));
        }
        let origin = Some(format!("{scheme}://{authority}"));
        Ok(Self { url: url.to_owned(), origin, protocol: scheme, credential: None })
    }

    /// The program's settings, with the credential bound to scheme, host and port.
    fn settings(&self) -> Vec<(String, String)> {
        let fixed = [
            ("http.followRedirects", "false"),
            // A server that thinks sends a few bytes every 5 s (`uploadpack.keepAlive`): this is one that is silent.
            ("http.lowSpeedLimit", "1"),
            ("http.lowSpeedTime", "60"),
            ("credential.helper", ""),
            ("core.hooksPath", "/dev/null"),
            // A few new objects come as files of their own, which git leaves to a power cut unless it is told.
            ("core.fsync", "committed"),
            ("core.fsyncMethod", "batch"),
            ("protocol.version", "2"),
            ("gc.auto", "0"),
        ];
        let mut settings: Vec<(String, String)> =
            fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if let (Some(origin), Some(credential)) = (&self.origin, &self.credential) {
            let key = format!("http.{origin}/.extraHeader");
            settings.push((key, format!("Authorization: Basic {}", credential.basic)));
        }
        settings
    }

    /// Where it is; what is secret about it is not in it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn mask(&self, text: &str) -> String {
        self.credential.as_ref().map_or_else(|| text.to_owned(), |c| c.mask(text))
    }
}

/// Which branches to fetch.
#[derive(Debug, Clone, Copy)]
pub enum Branches<'a> {
    /// These; one that the remote has not makes the fetch fail.
    Named(&'a [RefName]),
    /// Every one that the remote has.
    All,
}

/// What to fetch: every tag always, and these.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Branches, each kept under its own name.
    pub branches: Branches<'a>,
    /// A commit no branch may lead to, for example the head of a pull request.
    pub commit: Option<&'a CommitSha>,
}

impl Wanted<'_> {
    fn refspecs(&self) -> Vec<String> {
        let mut specs = vec!["+refs/tags/*:refs/tags/*".to_owned()];
        match self.branches {
            Branches::Named(names) => {
                specs.extend(names.iter().map(|b| format!("+refs/heads/{b}:refs/heads/{b}")));
            }
            Branches::All => specs.push("+refs/heads/*:refs/heads/*".to_owned()),
        }
        // Kept under a ref of its own, so that it is not fetched again; ancestry is asked of branches, never of it.
        specs.extend(self.commit.map(|c| format!("+{c}:refs/liftlock/commits/{c}")));
        specs
    }
}

impl Mirror {
    /// Brings branches and tags to where the remote has them; tags that are gone there are gone here afterwards.
    ///
    /// Blocks until it is done or `deadline` has passed; fetches into one mirror wait for each other.
    pub fn fetch(&self, remote: &Remote, wanted: Wanted<'_>, deadline: Span) -> Outcome<()> {
        let alone = self.alone()?;
        let mut command = Command::new("git");
        command
            .current_dir(&self.path)
            .args(["--git-dir=.", "fetch", "--quiet", "--prune", "--no-tags", "--no-recurse-submodules"])
            .args(["--no-auto-maintenance", "--no-write-fetch-head", "--", &remote.url])
            .args(wanted.refspecs());
        harden(&mut command, remote);
        let (status, complaint) = run(command, deadline)?;
        if !status.success() && String::from_utf8_lossy(&complaint).contains(".lock': File exists") {
            // A fetch that was killed left it; a fetch that is still running is younger, and the next try finds out.
            self.break_old_locks(&alone)?;
        }
        drop(alone);
        if status.success() { Ok(()) } else { Err(complained(remote, &complaint)) }
    }

    /// Puts a mirror that was fetched anew, every branch of it, in the place of one that has lost files; that one stays
    /// until all is there, and nobody finds none in between. Of several who come for it, one does it.
    pub fn replace(&self, remote: &Remote, deadline: Span) -> Outcome<()> {
        let what = || format!("put a mirror in the place of {}", self.path.display());
        let failed = |e: io::Error| Trouble::transient(what()).because(e);
        // Beside the folder: one in it would go with it.
        let lock = File::create(self.path.with_extension("anew")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if !Self::open(&self.path)?.has_lost_files() {
            return Ok(());
        }
        let beside = self.path.with_extension("beside");
        if beside.exists() {
            folder::remove(&beside)?;
        }
        let all = Wanted { branches: Branches::All, commit: None };
        let fetched = Self::open_or_init(&beside).and_then(|mirror| mirror.fetch(remote, all, deadline));
        let put = fetched.and_then(|()| {
            renameat_with(CWD, &beside, CWD, &self.path, RenameFlags::EXCHANGE).map_err(|e| failed(e.into()))
        });
        folder::remove(&beside)?;
        put
    }
}

/// Leaves the program no way to read settings, ask, follow or speak another protocol.
pub(super) fn harden(command: &mut Command, remote: &Remote) {
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("GIT_ALLOW_PROTOCOL", remote.protocol)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    let settings = remote.settings();
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (at, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
}

/// Runs a program until it ends, or kills it with all it started.
pub(super) fn run(mut command: Command, deadline: Span) -> Outcome<(ExitStatus, Vec<u8>)> {
    let mut child = command.spawn().map_err(|e| {
        if e.kind() == io::ErrorKind::NotFound {
            Trouble::refused(format!("the program `git` is not in {PATH}; install git"))
        } else {
            Trouble::transient("start the program `git`").because(e)
        }
    })?;
    let (sender, receiver) = mpsc::channel();
    let stderr = child.stderr.take();
    // The pipe ends when the program and its helpers have ended, so its end is what is waited for.
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let read = (&mut stderr).take(STDERR_BYTES).read_to_end(&mut text);
            read.and_then(|_| io::copy(&mut stderr, &mut io::sink())).unwrap_or_default();
        }
        sender.send(text).unwrap_or_default();
    });
    let complaint = receiver.recv_timeout(deadline.as_std());
    if complaint.is_err() {
        kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap_or_default();
    }
    let status = child.wait().map_err(|e| Trouble::transient("wait for the program `git`").because(e))?;
    reader.join().unwrap_or_default();
    let complaint =
        complaint.map_err(|_| Trouble::transient(format!("`git` took longer than {deadline}")))?;
    Ok((status, complaint))
}

/// The program's complaint without the credential and without control characters, and no longer than people read.
pub(super) fn shortened(remote: &Remote, complaint: &[u8]) -> String {
    let text = remote.mask(&String::from_utf8_lossy(complaint));
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS).collect();
    line.trim().to_owned()
}

/// What the program's complaint means; it is repeated without the credential and without control characters.
pub(super) fn complained(remote: &Remote, complaint: &[u8]) -> Trouble {
    let text = shortened(remote, complaint);
    let what = format!("fetch {}", remote.url);
    let says = |phrases: &[&str]| phrases.iter().any(|p| text.contains(p));
    let trouble =
        if says(&["couldn't find remote ref", "not our ref", "not found", "does not appear to be a git"]) {
            Trouble::not_found(what)
        } else if says(&["could not read Username", "Authentication failed", "error: 401", "error: 403"]) {
            Trouble::refused(format!(
                "{what}: the host does not let us read it; check the app's installation or token"
            ))
        } else if says(&["redirect", "error: 301", "error: 302", "error: 307", "error: 308", "not allowed"]) {
            Trouble::refused(format!(
                "{what}: the host sends elsewhere, which is never followed; correct the address"
            ))
        } else {
            Trouble::transient(what)
        };
    trouble.because(text.clone())
}

#[cfg(test)]
mod tests;
