//! The plain host over real bare repositories, read with the real `git`.

use super::testing::{Bare, git, try_git};
use super::*;
use crate::domain::effect::StatusState;
use crate::domain::name::UserId;
use crate::trouble::Kind;

mod people;
mod speech;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn now() -> Timestamp {
    NOW
}

fn repo() -> RepoId {
    "plain:acme.demo".parse().unwrap()
}

fn login(text: &str) -> Login {
    text.parse().unwrap()
}

fn id(number: u64) -> UserId {
    UserId(number.try_into().unwrap())
}

fn who(text: &str, number: u64) -> Person {
    Person { id: id(number), login: login(text) }
}

fn settings(bare: &Bare) -> Settings {
    let people = [("ana", 7, Role::Maintain), ("Bo", 8, Role::Write)].map(|(name, number, role)| {
        let teams = ["acme/release", "acme/qa"].iter().map(|t| t.parse().unwrap()).collect();
        let emails = BTreeSet::from([format!("{name}@example.org")]);
        (login(name), PersonSettings { id: id(number), role, teams, emails })
    });
    let demo = RepositorySettings { path: bare.path(), default_branch: None };
    Settings {
        repositories: BTreeMap::from([("acme/demo".parse().unwrap(), demo)]),
        people: BTreeMap::from(people),
    }
}

fn plain(bare: &Bare) -> Plain {
    Plain::open(settings(bare), now).unwrap()
}

fn status(context: &str, state: StatusState, description: &str) -> Status {
    Status {
        context: context.to_owned(),
        state,
        description: description.to_owned(),
        path: "/r/1".to_owned(),
        detail: None,
    }
}

#[tokio::test]
async fn c02_a_repository_is_known_by_its_name_and_read_from_its_folder() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let found = plain.repository(&repo()).await.unwrap();
    assert_eq!(found.id, repo());
    assert_eq!((found.name.as_str(), found.default_branch.as_str()), ("acme/demo", "main"));
    git(&bare.path(), &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    assert_eq!(plain.repository(&repo()).await.unwrap().default_branch.as_str(), "trunk");
    let Source::Local(path) = plain.source(&repo()).await.unwrap() else { panic!("it is on this machine") };
    assert_eq!(path, bare.path());
    assert_eq!(plain.word(), "plain");

    let absent = "plain:other".parse().unwrap();
    assert_eq!(plain.repository(&absent).await.unwrap_err().kind(), Kind::Refused);
    assert_eq!(plain.source(&absent).await.unwrap_err().kind(), Kind::Refused);
    let mut fixed = settings(&bare);
    for of in fixed.repositories.values_mut() {
        of.default_branch = Some("release/1.x".parse().unwrap());
    }
    let fixed = Plain::open(fixed, now).unwrap();
    assert_eq!(fixed.repository(&repo()).await.unwrap().default_branch.as_str(), "release/1.x");
}

#[tokio::test]
async fn what_a_plain_host_has_not_it_says_it_has_not() {
    let bare = Bare::new();
    let plain = plain(&bare);
    assert_eq!(plain.merged_pull_request(&repo(), &bare.head()).await.unwrap(), None);
    let place = plain.tracking_place(&repo(), &bare.head(), "title", "marker").await.unwrap();
    assert_eq!(place, Place::Commit(bare.head()));
    assert_eq!(plain.deliveries_since(NOW).await.unwrap(), []);
    assert_eq!(plain.redeliver(1).await.unwrap_err().kind(), Kind::Refused);
    let refused = plain.count_issues(&repo(), "state:open").await.unwrap_err();
    assert_eq!(refused.to_string(), "this host has no issues: it is a plain git host");
    assert_eq!(plain.check_runs(&repo(), &bare.head(), "x").await.unwrap_err().kind(), Kind::Refused);
    let thread = Place::Thread("12".parse().unwrap());
    let refused = plain.say(&repo(), &thread, "m", "hi").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.to_string().contains("only commits are spoken about"), "{refused}");
}

#[test]
fn two_repositories_never_share_an_id_nor_two_people_a_mark() {
    let bare = Bare::new();
    let mut two = settings(&bare);
    let of = RepositorySettings { path: bare.path(), default_branch: None };
    two.repositories.insert("acme.demo".parse().unwrap(), of.clone());
    let refused = Plain::open(two, now).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(
        refused.to_string().contains("`acme.demo` and `acme/demo` would both be `plain:acme.demo`"),
        "{refused}"
    );

    let mut hidden = settings(&bare);
    hidden.repositories.insert(".hidden".parse().unwrap(), of);
    assert_eq!(Plain::open(hidden, now).unwrap_err().kind(), Kind::Refused);

    let mut absent = settings(&bare);
    absent.repositories.values_mut().for_each(|of| of.path = "/no/such/folder".into());
    assert_eq!(Plain::open(absent, now).unwrap_err().kind(), Kind::NotFound);

    let eve = |number: u64, email: &str| PersonSettings {
        id: id(number),
        role: Role::Read,
        teams: BTreeSet::new(),
        emails: BTreeSet::from([email.to_owned()]),
    };
    for (name, of) in [("eve", eve(7, "e@x")), ("ANA", eve(9, "e@x")), ("eve", eve(9, "ANA@example.org"))] {
        let mut same = settings(&bare);
        same.people.insert(login(name), of);
        assert_eq!(Plain::open(same, now).unwrap_err().kind(), Kind::Refused, "{name}");
    }
}

#[tokio::test]
async fn statuses_are_read_by_git_log() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let head = bare.head();
    let waits = status("liftlock/test", StatusState::Pending, "v1.2.0-rc.1 waits:\n  for  ana\u{7}");
    plain.status(&repo(), &head, &waits).await.unwrap();
    plain.status(&repo(), &head, &status("liftlock/prod", StatusState::Pending, "")).await.unwrap();
    let live = status("liftlock/test", StatusState::Success, "v1.2.0-rc.1 is live");
    plain.status(&repo(), &head, &live).await.unwrap();
    let notes = || git(&bare.path(), &["rev-list", "--count", "refs/notes/liftlock"]);
    assert_eq!(notes().trim(), "3");
    plain.status(&repo(), &head, &live).await.unwrap();
    assert_eq!(notes().trim(), "3", "the same again writes nothing");
    let want = "liftlock/prod  pending  -  /r/1\nliftlock/test  success  v1.2.0-rc.1 is live  /r/1\n";
    assert_eq!(read_statuses(&bare.path(), &head).unwrap(), want);
    let log = git(&bare.path(), &["log", "--notes=liftlock", "-1", "main"]);
    assert!(log.contains("Notes (liftlock):\n    liftlock/prod  pending"), "{log}");
    plain.status(&repo(), &head, &waits).await.unwrap();
    let read = plain.statuses(&repo(), &head).await.unwrap();
    let read: Vec<_> = read.iter().map(|s| (s.context.as_str(), s.state)).collect();
    assert_eq!(read, [("liftlock/prod", StatusState::Pending), ("liftlock/test", StatusState::Pending)]);
    let shown = read_statuses(&bare.path(), &head).unwrap();
    assert!(shown.contains("liftlock/test  pending  v1.2.0-rc.1 waits: for ana  /r/1\n"), "{shown}");
    let absent = "1".repeat(40).parse().unwrap();
    assert_eq!(plain.status(&repo(), &absent, &live).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_written_at_the_same_time_are_all_there() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let writers: Vec<_> = (10..26)
        .map(|n| {
            let (plain, head) = (plain.clone(), bare.head());
            tokio::spawn(async move {
                let status = status(&format!("liftlock/{n}"), StatusState::Success, "live");
                plain.status(&repo(), &head, &status).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let shown = read_statuses(&bare.path(), &bare.head()).unwrap();
    let contexts: Vec<_> = shown.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect();
    assert_eq!(contexts, (10..26).map(|n| format!("liftlock/{n}")).collect::<Vec<_>>());
}

fn tag(name: &RefName, commit: &CommitSha) -> Tag {
    Tag { name: name.clone(), commit: commit.clone(), message: "version 1.2.0".to_owned(), signed: None }
}

#[tokio::test]
async fn t35_a_tag_is_annotated_and_never_moved() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let (one, name) = (bare.head(), "v1.2.0".parse().unwrap());
    let two = bare.commit("feat: more");
    git(&bare.clone(), &["push", "-q", "origin", "main"]);
    let made = plain.tag(&repo(), &tag(&name, &one)).await.unwrap();
    assert!(matches!(made, Tagged::There(_)), "{made:?}");
    assert_eq!(plain.tag(&repo(), &tag(&name, &one)).await.unwrap(), made);
    assert_eq!(plain.tag(&repo(), &tag(&name, &two)).await.unwrap(), Tagged::Elsewhere(one));
    let shown = git(&bare.path(), &["cat-file", "tag", "v1.2.0"]);
    assert!(shown.contains("tagger liftlock <server@liftlock> 1700000000 +0000\n\nversion 1.2.0"), "{shown}");
    let tree = git(&bare.path(), &["rev-parse", "main^{tree}"]);
    git(&bare.path(), &["tag", "odd", tree.trim()]);
    let refused = plain.tag(&repo(), &tag(&"odd".parse().unwrap(), &two)).await.unwrap_err();
    assert!(refused.to_string().contains("leads to no commit"), "{refused}");
}

#[test]
fn d52_a_plain_host_says_that_it_shows_no_releases() {
    let bare = Bare::new();
    let why = plain(&bare).releases().unwrap_err();
    assert!(why.contains("shows no releases") && why.contains("`uses: publish`"), "{why}");
}
