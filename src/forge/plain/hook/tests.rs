//! The hook in real bare repositories, pushed to by the real `git`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use super::super::testing::{Bare, git, try_git};
use super::*;
use crate::trouble::Kind;

const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

/// A stand-in for this program.
fn program(bare: &Bare, script: &str) -> PathBuf {
    let path = bare.dir.path().join("it's liftlock");
    write_synced(&path, format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755).unwrap();
    path
}

fn installed(bare: &Bare, program: &Path) -> Outcome<Installed> {
    let demo = name("acme/demo");
    let secret_file = bare.dir.path().join("secret");
    let hook =
        Hook { program, server: "http://127.0.0.1:8080", secret_file: &secret_file, repository: &demo };
    install(&bare.path(), &hook)
}

#[test]
fn c02_a_push_runs_the_hook_with_what_moved() {
    let bare = Bare::new();
    let program =
        program(&bare, "folder=$(dirname \"$0\")\necho \"$@\" >\"$folder/words\"\ncat >\"$folder/stdin\"");
    assert!(matches!(installed(&bare, &program).unwrap(), Installed::Written(_)));
    let before = bare.head();
    let after = bare.commit("feat: more");
    git(&bare.clone(), &["tag", "v1"]);
    git(&bare.clone(), &["push", "-q", "origin", "main", "v1"]);
    let dir = bare.dir.path();
    let words = std::fs::read_to_string(dir.join("words")).unwrap();
    let secret = dir.join("secret");
    assert_eq!(
        words.trim_end(),
        format!(
            "hook run --server http://127.0.0.1:8080 --secret-file {} --repository acme/demo",
            secret.display()
        )
    );
    let stdin = std::fs::read_to_string(dir.join("stdin")).unwrap();
    let none = "0".repeat(40);
    assert_eq!(stdin, format!("{before} {after} refs/heads/main\n{none} {after} refs/tags/v1\n"));
    let told = deliveries(&stdin, &name("acme/demo"), Some("ana"));
    assert_eq!(told.len(), 2);
    assert_eq!(
        told,
        deliveries(&stdin, &name("acme/demo"), Some("ana")),
        "twice is a duplicate, not a double"
    );
    assert_ne!(told[0].guid, told[1].guid);
    assert!(told.iter().all(|d| d.event == "push" && d.guid.len() == 37));
    let other = deliveries(&stdin, &name("acme.demo"), Some("ana"));
    assert_ne!(told[0].guid, other[0].guid, "another repository's push is another delivery");
}

#[test]
fn what_is_no_branch_and_no_tag_is_not_told() {
    let line = format!("{} {} refs", "1".repeat(40), "2".repeat(40));
    let stdin = format!("{line}/notes/x\n{line}/liftlock/comments/1\nnonsense\n\n{line}/heads/a b\n");
    let told = deliveries(&stdin, &name("demo"), None);
    assert_eq!(told.len(), 1);
    assert!(told[0].body.contains("refs/heads/a b"), "{}", told[0].body);
}

#[test]
fn a_hook_is_installed_once_and_a_foreign_one_stays() {
    let bare = Bare::new();
    let one = program(&bare, "exit 0");
    let path = bare.path().join("hooks/post-receive");
    assert_eq!(installed(&bare, &one).unwrap(), Installed::Written(path.clone()));
    assert_eq!(installed(&bare, &one).unwrap(), Installed::Already(path.clone()));
    assert_eq!(installed(&bare, Path::new("/opt/liftlock")).unwrap(), Installed::Written(path.clone()));
    assert!(std::fs::read_to_string(&path).unwrap().contains("'/opt/liftlock' hook run"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);

    write_synced(&path, b"#!/bin/sh\necho mine\n", 0o755).unwrap();
    let refused = installed(&bare, Path::new("/opt/liftlock")).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.to_string().contains("'/opt/liftlock' hook run --server"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"#!/bin/sh\necho mine\n");

    git(&bare.path(), &["config", "core.hooksPath", "/srv/hooks"]);
    let refused = installed(&bare, Path::new("/opt/liftlock")).unwrap_err();
    assert!(refused.to_string().contains("/srv/hooks"), "{refused}");
}

#[test]
fn a_hook_that_could_not_work_is_not_installed() {
    let bare = Bare::new();
    let demo = name("demo");
    let good = Hook {
        program: Path::new("/opt/liftlock"),
        server: "https://lift.example.org/",
        secret_file: Path::new("/etc/secret"),
        repository: &demo,
    };
    let bad = [
        Hook { program: Path::new("liftlock"), ..good },
        Hook { secret_file: Path::new("/etc/a\nrm -rf x"), ..good },
        Hook { server: "http://lift.example.org", ..good },
        Hook { server: "ftp://localhost", ..good },
        Hook { server: "localhost:8080", ..good },
        Hook { server: "", ..good },
    ];
    for hook in bad {
        assert_eq!(install(&bare.path(), &hook).unwrap_err().kind(), Kind::Refused, "{hook:?}");
    }
    for server in ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80/", "https://a/"] {
        assert!(check_address(server).is_ok(), "{server}");
    }
    assert!(matches!(install(&bare.path(), &good).unwrap(), Installed::Written(_)));
}

#[test]
fn a_push_never_fails_because_of_the_hook() {
    let bare = Bare::new();
    let failing = program(&bare, "echo 'liftlock was not reached' >&2\nexit 7");
    for program in [failing.as_path(), Path::new("/no/such/liftlock")] {
        installed(&bare, program).unwrap();
        let commit = bare.commit("feat: more");
        let pushed = try_git(&bare.clone(), &["push", "origin", "main"]);
        let said = String::from_utf8(pushed.stderr).unwrap();
        assert!(pushed.status.success(), "{said}");
        assert!(said.contains("remote: liftlock was not "), "{said}");
        assert_eq!(git(&bare.path(), &["rev-parse", "main"]).trim(), commit.as_str());
    }
}

#[tokio::test]
async fn a_server_that_is_down_costs_the_pusher_one_line() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let told = deliveries(&format!("{0} {0} refs/heads/main", "1".repeat(40)), &name("demo"), None);
    let line = tell(&server, &Secret::new(SECRET), &told).await.unwrap();
    assert!(line.starts_with(&format!("liftlock was not reached at {server} (")), "{line}");
    assert!(line.ends_with("; it finds the push by itself when it is back"), "{line}");
    assert_eq!(line.lines().count(), 1);
    assert_eq!(tell(&server, &Secret::new(SECRET), &[]).await, None, "nothing to tell, nobody to reach");
}

/// A server that answers one request with this status line; gives what it was sent.
fn answering(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut sent = Vec::new();
        let mut part = [0; 4096];
        while !sent.ends_with(b"}") {
            let count = stream.read(&mut part).unwrap();
            sent.extend_from_slice(&part[..count]);
        }
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8(sent).unwrap()
    });
    (address, thread)
}

#[tokio::test]
async fn c02_t2_a_delivery_is_signed_so_that_the_door_takes_it() {
    let delivery = Delivery::push(&name("demo"), "refs/heads/main", (&"1".repeat(40), &"2".repeat(40)), None);
    let (server, thread) = answering("202 Accepted");
    post(&server, &Secret::new(SECRET), &delivery).await.unwrap();
    let sent = thread.join().unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, delivery.body);
    let header = |wanted: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    assert!(head.starts_with("POST /webhook/plain HTTP/1.1\r\n"), "{head}");
    assert_eq!(header("X-GitHub-Event"), ["push"]);
    assert_eq!(header("X-GitHub-Delivery"), [delivery.guid.as_str()]);
    let signature = header("X-Hub-Signature-256")[0].as_bytes();
    assert_eq!(signature::verify(&[SECRET.as_bytes()], &[signature], body.as_bytes()), Ok(()));
    assert!(!sent.contains(SECRET));
}

#[tokio::test]
async fn a_server_that_says_no_is_told_apart_from_one_that_is_down() {
    let delivery = Delivery::push(&name("demo"), "refs/heads/main", (&"1".repeat(40), &"2".repeat(40)), None);
    let cases = [
        ("401 Unauthorized", "did not take this push", "the server's webhook secret differ"),
        ("404 Not Found", "did not take this push", "404"),
        ("301 Moved Permanently", "did not take this push", "301"),
        ("503 Service Unavailable", "was not reached", "503"),
        ("429 Too Many Requests", "was not reached", "429"),
    ];
    for (status, what, why) in cases {
        let (server, thread) = answering(status);
        let line = tell(&server, &Secret::new(SECRET), std::slice::from_ref(&delivery)).await.unwrap();
        thread.join().unwrap();
        assert!(line.contains(what) && line.contains(why), "{status}: {line}");
    }
    let refused = post("http://127.0.0.1:1", &Secret::new(""), &delivery).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused, "an empty secret signs nothing");
}
