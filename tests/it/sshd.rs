//! Machines of their own with an ssh server each, for targets that are reached by it.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use liftlock::clock;
use liftlock::domain::time::Span;
use liftlock::runner::target::Host;

use crate::served::Door;

/// Longest start of a machine: several tests and builds may share the real one.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(5);

/// A machine with an ssh server, a key and a home of its own; it ends with the test.
///
/// Its processes and its network are a namespace each: nothing in there reaches a network, and the one way in is a
/// port of loopback, where whoever calls is handed to a server inside.
#[derive(Debug)]
pub(crate) struct Sshd {
    machine: Child,
    folder: tempfile::TempDir,
    door: Door,
    fallen: Arc<AtomicBool>,
    pub(crate) host_key: String,
}

pub(crate) fn key(path: &Path) -> String {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    public.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Namespaces of processes and of a network, as long as the answer lives: the process that stands in for the machine,
/// and the first one inside, with which all others there end.
fn machine() -> (Child, u32) {
    let machine = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "sleep", "infinity"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", machine.id());
    let begun = clock::monotonic();
    let mut inside = None;
    while inside.is_none() {
        assert!(begun.elapsed() < PATIENCE, "namespaces need root: run ./test as root");
        thread::sleep(GLANCE);
        inside = std::fs::read_to_string(&children).ok().and_then(|list| list.trim().parse().ok());
    }
    (machine, inside.unwrap())
}

/// Gives a caller to a server inside, and waits for its end.
fn served(inside: u32, caller: TcpStream, folder: &Path) {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let caller = OwnedFd::from(caller);
    let ended = Command::new("nsenter")
        .args(["--net", "--pid", "--target", &inside.to_string()])
        .args(["/usr/sbin/sshd", "-i", "-e", "-f"])
        .arg(folder.join("config"))
        .stdin(caller.try_clone().unwrap())
        .stdout(caller)
        .stderr(log)
        .status();
    // How a session ends is seen by whoever called.
    drop(ended);
}

impl Sshd {
    pub(crate) fn start(authorized: &str) -> Self {
        if Path::new("/run").is_dir() {
            // A server of root wants it; everybody else neither needs nor may make it.
            let made = std::fs::create_dir_all("/run/sshd");
            drop(made);
        }
        let (folder, door) = (tempfile::tempdir().unwrap(), Door::new());
        let host_key = key(&folder.path().join("host"));
        std::fs::create_dir(folder.path().join("home")).unwrap();
        std::fs::write(folder.path().join("authorized"), format!("{authorized}\n")).unwrap();
        let config = format!(
            "HostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
             PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             SetEnv HOME={0}/home\n",
            folder.path().display(),
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        let (machine, inside) = machine();
        let fallen = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind(door.address()).unwrap();
        let (own, down) = (folder.path().to_owned(), Arc::clone(&fallen));
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                if down.load(Ordering::Acquire) {
                    return;
                }
                let own = own.clone();
                thread::spawn(move || served(inside, caller, &own));
            }
        });
        Self { machine, folder, door, fallen, host_key }
    }

    /// Something in its folder, which is the same inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends it and everybody whom it serves at once, as a machine that falls over would.
    pub(crate) fn fall(&mut self) {
        self.fallen.store(true, Ordering::Release);
        self.machine.kill().unwrap();
        self.machine.wait().unwrap();
        // So that its door closes too.
        drop(TcpStream::connect(self.door.address()));
    }

    pub(crate) fn host(&self, key_file: &Path) -> Host {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Host {
            address: "127.0.0.1".to_owned(),
            port: self.door.port,
            user: String::from_utf8(user).unwrap().trim().to_owned(),
            host_key: self.host_key.clone(),
            key_file: key_file.to_owned(),
            timeout: Span::seconds(10),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.fall();
    }
}
