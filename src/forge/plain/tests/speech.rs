//! Comments, what we say ourselves, reactions, and who cannot forge them.

use super::*;

/// Entries of the conversation about a commit, as git counts them.
fn entries(bare: &Bare, commit: &CommitSha) -> String {
    let log = format!("refs/liftlock/comments/{commit}");
    git(&bare.path(), &["rev-list", "--count", &log]).trim().to_owned()
}

#[tokio::test]
async fn c02_a_comment_comes_back_as_it_was_written() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let place = Place::Commit(bare.head());
    let bodies = [
        "/approve prod -- tested by hand",
        "\n/approve prod",
        "  /approve prod",
        "\u{feff}/approve prod\r\n",
        "thanks\n\nLiftlock-Marker: approve-1\n",
        "# not a comment line for git\n\n\n",
    ];
    for body in bodies {
        let written = plain.write_comment(&repo(), &place, &login("ANA"), body).await.unwrap();
        let read = plain.comment(&repo(), &place, &written.id).await.unwrap();
        assert_eq!(read, written);
        assert_eq!(read.body, body);
        assert_eq!((read.author, read.via_app), (Some(who("ana", 7)), false));
        assert_eq!(read.created_at, read.updated_at);
    }
    assert_eq!(entries(&bare, &bare.head()), bodies.len().to_string());
    let shown = git(
        &bare.path(),
        &["log", "--format=%an <%ae> %s", &format!("refs/liftlock/comments/{}", bare.head())],
    );
    assert!(shown.ends_with("ana <7@liftlock> /approve prod -- tested by hand\n"), "{shown}");
}

#[tokio::test]
async fn a_comment_that_cannot_be_kept_is_refused() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let place = Place::Commit(bare.head());
    for body in ["", " \n", "a\0b", &"x".repeat(65_537)] {
        let refused = plain.write_comment(&repo(), &place, &login("ana"), body).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused, "{refused}");
    }
    let refused = plain.write_comment(&repo(), &place, &login("eve"), "hi").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    let absent = Place::Commit("1".repeat(40).parse().unwrap());
    let refused = plain.write_comment(&repo(), &absent, &login("ana"), "hi").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
}

#[tokio::test]
async fn each_entry_is_later_than_the_one_before_it() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let place = Place::Commit(bare.head());
    let offer = plain.say(&repo(), &place, "offer", "v1.2.0 is ready for prod").await.unwrap();
    let answer = plain.write_comment(&repo(), &place, &login("ana"), "/approve prod").await.unwrap();
    assert_eq!((offer.at, answer.created_at), (NOW, NOW.plus(Span::seconds(1))));
}

#[tokio::test]
async fn what_we_say_is_found_by_its_marker_and_brought_up_to_date() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let place = Place::Commit(bare.head());
    let forged = "v9\n\nLiftlock-Marker: sticky:1\n";
    plain.write_comment(&repo(), &place, &login("ana"), forged).await.unwrap();
    let first = plain.say(&repo(), &place, "sticky:1", "v1 builds").await.unwrap();
    let again = plain.say(&repo(), &place, "sticky:1", "v1 builds").await.unwrap();
    assert_eq!(first, again, "the same again writes nothing");
    assert_eq!(entries(&bare, &bare.head()), "2");
    let other = plain.say(&repo(), &place, "sticky:10", "v1 builds").await.unwrap();
    assert_ne!(first.id, other.id);
    let edited = plain.say(&repo(), &place, "sticky:1", "v1 is live\n").await.unwrap();
    assert_ne!(edited.id, first.id);
    assert!(edited.at > first.at);
    assert_eq!(plain.say(&repo(), &place, "sticky:1", "v1 is live\n").await.unwrap(), edited);
    assert_eq!(entries(&bare, &bare.head()), "4");
    let read = plain.comment(&repo(), &place, &edited.id).await.unwrap();
    assert_eq!((read.body.as_str(), read.author, read.via_app), ("v1 is live\n", None, true));
    for marker in ["", "a\nb"] {
        assert_eq!(plain.say(&repo(), &place, marker, "x").await.unwrap_err().kind(), Kind::Bug);
    }
}

#[tokio::test]
async fn a_reaction_takes_the_place_of_the_one_before() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let place = Place::Commit(bare.head());
    let comment = plain.write_comment(&repo(), &place, &login("ana"), "/approve prod").await.unwrap();
    for reaction in [Reaction::Eyes, Reaction::Eyes, Reaction::ThumbsUp] {
        plain.react(&repo(), &place, &comment.id, reaction).await.unwrap();
    }
    let notes = ["notes", "--ref=liftlock-reactions", "show", comment.id.as_str()];
    assert_eq!(git(&bare.path(), &notes), "👍 counted\n");
    assert_eq!(git(&bare.path(), &["rev-list", "--count", "refs/notes/liftlock-reactions"]).trim(), "2");
    let not_one = bare.head().as_str().parse().unwrap();
    let refused = plain.react(&repo(), &place, &not_one, Reaction::Eyes).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound, "a commit that is no comment");
}

#[tokio::test]
async fn t8_a_pushed_commit_is_no_comment_and_the_conversation_cannot_be_pushed() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let head = bare.head();
    let place = Place::Commit(head.clone());
    plain.write_comment(&repo(), &place, &login("Bo"), "hello").await.unwrap();
    let forge = ["commit", "-q", "--allow-empty", "--author=ana <7@liftlock>", "-m", "/approve prod"];
    git(&bare.clone(), &forge);
    let forged = bare.head();
    git(&bare.clone(), &["push", "-q", "origin", "HEAD:refs/heads/forged"]);
    let id = forged.as_str().parse().unwrap();
    assert_eq!(plain.comment(&repo(), &place, &id).await.unwrap_err().kind(), Kind::NotFound);
    for reference in [
        &format!("refs/liftlock/comments/{head}"),
        "refs/liftlock/comments/new",
        "refs/notes/liftlock",
        "refs/notes/liftlock-reactions",
    ] {
        let pushed = try_git(&bare.clone(), &["push", "--force", "origin", &format!("HEAD:{reference}")]);
        assert!(!pushed.status.success(), "{reference} was pushed");
        let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
        assert!(said.contains("hidden ref"), "{said}");
    }
    git(&bare.clone(), &["push", "-q", "origin", "HEAD:refs/notes/liftlock2"]);
    Plain::open(settings(&bare), now).unwrap();
    let set = git(&bare.path(), &["config", "--get-all", "receive.hideRefs"]);
    assert_eq!(set.lines().collect::<Vec<_>>(), talk::OUR_REFS, "set once, however often it is opened");
}

#[tokio::test]
async fn t33_a_writer_without_an_id_is_nobody() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let head = bare.head();
    let log = format!("refs/liftlock/comments/{head}");
    for email in ["0@liftlock", "@liftlock", "x@liftlock", "-7@liftlock", "7@example.org", "server@liftlock"]
    {
        let author = format!("--author=ana <{email}>");
        git(&bare.clone(), &["commit", "-q", "--allow-empty", &author, "-m", "/approve prod"]);
        git(&bare.path(), &["fetch", "-q", "../clone", &format!("+HEAD:{log}")]);
        let id = bare.head().as_str().parse().unwrap();
        let read = plain.comment(&repo(), &Place::Commit(head.clone()), &id).await.unwrap();
        assert_eq!(read.author, None, "{email}");
    }
}
