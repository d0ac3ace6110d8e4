//! What a step must not reach, keep, leave behind or say.

use tokio::net::TcpListener;

use super::*;
use crate::runner::sandbox::command_line;

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
         echo out > result; echo scratch > /tmp/x; id -u; hostname\n\
         ls -A /home /root /var /run /etc/shadow 2>/dev/null || true\n\
         for path in /build/artifacts/app-1.0/app /usr/x /etc/x /x /dev/x {tool}; do\n\
           (echo no > $path) 2>/dev/null && echo could write $path || true\n\
         done\n\
         cat {data} 2>/dev/null && echo could read || true\n\
         head -c 3000000 /dev/zero > /tmp/large 2>/dev/null && echo could fill || true\n\
         unshare -U true 2>/dev/null && echo could nest || true\n\
         find /proc -maxdepth 3 -type f -writable -not -path '/proc/[0-9]*' \
           -not -path '/proc/self/*' -not -path '/proc/thread-self/*' -not -path '/proc/pressure/*' 2>/dev/null || true\n\
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
