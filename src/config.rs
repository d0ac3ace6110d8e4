//! The server's settings from one file and the environment, read once, every problem reported together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bucket::Bucket;
use crate::config::caller::Caller;
use crate::config::sealed::{SealedName, Seals};
use crate::domain::command::prefix::Prefix;
use crate::domain::name::{AgentLabel, Login, RepoName};
use crate::domain::policy::server::ServerPolicy;
use crate::domain::retention::{KEEP, Retention};
use crate::domain::time::Span;
use crate::forge::github::settings::{Credentials, PUBLIC_API};
use crate::forge::signature::check_secret;
use crate::forge::{github, plain};
use crate::git::origin::Origin;
use crate::https::Authorities;
use crate::notify::Routes;
use crate::probe::Reach;
use crate::probe::guard::Allowed;
use crate::publish::Outlet;
use crate::runner::probe::Policy;
use crate::runner::registry::Registry;
use crate::runner::target::Target;
use crate::secret::{self, Connection, Secret, StepSecret};
use crate::upstream::Upstream;

mod bucket;
pub mod caller;
pub mod library;
mod notify;
mod origin;
pub mod policy;
mod publish;
mod registry;
pub mod sealed;
mod secrets;
mod target;

#[cfg(test)]
mod tests;
mod upstream;

/// What variables of the environment that override the file begin with.
pub const PREFIX: &str = "LIFTLOCK_";

/// Shortest token for pages and API; nobody guesses 20 random characters.
pub const SHORTEST_TOKEN: usize = 20;

/// Everything that is wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the config has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for Problems {}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: std::net::SocketAddr,
    /// The address people reach the pages at, without a slash at its end.
    pub public_url: String,
    /// Mirrors, artifacts and working folders.
    pub data: PathBuf,
    /// `sqlite:…` or `postgres://…`.
    pub database: Secret,
    /// How the log is written.
    pub log: LogFormat,
    /// Who may see pages and use the API.
    pub access: AccessMode,
    /// Tokens for pages and API.
    pub tokens: Vec<Secret>,
    /// Secrets that webhooks may be signed with; several while one replaces another.
    pub webhook_secrets: Vec<Secret>,
    /// Those of the webhooks that tell of other repositories; whoever has one speaks for no host of ours.
    pub gitea_webhook_secrets: Vec<Secret>,
    /// Programs that start releases by signed calls.
    pub callers: Vec<Caller>,
    /// What stands before every verb in comments.
    pub command_prefix: Prefix,
    /// Whether builds need a sandbox.
    pub sandbox: Policy,
    /// Folders with tools that sandboxed builds may read.
    pub toolchains: Vec<PathBuf>,
    /// What this machine is known by, its system and its processor among it.
    pub labels: BTreeSet<AgentLabel>,
    /// Builds at a time.
    pub builds: usize,
    /// Stages at a time.
    pub deploys: usize,
    /// Length of a lease.
    pub lease: Span,
    /// Time between two looks for what was missed.
    pub reconcile_every: Span,
    /// How long bytes are kept of pipelines that do not say.
    pub retention: Option<Retention>,
    /// Where notices may go.
    pub notify: Routes,
    /// What is asked of stages whatever their manifests say.
    pub policy: Vec<ServerPolicy>,
    /// Where probes may go.
    pub probe: Reach,
    /// Variables for every step.
    pub environment: BTreeMap<String, String>,
    /// Secrets for steps, by name.
    pub secrets: BTreeMap<String, StepSecret>,
    /// Services that steps may work with, by name.
    pub connections: BTreeMap<String, Connection>,
    /// Machines that stages deploy to.
    pub targets: Vec<Target>,
    /// Other repositories that releases may take the tree of.
    pub origins: Vec<Origin>,
    /// Builds of one repository that pipelines of others may take.
    pub upstreams: Vec<Upstream>,
    /// Where images are pushed to and taken from.
    pub registries: Vec<Registry>,
    /// Where files of releases are published.
    pub outlets: Vec<Outlet>,
    /// The bucket that keeps artifacts, when it is not the data folder, and how many bytes of copies that has of it.
    pub artifacts: Option<(Bucket, u64)>,
    /// Tokens that say who somebody is, by login.
    pub personal_tokens: BTreeMap<Login, Secret>,
    /// The library of variable groups.
    pub library: library::Settings,
    /// GitHub, when it is served.
    pub github: Option<github::Settings>,
    /// The plain host, when it has repositories.
    pub plain: Option<plain::Settings>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Who may see pages and use the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessMode {
    /// Whoever is on this machine.
    #[default]
    Loopback,
    /// Whoever has one of the tokens.
    Token,
}

/// What stands under `[retention]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    days: std::num::NonZeroU32,
    keep: Option<std::num::NonZeroU32>,
    failed_days: Option<std::num::NonZeroU32>,
}

impl RetentionFile {
    fn rule(&self) -> Retention {
        Retention {
            days: self.days.get(),
            keep: self.keep.map_or(KEEP, std::num::NonZeroU32::get),
            failed_days: self.failed_days.unwrap_or(self.days).get(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<String>,
    public_url: Option<String>,
    data: Option<PathBuf>,
    database: Option<String>,
    log: LogFormat,
    access: AccessMode,
    tokens: Vec<Given>,
    webhook_secrets: Vec<Given>,
    gitea_webhook_secrets: Vec<Given>,
    callers: BTreeMap<Login, caller::Entry>,
    command_prefix: Prefix,
    sandbox: Option<String>,
    toolchains: Vec<PathBuf>,
    runner: RunnerFile,
    builds: Option<usize>,
    deploys: Option<usize>,
    lease: Option<Span>,
    reconcile_every: Option<Span>,
    retention: Option<RetentionFile>,
    notify: notify::File,
    probe: ProbeFile,
    environment: BTreeMap<String, String>,
    secrets: BTreeMap<String, secrets::Entry>,
    connections: BTreeMap<String, ConnectionFile>,
    target: Vec<target::Entry>,
    repository: Vec<origin::Entry>,
    upstream: Vec<upstream::Entry>,
    registry: Vec<registry::Entry>,
    publish: Vec<publish::Entry>,
    artifacts: bucket::Artifacts,
    personal_tokens: BTreeMap<Login, Given>,
    library: library::File,
    policy: Vec<policy::File>,
    github: Option<GitHubFile>,
    plain: Option<plain::Settings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RunnerFile {
    labels: BTreeSet<AgentLabel>,
}

impl RunnerFile {
    fn all(self) -> BTreeSet<AgentLabel> {
        let own = [std::env::consts::OS, std::env::consts::ARCH].into_iter();
        self.labels.into_iter().chain(own.filter_map(|word| word.parse().ok())).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProbeFile {
    allow: Vec<String>,
    authorities: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitHubFile {
    #[serde(default)]
    api_url: Option<String>,
    #[serde(default)]
    upload_url: Option<String>,
    #[serde(default)]
    git_url: Option<String>,
    #[serde(default)]
    app_id: Option<u64>,
    #[serde(default)]
    private_key: Option<Given>,
    #[serde(default)]
    token: Option<Given>,
    repositories: Vec<RepoName>,
    #[serde(default)]
    checks: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConnectionFile {
    environment: BTreeMap<String, String>,
    secrets: BTreeMap<String, Given>,
    allow: Vec<secret::Allowed>,
}

/// A secret in the config: `{ file = "…" }`, `{ env = "…" }`, `{ sealed = "…" }`, or the text itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Given {
    /// The text.
    Text(Hidden),
    /// A file that holds it, without the line's end.
    File {
        /// Its path.
        file: PathBuf,
    },
    /// A variable of the environment that holds it.
    Env {
        /// Its name.
        env: String,
    },
    /// One that is sealed in the data folder.
    Sealed {
        /// Its name.
        sealed: SealedName,
    },
}

/// A text of the config that must not be shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Variables of the environment.
pub type Environment = BTreeMap<String, String>;

impl Config {
    /// Reads the file's text; variables such as `LIFTLOCK_LISTEN` win over it. `read_file` reads what secrets name.
    pub fn read(
        text: &str,
        environment: &Environment,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, Problems> {
        let mut file = parse(text)?;
        let mut reading = Reading::new(environment, read_file);
        reading.overrides(&mut file);
        let config = reading.config(file);
        if let Some(config) = &config {
            reading.check_allows(config);
            reading.check_callers(config);
        }
        match config {
            Some(config) if reading.problems.is_empty() => Ok(config),
            Some(_) | None => Err(Problems(reading.problems)),
        }
    }

    /// Every text that must never be shown.
    pub fn hidden(&self) -> Vec<Secret> {
        let mut all: Vec<Secret> = self.tokens.iter().chain(&self.webhook_secrets).cloned().collect();
        all.extend(self.gitea_webhook_secrets.iter().cloned());
        all.extend(self.callers.iter().flat_map(|caller| &caller.secrets).cloned());
        all.extend(self.personal_tokens.values().chain(&self.library.key).cloned());
        all.extend(self.notify.hidden().chain(self.targets.iter().flat_map(Target::hidden)).cloned());
        all.extend(self.origins.iter().filter_map(|origin| origin.token.clone()));
        let logins = self.registries.iter().filter_map(|registry| registry.login.as_ref());
        all.extend(logins.map(|(_, password)| password.clone()));
        all.extend(self.outlets.iter().flat_map(Outlet::hidden));
        all.extend(self.artifacts.iter().flat_map(|(bucket, _)| bucket.hidden()));
        match self.github.as_ref().map(|g| &g.credentials) {
            Some(Credentials::App { private_key, .. }) => all.push(private_key.clone()),
            Some(Credentials::Token(token)) => all.push(token.clone()),
            None => {}
        }
        if self.database.expose().contains('@') {
            all.push(self.database.clone());
        }
        all
    }
}

/// How an `allow` names stages.
const STAGES: &str = "[\"<pipeline>/<stage>\"], `*`";
/// How an `allow` names builds.
const BUILDS: &str = "[\"<pipeline>/build\"], `*/build`";

fn parse(text: &str) -> Result<File, Problems> {
    toml::from_str(text).map_err(|e| Problems(vec![e.to_string().trim_end().to_owned()]))
}

struct Reading<'a> {
    environment: &'a Environment,
    read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    problems: Vec<String>,
    /// The data folder and the library's key, as given: what is sealed needs them before anything else.
    data: Option<PathBuf>,
    library_key: Option<Given>,
    seals: Option<Seals>,
}

impl<'a> Reading<'a> {
    fn new(environment: &'a Environment, read_file: &'a dyn Fn(&Path) -> Result<String, String>) -> Self {
        Self { environment, read_file, problems: Vec::new(), data: None, library_key: None, seals: None }
    }
}

impl Reading<'_> {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(&format!("{PREFIX}{name}")).filter(|v| !v.is_empty()).cloned()
    }

    /// The few settings that differ between two machines with the same file.
    fn overrides(&mut self, file: &mut File) {
        file.listen = self.variable("LISTEN").or(file.listen.take());
        file.public_url = self.variable("PUBLIC_URL").or(file.public_url.take());
        file.data = self.variable("DATA").map(PathBuf::from).or(file.data.take());
        file.database = self.variable("DATABASE").or(file.database.take());
        self.data.clone_from(&file.data);
        self.library_key.clone_from(&file.library.key);
        if let Some(secrets) = self.variable("WEBHOOK_SECRETS") {
            file.webhook_secrets =
                secrets.split(',').map(|s| Given::Text(Hidden(s.trim().to_owned()))).collect();
        }
        if let Some(tokens) = self.variable("TOKENS") {
            file.tokens = tokens.split(',').map(|s| Given::Text(Hidden(s.trim().to_owned()))).collect();
        }
        match self.variable("LOG").as_deref() {
            None => {}
            Some("text") => file.log = LogFormat::Text,
            Some("json") => file.log = LogFormat::Json,
            Some(other) => self.problem(format!("{PREFIX}LOG is `text` or `json`, not `{other}`")),
        }
    }

    fn config(&mut self, file: File) -> Option<Config> {
        let listen = self.listen(file.listen);
        let data = file.data.unwrap_or_else(|| {
            self.problem("data is missing: name the folder for mirrors, artifacts and the database");
            PathBuf::new()
        });
        let database =
            file.database.unwrap_or_else(|| format!("sqlite:{}", data.join("liftlock.db").display()));
        if !database.starts_with("sqlite:") && !database.starts_with("postgres") {
            self.problem("database is `sqlite:<path>` or `postgres://…`");
        }
        let tokens = self.secrets("tokens", file.tokens);
        let (webhook_secrets, gitea_webhook_secrets) =
            self.webhook_secrets(file.webhook_secrets, file.gitea_webhook_secrets);
        let sandbox = self.sandbox(file.sandbox.as_deref());
        let secrets = self.granted(file.secrets);
        let connections = self.connections(file.connections);
        let targets = self.targets(file.target);
        let origins = self.origins(file.repository);
        let upstreams = self.upstreams(file.upstream);
        let registries = self.registries(file.registry);
        let outlets = self.outlets(file.publish);
        let probe = self.probe(file.probe);
        let personal_tokens = self.personal_tokens(file.personal_tokens);
        let library = self.library(file.library);
        let policy = self.policies(file.policy);
        let public_url = self.public_url(file.public_url, listen.as_ref());
        self.check_access(file.access, &tokens, (listen.as_ref(), &public_url));
        let notify = self.notify(file.notify, &public_url);
        let github = file.github.and_then(|g| self.github(g, &public_url));
        let plain = file.plain.filter(|p| !p.repositories.is_empty());
        if github.is_none() && plain.is_none() && self.problems.is_empty() {
            self.problem("no repository is named: add [github] or [plain.repositories.<name>]");
        }
        Some(Config {
            listen: listen?,
            public_url,
            data,
            database: Secret::new(database),
            log: file.log,
            access: file.access,
            tokens,
            webhook_secrets,
            gitea_webhook_secrets,
            callers: self.callers(file.callers),
            command_prefix: file.command_prefix,
            sandbox,
            toolchains: file.toolchains,
            labels: file.runner.all(),
            builds: file.builds.unwrap_or(1).max(1),
            deploys: file.deploys.unwrap_or(4).max(1),
            lease: file.lease.unwrap_or(Span::seconds(30)),
            reconcile_every: file.reconcile_every.unwrap_or(Span::minutes(5)),
            retention: file.retention.as_ref().map(RetentionFile::rule),
            notify,
            policy,
            probe,
            environment: file.environment,
            secrets,
            connections,
            targets,
            origins,
            upstreams,
            registries,
            outlets,
            artifacts: self.artifacts(file.artifacts),
            personal_tokens,
            library,
            github,
            plain,
        })
    }

    fn listen(&mut self, given: Option<String>) -> Option<std::net::SocketAddr> {
        let listen = given.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let address = listen.parse().ok();
        if address.is_none() {
            self.problem(format!("listen = \"{listen}\" is not an address such as \"127.0.0.1:8080\""));
        }
        address
    }

    fn public_url(&mut self, given: Option<String>, listen: Option<&std::net::SocketAddr>) -> String {
        let default = listen.map_or_else(String::new, |l| format!("http://{l}"));
        let url = given.unwrap_or(default);
        if !url.starts_with("http://") && !url.starts_with("https://") {
            self.problem(format!("public_url = \"{url}\" starts with neither http:// nor https://"));
        }
        url.trim_end_matches('/').to_owned()
    }

    fn secret(&mut self, what: &str, given: Given) -> Option<Secret> {
        let text = match given {
            Given::Text(Hidden(text)) => text,
            Given::File { file } => match (self.read_file)(&file) {
                Ok(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
                Err(error) => {
                    self.problem(format!("{what}: cannot read {}: {error}", file.display()));
                    return None;
                }
            },
            Given::Env { env } => {
                let Some(text) = self.environment.get(&env) else {
                    self.problem(format!("{what}: the environment has no variable `{env}`"));
                    return None;
                };
                text.clone()
            }
            Given::Sealed { sealed } => self.sealed(what, &sealed)?,
        };
        if text.is_empty() {
            self.problem(format!("{what} is empty"));
            return None;
        }
        Some(Secret::new(text))
    }

    fn secrets(&mut self, what: &str, given: Vec<Given>) -> Vec<Secret> {
        given.into_iter().filter_map(|g| self.secret(what, g)).collect()
    }

    /// Whoever may push to one repository calls a pipeline what they like: beside another one, its name says nothing.
    fn check_allows(&mut self, config: &Config) {
        let served = config.github.as_ref().map_or(0, |github| github.repositories.len())
            + config.plain.as_ref().map_or(0, |plain| plain.repositories.len());
        let connections = config.connections.iter().map(|(n, c)| (format!("connections.{n}"), &c.allow));
        let targets = config.targets.iter().map(|t| (format!("target.{}", t.name), &t.allow));
        let origins = config.origins.iter().map(|o| (format!("repository {}", o.name), &o.allow));
        let upstreams = config.upstreams.iter().map(|u| (format!("upstream {}", u.name), &u.allow));
        let registries = config.registries.iter().map(|r| (format!("registry {}", r.address), &r.allow));
        let outlets = config.outlets.iter().map(|o| (format!("publish {}", o.name), &o.allow));
        let stores = config.library.vault.stores.iter();
        let stores = stores.map(|(n, s)| (format!("library.stores.{n}"), &s.allow));
        let allows = connections.chain(targets).chain(origins).chain(upstreams).chain(registries);
        let callers = config.callers.iter().map(|c| (format!("callers.{}", c.name), &c.allow));
        let secrets = config.secrets.iter().map(|(n, s)| (format!("secrets.{n}"), &s.allow));
        let allows = allows.chain(outlets).chain(stores).chain(callers).chain(secrets);
        let open = allows.filter(|(_, allow)| allow.iter().any(|a| !a.names_repository()));
        for (what, _) in open.filter(|_| served > 1) {
            self.problem(format!(
                "{what}.allow means a pipeline of that name in each of {served} repositories: write \"<owner>/<repository>:<pipeline>/<stage>\", or \"*:<pipeline>/<stage>\" when it is for all"
            ));
        }
        self.check_granted(&config.secrets, served);
    }

    /// What nobody may have is a slip; `example` says how somebody is named.
    fn for_somebody(&mut self, what: &str, allow: &[secret::Allowed], example: &str) {
        if allow.is_empty() {
            self.problem(format!("{what} is for nobody: add allow = {example} for any"));
        }
    }

    fn connections(&mut self, given: BTreeMap<String, ConnectionFile>) -> BTreeMap<String, Connection> {
        let mut connections = BTreeMap::new();
        for (name, file) in given {
            let secrets = self.step_secrets(&format!("connections.{name}.secrets"), file.secrets);
            self.for_somebody(&format!("connections.{name}"), &file.allow, STAGES);
            let connection = Connection { environment: file.environment, secrets, allow: file.allow };
            connections.insert(name, connection);
        }
        connections
    }

    fn check_access(
        &mut self,
        access: AccessMode,
        tokens: &[Secret],
        (listen, public_url): (Option<&std::net::SocketAddr>, &str),
    ) {
        if access == AccessMode::Token && tokens.is_empty() {
            self.problem("access = \"token\" needs at least one of tokens");
        }
        if tokens.iter().any(|t| t.expose().len() < SHORTEST_TOKEN) {
            self.problem(format!(
                "a token has at least {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 24`"
            ));
        }
        let open = listen.is_some_and(|l| !l.ip().is_loopback());
        if open && access == AccessMode::Loopback {
            self.problem("listen is not on this machine alone, so pages need access = \"token\" and tokens");
        } else if access == AccessMode::Loopback && !is_here(public_url) {
            self.problem(format!(
                "public_url = \"{public_url}\" is not on this machine alone, and what a proxy here sends on looks as \
                 if it came from here, so pages need access = \"token\" and tokens"
            ));
        }
    }

    /// THREATS T1: no server without a secret that is one. What another host signs with is no secret of ours.
    fn webhook_secrets(&mut self, ours: Vec<Given>, gitea: Vec<Given>) -> (Vec<Secret>, Vec<Secret>) {
        let secrets = self.secrets("webhook_secrets", ours);
        let gitea = self.secrets("gitea_webhook_secrets", gitea);
        if secrets.is_empty() {
            self.problem(
                "webhook_secrets is empty: make one with `openssl rand -hex 32` and give it to the host too",
            );
        }
        let named = |list: &'static str| move |secret| (list, secret);
        let ours = secrets.iter().map(named("webhook_secrets"));
        for (list, secret) in ours.chain(gitea.iter().map(named("gitea_webhook_secrets"))) {
            if let Err(error) = check_secret(secret.expose().as_bytes()) {
                self.problem(format!("{list}: {error}"));
            }
        }
        if gitea.iter().any(|secret| secrets.iter().any(|own| own.expose() == secret.expose())) {
            self.problem(
                "gitea_webhook_secrets has one of webhook_secrets: whoever knows it could speak in GitHub's name",
            );
        }
        (secrets, gitea)
    }

    fn probe(&mut self, file: ProbeFile) -> Reach {
        let authorities = file.authorities.map_or_else(Authorities::default, |path| {
            let read = (self.read_file)(&path);
            read.and_then(|text| Authorities::from_pem(text.as_bytes())).unwrap_or_else(|why| {
                self.problem(format!("probe.authorities: {}: {why}", path.display()));
                Authorities::default()
            })
        });
        Reach { allowed: self.probe_allow(file.allow), authorities }
    }

    fn probe_allow(&mut self, given: Vec<String>) -> Allowed {
        Allowed::new(given).unwrap_or_else(|bad| {
            for host in bad {
                self.problem(format!(
                    "probe.allow: `{}` is a host or address without `https://` and port, such as \"127.0.0.1\"",
                    crate::domain::name::printable(&host)
                ));
            }
            Allowed::default()
        })
    }

    fn sandbox(&mut self, given: Option<&str>) -> Policy {
        match given {
            None | Some("auto") => Policy::Auto,
            Some("require") => Policy::Require,
            Some(other) => {
                self.problem(format!("sandbox is `auto` or `require`, not `{other}`"));
                Policy::Require
            }
        }
    }

    fn github(&mut self, file: GitHubFile, public_url: &str) -> Option<github::Settings> {
        let key = file.private_key.and_then(|k| self.secret("github.private_key", k));
        let token = file.token.and_then(|t| self.secret("github.token", t));
        let credentials = match (file.app_id, key, token) {
            (Some(id), Some(private_key), None) => Credentials::App { id, private_key },
            (None, None, Some(token)) => Credentials::Token(token),
            _ => {
                self.problem("github needs either app_id and private_key, or token");
                return None;
            }
        };
        if file.repositories.is_empty() {
            self.problem("github.repositories is empty: name each repository as \"owner/name\"");
        }
        if file.checks && matches!(credentials, Credentials::Token(_)) {
            self.problem(
                "github.checks needs app_id and private_key: GitHub takes check runs from an App alone",
            );
        }
        let mut settings = github::Settings::new(public_url, credentials, file.repositories);
        settings.api_url = file.api_url.unwrap_or_else(|| PUBLIC_API.to_owned());
        settings.upload_url = file.upload_url;
        settings.git_url = file.git_url;
        settings.checks = file.checks;
        Some(settings)
    }
}

/// Whether only this machine reaches an address.
fn is_here(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let name = without_port(rest.split('/').next().unwrap_or_default());
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// The host of `host:port`; an IPv6 address keeps its brackets.
pub fn without_port(authority: &str) -> &str {
    let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    port.map_or(authority, |(host, _)| host)
}
