//! What people see in a browser: read, put into a template, done; nothing here changes anything but a replay.

use std::collections::BTreeMap;

use askama::Template;
use askama::filters::Safe;
use axum::extract;
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::about::About;
use crate::http::api::{Older, ReleaseAt};
use crate::http::error::{Fault, Why};
use crate::http::extract::{Asked, At};
use crate::http::typed::Says as _;
use crate::http::view::{Grid, Overview, ReleasePage, Shown, plain_line, readable};
use crate::store::log::LogLine;
use crate::store::model::PipelineRow;
use crate::store::stream::{EventFilter, StoredEvent};
use crate::trouble::Trouble;

/// Releases a pipeline shows on the overview: what is on its way and what it replaces.
const NEWEST: u32 = 6;
/// Pipelines on one page of the overview.
const PIPELINES: usize = 50;
/// Releases on one page of a pipeline.
const RELEASES: u32 = 30;
/// Rows of other lists on one page.
const ROWS: u32 = 50;
/// Lines of a log on one page.
const LINES: usize = 2000;
/// Bytes of a body that a page shows; the rest is a link away.
const BODY: usize = 64 << 10;

/// Tells how long ago something was.
pub(super) struct Times(Timestamp);

impl Times {
    /// As seen from this moment.
    pub(super) fn at(now: Timestamp) -> Self {
        Self(now)
    }

    /// A `<time>` with the exact moment behind a few words.
    pub(super) fn ago(&self, at: impl std::borrow::Borrow<Timestamp>) -> Safe<String> {
        let at = *at.borrow();
        let words = if at > self.0 {
            format!("in {}", rough(at.since(self.0).as_millis()))
        } else {
            match rough(self.0.since(at).as_millis()).as_str() {
                "moments" => "just now".to_owned(),
                past => format!("{past} ago"),
            }
        };
        Safe(format!("<time datetime=\"{}\" title=\"{}\">{words}</time>", at.rfc3339(), at.minute()))
    }
}

fn rough(millis: u64) -> String {
    let minutes = millis / 60_000;
    match minutes {
        0 => "moments".to_owned(),
        1..=59 => format!("{minutes} min"),
        60..=1439 => format!("{} h", minutes / 60),
        1440..=2879 => "1 day".to_owned(),
        _ => format!("{} days", minutes / 1440),
    }
}

/// A page as an answer.
pub(super) fn shown(template: &impl Template) -> Result<Response, Fault> {
    let html = template.render().map_err(|e| Trouble::bug("write a page").because(e))?;
    Ok(Html(html).into_response())
}

/// A refusal as a page.
#[derive(Template)]
#[template(path = "pages/fault.html")]
pub(super) struct FaultPage<'a> {
    status: u16,
    headline: &'static str,
    message: &'a str,
    request: &'a str,
}

impl<'a> FaultPage<'a> {
    pub(super) fn new(why: Why, message: &'a str, request: &'a str) -> Self {
        let status = why.status();
        Self {
            status: status.as_u16(),
            headline: status.canonical_reason().unwrap_or("Refused"),
            message,
            request,
        }
    }
}

#[derive(Template)]
#[template(path = "pages/overview.html")]
struct OverviewPage {
    view: Overview,
    after: i64,
    times: Times,
}

/// Which page of the overview.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<String>,
}

/// `GET /`.
pub(super) async fn overview(
    extract::State(state): extract::State<State>,
    Asked(from): Asked<After>,
) -> Result<Response, Fault> {
    let from = from.after.unwrap_or_default();
    let known = state.store().pipelines().await?;
    let mut left = known.into_iter().filter(|pipeline| pipeline.stream > from).peekable();
    let mut pipelines = Vec::new();
    for pipeline in left.by_ref().take(PIPELINES) {
        pipelines.push(grid(&state, pipeline, NEWEST, None).await?);
    }
    let more = left.peek().and(pipelines.last()).map(|grid| grid.stream.clone());
    let after = pipelines.iter().map(newest).max().unwrap_or(0);
    shown(&OverviewPage { view: Overview { pipelines, more }, after, times: Times(state.now()) })
}

/// The last event that any release shown is made from: news of the page begin after it.
fn newest(grid: &Grid) -> i64 {
    grid.rows.iter().map(|row| row.head.seq).max().unwrap_or(0)
}

async fn grid(state: &State, of: PipelineRow, limit: u32, before: Option<u32>) -> Result<Grid, Fault> {
    // One more than is shown tells whether there are older ones.
    let mut releases = state.store().latest_releases(&of.stream, limit.saturating_add(1), before).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = releases.len() > wanted;
    releases.truncate(wanted);
    let (Some(first), Some(last)) = (releases.first(), releases.last()) else {
        return Ok(Grid::of(of, Vec::new(), None));
    };
    let (newest, oldest) = (first.no, last.no);
    let stages = state.store().stages(&of.stream, oldest, newest).await?;
    let rows = releases.into_iter().map(|release| {
        let own = stages.iter().filter(|stage| stage.no == release.no).cloned().collect();
        (release, own)
    });
    Ok(Grid::of(of, rows.collect(), more.then_some(oldest)).said_as(state.prefix()))
}

#[derive(Template)]
#[template(path = "pages/pipeline.html")]
struct PipelinePage {
    grid: Grid,
    about: About,
    /// Why the rules in force are not those of the branch's head.
    pending: Option<String>,
    after: i64,
    times: Times,
}

/// Which page of a pipeline's releases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    before: Option<u32>,
}

/// `GET /pipelines/{repo}/{pipeline}`.
pub(super) async fn pipeline(
    extract::State(state): extract::State<State>,
    At((repo, name)): At<(String, String)>,
    Asked(which): Asked<Before>,
) -> Result<Response, Fault> {
    let found = state.store().pipeline(&format!("{repo}/{name}")).await?;
    let found = found.ok_or_else(|| Trouble::not_found("there is no pipeline of this name"))?;
    let pending = state.reader().pending_apply(&found.stream).await?;
    let about = state.reader().about(&found.stream).await?;
    let grid = grid(&state, found, RELEASES, which.before).await?;
    shown(&PipelinePage { after: newest(&grid), grid, about, pending, times: Times(state.now()) })
}

#[derive(Template)]
#[template(path = "pages/release.html")]
struct OneRelease {
    page: ReleasePage,
    times: Times,
}

/// `GET /releases/{repo}/{pipeline}/{no}`.
pub(super) async fn release(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): At<ReleaseAt>,
) -> Result<Response, Fault> {
    let page = state.reader().release_page(&format!("{repo}/{pipeline}"), no).await?;
    shown(&OneRelease { page, times: Times(state.now()) })
}

#[derive(Template)]
#[template(path = "pages/log.html")]
struct LogPage {
    id: String,
    release: Option<(String, String)>,
    lines: Vec<LogLine>,
    from: i64,
    last: i64,
    next: Option<i64>,
}

/// Which lines of a log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromLine {
    from: Option<i64>,
}

/// `GET /logs/{id}`.
pub(super) async fn log(
    extract::State(state): extract::State<State>,
    At(id): At<String>,
    Asked(which): Asked<FromLine>,
) -> Result<Response, Fault> {
    let from = which.from.unwrap_or(0).max(0);
    let mut lines = state.store().read_log(&id, from, LINES).await?;
    for line in &mut lines {
        line.text = plain_line(&line.text);
    }
    let last = lines.last().map_or(from.saturating_sub(1), |line| line.no);
    let next = (lines.len() == LINES).then(|| last.saturating_add(1));
    shown(&LogPage { release: release_of(&id), id, lines, from, last, next })
}

/// The page and the name of the release a log belongs to: its name is `<stream>/<number>/<what>/<attempt>`.
fn release_of(log: &str) -> Option<(String, String)> {
    let mut parts = log.split('/');
    let (repo, pipeline, no) = (parts.next()?, parts.next()?, parts.next()?.parse::<u32>().ok()?);
    Some((format!("/releases/{repo}/{pipeline}/{no}"), format!("{pipeline} release {no}")))
}

#[derive(Template)]
#[template(path = "pages/events.html")]
struct EventsPage {
    events: Vec<StoredEvent>,
    last: Option<i64>,
    before: Option<i64>,
    times: Times,
}

/// `GET /events`: newest first. The log is read forward, so a page is a range of numbers.
pub(super) async fn events(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Older>,
) -> Result<Response, Fault> {
    let end = match which.before {
        Some(before) => before.max(1),
        None => state.store().stats().await?.event_seq.saturating_add(1),
    };
    let start = end.saturating_sub(i64::from(ROWS)).max(1);
    let mut events = state.store().events(&EventFilter::default(), start.saturating_sub(1), ROWS).await?;
    events.retain(|event| event.seq < end);
    events.reverse();
    let last = which.before.is_none().then(|| end.saturating_sub(1));
    shown(&EventsPage { events, last, before: (start > 1).then_some(start), times: Times(state.now()) })
}

#[derive(Template)]
#[template(path = "pages/deliveries.html")]
struct DeliveriesPage {
    deliveries: Vec<Shown>,
    before: Option<i64>,
    times: Times,
}

/// `GET /deliveries`.
pub(super) async fn deliveries(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Older>,
) -> Result<Response, Fault> {
    let mut deliveries = state.store().deliveries(ROWS.saturating_add(1), which.before).await?;
    let wanted = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let more = deliveries.len() > wanted;
    deliveries.truncate(wanted);
    let before = deliveries.last().filter(|_| more).map(|delivery| delivery.seq);
    let deliveries = deliveries.said_as(state.prefix()).into_iter().map(Shown).collect();
    shown(&DeliveriesPage { deliveries, before, times: Times(state.now()) })
}

#[derive(Template)]
#[template(path = "pages/delivery.html")]
struct DeliveryPage {
    d: Shown,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    cut: bool,
    shown: String,
    times: Times,
}

/// `GET /deliveries/{seq}`.
pub(super) async fn delivery(
    extract::State(state): extract::State<State>,
    At(seq): At<i64>,
) -> Result<Response, Fault> {
    let mut d = state.store().delivery(seq).await?.said_as(state.prefix());
    let body = d.body.take();
    let cut = body.as_ref().is_some_and(|body| body.len() > BODY);
    let body = body.map(|body| readable_body(body.get(..BODY).unwrap_or(&body)));
    let headers = serde_json::from_str(&d.headers).unwrap_or_default();
    let shown_size = readable(u64::try_from(BODY).unwrap_or(u64::MAX));
    shown(&DeliveryPage { d: Shown(d), headers, body, cut, shown: shown_size, times: Times(state.now()) })
}

/// A body as text: the lines are kept, what could move a terminal's cursor is not.
fn readable_body(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split('\n').map(plain_line).collect::<Vec<_>>().join("\n")
}

/// `GET /deliveries/{seq}/raw`: the bytes as they came, never as anything but text.
pub(super) async fn raw(
    extract::State(state): extract::State<State>,
    At(seq): At<i64>,
) -> Result<Response, Fault> {
    let body = state.store().delivery(seq).await?.body;
    let body = body.ok_or_else(|| Trouble::not_found("the body of this delivery is no longer kept"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// `POST /deliveries/{seq}/replay`.
pub(super) async fn replay(
    extract::State(state): extract::State<State>,
    At(seq): At<i64>,
) -> Result<Redirect, Fault> {
    state.store().replay(seq).await?;
    Ok(Redirect::to(&format!("/deliveries/{seq}")))
}
