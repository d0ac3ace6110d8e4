//! The API and the streams: what programs get.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// Longest a test waits for a stream; never reached when it works.
const DEADLINE: Duration = Duration::from_secs(30);

async fn filled() -> Site {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    sample::fill(&site.store).await;
    site
}

impl Site {
    pub(super) async fn json(&self, path: &str) -> Value {
        let answer = self.send(local(Request::get(path)).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = local(Request::post(path)).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }
}

#[tokio::test]
async fn lists_have_a_limit_and_a_cursor() {
    let site = filled().await;
    let mut seen = Vec::new();
    let mut path = "/api/releases?stream=github:4211/api&limit=3".to_owned();
    loop {
        let page = site.json(&path).await;
        let list = page["releases"].as_array().unwrap().clone();
        assert!(list.len() <= 3);
        seen.extend(list.iter().map(|release| release["no"].as_u64().unwrap()));
        let Some(before) = page["before"].as_u64() else { break };
        path = format!("/api/releases?stream=github:4211/api&limit=3&before={before}");
    }
    assert_eq!(seen, [143, 142, 141, 140]);
    let events = site.json("/api/events?limit=2").await;
    assert_eq!(events["after"], 2);
    let rest = site.json("/api/events?after=2").await;
    assert_eq!(rest["events"].as_array().unwrap().len(), 2);
    assert_eq!(rest["after"], Value::Null);
    let deliveries = site.json("/api/deliveries?limit=2").await;
    assert_eq!((deliveries["deliveries"].as_array().unwrap().len(), &deliveries["before"]), (2, &json!(2)));
    let lines = site.json("/api/logs/github:4211/api/142/staging/2?limit=4").await;
    assert_eq!(lines["from"], 5);
    assert_eq!(site.json("/api/pipelines").await["pipelines"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_release_is_found_by_version_commit_and_number() {
    let site = filled().await;
    let by_version = site.json("/api/releases?stream=github:4211/api&version=1.24.0").await;
    assert_eq!(by_version["releases"][0]["no"], 142);
    let commit = by_version["releases"][0]["commit"].as_str().unwrap()[..8].to_owned();
    let status = site.json(&format!("/api/status?commit={commit}")).await;
    assert_eq!(status["releases"][0]["stages"][2]["state"], "waiting");
    let one = site.json("/api/releases/github:4211/api/142").await;
    assert_eq!((&one["version"], &one["created_at"]), (&json!("1.24.0"), &json!("2026-03-06T09:00:00Z")));
    let why = site.json("/api/releases/github:4211/api/142/why?stage=prod").await;
    assert_eq!(why["why"][0]["lines"][2]["mark"], "stop");
    let other = site.json("/api/releases/github:4211/api/142/why?stage=qa").await;
    assert_eq!(other["why"], json!([]));
    for wrong in
        ["/api/status?commit=abc", "/api/status?commit=zzzzzzzz", "/api/status", "/api/events?since=1"]
    {
        let answer = site.send(local(Request::get(wrong)).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(answer.json()["error"]["code"], "malformed");
    }
}

#[tokio::test]
async fn comments_and_commands_reach_the_engine_with_who_let_them_in() {
    let site = filled().await;
    let comment = json!({ "repo": "acme/web", "place": "9fceb02", "body": "/approve prod", "as": "ana" });
    let answer = site.post("/api/comments", &comment).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["text"], "ana via loopback at 9fceb02: /approve prod");
    let ask = json!({ "pipeline": "github:4211/api", "line": "/promote prod", "as": "ana" });
    assert_eq!(site.post("/api/ask", &ask).await.json()["accepted"], true);
    let refused = json!({ "pipeline": "github:4211/api", "line": "promote", "as": "ana" });
    assert_eq!(site.post("/api/ask", &refused).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.post("/api/deliveries/1/replay", &Value::Null).await.status, StatusCode::ACCEPTED);
    assert_eq!(site.post("/api/deliveries/77/replay", &Value::Null).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn b37_b38_runs_are_deleted_one_by_one_or_by_their_state() {
    let site = filled().await;
    let runs = site.json("/api/runs?pipeline=github:4211/api").await;
    let states: Vec<&str> =
        runs["runs"].as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "queued", "waiting"]);
    assert_eq!(runs["runs"][1]["id"], "github:4211/api/142/build/1");
    let delete =
        async |path: &str| site.send(local(Request::delete(path)).body(Body::empty()).unwrap()).await;
    let one = delete("/api/runs/github:4211/api/142/build/1?as=ana").await;
    assert_eq!(
        (one.status, &one.json()["text"]),
        (StatusCode::OK, &json!("github:4211/api/142/build/1 by ana"))
    );
    let running = delete("/api/runs/github:4211/api/141/prod/1?as=ana").await;
    assert_eq!(running.status, StatusCode::UNPROCESSABLE_ENTITY, "what runs is stopped with force only");
    assert_eq!(delete("/api/runs/github:4211/api/141/prod/1?as=ana&force=true").await.status, StatusCode::OK);
    let all = delete("/api/runs?state=queued&pipeline=github:4211/api&as=ana").await;
    assert_eq!(
        all.json(),
        json!({ "cancelled": ["github:4211/api/142/build/1"], "refused": [], "left_out": 0 })
    );
    for wrong in [
        "/api/runs?as=ana",
        "/api/runs?state=queued&as=ana",
        "/api/runs?pipeline=github:4211/api&as=ana",
        "/api/runs?state=queued&pipeline=github:4211/api",
        "/api/runs/github:4211/api/142/build/1",
        "/api/runs/github:4211/api/142/build/1?as=ana&state=queued",
    ] {
        assert_eq!(delete(wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(delete("/api/runs?state=queued&pipeline=none&as=ana").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn t33_a_body_with_an_empty_name_or_an_unknown_field_is_refused() {
    let site = filled().await;
    let wrong = [
        json!({ "pipeline": "p", "line": "/x", "as": "" }),
        json!({ "pipeline": "p", "line": "/x", "as": null }),
        json!({ "pipeline": "p", "line": "/x" }),
        json!({ "pipeline": "p", "line": "/x", "as": "ana", "admin": true }),
        json!(["p", "/x"]),
        json!("x"),
    ];
    for body in wrong {
        assert_eq!(site.post("/api/ask", &body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let form = local(Request::post("/api/ask")).header("content-type", "text/plain");
    assert_eq!(site.send(form.body("{}".into()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    let long = json!({ "pipeline": "p", "line": "x".repeat(64 << 10), "as": "ana" });
    assert_eq!(site.post("/api/ask", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Reads a stream until it has said something.
async fn until(body: &mut Body, wanted: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains(wanted) {
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the stream says it in time");
    text
}

async fn open(site: &Site, path: &str, last: Option<&str>) -> Response<Body> {
    let mut request = local(Request::get(path));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    site.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_stream_resumes_where_it_was_cut_and_follows_what_comes() {
    let site = filled().await;
    let response = open(&site, "/streams/logs/github:4211/api/142/staging/2", Some("4")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let text = until(&mut body, "id: 6").await;
    assert!(
        text.contains("event: line")
            && text.contains("data: $ ./deploy staging")
            && !text.contains("id: 4\n")
    );
    site.store
        .append_log("github:4211/api/142/staging/2", 7, &["done\r\nfake: line".to_owned()])
        .await
        .unwrap();
    let text = until(&mut body, "id: 7").await + &until(&mut body, "\n\n").await;
    assert!(!text.contains("\nfake:"), "{text}");

    let events = open(&site, "/streams/events?after=2", None).await;
    let text = until(&mut events.into_body(), "id: 4").await;
    assert!(text.contains("id: 3") && !text.contains("id: 2\n"), "{text}");
    let resumed = open(&site, "/streams/events?after=0", Some("3")).await;
    let text = until(&mut resumed.into_body(), "id: 4").await;
    assert!(!text.contains("id: 3\n"), "{text}");
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_program() {
    let site = Site::with(Access::Loopback(Vec::new()), |parts| parts.limits.streams = 2).await;
    let first = open(&site, "/streams/logs/a", None).await;
    let second = open(&site, "/streams/logs/b", None).await;
    assert_eq!(open(&site, "/streams/logs/c", None).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(second);
    assert_eq!(open(&site, "/streams/logs/c", None).await.status(), StatusCode::OK);
    site.shutdown.cancel();
    let ended = tokio::time::timeout(DEADLINE, first.into_body().collect()).await;
    assert!(ended.expect("the stream ends").is_ok());
}
