//! Other people's servers on loopback, each with a folder and a port of its own; they end with the test.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use liftlock::clock;

/// Other people's programs that are not of the distribution; `./test` makes the folder.
pub(crate) const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");
/// Longest start of a server: several tests and builds may share the machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// A port of loopback that is ours as long as this lives, also while no server listens on it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) port: u16,
    _lock: File,
}

impl Door {
    /// Below the ports that the kernel hands out by itself, and locked against other tests.
    pub(crate) fn new() -> Self {
        let start = u16::try_from(std::process::id() % 7_000).unwrap_or(0);
        for step in 0..7_000_u16 {
            let port = 12_000 + (start + step) % 7_000;
            let path = std::env::temp_dir().join(format!("liftlock-port-{port}.lock"));
            let Ok(lock) = File::options().create(true).truncate(false).write(true).open(path) else {
                continue;
            };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no free port")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// A server that listens; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) door: Door,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Served {
    /// Starts what the command says, which is told its folder and its address, and waits until it listens there.
    pub(crate) fn start(command: impl FnOnce(&Path, SocketAddr) -> Command) -> Self {
        let (folder, door) = (tempfile::tempdir().unwrap(), Door::new());
        let mut command = command(folder.path(), door.address());
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; ./test installs it"));
        let served = Self { child, folder, door };
        let begun = clock::monotonic();
        while TcpStream::connect(served.door.address()).is_err() {
            let log = std::fs::read_to_string(served.path("log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not listen: {log}");
            std::thread::sleep(GLANCE);
        }
        served
    }

    /// Something in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
