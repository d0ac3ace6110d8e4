//! Real processes, plain and in bubblewrap.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::log::{LONGEST_LINE_BYTES, Log, LogLine};
use super::probe::Runner;
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
        root: None,
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

mod safety;

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
