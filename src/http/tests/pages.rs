//! Pages: what they show, and that no text from outside becomes part of them.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::http::about::About;
use crate::http::approvals::AskedLine;
use crate::http::digests::DigestPage;
use crate::http::evidence::{EvidenceList, FileBytes, Form};
use crate::http::notes::NotesText;
use crate::http::queue::QueueLine;
use crate::http::resources::Resource;
use crate::http::retention::RetentionLine;
use crate::http::runbooks::RunbooksPage;
use crate::http::view::{FileLine, Link, ReleasePage, plain_line};
use crate::store::delivery::NewDelivery;
use crate::store::step::Step;

/// Texts that would run, load, break out or draw on a page that trusted them.
const CORPUS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></textarea></pre><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}${7*7}<%= 7*7 %>",
    "`</code><script>alert(1)</script>`",
    "<!--<iframe src=//evil.example>",
    "&lt;script&gt;",
    "data:text/html,<script>alert(1)</script>",
];

async fn filled() -> Site {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    sample::fill(&site.store).await;
    site
}

#[tokio::test]
async fn the_overview_is_a_table_with_a_word_an_icon_and_a_colour_for_every_state() {
    let site = filled().await;
    let page = site.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "<caption",
        "scope=\"col\" role=\"columnheader\">staging",
        "scope=\"row\"",
        "href=\"/releases/github:4211/api/142\">1.24.0</a>",
        "<span class=\"lamp good\"><svg class=\"icon\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">",
        "</svg>live</span>",
        "lamp bad",
        "lamp moving",
        "lamp asking",
        "1 of 2 approvals; missing: 1 of acme/release",
        "<code>npm test</code> said no (exit 1)",
        "<time datetime=\"2026-03-06T09:00:00Z\" title=\"2026-03-06 09:00 UTC\">3 h ago</time>",
        "data-stream=\"/streams/events?after=143\"",
        "Skip to the content",
        "No release yet",
    ] {
        assert!(page.text.contains(part), "{part} is not in\n{}", page.text);
    }
    assert!(!page.text.contains(" style="), "no inline style passes the policy");
    assert!(!page.text.contains("<script>"), "no inline script passes the policy");
}

#[tokio::test]
async fn c05_the_page_of_a_release_goes_from_source_and_build_to_its_stages() {
    let page = filled().await.get("/releases/github:4211/api/142").await.text;
    let places = ["<h3>Source</h3>", "<h3>Build</h3>", "<h3>staging</h3>", "<h3>prod</h3>"];
    let found: Vec<Option<usize>> = places.iter().map(|part| page.find(part)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?} in {page}");
    assert!(
        page.contains("v1.24.0 sealed, ") && page.contains("log<span class=\"hidden\"> of the build</span>")
    );
}

#[tokio::test]
async fn a_pipeline_shows_older_releases_page_by_page() {
    let site = filled().await;
    let all = site.get("/pipelines/github:4211/api").await;
    assert!(all.text.contains("1.23.2") && all.text.contains("1.24.1"));
    let older = site.get("/pipelines/github:4211/api?before=141").await;
    assert!(older.text.contains("1.23.2") && !older.text.contains("1.23.3"));
    assert_eq!(site.get("/pipelines/github:1/none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/pipelines/github:4211/api?before=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_release_says_why_it_waits_and_what_to_write() {
    let site = filled().await;
    let page = site.get("/releases/github:4211/api/142").await;
    for part in [
        "Why is prod waiting?",
        "1 of 2 approvals: ana; bo wrote commit 4be1c2a, so bo does not count",
        "A member of acme/release comments <code>/approve prod</code>.",
        "<code>/reject prod v1.24.0 -- reason</code>",
        "href=\"/logs/github:4211/api/142/staging/2\"",
        "href=\"https://github.com/acme/payments/pull/812#issuecomment-77\"",
        "<em>does not count</em>",
        "17.5 MiB",
        "and 11 more",
        "in 2 days",
    ] {
        assert!(page.text.contains(part), "{part} is not in\n{}", page.text);
    }
    assert_eq!(site.get("/releases/github:4211/api/9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_log_is_read_without_a_script() {
    let site = filled().await;
    let page = site.get("/logs/github:4211/api/142/staging/2").await;
    assert!(page.text.contains("<li id=\"L5\" value=\"5\">$ ./deploy staging</li>"), "{}", page.text);
    assert!(page.text.contains("?from=0\">Refresh</a>"));
    assert!(page.text.contains("data-stream=\"/streams/logs/github:4211/api/142/staging/2?after=6\""));
    let rest = site.get("/logs/github:4211/api/142/staging/2?from=5").await;
    assert!(rest.text.contains("L6") && !rest.text.contains("L4"));
    let nothing = site.get("/logs/github:4211/api/142/prod/1").await;
    assert!(nothing.text.contains("Nothing was printed yet."));
}

#[tokio::test]
async fn a_release_shows_the_variables_that_somebody_declared_and_the_api_all_of_them() {
    let site = filled().await;
    let page = site.get("/releases/github:4211/api/142").await.text;
    assert!(
        page.contains("Variables of prod") && page.contains("<code>&#60;b&#62;acme&#60;/b&#62;</code>"),
        "{page}"
    );
    assert!(!page.contains("Build.BuildNumber"));
    let all = site.get("/api/releases/github:4211/api/142/variables?stage=prod").await.text;
    assert!(all.contains("Build.BuildNumber") && all.contains("\"level\":\"release\""), "{all}");
    let one = site.get("/api/releases/github:4211/api/142/variables?name=PREFIX").await.text;
    assert!(one.contains("\"name\":\"Prefix\"") && !one.contains("Build.BuildNumber"), "{one}");
}

#[tokio::test]
async fn a_delivery_is_shown_and_made_new_again() {
    let site = filled().await;
    let list = site.get("/deliveries").await;
    assert!(list.text.contains("issue_comment") && list.text.contains("40 min ago"));
    let one = site.get("/deliveries/1").await;
    assert!(
        one.text.contains("GitHub-Hookshot/044aadd") && one.text.contains("&#34;ref&#34;"),
        "{}",
        one.text
    );
    let raw = site.get("/deliveries/1/raw").await;
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    assert!(raw.text.starts_with("{\n  \"ref\""));
    let post = local(Request::post("/deliveries/1/replay")).header("sec-fetch-site", "same-origin");
    let again = site.send(post.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status, again.header("location")), (StatusCode::SEE_OTHER, "/deliveries/1"));
    assert_eq!(site.get("/deliveries/99").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn events_are_listed_newest_first() {
    let site = filled().await;
    let page = site.get("/events").await.text;
    assert!(page.find("approved").unwrap() < page.find("release_created").unwrap());
    assert!(page.contains("href=\"/releases/github:4211/api/142\">release 142</a>"));
}

#[tokio::test]
async fn e16_runbooks_are_listed_with_their_runs_and_started_by_a_form() {
    let site = filled().await;
    let page = site.get("/runbooks/github:4211/api").await.text;
    for text in ["clean-images", "0 3 * * * (UTC)", "dry-run=yes", "ana, approved by bo", "nobody was there"]
    {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(page.contains("href=\"/logs/github:4211/api/runbook-3/1\""));
    assert!(page.contains("action=\"/runbooks/github:4211/api\""));
    assert_eq!(site.get("/runbooks/github:4211/other").await.status, StatusCode::NOT_FOUND);
    let list = site.json("/api/runbooks/github:4211/api").await;
    assert_eq!(
        (list["runs"][0]["run"].as_u64(), list["runbooks"][0]["name"].as_str()),
        (Some(3), Some("clean-images"))
    );
    let send = |body: &'static str| site.form("/runbooks/github:4211/api", body);
    assert_eq!(send("runbook=clean-images&inputs=dry-run%3Dno&as=ana").await.status, StatusCode::SEE_OTHER);
    for bad in
        ["runbook=clean-images&inputs=a%0A/approve%20prod&as=ana", "runbook=clean-images&as=", "as=ana", "x"]
    {
        assert_eq!(send(bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn d28_what_waits_for_people_is_a_page_and_an_answer() {
    let site = filled().await;
    let page = site.get("/approvals").await.text;
    for text in [
        "href=\"/runbooks/github:4211/api\"",
        "<code>/approve prod v1.4.142</code>",
        "53 in all, page 1 of 2",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(!page.contains("v1.4.151") && page.contains("href=\"/approvals?page=2\""), "{page}");
    let last = site.get("/approvals?for=ana&page=9").await.text;
    assert!(last.contains("v1.4.151") && last.contains("/approvals?for=ana&#38;page=1"), "{last}");
    assert!(site.get("/approvals?for=bo").await.text.contains("Nothing waits for bo."));
    let json = site.json("/api/approvals?for=ana").await;
    assert_eq!((json["total"].as_u64(), json["pages"].as_u64()), (Some(53), Some(2)));
    assert_eq!(
        (json["approvals"][1]["no"].as_u64(), json["approvals"][1]["what"].as_str()),
        (Some(100), Some("approve"))
    );
    assert_eq!(site.get("/approvals?for=%2Fx").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.get("/approvals?who=ana").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn b37_the_queue_is_a_page_with_a_form_for_each_run() {
    let site = filled().await;
    let page = site.get("/queue").await.text;
    for text in
        ["v1.4.142 waits for a worker", "href=\"/releases/github:4211/api/141\"", "name=\"force\" required"]
    {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(!site.get("/queue?state=waiting").await.text.contains("v1.4.142"));
    assert_eq!(site.get("/queue?state=late").await.status, StatusCode::BAD_REQUEST);
    let send = |body: &'static str| site.form("/queue", body);
    assert_eq!(send("run=github:4211/api/142/build/1&as=ana").await.status, StatusCode::SEE_OTHER);
    assert_eq!(send("run=github:4211/api/141/prod/1&as=ana&force=on").await.status, StatusCode::SEE_OTHER);
    let running = send("run=github:4211/api/141/prod/1&as=ana").await;
    assert_eq!(running.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send("run=github:4211/api/142/build/1&as=").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn b24_t20_a_pipeline_is_started_by_its_form_or_by_a_program() {
    let site = filled().await;
    let page = site.get("/pipelines/github:4211/api").await.text;
    for text in ["Publish service", "name=\"service\"", "<option selected>eu</option>", "A push to main."] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    let send = |body: &'static str| site.form("/pipelines/github:4211/api", body);
    assert_eq!(send("service=checkout&region=&_as=ana").await.status, StatusCode::SEE_OTHER);
    for bad in ["service=a%20b&_as=ana", "service=a%0A%2Fapprove&_as=ana", "service=a", "a%20b=c&_as=ana"] {
        assert_eq!(send(bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    // A program says the same as JSON, and is told what was asked for.
    let path = "/api/pipelines/github:4211/api/start";
    let given = json!({ "inputs": { "service": "checkout", "region": "eu" }, "as": "ana" });
    let started = site.post(path, &given).await;
    assert_eq!((started.status, started.json()["accepted"].as_bool()), (StatusCode::ACCEPTED, Some(true)));
    assert_eq!(started.json()["text"], "/start api region=eu service=checkout");
    let bare = site.post(path, &json!({ "as": "ana" })).await;
    assert_eq!((bare.status, bare.json()["text"].as_str()), (StatusCode::ACCEPTED, Some("/start api")));
    for bad in [
        json!({ "inputs": { "service": "a b" }, "as": "ana" }),
        json!({ "inputs": { "service": "a\n/approve prod" }, "as": "ana" }),
        json!({ "inputs": { "service": "" }, "as": "ana" }),
        json!({ "inputs": { "a=b": "c" }, "as": "ana" }),
        json!({ "inputs": { "service": 7 }, "as": "ana" }),
        json!({ "inputs": { "service": "a" }, "as": " " }),
        json!({ "inputs": { "service": "a" } }),
        json!({ "inputs": {}, "as": "ana", "line": "/approve prod" }),
    ] {
        assert_eq!(site.post(path, &bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn b24_t32_a_program_starts_a_pipeline_with_a_token_that_may_act() {
    let site = Site::new(tokens()).await;
    sample::fill(&site.store).await;
    let start = async |token: Option<&str>| {
        let request = Request::post("/api/pipelines/github:4211/api/start");
        let request = request.header("host", "releases.example").header("content-type", "application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let body = json!({ "inputs": { "service": "checkout" }, "as": "ana" }).to_string();
        site.send(request.body(Body::from(body)).unwrap()).await
    };
    assert_eq!(start(None).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(start(Some("somebody-elses-token-0123")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(start(Some(READER)).await.status, StatusCode::FORBIDDEN);
    let started = start(Some(ACTOR)).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    assert_eq!(started.json()["text"], "/start api service=checkout");
}

#[tokio::test]
async fn t44_a_digest_says_what_it_is_and_how_to_check_it() {
    let site = filled().await;
    let address = format!("/digests/{}", sample::digest().digest);
    let page = site.get(&address).await.text;
    for text in [
        "v2.14.0 of api",
        "<code>dist.tar.zst</code>",
        "staging",
        "liftlock verify",
        "/releases/github:4211/api/142",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    let json = site.json(&format!("/api{address}")).await;
    assert_eq!(json["found"][0]["stages"][0]["stage"], "dev");
    assert_eq!(site.get("/digests/sha256:0").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn d03_b02_builds_are_registered_and_pipelines_say_what_starts_them() {
    let site = filled().await;
    let page = site.get("/builds").await.text;
    let over = "not built: of <a href=\"/releases/github:4211/api/141\">v2.14.0-rc.2</a>";
    for text in
        ["v2.14.0", "20260306.3", "acme/payments", "Candidate Validation", "<td>yes</td>", "ccccccc", over]
    {
        assert!(page.contains(text), "{text}\n{page}");
    }
    let list = site.json("/api/builds").await;
    assert_eq!(list["builds"][0]["artifacts"][0]["alias"], "app");
    assert_eq!(list["builds"][0]["released"], true);
    assert_eq!(list["builds"][0]["reused"]["of"], "v2.14.0-rc.2");
    assert!(site.get("/builds?stream=none").await.text.contains("Nothing was built yet."));
    assert!(site.get("/pipelines").await.text.contains("/pipelines/github:4211/api"));
}

#[tokio::test]
async fn e18_a_package_is_handed_in_with_its_digest_or_not_at_all() {
    let site = filled().await;
    let path = "/api/pipelines/github:4211/api/artifacts";
    let send = async |query: &str| {
        let request = local(Request::post(format!("{path}?{query}"))).body(Body::from("bytes")).unwrap();
        site.send(request).await.status
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(send("alias=App&as=ci&digest=sha256:12").await, StatusCode::BAD_REQUEST);
    assert_eq!(send(&format!("alias=A/B&as=ci&digest={digest}")).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(&format!("alias=App&digest={digest}")).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(&format!("alias=App&as=ci&digest={digest}")).await, Why::Refused.status());
}

/// An engine whose every text is `self.0`.
struct Hostile(&'static str);

impl Reader for Hostile {
    fn builds<'a>(
        &'a self,
        _: &'a builds::WhichBuilds,
    ) -> BoxFuture<'a, crate::trouble::Outcome<Vec<builds::BuildRow>>> {
        let text = || self.0.to_owned();
        let mut build = sample::build();
        (build.repo, build.pipeline, build.version, build.number) = (text(), text(), text(), text());
        (build.branch, build.channels, build.state) = (text(), vec![text()], text());
        if let Some(over) = &mut build.reused {
            (over.of, over.commit, over.tree) = (text(), text(), Some(text()));
        }
        build.released = false;
        Box::pin(async move { Ok(vec![build]) })
    }

    fn runbooks_page<'a>(&'a self, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<RunbooksPage>> {
        Box::pin(async move {
            let text = || self.0.to_owned();
            let mut page = sample::runbooks();
            (page.stream, page.pipeline) = (text(), text());
            for book in &mut page.runbooks {
                (book.name, book.schedule) = (text(), Some(text()));
                for list in [&mut book.commands, &mut book.from, &mut book.inputs, &mut book.stages] {
                    *list = vec![text()];
                }
            }
            for run in &mut page.runs {
                (run.runbook, run.state, run.line, run.by) = (text(), text(), text(), Some(text()));
                (run.approved_by, run.inputs, run.log) = (vec![text()], vec![text()], text());
            }
            for missed in &mut page.missed {
                (missed.runbook, missed.why) = (text(), text());
            }
            Ok(page)
        })
    }

    fn digest<'a>(&'a self, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<DigestPage>> {
        let text = || self.0.to_owned();
        let mut page = sample::digest();
        for used in &mut page.found {
            (used.repo, used.pipeline, used.version, used.commit) = (text(), text(), text(), text());
            (used.what, used.verify) = (text(), vec![text()]);
            used.stages.iter_mut().for_each(|stage| (stage.stage, stage.state) = (text(), text()));
        }
        Box::pin(async move { Ok(page) })
    }

    fn evidence<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, crate::trouble::Outcome<EvidenceList>> {
        Box::pin(async { Err(crate::trouble::Trouble::not_found("nothing is sealed here")) })
    }

    fn proof<'a>(&'a self, _: &'a str, _: u32, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<String>> {
        Box::pin(async { Err(crate::trouble::Trouble::not_found("nothing is sealed here")) })
    }

    fn notes<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, crate::trouble::Outcome<NotesText>> {
        Box::pin(async { Err(crate::trouble::Trouble::not_found("there is no such release")) })
    }

    fn metadata<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, crate::trouble::Outcome<Value>> {
        Box::pin(async { Err(crate::trouble::Trouble::not_found("there is no such release")) })
    }

    fn keys(&self, _: Form) -> BoxFuture<'_, crate::trouble::Outcome<String>> {
        Box::pin(async { Ok(String::new()) })
    }

    fn file<'a>(
        &'a self,
        _: &'a str,
        _: u32,
        _: &'a str,
    ) -> BoxFuture<'a, crate::trouble::Outcome<FileBytes>> {
        Box::pin(async { Err(crate::trouble::Trouble::not_found("nothing is sealed here")) })
    }

    fn retention(&self) -> BoxFuture<'_, crate::trouble::Outcome<Vec<RetentionLine>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn asked<'a>(
        &'a self,
        _: Option<&'a crate::domain::name::Login>,
    ) -> BoxFuture<'a, crate::trouble::Outcome<Vec<AskedLine>>> {
        Box::pin(async move {
            let text = || self.0.to_owned();
            let mut lines = sample::asked();
            for line in &mut lines {
                (line.pipeline, line.version, line.stage) = (text(), text(), text());
                (line.who, line.why, line.line) = (text(), text(), text());
            }
            Ok(lines)
        })
    }

    fn queue<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, crate::trouble::Outcome<Vec<QueueLine>>> {
        Box::pin(async move {
            let text = || self.0.to_owned();
            let mut lines = sample::queue();
            for line in &mut lines {
                (line.id, line.pipeline, line.version) = (text(), text(), text());
                (line.what, line.line) = (text(), text());
            }
            Ok(lines)
        })
    }

    fn ahead<'a>(
        &'a self,
        _: &'a str,
        act: crate::domain::simulate::ahead::Act,
    ) -> BoxFuture<'a, crate::trouble::Outcome<crate::domain::simulate::ahead::Ahead>> {
        Box::pin(async move { Ok(sample::looked_ahead(&act)) })
    }

    fn release_page<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, crate::trouble::Outcome<ReleasePage>> {
        Box::pin(async move {
            let text = || self.0.to_owned();
            let mut page = sample::page();
            page.head.version = text();
            page.head.title = text();
            page.head.commit = text();
            page.head.digest = Some(text());
            page.head.state = text();
            page.head.stream = text();
            page.repo = text();
            page.pipeline = text();
            page.facts = vec![(text(), text())];
            page.commit_url = Link::new(text());
            page.channel = Some(text());
            page.docs_url = Link::new(text());
            page.files = vec![FileLine { path: text(), url: Link::new(text()) }];
            (page.build.state, page.build.line, page.build_log) = (text(), text(), Some(text()));
            if let Some(over) = &mut page.reused {
                (over.of, over.commit, over.tree) = (text(), text(), Some(text()));
            }
            for stage in &mut page.stages {
                (stage.stage, stage.state, stage.line, stage.log) = (text(), text(), text(), Some(text()));
                (stage.about.title, stage.about.channels) = (Some(text()), vec![text()]);
                stage.about.docs_url = Link::new(text());
                stage.about.url = Link::new(text());
            }
            for why in &mut page.why {
                why.stage = text();
                for line in &mut why.lines {
                    (line.text, line.next) = (text(), Some(text()));
                }
            }
            for next in &mut page.next {
                (next.what, next.line) = (text(), text());
            }
            for approval in &mut page.approvals {
                (approval.stage, approval.who, approval.note) = (text(), text(), text());
                approval.url = Link::new(text());
            }
            for artifact in &mut page.artifacts {
                (artifact.alias, artifact.digest) = (text(), text());
            }
            for change in &mut page.changes {
                (change.commit, change.subject, change.author) = (text(), text(), text());
                change.url = Link::new(text());
            }
            for stage in &mut page.variables {
                stage.stage = text();
                for variable in &mut stage.variables {
                    (variable.name, variable.value) = (text(), text());
                    variable.said.iter_mut().for_each(|said| said.source = text());
                }
            }
            for event in &mut page.events {
                (event.kind, event.who, event.text) = (text(), text(), text());
            }
            Ok(page)
        })
    }

    fn about<'a>(&'a self, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<About>> {
        let text = || self.0.to_owned();
        Box::pin(async move {
            let mut about = sample::about();
            (about.title, about.description) = (Some(text()), Some(text()));
            for stage in &mut about.stages {
                (stage.title, stage.channels, stage.stage) = (Some(text()), vec![text()], text());
            }
            (about.unrouted, about.starts) = (vec![text()], vec![text()]);
            for wait in &mut about.waits {
                (wait.text, wait.next) = (text(), Some(text()));
            }
            if let Some(button) = &mut about.button {
                button.title = text();
                for input in &mut button.inputs {
                    (input.name, input.default) = (text(), text());
                    input.choices.iter_mut().for_each(|choice| *choice = text());
                }
            }
            for line in &mut about.channels {
                (line.channel, line.version) = (text(), text());
            }
            Ok(about)
        })
    }

    fn resources<'a>(&'a self, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<Vec<Resource>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pending_apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, crate::trouble::Outcome<Option<String>>> {
        Box::pin(async { Ok(Some(self.0.to_owned())) })
    }
}

/// Every tag of a page that our templates do not write, and every attribute value that leaves its quotes.
fn foreign(page: &str) -> Vec<String> {
    let ours = [
        "!doctype", "html", "head", "meta", "title", "link", "script", "body", "a", "header", "svg", "path",
        "nav", "p", "main", "h1", "h2", "h3", "section", "div", "span", "ul", "ol", "li", "dl", "dt", "dd",
        "code", "strong", "em", "time", "table", "caption", "thead", "tbody", "tr", "th", "td", "form",
        "button", "pre", "label", "input", "select", "option",
    ];
    let names = page.split('<').skip(1).map(|tag| {
        let tag = tag.strip_prefix("/script>").unwrap_or(tag).trim_start_matches('/');
        (tag.chars().take_while(|c| c.is_alphanumeric() || *c == '!').collect::<String>(), tag)
    });
    names
        .filter(|(name, tag)| {
            let inside = tag.split('>').next().unwrap_or_default();
            let outside_quotes: String = inside.split('"').step_by(2).collect();
            (!name.is_empty() && !ours.contains(&name.as_str()))
                || (name == "script" && !inside.contains("src=\"/assets/app.js?v="))
                || (outside_quotes.contains("on") && outside_quotes.contains("alert"))
                || inside.contains("href=\"javascript:")
                || inside.contains("href=\"data:")
        })
        .map(|(_, tag)| tag.chars().take(80).collect())
        .collect()
}

#[tokio::test]
async fn t48_t49_no_text_from_outside_becomes_part_of_a_page() {
    for text in CORPUS {
        let site =
            Site::with(Access::Loopback(Vec::new()), |parts| parts.reader = Arc::new(Hostile(text))).await;
        let mut rows = sample::rows();
        for row in &mut rows {
            spoil(row, text);
        }
        site.store.commit(Step { rows, ..Step::default() }).await.unwrap();
        let new = NewDelivery {
            source: "github".to_owned(),
            guid: (*text).to_owned(),
            event: (*text).to_owned(),
            repo: Some((*text).to_owned()),
            headers: serde_json::json!({ *text: text }).to_string(),
            body: text.as_bytes().to_vec(),
            received_at: sample::noon(),
        };
        site.store.put_delivery(new).await.unwrap();
        site.store.append_log("l", 1, &[(*text).to_owned()]).await.unwrap();
        let log = format!(
            "/logs/{}",
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        );
        for path in [
            "/",
            "/pipelines/github:4211/api",
            "/releases/github:4211/api/142",
            "/logs/l",
            &log,
            "/deliveries",
            "/deliveries/1",
            "/events",
            "/runbooks/github:4211/api",
            "/queue",
            "/approvals",
            "/pipelines",
            "/builds",
            "/digests/sha256:d",
        ] {
            let page = site.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path} with {text}");
            assert_eq!(foreign(&page.text), Vec::<String>::new(), "{path} with {text}");
        }
    }
}

fn spoil(row: &mut crate::store::model::Row, text: &str) {
    use crate::store::model::Row;
    match row {
        Row::Repository(_) => {}
        Row::Pipeline(pipeline) => (pipeline.name, pipeline.repo_name) = (text.to_owned(), text.to_owned()),
        Row::Release(release) => {
            (release.version, release.title) = (text.to_owned(), text.to_owned());
            (release.commit, release.state) = (text.to_owned(), text.to_owned());
        }
        Row::Stage(stage) => (stage.line, stage.state) = (text.to_owned(), text.to_owned()),
    }
}

#[test]
fn t49_the_check_for_foreign_tags_sees_them() {
    for text in [
        "<script>alert(1)</script>",
        "<p><img src=x>",
        "<a href=\"javascript:alert(1)\">",
        "<p onclick=alert(1)>",
    ] {
        assert!(!foreign(text).is_empty(), "{text}");
    }
}

#[test]
fn t49_only_web_addresses_become_links() {
    for bad in [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https://a b",
        "https://a\"b\nc",
        "ftp://x",
        "",
    ] {
        assert!(Link::new(bad).is_none() || !bad.contains(['\n', ' ']), "{bad}");
    }
    assert!(Link::new("javascript:alert(1)//https://x").is_none());
    assert!(Link::new("https://github.com/acme/web/pull/1#issuecomment-2").is_some());
}

#[tokio::test]
async fn t50_what_moves_a_cursor_or_turns_letters_around_is_left_out() {
    assert_eq!(plain_line("a\u{1b}[2Jb\u{9b}31m\tc\r\n\u{7}\u{202e}d\u{2066}"), "a[2Jb31m\tcd");
    let site = Site::new(Access::Loopback(Vec::new())).await;
    site.store.append_log("l", 1, &["\u{1b}]0;owned\u{7}done".to_owned()]).await.unwrap();
    let page = site.get("/logs/l").await.text;
    assert!(page.contains("]0;owneddone") && !page.contains('\u{1b}'));
}

#[test]
fn the_style_and_the_script_stay_small() {
    assert!(include_str!("../../../templates/assets/style.css").len() <= 8 << 10);
    assert!(include_str!("../../../templates/assets/app.js").len() <= 2 << 10);
}
