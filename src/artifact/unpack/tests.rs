//! Hostile archives, and what is handed out.

use std::os::unix::fs::symlink;

use super::*;
use crate::artifact::file::write_synced;
use crate::artifact::pack::{seal, write_tar};
use crate::trouble::Kind;

const LIMITS: Limits = Limits { max_files: 100, max_bytes: 1024 * 1024 };
const EPOCH_S: i64 = 1_700_000_000;

fn place_for_tests() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("oci")).unwrap();
    (dir, store)
}

fn folder_at<'a>(blob: &'a Digest, to: &'a Path) -> HandOut<'a> {
    HandOut { blob, shape: Shape::Folder, to, access: Access::ReadOnly, mtime_s: EPOCH_S, limits: LIMITS }
}

#[test]
fn what_was_sealed_is_handed_out_the_same_and_read_only() {
    let (dir, store) = place_for_tests();
    let root = dir.path().join("in");
    let long = root.join("n".repeat(200)).join("m".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    write_synced(&root.join("run"), b"#!/bin/sh\n", 0o700).unwrap();
    write_synced(&long.join("data"), &vec![7; 100_000], 0o600).unwrap();
    symlink("../../run", long.join("link")).unwrap();
    let sealed = seal(&store, dir.path(), Path::new("in"), 1_700_000_000, LIMITS).unwrap();
    let out = dir.path().join("out");
    let tally = hand_out(&store, folder_at(&sealed.blob, &out)).unwrap();
    assert_eq!(tally, Tally { files: 5, bytes: 100_010 });
    let tar = |path: &Path| {
        let fd = rustix::fs::open(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        write_tar(Vec::new(), &fd, 1_700_000_000, LIMITS).unwrap().0
    };
    assert!(tar(&root) == tar(&out), "packing it again gives the same bytes");
    let mode = |name: &str| std::fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("run")), (0o555, 0o555));
    let Unusable::Trouble(twice) = hand_out(&store, folder_at(&sealed.blob, &out)).unwrap_err() else {
        panic!("the folder is there");
    };
    assert_eq!(twice.kind(), Kind::Conflict);
    assert!(out.join("run").exists(), "what was there stays");
    crate::folder::remove(&out).unwrap();
}

#[test]
fn a_single_file_is_handed_out_with_its_execute_bit() {
    let (dir, store) = place_for_tests();
    let blob = store.put(b"#!/bin/sh\n").unwrap();
    for (name, executable, mode) in [("run", true, 0o555), ("text", false, 0o444)] {
        let to = dir.path().join(name);
        let what = HandOut { shape: Shape::File { executable }, ..folder_at(&blob, &to) };
        assert_eq!(hand_out(&store, what).unwrap(), Tally { files: 1, bytes: 10 });
        let meta = std::fs::metadata(&to).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode);
        assert_eq!(std::os::unix::fs::MetadataExt::mtime(&meta), EPOCH_S);
        assert!(hand_out(&store, what).is_err(), "it never overwrites");
    }
}

#[test]
fn t44_a_flipped_byte_is_found_before_anything_is_laid_out() {
    let (dir, store) = place_for_tests();
    let root = dir.path().join("in");
    std::fs::create_dir(&root).unwrap();
    write_synced(&root.join("a"), b"content", 0o644).unwrap();
    let sealed = seal(&store, dir.path(), Path::new("in"), 0, LIMITS).unwrap();
    let mut bytes = std::fs::read(store.path(&sealed.blob)).unwrap();
    bytes[20] ^= 1;
    write_synced(&store.path(&sealed.blob), &bytes, 0o444).unwrap();
    let out = dir.path().join("out");
    let error = hand_out(&store, folder_at(&sealed.blob, &out)).unwrap_err();
    assert!(matches!(&error, Unusable::Mismatch { .. }), "{error}");
    assert!(error.to_string().starts_with("digest mismatch"), "{error}");
    assert!(!out.exists());
    let trouble: Trouble = error.into();
    assert_eq!(trouble.kind(), Kind::Refused);
}

/// A raw archive entry, as an attacker writes it.
fn entry(kind: u8, name: &[u8], target: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o6777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len().try_into().unwrap());
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Hands out an archive of these entries and answers the refusal.
fn refusal(entries: &[Vec<u8>]) -> String {
    let (dir, store) = place_for_tests();
    let mut tar = entries.concat();
    tar.resize(tar.len() + 1024, 0);
    let blob = store.put(&zstd::encode_all(&tar[..], 3).unwrap()).unwrap();
    let out = dir.path().join("out");
    let trouble: Trouble = hand_out(&store, folder_at(&blob, &out)).unwrap_err().into();
    assert_eq!(trouble.kind(), Kind::Refused, "{}", trouble.chain());
    assert!(!out.exists(), "nothing is left of a refused archive");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written beside it");
    trouble.chain()
}

#[test]
fn t43_hostile_archives_are_refused() {
    let file = |name: &[u8]| entry(b'0', name, b"", b"x");
    let link = |name: &[u8], target: &[u8]| entry(b'2', name, target, b"");
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![file(b"/etc/evil")], "not a path inside"),
        (vec![file(b"./../evil")], "not a path inside"),
        (vec![file(b"./a/../../evil")], "not a path inside"),
        (vec![file(b"evil")], "not a path inside"),
        (vec![link(b"./l", b"/etc")], "outside its folder"),
        (vec![link(b"./l", b"..")], "outside its folder"),
        (vec![link(b"./l", b"."), file(b"./l/evil")], "through something that is not a folder"),
        (vec![entry(b'1', b"./h", b"./x", b"")], "type '1'"),
        (vec![entry(b'3', b"./char", b"", b"")], "type '3'"),
        (vec![entry(b'4', b"./block", b"", b"")], "type '4'"),
        (vec![entry(b'6', b"./pipe", b"", b"")], "type '6'"),
        (vec![entry(b'x', b"./pax", b"", b"18 path=/etc/evil\n")], "type 'x'"),
        (vec![entry(b'S', b"./sparse", b"", b"")], "type 'S'"),
        (vec![file(b"./a"), file(b"./a")], "there twice"),
        (vec![link(b"./a", b"b"), file(b"./a")], "there twice"),
        (vec![entry(b'L', b"././@LongLink", b"", &[b'n'; 5000])], "a name of 5000 bytes"),
        (vec![entry(b'L', b"././@LongLink", b"", b"./../evil\0"), file(b"./a")], "not a path inside"),
        (vec![entry(b'0', b"./big", b"", &vec![1; 1024 * 1024 + 1])], "more than 1048576 bytes"),
        ((0..101).map(|n| file(format!("./{n}").as_bytes())).collect(), "more than 100 files"),
        (vec![file(b"./a"), vec![0; 2048]], "does not end where"),
        (vec![file(b"./a"), vec![0; 1024], file(b"./b")], "does not end where"),
    ];
    for (entries, wanted) in cases {
        let text = refusal(&entries);
        assert!(text.contains(wanted), "wanted `{wanted}`: {text}");
    }
}

#[test]
fn t43_set_user_bits_are_never_set() {
    let (dir, store) = place_for_tests();
    let mut tar = entry(b'0', b"./a", b"", b"x");
    tar.resize(tar.len() + 1024, 0);
    let blob = store.put(&zstd::encode_all(&tar[..], 3).unwrap()).unwrap();
    let out = dir.path().join("out");
    hand_out(&store, folder_at(&blob, &out)).unwrap();
    assert_eq!(std::fs::metadata(out.join("a")).unwrap().permissions().mode() & 0o7777, 0o555);
}

#[test]
fn t43_a_bomb_ends_early() {
    let (dir, store) = place_for_tests();
    let content = vec![0; 65 * 1024 * 1024];
    let mut tar = entry(b'5', b"./a/", b"", &content);
    tar.resize(tar.len() + 1024, 0);
    let blob = store.put(&zstd::encode_all(&tar[..], 3).unwrap()).unwrap();
    let out = dir.path().join("out");
    let trouble: Trouble = hand_out(&store, folder_at(&blob, &out)).unwrap_err().into();
    assert!(trouble.chain().contains("too many times its size"), "{}", trouble.chain());
    assert!(!out.exists());
}
