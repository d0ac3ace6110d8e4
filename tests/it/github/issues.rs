//! Issues, comments and reactions.

use serde_json::{Value, json};

use super::api::{Answered, level, not_found, repo_mut};
use super::state::{Comment, Issue, Reaction, Spot, State};
use super::web::{Call, Reply};

/// GitHub's limit on the text of a comment, in characters.
const MAX_BODY_CHARS: usize = 65_536;

pub(super) fn answer(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Option<Reply> {
    let permission = if matches!(rest, ["issues", ..]) { "issues" } else { "contents" };
    // Reading contents is enough to comment on commits.
    let level = if permission == "contents" { "read" } else { level(call) };
    if let Err(refusal) = call.need(state, repo, permission, level) {
        return Some(refusal);
    }
    let spot = |n: &str| n.parse().map(Spot::Thread).map_err(|_| not_found());
    let answered = match (call.method.as_str(), rest) {
        ("GET", ["issues"]) => Ok(issues(state, call, repo)),
        ("POST", ["issues"]) => Ok(open(state, call, repo)),
        ("GET", ["issues", "comments", id] | ["comments", id]) => read(state, repo, id),
        ("PATCH", ["issues", "comments", id] | ["comments", id]) => edit(state, call, repo, id),
        ("GET", ["issues", "comments", id, "reactions"] | ["comments", id, "reactions"]) => {
            reactions(state, call, repo, id)
        }
        ("POST", ["issues", "comments", id, "reactions"] | ["comments", id, "reactions"]) => {
            react(state, call, repo, id)
        }
        ("DELETE", ["issues", "comments", _, "reactions", id] | ["comments", _, "reactions", id]) => {
            unreact(state, call, repo, id)
        }
        ("GET", ["issues", n, "comments"]) => spot(n).map(|spot| comments(state, call, repo, &spot)),
        ("POST", ["issues", n, "comments"]) => spot(n).and_then(|spot| comment(state, call, repo, spot)),
        ("GET", ["commits", sha, "comments"]) => {
            Ok(comments(state, call, repo, &Spot::Commit((*sha).to_owned())))
        }
        ("POST", ["commits", sha, "comments"]) => comment(state, call, repo, Spot::Commit((*sha).to_owned())),
        _ => return None,
    };
    Some(answered.unwrap_or_else(|refusal| refusal))
}

fn issues(state: &State, call: &Call, repo: u64) -> Reply {
    let repo = &state.repos[&repo];
    let creator = call.query.get("creator");
    let by =
        |issue: &&Issue| creator.is_none_or(|c| state.users[&issue.author].login.eq_ignore_ascii_case(c));
    let shown: Vec<Value> =
        repo.issues.values().rev().filter(by).map(|i| state.show_issue(repo, i)).collect();
    call.page(&shown)
}

fn open(state: &mut State, call: &Call, repo: u64) -> Reply {
    let created = state.now();
    let author = call.author();
    let home = repo_mut(state, repo);
    let number = home.issues.keys().max().copied().unwrap_or_default() + 1;
    let (title, body) = (call.text("title"), call.text("body"));
    home.issues.insert(number, Issue { number, title, body, author, pull: None, created });
    let home = &state.repos[&repo];
    Reply::json(201, &state.show_issue(home, &home.issues[&number]))
}

fn comments(state: &State, call: &Call, repo: u64, spot: &Spot) -> Reply {
    let repo = &state.repos[&repo];
    let shown: Vec<Value> = repo.comments_in(spot).into_iter().map(|c| state.show_comment(repo, c)).collect();
    call.page(&shown)
}

fn comment(state: &mut State, call: &Call, repo: u64, spot: Spot) -> Answered {
    if let Spot::Thread(n) = &spot
        && !state.repos[&repo].issues.contains_key(n)
    {
        return Err(not_found());
    }
    let body = call.text("body");
    if body.is_empty() || body.chars().count() > MAX_BODY_CHARS {
        return Err(Reply::message(422, "Validation Failed"));
    }
    let id = state.comment(repo, spot, call.author(), &body);
    let made = repo_mut(state, repo).comments.get_mut(&id).expect("just made");
    made.unread = true;
    read(state, repo, &id.to_string()).map(|reply| Reply { status: 201, ..reply })
}

fn find<'a>(state: &'a State, repo: u64, id: &str) -> Result<&'a Comment, Reply> {
    let id: u64 = id.parse().map_err(|_| not_found())?;
    state.repos[&repo].comments.get(&id).ok_or_else(not_found)
}

fn read(state: &State, repo: u64, id: &str) -> Answered {
    let found = find(state, repo, id)?;
    Ok(Reply::json(200, &state.show_comment(&state.repos[&repo], found)))
}

fn edit(state: &mut State, call: &Call, repo: u64, id: &str) -> Answered {
    let found = find(state, repo, id)?;
    if found.author != call.author() {
        return Err(Reply::message(403, "Must have admin rights to Repository."));
    }
    let (id, now) = (found.id, state.now());
    let found = repo_mut(state, repo).comments.get_mut(&id).expect("just found");
    found.body = call.text("body");
    found.updated = now;
    found.unread = true;
    read(state, repo, &id.to_string())
}

fn show(state: &State, id: u64, reaction: &Reaction) -> Value {
    json!({"id": id, "user": state.show_user(reaction.user), "content": reaction.content})
}

fn reactions(state: &State, call: &Call, repo: u64, id: &str) -> Answered {
    let comment = find(state, repo, id)?.id;
    let all = state.repos[&repo].reactions.iter().filter(|(_, r)| r.comment == comment);
    Ok(call.page(&all.map(|(id, r)| show(state, *id, r)).collect::<Vec<_>>()))
}

fn react(state: &mut State, call: &Call, repo: u64, id: &str) -> Answered {
    let comment = find(state, repo, id)?.id;
    let wanted = Reaction { comment, user: call.author(), content: call.text("content") };
    if let Some((id, there)) = state.repos[&repo].reactions.iter().find(|(_, r)| **r == wanted) {
        return Ok(Reply::json(200, &show(state, *id, there)));
    }
    let id = state.fresh_id();
    let shown = show(state, id, &wanted);
    repo_mut(state, repo).reactions.insert(id, wanted);
    Ok(Reply::json(201, &shown))
}

fn unreact(state: &mut State, call: &Call, repo: u64, id: &str) -> Answered {
    let id: u64 = id.parse().map_err(|_| not_found())?;
    let found = state.repos[&repo].reactions.get(&id).ok_or_else(not_found)?;
    if found.user != call.author() {
        return Err(not_found());
    }
    repo_mut(state, repo).reactions.remove(&id);
    Ok(Reply::json(204, &Value::Null))
}
