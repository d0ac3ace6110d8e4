//! The JSON API: the same facts as the pages, and the same commands as comments.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Json, extract};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::store::Incoming;
use crate::domain::name::{Alias, CommitSha, Digest, Login};
use crate::domain::person::Standing;
use crate::domain::simulate::ahead::{Act, Ahead};
use crate::http::State;
use crate::http::about::About;
use crate::http::approvals::AskedLine;
use crate::http::builds::{BuildRow, WhichBuilds};
use crate::http::digests::DigestPage;
use crate::http::error::{Fault, Why};
use crate::http::evidence::{EvidenceList, FileBytes, Form};
use crate::http::extract::{Asked, At, Sent};
use crate::http::notes::{NotesText, Written};
use crate::http::queue::{Cancel, QueueLine};
use crate::http::resources::Resource;
use crate::http::retention::{Deleted, RetentionLine};
use crate::http::runbooks::RunbooksPage;
use crate::http::session::Caller;
use crate::http::typed::Says as _;
use crate::http::upload::Admitted;
use crate::http::view::{ReleaseHead, ReleasePage, StageBox, VariableLine};
use crate::store::delivery::Delivery;
use crate::store::stream::{EventFilter, StoredEvent};
use crate::trouble::Outcome;

/// Rows of a list when none are asked for.
const ROWS: u32 = 50;
/// Rows of a list at most.
const MOST_ROWS: u32 = 500;
/// Lines of a log at most.
const MOST_LINES: u32 = 5000;
/// Shortest prefix of a commit: as short as git itself abbreviates.
const PREFIX: usize = 7;

/// Where the page of one release comes from.
pub trait Reader: Send + Sync {
    /// Everything about a release; `NotFound` when there is none with this number.
    fn release_page<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<ReleasePage>>;
    /// What was built and sealed, newest first.
    fn builds<'a>(&'a self, which: &'a WhichBuilds) -> BoxFuture<'a, Outcome<Vec<BuildRow>>>;
    /// What a pipeline says about itself; nothing when it does not exist.
    fn about<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<About>>;
    /// What a pipeline works with beside its files; `NotFound` when there is no such pipeline.
    fn resources<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<Vec<Resource>>>;
    /// What would come of doing something now; `NotFound` when there is no such pipeline.
    fn ahead<'a>(&'a self, stream: &'a str, act: Act) -> BoxFuture<'a, Outcome<Ahead>>;
    /// Why the rules in force are not those at the head of the pipeline's branch; none when they are.
    fn pending_apply<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<Option<String>>>;
    /// What runs and waits, of one pipeline or of all; `NotFound` when there is no such pipeline.
    fn queue<'a>(&'a self, stream: Option<&'a str>) -> BoxFuture<'a, Outcome<Vec<QueueLine>>>;
    /// What waits for people: of everybody, or what one person can still decide.
    fn asked<'a>(&'a self, person: Option<&'a Login>) -> BoxFuture<'a, Outcome<Vec<AskedLine>>>;
    /// Every release with stored bytes, and why they are kept.
    fn retention(&self) -> BoxFuture<'_, Outcome<Vec<RetentionLine>>>;
    /// What has this digest; `NotFound` when nothing here has.
    fn digest<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Outcome<DigestPage>>;
    /// The files of a release and the evidence that is kept of it; `NotFound` while nothing is sealed.
    fn evidence<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<EvidenceList>>;
    /// A file of evidence; `NotFound` until it is signed.
    fn proof<'a>(&'a self, stream: &'a str, no: u32, name: &'a str) -> BoxFuture<'a, Outcome<String>>;
    /// The public keys that evidence is signed with, newest first.
    fn keys(&self, form: Form) -> BoxFuture<'_, Outcome<String>>;
    /// The notes of a release, as written or as they would be made now.
    fn notes<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<NotesText>>;
    /// What a release is, for programs.
    fn metadata<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<Value>>;
    /// A file of a release, its bytes hashed again.
    fn file<'a>(&'a self, stream: &'a str, no: u32, name: &'a str) -> BoxFuture<'a, Outcome<FileBytes>>;
    /// The runbooks of a pipeline and their runs; `NotFound` when there is no such pipeline.
    fn runbooks_page<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<RunbooksPage>>;
}

/// What people can make the program do.
pub trait Acts: Send + Sync {
    /// Takes a comment of a host that has none of its own; the answer is given once it is durable.
    fn say(&self, comment: Comment, caller: Caller) -> BoxFuture<'_, Outcome<Reply>>;
    /// Takes one command for a pipeline, as if it stood in a comment.
    fn act(&self, ask: Ask, caller: Caller) -> BoxFuture<'_, Outcome<Reply>>;
    /// Whether somebody may hand in what was built elsewhere, and room for it.
    fn admit_upload<'a>(
        &'a self,
        stream: &'a str,
        by: &'a Login,
        caller: Caller,
    ) -> BoxFuture<'a, Outcome<Admitted>>;
    /// Keeps what was handed in when it is what was said.
    fn end_upload<'a>(
        &'a self,
        stream: &'a str,
        incoming: Incoming,
        what: (Alias, Digest, Option<CommitSha>),
        standing: Standing,
    ) -> BoxFuture<'a, Outcome<Reply>>;
    /// Puts somebody's text in the place of a release's notes.
    fn write_notes<'a>(
        &'a self,
        which: (&'a str, u32),
        written: Written,
        caller: Caller,
    ) -> BoxFuture<'a, Outcome<Reply>>;
    /// Deletes what need not be kept any longer.
    fn retain(&self, caller: Caller) -> BoxFuture<'_, Outcome<Deleted>>;
    /// Takes one run out of the queue.
    fn cancel(&self, cancel: Cancel, caller: Caller) -> BoxFuture<'_, Outcome<Reply>>;
    /// Puts the manifest at the head of a repository's default branch in force.
    fn apply(&self, apply: Apply, caller: Caller) -> BoxFuture<'_, Outcome<Reply>>;
}

/// A comment on a plain host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// The repository.
    pub repo: String,
    /// Where: a commit's id, or a thread's number.
    pub place: String,
    /// The text; commands stand at its top.
    pub body: String,
    /// Who says it.
    #[serde(rename = "as")]
    pub by: String,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The pipeline's stream.
    pub pipeline: String,
    /// The line, such as `/approve prod v1.4.2`.
    pub line: String,
    /// Who says it.
    #[serde(rename = "as")]
    pub by: String,
}

/// A repository whose manifest is to be put in force.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Its name in the server's config, or its id.
    pub repo: String,
}

/// What became of what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// Whether it was taken.
    pub accepted: bool,
    /// What there is to say about it; the same text a comment would get.
    pub text: String,
}

impl Reply {
    /// What was said, or why it was refused.
    pub fn of<R: ToString>(said: Result<String, R>) -> Self {
        match said {
            Ok(text) => Self { accepted: true, text },
            Err(refusal) => Self { accepted: false, text: refusal.to_string() },
        }
    }

    /// The answer of the API: with this status when it was taken.
    pub(super) fn answer(self, taken: StatusCode) -> Response {
        let status = if self.accepted { taken } else { Why::Refused.status() };
        (status, Json(self)).into_response()
    }

    /// The answer to a form: back to a page, or why not.
    pub(super) fn back_to(self, page: &str) -> Result<Redirect, Fault> {
        if self.accepted {
            Ok(Redirect::to(page))
        } else {
            Err(Fault { said: Some(self.text.into()), ..Fault::new(Why::Refused) })
        }
    }
}

fn rows(asked: Option<u32>) -> u32 {
    asked.unwrap_or(ROWS).clamp(1, MOST_ROWS)
}

/// The cursor of a list: the last row's key, when the list was full.
fn cursor<T, K>(list: &[T], limit: u32, key: impl Fn(&T) -> K) -> Option<K> {
    let full = u32::try_from(list.len()).is_ok_and(|length| length >= limit);
    list.last().filter(|_| full).map(key)
}

/// `GET /api/pipelines`.
pub(super) async fn pipelines(extract::State(state): extract::State<State>) -> Result<Json<Value>, Fault> {
    let pipelines = state.store().pipelines().await?;
    let list: Vec<Value> = pipelines
        .into_iter()
        .map(|row| {
            let settings: Value = serde_json::from_str(&row.settings).unwrap_or(Value::Null);
            let starts = settings.get("starts").cloned().unwrap_or_else(|| json!([]));
            json!({ "stream": row.stream, "repo": row.repo_name, "name": row.name, "starts": starts })
        })
        .collect();
    Ok(Json(json!({ "pipelines": list })))
}

/// Which releases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichReleases {
    stream: String,
    version: Option<String>,
    limit: Option<u32>,
    before: Option<u32>,
}

/// `GET /api/releases`: of a pipeline, newest first, or the one with a version.
pub(super) async fn releases(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<WhichReleases>,
) -> Result<Json<Value>, Fault> {
    let (found, limit) = if let Some(version) = &which.version {
        let one = state.store().release_by_version(&which.stream, version).await?;
        (one.into_iter().collect(), u32::MAX)
    } else {
        let limit = rows(which.limit);
        (state.store().latest_releases(&which.stream, limit, which.before).await?, limit)
    };
    let next = cursor(&found, limit, |row| row.no);
    let list: Vec<ReleaseHead> = found.into_iter().map(ReleaseHead::from).collect();
    Ok(Json(json!({ "releases": list, "before": next })))
}

/// A release's address.
pub(super) type ReleaseAt = (String, String, u32);

/// `GET /api/releases/{repo}/{pipeline}/{no}`.
pub(super) async fn release(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): At<ReleaseAt>,
) -> Result<Json<ReleasePage>, Fault> {
    Ok(Json(state.reader().release_page(&format!("{repo}/{pipeline}"), no).await?))
}

/// Why which stage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichStage {
    stage: Option<String>,
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/why`.
pub(super) async fn why(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): At<ReleaseAt>,
    Asked(which): Asked<WhichStage>,
) -> Result<Json<Value>, Fault> {
    let mut page = state.reader().release_page(&format!("{repo}/{pipeline}"), no).await?;
    if let Some(stage) = &which.stage {
        page.why.retain(|why| why.stage == *stage);
    }
    Ok(Json(json!({ "release": page.head, "why": page.why, "next": page.next })))
}

/// What is thought of doing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    act: Option<String>,
}

/// `GET /api/pipelines/{repo}/{pipeline}/plan?act=push`.
pub(super) async fn plan(
    extract::State(state): extract::State<State>,
    At((repo, pipeline)): At<(String, String)>,
    Asked(planned): Asked<Planned>,
) -> Result<Json<Ahead>, Fault> {
    let act = planned.act.as_deref().map_or(Ok(Act::Push), str::parse);
    let act = act.map_err(|why: String| Fault { said: Some(why.into()), ..Fault::new(Why::Malformed) })?;
    Ok(Json(state.reader().ahead(&format!("{repo}/{pipeline}"), act).await?))
}

/// Which variable of which stage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichVariable {
    stage: Option<String>,
    name: Option<String>,
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/variables`.
pub(super) async fn variables(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): At<ReleaseAt>,
    Asked(which): Asked<WhichVariable>,
) -> Result<Json<Value>, Fault> {
    let mut page = state.reader().release_page(&format!("{repo}/{pipeline}"), no).await?;
    if let Some(stage) = &which.stage {
        page.variables.retain(|found| found.stage == *stage);
    }
    if let Some(name) = &which.name {
        let wanted = |found: &VariableLine| found.name.eq_ignore_ascii_case(name);
        page.variables.iter_mut().for_each(|stage| stage.variables.retain(wanted));
    }
    Ok(Json(json!({ "release": page.head, "stages": page.variables })))
}

/// Which commit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichCommit {
    commit: String,
}

/// `GET /api/status?commit=`: the releases of a commit and how they stand, newest first.
pub(super) async fn status(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<WhichCommit>,
) -> Result<Json<Value>, Fault> {
    let prefix = which.commit.to_ascii_lowercase();
    let sane = (PREFIX..=64).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_hexdigit());
    if !sane {
        return Err(Fault::malformed("`commit` is at least 7 hex digits of a commit's id."));
    }
    let mut list = Vec::new();
    for row in state.store().releases_by_commit(&prefix, ROWS).await? {
        let stages = state.store().stages(&row.stream, row.no, row.no).await?;
        let stages: Vec<StageBox> = stages.into_iter().map(StageBox::from).collect();
        let stages = stages.said_as(state.prefix());
        list.push(json!({ "release": ReleaseHead::from(row), "stages": stages }));
    }
    Ok(Json(json!({ "releases": list })))
}

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichEvents {
    stream: Option<String>,
    release: Option<u32>,
    kind: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

/// `GET /api/events`: oldest first, after a number.
pub(super) async fn events(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<WhichEvents>,
) -> Result<Json<Value>, Fault> {
    let limit = rows(which.limit);
    let filter = EventFilter { stream: which.stream, release: which.release, kind: which.kind };
    let found = state.store().events(&filter, which.after.unwrap_or(0), limit).await?;
    let next = cursor(&found, limit, |event| event.seq);
    let list: Vec<Value> = found.iter().map(event_json).collect();
    Ok(Json(json!({ "events": list, "after": next })))
}

/// An event as programs read it.
pub(super) fn event_json(event: &StoredEvent) -> Value {
    let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
    json!({
        "seq": event.seq,
        "stream": event.stream,
        "version": event.version,
        "kind": event.kind,
        "release": event.release,
        "data": data,
        "actor": event.actor,
        "cause": event.cause,
        "at": event.at.rfc3339(),
        "hash": hex::encode(&event.hash),
    })
}

/// Which page of a list that goes down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Older {
    pub(super) limit: Option<u32>,
    pub(super) before: Option<i64>,
}

/// `GET /api/deliveries`: newest first, without bodies.
pub(super) async fn deliveries(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Older>,
) -> Result<Json<Value>, Fault> {
    let limit = rows(which.limit);
    let found = state.store().deliveries(limit, which.before).await?.said_as(state.prefix());
    let next = cursor(&found, limit, |delivery| delivery.seq);
    let list: Vec<Value> = found.iter().map(delivery_json).collect();
    Ok(Json(json!({ "deliveries": list, "before": next })))
}

fn delivery_json(delivery: &Delivery) -> Value {
    let headers: Value = serde_json::from_str(&delivery.headers).unwrap_or(Value::Null);
    json!({
        "seq": delivery.seq,
        "source": delivery.source,
        "id": delivery.guid,
        "event": delivery.event,
        "repo": delivery.repo,
        "headers": headers,
        "received_at": delivery.received_at.rfc3339(),
        "size": delivery.size,
        "seen": delivery.seen,
        "state": delivery.state.word(),
        "error": delivery.error,
    })
}

/// `GET /api/deliveries/{seq}`: one, with its body as text when it is text.
pub(super) async fn delivery(
    extract::State(state): extract::State<State>,
    At(seq): At<i64>,
) -> Result<Json<Value>, Fault> {
    let found = state.store().delivery(seq).await?.said_as(state.prefix());
    let mut shown = delivery_json(&found);
    let body = found.body.map(|body| String::from_utf8_lossy(&body).into_owned());
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("body".to_owned(), body.map_or(Value::Null, Value::String));
    }
    Ok(Json(shown))
}

/// `POST /api/deliveries/{seq}/replay`.
pub(super) async fn replay(
    extract::State(state): extract::State<State>,
    At(seq): At<i64>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    state.store().replay(seq).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "result": "ready again", "delivery": seq }))))
}

/// Which lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichLines {
    from: Option<i64>,
    limit: Option<u32>,
}

/// `GET /api/logs/{id}`: lines as they are stored.
pub(super) async fn log(
    extract::State(state): extract::State<State>,
    At(id): At<String>,
    Asked(which): Asked<WhichLines>,
) -> Result<Json<Value>, Fault> {
    let limit = which.limit.unwrap_or(MOST_LINES).clamp(1, MOST_LINES);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let lines = state.store().read_log(&id, which.from.unwrap_or(0), most).await?;
    let next = cursor(&lines, limit, |line| line.no.saturating_add(1));
    let list: Vec<Value> = lines.iter().map(|line| json!({ "no": line.no, "text": line.text })).collect();
    Ok(Json(json!({ "lines": list, "from": next })))
}

/// `POST /api/comments`.
pub(super) async fn comment(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Sent(comment): Sent<Comment>,
) -> Result<Response, Fault> {
    whole(&[&comment.repo, &comment.place, &comment.body, &comment.by])?;
    Ok(state.acts().say(comment, caller).await?.answer(StatusCode::OK))
}

/// `POST /api/ask`.
pub(super) async fn ask(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Sent(ask): Sent<Ask>,
) -> Result<Response, Fault> {
    whole(&[&ask.pipeline, &ask.line, &ask.by])?;
    Ok(state.acts().act(ask, caller).await?.answer(StatusCode::OK))
}

/// `POST /api/apply`.
pub(super) async fn apply(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Sent(apply): Sent<Apply>,
) -> Result<Response, Fault> {
    whole(&[&apply.repo])?;
    Ok(state.acts().apply(apply, caller).await?.answer(StatusCode::OK))
}

/// An empty text is no identity and no command (THREATS T33).
fn whole(fields: &[&str]) -> Result<(), Fault> {
    let empty = fields.iter().any(|field| field.trim().is_empty());
    if empty { Err(Fault::malformed("No field may be empty.")) } else { Ok(()) }
}
