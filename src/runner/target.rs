//! Targets of the server's config, and how commands get to one over ssh: by the system's client, told everything by us.
//!
//! Nothing of the server user's own settings counts: no config file, no agent, no other key, no known host but the one
//! that the config names (THREATS T39). Values travel on standard input, never as words that others can see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::domain::name::{EnvironmentName, RoleName, TargetName};
use crate::domain::time::Span;
use crate::domain::variable::artifact_variable;
use crate::runner::connection;
use crate::runner::hook::Hook;
use crate::secret::{Allowed, Asking};

/// A machine that stages deploy to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// What it is there for.
    pub roles: BTreeSet<RoleName>,
    /// How commands get there.
    pub kind: Kind,
    /// The stages that may deploy to it.
    pub allow: Vec<Allowed>,
}

/// How commands get to a target.
#[derive(Debug, Clone)]
pub enum Kind {
    /// They run where the server runs and know themselves what to do with the address.
    Local {
        /// What they are told.
        address: String,
    },
    /// They run on the host.
    Ssh(Host),
    /// They run where the server runs, and `kubectl` finds the cluster.
    Kubernetes(Cluster),
    /// None do: `uses: hook` launches a job that is done there.
    Http(Box<Hook>),
}

/// A cluster of Kubernetes.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The file that says where it is and who we are.
    pub kubeconfig: PathBuf,
    /// Which of its contexts; the current one when absent.
    pub context: Option<String>,
    /// The namespace; the context's when absent.
    pub namespace: Option<String>,
}

/// A host that is reached by ssh.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name or address.
    pub address: String,
    /// The port of its server.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// Its public key, as a line of `ssh-keyscan` has it behind the name: `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// The file of the private key.
    pub key_file: PathBuf,
    /// How long a connection may take.
    pub timeout: Span,
}

/// How a client gets to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By a connection of its own.
    Alone,
    /// Through the one that is kept by the client of its folder; alone when there is none any more.
    Through,
    /// It is the client that keeps one, and runs nothing.
    Kept,
}

/// The socket of a kept connection in the folder of its clients. They start there, because the path of a socket is at
/// most 100 bytes long.
const SOCKET: &str = "connection";

impl Target {
    /// Whether this stage may deploy to it.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
    }

    /// Where it is, as commands are told.
    pub fn address(&self) -> String {
        match &self.kind {
            Kind::Local { address } => address.clone(),
            Kind::Ssh(host) => host.address.clone(),
            Kind::Kubernetes(cluster) => cluster.context.clone().unwrap_or_default(),
            Kind::Http(hook) => hook.host(),
        }
    }

    /// What commands for it find in their environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let roles: Vec<&str> = self.roles.iter().map(RoleName::as_str).collect();
        let mut told = vec![
            ("TARGET", self.name.to_string()),
            ("TARGET_ADDRESS", self.address()),
            ("TARGET_ROLES", roles.join(",")),
        ];
        if let Kind::Kubernetes(cluster) = &self.kind {
            told.push(("KUBECONFIG", cluster.kubeconfig.display().to_string()));
            told.extend(cluster.context.clone().map(|context| ("KUBE_CONTEXT", context)));
            told.extend(cluster.namespace.clone().map(|namespace| ("KUBE_NAMESPACE", namespace)));
        }
        told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Everything of it that must never be shown.
    pub fn hidden(&self) -> Vec<&crate::secret::Secret> {
        match &self.kind {
            Kind::Http(hook) => hook.hidden().collect(),
            Kind::Local { .. } | Kind::Ssh(_) | Kind::Kubernetes(_) => Vec::new(),
        }
    }
}

/// A text as one word of `/bin/sh`.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Host {
    /// What `known_hosts` says: this host has this key, and no other host is known.
    pub fn known_hosts(&self) -> String {
        format!("[{}]:{} {}\n{0} {2}\n", self.address, self.port, self.host_key)
    }

    /// The client as text for `/bin/sh`, up to the command on the host. Whichever way it goes, it is let in and lets
    /// itself in by the same rules.
    pub fn client(&self, known_hosts: &Path, route: Route) -> String {
        let seconds = self.timeout.as_millis().div_ceil(1_000).max(1);
        let mut options = vec![
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("UserKnownHostsFile={}", known_hosts.display()),
            "GlobalKnownHostsFile=none".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            format!("IdentityFile={}", self.key_file.display()),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardAgent=no".to_owned(),
            format!("ConnectTimeout={seconds}"),
            // A host that vanished in the middle is noticed within a minute.
            "ServerAliveInterval=15".to_owned(),
            "ServerAliveCountMax=4".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        let (words, ways) = match route {
            Route::Alone => ("", vec!["ControlPath=none".to_owned()]),
            Route::Through => ("", vec!["ControlMaster=no".to_owned(), format!("ControlPath={SOCKET}")]),
            Route::Kept => (
                " -N",
                vec![
                    "ControlMaster=yes".to_owned(),
                    format!("ControlPath={SOCKET}"),
                    "ControlPersist=no".to_owned(),
                    "PermitLocalCommand=yes".to_owned(),
                    format!("LocalCommand=echo {}", connection::OPEN),
                ],
            ),
        };
        options.extend(ways);
        let mut out = format!("ssh -F none -T{words}");
        for option in options {
            write!(out, " -o {}", quoted(&option)).unwrap_or_default();
        }
        let (user, address) = (quoted(&self.user), quoted(&self.address));
        write!(out, " -p {} -l {user} -- {address}", self.port).unwrap_or_default();
        out
    }

    /// Why a connection failed, in words for people, from what the client printed.
    pub fn trouble(&self, name: &TargetName, printed: &[String]) -> Option<String> {
        let says = |text: &str| printed.iter().any(|line| line.contains(text));
        let at = format!("{}:{}", self.address, self.port);
        if says("Host key verification failed") || says("IDENTIFICATION HAS CHANGED") {
            return Some(format!(
                "{at} does not have the host key that the server's config names for {name}; nothing was sent there. \
                 If the host is new on purpose, put its key into `host_key` (ssh-keyscan -p {} {})",
                self.port, self.address
            ));
        }
        if says("Permission denied") {
            return Some(format!(
                "{at} refuses the key {} for the user {}",
                self.key_file.display(),
                self.user
            ));
        }
        let lost = ["Connection refused", "timed out", "No route to host", "Could not resolve", "closed by"];
        lost.iter().find(|text| says(text)).map(|text| format!("{at} cannot be reached: {text}"))
    }

    /// What is said of a command under which the connection broke.
    pub fn lost(&self) -> String {
        format!(
            "lost the connection to {}:{} while it ran; it may go on there: look before you try again",
            self.address, self.port
        )
    }
}

/// What stands on standard input of the shell on the host: the variables, the folder, and the command.
pub fn script(
    environment: &BTreeMap<String, String>,
    (folder, below, aliases): (&str, &str, &[String]),
    (shell, text): (&str, &str),
) -> String {
    let mut out = String::new();
    for (name, value) in environment.iter().filter(|(name, _)| travels(name)) {
        writeln!(out, "export {name}={}", quoted(value)).unwrap_or_default();
    }
    writeln!(out, "cd \"$HOME\"/{} || exit 1", quoted(folder)).unwrap_or_default();
    for (index, alias) in aliases.iter().enumerate() {
        if index == 0 {
            writeln!(out, "export LIFTLOCK_ARTIFACT=\"$PWD\"/{}", quoted(alias)).unwrap_or_default();
        }
        let name = artifact_variable(alias);
        writeln!(out, "export {name}=\"$PWD\"/{}", quoted(alias)).unwrap_or_default();
    }
    out.push_str("if [ -d \"$LIFTLOCK_ARTIFACT\" ]; then cd \"$LIFTLOCK_ARTIFACT\"; fi\n");
    if !below.is_empty() {
        writeln!(out, "cd {} || exit 1", quoted(below)).unwrap_or_default();
    }
    // What the command reads must not be the rest of this text.
    writeln!(out, "exec {shell} -e -c {} </dev/null", quoted(text)).unwrap_or_default();
    out
}

/// Whether a variable means something on another machine.
fn travels(name: &str) -> bool {
    let mut bytes = name.bytes();
    let named = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let ours = matches!(name, "PATH" | "HOME" | "LIFTLOCK_DOCUMENTS" | "LIFTLOCK_SOURCE" | "LIFTLOCK_OUTPUT");
    named && !ours && !name.starts_with("LIFTLOCK_ARTIFACT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            address: "web-1.example".to_owned(),
            port: 2222,
            user: "deploy".to_owned(),
            host_key: "ssh-ed25519 AAAAC3".to_owned(),
            key_file: "/etc/liftlock/it's.key".into(),
            timeout: Span::millis(1_500),
        }
    }

    #[test]
    fn t39_the_client_knows_one_host_one_key_and_nothing_of_its_user() {
        let known = Path::new("/data/known hosts");
        let text = host().client(known, Route::Alone);
        for part in [
            "-F none",
            "'StrictHostKeyChecking=yes'",
            "'UserKnownHostsFile=/data/known hosts'",
            "'GlobalKnownHostsFile=none'",
            "'IdentityFile=/etc/liftlock/it'\\''s.key'",
            "'IdentityAgent=none'",
            "'ConnectTimeout=2'",
            "'ControlPath=none'",
            "-p 2222 -l 'deploy' -- 'web-1.example'",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let rules = text.replace(" -o 'ControlPath=none'", "");
        for (route, more) in [
            (Route::Through, " -o 'ControlMaster=no' -o 'ControlPath=connection'"),
            (Route::Kept, " -o 'ControlMaster=yes' -o 'ControlPath=connection' -o 'ControlPersist=no'"),
        ] {
            let other = host().client(known, route);
            assert!(other.contains(more), "{other}");
            let words: Vec<&str> = rules.split(' ').filter(|word| !other.contains(word)).collect();
            assert!(words.is_empty(), "{words:?} are not in {other}");
        }
        assert_eq!(
            host().known_hosts(),
            "[web-1.example]:2222 ssh-ed25519 AAAAC3\nweb-1.example ssh-ed25519 AAAAC3\n"
        );
    }

    #[test]
    fn t39_what_the_client_prints_becomes_a_sentence() {
        let name = "web-1".parse().unwrap();
        let told = |line: &str| host().trouble(&name, &[line.to_owned()]);
        assert!(told("Host key verification failed.").unwrap().contains("nothing was sent there"));
        assert!(told("deploy@web-1: Permission denied (publickey).").unwrap().contains("refuses the key"));
        let refused = told("ssh: connect to host web-1 port 2222: Connection refused").unwrap();
        assert_eq!(refused, "web-1.example:2222 cannot be reached: Connection refused");
        assert_eq!(told("make: *** Error 1"), None, "what a command prints is its own affair");
    }

    #[test]
    fn e15_values_travel_quoted_and_paths_of_this_machine_do_not() {
        let pairs =
            [("PATH", "/bin"), ("A", "it's $HOME"), ("not a name", "x"), ("LIFTLOCK_ARTIFACT", "/here")];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let aliases = ["app".to_owned(), "the-docs".to_owned()];
        let text = script(&environment, (".liftlock/shop/prod", "bin", &aliases), ("/bin/sh", "echo 'a'"));
        assert_eq!(
            text,
            "export A='it'\\''s $HOME'\ncd \"$HOME\"/'.liftlock/shop/prod' || exit 1\n\
             export LIFTLOCK_ARTIFACT=\"$PWD\"/'app'\nexport LIFTLOCK_ARTIFACT_APP=\"$PWD\"/'app'\n\
             export LIFTLOCK_ARTIFACT_THE_DOCS=\"$PWD\"/'the-docs'\n\
             if [ -d \"$LIFTLOCK_ARTIFACT\" ]; then cd \"$LIFTLOCK_ARTIFACT\"; fi\ncd 'bin' || exit 1\n\
             exec /bin/sh -e -c 'echo '\\''a'\\''' </dev/null\n"
        );
    }
}
