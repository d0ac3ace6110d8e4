//! Which addresses are fetched, and who sees the credential.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use super::super::testing::{Sample, oid};
use super::*;
use crate::trouble::Kind;

const TOKEN: &str = "ghs_canary0123456789";
const DEADLINE: Span = Span::minutes(1);

fn branch(name: &str) -> RefName {
    name.parse().unwrap()
}

fn mirror(dir: &tempfile::TempDir) -> Mirror {
    Mirror::open_or_init(&dir.path().join("mirror.git")).unwrap()
}

fn main_only(branches: &[RefName]) -> Wanted<'_> {
    Wanted { branches: Branches::Named(branches), commit: None }
}

#[test]
fn t38_addresses_that_are_not_plain_https_are_refused() {
    for url in [
        "ext::sh -c touch% /tmp/x",
        "-u./evil",
        "--upload-pack=touch /tmp/x",
        "ssh://-oProxyCommand=evil/x",
        "git@github.com:acme/web.git",
        "file:///etc",
        "/etc",
        "../x",
        "git://github.com/acme/web",
        "http://github.com/acme/web",
        "HTTPS://github.com/acme/web",
        "fd::17/x",
        "https::https://github.com/acme/web",
        "https://token@github.com/acme/web",
        "https://github.com:80:80/acme/web",
        "https://github.com:x/acme/web",
        "https://-oProxyCommand/acme/web",
        "https://github.com/acme/web with space",
        "https://github.com/acme/web\nhttps://evil",
        "https://github.com/acme/../../x",
        "https://github.com/acme/-x",
        "https://github.com/acme/web?x=y",
        "https://github.com/acme%2fweb",
        "https://github.com",
        "https:///acme/web",
        "",
    ] {
        let error = Remote::hosted(url).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{url}");
    }
    for url in ["https://github.com/acme/web", "https://git.example.org:8443/a/.github.git"] {
        assert_eq!(Remote::hosted(url).unwrap().url, url);
    }
    for url in [
        "http://github.com/a/b",
        "http://127.0.0.1.evil.org/a",
        "https://127.0.0.1/a",
        "http://localhost@evil/a",
    ] {
        assert!(Remote::loopback(url).is_err(), "{url}");
    }
    assert!(Remote::loopback("http://127.0.0.1:8080/a/b.git").is_ok());
    for path in ["relative", "-x", "", "ext::x", "/a\nb"] {
        assert!(Remote::local(Path::new(path)).is_err(), "{path}");
    }
}

#[test]
fn a_fetch_brings_branches_tags_and_a_commit_and_forgets_what_is_gone() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let two = sample.commit(&[&one], &["a=2"]);
    let pull = sample.commit(&[&one], &["a=3"]);
    sample.set("refs/heads/main", &one);
    sample.set("refs/heads/other", &two);
    sample.set("refs/pull/1/head", &pull);
    sample.set("refs/tags/v1", &one);
    let dir = tempfile::tempdir().unwrap();
    let mirror = mirror(&dir);
    let remote = Remote::local(&sample.path()).unwrap();
    let main = [branch("main")];
    mirror.fetch(&remote, main_only(&main), DEADLINE).unwrap();
    assert_eq!(mirror.head_of(&main[0]).unwrap(), Some(one.clone()));
    assert_eq!(mirror.head_of(&branch("other")).unwrap(), None);
    assert!(!mirror.exists(&two));
    assert_eq!(mirror.tags().unwrap().len(), 1);

    // A moved branch, a moved tag, a new tag and the head of a pull request.
    sample.set("refs/heads/main", &two);
    sample.set("refs/tags/v1", &two);
    sample.set("refs/tags/v2", &two);
    let wanted = Wanted { branches: Branches::Named(&main), commit: Some(&pull) };
    for _ in 0..2 {
        mirror.fetch(&remote, wanted, DEADLINE).unwrap();
        assert!(mirror.exists(&pull));
    }
    assert_eq!(mirror.head_of(&main[0]).unwrap(), Some(two.clone()));
    let tags = mirror.tags().unwrap();
    assert_eq!(
        tags.iter().map(|t| (t.name.as_str(), &t.commit)).collect::<Vec<_>>(),
        [("v1", &two), ("v2", &two)]
    );

    // A rewritten branch and a deleted tag; the pull request's commit stays.
    sample.set("refs/heads/main", &pull);
    sample.repo.tag_delete("v2").unwrap();
    mirror.fetch(&remote, main_only(&main), DEADLINE).unwrap();
    assert_eq!(mirror.head_of(&main[0]).unwrap(), Some(pull.clone()));
    assert_eq!(mirror.tags().unwrap().len(), 1);
    assert!(mirror.repo.find_reference(&format!("refs/liftlock/commits/{pull}")).is_ok());
    assert!(mirror.repo.find_commit(oid(&two)).is_ok(), "an old release's commit is not dropped");
    assert!(!mirror.path().join("FETCH_HEAD").exists());
}

#[test]
fn t57_a_mirror_that_has_lost_files_is_fetched_anew_and_stays_while_nobody_answers() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    sample.set("refs/heads/main", &one);
    sample.set("refs/heads/other", &one);
    let dir = tempfile::tempdir().unwrap();
    let (broken, main) = (mirror(&dir), [branch("main")]);
    let remote = Remote::local(&sample.path()).unwrap();
    broken.fetch(&remote, main_only(&main), DEADLINE).unwrap();
    assert!(!broken.has_lost_files());
    // As a power cut leaves them: named, and without their bytes.
    let (first, rest) = one.as_str().split_at(2);
    let object = broken.path().join("objects").join(first).join(rest);
    std::fs::remove_file(&object).unwrap();
    File::create(&object).unwrap();
    assert!(broken.has_lost_files() && Mirror::open(broken.path()).unwrap().commit_info(&one).is_err());

    let nobody = Remote::local(&dir.path().join("nobody.git")).unwrap();
    broken.replace(&nobody, DEADLINE).unwrap_err();
    assert!(broken.has_lost_files(), "it stays until there is another one");
    broken.replace(&remote, DEADLINE).unwrap();
    let whole = Mirror::open(broken.path()).unwrap();
    assert!(!whole.has_lost_files() && whole.commit_info(&one).is_ok());
    assert_eq!(whole.head_of(&branch("other")).unwrap(), Some(one.clone()));
    // The same of a branch, which git would never fetch again either.
    let tip = whole.path().join("refs/heads/main");
    std::fs::remove_file(&tip).unwrap();
    File::create(&tip).unwrap();
    whole.fetch(&remote, main_only(&main), DEADLINE).unwrap_err();
    assert!(whole.has_lost_files());
    whole.replace(&remote, DEADLINE).unwrap();
    assert_eq!(Mirror::open(whole.path()).unwrap().head_of(&main[0]).unwrap(), Some(one));
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "it, and the lock of whoever puts another one there");
}

#[test]
fn what_is_not_there_is_not_found() {
    let sample = Sample::new();
    sample.set("refs/heads/main", &sample.commit(&[], &["a=1"]));
    let dir = tempfile::tempdir().unwrap();
    let mirror = mirror(&dir);
    let absent = [branch("absent")];
    let error =
        mirror.fetch(&Remote::local(&sample.path()).unwrap(), main_only(&absent), DEADLINE).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{}", error.chain());
    let nowhere = Remote::local(&dir.path().join("nowhere")).unwrap();
    let error = mirror.fetch(&nowhere, main_only(&[]), DEADLINE).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{}", error.chain());
}

#[test]
fn hooks_of_the_mirror_do_not_run() {
    let sample = Sample::new();
    sample.set("refs/heads/main", &sample.commit(&[], &["a=1"]));
    let dir = tempfile::tempdir().unwrap();
    let mirror = mirror(&dir);
    let hooks = mirror.path().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let proof = dir.path().join("proof");
    for name in ["reference-transaction", "post-update", "pre-auto-gc"] {
        let script = format!("#!/bin/sh\ntouch '{}'\n", proof.display());
        let mut file = File::create(hooks.join(name)).unwrap();
        file.write_all(script.as_bytes()).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    mirror.fetch(&Remote::local(&sample.path()).unwrap(), main_only(&[branch("main")]), DEADLINE).unwrap();
    assert!(!proof.exists());
}

/// Reads the head of one request.
fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A server on this machine that gives every request the same answer, until the test is over.
fn server(answer: String) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = request(&mut stream);
            if sender.send(head).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
    });
    (port, receiver)
}

fn with_token(port: u16) -> Remote {
    let credential = Credential::basic("x-access-token", TOKEN).unwrap();
    Remote::loopback(&format!("http://127.0.0.1:{port}/acme/web.git")).unwrap().with_credential(credential)
}

#[test]
fn t40_a_redirect_is_not_followed_and_the_other_host_never_sees_the_token() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let target = other.local_addr().unwrap();
    for (code, host) in [(301, "127.0.0.1"), (302, "localhost"), (307, "127.0.0.1"), (308, "localhost")] {
        let (port, seen) = server(format!(
            "HTTP/1.1 {code} Moved\r\nLocation: http://{host}:{}/acme/web.git/info/refs?service=git-upload-pack\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            target.port()
        ));
        let dir = tempfile::tempdir().unwrap();
        let error = mirror(&dir).fetch(&with_token(port), main_only(&[]), DEADLINE).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{}", error.chain());
        assert!(seen.recv().unwrap().contains("Authorization: Basic "), "our own host is sent the token");
        assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
    }
}

#[test]
fn t40_the_credential_is_bound_to_scheme_host_and_port() {
    let settings = with_token(8080).settings();
    let bound: Vec<_> = settings.iter().filter(|(_, value)| value.contains("Basic")).collect();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0].0, "http.http://127.0.0.1:8080/.extraHeader");
    assert!(Credential::basic("u", "a\r\nX-Evil: 1").is_err());
    assert!(Credential::basic("u", "").is_err());
}

#[test]
fn a_refused_credential_is_refused_and_appears_nowhere() {
    let basic = STANDARD.encode(format!("x-access-token:{TOKEN}"));
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{TOKEN} {basic}",
        TOKEN.len() + 1 + basic.len()
    );
    let (port, _seen) = server(answer);
    let dir = tempfile::tempdir().unwrap();
    let remote = with_token(port);
    let error = mirror(&dir).fetch(&remote, main_only(&[]), DEADLINE).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", error.chain());
    for text in [error.chain(), format!("{error:?}"), format!("{remote:?}")] {
        assert!(!text.contains(TOKEN) && !text.contains(&basic), "{text}");
    }
    let complaint = format!("remote: {TOKEN}\nremote: \u{1b}[31m{basic}\n");
    let text = complained(&remote, complaint.as_bytes()).chain();
    assert!(text.contains("remote: *** remote:  [31m***"), "{text}");
}

#[test]
fn a_server_that_never_answers_meets_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    // On a busy machine the program may be killed before it has connected; then it is given longer.
    let mut connected = None;
    for wait in [Span::millis(300), Span::seconds(3), Span::seconds(30)] {
        let error = mirror(&dir).fetch(&with_token(port), main_only(&[]), wait).unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), format!("`git` took longer than {wait}"));
        connected = listener.accept().ok();
        if connected.is_some() {
            break;
        }
    }
    // The helper that held the connection was killed with the program, so its end of the pipe is closed.
    let (mut stream, _) = connected.unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).unwrap_or_default();
    assert!(sent.is_empty() || sent.starts_with(b"GET /acme/web.git"));
}
