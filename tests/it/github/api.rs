//! The REST routes of the fake; `None` is a route it does not know.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Value, json};

use super::state::{APP_ID, APP_SLUG, Check, Delivery, Hook, Repo, State, Status, Token};
use super::web::{Auth, Call, Reply};
use super::{actions, git, issues, release, show};

/// A refusal on the way to an answer is an answer too.
pub(super) type Answered = Result<Reply, Reply>;

/// Answers a call, or says that there is no such route.
pub(super) fn answer(state: &mut State, call: &Call) -> Option<Reply> {
    if let Auth::Bad(why) = &call.auth {
        return Some(Reply::message(401, why));
    }
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let answered = match (call.method.as_str(), path.as_slice()) {
        ("GET", ["app"]) => app(call),
        ("GET", ["user"]) => user(state, call),
        ("POST", ["app", "installations", id, "access_tokens"]) => mint(state, call, id),
        ("DELETE", ["installation", "token"]) => revoke(state, call),
        ("GET", ["app", "hook", "deliveries"]) => Ok(deliveries(state, call)),
        ("POST", ["app", "hook", "deliveries", id, "attempts"]) => redeliver(state, call, id),
        ("GET", ["search", "issues"]) => search(state, call),
        ("GET", ["orgs", org, "teams", slug, "memberships", login]) => {
            membership(state, call, &format!("{org}/{slug}"), login)
        }
        (_, ["repos", owner, name, rest @ ..]) => match state.repo_by_name(&format!("{owner}/{name}")) {
            Some(id) => return of_repo(state, call, id, rest),
            None => Err(not_found()),
        },
        (_, ["repositories", id, rest @ ..]) => {
            match id.parse().ok().filter(|id| state.repos.contains_key(id)) {
                Some(id) => return of_repo(state, call, id, rest),
                None => Err(not_found()),
            }
        }
        _ => return None,
    };
    Some(answered.unwrap_or_else(|refusal| refusal))
}

fn of_repo(state: &mut State, call: &Call, id: u64, rest: &[&str]) -> Option<Reply> {
    let answered = match (call.method.as_str(), rest) {
        ("GET", ["installation"]) => installation(state, call, id),
        ("GET", []) => call
            .need(state, id, "metadata", "read")
            .map(|()| Reply::json(200, &state.show_repo(&state.repos[&id]))),
        ("GET", ["collaborators", login, "permission"]) => permission(state, call, id, login),
        ("GET", ["commits", sha]) => git::read_commit(state, call, id, sha),
        ("GET", ["commits", sha, "pulls"]) => pulls(state, call, id, sha),
        ("POST", ["statuses", sha]) => status(state, call, id, sha),
        ("GET", ["commits", sha, "statuses"]) => statuses(state, call, id, sha),
        ("GET", ["commits", sha, "check-runs"]) => check_runs(state, call, id, sha),
        ("POST", ["check-runs"]) => make_check(state, call, id),
        ("GET", ["check-runs", run]) => check_run(state, call, id, run),
        ("PATCH", ["check-runs", run]) => change_check(state, call, id, run),
        ("POST", ["git", "tags"]) => git::make_tag(state, call, id),
        ("GET", ["git", "tags", sha]) => git::read_tag(state, call, id, sha),
        ("POST", ["git", "refs"]) => git::make_ref(state, call, id),
        ("GET", ["git", "ref", "tags", tag @ ..]) => git::read_ref(state, call, id, &tag.join("/")),
        ("GET", ["hooks"]) => hooks(state, call, id),
        ("POST", ["hooks"]) => make_hook(state, call, id),
        ("PATCH", ["hooks", hook]) => change_hook(state, call, id, hook),
        ("DELETE", ["hooks", hook]) => delete_hook(state, call, id, hook),
        ("GET", ["hooks", _, "deliveries"]) => Ok(deliveries(state, call)),
        ("POST", ["hooks", _, "deliveries", delivery, "attempts"]) => redeliver(state, call, delivery),
        ("GET", ["actions", rest @ ..]) => actions::answer(state, call, id, rest),
        (_, ["releases", ..]) => {
            return release::answer(state, call, id, rest)
                .map(|answered| answered.unwrap_or_else(|refusal| refusal));
        }
        _ => return issues::answer(state, call, id, rest),
    };
    Some(answered.unwrap_or_else(|refusal| refusal))
}

pub(super) fn not_found() -> Reply {
    Reply::message(404, "Not Found")
}

impl Call {
    /// Whether the token may do this; apps are told so in GitHub's words.
    pub(super) fn need(&self, state: &State, repo: u64, permission: &str, level: &str) -> Result<(), Reply> {
        match &self.auth {
            Auth::Token(Token::Installation { repos, permissions }) => {
                let held = permissions.get(permission).map(String::as_str);
                let enough = held == Some("write") || (held.is_some() && level == "read");
                if repos.contains(&repo) && enough {
                    Ok(())
                } else {
                    Err(Reply::message(403, "Resource not accessible by integration"))
                }
            }
            Auth::Token(Token::Personal { user, .. }) => {
                let role = state.repos[&repo].roles.get(user).map_or("none", |role| role.0);
                if role == "none" { Err(not_found()) } else { Ok(()) }
            }
            Auth::None | Auth::App | Auth::Bad(_) => Err(Reply::message(401, "Requires authentication")),
        }
    }

    /// In whose name the call writes.
    pub(super) fn author(&self) -> u64 {
        match &self.auth {
            Auth::Token(Token::Personal { user, .. }) => *user,
            Auth::Token(Token::Installation { .. }) | Auth::None | Auth::App | Auth::Bad(_) => {
                super::state::APP_USER
            }
        }
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.body[key].as_str().unwrap_or_default().to_owned()
    }

    /// The page that the query asks for.
    pub(super) fn page(&self, items: &[Value]) -> Reply {
        Reply::json(200, &json!(self.page_of(items)))
    }

    fn page_of<'a>(&self, items: &'a [Value]) -> Vec<&'a Value> {
        let number =
            |key: &str, usual: usize| self.query.get(key).and_then(|v| v.parse().ok()).unwrap_or(usual);
        let (size, page) = (number("per_page", 30).min(100), number("page", 1).max(1));
        items.iter().skip(size * (page - 1)).take(size).collect()
    }
}

fn app_only(call: &Call) -> Result<(), Reply> {
    match call.auth {
        Auth::App => Ok(()),
        Auth::None | Auth::Bad(_) | Auth::Token(_) => {
            Err(Reply::message(401, "A JSON web token could not be decoded"))
        }
    }
}

fn app(call: &Call) -> Answered {
    app_only(call)?;
    Ok(Reply::json(200, &json!({"id": APP_ID, "slug": APP_SLUG, "name": APP_SLUG})))
}

fn user(state: &State, call: &Call) -> Answered {
    match &call.auth {
        Auth::Token(Token::Personal { user, scopes }) => {
            let reply = Reply::json(200, &state.show_user(*user));
            Ok(scopes.map_or_else(
                || Reply::json(200, &state.show_user(*user)),
                |s| reply.with("x-oauth-scopes", s),
            ))
        }
        Auth::None | Auth::App | Auth::Bad(_) | Auth::Token(_) => {
            Err(Reply::message(403, "Resource not accessible by integration"))
        }
    }
}

fn installation(state: &State, call: &Call, repo: u64) -> Answered {
    app_only(call)?;
    let found = state.installations.iter().find(|(_, i)| i.repos.contains(&repo));
    let (id, installation) = found.ok_or_else(not_found)?;
    Ok(Reply::json(200, &json!({"id": id, "app_id": APP_ID, "permissions": installation.permissions})))
}

fn mint(state: &mut State, call: &Call, id: &str) -> Answered {
    app_only(call)?;
    let id: u64 = id.parse().map_err(|_| not_found())?;
    let installation = state.installations.get(&id).ok_or_else(not_found)?;
    let wanted: BTreeMap<String, String> =
        serde_json::from_value(call.body["permissions"].clone()).unwrap_or_default();
    let granted = |name: &str, level: &str| {
        installation.permissions.get(name).is_some_and(|held| held == level || held == "write")
    };
    if !wanted.iter().all(|(name, level)| granted(name, level)) {
        return Err(Reply::message(422, "The permissions requested are not granted to this installation."));
    }
    let by_name = call.body["repositories"].as_array().into_iter().flatten().filter_map(|name| {
        let ends = format!("/{}", name.as_str()?);
        state.repos.values().find(|r| r.name.ends_with(&ends)).map(|r| r.id)
    });
    let by_id = call.body["repository_ids"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let repos: BTreeSet<u64> = by_name.chain(by_id).collect();
    if repos.is_empty() || !repos.is_subset(&installation.repos) {
        let text = "There is at least one repository that does not exist or is not accessible to the parent installation.";
        return Err(Reply::message(422, text));
    }
    let (token, expires) = state.mint(repos, wanted.clone());
    Ok(Reply::json(201, &json!({"token": token, "expires_at": expires.rfc3339(), "permissions": wanted})))
}

/// The token that the call is made with ends.
fn revoke(state: &mut State, call: &Call) -> Answered {
    let Auth::Token(Token::Installation { .. }) = &call.auth else {
        return Err(Reply::message(403, "Resource not accessible by integration"));
    };
    let header = call.headers.get(hyper::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let bearer = header.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    state.tokens.remove(&bearer).expect("the token was just known");
    state.revoked.push(bearer);
    Ok(Reply { status: 204, headers: Vec::new(), body: hyper::body::Bytes::new() })
}

fn permission(state: &State, call: &Call, repo: u64, login: &str) -> Answered {
    call.need(state, repo, "metadata", "read")?;
    let user = state.user_by_login(login).ok_or_else(not_found)?;
    let (permission, role) = state.repos[&repo].roles.get(&user.id).copied().unwrap_or(("none", "none"));
    Ok(Reply::json(200, &json!({"permission": permission, "role_name": role, "user": show::user(user)})))
}

fn membership(state: &State, call: &Call, team: &str, login: &str) -> Answered {
    if let Auth::Token(Token::Installation { permissions, .. }) = &call.auth
        && !permissions.contains_key("members")
    {
        return Err(Reply::message(403, "Resource not accessible by integration"));
    }
    let user = state.user_by_login(login).ok_or_else(not_found)?;
    let found = state.teams.get(team).and_then(|members| members.get(&user.id)).ok_or_else(not_found)?;
    Ok(Reply::json(200, &json!({"state": found, "role": "member"})))
}

fn pulls(state: &State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "pull_requests", "read")?;
    let repo = &state.repos[&repo];
    let touches = |p: &super::state::Pull| p.head == sha || p.merged.as_deref() == Some(sha);
    let found = repo.issues.values().filter(|i| i.pull.as_ref().is_some_and(touches));
    Ok(call.page(&found.map(|i| state.show_pull(repo, i)).collect::<Vec<_>>()))
}

fn status(state: &mut State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "statuses", "write")?;
    let status = Status {
        sha: sha.to_owned(),
        context: call.text("context"),
        state: call.text("state"),
        description: call.text("description"),
        target_url: call.text("target_url"),
        by: call.author(),
        unread: true,
    };
    let known = ["pending", "success", "failure", "error"].contains(&status.state.as_str());
    if !known || status.description.chars().count() > 140 {
        return Err(Reply::message(422, "Validation Failed"));
    }
    repo_mut(state, repo).statuses.push(status);
    Ok(Reply::json(201, &call.body))
}

/// Newest first, as GitHub lists them.
fn statuses(state: &State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "statuses", "read")?;
    let of = state.repos[&repo].statuses.iter().rev().filter(|s| s.sha == sha);
    let shown: Vec<Value> = of
        .map(|s| {
            json!({"context": s.context, "state": s.state, "description": s.description,
                "target_url": s.target_url, "creator": state.show_user(s.by)})
        })
        .collect();
    Ok(call.page(&shown))
}

/// Understands `repo:`, `is:issue`, `state:` and words of the title; a repository out of reach is said to be none.
fn search(state: &State, call: &Call) -> Answered {
    let query = call.query.get("q").cloned().unwrap_or_default();
    let words: Vec<&str> = query.split_whitespace().collect();
    let name = words.iter().find_map(|w| w.strip_prefix("repo:")).unwrap_or_default();
    let unseen = || {
        Reply::message(
            422,
            "The listed users and repositories cannot be searched either because the resources do not exist or you do not have permission to view them.",
        )
    };
    let known = state.repos.values().find(|r| r.name.eq_ignore_ascii_case(name)).ok_or_else(unseen)?;
    call.need(state, known.id, "issues", "read").map_err(|_| unseen())?;
    let asked = |kind: &str| words.contains(&kind);
    let plain = words.iter().filter(|w| !w.contains(':'));
    let matches = known.issues.values().filter(|i| {
        (asked("is:issue") && i.pull.is_none() || asked("is:pr") && i.pull.is_some())
            && plain.clone().all(|word| i.title.contains(*word))
    });
    let count = matches.count();
    Ok(Reply::json(200, &json!({"total_count": count, "incomplete_results": false, "items": []})))
}

fn check_runs(state: &State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "checks", "read")?;
    let wanted = |check: &Check| {
        let name = call.query.get("check_name").is_none_or(|name| *name == check.name);
        let app = call.query.get("app_id").is_none_or(|app| *app == check.app.to_string());
        check.sha == sha && name && app
    };
    let checks = state.repos[&repo].checks.iter().filter(|(_, c)| wanted(c));
    let shown: Vec<Value> = checks.rev().map(|(id, c)| show::check(*id, c)).collect();
    let page = call.page_of(&shown);
    Ok(Reply::json(200, &json!({"total_count": shown.len(), "check_runs": page})))
}

fn make_check(state: &mut State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "checks", "write")?;
    let (name, sha) = (call.text("name"), call.text("head_sha"));
    let check = Check { sha, name, app: APP_ID, body: call.body.clone(), unread: true };
    let id = state.fresh_id();
    let shown = show::check(id, &check);
    repo_mut(state, repo).checks.insert(id, check);
    Ok(Reply::json(201, &shown))
}

fn check_run(state: &State, call: &Call, repo: u64, run: &str) -> Answered {
    call.need(state, repo, "checks", "read")?;
    let id: u64 = run.parse().map_err(|_| not_found())?;
    let check = state.repos[&repo].checks.get(&id).ok_or_else(not_found)?;
    Ok(Reply::json(200, &show::check(id, check)))
}

fn change_check(state: &mut State, call: &Call, repo: u64, run: &str) -> Answered {
    call.need(state, repo, "checks", "write")?;
    let id: u64 = run.parse().map_err(|_| not_found())?;
    let check = repo_mut(state, repo).checks.get_mut(&id).ok_or_else(not_found)?;
    if check.app != APP_ID {
        return Err(Reply::message(403, "Invalid app_id - check run can only be modified by its creator"));
    }
    for (key, value) in call.body.as_object().into_iter().flatten() {
        check.body[key] = value.clone();
    }
    check.unread = true;
    Ok(Reply::json(200, &show::check(id, check)))
}

/// A secret is never told again.
fn show_hook(id: u64, hook: &Hook) -> Value {
    json!({
        "id": id, "name": "web", "active": true, "events": hook.events,
        "config": {"url": hook.url, "content_type": hook.content_type, "insecure_ssl": "0", "secret": "********"},
    })
}

fn hooks(state: &State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "administration", "read")?;
    let hooks = state.repos[&repo].hooks.iter();
    Ok(call.page(&hooks.map(|(id, hook)| show_hook(*id, hook)).collect::<Vec<_>>()))
}

fn make_hook(state: &mut State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "administration", "write")?;
    let hook = Hook::of(&call.body);
    let hooks = &mut repo_mut(state, repo).hooks;
    if hooks.values().any(|there| there.url == hook.url) {
        return Err(Reply::message(422, "Hook already exists on this repository"));
    }
    let id = hooks.keys().next_back().map_or(1, |last| last + 1);
    let shown = show_hook(id, &hook);
    hooks.insert(id, hook);
    Ok(Reply::json(201, &shown))
}

fn change_hook(state: &mut State, call: &Call, repo: u64, hook: &str) -> Answered {
    call.need(state, repo, "administration", "write")?;
    let id: u64 = hook.parse().map_err(|_| not_found())?;
    let kept = repo_mut(state, repo).hooks.get_mut(&id).ok_or_else(not_found)?;
    *kept = Hook::of(&call.body);
    Ok(Reply::json(200, &show_hook(id, kept)))
}

fn delete_hook(state: &mut State, call: &Call, repo: u64, hook: &str) -> Answered {
    call.need(state, repo, "administration", "write")?;
    let id = hook.parse().map_err(|_| not_found())?;
    repo_mut(state, repo).hooks.remove(&id).ok_or_else(not_found)?;
    Ok(Reply { status: 204, headers: Vec::new(), body: hyper::body::Bytes::new() })
}

/// Newest first, with a cursor that is the number of the last delivery shown.
fn deliveries(state: &State, call: &Call) -> Reply {
    let size = call.query.get("per_page").and_then(|v| v.parse().ok()).unwrap_or(30);
    let before = call.query.get("cursor").and_then(|v| v.strip_prefix("v1_")?.parse().ok());
    let mut found: Vec<&Delivery> =
        state.deliveries.iter().filter(|d| before.is_none_or(|b: u64| d.id < b)).collect();
    found.sort_by_key(|d| std::cmp::Reverse(d.id));
    let more = found.len() > size;
    found.truncate(size);
    let shown: Vec<Value> = found
        .iter()
        .map(|d| {
            json!({
                "id": d.id, "guid": d.guid, "delivered_at": d.at.rfc3339(), "event": d.event, "redelivery": false,
                "status": if d.status_code == 200 { "OK" } else { "Invalid HTTP Response" },
                "status_code": d.status_code, "duration": 0.1, "action": null,
            })
        })
        .collect();
    let reply = Reply::json(200, &json!(shown));
    match found.last().filter(|_| more) {
        Some(last) => {
            let address = format!("https://payload-address.invalid/deliveries?cursor=v1_{}", last.id);
            reply.with("link", format!("<{address}>; rel=\"next\""))
        }
        None => reply,
    }
}

fn redeliver(state: &mut State, call: &Call, id: &str) -> Answered {
    if !call.headers.contains_key("content-length") {
        return Err(Reply::message(411, "Length Required"));
    }
    let id: Option<u64> = id.parse().ok();
    let found = state.deliveries.iter().find(|d| Some(d.id) == id).cloned().ok_or_else(not_found)?;
    let again = Delivery { id: state.fresh_id(), at: state.now(), status_code: 0, asked: true, ..found };
    state.deliveries.push(again);
    Ok(Reply::json(202, &json!({})))
}

pub(super) fn repo_mut(state: &mut State, repo: u64) -> &mut Repo {
    state.repos.get_mut(&repo).expect("looked up before")
}

/// `GET` of anything else is read; everything else writes.
pub(super) fn level(call: &Call) -> &'static str {
    if call.method == Method::GET { "read" } else { "write" }
}
