//! Tags, ancestry and order over real repositories.

use git2::Signature;

use super::super::testing::{START_S, Sample, oid};
use super::*;

fn branch(name: &str) -> RefName {
    name.parse().unwrap()
}

#[test]
fn a_mirror_is_made_once_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b.git");
    assert_eq!(Mirror::open(&path).unwrap_err().kind(), Kind::NotFound);
    let made = Mirror::open_or_init(&path).unwrap();
    assert_eq!(made.head_of(&branch("main")).unwrap(), None);
    let hooks = std::fs::read_dir(path.join("hooks")).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(hooks.collect::<Vec<_>>(), ["README.sample"], "no template's hooks come in");
    std::fs::create_dir(path.join("marker")).unwrap();
    assert_eq!(Mirror::open_or_init(&path).unwrap().path(), path);
    assert!(path.join("marker").exists());
    // A power cut may leave names without what was to be in them.
    for (no, name) in ["HEAD", "config"].into_iter().enumerate() {
        File::create(path.join("kept")).unwrap();
        let lost = File::create(path.join(name)).unwrap();
        assert_eq!(lost.metadata().unwrap().len(), 0);
        if no == 1 {
            std::fs::remove_file(path.join(name)).unwrap();
        }
        assert_eq!(Mirror::open_or_init(&path).unwrap().tags().unwrap(), []);
        assert!(!path.join("kept").exists(), "it is another one");
    }
}

#[test]
fn history_is_compared_and_listed() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let two = sample.commit(&[&one], &["a=2"]);
    let side = sample.commit(&[&one], &["b=1"]);
    let merge = sample.commit(&[&two, &side], &["a=2", "b=1"]);
    let alone = sample.commit(&[], &["x=1"]);
    let mirror = sample.mirror();
    let order = |a, b| mirror.order(a, b).unwrap();
    assert_eq!(order(&one, &one), Order::Same);
    assert_eq!(order(&one, &merge), Order::Before);
    assert_eq!(order(&merge, &side), Order::After);
    assert_eq!(order(&two, &side), Order::Apart);
    assert_eq!(order(&alone, &merge), Order::Apart);

    let shas = |base, head, max| -> Vec<CommitSha> {
        mirror.commits_between(base, head, max).unwrap().into_iter().map(|c| c.sha).collect()
    };
    assert_eq!(shas(Some(&one), &merge, 10), [merge.clone(), side.clone(), two.clone()]);
    assert_eq!(shas(Some(&two), &merge, 10), [merge.clone(), side.clone()]);
    assert_eq!(shas(None, &merge, 10).last(), Some(&one));
    assert_eq!(shas(None, &merge, 2).len(), 2);
    assert_eq!(shas(Some(&merge), &merge, 10), []);

    let info = mirror.commit_info(&merge).unwrap();
    assert_eq!(info.subject, "feat: step 3");
    assert_eq!((info.author_name.as_str(), info.author_email.as_str()), ("Ana", "ana@example.org"));
    assert_eq!(info.committed_at, Timestamp((START_S + 180) * 1000));
    assert_eq!(info.parents, [two, side]);
    assert_eq!(mirror.full_commit_message(&merge).unwrap(), "feat: step 3\n\nWhy it was made.\n");
}

#[test]
fn t21_a_commit_is_found_by_its_full_id_and_a_ref_of_that_name_means_nothing() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let two = sample.commit(&[&one], &["a=2"]);
    sample.set("refs/heads/main", &one);
    sample.set(&format!("refs/tags/{}", one.short()), &two);
    sample.set(&format!("refs/tags/{one}"), &two);
    sample.set(&format!("refs/heads/{}", "0".repeat(40)), &two);
    let mirror = sample.mirror();
    assert!(one.short().parse::<CommitSha>().is_err());
    assert_eq!(mirror.head_of(&branch(one.short())).unwrap(), None, "a tag is no branch");
    assert_eq!(mirror.commit_info(&one).unwrap().parents, [], "the commit, not what the tag names");
    let zeros: CommitSha = "0".repeat(40).parse().unwrap();
    let long: CommitSha = "0".repeat(64).parse().unwrap();
    let padded: CommitSha = format!("{}{}", one.short(), "0".repeat(33)).parse().unwrap();
    for absent in [&zeros, &long, &padded] {
        assert!(!mirror.exists(absent), "{absent}");
        assert_eq!(mirror.order(absent, &one).unwrap_err().kind(), Kind::NotFound);
    }
    for text in [":/step", "main@{1}", "HEAD^{/step}", "HEAD~1", "main", "@"] {
        assert!(text.parse::<CommitSha>().is_err(), "{text}");
    }
    let blob: CommitSha = sample.repo.blob(b"1").unwrap().to_string().parse().unwrap();
    assert!(!mirror.exists(&blob), "a blob is no commit");
}

#[test]
fn t35_a_moved_deleted_or_made_again_tag_is_seen() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let two = sample.commit(&[&one], &["a=2"]);
    let who = Signature::new("Ana", "ana@example.org", &git2::Time::new(START_S, 0)).unwrap();
    let annotate = |commit: &CommitSha, message: &str| {
        let object = sample.repo.find_object(oid(commit), None).unwrap();
        sample.repo.tag("v1", &object, &who, message, true).unwrap()
    };
    sample.set("refs/tags/light", &one);
    let tag = annotate(&one, "first");
    let mirror = sample.mirror();
    let first = mirror.tags().unwrap();
    assert_eq!(first.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["light", "v1"]);
    assert_eq!((first[0].object.as_str(), &first[0].commit), (one.as_str(), &one));
    assert_eq!((first[1].object.as_str(), &first[1].commit), (tag.to_string().as_str(), &one));

    annotate(&one, "made again");
    let again = mirror.tags().unwrap();
    assert_eq!(again[1].commit, one);
    assert_ne!(again[1].object, first[1].object, "the same commit under another tag object is seen");
    annotate(&two, "moved");
    assert_eq!(mirror.tags().unwrap()[1].commit, two);
    sample.repo.tag_delete("v1").unwrap();
    assert_eq!(mirror.tags().unwrap().len(), 1);
}

#[test]
fn tags_that_lead_to_no_commit_or_have_strange_names_are_no_versions() {
    let sample = Sample::new();
    let blob = sample.repo.blob(b"x").unwrap();
    sample.repo.reference("refs/tags/blob", blob, false, "test").unwrap();
    let one = sample.commit(&[], &["a=1"]);
    sample.set("refs/tags/-x", &one);
    sample.set("refs/tags/nested/v1", &one);
    let names: Vec<_> = sample.mirror().tags().unwrap().into_iter().map(|t| t.name).collect();
    assert_eq!(names, [branch("nested/v1")]);
}

#[test]
fn t36_a_commit_that_is_here_but_not_on_the_branch_is_no_ancestor() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let main = sample.commit(&[&one], &["a=2"]);
    let fork = sample.commit(&[&one], &["evil=1"]);
    sample.set("refs/heads/main", &main);
    sample.set("refs/liftlock/commits/fork", &fork);
    let mirror = sample.mirror();
    let tip = mirror.head_of(&branch("main")).unwrap().unwrap();
    assert!(mirror.exists(&fork));
    assert!(!mirror.is_ancestor(&fork, &tip).unwrap());
    assert!(mirror.is_ancestor(&one, &tip).unwrap());
    assert!(mirror.is_ancestor(&main, &tip).unwrap());
}

#[test]
fn t37_a_rewritten_branch_no_longer_holds_what_was_built() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let built = sample.commit(&[&one], &["a=2"]);
    sample.set("refs/heads/main", &built);
    let mirror = sample.mirror();
    let holds = || {
        let tip = mirror.head_of(&branch("main")).unwrap().unwrap();
        mirror.is_ancestor(&built, &tip).unwrap()
    };
    assert!(holds());
    sample.set("refs/heads/main", &sample.commit(&[&one], &["a=3"]));
    assert!(!holds());
}
