//! Real processes, plain and in bubblewrap.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::log::{LONGEST_LINE_BYTES, Log, LogLine};
use super::probe::Runner;
use super::sandbox::command_line;
use super::*;
use crate::mask::Mask;
use crate::secret::Secret;
use crate::trouble::Outcome;

/// How long a test waits for what must come; only a failing test waits so long.
const DEADLINE: Duration = Duration::from_mins(1);

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("liftlock-runner-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("tree/sub")).unwrap();
        std::fs::create_dir_all(path.join("artifact")).unwrap();
        Self(path)
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        path
    }

    /// Text that no other process on this machine has in its arguments.
    fn marker(&self) -> String {
        let digits: String = self.0.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        format!("1000.0{digits}")
    }

    fn job(&self, sandbox: &Sandbox, script: &str) -> Job {
        Job {
            program: Program::Shell(script.to_owned()),
            tree: self.0.join("tree"),
            folder: PathBuf::new(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            limits: Limits { wall: Span::minutes(1), ..Limits::default() },
            sandbox: sandbox.clone(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

fn bubblewrap() -> Sandbox {
    Sandbox::Bubblewrap(SandboxSpec {
        artifacts: BTreeMap::new(),
        toolchains: Vec::new(),
        network: Network::None,
        temporary_bytes: 1024 * 1024,
    })
}

fn both() -> [Sandbox; 2] {
    [Sandbox::Plain, bubblewrap()]
}

/// Runs a job; `on` is called for each line and may stop it. The channel holds one line, so that every test runs
/// with a reader that is slower than the process.
async fn run_with(
    job: &Job,
    secrets: &[Secret],
    on: impl Fn(&LogLine, &Stops) -> ControlFlow<()>,
) -> Outcome<(Report, Vec<String>)> {
    let runner = Runner::probe().await;
    let (sink, mut lines) = mpsc::channel(1);
    let stops = Stops::default();
    let (running_stops, stops) = (stops.clone(), stops);
    let running = async {
        let mut log = Log::new(&Mask::new(secrets), sink);
        runner.run(job, &mut log, &running_stops).await
    };
    // Owns the receiver, so that breaking off the loop is leaving.
    let reading = async move {
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            if on(&line, &stops).is_break() {
                break;
            }
            // What a shell says about a command that got our TERM; not every shell does.
            if line.text != "Terminated" {
                all.push(line.text);
            }
        }
        all
    };
    let (report, all) = tokio::time::timeout(DEADLINE, async { tokio::join!(running, reading) })
        .await
        .unwrap_or_else(|_| panic!("the job did not end: {job:?}"));
    Ok((report?, all))
}

async fn run(job: &Job) -> (Report, Vec<String>) {
    run_with(job, &[], |_, _| ControlFlow::Continue(())).await.unwrap()
}

/// Runs a job and cancels it when it says `ready`.
async fn cancel_when_ready(job: &Job) -> (Report, Vec<String>) {
    run_with(job, &[], |line, stops| {
        if line.text == "ready" {
            stops.cancel.cancel();
        }
        ControlFlow::Continue(())
    })
    .await
    .unwrap()
}

/// How many processes of this machine have the text in their arguments.
fn processes_with(marker: &str) -> usize {
    let list = std::fs::read_dir("/proc").unwrap();
    let has_marker = |path: &Path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|word| word == marker)
    };
    list.filter_map(Result::ok).filter(|entry| has_marker(&entry.path())).count()
}

async fn wait_for_processes(marker: &str, wanted: impl Fn(usize) -> bool) {
    let found = tokio::time::timeout(DEADLINE, async {
        while !wanted(processes_with(marker)) {
            tokio::task::yield_now().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{} processes with {marker}", processes_with(marker)));
}

#[tokio::test]
async fn the_exit_code_is_the_steps() {
    let folder = Folder::new();
    for sandbox in both() {
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("false; echo no", 1), ("/nonexistent", 127)] {
            let (report, lines) = run(&folder.job(&sandbox, script)).await;
            assert_eq!(report.ended, Ended::Exited(code), "{script} {lines:?}");
            assert_eq!(report.ended.succeeded(), code == 0);
            assert!(!lines.contains(&"no".to_owned()));
        }
    }
    let kill = "kill -9 $$";
    assert_eq!(run(&folder.job(&Sandbox::Plain, kill)).await.0.ended, Ended::Killed { signal: 9 });
    let ended = run(&folder.job(&bubblewrap(), kill)).await.0.ended;
    assert_eq!(ended, Ended::Exited(137));
    assert_eq!(ended.to_string(), "ended with exit code 137 (signal 9)");
}

#[tokio::test]
async fn both_outputs_come_in_the_order_of_writing() {
    let folder = Folder::new();
    for sandbox in both() {
        let script = "for i in 1 2 3; do echo o$i; echo e$i >&2; done; cat; pwd; printf unfinished";
        let mut job = folder.job(&sandbox, script);
        job.folder = "sub".into();
        let (report, lines) = run(&job).await;
        assert_eq!(lines[..6], ["o1", "e1", "o2", "e2", "o3", "e3"]);
        assert!(lines[6].ends_with("/sub"), "{lines:?}");
        assert_eq!(lines[7], "unfinished");
        assert_eq!(report.tail, lines);
    }
}

#[tokio::test]
async fn a_slow_reader_loses_no_line() {
    let folder = Folder::new();
    for sandbox in both() {
        let (report, lines) = run(&folder.job(&sandbox, "seq 1 30000")).await;
        assert!(report.ended.succeeded());
        assert_eq!(lines.len(), 30_000);
        assert_eq!(lines.last().map(String::as_str), Some("30000"));
    }
}

#[tokio::test]
async fn a_reader_that_left_does_not_stop_the_job() {
    let folder = Folder::new();
    let job = folder.job(&Sandbox::Plain, "seq 1 30000; touch done");
    let (report, _) = run_with(&job, &[], |_, _| ControlFlow::Break(())).await.unwrap();
    assert!(report.ended.succeeded());
    assert!(folder.0.join("tree/done").exists());
}

#[tokio::test]
async fn t46_the_environment_is_what_was_given_and_nothing_else() {
    let folder = Folder::new();
    for sandbox in both() {
        let mut job = folder.job(&sandbox, "");
        job.program = Program::Argv(vec!["env".to_owned()]);
        job.environment.insert("TWO_LINES".to_owned(), "a b\n--bind /".to_owned());
        let (report, mut lines) = run(&job).await;
        assert!(report.ended.succeeded(), "{lines:?}");
        lines.retain(|line| line != "PWD=/build/src");
        lines.sort();
        assert_eq!(lines, ["--bind /", "PATH=/usr/bin:/bin", "TWO_LINES=a b"]);
    }
}

#[tokio::test]
async fn cancelling_asks_then_kills_who_does_not_listen() {
    let folder = Folder::new();
    for sandbox in both() {
        let mut job = folder.job(&sandbox, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        job.limits.grace = Span::millis(300);
        let (report, lines) = cancel_when_ready(&job).await;
        assert_eq!(report.ended, Ended::Cancelled);
        assert_eq!(lines, ["ready", "liftlock: the step was cancelled"]);
    }
}

#[tokio::test]
async fn cancelling_lets_the_running_command_clean_up() {
    let folder = Folder::new();
    for sandbox in both() {
        let command = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let job = folder.job(&sandbox, &format!("sh -c \"{command}\"; echo next"));
        let (report, lines) = cancel_when_ready(&job).await;
        assert_eq!(report.ended, Ended::Cancelled);
        assert_eq!(lines, ["ready", "cleaned", "liftlock: the step was cancelled"]);
    }
}

#[tokio::test]
async fn a_late_success_counts() {
    let folder = Folder::new();
    for sandbox in both() {
        let script = "trap 'echo finished; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let (report, lines) = cancel_when_ready(&folder.job(&sandbox, script)).await;
        assert_eq!(report.ended, Ended::Exited(0));
        assert_eq!(lines, ["ready", "finished"]);
    }
}

#[tokio::test]
async fn a_lost_lease_kills_at_once() {
    let folder = Folder::new();
    for sandbox in both() {
        let marker = folder.marker();
        let script = format!("trap '' TERM; sleep {marker} & echo ready; while :; do echo more; done");
        let mut job = folder.job(&sandbox, &script);
        job.limits.grace = Span::hours(1);
        let (report, _) = run_with(&job, &[], |line, stops| {
            if line.text == "ready" {
                stops.lost.cancel();
            }
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        assert_eq!(report.ended, Ended::Lost);
        wait_for_processes(&marker, |n| n == 0).await;
    }
}

#[tokio::test]
async fn a_lost_lease_does_not_wait_for_a_reader_that_hangs() {
    let folder = Folder::new();
    let job = folder.job(&Sandbox::Plain, "seq 1 30000");
    let runner = Runner::probe().await;
    // The receiver lives and never reads.
    let (sink, _lines) = mpsc::channel(1);
    let mut log = Log::new(&Mask::new(&[]), sink);
    let stops = Stops::default();
    stops.lost.cancel();
    let report = tokio::time::timeout(DEADLINE, runner.run(&job, &mut log, &stops)).await.unwrap().unwrap();
    assert_eq!(report.ended, Ended::Lost);
}

#[tokio::test]
async fn the_wall_clock_ends_a_step_that_hangs() {
    let folder = Folder::new();
    for sandbox in both() {
        let mut job = folder.job(&sandbox, "sleep 1000");
        job.limits.wall = Span::millis(300);
        let (report, lines) = run(&job).await;
        assert_eq!(report.ended, Ended::TimedOut { limit: Span::millis(300) });
        assert_eq!(lines, ["liftlock: the step took longer than its limit of 300ms and was stopped"]);
    }
}

#[tokio::test]
async fn t46_what_a_step_leaves_behind_dies_with_it() {
    let folder = Folder::new();
    let marker = folder.marker();
    for (sandbox, start) in [(Sandbox::Plain, ""), (bubblewrap(), "setsid ")] {
        let leave = format!("for i in 1 2 3 4 5 6 7 8; do {start}sleep {marker} & done");
        let (report, _) = run(&folder.job(&sandbox, &format!("{leave}; exit 0"))).await;
        assert_eq!(report.ended, Ended::Exited(0));
        wait_for_processes(&marker, |n| n == 0).await;

        let mut job =
            folder.job(&sandbox, &format!("trap '' TERM; {leave}; echo ready; wait; sleep {marker}"));
        job.limits.grace = Span::millis(200);
        let (report, _) = cancel_when_ready(&job).await;
        assert_eq!(report.ended, Ended::Cancelled);
        wait_for_processes(&marker, |n| n == 0).await;
    }
}

#[tokio::test]
async fn t46_a_dropped_run_leaves_no_process() {
    let folder = Folder::new();
    let marker = folder.marker();
    for sandbox in both() {
        let job = folder.job(&sandbox, &format!("trap '' TERM; sleep {marker} & wait; sleep {marker}"));
        let task = tokio::spawn(async move { run(&job).await });
        wait_for_processes(&marker, |n| n > 0).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        wait_for_processes(&marker, |n| n == 0).await;
    }
}

#[tokio::test]
async fn a_plain_process_that_left_the_group_is_not_waited_for() {
    let folder = Folder::new();
    // It ends by itself soon after the test.
    let script =
        "setsid sh -c 'touch left; exec sleep 8' & while [ ! -e left ]; do sleep 0.02; done; echo gone";
    let (report, lines) = run(&folder.job(&Sandbox::Plain, script)).await;
    assert_eq!(report.ended, Ended::Exited(0));
    assert_eq!(lines, ["gone", "liftlock: a process left the step's group and keeps its output open"]);
}

#[tokio::test]
async fn t46_a_fork_bomb_is_bounded() {
    let folder = Folder::new();
    let marker = folder.marker();
    // The kernel does not apply this limit to root, so the bomb gives that up first.
    let bomb = format!("i=0; while [ $i -lt 200 ]; do sleep {marker} & i=$((i+1)); done; echo survived");
    let script = format!(
        "if [ $(id -u) = 0 ]; then exec setpriv --reuid=3907 --clear-groups sh -e -c '{bomb}'; fi; {bomb}"
    );
    let mut job = folder.job(&Sandbox::Plain, &script);
    job.limits.processes = 40;
    let (report, lines) = run(&job).await;
    assert!(!report.ended.succeeded(), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("fork")), "{lines:?}");
    wait_for_processes(&marker, |n| n == 0).await;

    // In a sandbox it is at least over with the step.
    let mut job =
        folder.job(&bubblewrap(), &format!("trap '' TERM; {}; wait", bomb.replace("sleep", "setsid sleep")));
    job.limits.wall = Span::seconds(2);
    job.limits.grace = Span::millis(100);
    let (report, _) = run(&job).await;
    assert!(matches!(report.ended, Ended::TimedOut { .. }));
    wait_for_processes(&marker, |n| n == 0).await;
}

#[tokio::test]
async fn t46_memory_time_and_files_are_limited() {
    let folder = Folder::new();
    for sandbox in both() {
        let mut job = folder.job(&sandbox, "tail /dev/zero");
        job.limits.memory_bytes = 64 * 1024 * 1024;
        let (report, lines) = run(&job).await;
        assert!(matches!(report.ended, Ended::Exited(code) if code != 0), "{report:?}");
        assert!(lines.iter().any(|line| line.contains("memory")), "{lines:?}");

        let mut job = folder.job(&sandbox, "while :; do :; done");
        job.limits.cpu_seconds = 1;
        let (report, _) = run(&job).await;
        let killed = matches!(report.ended, Ended::Killed { signal: 9 | 24 } | Ended::Exited(137 | 152));
        assert!(killed, "{report:?}");

        let mut job = folder.job(&sandbox, "head -c 100000 /dev/zero > large");
        job.limits.file_bytes = 10_000;
        assert!(!run(&job).await.0.ended.succeeded());
        assert_eq!(std::fs::metadata(folder.0.join("tree/large")).unwrap().len(), 10_000);

        let mut job = folder.job(&sandbox, "ulimit -n; ulimit -c");
        job.limits.open_files = 77;
        assert_eq!(run(&job).await.1, ["77", "0"]);
    }
}

#[tokio::test]
async fn too_much_output_kills_the_step_and_says_so() {
    let folder = Folder::new();
    for sandbox in both() {
        for script in ["trap '' TERM PIPE; yes; while :; do sleep 1; done", "yes | head -c 30000"] {
            let mut job = folder.job(&sandbox, script);
            job.limits.output_bytes = 20_000;
            let (report, lines) = run(&job).await;
            assert_eq!(report.ended, Ended::OutputLimit { bytes: 20_000 });
            let last = lines.last().unwrap();
            assert_eq!(
                last,
                "liftlock: the step wrote more than its limit of 20000 bytes of output and was killed"
            );
            assert_eq!(lines.iter().filter(|line| *line == "y").count(), 10_000);
        }
    }
}

#[tokio::test]
async fn t50_huge_lines_and_bytes_of_any_kind_are_harmless() {
    let folder = Folder::new();
    let (_, lines) = run(&folder.job(&Sandbox::Plain, "head -c 1000000 /dev/zero | tr '\\0' x")).await;
    assert!(lines.iter().all(|line| line.len() <= LONGEST_LINE_BYTES));
    assert_eq!(lines.concat().len(), 1_000_000);

    let script = "head -c 300000 /dev/urandom; printf '\\n\\033[31mred\\033]0;t\\007\\n'";
    let (report, lines) = run(&folder.job(&Sandbox::Plain, script)).await;
    assert!(report.ended.succeeded());
    assert!(lines.iter().all(|line| !line.chars().any(|c| c.is_control() && c != '\t')));
    assert_eq!(lines.last().map(String::as_str), Some("red"));
}

#[tokio::test]
async fn t47_a_step_cannot_print_a_secret() {
    let folder = Folder::new();
    let script = "echo $TOKEN; echo user:$TOKEN | base64; echo $TOKEN >&2; env; \
                  printf %s $TOKEN | { dd bs=1 count=5 status=none; sleep 0.1; cat; }; exit 3";
    for sandbox in both() {
        let mut job = folder.job(&sandbox, script);
        job.environment.insert("TOKEN".to_owned(), "canary-4711".to_owned());
        assert!(!format!("{job:?}").contains("canary"));
        let secrets = [Secret::new("canary-4711")];
        let (report, lines) = run_with(&job, &secrets, |_, _| ControlFlow::Continue(())).await.unwrap();
        assert_eq!(report.ended, Ended::Exited(3));
        let all = format!("{lines:?} {report:?}");
        assert!(!all.contains("canary-4711") && !all.contains("Y2FuYXJ5"), "{all}");
        assert!(lines.contains(&"TOKEN=***".to_owned()), "{all}");
        assert_eq!(lines.last().map(String::as_str), Some("***"));
    }
}

#[tokio::test]
async fn t20_arguments_reach_the_program_as_they_are() {
    let folder = Folder::new();
    let tokens =
        ["-x", "--help", "$(id)", ";id", "&&", "|", "`id`", "{curl,-sS,x}", "a b", "$HOME", "*", "'\""];
    for sandbox in both() {
        let mut job = folder.job(&sandbox, "");
        let words = ["printf", "%s\\n"].into_iter().chain(tokens);
        job.program = Program::Argv(words.map(str::to_owned).collect());
        let (report, lines) = run(&job).await;
        assert!(report.ended.succeeded());
        assert_eq!(lines, tokens);
    }
}

#[tokio::test]
async fn t20_t46_the_command_line_has_what_was_given_and_no_value_of_the_environment() {
    let folder = Folder::new();
    let runner = Runner::probe().await;
    let words = |sandbox: &Sandbox| {
        let mut job = folder.job(sandbox, "make");
        job.environment.insert("LD_PRELOAD".to_owned(), "/build/src/canary.so".to_owned());
        let line = command_line(&runner, &job).unwrap();
        let words: Vec<String> = line.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(!words.concat().contains("canary"));
        (words, line)
    };
    let (plain, line) = words(&Sandbox::Plain);
    assert!(line.input.is_none());
    assert_eq!(plain[plain.len() - 5..], ["--", "/bin/sh", "-e", "-c", "trap 'exit 143' TERM; make"]);

    let (boxed, line) = words(&bubblewrap());
    // Bubblewrap itself must not be given what a step's author wrote: `LD_PRELOAD` would run outside the walls.
    assert!(line.environment.is_empty());
    let input = String::from_utf8(line.input.unwrap()).unwrap();
    assert!(input.contains("--setenv\0LD_PRELOAD\0/build/src/canary.so\0"));
    assert!(!input.contains("--share-net") && !input.contains("/etc/resolv.conf"));
    let at = boxed.iter().position(|word| word == "--args").unwrap();
    assert!(boxed[at - 1].ends_with("/bwrap"));
    assert_eq!(boxed[at + 1..at + 3], ["0", "--"]);
}

#[tokio::test]
async fn t20_what_would_reach_out_of_the_tree_is_refused() {
    let folder = Folder::new();
    let runner = Runner::probe().await;
    let refused = |change: &dyn Fn(&mut Job, &mut SandboxSpec)| {
        let mut job = folder.job(&Sandbox::Plain, "true");
        let Sandbox::Bubblewrap(mut spec) = bubblewrap() else { panic!("not a sandbox") };
        change(&mut job, &mut spec);
        job.sandbox = Sandbox::Bubblewrap(spec);
        command_line(&runner, &job).err().map(|e| e.to_string())
    };
    assert_eq!(refused(&|_, _| {}), None);
    let set = |job: &mut Job, name: &str, value: &str| {
        job.environment.insert(name.to_owned(), value.to_owned());
    };
    assert!(refused(&|job, _| job.folder = "../x".into()).unwrap().contains("without `..`"));
    assert!(refused(&|job, _| job.folder = "/etc".into()).unwrap().contains("not a folder inside"));
    assert!(refused(&|job, _| job.folder = "a\0--bind\0/".into()).is_some());
    assert!(refused(&|job, _| job.tree = "tree".into()).is_some());
    assert!(refused(&|job, _| set(job, "A", "x\0--bind\0/\0/")).unwrap().contains("variable A"));
    assert!(refused(&|job, _| set(job, "A=B", "x")).is_some());
    assert!(refused(&|job, _| set(job, "", "x")).is_some());
    assert!(refused(&|job, _| job.program = Program::Argv(Vec::new())).is_some());
    assert!(refused(&|job, _| job.program = Program::Argv(vec!["-c".to_owned()])).is_some());
    assert!(refused(&|job, _| job.program = Program::Shell("a\0b".to_owned())).is_some());
    for name in ["", ".", "..", "a/b", "/a", "a\0b"] {
        let add = |_: &mut Job, spec: &mut SandboxSpec| {
            spec.artifacts.insert(name.to_owned(), "/usr".into());
        };
        assert!(refused(&add).is_some(), "{name:?}");
    }
    for path in ["/", "/root", "/root/", "/etc", "bin", "/a\0b", "/root/.", "/opt/.."] {
        assert!(refused(&|_, spec| spec.toolchains.push(path.into())).is_some(), "{path:?}");
    }
    assert!(refused(&|_, spec| spec.toolchains.push("/opt/tools".into())).is_none());
}

#[tokio::test]
async fn t46_a_sandboxed_step_sees_its_tree_and_its_artifacts_and_nothing_else() {
    let folder = Folder::new();
    folder.put("tree/source", "mine");
    folder.put("artifact/app", "sealed");
    let tool = folder.put("tool", "a tool");
    let data = folder.put("data", "canary of the server");
    let Sandbox::Bubblewrap(mut spec) = bubblewrap() else { panic!("not a sandbox") };
    spec.artifacts.insert("app-1.0".to_owned(), folder.0.join("artifact"));
    spec.toolchains.push(tool.clone());
    let script = format!(
        "cat source; echo; cat /build/artifacts/app-1.0/app; echo; cat {tool}; echo\n\
         echo out > result; echo scratch > /tmp/x; id -u; hostname; ls -A /home /root /var /run /etc/shadow 2>/dev/null || true\n\
         for path in /build/artifacts/app-1.0/app /usr/x /etc/x /x /dev/x {tool}; do\n\
           (echo no > $path) 2>/dev/null && echo could write $path || true\n\
         done\n\
         cat {data} 2>/dev/null && echo could read || true\n\
         head -c 3000000 /dev/zero > /tmp/large 2>/dev/null && echo could fill || true\n\
         unshare -U true 2>/dev/null && echo could nest || true\n\
         grep -h -e NoNewPrivs -e CapEff -e CapBnd /proc/self/status; ls -d /proc/[0-9]* | wc -l",
        tool = tool.display(),
        data = data.display(),
    );
    let (report, lines) = run(&folder.job(&Sandbox::Bubblewrap(spec), &script)).await;
    assert!(report.ended.succeeded(), "{lines:?}");
    let expected = [
        "mine",
        "sealed",
        "a tool",
        "1000",
        "build",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ];
    assert_eq!(lines[..expected.len()], expected);
    // Its first process, its shell and those of the last line.
    assert!(lines[expected.len()].parse::<u32>().unwrap() <= 5, "{lines:?}");
    assert_eq!(std::fs::read_to_string(folder.0.join("tree/result")).unwrap(), "out\n");
}

#[tokio::test]
async fn t46_without_network_neither_metadata_nor_local_services_are_reached() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "timeout 5 bash -c '</dev/tcp/127.0.0.1/{port}' && echo local || true\n\
         timeout 5 bash -c '</dev/tcp/169.254.169.254/80' && echo metadata || true\n\
         cat /etc/resolv.conf && echo resolver || true\n\
         grep -c : /proc/net/dev"
    );
    let (_, lines) = run(&folder.job(&bubblewrap(), &script)).await;
    assert_eq!(lines.last().map(String::as_str), Some("1"), "only the loopback: {lines:?}");
    for reached in ["local", "metadata", "resolver"] {
        assert!(!lines.contains(&reached.to_owned()), "{lines:?}");
    }
    assert!(lines.iter().any(|line| line.contains("unreachable")), "{lines:?}");

    // The same with a network reaches it: the first half of the test is worth something.
    let Sandbox::Bubblewrap(mut spec) = bubblewrap() else { panic!("not a sandbox") };
    spec.network = Network::Host;
    let script = format!("timeout 5 bash -c '</dev/tcp/127.0.0.1/{port}' && echo local");
    let (_, lines) = run(&folder.job(&Sandbox::Bubblewrap(spec), &script)).await;
    assert_eq!(lines, ["local"]);
}
