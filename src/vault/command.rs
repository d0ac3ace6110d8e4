//! Runs a secret store's command: its own argv, a bounded answer, a deadline, and nothing of what it complains of.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command as Process};
use tokio::time::timeout;

use super::{Command, Input, LONGEST_SECRET};
use crate::domain::name::SecretAddress;
use crate::trouble::{Outcome, Trouble};

/// Where commands find programs when their environment says nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All processes of a command; they die with this value, also when nobody waits any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Gone already is as good as killed.
            kill_process_group(leader, Signal::KILL).unwrap_or_default();
        }
    }
}

impl Command {
    /// What it prints for this reference and this input.
    pub(super) async fn run(&self, at: &SecretAddress, input: &[u8]) -> Outcome<String> {
        let mut child = self.start(at)?;
        let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        match timeout(self.timeout.as_std(), answer(&mut child, at, input)).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::transient(format!(
                "the secret store did not answer for {at} within {}",
                self.timeout
            ))),
        }
    }

    fn start(&self, at: &SecretAddress) -> Outcome<Child> {
        let filled = |argument: &String| {
            argument.replace("{path}", at.path()).replace("{key}", at.key().unwrap_or_default())
        };
        let mut argv = self.argv.iter().map(filled);
        let program = argv.next().unwrap_or_default();
        Process::new(&program)
            .args(argv)
            .env_clear()
            .env("PATH", PATH)
            .envs(self.environment.iter().map(|(name, value)| (name, value.expose())))
            .stdin(if self.input == Input::Repository { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                Trouble::transient(format!("the secret store for {at} cannot be started: `{program}`"))
                    .because(e)
            })
    }
}

async fn answer(child: &mut Child, at: &SecretAddress, input: &[u8]) -> Outcome<String> {
    let broken =
        |e: std::io::Error| Trouble::transient(format!("the answer for {at} cannot be read")).because(e);
    let fed = child.stdin.take();
    let feed = async {
        if let Some(mut fed) = fed {
            // A command that does not read all of it has heard enough.
            fed.write_all(input).await.unwrap_or_default();
        }
    };
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        let most = u64::try_from(LONGEST_SECRET).unwrap_or(u64::MAX).saturating_add(2);
        let mut output = output.take(most);
        let (read, ()) = tokio::join!(output.read_to_end(&mut bytes), feed);
        read.map_err(broken)?;
    }
    if bytes.len() > LONGEST_SECRET.saturating_add(1) {
        return Err(Trouble::refused(format!(
            "the secret store printed more than {} KiB for {at}",
            LONGEST_SECRET >> 10
        )));
    }
    let status = child.wait().await.map_err(broken)?;
    if !status.success() {
        return Err(Trouble::transient(format!(
            "the secret store says no for {at}: its command ended with {status}; run it by hand to see why"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Trouble::refused(format!("the secret {at} is not UTF-8 text")))
}
