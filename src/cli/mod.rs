//! The command line: one file per subcommand, `--json` where something is shown, exit codes that scripts can use.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::trouble::{Kind, Trouble};
use std::error::Error as _;

mod approvals;
mod ask;
mod check;
mod client;
mod demo;
mod deploy;
mod doctor;
mod group;
mod hook;
mod import;
mod init;
mod inspect;
mod keys;
mod layout;
mod notes;
mod pipeline;
mod plan;
mod publish;
mod queue;
mod retention;
mod sbom;
mod secret;
mod serve;
mod simulate;
mod terminal;
mod validate;
mod vars;
mod verify;

/// How a command ended, for the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// It did what it should.
    Done,
    /// It did not.
    Failed,
    /// Somebody else was first, or has it.
    Conflict,
    /// The server did not let us in.
    Denied,
    /// It waits: ask again later.
    Waiting,
    /// Nobody can tell from what there is (`EX_TEMPFAIL`, the exit of checks that cannot tell).
    CannotTell,
}

impl Exit {
    fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            // 2 is clap's: the line could not be understood.
            Self::Conflict => 3,
            Self::Denied => 4,
            Self::Waiting => 8,
            Self::CannotTell => 75,
        })
    }
}

/// What a command answers.
type Ended = Result<Exit, Trouble>;

#[derive(Debug, Parser)]
#[command(name = "liftlock", version, about, long_about = None)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Arguments),
    /// Show the main job on this machine: push, build, test, approve, prod.
    Demo(demo::Arguments),
    /// Look at this machine and the config: what is there, what is missing, what it means.
    Doctor(doctor::Arguments),
    /// Write a starter manifest for the project in this folder.
    Init(init::Arguments),
    /// Read another tool's pipeline: a manifest to begin with, and what is left to do by hand.
    Import(import::Arguments),
    /// Copilot's words: init, update, ls, status, delete; and a repository's webhook.
    Pipeline(pipeline::Arguments),
    /// Check a manifest and report all its problems.
    Check(check::Arguments),
    /// Print the JSON Schema of the manifest.
    Schema,
    /// Explain a problem's code, such as M0101.
    Explain {
        /// The code.
        code: String,
    },
    /// Look ahead: what a push or an approval would do now, what each stage waits for, and who can act.
    Plan(plan::Arguments),
    /// Play a scenario against a manifest: what would happen, when, and why not sooner.
    Simulate(simulate::Arguments),
    /// Put the manifest at the head of a repository's default branch in force, and release it when it is new.
    Apply(ask::Apply),
    /// Start a stage by hand and wait for its end; exit 8 when something keeps it.
    Deploy(deploy::Arguments),
    /// Say why a release waits in a stage; exit 8 while it does.
    Why(ask::Why),
    /// Explain where a variable of a stage has its value from.
    Vars(vars::Arguments),
    /// Show the statuses of a commit.
    Status(ask::Status),
    /// What waits for people, or what one of them can still decide, with the comment to write.
    Approvals(approvals::Arguments),
    /// What runs and waits, and taking runs out of the queue.
    Queue(queue::Arguments),
    /// What of a release is published where.
    Publish(publish::Arguments),
    /// What is kept and why, and deleting what need not be.
    Retention(retention::Arguments),
    /// Look at artifacts as the checks that are built in do; exit 75 when there is nothing that they know.
    Validate(validate::Arguments),
    /// What has changed in a release, as people will read it; rewriting it until it is published.
    Notes(notes::Arguments),
    /// Check a file, a downloaded release or one on a server with public keys alone; exit 1 when it is not proven.
    Verify(verify::Arguments),
    /// Seal a secret that the server's config names: `{ sealed = "…" }`.
    Secret(secret::Arguments),
    /// The keys that evidence is signed with.
    Keys(keys::Arguments),
    /// What a person signs who says how releases are promoted: a layout of in-toto.
    Layout(layout::Arguments),
    /// How what a release is made of differs from an earlier one.
    Sbom(sbom::Arguments),
    /// Make a release of the head of the branch, as a pipeline's button does.
    Start(ask::Start),
    /// Start a runbook, or list them and what ran.
    Run(ask::Run),
    /// List what was built and sealed: commit, number, artifacts, channels, and whether it is released.
    Builds(ask::Builds),
    /// Comment on a commit of a plain git host.
    Comment(ask::Comment),
    /// List webhook deliveries, or replay one.
    Deliveries(ask::Deliveries),
    /// Variable groups: create, set, show, and who may do what with them.
    Group(group::Arguments),
    /// Hooks of bare repositories on a plain git host.
    Hook(hook::Arguments),
    /// Print the log of events.
    Events(inspect::Events),
    /// Check the chain of hashes, or list deployments with who approved them.
    Audit(inspect::Audit),
    /// Write the read models again, from the events.
    Rebuild(inspect::Rebuild),
}

/// Where a server is and how it lets us in.
#[derive(Debug, Clone, clap::Args)]
struct Server {
    /// The server's address.
    #[arg(long = "server", env = "LIFTLOCK_SERVER", default_value = "http://127.0.0.1:8080")]
    address: String,
    /// A token of the server, when its access is by token.
    #[arg(long, env = "LIFTLOCK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The server's config file.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The server's config.
    #[arg(long, global = true, env = "LIFTLOCK_CONFIG", default_value = "liftlock.toml")]
    config: PathBuf,
}

/// How long blocking work that nobody waits for any more, such as a fetch, may keep the process from ending.
const LINGER: Duration = Duration::from_secs(1);

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    let line = Line::parse();
    let ended = runtime().and_then(|runtime| {
        let ended = runtime.block_on(carry_out(line.command));
        // A dropped runtime would wait for them without end.
        runtime.shutdown_timeout(LINGER);
        ended
    });
    match ended {
        Ok(exit) => exit.code(),
        Err(trouble) => {
            terminal::error(&trouble.chain());
            let denied = trouble.source().is_some_and(<dyn std::error::Error>::is::<client::Denied>);
            match trouble.kind() {
                Kind::Conflict => Exit::Conflict,
                _ if denied => Exit::Denied,
                Kind::Transient { .. } | Kind::Refused | Kind::NotFound | Kind::Bug => Exit::Failed,
            }
            .code()
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Trouble::transient("start the runtime").because(e))
}

async fn carry_out(command: Command) -> Ended {
    match command {
        Command::Serve(arguments) => serve::run(&arguments).await,
        Command::Demo(arguments) => demo::run(&arguments).await,
        Command::Doctor(arguments) => doctor::run(&arguments).await,
        Command::Init(arguments) => init::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Pipeline(arguments) => pipeline::run(&arguments).await,
        Command::Check(arguments) => check::run(&arguments),
        Command::Schema => check::schema(),
        Command::Explain { code } => check::explain(&code),
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Apply(arguments) => ask::apply(&arguments).await,
        Command::Deploy(arguments) => deploy::run(&arguments).await,
        Command::Why(arguments) => ask::why(&arguments).await,
        Command::Vars(arguments) => vars::run(&arguments).await,
        Command::Status(arguments) => ask::status(&arguments).await,
        Command::Approvals(arguments) => approvals::run(&arguments).await,
        Command::Queue(arguments) => queue::run(&arguments).await,
        Command::Publish(arguments) => publish::run(&arguments).await,
        Command::Retention(arguments) => retention::run(&arguments).await,
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Notes(arguments) => notes::run(&arguments).await,
        Command::Verify(arguments) => verify::run(&arguments).await,
        Command::Secret(arguments) => secret::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Layout(arguments) => layout::run(&arguments).await,
        Command::Sbom(arguments) => sbom::run(&arguments).await,
        Command::Start(arguments) => ask::start(&arguments).await,
        Command::Run(arguments) => ask::run(&arguments).await,
        Command::Builds(arguments) => ask::builds(&arguments).await,
        Command::Comment(arguments) => ask::comment(&arguments).await,
        Command::Deliveries(arguments) => ask::deliveries(&arguments).await,
        Command::Group(arguments) => group::run(&arguments).await,
        Command::Hook(arguments) => hook::run(&arguments).await,
        Command::Events(arguments) => inspect::events(&arguments).await,
        Command::Audit(arguments) => inspect::audit(&arguments).await,
        Command::Rebuild(arguments) => inspect::rebuild(&arguments).await,
    }
}
