//! Changed paths and exports over real repositories.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::super::testing::{START_S, Sample};
use super::*;
use crate::trouble::Kind;

const LIMITS: Limits = Limits { max_files: 250, max_bytes: 10_000 };

fn paths(changed: Changed) -> Vec<String> {
    match changed {
        Changed::Paths(paths) => paths.into_iter().collect(),
        Changed::TooMany => panic!("too many"),
    }
}

#[test]
fn b07_changed_paths_hold_both_sides_of_a_rename_and_nothing_else() {
    let sample = Sample::new();
    let long = "a line that is long enough to be recognised as the same file\n".repeat(20);
    let (web, studio) = (format!("web/app.rs={long}"), format!("studio/app.rs={long}"));
    let one = sample.commit(&[], &["README=1", &web, "studio/x=1", "gone=1", "run=1"]);
    let only_studio = sample.commit(&[&one], &["README=1", &web, "studio/x=2", "gone=1", "run=1"]);
    let renamed = sample.commit(&[&one], &["README=1", &studio, "studio/x=1", "gone=1", "run=1"]);
    let deleted = sample.commit(&[&one], &["README=1", &web, "studio/x=1", "run=1"]);
    let mode = sample.commit(&[&one], &["README=1", &web, "studio/x=1", "gone=1", "run*=1"]);
    let linked = sample.commit(&[&one], &["README=1", &web, "studio/x=1", "gone=1", "run@=1"]);
    let folder = sample.commit(&[&one], &["README=1", &web, "studio/x=1", "gone=1", "run/x=1"]);
    let mirror = sample.mirror();
    let changed = |old, new| paths(mirror.changed_paths(old, new, 10).unwrap());
    assert_eq!(changed(Some(&one), &only_studio), ["studio/x"]);
    assert_eq!(changed(Some(&one), &renamed), ["studio/app.rs", "web/app.rs"]);
    assert_eq!(changed(Some(&one), &deleted), ["gone"]);
    assert_eq!(changed(Some(&one), &mode), ["run"]);
    assert_eq!(changed(Some(&one), &linked), ["run"]);
    assert_eq!(changed(Some(&one), &folder), ["run", "run/x"]);
    assert_eq!(changed(Some(&one), &one), Vec::<String>::new());
    assert_eq!(changed(None, &one), ["README", "gone", "run", "studio/x", "web/app.rs"]);
    assert_eq!(mirror.changed_paths(None, &one, 4).unwrap(), Changed::TooMany);
    let absent = "1".repeat(40).parse().unwrap();
    assert_eq!(mirror.changed_paths(Some(&absent), &one, 4).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn files_are_read_at_a_commit_within_limits() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["d/f=content", "link@=d/f", "a=1"]);
    let mirror = sample.mirror();
    assert_eq!(mirror.read_file(&one, "d/f", 7).unwrap().unwrap(), b"content");
    assert_eq!(mirror.read_file(&one, "d/absent", 7).unwrap(), None);
    assert_eq!(mirror.read_file(&one, "a/b", 7).unwrap(), None);
    let refused = |path: &str, max| mirror.read_file(&one, path, max).unwrap_err();
    assert!(refused("d/f", 6).to_string().contains("has 7 bytes, more than 6"));
    for path in ["d", "link", "", "/d/f", "../x", "d/../a", "d//f"] {
        assert_eq!(refused(path, 100).kind(), Kind::Refused, "{path}");
    }
    assert_eq!(mirror.list_files(&one, 4).unwrap(), ["a", "d/f", "link"]);
    assert!(mirror.list_files(&one, 3).unwrap_err().to_string().contains("more than 3 files"));
}

#[test]
fn a_tree_is_laid_out_with_modes_links_and_the_commits_time() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1", "d/run*=#!/bin/sh", "d/up@=../a", ".github/x=1", ".gitignore=*"]);
    let to = sample.dir.path().join("out");
    let tally = sample.mirror().export_tree(&one, &to, LIMITS).unwrap();
    assert_eq!(tally, Tally { files: 7, bytes: 12 });
    let meta = |name: &str| std::fs::metadata(to.join(name)).unwrap();
    assert_eq!(meta("a").permissions().mode() & 0o7777, 0o644);
    assert_eq!(meta("d/run").permissions().mode() & 0o7777, 0o755);
    assert_eq!((meta("a").mtime(), meta("d").mtime()), (START_S, START_S));
    assert_eq!(std::fs::read_link(to.join("d/up")).unwrap(), Path::new("../a"));
    assert!(!to.join(".git").exists());
}

#[test]
fn a_submodule_is_an_empty_folder() {
    let sample = Sample::new();
    let blob = sample.repo.blob(b"1").unwrap();
    let tree = sample.raw_tree(&[("160000", b"module", blob)]);
    let one = sample.commit_tree(&[], tree);
    let to = sample.dir.path().join("out");
    sample.mirror().export_tree(&one, &to, LIMITS).unwrap();
    assert_eq!(std::fs::read_dir(to.join("module")).unwrap().count(), 0);
}

#[test]
fn t41_hostile_trees_are_refused_and_leave_nothing() {
    let sample = Sample::new();
    let blob = sample.repo.blob(b"x").unwrap();
    let target = |text: &str| sample.repo.blob(text.as_bytes()).unwrap();
    let folder = sample.raw_tree(&[("100644", b"config", blob)]);
    let big = sample.repo.blob(&[b'x'; 10_001]).unwrap();
    let many: Vec<_> = (0..251).map(|n| format!("{n:03}")).collect();
    let many: Vec<_> = many.iter().map(|n| ("100644", n.as_bytes(), blob)).collect();
    let mut deep = folder;
    for _ in 0..=MAX_DEPTH {
        deep = sample.raw_tree(&[("40000", b"d", deep)]);
    }
    let loose_link = sample.raw_tree(&[("100644", b"evil", blob)]);
    let cases: Vec<(Oid, &str)> = vec![
        (sample.raw_tree(&[("40000", b".git", folder)]), "git's own folder"),
        (sample.raw_tree(&[("40000", b".GIT", folder)]), "git's own folder"),
        (sample.raw_tree(&[("100644", b"GIT~1", blob)]), "git's own folder"),
        (sample.raw_tree(&[("40000", b".git . ", folder)]), "git's own folder"),
        (sample.raw_tree(&[("40000", b".git::$INDEX_ALLOCATION", folder)]), "git's own folder"),
        (sample.raw_tree(&[("40000", ".g\u{200c}it".as_bytes(), folder)]), "git's own folder"),
        (sample.raw_tree(&[("40000", b"..", folder)]), "not a path inside"),
        (sample.raw_tree(&[("40000", b".", folder)]), "not a path inside"),
        (sample.raw_tree(&[("100644", b"a/b", blob)]), "not a name"),
        (sample.raw_tree(&[("100644", b"../evil", blob)]), "not a name"),
        (sample.raw_tree(&[("120000", b"l", target("/etc/passwd"))]), "outside its folder"),
        (sample.raw_tree(&[("120000", b"l", target("../x"))]), "outside its folder"),
        (sample.raw_tree(&[("120000", b"l", target(".")), ("40000", b"l", loose_link)]), "there twice"),
        (sample.raw_tree(&[("100644", b"a", blob), ("100644", b"a", blob)]), "there twice"),
        (sample.raw_tree(&[("100644", b"big", big)]), "10001 bytes"),
        (sample.raw_tree(&many), "more than 250 files"),
        (deep, "folders deep"),
    ];
    let mirror = sample.mirror();
    let to = sample.dir.path().join("out");
    for (tree, wanted) in cases {
        let commit = sample.commit_tree(&[], tree);
        let error = mirror.export_tree(&commit, &to, LIMITS).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{}", error.chain());
        assert!(error.chain().contains(wanted), "wanted `{wanted}`: {}", error.chain());
        assert!(!to.exists());
        assert_eq!(std::fs::read_dir(sample.dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn t41_a_small_tree_that_unfolds_without_end_is_left_early() {
    let sample = Sample::new();
    let old = sample.commit(&[], &["a=1"]);
    for leaf in [sample.raw_tree(&[]), sample.raw_tree(&[("100644", b"f", sample.repo.blob(b"x").unwrap())])]
    {
        let mut bomb = leaf;
        for _ in 0..20 {
            let names: Vec<[u8; 1]> = (b'a'..=b'j').map(|n| [n]).collect();
            let entries: Vec<_> = names.iter().map(|n| ("40000", &n[..], bomb)).collect();
            bomb = sample.raw_tree(&entries);
        }
        let new = sample.commit_tree(&[&old], bomb);
        let mirror = sample.mirror();
        assert_eq!(mirror.changed_paths(Some(&old), &new, 100).unwrap(), Changed::TooMany);
        assert_eq!(mirror.changed_paths(None, &new, 100).unwrap(), Changed::TooMany);
        assert_eq!(mirror.list_files(&new, 100).unwrap_err().kind(), Kind::Refused);
        let to = sample.dir.path().join("out");
        assert_eq!(mirror.export_tree(&new, &to, LIMITS).unwrap_err().kind(), Kind::Refused);
        assert!(!to.exists());
    }
}
