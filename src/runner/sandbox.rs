//! The command line of a job: limits by `prlimit`, namespaces by bubblewrap, and never a secret in it.
//!
//! What bubblewrap shall do, the environment included, reaches it through its standard input (`--args 0`). Arguments
//! are visible to every user of the machine; and an environment given to bubblewrap itself would be a way out of the
//! sandbox, for `LD_PRELOAD` takes effect before the walls are up.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::probe::{Bubblewrap, Runner};
use super::{Job, Limits, Network, Program, Sandbox, SandboxSpec};
use crate::trouble::{Outcome, Trouble};

/// The working tree as a sandboxed job sees it.
pub const TREE: &str = "/build/src";

/// The folder with the artifacts as a sandboxed job sees it; each is a folder with its name.
pub const ARTIFACTS: &str = "/build/artifacts";

/// Everybody in the sandbox; not root, or `tar` would try to set owners, which nobody may there.
const USER: &str = "1000";

/// Programs and libraries of the system.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs read in `/etc` and anybody may know. Not `/etc/ssl` or `/etc/pki` whole: they hold private keys.
const SETTINGS: [&str; 14] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

/// The same when there is a network.
const NETWORK_SETTINGS: [&str; 4] = ["/etc/hosts", "/etc/protocols", "/etc/resolv.conf", "/etc/services"];

/// What the kernel lets the owner of a file change, without any capability: when the server is root, so is the job in
/// the eyes of `/proc/sys/kernel/core_pattern`, and that names a program to run outside. Bubblewrap 0.8 leaves it open.
const KERNEL: [&str; 8] = [
    "/proc/acpi",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Folders that hold more than tools: none of them is a toolchain as a whole.
const NO_TOOLCHAINS: [&str; 12] =
    ["/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/srv", "/sys", "/tmp", "/var"];

/// A shell that waits for the command it is in when it is asked to end; on one line, so that the numbers of lines in
/// its messages are those of the text.
const TRAP: &str = "trap 'exit 143' TERM; ";

/// What is started: nothing in it is secret but `environment` and `input`, so it has no `Debug`.
pub(super) struct CommandLine {
    /// The program and its arguments.
    pub(super) argv: Vec<OsString>,
    /// Where it starts.
    pub(super) folder: PathBuf,
    /// The whole environment of a plain job; nothing for bubblewrap.
    pub(super) environment: Vec<(String, String)>,
    /// What bubblewrap reads.
    pub(super) input: Option<Vec<u8>>,
}

/// How to start the job. Refuses what no process can be given, and what would reach out of the tree.
pub(super) fn command_line(runner: &Runner, job: &Job) -> Outcome<CommandLine> {
    check_environment(job)?;
    let program = argv(&job.program)?;
    if !job.tree.is_absolute() || !is_inside(&job.folder) || has_nul(&job.tree.join(&job.folder)) {
        return Err(Trouble::refused(format!(
            "the working directory `{}` is not a folder inside the tree; write it relative, without `..`",
            job.folder.display()
        )));
    }
    let mut argv = limits(runner, &job.limits)?;
    match &job.sandbox {
        Sandbox::Plain => {
            argv.extend(program);
            let environment = job.environment.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            Ok(CommandLine { argv, folder: below(&job.tree, &job.folder), environment, input: None })
        }
        Sandbox::Bubblewrap(spec) => {
            let tool = runner.bubblewrap()?;
            argv.extend([tool.path.clone().into_os_string(), "--args".into(), "0".into(), "--".into()]);
            // Standard input was bubblewrap's; the job gets an empty one.
            argv.extend(["/bin/sh", "-c", "exec \"$@\" </dev/null", "sh"].map(OsString::from));
            argv.extend(program);
            let input = Some(input(tool, job, spec)?);
            Ok(CommandLine { argv, folder: "/".into(), environment: Vec::new(), input })
        }
    }
}

fn argv(program: &Program) -> Outcome<Vec<OsString>> {
    let argv: Vec<OsString> = match program {
        Program::Shell(text) => {
            vec!["/bin/sh".into(), "-e".into(), "-c".into(), format!("{TRAP}{text}").into()]
        }
        Program::Argv(words) => words.iter().map(OsString::from).collect(),
    };
    let first = argv.first().map_or(&[][..], |word| word.as_bytes());
    if first.is_empty() || first.starts_with(b"-") {
        return Err(Trouble::refused("the step names no program to run"));
    }
    if argv.iter().any(|word| word.as_bytes().contains(&0)) {
        return Err(Trouble::refused("the step contains a NUL character, which no command can have"));
    }
    Ok(argv)
}

fn check_environment(job: &Job) -> Outcome<()> {
    for (name, value) in &job.environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Trouble::refused("the name of a variable is empty or contains `=` or NUL"));
        }
        if value.contains('\0') {
            let what = format!("the variable {name} contains a NUL character, which no environment can have");
            return Err(Trouble::refused(what));
        }
    }
    Ok(())
}

fn is_toolchain(path: &Path) -> bool {
    let climbs = path.components().any(|c| c == Component::ParentDir);
    let too_much = NO_TOOLCHAINS.iter().any(|no| path == Path::new(no));
    path.is_absolute() && !climbs && !too_much && !has_nul(path)
}

/// Without the slash at the end that joining an empty path leaves, which would show in `PWD`.
fn below(tree: &Path, folder: &Path) -> PathBuf {
    tree.join(folder).components().collect()
}

/// The system's own call would refuse a NUL; among bubblewrap's arguments it would end the word and start the next.
fn has_nul(path: &Path) -> bool {
    path.as_os_str().as_bytes().contains(&0)
}

/// Only names of folders: nothing absolute, no `..`.
fn is_inside(folder: &Path) -> bool {
    folder.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
}

/// The limits as arguments of `prlimit`, each at most what this process has: nobody but root can be given more.
fn limits(runner: &Runner, limits: &Limits) -> Outcome<Vec<OsString>> {
    let mut argv = vec![runner.prlimit()?.as_os_str().to_owned(), "--core=0".into()];
    for (option, resource, wanted) in [
        ("data", Resource::Data, limits.memory_bytes),
        ("cpu", Resource::Cpu, limits.cpu_seconds),
        ("nproc", Resource::Nproc, limits.processes),
        ("fsize", Resource::Fsize, limits.file_bytes),
        ("nofile", Resource::Nofile, limits.open_files),
    ] {
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        argv.push(format!("--{option}={}", wanted.min(most)).into());
    }
    argv.push("--".into());
    Ok(argv)
}

/// The arguments that bubblewrap reads, each ended by NUL.
fn input(tool: &Bubblewrap, job: &Job, spec: &SandboxSpec) -> Outcome<Vec<u8>> {
    let mut args = Args(Vec::new());
    args.add(&["--unshare-all", "--unshare-user", "--uid", USER, "--gid", USER]);
    if tool.can_disable_userns {
        args.add(&["--disable-userns"]);
    }
    if spec.network == Network::Host {
        args.add(&["--share-net"]);
    }
    args.add(&["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "build"]);
    match &spec.root {
        Some(root) => {
            args.bind("--ro-bind", root, Path::new("/"));
            // The tree of an image takes no folders of ours, so what is put into it stands on one of memory.
            args.add(&["--tmpfs", "/build"]);
        }
        None => {
            for path in SYSTEM.iter().chain(&SETTINGS) {
                args.add(&["--ro-bind-try", path, path]);
            }
        }
    }
    if spec.network == Network::Host && spec.root.is_none() {
        for path in NETWORK_SETTINGS {
            args.add(&["--ro-bind-try", path, path]);
        }
    }
    let room = spec.temporary_bytes.to_string();
    args.add(&["--proc", "/proc", "--dev", "/dev", "--size", &room, "--tmpfs", "/dev/shm"]);
    for path in KERNEL {
        args.add(&["--ro-bind-try", path, path]);
    }
    args.add(&["--remount-ro", "/dev", "--size", &room, "--tmpfs", "/tmp"]);
    for path in spec.toolchains.iter().filter(|_| spec.root.is_none()) {
        if !is_toolchain(path) {
            return Err(Trouble::refused(format!(
                "`{}` cannot be shown to builds as a toolchain: name the folder of the tools, in full",
                path.display()
            )));
        }
        args.bind("--ro-bind", path, path);
    }
    args.bind("--bind", &job.tree, Path::new(TREE));
    for (name, path) in &spec.artifacts {
        let mut parts = Path::new(name).components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !is_name || name.contains('\0') || has_nul(path) {
            return Err(Trouble::bug(format!("the artifact `{name}` has no name for a folder")));
        }
        args.bind("--ro-bind", path, &Path::new(ARTIFACTS).join(name));
    }
    // Everything that is not bound is read-only from here on, the empty root included.
    args.add(&["--remount-ro", "/"]);
    args.add(&["--chdir"]);
    args.push(below(Path::new(TREE), &job.folder).as_os_str().as_bytes());
    for (name, value) in &job.environment {
        args.add(&["--setenv", name, value]);
    }
    Ok(args.0)
}

struct Args(Vec<u8>);

impl Args {
    fn add(&mut self, words: &[&str]) {
        for word in words {
            self.push(word.as_bytes());
        }
    }

    fn bind(&mut self, how: &str, from: &Path, to: &Path) {
        self.push(how.as_bytes());
        self.push(from.as_os_str().as_bytes());
        self.push(to.as_os_str().as_bytes());
    }

    fn push(&mut self, word: &[u8]) {
        self.0.extend_from_slice(word);
        self.0.push(0);
    }
}
