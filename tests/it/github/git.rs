//! Tags through the API, and the repositories' objects over git's own HTTP, served by git itself.

use std::process::Stdio;

use bytes::Bytes;
use liftlock::domain::time::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::api::{Answered, not_found, repo_mut};
use super::state::State;
use super::web::{Auth, Call, Reply};
use super::{Shared, lock};

fn bare(state: &State, repo: u64) -> Option<git2::Repository> {
    let path = state.repos[&repo].bare.as_ref()?;
    Some(git2::Repository::open_bare(path).expect("the test made it"))
}

fn made_tag(sha: &str) -> Reply {
    Reply::json(201, &json!({"sha": sha}))
}

pub(super) fn make_tag(state: &mut State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let (tag, object) = (call.text("tag"), call.text("object"));
    if let Some(bare) = bare(state, repo) {
        let unprocessable = |_| Reply::message(422, "Object does not exist");
        let target = git2::Oid::from_str(&object).map_err(unprocessable)?;
        let target = bare.find_object(target, None).map_err(unprocessable)?;
        let tagger = tagger(&call.body["tagger"]);
        let made = bare.tag_annotation_create(&tag, &target, &tagger, &call.text("message"));
        return Ok(made_tag(&made.expect("a tag object").to_string()));
    }
    let sha = format!("{:040x}", state.fresh_id());
    repo_mut(state, repo).tag_objects.insert(sha.clone(), object);
    Ok(made_tag(&sha))
}

/// Who and when the request says, or else the app and now.
fn tagger(said: &serde_json::Value) -> git2::Signature<'static> {
    let Some(date) = said["date"].as_str() else {
        return git2::Signature::now("liftlock-test[bot]", "bot@example.invalid").expect("a signature");
    };
    let at = Timestamp::parse(date).expect("a time").0 / 1_000;
    let text = |key: &str| said[key].as_str().expect("a text");
    git2::Signature::new(text("name"), text("email"), &git2::Time::new(at, 0)).expect("a signature")
}

/// Nobody here has confirmed an address, so GitHub links the author to no account.
pub(super) fn read_commit(state: &State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "contents", "read")?;
    let bare = bare(state, repo).ok_or_else(not_found)?;
    let found = git2::Oid::from_str(sha).and_then(|oid| bare.find_commit(oid));
    let found = found.map_err(|_| Reply::message(422, &format!("No commit found for SHA: {sha}")))?;
    let email = String::from_utf8_lossy(found.author().email_bytes()).into_owned();
    Ok(Reply::json(200, &json!({"sha": sha, "commit": {"author": {"email": email}}, "author": null})))
}

pub(super) fn read_tag(state: &State, call: &Call, repo: u64, sha: &str) -> Answered {
    call.need(state, repo, "contents", "read")?;
    let target = match bare(state, repo) {
        Some(bare) => {
            let tag = git2::Oid::from_str(sha).and_then(|oid| bare.find_tag(oid).map(|tag| tag.target_id()));
            tag.map_err(|_| not_found())?.to_string()
        }
        None => state.repos[&repo].tag_objects.get(sha).cloned().ok_or_else(not_found)?,
    };
    let kind = if state.repos[&repo].tag_objects.contains_key(&target) { "tag" } else { "commit" };
    Ok(Reply::json(200, &json!({"sha": sha, "object": {"type": kind, "sha": target}})))
}

pub(super) fn make_ref(state: &mut State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let (name, sha) = (call.text("ref"), call.text("sha"));
    let tag = name.strip_prefix("refs/tags/").ok_or_else(not_found)?.to_owned();
    let exists = || Reply::message(422, "Reference already exists");
    match bare(state, repo) {
        Some(bare) => {
            let oid = git2::Oid::from_str(&sha).map_err(|_| Reply::message(422, "Object does not exist"))?;
            bare.reference(&name, oid, false, "made through the API").map_err(|_| exists())?;
        }
        None if state.repos[&repo].tags.contains_key(&tag) => return Err(exists()),
        None => {
            repo_mut(state, repo).tags.insert(tag, sha.clone());
        }
    }
    Ok(Reply::json(201, &json!({"ref": name, "object": {"type": "tag", "sha": sha}})))
}

/// What GitHub does when a release is published whose tag is not there: a plain one, at the commit or branch that the
/// release names, or else where the default branch is by now.
pub(super) fn tag_published(state: &mut State, repo: u64, (tag, target): (&str, &str)) {
    let target = if target.is_empty() { &state.repos[&repo].default_branch } else { target }.to_owned();
    let Some(bare) = bare(state, repo) else {
        repo_mut(state, repo).tags.entry(tag.to_owned()).or_insert(target);
        return;
    };
    let name = format!("refs/tags/{tag}");
    if bare.find_reference(&name).is_err() {
        let target = bare.revparse_single(&target).expect("a commit or a branch").id();
        bare.reference(&name, target, false, "made by publishing").expect("a tag");
    }
}

pub(super) fn read_ref(state: &State, call: &Call, repo: u64, tag: &str) -> Answered {
    call.need(state, repo, "contents", "read")?;
    let name = format!("refs/tags/{tag}");
    let (is_tag, sha) = if let Some(bare) = bare(state, repo) {
        let found = bare.find_reference(&name).map_err(|_| not_found())?;
        let oid = found.target().ok_or_else(not_found)?;
        (bare.find_tag(oid).is_ok(), oid.to_string())
    } else {
        let sha = state.repos[&repo].tags.get(tag).cloned().ok_or_else(not_found)?;
        (state.repos[&repo].tag_objects.contains_key(&sha), sha)
    };
    let kind = if is_tag { "tag" } else { "commit" };
    Ok(Reply::json(200, &json!({"ref": name, "object": {"type": kind, "sha": sha}})))
}

/// `/git/<owner>/<name>.git/…`: reading only, for tokens that may read the contents.
pub(super) async fn answer(shared: &Shared, call: &Call) -> Reply {
    let [_, owner, name, rest @ ..] = call.path.as_slice() else { return not_found() };
    let full = format!("{owner}/{}", name.strip_suffix(".git").unwrap_or(name));
    let root = {
        let state = lock(&shared.state);
        let Some(id) = state.repo_by_name(&full) else { return not_found() };
        if let Err(refusal) = call.need(&state, id, "contents", "read") {
            let challenge = matches!(call.auth, Auth::None | Auth::Bad(_));
            return if challenge {
                refusal.with("www-authenticate", "Basic realm=\"GitHub\"")
            } else {
                refusal
            };
        }
        match &state.repos[&id].bare {
            Some(root) => root.clone(),
            None => return not_found(),
        }
    };
    let header = |name: &str| call.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}", rest.join("/")))
        .env("QUERY_STRING", &call.raw_query)
        .env("REQUEST_METHOD", call.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", call.bytes.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        // GitHub serves any commit by its id, and pushes are no part of this fake.
        .envs([("GIT_CONFIG_COUNT", "3"), ("GIT_CONFIG_KEY_0", "uploadpack.allowAnySHA1InWant")])
        .envs([("GIT_CONFIG_VALUE_0", "true"), ("GIT_CONFIG_KEY_1", "safe.directory")])
        .envs([("GIT_CONFIG_VALUE_1", "*"), ("GIT_CONFIG_KEY_2", "http.receivepack")])
        .env("GIT_CONFIG_VALUE_2", "false")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&call.bytes).await.expect("git reads its input");
    drop(stdin);
    let output = child.wait_with_output().await.expect("git ends");
    cgi(&output.stdout)
}

/// Reads what a CGI program wrote: headers, an empty line, the body.
fn cgi(output: &[u8]) -> Reply {
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").expect("headers end");
    let mut reply =
        Reply { status: 200, headers: Vec::new(), body: Bytes::copy_from_slice(&output[end + 4..]) };
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => reply.status = status[..3].parse().expect("a status"),
            Some((name, value)) => reply.headers.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    reply
}
