//! The commands as a person types them, against the real program.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use liftlock::clock;

mod copilot;
mod demo;
mod tables;
mod words;

/// Longest wait for anything; a loaded machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(90);

fn liftlock(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liftlock"));
    command.current_dir(folder).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    liftlock(folder).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=bo", "-c", "user.email=bo@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", err(&output));
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A server over one bare repository, stopped when dropped.
struct Server {
    root: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}

/// A secret of webhooks.
const SECRET: &str = "0123456789abcdef0123456789abcdef-of-a-test";

impl Server {
    /// A bare repository with our hook, a clone of it, and a running server.
    fn start() -> Self {
        Self::with("")
    }

    /// The same with more in its config.
    fn with(more: &str) -> Self {
        Self::configured("", more)
    }

    /// The same with keys that stand before every table.
    fn configured(keys: &str, more: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let shown = root.path().display();
        let config = format!(
            "{keys}[library]\nadmins = [\"ana\"]\n\
             [plain.repositories.shop]\npath = \"{shown}/shop.git\"\n\
             [plain.people.ana]\nid = 1\nrole = \"maintain\"\n[plain.people.bo]\nid = 2\nrole = \"write\"\nemails = [\"bo@example.org\"]\n{more}"
        );
        Self::over(root, &config, |at, url| {
            let installed =
                run(at, &["hook", "install", "shop.git", "--secret-file", "secret", "--server", url]);
            assert_eq!(code(&installed), 0, "{}", err(&installed));
        })
    }

    /// A bare repository, a clone of it, and a server with this config once everything else is made ready.
    fn over(root: tempfile::TempDir, config: &str, ready: impl FnOnce(&Path, &str)) -> Self {
        let at = root.path();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        write(at, "secret", SECRET);
        git(at, &["init", "--quiet", "--bare", "--initial-branch=trunk", "shop.git"]);
        git(at, &["clone", "--quiet", "shop.git", "shop"]);
        let shown = at.display();
        let own = format!(
            "listen = \"127.0.0.1:{port}\"\ndata = \"{shown}/data\"\nwebhook_secrets = [{{ file = \"{shown}/secret\" }}]\n"
        );
        write(at, "liftlock.toml", &format!("{own}{config}"));
        ready(at, &url);
        let child =
            liftlock(at).args(["serve", "--config", "liftlock.toml"]).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { root, child, url };
        server.until("the server answers", |s| code(&s.ask(&["deliveries"])) == 0);
        server
    }

    fn at(&self) -> &Path {
        self.root.path()
    }

    fn work(&self) -> PathBuf {
        self.at().join("shop")
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        all.extend(["--server", &self.url]);
        run(self.at(), &all)
    }

    /// A page, as a browser would get it.
    fn get(&self, path: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = clock::monotonic();
        while !so(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "gave up waiting until {what}: {}",
                out(&self.ask(&["deliveries"]))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn push(&self, files: &[(&str, &str)], subject: &str) -> String {
        for (name, text) in files {
            write(&self.work(), name, text);
        }
        git(&self.work(), &["add", "."]);
        git(&self.work(), &["commit", "--quiet", "-m", subject]);
        git(&self.work(), &["push", "--quiet", "origin", "HEAD:trunk"]);
        let head = Command::new("git").current_dir(self.work()).args(["rev-parse", "HEAD"]).output().unwrap();
        out(&head).trim().to_owned()
    }

    /// Stops the server as an operator does.
    fn stop(mut self) -> tempfile::TempDir {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "a server that is asked to stop ends with 0");
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.root, empty)
    }
}

const MANIFEST: &str = "version: 1\nbuild: mkdir dist && cp page dist/\n\
    stages:\n  - {name: test, deploy: \"true\", test_commands: grep -q hello page}\n  - {name: prod, approval: 1, deploy: cat page}\n";

#[test]
fn c01_c06_c34_c35_a01_e17_three_commands_a_push_and_a_comment_reach_prod() {
    let server = Server::start();
    let commit = server.push(&[(".github/liftlock.yml", MANIFEST), ("page", "hello\n")], "feat: a page");
    // C06: nobody named a branch; the host's default branch is `trunk`. C34: the push itself starts the first release.
    server.until("prod waits", |s| code(&s.ask(&["why", "latest", "prod"])) == 8);
    server.until("test is live", |s| out(&s.ask(&["status", &commit])).contains("test         live"));
    let why = out(&server.ask(&["why", "v0.1.0-rc.1", "prod"]));
    assert!(why.contains("0 of 1 approvals") && why.contains("/approve prod v0.1.0-rc.1"), "{why}");
    // C35: the same as JSON.
    let json: serde_json::Value =
        serde_json::from_str(&out(&server.ask(&["status", &commit, "--json"]))).unwrap();
    assert_eq!(json["releases"][0]["release"]["version"], "v0.1.0-rc.1");
    let said = server.ask(&["comment", "shop", &commit, "/approve prod v0.1.0-rc.1", "--as", "ana"]);
    assert_eq!(code(&said), 0, "{}", err(&said));
    server.until("prod is live", |s| code(&s.ask(&["why", "latest", "prod"])) == 0);
    let root = server.stop();
    let rows = run(root.path(), &["audit", "deployments", "--json"]);
    let rows: Vec<serde_json::Value> = out(&rows).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    // E17: who approved, when, which version, how it ended; A01: both stages had the bytes of one build.
    assert!(rows[1]["approved_by"].as_str().unwrap().starts_with("ana at 20"), "{rows:?}");
    assert_eq!((&rows[1]["stage"], &rows[1]["outcome"]), (&"prod".into(), &"live".into()));
    assert_eq!(rows[0]["digest"], rows[1]["digest"]);
    let verified = run(root.path(), &["audit", "verify"]);
    assert!(out(&verified).starts_with("ok:"), "{}", out(&verified));
    let rebuilt = run(root.path(), &["rebuild"]);
    assert!(out(&rebuilt).contains("1 pipelines"), "{} {}", out(&rebuilt), err(&rebuilt));
    let events = out(&run(root.path(), &["events", "--kind", "approved"]));
    assert_eq!(events.lines().count(), 1, "{events}");
}

#[test]
fn e16_a_runbook_is_started_and_listed_from_the_command_line() {
    let server = Server::start();
    let runbooks = "runbooks:\n  clean: {run: test \"$INPUT_DAYS\" = 30, from: write, inputs: {days: {default: \"7\"}}}\n";
    let manifest = format!("{MANIFEST}{runbooks}");
    server.push(&[(".github/liftlock.yml", &manifest), ("page", "hello\n")], "feat: a page");
    server.until("prod waits", |s| code(&s.ask(&["why", "latest", "prod"])) == 8);
    let nobody = server.ask(&["run", "clean"]);
    assert!(code(&nobody) != 0 && err(&nobody).contains("--as <login>"), "{}", err(&nobody));
    let unknown = server.ask(&["run", "clena", "--as", "bo"]);
    assert!(code(&unknown) != 0 && err(&unknown).contains("No runbook"), "{}", err(&unknown));
    let asked = server.ask(&["run", "clean", "days=30", "--as", "bo"]);
    assert_eq!(code(&asked), 0, "{}", err(&asked));
    assert!(out(&asked).contains("**clean run 1**"), "{}", out(&asked));
    server.until("it has passed", |s| out(&s.ask(&["run"])).contains("passed in"));
    let asked = server.ask(&["run", "clean", "--as", "bo"]);
    assert_eq!(code(&asked), 0, "{}", err(&asked));
    server.until("the other has failed", |s| out(&s.ask(&["run"])).contains("failed at"));
    let json: serde_json::Value = serde_json::from_str(&out(&server.ask(&["run", "--json"]))).unwrap();
    assert_eq!((&json["runs"][0]["run"], &json["runs"][0]["by"]), (&2.into(), &"bo".into()));
    assert_eq!(json["runs"][1]["inputs"][0], "days=30");
}

#[test]
fn d28_what_waits_for_people_is_listed_with_the_comment_to_write() {
    let server = Server::start();
    let manifest = "version: 1\nstages: [{name: prod, approval: 1, deploy: \"true\"}]\n";
    server.push(&[(".github/liftlock.yml", manifest)], "feat: one");
    server.until("prod waits", |s| out(&s.ask(&["approvals"])).contains("/approve prod v"));
    let ana = out(&server.ask(&["approvals", "--for", "ana"]));
    assert!(
        ana.contains(" in prod, since ") && ana.contains("1 of role maintain or higher: /approve prod v"),
        "{ana}"
    );
    for other in ["bo", "zoe"] {
        assert_eq!(out(&server.ask(&["approvals", "--for", other])), "", "{other} may not approve");
    }
    let json: serde_json::Value = serde_json::from_str(&out(&server.ask(&["approvals", "--json"]))).unwrap();
    assert_eq!((&json["total"], &json["approvals"][0]["stage"]), (&1.into(), &"prod".into()));
    assert!(server.get("/approvals?for=ana").contains("<code>/approve prod v"));
}

#[test]
fn t23_the_command_line_takes_lines_with_the_prefix_and_without() {
    let server = Server::configured("command_prefix = \"liftlock\"\n", "");
    let manifest =
        "version: 1\ndeploy: \"true\"\nstages: [{name: qa, approval: 1}, {name: prod, approval: 1}]\n";
    let commit = server.push(&[(".github/liftlock.yml", manifest)], "feat: one");
    for (stage, line) in [("qa", "/approve qa v0.1.0-rc.1"), ("prod", "/liftlock approve prod v0.1.0-rc.1")] {
        let asks = format!("/liftlock approve {stage} v0.1.0-rc.1");
        server.until("the stage waits", |s| out(&s.ask(&["approvals"])).contains(&asks));
        assert!(server.get("/approvals").contains(&format!("<code>{asks}</code>")));
        let why = out(&server.ask(&["why", "latest", stage]));
        assert!(why.contains(&format!("`{asks}`")), "{why}");
        // What cannot be read is answered with the line as it is shown.
        let listed: serde_json::Value =
            serde_json::from_str(&out(&server.ask(&["pipeline", "ls", "--json"]))).unwrap();
        for bare in ["/approve", "/liftlock approve"] {
            let asked = serde_json::json!({ "pipeline": listed["pipelines"][0]["stream"], "line": bare, "as": "ana" });
            let json = ["-H", "content-type: application/json", "-d", &asked.to_string()];
            let (said, status) = words::curl(&server, &json, "/api/ask");
            assert!(status == "422" && said.contains(&format!("Waiting now: `{asks}`")), "{status} {said}");
        }
        let said = server.ask(&["comment", "shop", &commit, line, "--as", "ana"]);
        assert_eq!(code(&said), 0, "{}", err(&said));
        server.until("the stage is live", |s| {
            out(&s.ask(&["status", &commit])).contains(&format!("{stage:<12} live"))
        });
    }
}

#[test]
fn b37_b38_the_queue_is_listed_and_emptied_from_the_command_line() {
    let server = Server::start();
    // The stage holds its environment until the file is there, so what comes after it queues.
    let slow = "while [ ! -e \"$TMP_GO\" ]; do sleep 0.05; done";
    let go = server.at().join("go");
    let manifest = format!(
        "version: 1\nstages:\n  - {{name: slow, queue: all, env: {{TMP_GO: {}}}, deploy: '{slow}'}}\n  - {{name: prod, approval: 1, deploy: \"true\"}}\n",
        go.display()
    );
    let listed = |s: &Server, state: &str| {
        let answer = s.ask(&["queue", "ls", "--state", state, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&out(&answer)).unwrap();
        let runs = json["runs"].as_array().unwrap().iter();
        runs.map(|run| run["id"].as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    server.push(&[(".github/liftlock.yml", &manifest)], "feat: one");
    server.until("one runs", |s| listed(s, "running").iter().any(|id| id.ends_with("/1/slow/1")));
    server.push(&[("page", "two")], "feat: two");
    server.push(&[("page", "three")], "feat: three");
    server
        .until("two wait", |s| listed(s, "waiting").iter().filter(|id| id.ends_with("/slow/1")).count() == 2);
    let running = listed(&server, "running").remove(0);
    let kept = server.ask(&["queue", "cancel", &running, "--as", "bo"]);
    assert!(code(&kept) != 0 && err(&kept).contains("--force"), "{}", err(&kept));
    let nobody = server.ask(&["queue", "cancel", &running]);
    assert!(code(&nobody) != 0 && err(&nobody).contains("Say who asks"), "{}", err(&nobody));
    let all = server.ask(&["queue", "cancel", "--state", "waiting", "--as", "bo"]);
    assert!(code(&all) == 0 && out(&all).contains("/2/slow/1"), "{}{}", out(&all), err(&all));
    assert!(listed(&server, "waiting").is_empty(), "{}", out(&server.ask(&["queue", "ls"])));
    let stopped = server.ask(&["queue", "cancel", &running, "--force", "--as", "bo"]);
    assert_eq!(code(&stopped), 0, "{}", err(&stopped));
    server.until("nothing is left", |s| out(&s.ask(&["queue", "ls"])).is_empty());
    let over = server.ask(&["queue", "cancel", &running, "--as", "bo"]);
    assert!(code(&over) != 0 && err(&over).contains("is over"), "{}", err(&over));
    assert!(server.get("/queue").contains("Nothing runs and nothing waits"));
}

/// Both builds are of one worker, which is at work for longer than the test.
const BUSY: &str = "version: 1\npipelines:\n  \
    web: {triggers: {push: {paths: [\"web/**\"]}}, build: sleep 600, deploy: \"true\", stages: [test]}\n  \
    api: {triggers: {push: {paths: [\"api/**\"]}}, build: sleep 600, deploy: \"true\", stages: [test]}\n";

#[test]
fn b37_what_is_queued_of_one_pipeline_is_cancelled_and_the_other_keeps_its_place() {
    let server = Server::start();
    let runs = |s: &Server, state: &str| {
        let (listed, status) = words::curl(s, &[], &format!("/api/runs?state={state}"));
        assert_eq!(status, "200", "{listed}");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let id = |run: &serde_json::Value| run["id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = listed["runs"].as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    };
    server.push(&[(".github/liftlock.yml", BUSY), ("web/page", "one")], "feat: one");
    server.until("one is built", |s| runs(s, "running").len() == 1);
    let [first] = runs(&server, "running").try_into().unwrap();
    let web = first.strip_suffix("/1/build/1").unwrap();
    let second = server.push(&[("web/page", "two")], "feat: two");
    server.push(&[("api/page", "one")], "feat: an interface");
    server.until("two are queued", |s| runs(s, "queued").len() == 2);
    let api = format!("{}/api/1/build/1", web.strip_suffix("/web").unwrap());
    assert_eq!(runs(&server, "queued"), [api.clone(), format!("{web}/2/build/1")]);

    let delete = |query: &str| words::curl(&server, &["-X", "DELETE"], &format!("/api/runs{query}"));
    let (said, status) = delete("?state=queued&as=bo");
    assert!(status == "400" && said.contains("`pipeline=`"), "nobody empties every queue: {status} {said}");
    let (said, status) = delete(&format!("?state=queued&pipeline={web}&as=bo"));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (status.as_str(), &said["cancelled"]),
        ("200", &serde_json::json!([format!("{web}/2/build/1")]))
    );
    assert_eq!((runs(&server, "queued"), runs(&server, "running")), (vec![api.clone()], vec![first.clone()]));
    let told = |s: &Server| {
        let notes = ["--git-dir", "shop.git", "notes", "--ref=liftlock", "show", &second];
        out(&Command::new("git").current_dir(s.at()).args(notes).output().unwrap())
    };
    server.until("it is told", |s| told(s).contains("Build cancelled by bo"));

    // Tried again it is another run: who means the one before does not stop it.
    let retry = server.ask(&["comment", "shop", &second, "/retry build", "--as", "ana"]);
    assert_eq!(code(&retry), 0, "{}", err(&retry));
    server.until("it is queued again", |s| runs(s, "queued").contains(&format!("{web}/2/build/2")));
    let past = server.ask(&["queue", "cancel", &format!("{web}/2/build/1"), "--as", "bo"]);
    assert!(code(&past) != 0 && err(&past).contains("is over"), "{}", err(&past));
    let by_id = server.ask(&["queue", "cancel", &format!("{web}/2/build/2"), "--as", "bo"]);
    assert_eq!(code(&by_id), 0, "{}", err(&by_id));
    assert_eq!(runs(&server, "queued"), [api]);
}

/// Every file of a sample project, by its path there.
fn sample(name: &str) -> Vec<(String, String)> {
    fn collect(root: &Path, below: &Path, files: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(below).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                collect(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/samples").join(name);
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files
}

#[test]
fn c19_c27_c31_c36_c38_copilots_own_files_release_as_they_are() {
    let server = Server::start();
    let files = sample("copilot-api");
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let commit = server.push(&files, "feat: say thank you");
    // The sample's own `branch: main` is not this host's default branch, so it starts from there.
    git(&server.work(), &["push", "--quiet", "origin", "HEAD:main"]);
    server.until("prod waits for people", |s| {
        let why = s.ask(&["why", "latest", "prod"]);
        code(&why) == 8 && out(&why).contains("0 of 1 approvals")
    });
    server.until("its tests passed", |s| out(&s.ask(&["status", &commit])).contains("test         live"));
    // The words that Copilot's users know.
    let listed = out(&server.ask(&["pipeline", "ls"]));
    assert!(listed.starts_with("plain:shop/"), "{listed}");
    for word in ["status", "show"] {
        let said = out(&server.ask(&["pipeline", word]));
        assert!(said.contains("test             live") && said.contains("/approve prod"), "{said}");
    }
    let updated = server.ask(&["pipeline", "deploy", "shop"]);
    assert!(
        code(&updated) == 0 && out(&updated).contains("is in force"),
        "{}{}",
        out(&updated),
        err(&updated)
    );
}

#[test]
fn another_tools_pipeline_is_imported_and_nothing_is_written_over() {
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "release.json", include_str!("../../fixtures/import/azure-release.json"));
    let shown = run(at.path(), &["import", "azure-release", "release.json"]);
    assert!(code(&shown) == 0 && out(&shown).contains("name: acme-Shop"), "{}{}", out(&shown), err(&shown));
    assert!(err(&shown).contains("Deploy Azure App Service"), "{}", err(&shown));
    let written = ["import", "azure-release", "release.json", "-o", ".github/liftlock.yml"];
    assert_eq!(code(&run(at.path(), &written)), 0);
    let checked = run(at.path(), &["check"]);
    assert!(code(&checked) == 0, "{}{}", out(&checked), err(&checked));
    let again = run(at.path(), &written);
    assert!(code(&again) == 3 && err(&again).contains("is there already"), "{}", err(&again));
    write(at.path(), "broken.json", "{\"environments\": ");
    let broken = run(at.path(), &["import", "azure-release", "broken.json"]);
    assert!(code(&broken) == 1 && err(&broken).contains("is not a release definition"), "{}", err(&broken));
}

#[test]
fn c19_c40_a_pipeline_of_copilot_is_imported_with_what_it_leaves_to_do() {
    let at = tempfile::tempdir().unwrap();
    for (name, text) in sample("copilot-api") {
        write(at.path(), &name, &text);
    }
    let file = "copilot/pipeline.yml";
    let with = "build:\n  additional_policy:\n    PolicyDocument:\n      \
                Statement: [{Effect: Allow, Action: 's3:PutObject', Resource: 'arn:aws:s3:::drop/*'}]\n";
    let text = std::fs::read_to_string(at.path().join(file)).unwrap();
    assert!(!text.contains("build:"), "{text}");
    write(at.path(), file, &format!("{text}{with}"));
    write(at.path(), "copilot/web/manifest.yml", "name: web\n");
    let imported = run(at.path(), &["import", "copilot", file, "-o", ".github/liftlock.yml"]);
    assert_eq!(code(&imported), 0, "{}", err(&imported));
    assert!(
        err(&imported).contains("is to allow `s3:PutObject` on `arn:aws:s3:::drop/*`"),
        "{}",
        err(&imported)
    );
    let checked = run(at.path(), &["check"]);
    assert!(code(&checked) == 0, "{}{}", out(&checked), err(&checked));
    assert!(out(&checked).contains("ok: pipeline"), "{}", out(&checked));
    for (broken, why) in [("stages: [", "is not YAML"), ("name: x", "has no `stages`")] {
        write(at.path(), file, broken);
        let said = run(at.path(), &["import", "copilot", file]);
        assert!(code(&said) == 1 && err(&said).contains(why), "{broken}: {}", err(&said));
        assert_eq!(out(&said), "", "nothing is written of what is broken");
    }
}

#[test]
fn d04_c30_a_red_test_blocks_and_a_running_release_keeps_its_manifest() {
    let server = Server::start();
    let red = MANIFEST.replace("grep -q hello page", "grep -q goodbye page");
    let commit = server.push(&[(".github/liftlock.yml", &red), ("page", "hello\n")], "feat: a page");
    server.until("test failed", |s| out(&s.ask(&["status", &commit])).contains("Failed at"));
    // The fix of the manifest is a new release; the old one keeps what it was pushed with, and stays red.
    server.push(&[(".github/liftlock.yml", MANIFEST)], "fix: test for what is there");
    server.until("the next one waits for prod", |s| {
        let why = s.ask(&["why", "latest", "prod"]);
        code(&why) == 8 && out(&why).contains("v0.1.0-rc.2") && out(&why).contains("0 of 1 approvals")
    });
    assert!(out(&server.ask(&["status", &commit])).contains("Failed at"));
    let unknown = server.ask(&["why", "v9.9.9", "prod"]);
    assert_eq!(code(&unknown), 1);
    assert!(err(&unknown).contains("no release v9.9.9"), "{}", err(&unknown));
}

#[test]
fn e07_a_server_says_what_an_approval_and_a_push_would_do_now() {
    let server = Server::start();
    server.push(&[(".github/liftlock.yml", MANIFEST), ("page", "hello\n")], "feat: a page");
    server.until("prod waits for people", |s| {
        out(&s.ask(&["why", "latest", "prod"])).contains("test succeeded with this artifact")
    });
    let approval = server.ask(&["plan", "/approve prod", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&out(&approval)).unwrap();
    assert_eq!((plan["release"].as_str(), plan["refused"].as_str()), (Some("v0.1.0-rc.1"), None));
    assert_eq!(plan["stages"][0]["stage"], "prod");
    assert!(plan["stages"][0]["live"].is_string(), "{plan}");
    let push = out(&server.ask(&["plan"]));
    assert!(push.contains("test: waits for nothing") && push.contains("prod: waits for approval"), "{push}");
    // Nothing of it has happened.
    assert_eq!(code(&server.ask(&["why", "latest", "prod"])), 8);
    let nothing = server.ask(&["plan", "/approve test"]);
    assert_eq!(code(&nothing), 1);
    assert!(out(&nothing).contains("nothing waits for test now"), "{}", out(&nothing));
}

#[test]
fn c13_c14_c32_init_writes_one_file_here_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "Cargo.toml", "[package]\nname = \"x\"\n");
    let made = run(folder.path(), &["init"]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    let text = std::fs::read_to_string(folder.path().join(".github/liftlock.yml")).unwrap();
    assert!(text.starts_with("# yaml-language-server: $schema="), "{text}");
    let pin = format!("\ntool_version: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&pin), "it is written for the version that wrote it: {text}");
    let checked = run(folder.path(), &["check"]);
    assert_eq!(code(&checked), 0, "{}", out(&checked));
    let again = run(folder.path(), &["init"]);
    assert_eq!(code(&again), 3);
    assert!(err(&again).contains("--force"), "{}", err(&again));
    let unknown = run(folder.path(), &["init", "--kind", "cobol"]);
    assert!(err(&unknown).contains("choose one of"), "{}", err(&unknown));
}

#[test]
fn c15_init_lists_the_remotes_and_takes_another_by_url() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["remote", "add", "origin", "git@github.com:acme/shop.git"]);
    git(folder.path(), &["remote", "add", "deploy", "https://ana:hunter2@github.com/acme/shop"]);
    let listed = run(folder.path(), &["init"]);
    assert!(out(&listed).contains("remote origin: https://github.com/acme/shop\n"), "{}", out(&listed));
    assert!(!out(&listed).contains("hunter2"), "{}", out(&listed));
    let chosen = run(folder.path(), &["init", "--force", "--url", "https://github.com/acme/other"]);
    assert_eq!(code(&chosen), 0, "{}", err(&chosen));
    let text = std::fs::read_to_string(folder.path().join(".github/liftlock.yml")).unwrap();
    assert!(text.contains("repository: \"https://github.com/acme/other\""), "{text}");
    assert_eq!(code(&run(folder.path(), &["check"])), 0);
    let wrong = run(folder.path(), &["init", "--force", "--url", "shop"]);
    assert!(err(&wrong).contains("write it as `https://host/owner/name`"), "{}", err(&wrong));
}

#[test]
fn c10_c29_apply_refuses_what_is_not_pushed_and_a_pending_change_is_shown() {
    let server = Server::start();
    let empty = server.ask(&["apply", "shop"]);
    assert!(err(&empty).contains("trunk has no commit yet"), "{}", err(&empty));
    server.push(&[("page", "hello\n")], "feat: a page");
    let missing = server.ask(&["apply", "shop"]);
    assert_eq!(code(&missing), 1);
    assert!(err(&missing).contains("neither `.github/liftlock.yml` nor"), "{}", err(&missing));
    assert!(err(&missing).contains("trunk at"), "{}", err(&missing));

    // The file is committed and the server was not told: applying it also starts the first release.
    let hook = server.at().join("shop.git/hooks/post-receive");
    std::fs::rename(&hook, server.at().join("hook")).unwrap();
    let first = server.push(&[(".github/liftlock.yml", MANIFEST)], "chore: a pipeline");
    let applied = server.ask(&["apply", "shop"]);
    assert_eq!(code(&applied), 0, "{}", err(&applied));
    assert!(out(&applied).contains(&format!("of trunk at {} is in force: shop", &first[..7])));
    server.until("its release waits at prod", |s| code(&s.ask(&["why", "latest", "prod"])) == 8);
    let again = server.ask(&["apply", "shop"]);
    assert_eq!(code(&again), 0, "{}", err(&again));
    assert!(out(&server.ask(&["why", "latest", "prod"])).starts_with("v0.1.0-rc.1"), "no second release");

    // A broken manifest does not load: the rules of before hold, and the page says so.
    let page = || server.get("/pipelines/plain:shop/shop");
    assert!(!page().contains("pending apply"), "{}", page());
    std::fs::rename(server.at().join("hook"), &hook).unwrap();
    server.push(&[(".github/liftlock.yml", "version: 1\nstages: [Test]\n")], "chore: break it");
    server.until("the page says so", |_| page().contains("pending apply"));
    assert!(page().contains(&format!("the rules of {} are in force", &first[..7])), "{}", page());
    let refused = server.ask(&["apply", "shop"]);
    assert!(err(&refused).contains("Nothing was changed"), "{}", err(&refused));
}

#[test]
fn c03_a_stage_is_deployed_by_hand_through_the_same_engine() {
    let server = Server::start();
    let manual = MANIFEST.replace("{name: test,", "{name: test, trigger: manual,");
    let commit = server.push(&[(".github/liftlock.yml", &manual), ("page", "hello\n")], "feat: a page");
    server.until("test waits for a hand", |s| {
        out(&s.ask(&["why", "latest", "test"])).contains("/promote test v0.1.0-rc.1")
    });
    let deployed = server.ask(&["deploy", "--stage", "test", "--as", "bo"]);
    assert_eq!(code(&deployed), 0, "{} {}", out(&deployed), err(&deployed));
    assert!(out(&server.ask(&["status", &commit])).contains("test         live"));
    let kept = server.ask(&["deploy", "--stage", "prod", "--as", "bo"]);
    assert_eq!(code(&kept), 8, "its rules hold for a deploy by hand, too: {}", err(&kept));
    assert!(out(&kept).contains("0 of 1 approvals"), "{}", out(&kept));
    let unknown = server.ask(&["deploy", "--stage", "moon", "--as", "bo"]);
    assert!(err(&unknown).contains("has no stage moon"), "{}", err(&unknown));
    let root = server.stop();
    let rows = out(&run(root.path(), &["audit", "deployments", "--json"]));
    assert!(rows.contains(r#""kind":"manual""#), "{rows}");
}

#[test]
fn t31_e21_overrides_and_freezes_are_said_shown_and_listed() {
    let server = Server::start();
    let soaked = MANIFEST.replace("approval: 1,", "soak: 24h, override: {from: [maintain], min: 1},");
    let commit = server.push(&[(".github/liftlock.yml", &soaked), ("page", "hello\n")], "feat: a page");
    let why = |s: &Server| out(&s.ask(&["why", "latest", "prod"]));
    server.until("prod soaks", |s| why(s).contains("soaks for 1d"));
    let say = |text: &str| {
        let said = server.ask(&["comment", "shop", &commit, text, "--as", "ana"]);
        assert_eq!(code(&said), 0, "{}", err(&said));
    };
    say("/freeze * until=2099-01-01 -- bad certificate");
    server.until("everything is frozen", |s| why(s).contains("everything is frozen by ana"));
    assert!(why(&server).contains("until Thu 2099-01-01 00:00 UTC: bad certificate"), "{}", why(&server));
    assert!(why(&server).contains("a maintainer comments `/unfreeze *`"), "{}", why(&server));
    say("/override prod soak -- customer is down, see #12");
    server.until("the soak is passed", |s| why(s).contains("✔ soak overridden by ana"));
    assert!(why(&server).contains("everything is frozen"), "one override passes one thing");
    say("/unfreeze *");
    server.until("prod is live", |s| code(&s.ask(&["why", "latest", "prod"])) == 0);
    assert!(out(&server.ask(&["status", &commit])).contains("live with issues"));
    let page = server.get("/releases/plain:shop/shop/1");
    assert!(page.contains("Overridden") && page.contains("customer is down, see #12"), "{page}");
    let root = server.stop();
    let rows = out(&run(root.path(), &["audit", "overrides", "--json"]));
    let row: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let told = ["stage", "check", "by", "reason", "attempt", "outcome"].map(|key| row[key].as_str().unwrap());
    assert_eq!(told, ["prod", "soak", "ana", "customer is down, see #12", "1", "live"]);
    let csv = out(&run(root.path(), &["audit", "overrides"]));
    assert!(csv.starts_with("pipeline,version,commit,digest,stage,attempt,check,by,reason,of,at,outcome\n"));
}

#[test]
fn check_reports_every_problem_with_its_place_and_explains_codes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "m.yml", "version: 1\nstagez: [test]\nstages: [test, {name: prod, aproval: 1}]\n");
    let checked = run(folder.path(), &["check", "m.yml"]);
    assert_eq!(code(&checked), 1);
    let text = out(&checked);
    assert!(text.contains("stagez") && text.contains("aproval"), "{text}");
    let json = run(folder.path(), &["check", "m.yml", "--format", "json"]);
    let problems: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    let first = problems["problems"][0]["code"].as_str().unwrap().to_owned();
    let explained = run(folder.path(), &["explain", &first]);
    assert_eq!(code(&explained), 0, "{}", err(&explained));
    assert!(!out(&explained).is_empty());
    let schema: serde_json::Value = serde_json::from_str(&out(&run(folder.path(), &["schema"]))).unwrap();
    assert!(schema.to_string().contains("\"stages\""), "{schema}");
}

#[test]
fn d01_what_another_repository_declares_is_said_to_be_unknown_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("acme/rings//prod.yml@{}", "9fceb02d0ae598e95dc970b74767f19372d61af8");
    let text =
        format!("version: 1\nextends: {file}\ndeploy: ./d.sh\nstages: [{{name: prod, verify: [theirs]}}]\n");
    write(folder.path(), "m.yml", &text);
    let unread = "`acme/rings//prod.yml` at 9fceb02 is not read here";
    let checked = run(folder.path(), &["check", "m.yml"]);
    let said = out(&checked);
    assert!(code(&checked) == 0 && said.contains(unread) && !said.contains("theirs`"), "{said}");
    write(folder.path(), "s.txt", "");
    let played = run(folder.path(), &["simulate", "m.yml", "s.txt"]);
    assert!(err(&played).contains(unread), "{}{}", out(&played), err(&played));
    write(folder.path(), "m.yml", &text.replace("9fceb02d0ae598e95dc970b74767f19372d61af8", "main"));
    let checked = run(folder.path(), &["check", "m.yml"]);
    assert!(code(&checked) == 1 && out(&checked).contains("names no full commit"), "{}", out(&checked));
}

#[test]
fn t01_a_server_without_a_real_secret_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    for secret in ["", "development", "12345678"] {
        write(
            folder.path(),
            "liftlock.toml",
            &format!(
                "data = \"d\"\nwebhook_secrets = [\"{secret}\"]\n[plain.repositories.x]\npath = \"x.git\"\n"
            ),
        );
        let started = run(folder.path(), &["serve"]);
        assert_ne!(code(&started), 0);
        assert!(err(&started).contains("webhook_secrets"), "{secret:?}: {}", err(&started));
    }
    let missing = run(folder.path(), &["serve", "--config", "nowhere.toml"]);
    assert!(err(&missing).contains("nowhere.toml"), "{}", err(&missing));
}

#[test]
fn a06_a08_b28_groups_are_made_for_every_stage_and_keep_their_secrets() {
    let server = Server::start();
    server.push(&[(".github/liftlock.yml", MANIFEST), ("page", "hello\n")], "feat: a page");
    server.until("prod waits", |s| code(&s.ask(&["why", "latest", "prod"])) == 8);
    let group = |arguments: &[&str]| server.ask(&[&["group"], arguments].concat());
    let made = ["create", "acme.$(stage)", "--for-stages", "shop"];
    let refused = group(&[&made[..], &["--as", "bo"]].concat());
    assert_eq!(code(&refused), 4, "{}", err(&refused));
    assert!(err(&refused).contains("bo may not create groups"), "{}", err(&refused));
    let created = group(&[&made[..], &["--as", "ana"]].concat());
    assert_eq!(code(&created), 0, "{}", err(&created));
    assert!(out(&created).contains("acme.test created") && out(&created).contains("acme.prod created"));
    // A second time changes nothing.
    let again = out(&group(&[&made[..], &["--as", "ana"]].concat()));
    assert!(again.contains("acme.prod is there already") && !again.contains("created"), "{again}");

    assert_eq!(code(&group(&["set", "acme.prod", "Host", "shop.example.com", "--as", "ana"])), 0);
    assert_eq!(code(&group(&["set", "acme.prod", "Password", "--generate", "--as", "ana"])), 0);
    let shown = out(&group(&["show", "acme.prod"]));
    assert!(shown.contains("Host = shop.example.com"), "{shown}");
    assert!(shown.contains("Password = (secret, kept at sealed:acme.prod/password)"), "{shown}");
    let security = out(&group(&["security", "acme.prod"]));
    assert!(security.contains("pipeline:plain:shop/shop") && security.contains("user"), "{security}");
    let granted = group(&["security", "acme.prod", "grant", "bo", "reader", "--as", "ana"]);
    assert!(out(&granted).contains("made bo reader"), "{}", err(&granted));
    // A reader changes nothing, and whoever is on this machine without a name only looks.
    let denied = group(&["set", "acme.prod", "Host", "evil.example.com", "--as", "bo"]);
    assert_eq!(code(&denied), 4);
    assert!(err(&denied).contains("bo needs the role administrator"), "{}", err(&denied));
    assert_eq!(code(&group(&["unset", "acme.prod", "Host"])), 4);
    let history = out(&group(&["history", "acme.prod"]));
    assert!(
        history.contains("ana: set the secret Password") && history.contains("ana: created"),
        "{history}"
    );
    let list: serde_json::Value = serde_json::from_str(&out(&group(&["list", "--json"]))).unwrap();
    assert_eq!(list["groups"][0]["name"], "acme.prod");
}

#[test]
fn c37_the_doctor_says_what_there_is_for_the_commands_of_stages() {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools");
    for name in ["make", "git"] {
        let tool = format!("tools/{name}");
        write(folder.path(), &tool, "#!/bin/sh\n");
        std::fs::set_permissions(folder.path().join(tool), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let config = |repository: &str| {
        format!(
            "data = \"data\"\nwebhook_secrets = [\"5f1c0b7f6f8e4d0aa5c8d0b1e2f3a4b5\"]\n\
             [environment]\nPATH = \"{}\"\n[plain.repositories.shop]\npath = \"{repository}\"\n",
            tools.display()
        )
    };
    git(folder.path(), &["init", "--quiet", "--bare", "shop.git"]);
    write(folder.path(), "liftlock.toml", &config("shop.git"));
    let looked = run(folder.path(), &["doctor"]);
    assert_eq!(code(&looked), 0, "{}{}", out(&looked), err(&looked));
    let said = out(&looked);
    assert!(said.contains("✔ config: liftlock.toml can be read"), "{said}");
    assert!(said.contains("✔ repository: shop is shop.git"), "{said}");
    assert!(said.contains(&format!("✔ make: {}/make", tools.display())), "{said}");
    assert!(said.contains("– docker: is not in the PATH of steps: no builds of images"), "{said}");

    write(folder.path(), "liftlock.toml", &config("gone.git"));
    let looked = run(folder.path(), &["doctor", "--json"]);
    assert_eq!(code(&looked), 1);
    let findings: serde_json::Value = serde_json::from_str(&out(&looked)).unwrap();
    let bad: Vec<_> = findings.as_array().unwrap().iter().filter(|f| f["mark"] == "bad").collect();
    assert_eq!(bad.len(), 1, "{findings}");
    assert!(bad[0]["text"].as_str().unwrap().contains("`git init --bare gone.git` makes one"));

    let alone = run(folder.path(), &["doctor", "--config", "none.toml"]);
    assert_eq!(code(&alone), 0);
    assert!(out(&alone).contains("– config: there is no none.toml"), "{}", out(&alone));
}
