//! A job as a process: started, read, watched, and ended with everything it started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::probe::Runner;
use super::sandbox::{CommandLine, command_line};
use super::{Ended, Job, Limits, Report, Sandbox, Stops};
use crate::clock;
use crate::domain::time::Span;
use crate::trouble::{Outcome, Trouble};

/// One read of output; what a pipe holds is eight of these.
const READ_BYTES: usize = 8 * 1024;

/// How long to wait for the end of the output once the job is dead. Only a plain job's process that moved to another
/// group can keep it open.
const DRAIN: Duration = Duration::from_secs(2);

/// What the reader and the watcher of a job tell each other.
#[derive(Default)]
struct Flags {
    /// The reader: there was too much output.
    flooded: CancellationToken,
    /// The watcher: the job and its group are dead.
    ended: CancellationToken,
}

/// All processes of a job; they die with this value.
struct Group {
    leader: Pid,
    sandboxed: bool,
}

impl Runner {
    /// Runs a job to its end, its output going to `log`. The job's failure is a report; trouble is that it could not
    /// be started. Dropping the future kills the job.
    ///
    /// To be polled by a task of the runtime: a sandbox dies with the thread that started it.
    pub async fn run(&self, job: &Job, log: &mut Log, stops: &Stops) -> Outcome<Report> {
        let begun = clock::monotonic();
        let line = command_line(self, job)?;
        let (mut child, output) = start(&line)?;
        let group = Group::of(&child, job)?;
        let stdin = child.stdin.take();
        let flags = Flags::default();

        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, line.input) {
                // An error says that it died before it had read all; its exit says so better.
                stdin.write_all(&input).await.unwrap_or_default();
            }
        };
        let watch = async {
            // The group dies here, not when the log is read to its end: by then its number may be somebody else's.
            let group = group;
            let ended = watch(&mut child, &group, &job.limits, stops, &flags).await;
            drop(group);
            flags.ended.cancel();
            ended
        };
        let abandoned = async {
            flags.ended.cancelled().await;
            stops.lost.cancelled().await;
        };
        let read = async {
            tokio::select! {
                () = read(output, log, job.limits.output_bytes, &flags) => {}
                // Nobody waits for the log of a lost lease; its reader may be gone with it.
                () = abandoned => {}
            }
        };
        let ((), ended, ()) = tokio::join!(feed, watch, read);
        let mut ended =
            ended.map_err(|e| Trouble::bug("cannot wait for the process of the step").because(e))?;
        // It may end, or die of the closed pipe, before the watcher sees the flood; the answer is the same.
        if flags.flooded.is_cancelled() && matches!(ended, Ended::Exited(_) | Ended::Killed { .. }) {
            ended = Ended::OutputLimit { bytes: job.limits.output_bytes };
        }
        match ended {
            Ended::Lost => {}
            Ended::Exited(_) | Ended::Killed { .. } => log.end().await,
            Ended::TimedOut { .. } | Ended::Cancelled | Ended::OutputLimit { .. } => {
                log.note(&format!("liftlock: the step {ended}")).await;
            }
        }
        let took = clock::monotonic().duration_since(begun).as_millis();
        Ok(Report { ended, took: Span::millis(u64::try_from(took).unwrap_or(u64::MAX)), tail: log.tail() })
    }
}

/// Starts the job in a group of its own, both outputs into one pipe, so that their order is the order of writing.
fn start(line: &CommandLine) -> Outcome<(Child, pipe::Receiver)> {
    let started = || -> io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let (program, args) = line.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(line.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&line.folder)
            .stdin(if line.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        Ok((command.spawn()?, output))
    };
    started().map_err(|e| {
        let what = format!("cannot start the step in `{}`", line.folder.display());
        let passes = matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory);
        let trouble = if passes { Trouble::transient(what) } else { Trouble::refused(what) };
        trouble.because(e)
    })
}

/// Waits for the end of the job or for a reason to end it.
async fn watch(
    child: &mut Child,
    group: &Group,
    limits: &Limits,
    stops: &Stops,
    flags: &Flags,
) -> io::Result<Ended> {
    let ended = tokio::select! {
        biased;
        status = child.wait() => return status.map(by_itself),
        () = stops.lost.cancelled() => Ended::Lost,
        () = flags.flooded.cancelled() => Ended::OutputLimit { bytes: limits.output_bytes },
        () = stops.cancel.cancelled() => Ended::Cancelled,
        () = sleep(limits.wall.as_std()) => Ended::TimedOut { limit: limits.wall },
    };
    let mut lost = false;
    if matches!(ended, Ended::Cancelled | Ended::TimedOut { .. }) {
        group.ask_to_end();
        tokio::select! {
            biased;
            status = child.wait() => {
                return status.map(|s| if ended == Ended::Cancelled && s.success() { by_itself(s) } else { ended });
            }
            () = stops.lost.cancelled() => lost = true,
            () = flags.flooded.cancelled() => {}
            () = sleep(limits.grace.as_std()) => {}
        }
    }
    group.kill();
    child.wait().await?;
    Ok(if lost { Ended::Lost } else { ended })
}

fn by_itself(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, signal) => Ended::Killed { signal: signal.unwrap_or(0) },
    }
}

/// Reads until the end of the output, until there is too much of it, or until nothing more can be expected.
async fn read(mut output: pipe::Receiver, log: &mut Log, most: u64, flags: &Flags) {
    let mut buffer = vec![0; READ_BYTES];
    let mut left = most;
    loop {
        let got = tokio::select! {
            biased;
            got = output.read(&mut buffer) => got.unwrap_or(0),
            () = flags.ended.cancelled() => {
                if let Ok(got) = timeout(DRAIN, output.read(&mut buffer)).await {
                    got.unwrap_or(0)
                } else {
                    log.note("liftlock: a process left the step's group and keeps its output open").await;
                    0
                }
            }
        };
        if got == 0 {
            return;
        }
        let allowed = got.min(usize::try_from(left).unwrap_or(usize::MAX));
        log.write(buffer.get(..allowed).unwrap_or_default()).await;
        left = left.saturating_sub(u64::try_from(got).unwrap_or(u64::MAX));
        if allowed < got {
            flags.flooded.cancel();
            return;
        }
    }
}

impl Group {
    fn of(child: &Child, job: &Job) -> Outcome<Self> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let leader = pid.ok_or_else(|| Trouble::bug("the process of the step has no number"))?;
        Ok(Self { leader, sandboxed: matches!(job.sandbox, Sandbox::Bubblewrap(_)) })
    }

    /// TERM to the processes of the job. Not to bubblewrap: it would die at once and take them along. Its child is the
    /// first process of the sandbox, leads their group, and as a first process does not mind a TERM itself.
    fn ask_to_end(&self) {
        if !self.sandboxed {
            signal(self.leader, Signal::TERM);
            return;
        }
        let inside = self.children();
        if inside.is_empty() {
            // It is still being built, or the kernel does not tell: there is nobody to ask.
            self.kill();
        }
        for first in inside {
            signal(first, Signal::TERM);
        }
    }

    /// KILL to everything. When bubblewrap dies, the kernel kills the first process of the sandbox and all others.
    fn kill(&self) {
        signal(self.leader, Signal::KILL);
    }

    fn children(&self) -> Vec<Pid> {
        let pid = self.leader.as_raw_nonzero();
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        list.split_ascii_whitespace().filter_map(|word| word.parse().ok()).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(group: Pid, signal: Signal) {
    // It fails when nobody is left, which is what it is for.
    kill_process_group(group, signal).unwrap_or_default();
}
