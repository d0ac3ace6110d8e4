//! What this machine can do to hold a job in, found once at start, and what follows for a build.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::Network;
use crate::trouble::{Outcome, Trouble};

/// Where the programs are looked for. Not in `PATH`: a job's own `PATH` must not name what holds it in.
const FOLDERS: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/current-system/sw/bin"];

/// A program that does nothing takes a few milliseconds; this is for a machine under load.
const TRIAL: Duration = Duration::from_secs(20);

/// Where clouds hand out the machine's own credentials to whoever asks (AWS, GCP, Azure and others).
const METADATA: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)), 80);

/// The address is on the same machine or one hop away, or does not answer.
const METADATA_WAIT: Duration = Duration::from_secs(1);

/// Runs jobs with what was found here.
#[derive(Debug, Clone)]
pub struct Runner {
    prlimit: Option<PathBuf>,
    bubblewrap: Result<Bubblewrap, String>,
    metadata_answers: bool,
}

/// A bubblewrap that works here.
#[derive(Debug, Clone)]
pub(super) struct Bubblewrap {
    pub(super) path: PathBuf,
    /// Whether a job can be kept from making namespaces of its own.
    pub(super) can_disable_userns: bool,
    version: String,
}

/// What there is, for `doctor`, for the log at start and for [`choose`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The version of bubblewrap, when it is there and can make a sandbox.
    pub bubblewrap: Option<String>,
    /// Whether jobs can be limited; nothing runs without.
    pub prlimit: bool,
    /// Whether the cloud's metadata address answers, so that a job with network could fetch credentials there.
    pub metadata_answers: bool,
    /// Why something is missing and what to do, for people; empty when all is there.
    pub reason: String,
}

/// How much the server's settings ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// A sandbox where there is one; code from protected branches runs without, too.
    Auto,
    /// A sandbox or nothing.
    Require,
}

/// Who on this machine may speak for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Whoever reaches the server from here: `access = "loopback"`.
    Open,
    /// Whoever has a token.
    Locked,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It passed the rules of a protected branch.
    ProtectedBranch,
    /// Anybody may have written it.
    PullRequest,
}

/// How a build may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// In bubblewrap, or else plain.
    pub sandboxed: bool,
    /// What people should see beside the build.
    pub warnings: Vec<String>,
}

/// Why a build may not run here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Unsafe {
    /// Nothing can be limited.
    NoLimits(String),
    /// The settings or the code ask for a sandbox and there is none.
    NoSandbox {
        /// Whose code it is.
        origin: Origin,
        /// What is missing.
        reason: String,
    },
    /// Code of anybody, a network, and an address on it that hands out credentials.
    Metadata,
    /// Code of anybody, and a network on which the server itself believes whoever asks.
    Door,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLimits(reason) => write!(f, "nothing can run here without limits: {reason}"),
            Self::NoSandbox { origin: Origin::PullRequest, reason } => {
                write!(f, "code of a pull request runs in a sandbox only, and there is none: {reason}")
            }
            Self::NoSandbox { origin: Origin::ProtectedBranch, reason } => {
                write!(f, "the settings require a sandbox, and there is none: {reason}")
            }
            Self::Metadata => write!(
                f,
                "a pull request with network could fetch this machine's credentials from {}; \
                 block that address with a firewall rule for the server's user and restart, or build without network",
                METADATA.ip()
            ),
            Self::Door => f.write_str(
                "a pull request with network could approve in anybody's name here, since access = \"loopback\" believes \
                 whoever asks from this machine; set access = \"token\" in the server's config, or build without network",
            ),
        }
    }
}

/// How a build of this origin, with this network, may run on a machine that can do so much.
pub fn choose(
    (policy, door): (Policy, Door),
    origin: Origin,
    network: Network,
    capability: &Capability,
) -> Result<Choice, Unsafe> {
    let reason = || capability.reason.clone();
    if !capability.prlimit {
        return Err(Unsafe::NoLimits(reason()));
    }
    let mut warnings = Vec::new();
    let sandboxed = capability.bubblewrap.is_some();
    match (sandboxed, policy, origin) {
        (true, Policy::Auto | Policy::Require, _) => {}
        (false, Policy::Auto, Origin::ProtectedBranch) => warnings.push(format!(
            "this ran without a sandbox, with everything the server's user can read: {}",
            capability.reason
        )),
        (false, Policy::Require, _) | (false, Policy::Auto, Origin::PullRequest) => {
            return Err(Unsafe::NoSandbox { origin, reason: reason() });
        }
    }
    match (network, origin, door) {
        (Network::None, _, _) | (Network::Host, _, Door::Locked) => {}
        (Network::Host, Origin::PullRequest, Door::Open) => return Err(Unsafe::Door),
        (Network::Host, Origin::ProtectedBranch, Door::Open) => warnings.push(
            "this could speak to the server in anybody's name, since access = \"loopback\" believes whoever asks from \
             this machine; access = \"token\" in its config ends that"
                .to_owned(),
        ),
    }
    match (network, origin) {
        (Network::None, _) => {}
        (Network::Host, Origin::PullRequest) if capability.metadata_answers => return Err(Unsafe::Metadata),
        (Network::Host, Origin::ProtectedBranch) if capability.metadata_answers => warnings.push(format!(
            "this could reach {}, where this machine's credentials are handed out",
            METADATA.ip()
        )),
        (Network::Host, Origin::PullRequest) => {
            warnings.push("this could reach every network service of this machine".to_owned());
        }
        (Network::Host, Origin::ProtectedBranch) => {}
    }
    Ok(Choice { sandboxed, warnings })
}

/// The program of this name that a job with this `PATH` would find.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        let mode = file.metadata().ok().filter(std::fs::Metadata::is_file)?.permissions().mode();
        (mode & 0o111 != 0).then_some(())
    };
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| runs(file).is_some())
}

impl Runner {
    /// Looks for the programs and tries them.
    pub async fn probe() -> Self {
        Self::probe_in(&FOLDERS.map(Path::new)).await
    }

    pub(super) async fn probe_in(folders: &[&Path]) -> Self {
        let find = |name: &str| folders.iter().map(|f| f.join(name)).find(|path| path.is_file());
        let prlimit = match find("prlimit") {
            Some(path) if trial(&path, &["--core=0", "--", "/bin/sh", "-c", "exit 0"]).await.is_ok() => {
                Some(path)
            }
            Some(_) | None => None,
        };
        let bubblewrap = match find("bwrap") {
            Some(path) => try_bubblewrap(path).await,
            None => Err("bubblewrap is not installed; install the package `bubblewrap`".to_owned()),
        };
        let metadata_answers = timeout(METADATA_WAIT, TcpStream::connect(METADATA))
            .await
            .is_ok_and(|connected| connected.is_ok());
        Self { prlimit, bubblewrap, metadata_answers }
    }

    /// What was found.
    pub fn capability(&self) -> Capability {
        let mut reasons = Vec::new();
        if let Err(reason) = &self.bubblewrap {
            reasons.push(reason.as_str());
        }
        if self.prlimit.is_none() {
            reasons.push(NO_PRLIMIT);
        }
        Capability {
            bubblewrap: self.bubblewrap.as_ref().ok().map(|b| b.version.clone()),
            prlimit: self.prlimit.is_some(),
            metadata_answers: self.metadata_answers,
            reason: reasons.join("; "),
        }
    }

    pub(super) fn prlimit(&self) -> Outcome<&Path> {
        self.prlimit.as_deref().ok_or_else(|| Trouble::refused(NO_PRLIMIT))
    }

    pub(super) fn bubblewrap(&self) -> Outcome<&Bubblewrap> {
        self.bubblewrap.as_ref().map_err(|reason| Trouble::refused(reason.as_str()))
    }
}

const NO_PRLIMIT: &str = "`prlimit` is missing or does not work; install the package `util-linux`";

/// A sandbox as jobs get it, once with nested namespaces forbidden and, where that cannot be, once without.
async fn try_bubblewrap(path: PathBuf) -> Result<Bubblewrap, String> {
    let version = trial(&path, &["--version"]).await?;
    let version = version.trim().trim_start_matches("bubblewrap ").to_owned();
    let base = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent"];
    let rest = [
        "--new-session --cap-drop ALL --hostname build --ro-bind / / --proc /proc --dev /dev",
        "--size 65536 --tmpfs /tmp --remount-ro / -- /bin/sh -c true",
    ];
    let rest: Vec<&str> = rest.iter().flat_map(|line| line.split(' ')).collect();
    let strict = [&base[..], &["--disable-userns"], &rest].concat();
    let loose = [&base[..], &rest].concat();
    let can_disable_userns = trial(&path, &strict).await.is_ok();
    if !can_disable_userns {
        trial(&path, &loose).await.map_err(|why| {
            format!(
                "bubblewrap {version} cannot make a sandbox here ({why}); allow user namespaces for this user"
            )
        })?;
    }
    Ok(Bubblewrap { path, can_disable_userns, version })
}

/// What a program says when it succeeds, or the last line of what it complains about.
async fn trial(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    match timeout(TRIAL, command.output()).await {
        Err(_) => Err(format!("`{}` did not end within {} s", program.display(), TRIAL.as_secs())),
        Ok(Err(e)) => Err(format!("`{}` cannot be started: {e}", program.display())),
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().map_or_else(|| output.status.to_string(), str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(bubblewrap: bool) -> Capability {
        Capability {
            bubblewrap: bubblewrap.then(|| "0.8.0".to_owned()),
            prlimit: true,
            metadata_answers: false,
            reason: if bubblewrap { String::new() } else { "install it".to_owned() },
        }
    }

    #[test]
    fn t46_code_of_a_pull_request_runs_in_a_sandbox_or_not_at_all() {
        use Door::Locked;
        use Network::None;
        use Origin::{ProtectedBranch, PullRequest};
        use Policy::{Auto, Require};
        let (with, without) = (capability(true), capability(false));
        for policy in [Auto, Require] {
            for origin in [ProtectedBranch, PullRequest] {
                let choice = choose((policy, Locked), origin, None, &with).unwrap();
                assert!(choice.sandboxed && choice.warnings.is_empty());
            }
            let refusal = choose((policy, Locked), PullRequest, None, &without).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                "code of a pull request runs in a sandbox only, and there is none: install it"
            );
        }
        let plain = choose((Auto, Locked), ProtectedBranch, None, &without).unwrap();
        assert!(!plain.sandboxed);
        assert!(plain.warnings[0].contains("without a sandbox") && plain.warnings[0].contains("install it"));
        let refusal = choose((Require, Locked), ProtectedBranch, None, &without).unwrap_err();
        assert_eq!(refusal.to_string(), "the settings require a sandbox, and there is none: install it");
    }

    #[test]
    fn t46_a_network_with_a_metadata_service_is_not_for_pull_requests() {
        let mut machine = capability(true);
        let choose = |origin, network, machine: &Capability| {
            choose((Policy::Auto, Door::Locked), origin, network, machine)
        };
        let open = choose(Origin::PullRequest, Network::Host, &machine).unwrap();
        assert!(open.warnings[0].contains("every network service"));
        machine.metadata_answers = true;
        assert_eq!(choose(Origin::PullRequest, Network::Host, &machine), Err(Unsafe::Metadata));
        assert!(Unsafe::Metadata.to_string().contains("169.254.169.254"));
        assert_eq!(choose(Origin::PullRequest, Network::None, &machine).unwrap().warnings.len(), 0);
        assert_eq!(choose(Origin::ProtectedBranch, Network::Host, &machine).unwrap().warnings.len(), 1);
    }

    /// It would be one comment away from approving in somebody's name.
    #[test]
    fn t32_t46_a_network_with_a_server_that_believes_everybody_is_not_for_pull_requests() {
        let machine = capability(true);
        let choose = |origin, network| choose((Policy::Auto, Door::Open), origin, network, &machine);
        assert_eq!(choose(Origin::PullRequest, Network::Host), Err(Unsafe::Door));
        assert!(Unsafe::Door.to_string().contains("set access = \"token\""));
        assert_eq!(choose(Origin::PullRequest, Network::None).unwrap().warnings.len(), 0);
        let warned = choose(Origin::ProtectedBranch, Network::Host).unwrap().warnings;
        assert!(warned[0].contains("in anybody's name"), "{warned:?}");
    }

    #[test]
    fn nothing_runs_without_limits() {
        let mut machine = capability(true);
        machine.prlimit = false;
        let refusal = choose((Policy::Auto, Door::Locked), Origin::ProtectedBranch, Network::None, &machine)
            .unwrap_err();
        assert!(matches!(refusal, Unsafe::NoLimits(_)));
    }

    #[tokio::test]
    async fn what_is_missing_is_said_with_what_to_do() {
        let found = Runner::probe_in(&[Path::new("/nonexistent")]).await.capability();
        assert!(!found.prlimit && found.bubblewrap.is_none());
        assert_eq!(
            found.reason,
            "bubblewrap is not installed; install the package `bubblewrap`; \
             `prlimit` is missing or does not work; install the package `util-linux`"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_its_trial_says_why() {
        let why = trial(Path::new("/bin/sh"), &["-c", "echo no >&2; exit 3"]).await.unwrap_err();
        assert_eq!(why, "no");
        assert!(trial(Path::new("/nonexistent/x"), &[]).await.unwrap_err().contains("cannot be started"));
    }
}
