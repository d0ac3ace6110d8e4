//! Runs one step of a build or a stage as a process: limited, masked, and in a sandbox when there is one.
//!
//! [`probe::Runner::probe`] finds the programs once at start, [`probe::choose`] decides how a build may run here,
//! [`probe::Runner::run`] (in [`process`]) runs a [`Job`] and streams its output into a [`log::Log`].
//! The caller runs several jobs in order with one log.
//!
//! What holds for every job:
//! - The environment is what the job says and nothing else; standard input is empty; no terminal.
//! - The limits hold for each process (memory, CPU time, file size, open files) or for the whole job (wall-clock
//!   time, output). The limit on processes counts all processes of the user, and the kernel does not apply it to root.
//! - Ending it is TERM to all its processes, a grace, KILL to all; what a job leaves behind dies with it.
//!
//! What only bubblewrap gives: the job sees the system's programs, its own tree and nothing else of this machine, no
//! network unless it was allowed, and none of its processes can outlive it, whatever group or session it moves to.
//! A plain job runs as the user of the server and can read what the server can read: only code from protected
//! branches may run so.
//!
//! An allowed network is this machine's network. Bubblewrap cannot filter it: services on 127.0.0.1 and the cloud's
//! metadata address are then in reach unless a firewall says no, so [`probe::choose`] asks whether that address
//! answers here. Only [`Network::None`] guarantees anything.

pub mod connection;
pub mod hook;
pub mod log;
pub mod probe;
pub mod process;
pub mod registry;
pub mod sandbox;
pub mod target;
pub mod terminal;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::domain::time::Span;

/// One step to run.
#[derive(Clone)]
pub struct Job {
    /// What to run.
    pub program: Program,
    /// The working tree on this machine, absolute. A sandboxed job sees it as [`sandbox::TREE`], and may write there.
    pub tree: PathBuf,
    /// Where to start, relative to the tree; empty for the tree itself.
    pub folder: PathBuf,
    /// The whole environment; nothing is inherited. A sandboxed job finds `PWD` in addition.
    pub environment: BTreeMap<String, String>,
    /// Its bounds.
    pub limits: Limits,
    /// What is around it.
    pub sandbox: Sandbox,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A text from the manifest for `/bin/sh -e -c`. On TERM the shell waits for the command it is in, so that this
    /// can clean up, and then exits with 143, unless the text sets its own trap.
    Shell(String),
    /// A program, looked up in the job's `PATH`, and its arguments.
    Argv(Vec<String>),
}

/// What is around a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// Nothing but the limits.
    Plain,
    /// Namespaces of its own, made by bubblewrap.
    Bubblewrap(SandboxSpec),
}

/// What a sandboxed job sees beside the system's programs and its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSpec {
    /// A tree in place of the system's own programs: that of an image, read-only.
    pub root: Option<PathBuf>,
    /// Artifact folders on this machine by name, read-only; the job finds them under [`sandbox::ARTIFACTS`].
    pub artifacts: BTreeMap<String, PathBuf>,
    /// Folders with tools outside `/usr`, read-only, seen under their own paths. From the server's settings alone.
    pub toolchains: Vec<PathBuf>,
    /// Whether it may reach anything.
    pub network: Network,
    /// Room in `/tmp` and in `/dev/shm`, each; it is memory.
    pub temporary_bytes: u64,
}

/// What a job may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its own loopback, on which nobody listens.
    None,
    /// Whatever this machine reaches, its own services included.
    Host,
}

/// The bounds of a job. A limit above what the server itself has is lowered to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of the whole job.
    pub wall: Span,
    /// Time between TERM and KILL.
    pub grace: Span,
    /// Private writable memory of one process. (Not address space: node and Go reserve far more than they use.)
    pub memory_bytes: u64,
    /// CPU time of one process.
    pub cpu_seconds: u64,
    /// Processes and threads of the user this runs as.
    pub processes: u64,
    /// All output of the job.
    pub output_bytes: u64,
    /// The largest file it may write.
    pub file_bytes: u64,
    /// Open files of one process.
    pub open_files: u64,
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Default for Limits {
    /// Room for a large build, and an end for one that hangs.
    fn default() -> Self {
        Self {
            wall: Span::hours(1),
            // SEMANTICS §8.
            grace: Span::seconds(60),
            memory_bytes: 8 * GIB,
            cpu_seconds: 4 * 60 * 60,
            // A parallel build has some hundred threads.
            processes: 4096,
            // Forty times the largest log of a build that anybody read.
            output_bytes: 64 * 1024 * 1024,
            file_bytes: 8 * GIB,
            open_files: 4096,
        }
    }
}

/// How to stop a job from outside.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    /// A person cancelled it: TERM, grace, KILL.
    pub cancel: CancellationToken,
    /// The lease is lost and somebody else may have started the same work: KILL at once, and no word more in the log.
    pub lost: CancellationToken,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub took: Span,
    /// The last lines of its log that are not empty, masked, at most [`log::TAIL_LINES`].
    pub tail: Vec<String>,
}

/// How a job ended; `Display` completes the sentence "the step …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or asked to and then with success (a late success counts: SEMANTICS §8). Zero is success; a
    /// sandboxed job that died of signal `n` has `128 + n`, as in every shell.
    Exited(i32),
    /// A signal that was not ours, by its number.
    Killed {
        /// As in `kill -l`.
        signal: i32,
    },
    /// It took longer than its limit.
    TimedOut {
        /// The limit.
        limit: Span,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// The lease was lost.
    Lost,
    /// It wrote more than its limit.
    OutputLimit {
        /// The limit.
        bytes: u64,
    },
}

impl Ended {
    /// Whether the next step may run.
    pub fn succeeded(self) -> bool {
        self == Self::Exited(0)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("succeeded"),
            Self::Exited(code @ 129..=192) => {
                write!(f, "ended with exit code {code} (signal {})", code - 128)
            }
            Self::Exited(code) => write!(f, "ended with exit code {code}"),
            Self::Killed { signal } => write!(f, "was killed by signal {signal}"),
            Self::TimedOut { limit } => write!(f, "took longer than its limit of {limit} and was stopped"),
            Self::Cancelled => f.write_str("was cancelled"),
            Self::Lost => f.write_str("was killed because its lease was lost"),
            Self::OutputLimit { bytes } => {
                write!(f, "wrote more than its limit of {bytes} bytes of output and was killed")
            }
        }
    }
}

/// Names the variables and leaves out their values, which may be secrets.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("program", &self.program)
            .field("tree", &self.tree)
            .field("folder", &self.folder)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .field("sandbox", &self.sandbox)
            .finish()
    }
}

#[cfg(test)]
mod tests;
