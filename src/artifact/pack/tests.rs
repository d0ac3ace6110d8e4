//! Byte equality with GNU tar, and what packing refuses.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;
use crate::artifact::file::write_synced;
use crate::artifact::hashing::digest_of;
use crate::trouble::Kind;

const EPOCH_S: u64 = 1_700_000_000;
const LIMITS: Limits = Limits { max_files: 10_000, max_bytes: 64 * 1024 * 1024 };

fn put(path: &Path, bytes: &[u8], mode: u32) {
    write_synced(path, bytes, mode).unwrap();
}

/// What the documented command makes of a folder.
fn gnu_tar(folder: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--format=gnu", "-b1", "--sort=name", "--mtime=@1700000000", "--owner=0", "--group=0"])
        .args(["--numeric-owner", "--mode=u=rwX,go=rX", "--hard-dereference", "-cf", "-", "-C"])
        .arg(folder)
        .arg(".")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn our_tar(folder: &Path) -> (Vec<u8>, Tally) {
    let root = rustix::fs::open(folder, READ, Mode::empty()).unwrap();
    write_tar(Vec::new(), &root, EPOCH_S, LIMITS).unwrap()
}

/// Bytes that no compressor makes small, the same every time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// A folder with everything that has ever made two tars differ.
fn odd_folder(root: &Path) {
    std::fs::create_dir_all(root).unwrap();
    for (name, mode) in [
        ("a", 0o644),
        ("a-b", 0o600),
        ("a.b", 0o755),
        ("-x", 0o500),
        ("exec-for-others", 0o641),
        ("unreadable", 0o4400),
        ("setuid", 0o6755),
        ("with space", 0o666),
        ("new\nline", 0o644),
        ("tab\t\\back", 0o644),
        ("quote'\"", 0o644),
        ("ünï", 0o644),
        ("Z", 0o644),
        ("empty", 0o644),
        ("*", 0o777),
        ("~", 0o644),
    ] {
        put(&root.join(name), name.as_bytes(), mode);
    }
    put(&root.join("empty"), b"", 0o644);
    put(&root.join(OsStr::from_bytes(b"bad\xff\xfeutf8")), b"x", 0o644);
    for size in [511, 512, 513, 3 * 1024 * 1024 + 7] {
        put(&root.join(format!("size-{size}")), &noise(size), 0o644);
    }
    for (name, mode) in [("dir", 0o700), ("dir-b", 0o2775), ("dir.d", 0o1777), ("empty-dir", 0o755)] {
        std::fs::create_dir(root.join(name)).unwrap();
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    put(&root.join("dir/a"), b"in dir", 0o644);
    std::fs::hard_link(root.join("dir/a"), root.join("dir/hard")).unwrap();
    std::fs::hard_link(root.join("dir/a"), root.join("hard-at-root")).unwrap();
    symlink("dir/a", root.join("link")).unwrap();
    symlink("../a", root.join("dir/up")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    // Names and targets around the 100 bytes of a header, `./` included.
    for length in [97, 98, 99, 100, 101, 255] {
        put(&root.join("n".repeat(length)), b"long", 0o644);
        symlink("t".repeat(length), root.join(format!("to-{length}"))).unwrap();
    }
    symlink("u".repeat(150), root.join("m".repeat(150))).unwrap();
    let deep = root.join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    put(&deep.join("g".repeat(90)), b"deep", 0o755);
}

#[test]
fn a_tar_is_byte_for_byte_the_one_gnu_tar_makes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("odd");
    odd_folder(&root);
    let (ours, tally) = our_tar(&root);
    let theirs = gnu_tar(&root);
    let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(differs, None, "they differ in block {:?}", differs.map(|at| at / 512));
    assert_eq!(ours.len(), theirs.len());
    assert!(tally.files > 40);
}

/// GNU tar sees a changed header, whose sum it checks; the bytes of files have their digests.
#[test]
fn gnu_tar_lists_what_we_pack_and_not_what_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("a"), b"in a file", 0o644);
    let (good, _) = our_tar(dir.path());
    let lists = |bytes: &[u8]| {
        let listed = tempfile::NamedTempFile::new().unwrap();
        Write::write_all(&mut listed.as_file(), bytes).unwrap();
        Command::new("tar").arg("-tf").arg(listed.path()).output().unwrap().status.success()
    };
    assert!(lists(&good));
    // The name, the size and the sum itself of the second header, which is the file's.
    for at in [514, 512 + 130, 512 + 150] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(!lists(&bad), "a byte was changed at {at}");
    }
}

#[test]
fn an_empty_folder_is_the_one_gnu_tar_makes() {
    let dir = tempfile::tempdir().unwrap();
    assert!(our_tar(dir.path()).0 == gnu_tar(dir.path()));
}

#[test]
fn sealing_twice_gives_the_same_digests_and_times_and_owners_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    odd_folder(&dir.path().join("one"));
    odd_folder(&dir.path().join("two"));
    let file = File::open(dir.path().join("two/a")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let one = seal(&store, dir.path(), Path::new("one"), EPOCH_S, LIMITS).unwrap();
    let two = seal(&store, dir.path(), Path::new("two"), EPOCH_S, LIMITS).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.shape, Shape::Folder);
    assert_eq!(store.verify(&one.blob).unwrap(), one.size_bytes);
    let (tar, _) = digest_of(&mut &our_tar(&dir.path().join("one")).0[..]).unwrap();
    assert_eq!(one.tar, tar);
    let unpacked = zstd::decode_all(File::open(store.path(&one.blob)).unwrap()).unwrap();
    assert_eq!(digest_of(&mut &unpacked[..]).unwrap().0, one.tar);
    let later = seal(&store, dir.path(), Path::new("one"), EPOCH_S + 1, LIMITS).unwrap();
    assert_ne!(later.tar, one.tar);
}

#[test]
fn the_sealed_bytes_are_the_same_on_every_machine_and_with_every_version_of_the_crates() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    let root = dir.path().join("in");
    std::fs::create_dir(&root).unwrap();
    // Longer than two of the compressor's jobs, half of it compressible.
    let mut content = noise(5 * 1024 * 1024);
    content.extend(b"liftlock ".iter().cycle().take(5 * 1024 * 1024));
    put(&root.join("data"), &content, 0o644);
    let sealed = seal(&store, dir.path(), Path::new("in"), EPOCH_S, LIMITS).unwrap();
    assert_eq!(
        sealed.tar.as_str(),
        "sha256:5f73746205a524fb33512cd1dce0d9d3dd28e7d3eda06452ccc09eda3d994ec8"
    );
    assert_eq!(
        sealed.blob.as_str(),
        "sha256:f2e66e7ed469c548e4166e6038fc5fbd768eb1bc85ed00a94f8438af4b72f32a"
    );
}

#[test]
fn a_single_file_is_kept_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    let path = dir.path().join("program");
    put(&path, b"#!/bin/sh\n", 0o755);
    let sealed = seal(&store, dir.path(), Path::new("program"), EPOCH_S, LIMITS).unwrap();
    assert_eq!((sealed.files, sealed.size_bytes), (1, 10));
    assert_eq!(sealed.shape, Shape::File { executable: true });
    assert_eq!(sealed.tar, sealed.blob);
    assert_eq!(std::fs::read(store.path(&sealed.blob)).unwrap(), b"#!/bin/sh\n");
    let absent = seal(&store, dir.path(), Path::new("absent"), EPOCH_S, LIMITS).unwrap_err();
    assert_eq!(absent.kind(), Kind::NotFound);
    symlink(&path, dir.path().join("link")).unwrap();
    assert_eq!(
        seal(&store, dir.path(), Path::new("link"), EPOCH_S, LIMITS).unwrap_err().kind(),
        Kind::Refused
    );
}

/// Packs a folder that `make` filled and answers the refusal.
fn refusal(limits: Limits, make: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    let root = dir.path().join("in");
    std::fs::create_dir(&root).unwrap();
    make(&root);
    let error = seal(&store, dir.path(), Path::new("in"), EPOCH_S, limits).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", error.chain());
    let left: usize = ["tmp", "blobs/sha256"]
        .iter()
        .map(|name| std::fs::read_dir(store.root().join(name)).unwrap().count())
        .sum();
    assert_eq!(left, 0, "a refused folder leaves nothing in the store");
    error.to_string()
}

#[test]
fn t41_what_an_artifact_cannot_hold_is_refused_by_name() {
    let link = |target: &'static str| {
        refusal(LIMITS, move |root| {
            std::fs::create_dir(root.join("d")).unwrap();
            symlink(target, root.join("d/l")).unwrap();
        })
    };
    for target in ["/etc/passwd", "../../x", "x/../../..", "../d/../../x"] {
        let text = link(target);
        assert!(text.contains("`./d/l` points to") && text.contains("outside its folder"), "{text}");
    }
    let socket = refusal(LIMITS, |root| drop(UnixListener::bind(root.join("s")).unwrap()));
    assert!(socket.contains("`./s` is a socket"), "{socket}");
    let pipe = refusal(LIMITS, |root| {
        rustix::fs::mknodat(rustix::fs::CWD, root.join("p"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    });
    assert!(pipe.contains("`./p` is a pipe"), "{pipe}");
}

#[test]
fn t41_an_artifacts_path_leads_through_no_link_and_stays_in_the_workspace() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    let workspace = dir.path().join("workspace");
    std::fs::create_dir_all(workspace.join("a/b")).unwrap();
    std::fs::create_dir_all(dir.path().join("outside/b")).unwrap();
    put(&workspace.join("file"), b"x", 0o644);
    let sealed = |path: &str| seal(&store, &workspace, Path::new(path), EPOCH_S, LIMITS);
    for path in ["a/b", "./a", ".", "", "file"] {
        sealed(path).unwrap();
    }
    symlink("../outside", workspace.join("link")).unwrap();
    for path in ["link", "link/b", "../outside", "a/../../outside", "/etc", "file/x"] {
        assert_eq!(sealed(path).unwrap_err().kind(), Kind::Refused, "{path}");
    }
    assert_eq!(sealed("a/absent").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn t41_too_many_files_bytes_or_folders_are_refused() {
    let few = Limits { max_files: 3, max_bytes: 1000 };
    let files = refusal(few, |root| (0..4).for_each(|n| put(&root.join(format!("{n}")), b"", 0o644)));
    assert!(files.contains("more than 3 files"), "{files}");
    let bytes = refusal(few, |root| (0..2).for_each(|n| put(&root.join(format!("{n}")), &[0; 501], 0o644)));
    assert!(bytes.contains("more than 1000 bytes"), "{bytes}");
    let deep = refusal(LIMITS, |root| {
        std::fs::create_dir_all(root.join(vec!["d"; MAX_DEPTH + 1].join("/"))).unwrap();
    });
    assert!(deep.contains("folders deep"), "{deep}");
}

#[test]
fn t43_what_could_not_be_handed_out_is_not_sealed() {
    let limits = Limits { max_files: 10, max_bytes: 1 << 30 };
    let text = refusal(limits, |root| {
        File::create(root.join("zeros")).unwrap().set_len(80 * 1024 * 1024).unwrap();
    });
    assert!(text.contains("compress"), "{text}");
}
