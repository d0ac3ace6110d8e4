//! Releases of the fake: drafts that only writers see, assets that may break off, downloads without credentials.

use std::collections::BTreeMap;

use bytes::Bytes;
use liftlock::domain::name::Digest;
use serde_json::{Value, json};

use super::api::{Answered, not_found, repo_mut};
use super::git;
use super::state::State;
use super::web::{Call, Reply};

/// A release as GitHub keeps it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Release {
    pub(crate) tag: String,
    pub(crate) commit: String,
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) draft: bool,
    pub(crate) early: bool,
    /// By number.
    pub(crate) assets: BTreeMap<u64, Asset>,
}

/// A file of a release.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    /// False for `starter`, which an upload leaves that broke off.
    pub(crate) whole: bool,
}

impl Release {
    /// Its files by name.
    pub(crate) fn files(&self) -> BTreeMap<&str, &Bytes> {
        self.assets.values().map(|asset| (asset.name.as_str(), &asset.bytes)).collect()
    }
}

pub(super) fn answer(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Option<Answered> {
    Some(match (call.method.as_str(), rest) {
        ("GET", ["releases"]) => list(state, call, repo),
        ("POST", ["releases"]) => make(state, call, repo),
        ("GET", ["releases", "tags", tag @ ..]) => by_tag(state, call, repo, &tag.join("/")),
        ("PATCH", ["releases", release]) => change(state, call, repo, release),
        ("POST", ["releases", release, "assets"]) => upload(state, call, repo, release),
        ("DELETE", ["releases", "assets", asset]) => remove(state, call, repo, asset),
        ("GET", ["releases", "download", tag, name]) => download(state, repo, tag, name),
        _ => return None,
    })
}

fn shown(state: &State, call: &Call, repo: u64, id: u64) -> Value {
    let name = &state.repos[&repo].name;
    let release = &state.repos[&repo].releases[&id];
    let host = call.headers.get("host").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let asset = |(no, asset): (&u64, &Asset)| {
        let digest = asset.whole.then(|| Digest::of_bytes(&asset.bytes).to_string());
        json!({
            "id": no, "name": asset.name, "size": asset.bytes.len(), "digest": digest,
            "state": if asset.whole { "uploaded" } else { "starter" },
            "browser_download_url": format!("http://{host}/repos/{name}/releases/download/{}/{}", release.tag, asset.name),
        })
    };
    json!({
        "id": id, "tag_name": release.tag, "target_commitish": release.commit, "name": release.name,
        "body": release.body, "draft": release.draft, "prerelease": release.early,
        "html_url": format!("https://github.example/{name}/releases/tag/{}", release.tag),
        "assets": release.assets.iter().map(asset).collect::<Vec<_>>(),
    })
}

fn list(state: &State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "contents", "read")?;
    // Only who may write sees drafts.
    let writes = call.need(state, repo, "contents", "write").is_ok();
    let releases = state.repos[&repo].releases.iter().rev().filter(|(_, release)| writes || !release.draft);
    let all: Vec<Value> = releases.map(|(id, _)| shown(state, call, repo, *id)).collect();
    Ok(call.page(&all))
}

fn by_tag(state: &State, call: &Call, repo: u64, tag: &str) -> Answered {
    call.need(state, repo, "contents", "read")?;
    let found = state.repos[&repo].releases.iter().find(|(_, release)| release.tag == tag && !release.draft);
    let (id, _) = found.ok_or_else(not_found)?;
    Ok(Reply::json(200, &shown(state, call, repo, *id)))
}

fn make(state: &mut State, call: &Call, repo: u64) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let release = Release {
        tag: call.text("tag_name"),
        commit: call.text("target_commitish"),
        name: call.text("name"),
        body: call.text("body"),
        draft: call.body["draft"].as_bool().unwrap_or(false),
        early: call.body["prerelease"].as_bool().unwrap_or(false),
        assets: BTreeMap::new(),
    };
    let id = state.fresh_id();
    if !release.draft {
        git::tag_published(state, repo, (&release.tag, &release.commit));
    }
    repo_mut(state, repo).releases.insert(id, release);
    Ok(Reply::json(201, &shown(state, call, repo, id)))
}

fn change(state: &mut State, call: &Call, repo: u64, release: &str) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let id: u64 = release.parse().map_err(|_| not_found())?;
    let found = repo_mut(state, repo).releases.get_mut(&id).ok_or_else(not_found)?;
    let texts = [
        ("tag_name", &mut found.tag),
        ("target_commitish", &mut found.commit),
        ("name", &mut found.name),
        ("body", &mut found.body),
    ];
    for (key, text) in texts {
        if let Some(said) = call.body[key].as_str() {
            said.clone_into(text);
        }
    }
    for (key, mark) in [("draft", &mut found.draft), ("prerelease", &mut found.early)] {
        *mark = call.body[key].as_bool().unwrap_or(*mark);
    }
    let Release { tag, commit, draft, .. } = found.clone();
    if !draft {
        git::tag_published(state, repo, (&tag, &commit));
    }
    Ok(Reply::json(200, &shown(state, call, repo, id)))
}

fn upload(state: &mut State, call: &Call, repo: u64, release: &str) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let id: u64 = release.parse().map_err(|_| not_found())?;
    let name = call.query.get("name").cloned().unwrap_or_default();
    let no = state.fresh_id();
    let half = state.breaks_off.take_if(|wanted| *wanted == name).is_some();
    let found = repo_mut(state, repo).releases.get_mut(&id).ok_or_else(not_found)?;
    if found.assets.values().any(|asset| asset.name == name) {
        let errors = json!([{"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}]);
        return Err(Reply::json(422, &json!({"message": "Validation Failed", "errors": errors})));
    }
    let bytes = if half { call.bytes.slice(..call.bytes.len() / 2) } else { call.bytes.clone() };
    found.assets.insert(no, Asset { name, bytes, whole: !half });
    if half {
        return Err(Reply::message(502, "Error processing your request"));
    }
    Ok(Reply::json(201, &json!({"id": no, "state": "uploaded"})))
}

fn remove(state: &mut State, call: &Call, repo: u64, asset: &str) -> Answered {
    call.need(state, repo, "contents", "write")?;
    let id: u64 = asset.parse().map_err(|_| not_found())?;
    let mut releases = repo_mut(state, repo).releases.values_mut();
    releases.find_map(|release| release.assets.remove(&id)).ok_or_else(not_found)?;
    Ok(Reply { status: 204, headers: Vec::new(), body: Bytes::new() })
}

/// What everybody gets, without a token.
fn download(state: &State, repo: u64, tag: &str, name: &str) -> Answered {
    let repo = &state.repos[&repo];
    let hidden = repo.private || state.downloads_are_lost;
    let release = repo.releases.values().find(|release| release.tag == tag && !release.draft && !hidden);
    let found = release.and_then(|release| release.files().get(name).copied().cloned());
    let body = found.ok_or_else(not_found)?;
    Ok(Reply { status: 200, headers: Vec::new(), body })
}
