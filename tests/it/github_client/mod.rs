//! The GitHub client against the fake GitHub.

mod commits;
mod hooks;
mod limits;
mod people;
mod talk;
mod tokens;
mod watch;
mod wire;

use liftlock::domain::name::{CommitSha, Login, RepoId, UserId};
use liftlock::domain::person::Person;
use liftlock::domain::tag::Tag;
use liftlock::forge::github::GitHub;

use crate::github::{FakeGitHub, Pull};

/// The repository of these tests.
const WEB: u64 = 12;
const ANA: u64 = 5;

fn web() -> RepoId {
    "github:12".parse().unwrap()
}

/// A tag that nobody signs.
fn annotated(name: &str, commit: &CommitSha, message: &str) -> Tag {
    let (name, commit) = (name.parse().unwrap(), commit.clone());
    Tag { name, commit, message: message.to_owned(), signed: None }
}

fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn person(id: u64, login: &str) -> Person {
    let login: Login = login.parse().unwrap();
    Person { id: UserId(id.try_into().unwrap()), login }
}

/// `acme/web` with a maintainer, an issue and a pull request merged as `aaaa…`.
fn furnish(fake: &FakeGitHub) {
    let mut state = fake.state();
    state.user(ANA, "ana", "User");
    state.repo(WEB, "acme/web").roles.insert(ANA, ("write", "maintain"));
    state.issue(WEB, 1, ANA, None);
    state.issue(WEB, 2, ANA, Some(Pull { head: "1".repeat(40), merged: Some("a".repeat(40)) }));
    state.issue(WEB, 3, ANA, Some(Pull { head: "a".repeat(40), merged: None }));
}

async fn app() -> (FakeGitHub, GitHub) {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let github = GitHub::new(fake.settings(&["acme/web"])).unwrap();
    (fake, github)
}

async fn personal(scopes: Option<&'static str>) -> (FakeGitHub, GitHub) {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    fake.state().personal_token(ANA, scopes);
    let github = GitHub::new(fake.personal_settings(&["acme/web"])).unwrap();
    (fake, github)
}
