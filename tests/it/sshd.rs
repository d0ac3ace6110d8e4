//! An ssh server of our own on loopback, for targets that are reached by it.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use std::path::Path;
use std::process::Command;

use liftlock::domain::time::Span;
use liftlock::runner::target::Host;

use crate::served::Served;

/// An ssh server of our own, with a key and a home of its own.
pub(crate) struct Sshd {
    pub(crate) server: Served,
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

impl Sshd {
    pub(crate) fn start(authorized: &str) -> Self {
        if Path::new("/run").is_dir() {
            // A server of root wants it; everybody else neither needs nor may make it.
            let made = std::fs::create_dir_all("/run/sshd");
            drop(made);
        }
        let mut host_key = String::new();
        let server = Served::start(|folder, address| {
            host_key = key(&folder.join("host"));
            std::fs::create_dir(folder.join("home")).unwrap();
            std::fs::write(folder.join("authorized"), format!("{authorized}\n")).unwrap();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
                 PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
                 SetEnv HOME={0}/home\n",
                folder.display(),
                port = address.port()
            );
            std::fs::write(folder.join("config"), config).unwrap();
            let mut command = Command::new("/usr/sbin/sshd");
            command.args(["-D", "-e", "-f"]).arg(folder.join("config"));
            command
        });
        Self { server, host_key }
    }

    /// Ends it and everybody whom it serves, as a machine that falls over would.
    pub(crate) fn fall(&self) {
        let id = self.server.id().to_string();
        for whom in
            [&["-KILL", "-P", &id][..], &["-KILL", "-f", &self.server.path("config").display().to_string()]]
        {
            let ended = Command::new("pkill").args(whom).status().unwrap();
            assert!(ended.success(), "{whom:?}");
        }
    }

    pub(crate) fn host(&self, key_file: &Path) -> Host {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Host {
            address: "127.0.0.1".to_owned(),
            port: self.server.door.port,
            user: String::from_utf8(user).unwrap().trim().to_owned(),
            host_key: self.host_key.clone(),
            key_file: key_file.to_owned(),
            timeout: Span::seconds(10),
        }
    }
}
