//! Tags, notes and logs on refs over real repositories.

use super::super::testing::Sample;
use super::*;
use crate::trouble::Kind;

const ANA: Person<'_> = Person { name: "ana", email: "ana@example.org" };
const AT: Timestamp = Timestamp(1_700_000_000_000);

fn name(text: &str) -> RefName {
    text.parse().unwrap()
}

#[test]
fn t35_a_tag_is_made_once_and_never_moved() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let two = sample.commit(&[&one], &["a=2"]);
    let origin = Origin::open(&sample.path()).unwrap();
    let version = name("v1.0.0");
    let new = NewTag {
        name: &version,
        commit: &one,
        message: "version 1.0.0\n",
        tagger: ANA,
        at: AT,
        object: None,
    };
    let Created::New(object) = origin.create_tag(new).unwrap() else { panic!("it is new") };
    assert_eq!(origin.create_tag(new).unwrap(), Created::Exists { same: true });
    assert_eq!(origin.create_tag(NewTag { commit: &two, ..new }).unwrap(), Created::Exists { same: false });
    let tags = origin.read().tags().unwrap();
    assert_eq!((tags.len(), &tags[0].object, &tags[0].commit), (1, &object, &one));
    let tag = sample.repo.find_tag(Oid::from_str(object.as_str()).unwrap()).unwrap();
    assert_eq!(tag.message().unwrap(), Some("version 1.0.0\n"));
    assert_eq!(tag.tagger().unwrap().when().seconds(), 1_700_000_000);
}

#[test]
fn a_note_is_written_over_and_read_back() {
    let sample = Sample::new();
    let one = sample.commit(&[], &["a=1"]);
    let origin = Origin::open(&sample.path()).unwrap();
    let notes = name("liftlock");
    assert_eq!(origin.read_note(&one, &notes).unwrap(), None);
    for text in ["beta: running", "beta: passed"] {
        origin.write_note(&one, &notes, text, (ANA, AT)).unwrap();
        assert_eq!(origin.read_note(&one, &notes).unwrap().as_deref(), Some(text));
    }
    assert_eq!(origin.read_note(&one, &name("other")).unwrap(), None);
    let absent = "1".repeat(40).parse().unwrap();
    assert_eq!(origin.read_note(&absent, &notes).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_conversation_grows_at_its_end_and_reads_oldest_first() {
    let sample = Sample::new();
    let origin = Origin::open(&sample.path()).unwrap();
    let log = name("comments/12");
    assert_eq!(origin.walk_ref(&log, 10).unwrap(), []);
    let ids: Vec<_> = ["/approve beta", "beta is deployed", "thanks"]
        .iter()
        .map(|text| origin.append_commit(&log, text, (ANA, AT)).unwrap().id)
        .collect();
    let said = origin.walk_ref(&log, 10).unwrap();
    assert_eq!(said.iter().map(|s| s.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(said[0].message, "/approve beta");
    assert_eq!((said[0].login.as_str(), said[0].email.as_str(), said[0].at), ("ana", "ana@example.org", AT));
    assert_eq!(origin.walk_ref(&log, 1).unwrap()[0].message, "thanks");
    assert!(sample.repo.find_reference("refs/liftlock/comments/12").is_ok());
}

#[test]
fn writers_at_the_same_time_lose_no_entry() {
    let sample = Sample::new();
    let path = sample.path();
    let commits: Vec<_> = (0..4).map(|_| sample.commit(&[], &["a=1"])).collect();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (path, notes) = (path.clone(), commits.clone());
            std::thread::spawn(move || {
                let origin = Origin::open(&path).unwrap();
                for entry in 0..10 {
                    origin.append_commit(&name("log"), &format!("{writer}.{entry}"), (ANA, AT)).unwrap();
                    let text = format!("{writer}.{entry}");
                    origin.write_note(&notes[writer], &name("n"), &text, (ANA, AT)).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let mut texts: Vec<_> = Origin::open(&path)
        .unwrap()
        .walk_ref(&name("log"), 100)
        .unwrap()
        .into_iter()
        .map(|s| s.message)
        .collect();
    for (writer, commit) in commits.iter().enumerate() {
        let note = Origin::open(&path).unwrap().read_note(commit, &name("n")).unwrap();
        assert_eq!(note, Some(format!("{writer}.9")));
    }
    assert_eq!(texts.len(), 40);
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 40);
}

#[test]
fn a_writers_name_cannot_write_a_header_line() {
    let sample = Sample::new();
    let origin = Origin::open(&sample.path()).unwrap();
    let evil = Person { name: "ana\nparent 0000", email: "a>b\r\nx" };
    origin.append_commit(&name("log"), "hi", (evil, AT)).unwrap();
    origin.append_commit(&name("log"), "hi", (Person { name: " ", email: "" }, AT)).unwrap();
    let said = origin.walk_ref(&name("log"), 2).unwrap();
    assert_eq!(said[0].login, "ana parent 0000");
    assert_eq!(said[0].email, "a b  x");
    assert_eq!((said[1].login.as_str(), said[1].email.as_str()), ("unknown", "unknown"));
}
