//! The pages of the library: groups, one group with its history, and its security (CHECKLIST A09).

use askama::Template;
use axum::response::{Redirect, Response};
use axum::{Extension, extract};
use serde::Deserialize;

use crate::domain::group::access::GroupRole;
use crate::domain::group::{Entry, Group, Value};
use crate::domain::name::GroupName;
use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::{Asked, At, Filled};
use crate::http::groups::{After, Before, ENTRIES, GROUPS, named, principal, refused, visitor};
use crate::http::pages::{Times, shown};
use crate::http::session::Caller;
use crate::secret::Secret;
use crate::service::library::{Edit, NewValue, Visitor};

/// Who looks at a page, and what they may do here.
struct Looker {
    name: String,
    known: bool,
    role: GroupRole,
}

impl Looker {
    fn new(visitor: &Visitor, role: GroupRole) -> Self {
        let name = visitor.login.as_ref().map_or_else(|| visitor.name.clone(), ToString::to_string);
        Self { name, known: visitor.login.is_some(), role }
    }

    fn administers(&self) -> bool {
        self.role == GroupRole::Administrator
    }
}

#[derive(Template)]
#[template(path = "pages/groups.html")]
struct GroupsPage {
    groups: Vec<(Group, GroupRole)>,
    next: Option<String>,
    looker: Looker,
}

/// `GET /groups`.
pub(super) async fn groups(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Asked(which): Asked<After>,
) -> Result<Response, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (groups, next) = state.library().list(&visitor, &which.after.unwrap_or_default(), GROUPS).await?;
    shown(&GroupsPage { groups, next, looker: Looker::new(&visitor, GroupRole::Reader) })
}

/// A form that makes a group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    name: String,
}

/// `POST /groups`.
pub(super) async fn create(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Filled(new): Filled<NewGroup>,
) -> Result<Redirect, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let name: GroupName = named(new.name.trim())?;
    state.library().create(&visitor, &name, &Edit::default()).await?.map_err(|r| refused(&r))?;
    Ok(Redirect::to(&format!("/groups/{name}")))
}

/// A variable on a page.
struct Line {
    name: String,
    text: String,
    secret: bool,
}

#[derive(Template)]
#[template(path = "pages/group.html")]
struct GroupPage {
    group: Group,
    lines: Vec<Line>,
    history: Vec<Entry>,
    before: Option<u32>,
    looker: Looker,
    times: Times,
}

/// `GET /groups/{name}`.
pub(super) async fn group(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(name): At<String>,
    Asked(which): Asked<Before>,
) -> Result<Response, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let name = named(&name)?;
    let (group, role) = state.library().see(&visitor, &name).await?.map_err(|r| refused(&r))?;
    let from = which.before.unwrap_or(u32::MAX);
    let history =
        state.library().history(&visitor, &name, (from, ENTRIES)).await?.map_err(|r| refused(&r))?;
    let full = u32::try_from(history.len()).is_ok_and(|count| count >= ENTRIES);
    let before = history.last().filter(|_| full).map(|entry| entry.version);
    let lines = group.values.iter().map(|(name, value)| match value {
        Value::Plain(text) => Line { name: name.to_string(), text: text.clone(), secret: false },
        Value::Secret(secret) => Line { name: name.to_string(), text: secret.at.to_string(), secret: true },
    });
    let lines = lines.collect();
    let looker = Looker::new(&visitor, role);
    shown(&GroupPage { lines, history, before, looker, times: Times::at(state.now()), group })
}

/// A form that sets a variable or takes it out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variable {
    name: String,
    kind: String,
    #[serde(default)]
    value: String,
    expect: u32,
}

/// `POST /groups/{name}`.
pub(super) async fn set(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(group): At<String>,
    Filled(form): Filled<Variable>,
) -> Result<Redirect, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (group, name) = (named::<GroupName>(&group)?, named(form.name.trim())?);
    let mut edit = Edit { expect: Some(form.expect), ..Edit::default() };
    let value = match form.kind.as_str() {
        "plain" => Some(NewValue::Plain(form.value)),
        "secret" => Some(NewValue::Secret(Secret::new(form.value))),
        "generate" => Some(NewValue::Generated),
        "at" => Some(NewValue::At(named(form.value.trim())?)),
        "unset" => None,
        _ => return Err(Fault::malformed("The form says neither plain, secret, generate, at nor unset.")),
    };
    match value {
        Some(value) => drop(edit.set.insert(name, value)),
        None => drop(edit.unset.insert(name)),
    }
    state.library().edit(&visitor, &group, &edit).await?.map_err(|r| refused(&r))?;
    Ok(Redirect::to(&format!("/groups/{group}")))
}

#[derive(Template)]
#[template(path = "pages/group-security.html")]
struct SecurityPage {
    group: Group,
    looker: Looker,
}

/// `GET /groups/{name}/security`.
pub(super) async fn security(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(name): At<String>,
) -> Result<Response, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (group, role) = state.library().see(&visitor, &named(&name)?).await?.map_err(|r| refused(&r))?;
    shown(&SecurityPage { group, looker: Looker::new(&visitor, role) })
}

/// A form that gives a role or takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleOf {
    who: String,
    role: String,
    expect: u32,
}

/// `POST /groups/{name}/security`.
pub(super) async fn secure(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(group): At<String>,
    Filled(form): Filled<RoleOf>,
) -> Result<Redirect, Fault> {
    let visitor = visitor(&state, caller, None).await?;
    let (group, who) = (named::<GroupName>(&group)?, principal(&state, form.who.trim()).await?);
    let mut edit = Edit { expect: Some(form.expect), ..Edit::default() };
    match form.role.as_str() {
        "none" => drop(edit.revoke.insert(who)),
        role => drop(edit.grant.insert(who, named(role)?)),
    }
    state.library().edit(&visitor, &group, &edit).await?.map_err(|r| refused(&r))?;
    Ok(Redirect::to(&format!("/groups/{group}/security")))
}
