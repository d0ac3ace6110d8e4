//! The commands of keys and those of a digest's page, typed as they stand, and what one flipped byte does to them.
#![expect(clippy::disallowed_methods, reason = "a test changes files of its own")]

use liftlock::domain::name::Digest;

use super::drive::{Keeper, until};
use super::evidence::{Reader, fetch, inside, manual, middle, sealed};
use super::rig::{Door, Seen, request};
use super::{one, yard};

/// What a reader gets who asks the server for keys.
fn served(door: &Door, path: &str) -> String {
    let (status, body) = request(door, "GET", path, &[], "").unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

/// The text of a page as a browser shows it.
fn shown(html: &str) -> String {
    let marks =
        [("&#39;", "'"), ("&#x27;", "'"), ("&quot;", "\""), ("&#34;", "\""), ("&gt;", ">"), ("&#62;", ">")];
    let more = [("&lt;", "<"), ("&#60;", "<"), ("&amp;", "&"), ("&#38;", "&")];
    marks.iter().chain(&more).fold(html.to_owned(), |text, (mark, plain)| text.replace(mark, plain))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_t58_the_commands_of_keys_and_of_a_digests_page_are_typed_as_they_stand() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let own = |command: &str| format!("export LIFTLOCK_CONFIG={}\n{command}", yard.config(&door).display());
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", door.address());
    let reader =
        |file: &str| Reader { folder: folder.path(), server: address.clone(), file: file.to_owned() };
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();

    // Before there is a server: the first keys, once.
    let keys = reader("");
    let (init, export, rotate) = (manual("keys init"), manual("keys export"), manual("keys rotate"));
    let first = keys.passes(&own(init));
    assert_eq!(keys.passes(&own(init)), first, "where there are keys, nothing happens");
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let signed = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "attested").count() == 3;
    until("all is signed", (&yard, &[&server]), &mut eyes, signed).await;
    let sums = sealed(&door, &server);
    let (digest, file) = sums.trim().split_once("  ").unwrap();

    // What is exported is what the server gives, and what it signed is good by that alone.
    keys.passes(&own(export));
    assert_eq!(text("keys.pem").trim(), first.trim());
    for (name, path) in [
        ("keys.pem", "/keys"),
        ("allowed_signers", "/keys/allowed_signers"),
        ("minisign.pub", "/keys/minisign.pub"),
    ] {
        assert_eq!(text(name).trim(), served(&door, path).trim(), "{name}");
    }
    let exported = ["keys.pem", "allowed_signers", "minisign.pub"].map(|name| (name, text(name)));
    let reader_of_file = reader(file);
    fetch(&reader_of_file);
    for (name, text) in &exported {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let (ours, ssh, minisign) =
        (manual("liftlock verify \"$FILE\""), manual("ssh-keygen"), manual("minisign -V"));
    for command in [ours, ssh, minisign] {
        reader_of_file.passes(command);
    }
    reader_of_file.notices("keys.pem", inside("BEGIN PUBLIC KEY-----\n", 80), ours);
    reader_of_file.notices("allowed_signers", middle, ssh);
    reader_of_file.notices("minisign.pub", middle, minisign);

    the_page_of(digest, file, (&door, &address));

    // New keys come in front, and what the old ones signed is still good by what is exported then.
    let rotated = keys.passes(&own(rotate));
    assert!(rotated.trim_end().ends_with(first.trim_end().rsplit("-----BEGIN").next().unwrap()), "{rotated}");
    keys.passes(&own(export));
    assert_eq!(text("keys.pem").trim(), rotated.trim());
    assert_eq!(text("keys.pem").matches("BEGIN PUBLIC KEY").count(), 4);
    assert_eq!(text("keys.pem").trim(), served(&door, "/keys").trim(), "a server that runs has them, too");
    reader_of_file.passes(ours);
    reader_of_file.notices(file, middle, ours);
    server.kill();
}

/// The commands that the page of the file's digest shows, in a folder with nothing in it.
fn the_page_of(digest: &str, file: &str, (door, address): (&Door, &str)) {
    let page = served(door, &format!("/digests/sha256:{digest}"));
    let block = page.split("aria-label=\"Commands\">").nth(1).unwrap().split("</pre>").next().unwrap();
    let commands = shown(block);
    assert_eq!(commands.lines().filter(|line| !line.is_empty()).count(), 4, "{commands}");
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: address.to_owned(), file: file.to_owned() };
    let said = reader.passes(&commands);
    assert!(said.contains(&Digest::of_hex(digest).unwrap().to_string()), "{said}");
    assert!(said.contains("of hello v0.1.0-rc.1, built by"), "{said}");
    let last = commands.lines().rfind(|line| !line.is_empty()).unwrap();
    reader.passes(last);
    reader.notices(file, middle, last);
    let statements = format!("{file}.intoto.jsonl");
    for what in ["\"payload\":\"", "\"sig\":\""] {
        reader.notices(&statements, inside(what, 20), last);
    }
    reader.notices("keys.pem", inside("BEGIN PUBLIC KEY-----\n", 80), last);
}
