//! A connection to a host that stays open for the commands that follow each other there.
//!
//! One client holds it and listens in a folder of ours for the others. It is a process of its own beside the steps, so
//! that the end of a step leaves it alone, and it dies with [`Kept`], or with this program: the kernel sees to that.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::target::{Host, Route};

/// What the client says once it is let in and listens, by [`Route::Kept`].
pub(super) const OPEN: &str = "open";
/// Where the shell and the client are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a connection may take beside what the host may: the keys are exchanged after the client is connected.
const BESIDES: Duration = Duration::from_secs(5);
/// How much of a client's complaint is read, and how long it is waited for once the client is dead.
const COMPLAINT_BYTES: u64 = 16 * 1024;
const COMPLAINT_WITHIN: Duration = Duration::from_secs(1);

/// How much later than those that go through it the client that keeps a connection ends when it breaks.
const GONE_WITHIN: Duration = Duration::from_millis(250);

/// An open connection; it is closed with this value.
#[derive(Debug)]
pub struct Kept {
    client: Child,
}

impl Kept {
    /// Whether it has broken. Who went through it is told no more than that its command ended with 255, which a command
    /// may do by itself (`ssh(1)`, "EXIT STATUS").
    pub async fn is_lost(&mut self) -> bool {
        timeout(GONE_WITHIN, self.client.wait()).await.is_ok()
    }
}

impl Host {
    /// Opens a connection for clients that start in this folder and go [`Route::Through`] it. The error is what the
    /// client printed; without a word of the host in it there may still be a way for each of them alone.
    ///
    /// To be polled by a task of the runtime: the client dies with the thread that started it.
    pub async fn keep(&self, folder: &Path, known_hosts: &Path) -> Result<Kept, Vec<String>> {
        let started = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("exec setpriv --pdeathsig KILL {}", self.client(known_hosts, Route::Kept)))
            .env_clear()
            .envs([("PATH", PATH), ("SHELL", "/bin/sh")])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let Ok(mut client) = started else { return Err(Vec::new()) };
        let (said, complaint) = (client.stdout.take(), client.stderr.take());
        let open = async {
            let mut word = [0; OPEN.len()];
            match said {
                Some(mut said) => said.read_exact(&mut word).await.is_ok() && word == *OPEN.as_bytes(),
                None => false,
            }
        };
        if timeout(self.timeout.as_std() + BESIDES, open).await == Ok(true) {
            return Ok(Kept { client });
        }
        client.start_kill().unwrap_or_default();
        Err(match complaint {
            Some(complaint) => lines(complaint).await,
            None => Vec::new(),
        })
    }
}

async fn lines(complaint: impl AsyncRead + Unpin) -> Vec<String> {
    let mut text = Vec::new();
    let mut complaint = complaint.take(COMPLAINT_BYTES);
    let read = timeout(COMPLAINT_WITHIN, complaint.read_to_end(&mut text)).await;
    // What was read before the time was up is told, too.
    drop(read);
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}
