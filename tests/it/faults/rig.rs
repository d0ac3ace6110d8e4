//! The real program as a child process over a temporary folder, and what can be seen of it from outside.
//!
//! Nothing here asks the server what it believes: the log is read from its database, what was deployed from the
//! record that the deploy script itself keeps, what was told from the bare repository.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use liftlock::clock;
use liftlock::domain::time::Span;
use liftlock::forge::plain::payload::Delivery;
use liftlock::forge::signature;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, SqliteConnection};

pub(crate) use crate::served::Door;

/// The secret that deliveries are signed with.
pub(crate) const SECRET: &str = "5f1c0b7f6f8e4d0aa5c8d0b1e2f3a4b5";
/// Longest wait for anything; a loaded machine takes seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
pub(crate) const GLANCE: Duration = Duration::from_millis(2);

/// Builds the page; with a file `slow` it takes long enough to be killed half-way.
const BUILD: &str = r#"#!/bin/sh
set -eu
rm -rf dist
mkdir dist
echo "$LIFTLOCK_VERSION" >dist/page
cp deploy.sh smoke.sh dist/
if [ -e slow ]; then sleep 1; fi
"#;

/// Deploys as a careful target does: it keeps a record, and refuses a fencing number below the highest it has seen.
const DEPLOY: &str = r#"#!/bin/sh
set -eu
place=$LIFTLOCK_DEMO_TARGET/$LIFTLOCK_PIPELINE/$STAGE
mkdir -p "$place"
say() {
	echo "$1 $LIFTLOCK_PIPELINE $STAGE $LIFTLOCK_VERSION $LIFTLOCK_DIGEST $FENCE_TOKEN $$" >>"$LIFTLOCK_DEMO_TARGET/runs"
}
fenced() {
	highest=$(cat "$place/fence" 2>/dev/null || echo 0)
	if [ "$FENCE_TOKEN" -lt "$highest" ]; then
		say refused
		echo "refused: number $FENCE_TOKEN, and $highest was here"
		exit 1
	fi
}
fenced
echo "$FENCE_TOKEN" >"$place/fence"
say begin
while [ -e "$LIFTLOCK_DEMO_TARGET/hold-$STAGE" ]; do sleep 0.02; done
fenced
echo "$LIFTLOCK_DIGEST" >"$place/.digest.$$"
mv "$place/.digest.$$" "$place/digest"
say end
"#;

/// Is what runs there what was to be deployed?
const SMOKE: &str = r#"#!/bin/sh
set -eu
[ "$(cat "$LIFTLOCK_DEMO_TARGET/$LIFTLOCK_PIPELINE/$STAGE/digest")" = "$LIFTLOCK_DIGEST" ]
"#;

/// What the manifests of a yard say beside name, build and deploy.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The rest of the manifest.
    manifest: &'static str,
    /// The statuses of a commit that is live everywhere, in their order.
    pub(crate) statuses: &'static [&'static str],
    /// What the config says besides.
    config: &'static str,
}

/// Two stages, one after the other, that nobody is asked for.
pub(crate) static ROAD: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - {name: prod, test_commands: sh ./smoke.sh}
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "",
};

/// Two stages with tests; the second one is approved.
pub(crate) static PLAIN: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - {name: prod, approval: 1, test_commands: sh ./smoke.sh}
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "",
};

/// The same with everything around them: legs, gates before and after, hooks with outputs, a sign-off.
pub(crate) static RINGS: Rules = Rules {
    manifest: "checks:
  smoke: {run: sh ./smoke.sh}
  scan: {run: 'true'}
  calm: {run: 'true', every: 1m}
  health: {run: sh ./smoke.sh, every: 1m}
stages:
  - name: test
    verify: {parallel: [smoke], then: [scan]}
  - name: prod
    hooks:
      before: [{name: stop, run: 'echo stopped=orders >> \"$LIFTLOCK_OUTPUT\"', outputs: [stopped]}]
      after: [{name: start, run: '[ \"$STOPPED\" = orders ]', always: true}]
    gates: {pre: [calm], post: [health]}
    verify: [smoke]
    approvals: {pre: 1, post: 1}
",
    statuses: &[
        "liftlock/build",
        "liftlock/prod",
        "liftlock/prod/smoke",
        "liftlock/test",
        "liftlock/test/scan",
        "liftlock/test/smoke",
    ],
    config: "",
};

/// The plain stages, and a runbook that keeps a record and stands half-way as long as it is told to.
pub(crate) static BOOKS: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - {name: prod, approval: 1, test_commands: sh ./smoke.sh}
runbooks:
  clean: |
    echo \"begin $LIFTLOCK_RUN $FENCE_TOKEN\" >>\"$LIFTLOCK_DEMO_TARGET/cleaned\"
    while [ -e \"$LIFTLOCK_DEMO_TARGET/hold-clean\" ]; do sleep 0.02; done
    echo \"end $LIFTLOCK_RUN $FENCE_TOKEN\" >>\"$LIFTLOCK_DEMO_TARGET/cleaned\"
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "",
};

/// A stage that two people let begin, and one of them calls good.
pub(crate) static PAIR: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - {name: prod, approvals: {pre: 2, post: 1}, test_commands: sh ./smoke.sh}
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "\n[plain.people.bo]\nid = 2\nrole = \"maintain\"\n",
};

/// A stage that signs what was built, before another one deploys it.
pub(crate) static SIGNED: Rules = Rules {
    manifest: "stages:
  - name: test
    deploy:
      - {name: sign, run: 'echo signed >> \"$LIFTLOCK_SEAL/dist/signature\"', derives: [dist]}
      - sh ./deploy.sh
  - {name: prod, approval: 1, test_commands: sh ./smoke.sh}
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "",
};

/// A stage that publishes what it has deployed, row after row, into a folder.
pub(crate) static OUTLET: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - name: prod
    approval: 1
    hooks:
      after:
        - {uses: publish, with: {to: disk, what: signed-bits}}
        - {uses: publish, with: {to: disk, what: checksums}}
        - {uses: publish, with: {to: feed, what: dist}}
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "
[[publish]]
name = \"disk\"
kind = \"folder\"
path = \"{target}/outlet\"
allow = [\"hello/prod\"]
[[publish]]
name = \"feed\"
kind = \"command\"
upload = ['/bin/sh', '-ec', 'echo up >> {target}/uploads; mkdir -p {target}/feed; cp \"$1\"/* {target}/feed/', 'sh', '{files}']
validate = ['/bin/sh', '-ec', 'for f in \"$1\"/*; do cmp \"$f\" {target}/feed/${f##*/}; done', 'sh', '{files}']
allow = [\"hello/prod\"]
",
};

/// A stage that gives what it has deployed its final name.
pub(crate) static FINAL: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - name: prod
    approval: 1
    hooks: {after: [{uses: git-tags, with: {final: true}}]}
",
    ..PLAIN
};

/// Artifacts are kept in a bucket at this address.
pub(crate) fn kept_in(endpoint: &str) -> &'static Rules {
    let config = format!(
        "
[artifacts]
kind = \"s3\"
bucket = \"acme-releases\"
prefix = \"liftlock\"
endpoint = \"{endpoint}\"
user = \"liftlock\"
password = \"a key of this test\"
"
    );
    Box::leak(Box::new(Rules { config: config.leak(), ..PLAIN }))
}

/// A stage that publishes what it has deployed in a bucket at this address.
pub(crate) fn bucket(endpoint: &str) -> &'static Rules {
    let config = format!(
        "
[[publish]]
name = \"bucket\"
kind = \"s3\"
bucket = \"acme-releases\"
prefix = \"hello\"
endpoint = \"{endpoint}\"
user = \"liftlock\"
password = \"a key of this test\"
allow = [\"hello/prod\"]
"
    );
    let manifest = "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - name: prod
    approval: 1
    hooks: {after: [{uses: publish, with: {to: bucket}}]}
";
    Box::leak(Box::new(Rules { manifest, config: config.leak(), statuses: OUTLET.statuses }))
}

/// Three targets of `prod`.
pub(crate) const THREE: &str = "
[[target]]
name = \"web-1\"
environment = \"prod\"
allow = [\"hello/prod\"]
[[target]]
name = \"web-2\"
environment = \"prod\"
allow = [\"hello/prod\"]
[[target]]
name = \"web-3\"
environment = \"prod\"
allow = [\"hello/prod\"]
";

/// A stage with two slots, whose commands keep a record; the switch stands half-way as long as it is told to.
pub(crate) static SLOTS: Rules = Rules {
    manifest: "stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - name: prod
    approval: 1
    strategy:
      blue_green:
        keep: 1s
        switch: |
          echo \"to-$LIFTLOCK_SLOT\" >>\"$LIFTLOCK_DEMO_TARGET/rolled\"
          while [ -e \"$LIFTLOCK_DEMO_TARGET/hold-to-$LIFTLOCK_SLOT\" ]; do sleep 0.02; done
    deploy: echo \"$LIFTLOCK_SLOT\" >>\"$LIFTLOCK_DEMO_TARGET/rolled\"
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: "",
};

/// A stage that brings its release to one of three targets first, and holds it there for a while.
pub(crate) static CANARY: Rules = Rules {
    manifest: "checks:
  calm: {run: 'true'}
stages:
  - {name: test, test_commands: sh ./smoke.sh}
  - name: prod
    approval: 1
    targets: {}
    strategy: {canary: [{percent: 10, for: 3s, gates: [calm]}, {percent: 100}]}
    deploy: |
      echo \"$TARGET\" >>\"$LIFTLOCK_DEMO_TARGET/rolled\"
      while [ -e \"$LIFTLOCK_DEMO_TARGET/hold-$TARGET\" ]; do sleep 0.02; done
",
    statuses: &["liftlock/build", "liftlock/prod", "liftlock/test"],
    config: THREE,
};

/// A stage with targets, each of which keeps a record of its own and stands half-way as long as it is told to.
pub(crate) fn rolling(strategy: &str, targets: &str) -> &'static Rules {
    let manifest = format!(
        "stages:
  - {{name: test, test_commands: sh ./smoke.sh}}
  - name: prod
    approval: 1
    targets: {{}}
    {strategy}
    deploy: |
      echo \"begin $LIFTLOCK_DIGEST $FENCE_TOKEN\" >>\"$LIFTLOCK_DEMO_TARGET/record-$TARGET\"
      echo \"$TARGET\" >>\"$LIFTLOCK_DEMO_TARGET/rolled\"
      while [ -e \"$LIFTLOCK_DEMO_TARGET/hold-$TARGET\" ]; do sleep 0.02; done
      echo \"end $LIFTLOCK_DIGEST $FENCE_TOKEN\" >>\"$LIFTLOCK_DEMO_TARGET/record-$TARGET\"
"
    );
    Box::leak(Box::new(Rules {
        manifest: manifest.leak(),
        config: targets.to_owned().leak(),
        statuses: PLAIN.statuses,
    }))
}

/// What a yard is made with.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The program, by its path; it must know `serve`, `hook` and `audit`.
    pub(crate) program: PathBuf,
    /// Names of the repositories, each with a pipeline of the same name.
    pub(crate) repositories: Vec<String>,
    /// Stages and what is asked around them.
    pub(crate) rules: &'static Rules,
    /// Length of a lease.
    pub(crate) lease: &'static str,
    /// A `postgres://` URL; `SQLite` in the data folder when absent.
    pub(crate) postgres: Option<String>,
    /// The data folder, when it is not to be in the yard's own.
    pub(crate) data: Option<PathBuf>,
}

/// One folder with everything: repositories, target, data, configs, logs of servers.
#[derive(Debug)]
pub(crate) struct Yard {
    root: tempfile::TempDir,
    pub(crate) plan: Plan,
}

/// A library of ours that stands between a program and its system, and what it is told.
#[derive(Debug)]
pub(crate) struct Shim(Vec<(&'static str, PathBuf)>);

/// A running server; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.kill();
    }
}

impl Server {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It fails only when the process is gone, which the caller finds out by itself.
        kill_process(self.pid(), signal).unwrap_or_default();
    }

    /// `kill -9`, and nobody of it is left afterwards.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = clock::monotonic();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end\n{}", self.log_tail());
            std::thread::sleep(GLANCE);
        }
    }

    /// What it logged last.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log, 60)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// A push that nobody was told of yet.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) repository: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

impl Push {
    /// What the hook tells.
    pub(crate) fn delivery(&self) -> Delivery {
        let repository = self.repository.parse().unwrap();
        Delivery::push(&repository, "refs/heads/main", (&self.before, &self.after), Some("ana"))
    }
}

impl Yard {
    pub(crate) fn new(plan: Plan) -> Self {
        let root = tempfile::Builder::new().prefix("liftlock-yard-").tempdir().unwrap();
        let yard = Self { root, plan };
        std::fs::create_dir_all(yard.target()).unwrap();
        std::fs::create_dir_all(yard.data()).unwrap();
        for name in &yard.plan.repositories {
            yard.make_repository(name);
        }
        yard
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.path("target")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.plan.data.clone().unwrap_or_else(|| self.path("data"))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("liftlock.db")
    }

    pub(crate) fn bare(&self, repository: &str) -> PathBuf {
        self.path(&format!("{repository}.git"))
    }

    /// As long as this file is there, deploys to the stage stand half-way.
    pub(crate) fn hold(&self, stage: &str) -> PathBuf {
        self.target().join(format!("hold-{stage}"))
    }

    fn make_repository(&self, name: &str) {
        let (bare, work) = (self.bare(name), self.path(name));
        git(self.root.path(), &["init", "--quiet", "--bare", "--initial-branch=main", &shown(&bare)]);
        git(self.root.path(), &["init", "--quiet", "--initial-branch=main", &shown(&work)]);
        std::fs::create_dir_all(work.join(".github")).unwrap();
        let manifest = format!(
            "version: 1
name: {name}
build: sh ./build.sh
deploy: sh ./deploy.sh
{}",
            self.plan.rules.manifest
        );
        let files = [
            (".github/liftlock.yml", manifest.as_str()),
            (".gitignore", "dist/\n"),
            ("build.sh", BUILD),
            ("deploy.sh", DEPLOY),
            ("smoke.sh", SMOKE),
        ];
        for (path, text) in files {
            write(&work.join(path), text);
        }
    }

    /// Commits something new and pushes it to the bare repository; the hook is not there, so nobody is told.
    pub(crate) fn push(&self, repository: &str, subject: &str, file: &str) -> Push {
        let work = self.path(repository);
        let before =
            git(&self.bare(repository), &["for-each-ref", "--format=%(objectname)", "refs/heads/main"]);
        write(&work.join(file), subject);
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "-m", subject]);
        git(&work, &["push", "--quiet", &shown(&self.bare(repository)), "main"]);
        let after = git(&work, &["rev-parse", "HEAD"]);
        let before = if before.is_empty() { "0".repeat(40) } else { before };
        Push { repository: repository.to_owned(), before, after }
    }

    pub(crate) fn config(&self, door: &Door) -> PathBuf {
        let (root, data, address) = (self.root.path().display(), self.data(), door.address());
        let mut text = format!(
            "listen = \"{address}\"\npublic_url = \"http://{address}\"\ndata = \"{}\"\n\
             webhook_secrets = [\"{SECRET}\"]\nlease = \"{}\"\n",
            data.display(),
            self.plan.lease
        );
        if let Some(url) = &self.plan.postgres {
            writeln!(text, "database = \"{url}\"").unwrap();
        }
        writeln!(text, "\n[environment]\nLIFTLOCK_DEMO_TARGET = \"{root}/target\"").unwrap();
        for name in &self.plan.repositories {
            writeln!(text, "\n[plain.repositories.{name}]\npath = \"{root}/{name}.git\"").unwrap();
        }
        writeln!(text, "\n[plain.people.ana]\nid = 1\nrole = \"maintain\"").unwrap();
        text.push_str(&self.plan.rules.config.replace("{target}", &format!("{root}/target")));
        let path = self.path(&format!("liftlock-{}.toml", door.port));
        write(&path, &text);
        path
    }

    /// Starts the program with these arguments and this door's config, its output going to a log of its own.
    pub(crate) fn start(&self, door: &Door, arguments: &[&str]) -> Server {
        self.start_by(door, arguments, None)
    }

    /// The same, behind a library of ours.
    fn start_by(&self, door: &Door, arguments: &[&str], shim: Option<&Shim>) -> Server {
        let config = self.config(door);
        let log = self.path(&format!("log-{}", door.port));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let shim = shim.into_iter().flat_map(|shim| shim.0.clone());
        let child = Command::new(&self.plan.program)
            .envs(shim)
            .args(arguments)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Server { child, log }
    }

    /// A server that answers.
    pub(crate) fn serve(&self, door: &Door) -> Server {
        answering(door, self.start(door, &["serve"]))
    }

    /// A server that answers, behind a library of ours.
    pub(crate) fn serve_by(&self, door: &Door, shim: &Shim) -> Server {
        answering(door, self.start_by(door, &["serve"], Some(shim)))
    }

    /// A library of ours, compiled.
    fn preloaded(&self, name: &str) -> (&'static str, PathBuf) {
        let library = self.path(&format!("{name}.so"));
        let source = format!("{}/tests/it/faults/{name}.c", env!("CARGO_MANIFEST_DIR"));
        let options = ["-shared", "-fPIC", "-O1", "-o"];
        let made = Command::new("cc").args(options).arg(&library).arg(source).status().unwrap();
        assert!(made.success(), "{name}.c is compiled");
        ("LD_PRELOAD", library)
    }

    /// A time of day that programs started by it read in place of the machine's, so much ahead of it.
    pub(crate) fn clock(&self, name: &str, ahead: Span) -> Shim {
        self.set_clock(name, ahead.as_millis().cast_signed());
        Shim(vec![self.preloaded("clock"), ("CLOCK_AHEAD", self.path(&format!("clock-{name}")))])
    }

    /// A disk that keeps what was synced, and nothing of files whose names end like this.
    pub(crate) fn disk(&self, lies: Option<&str>) -> Shim {
        std::fs::create_dir_all(self.images()).unwrap();
        let deaf = lies.map(|end| ("POWER_DEAF", PathBuf::from(end)));
        Shim([self.preloaded("power"), ("POWER_IMAGES", self.images())].into_iter().chain(deaf).collect())
    }

    /// What such a disk has kept.
    pub(crate) fn images(&self) -> PathBuf {
        self.path("images")
    }

    /// The clock jumps.
    pub(crate) fn set_clock(&self, name: &str, ahead_ms: i64) {
        write(&self.path(&format!("clock-{name}")), &ahead_ms.to_string());
    }

    /// The chain of hashes, checked by the program itself while no server runs (or beside them, on `PostgreSQL`).
    pub(crate) fn verify(&self, door: &Door) {
        let mut audit = self.start(door, &["audit", "verify"]);
        let status = audit.wait();
        assert!(status.success(), "the chain does not hold\n{}", audit.log_tail());
    }

    /// What the deploy scripts wrote.
    pub(crate) fn runs(&self) -> Vec<Ran> {
        let text = std::fs::read_to_string(self.target().join("runs")).unwrap_or_default();
        text.lines().map(Ran::read).collect()
    }

    /// The digest that runs in a stage.
    pub(crate) fn live(&self, pipeline: &str, stage: &str) -> String {
        let path = self.target().join(pipeline).join(stage).join("digest");
        std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
    }

    /// Statuses of a commit as the host shows them: `context state`.
    pub(crate) fn statuses(&self, push: &Push) -> Vec<String> {
        let bare = self.bare(&push.repository);
        let notes = try_git(&bare, &["notes", "--ref=liftlock", "show", &push.after]).unwrap_or_default();
        notes.lines().map(|l| l.split("  ").take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    /// What we said about a commit, oldest first: marker and text.
    pub(crate) fn said(&self, push: &Push) -> Vec<(String, String)> {
        let conversation = format!("refs/liftlock/comments/{}", push.after);
        let log = ["log", "--reverse", "--format=%B%x00", conversation.as_str()];
        let all = try_git(&self.bare(&push.repository), &log).unwrap_or_default();
        let ours = |text: &str| {
            let (body, marker) = text.trim().rsplit_once("Liftlock-Marker: ")?;
            Some((marker.to_owned(), body.to_owned()))
        };
        all.split('\0').filter_map(ours).collect()
    }

    /// Names of the tags there are.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let tags = git(&self.bare(repository), &["tag", "--list"]);
        tags.lines().map(str::to_owned).collect()
    }

    /// A commit with the files of main that no branch has.
    pub(crate) fn loose(&self, repository: &str) -> String {
        let who = ["-c", "user.name=eve", "-c", "user.email=eve@yard.invalid"];
        let commit = ["commit-tree", "-m", "a commit of nobody's", "main^{tree}"];
        git(&self.bare(repository), &[who.as_slice(), commit.as_slice()].concat())
    }

    /// Puts a tag somewhere else, or takes it away; the hook is not there, so nobody is told.
    pub(crate) fn move_tag(&self, repository: &str, tag: &str, to: Option<&str>) {
        let tag = format!("refs/tags/{tag}");
        let how = to.map_or_else(|| vec!["-d", tag.as_str()], |to| vec![tag.as_str(), to]);
        git(&self.bare(repository), &[&["update-ref"], how.as_slice()].concat());
    }

    pub(crate) async fn eyes(&self) -> Eyes {
        Eyes::open(self.plan.postgres.as_deref(), &self.database()).await
    }
}

/// The server, once it answers.
fn answering(door: &Door, mut server: Server) -> Server {
    let begun = clock::monotonic();
    loop {
        if let Ok((200, _)) = request(door, "GET", "/healthz", &[], "") {
            return server;
        }
        let ended = server.ended();
        assert!(ended.is_none(), "the server ended with {ended:?}\n{}", server.log_tail());
        assert!(begun.elapsed() < PATIENCE, "the server does not start\n{}", server.log_tail());
        std::thread::sleep(GLANCE);
    }
}

/// One line of the deploy script's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    /// `begin`, `end` or `refused`.
    pub(crate) what: String,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) fence: i64,
    pub(crate) pid: String,
}

impl Ran {
    fn read(line: &str) -> Self {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_else(|| panic!("a line of the record is short: {line}"));
        Self {
            what: next(),
            pipeline: next(),
            stage: next(),
            version: next(),
            digest: next(),
            fence: next().parse().unwrap(),
            pid: next(),
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn write(path: &Path, text: &str) {
    File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    try_git(folder, arguments).unwrap_or_else(|said| panic!("git {arguments:?}: {said}"))
}

fn try_git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "ana")
        .env("GIT_AUTHOR_EMAIL", "ana@yard.invalid")
        .env("GIT_COMMITTER_NAME", "ana")
        .env("GIT_COMMITTER_EMAIL", "ana@yard.invalid")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// One request over a connection of its own: the status and the body.
pub(crate) fn request(
    door: &Door,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&door.address(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        door.address(),
        body.len()
    );
    for (name, value) in headers.iter().chain(&[("content-type", "application/json")]) {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|code| code.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()))
}

/// Tells the server, signed; the status, or that it was not reached.
pub(crate) fn deliver(door: &Door, delivery: &Delivery) -> std::io::Result<u16> {
    let signed = signature::sign(SECRET.as_bytes(), delivery.body.as_bytes()).unwrap();
    let headers = [
        ("x-github-event", delivery.event),
        ("x-github-delivery", delivery.guid.as_str()),
        (signature::HEADER, signed.as_str()),
    ];
    request(door, "POST", "/webhook/plain", &headers, &delivery.body).map(|(status, _)| status)
}

/// Ana comments on the commit of a push, through the server.
pub(crate) fn comment(door: &Door, push: &Push, text: &str) -> std::io::Result<u16> {
    comment_as("ana", door, push, text)
}

/// The same by somebody else.
pub(crate) fn comment_as(who: &str, door: &Door, push: &Push, text: &str) -> std::io::Result<u16> {
    let body = serde_json::json!({ "repo": push.repository, "place": push.after, "body": text, "as": who });
    request(door, "POST", "/api/comments", &[], &body.to_string()).map(|(status, _)| status)
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) kind: String,
    pub(crate) release: i64,
    pub(crate) data: Value,
}

impl Event {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.data.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn number(&self, field: &str) -> i64 {
        self.data.get(field).and_then(Value::as_i64).unwrap_or_default()
    }
}

/// An effect as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) key: String,
    pub(crate) lane: String,
    pub(crate) state: String,
    pub(crate) token: i64,
    pub(crate) error: Option<String>,
}

/// A delivery as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) seq: i64,
    pub(crate) guid: String,
    pub(crate) state: String,
    pub(crate) seen: i64,
}

/// Everything, at about one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) deliveries: Vec<Received>,
}

/// A connection of our own that only reads.
#[derive(Debug)]
pub(crate) enum Eyes {
    Sqlite(SqliteConnection),
    Postgres(PgConnection, String),
}

macro_rules! read {
    ($eyes:expr, $text:expr) => {
        match $eyes {
            Eyes::Sqlite(connection) => sqlx::query_as($text).fetch_all(connection).await,
            Eyes::Postgres(connection, _) => sqlx::query_as($text).fetch_all(connection).await,
        }
    };
}

impl Eyes {
    pub(crate) async fn open(postgres: Option<&str>, file: &Path) -> Self {
        if let Some(url) = postgres {
            let begun = clock::monotonic();
            loop {
                match PgConnectOptions::from_str(url).unwrap().connect().await {
                    Ok(connection) => return Self::Postgres(connection, url.to_owned()),
                    Err(e) => assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not answer: {e}"),
                }
                tokio::time::sleep(GLANCE).await;
            }
        }
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        Self::Sqlite(options.busy_timeout(PATIENCE).connect().await.unwrap())
    }

    /// How many events there are.
    pub(crate) async fn count(&mut self) -> i64 {
        let rows: Vec<(i64,)> =
            read!(self, "SELECT CAST(count(*) AS BIGINT) FROM events").expect("count the events");
        rows.first().map_or(0, |row| row.0)
    }

    /// All of it; connections that were cut are made again.
    pub(crate) async fn look(&mut self) -> Seen {
        let begun = clock::monotonic();
        loop {
            match self.try_look().await {
                Ok(seen) => return seen,
                Err(e) => assert!(begun.elapsed() < PATIENCE, "the database cannot be read: {e}"),
            }
            if let Self::Postgres(_, url) = self {
                let url = url.clone();
                *self = Self::open(Some(&url), Path::new("")).await;
            }
        }
    }

    async fn try_look(&mut self) -> sqlx::Result<Seen> {
        // What is done is read before what came of it: the other way round, the last event could be missing.
        let deliveries: Vec<(i64, String, String, i64)> =
            read!(self, "SELECT seq, guid, state, CAST(seen AS BIGINT) FROM deliveries ORDER BY seq")?;
        let effects: Vec<(String, String, String, i64, Option<String>)> =
            read!(self, "SELECT key, lane, state, token, error FROM effects ORDER BY id")?;
        let events: Vec<(i64, String, i64, String, i64, String)> = read!(
            self,
            "SELECT seq, stream, version, kind, CAST(COALESCE(release, 0) AS BIGINT), data FROM events ORDER BY seq"
        )?;
        let event = |(seq, stream, version, kind, release, data): (_, _, _, _, _, String)| {
            let data = serde_json::from_str(&data).expect("an event is JSON");
            Event { seq, stream, version, kind, release, data }
        };
        Ok(Seen {
            events: events.into_iter().map(event).collect(),
            effects: effects
                .into_iter()
                .map(|(key, lane, state, token, error)| Effect { key, lane, state, token, error })
                .collect(),
            deliveries: deliveries
                .into_iter()
                .map(|(seq, guid, state, seen)| Received { seq, guid, state, seen })
                .collect(),
        })
    }
}

impl Seen {
    /// Nothing is left to do: all deliveries read, all effects carried out but timers.
    pub(crate) fn idle(&self) -> bool {
        // A canary that went on leaves the sample that would have been the next one.
        let later = |e: &&Effect| e.lane == "timer" || e.state == "ready" && e.key.contains(":hold:");
        let busy = |e: &&Effect| matches!(e.state.as_str(), "ready" | "leased") && !later(e);
        self.deliveries.iter().all(|d| d.state != "new") && !self.effects.iter().any(|e| busy(&e))
    }

    /// The newest run of a stage of a release: attempt, state, and what is said about it.
    pub(crate) fn run(&self, pipeline: &str, release: i64, stage: &str) -> Option<(i64, String, String)> {
        let of = |e: &&Event| {
            e.release == release
                && e.stream.ends_with(&format!("/{pipeline}"))
                && e.text("stage") == stage
                && matches!(e.kind.as_str(), "stage_opened" | "stage_moved")
        };
        let last = self.events.iter().rev().find(of)?;
        let state = if last.kind == "stage_opened" { "pending" } else { last.text("to") };
        let detail = last.data.get("detail").map(ToString::to_string).unwrap_or_default();
        Some((last.number("attempt"), state.to_owned(), detail))
    }

    /// A person's view of it, for tests that fail.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for e in &self.events {
            let mut data = e.data.to_string();
            data.truncate(data.floor_char_boundary(220));
            writeln!(text, "{:>4} {} {} {data}", e.seq, e.stream, e.version).unwrap();
        }
        for e in self.effects.iter().filter(|e| e.state != "done") {
            writeln!(text, "effect {} {} #{} {:?}", e.key, e.state, e.token, e.error).unwrap();
        }
        for d in &self.deliveries {
            writeln!(text, "delivery {} {} {} seen {}", d.seq, d.guid, d.state, d.seen).unwrap();
        }
        text
    }
}

/// The moment by which something must be so.
#[derive(Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn new() -> Self {
        Self(clock::monotonic())
    }

    /// Fails with what can be seen when it is over.
    pub(crate) fn check(&self, what: &str, seen: &Seen, yard: &Yard, servers: &[&Server]) {
        if self.0.elapsed() < PATIENCE {
            return;
        }
        let logs: Vec<String> = servers.iter().map(|s| s.log_tail()).collect();
        panic!(
            "gave up waiting until {what}\n{}\n{:#?}\n{}",
            seen.shown(),
            yard.runs(),
            logs.join("\n----\n")
        );
    }
}
