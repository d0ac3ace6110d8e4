//! The library over the API: groups as JSON; a secret goes in, and never comes out.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json, extract};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::domain::group::access::{GroupRole, Principal};
use crate::domain::group::{Entry, Group, Refused, Value};
use crate::domain::name::{GroupName, Login, NameError, PipelineId, SecretAddress, VariableName};
use crate::http::State;
use crate::http::error::{Fault, Why};
use crate::http::extract::{Asked, At, Hushed};
use crate::http::session::Caller;
use crate::secret::Secret;
use crate::service::library::{Edit, NewValue, Visitor};

/// Groups on one page of the list.
pub(super) const GROUPS: u32 = 200;
/// Entries of a history at a time.
pub(super) const ENTRIES: u32 = 50;

/// A text of a request that nobody may see again.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(String);

/// A value as the API takes it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Given {
    /// `{"plain": "text"}`.
    Plain(String),
    /// `{"secret": "text"}`.
    Secret(Hidden),
    /// `{"at": "vault:path#key"}`.
    At(SecretAddress),
    /// `"generate"`.
    Generate,
}

/// What is to be different.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Changes {
    set: BTreeMap<VariableName, Given>,
    unset: BTreeSet<VariableName>,
    grant: BTreeMap<String, GroupRole>,
    revoke: BTreeSet<String>,
    expect: Option<u32>,
    #[serde(rename = "as")]
    by: Option<Login>,
}

/// A new group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: GroupName,
    #[serde(default)]
    set: BTreeMap<VariableName, Given>,
    #[serde(default)]
    grant: BTreeMap<String, GroupRole>,
    #[serde(rename = "as")]
    by: Option<Login>,
}

/// Groups for the stages of a pipeline.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForStages {
    template: String,
    #[serde(default)]
    with: BTreeMap<String, String>,
    #[serde(rename = "as")]
    by: Option<Login>,
}

/// What the rules refuse, as an answer: who may not learn what, is told so under its stable code.
pub(super) fn refused(refused: &Refused) -> Fault {
    let why = match refused {
        Refused::Missing(_) => Why::NotFound,
        Refused::Exists(_) | Refused::Stale { .. } => Why::Conflict,
        Refused::Role { .. } | Refused::Create { .. } => Why::Forbidden,
        Refused::NoVariable(..)
        | Refused::Full(_)
        | Refused::Empty(_)
        | Refused::BadSecret(..)
        | Refused::BadTemplate(_)
        | Refused::BadValue(_)
        | Refused::LastAdministrator(_)
        | Refused::NoRole(..) => Why::Refused,
    };
    Fault { said: Some(refused.to_string().into()), ..Fault::new(why) }
}

/// Reads a name that a request gives.
pub(super) fn named<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|e: NameError| Fault::malformed(e.to_string()))
}

/// Who came in. The server's own token may say who it speaks for, where it may do so in comments as well; a personal
/// token speaks for nobody else.
pub(super) async fn visitor(state: &State, caller: Caller, by: Option<Login>) -> Result<Visitor, Fault> {
    let Some(by) = by else { return Ok(Visitor { login: caller.login, name: caller.name }) };
    let same = caller.login.as_ref().is_some_and(|own| own.as_str().eq_ignore_ascii_case(by.as_str()));
    let speaks = caller.login.is_none() && state.library().speaks_for(&by).await?;
    if !same && !speaks {
        let said = format!("{} does not speak for {by}; use the personal token of {by}", caller.name);
        return Err(Fault { said: Some(said.into()), ..Fault::new(Why::Forbidden) });
    }
    Ok(Visitor { login: Some(by), name: caller.name })
}

impl Given {
    /// What the library is asked for.
    pub(super) fn value(self) -> NewValue {
        match self {
            Self::Plain(text) => NewValue::Plain(text),
            Self::Secret(Hidden(text)) => NewValue::Secret(Secret::new(text)),
            Self::At(at) => NewValue::At(at),
            Self::Generate => NewValue::Generated,
        }
    }
}

fn values(given: BTreeMap<VariableName, Given>) -> BTreeMap<VariableName, NewValue> {
    given.into_iter().map(|(name, value)| (name, value.value())).collect()
}

/// Somebody as a request names them: `pipeline:web` is enough where one pipeline of the server is called so.
pub(super) async fn principal(state: &State, text: &str) -> Result<Principal, Fault> {
    let Some(name) = text.strip_prefix("pipeline:").filter(|name| !name.contains('/')) else {
        return named(text);
    };
    Ok(Principal::Pipeline(pipeline(state, name).await?))
}

/// A pipeline by its full id, or by its name where that is enough.
async fn pipeline(state: &State, text: &str) -> Result<PipelineId, Fault> {
    if text.contains('/') {
        return named(text);
    }
    let mut streams: Vec<String> =
        state.store().pipelines().await?.into_iter().filter(|p| p.name == text).map(|p| p.stream).collect();
    match (streams.pop(), streams.len()) {
        (Some(only), 0) => named(&only),
        (None, _) => Err(Fault::malformed(format!(
            "No pipeline here is called `{text}`; write `pipeline:<repository id>/<name>`, or push its manifest first."
        ))),
        (Some(last), _) => Err(Fault::malformed(format!(
            "Several pipelines are called `{text}`: {last}, {}. Write one of them in full.",
            streams.join(", ")
        ))),
    }
}

async fn grants(
    state: &State,
    given: BTreeMap<String, GroupRole>,
) -> Result<BTreeMap<Principal, GroupRole>, Fault> {
    let mut grants = BTreeMap::new();
    for (who, role) in given {
        grants.insert(principal(state, &who).await?, role);
    }
    Ok(grants)
}

/// A group as programs read it, to who has this role on it.
fn group_json(group: &Group, role: GroupRole) -> JsonValue {
    let values: serde_json::Map<String, JsonValue> = group
        .values
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Plain(text) => json!({ "plain": text }),
                Value::Secret(secret) => json!({ "secret": { "at": secret.at, "version": secret.version } }),
            };
            (name.to_string(), value)
        })
        .collect();
    json!({
        "name": group.name, "version": group.version, "role": role, "values": values,
        "access": group.access.roles,
    })
}

fn entry_json(entry: &Entry) -> JsonValue {
    let changes: Vec<String> = entry.changes.iter().map(ToString::to_string).collect();
    json!({
        "version": entry.version, "at": entry.at.rfc3339(), "by": entry.by.to_string(),
        "author": entry.by, "changes": changes,
    })
}

/// Which page of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    pub(super) after: Option<String>,
}

/// `GET /api/groups`: those the caller has a role on.
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Asked(which): Asked<After>,
) -> Result<Json<JsonValue>, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (groups, next) = state.library().list(&visitor, &which.after.unwrap_or_default(), GROUPS).await?;
    let list: Vec<JsonValue> = groups
        .iter()
        .map(|(group, role)| {
            json!({ "name": group.name, "version": group.version, "role": role, "variables": group.values.len() })
        })
        .collect();
    Ok(Json(json!({ "groups": list, "after": next })))
}

/// `POST /api/groups`.
pub(super) async fn create(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Hushed(new): Hushed<New>,
) -> Result<Response, Fault> {
    let visitor = visitor(&state, caller, new.by).await?;
    let edit = Edit { set: values(new.set), grant: grants(&state, new.grant).await?, ..Edit::default() };
    let group = state.library().create(&visitor, &new.name, &edit).await?.map_err(|r| refused(&r))?;
    Ok((StatusCode::CREATED, Json(group_json(&group, GroupRole::Administrator))).into_response())
}

/// `POST /api/pipelines/{repo}/{pipeline}/groups`: one for each stage, those that are not there yet.
pub(super) async fn create_for_stages(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, name)): At<(String, String)>,
    Hushed(asked): Hushed<ForStages>,
) -> Result<Json<JsonValue>, Fault> {
    let visitor = visitor(&state, caller, asked.by).await?;
    let id = if repo == "-" { pipeline(&state, &name).await? } else { named(&format!("{repo}/{name}"))? };
    let made = state.library().create_for_stages(&visitor, &id, (&asked.template, &asked.with)).await?;
    let made = made.map_err(|r| refused(&r))?;
    let list: Vec<JsonValue> = made.iter().map(|(name, new)| json!({ "name": name, "new": new })).collect();
    Ok(Json(json!({ "pipeline": id.to_string(), "groups": list })))
}

/// `GET /api/groups/{name}`.
pub(super) async fn show(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(name): At<String>,
) -> Result<Json<JsonValue>, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (group, role) = state.library().see(&visitor, &named(&name)?).await?.map_err(|r| refused(&r))?;
    Ok(Json(group_json(&group, role)))
}

/// `POST /api/groups/{name}`: all of it or nothing, as one version.
pub(super) async fn edit(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(name): At<String>,
    Hushed(changes): Hushed<Changes>,
) -> Result<Json<JsonValue>, Fault> {
    let visitor = visitor(&state, caller, changes.by).await?;
    let mut revoke = BTreeSet::new();
    for who in &changes.revoke {
        revoke.insert(principal(&state, who).await?);
    }
    let edit = Edit {
        set: values(changes.set),
        unset: changes.unset,
        grant: grants(&state, changes.grant).await?,
        revoke,
        expect: changes.expect,
    };
    let changed = state.library().edit(&visitor, &named(&name)?, &edit).await?.map_err(|r| refused(&r))?;
    let made: Vec<String> = changed.changes.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "group": group_json(&changed.group, GroupRole::Administrator), "changes": made })))
}

/// Which entries of a history.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    pub(super) before: Option<u32>,
}

/// `GET /api/groups/{name}/history`: newest first.
pub(super) async fn history(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(name): At<String>,
    Asked(which): Asked<Before>,
) -> Result<Json<JsonValue>, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let before = which.before.unwrap_or(u32::MAX);
    let entries = state.library().history(&visitor, &named(&name)?, (before, ENTRIES)).await?;
    let entries = entries.map_err(|r| refused(&r))?;
    let full = u32::try_from(entries.len()).is_ok_and(|count| count >= ENTRIES);
    let next = entries.last().filter(|_| full).map(|entry| entry.version);
    let list: Vec<JsonValue> = entries.iter().map(entry_json).collect();
    Ok(Json(json!({ "history": list, "before": next })))
}
