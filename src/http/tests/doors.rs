//! Webhooks, rights and what is the same for every answer.

use super::*;

const BODY: &[u8] = br#"{"ref":"refs/heads/main"}"#;

#[tokio::test]
async fn a_signed_webhook_is_stored_once_and_known_again() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let first = site.send(hook("g-1", "push", BODY).body(BODY.into()).unwrap()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(first.json()["result"], "stored");
    let kept = site.store.delivery(1).await.unwrap();
    assert_eq!((kept.guid.as_str(), kept.event.as_str(), kept.source.as_str()), ("g-1", "push", "github"));
    assert_eq!(kept.body.as_deref(), Some(BODY));
    assert!(!kept.headers.contains("sha256="), "{}", kept.headers);
    assert!(kept.headers.contains("application/json"));
}

#[tokio::test]
async fn t07_the_same_delivery_again_is_a_duplicate_and_another_body_a_conflict() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    for expected in [StatusCode::ACCEPTED, StatusCode::OK, StatusCode::OK] {
        let answer = site.send(hook("g-1", "push", BODY).body(BODY.into()).unwrap()).await;
        assert_eq!(answer.status, expected);
    }
    let other = b"{\"ref\":\"refs/heads/evil\"}";
    let clash = site.send(hook("g-1", "push", other).body(other.as_slice().into()).unwrap()).await;
    assert_eq!(clash.status, StatusCode::CONFLICT);
    assert_eq!(site.deliveries().await, 1);
    assert_eq!(site.store.delivery(1).await.unwrap().seen, 3);
}

#[tokio::test]
async fn t02_only_the_exact_signature_passes() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let right = sign(HOOK_SECRET, BODY);
    let wrong = [
        "sha256=".to_owned(),
        right[..right.len() - 2].to_owned(),
        format!("{right}00"),
        sign("another secret altogether", BODY),
        sign(HOOK_SECRET, b"other bytes"),
        right.replace("sha256=", ""),
        right.replace("sha256=", "sha512="),
        String::new(),
    ];
    for signature in wrong {
        let request = Request::post("/webhook/github")
            .header("x-github-delivery", "g-1")
            .header("x-github-event", "push")
            .header("x-hub-signature-256", &signature);
        let answer = site.send(request.body(BODY.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{signature}");
        assert_eq!(answer.json()["error"]["code"], "unsigned");
    }
    assert_eq!(site.deliveries().await, 0);
}

#[tokio::test]
async fn t03_a_sha1_signature_alone_is_none_and_two_signatures_are_refused() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let old = Request::post("/webhook/github")
        .header("x-github-delivery", "g-1")
        .header("x-github-event", "push")
        .header("x-hub-signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(site.send(old.body(BODY.into()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let two = hook("g-1", "push", BODY).header("x-hub-signature-256", sign(HOOK_SECRET, b"else"));
    assert_eq!(site.send(two.body(BODY.into()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.deliveries().await, 0);
}

#[tokio::test]
async fn t04_an_unsigned_delivery_leaves_nothing_behind() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    for path in ["/webhook/github", "/webhook/plain"] {
        let request = Request::post(path).header("x-github-delivery", "g-1").header("x-github-event", "push");
        let answer = site.send(request.body(BODY.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(site.deliveries().await, 0);
    let stats = site.store.stats().await.unwrap();
    assert_eq!((stats.effects.len(), stats.event_seq), (0, 0));
}

#[tokio::test]
async fn t05_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes() {
    let small = |parts: &mut Parts| parts.limits.hook_body = 1000;
    let site = Site::with(Access::Loopback(Vec::new()), small).await;
    let fits = vec![b' '; 1000];
    let answer = site.send(hook("g-1", "push", &fits).body(fits.clone().into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let big = vec![b' '; 1001];
    let told = hook("g-2", "push", &big).header("content-length", "1001").body(Body::empty()).unwrap();
    assert_eq!(site.send(told).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = (0..1001).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")));
    let streamed = Body::from_stream(futures_util::stream::iter(chunks));
    let answer = site.send(hook("g-3", "push", &big).body(streamed).unwrap()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(site.deliveries().await, 1);
}

/// Whoever has no secret can begin to send as well, and must not keep out those who have.
#[tokio::test]
async fn t05_t11_what_cannot_be_right_is_not_read_and_large_bodies_leave_room_for_small_ones() {
    let few = |parts: &mut Parts| parts.limits.bodies = 16 << 20;
    let site = Site::with(Access::Loopback(Vec::new()), few).await;
    let never = || Body::from_stream(futures_util::stream::pending::<std::io::Result<bytes::Bytes>>());
    for signature in [None, Some("sha256=12"), Some("sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709")] {
        let mut request = Request::post("/webhook/github")
            .header("x-github-delivery", "g-1")
            .header("x-github-event", "push");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        assert_eq!(site.send(request.body(never()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    }
    // As much as they may hold is held by bodies that never end.
    let stalled = || {
        let first = futures_util::stream::once(async {
            Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 7 << 20]))
        });
        let rest = futures_util::stream::pending();
        let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
        site.send(hook("g-2", "push", BODY).body(body).unwrap())
    };
    let small = async {
        tokio::task::yield_now().await;
        let third = vec![b' '; 7 << 20];
        let answer = site.send(hook("g-3", "push", &third).body(third.clone().into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let body = vec![b' '; 1 << 20];
        let answer = site.send(hook("g-4", "push", &body).body(body.clone().into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    };
    tokio::select! {
        _ = async { tokio::join!(stalled(), stalled()) } => panic!("a body that never ends was answered"),
        () = small => {}
    }
}

#[tokio::test]
async fn t05_bodies_that_together_hold_too_much_are_asked_to_come_back_and_the_budget_returns() {
    let tight = |parts: &mut Parts| parts.limits.bodies = 64 << 10;
    let site = Site::with(Access::Loopback(Vec::new()), tight).await;
    let big = vec![b' '; 100 << 10];
    let answer = site.send(hook("g-1", "push", &big).body(big.clone().into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    for no in 0..20 {
        let body = vec![b' '; 30 << 10];
        let answer =
            site.send(hook(&format!("n-{no}"), "push", &body).body(body.clone().into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn t06_odd_but_signed_bodies_are_stored_as_they_are() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let deep = "[".repeat(100_000);
    let long = format!("{{\"ref\":\"{}\"}}", "x".repeat(1 << 20));
    let bodies: [&[u8]; 6] = [b"", b"null", b"{", b"\xff\xfe\x00", deep.as_bytes(), long.as_bytes()];
    for (no, body) in bodies.iter().enumerate() {
        let request = hook(&format!("g-{no}"), "unheard_of", body).body(body.to_vec().into()).unwrap();
        assert_eq!(site.send(request).await.status, StatusCode::ACCEPTED, "body {no}");
        let kept = site.store.delivery(i64::try_from(no).unwrap() + 1).await.unwrap();
        assert_eq!(kept.body.as_deref(), Some(*body));
    }
}

#[tokio::test]
async fn t06_odd_headers_are_refused_after_the_signature() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let long = "g".repeat(129);
    let cases: [(&str, &str); 7] = [
        ("", "push"),
        ("../../etc", "push"),
        (&long, "push"),
        ("g 1", "push"),
        ("g-1", ""),
        ("g-1", "Push<script>"),
        ("g-1", "push\u{7f}"),
    ];
    for (guid, event) in cases {
        let Ok(request) = hook(guid, event, BODY).body(BODY.into()) else { continue };
        assert_eq!(site.send(request).await.status, StatusCode::BAD_REQUEST, "{guid} {event}");
    }
    let nothing = Request::post("/webhook/github").header("x-hub-signature-256", sign(HOOK_SECRET, BODY));
    assert_eq!(site.send(nothing.body(BODY.into()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.deliveries().await, 0);
}

/// Its signature is the bare digits, and everything else is as with the others.
#[tokio::test]
async fn b13_t02_t07_a_gitea_signs_and_names_its_deliveries_in_its_own_way() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let digits = |secret: &str, body: &[u8]| sign(secret, body).replace("sha256=", "");
    let hook = |signature: &str, body: &'static [u8]| {
        let request = Request::post("/webhook/gitea")
            .header("x-gitea-delivery", "5b1e")
            .header("x-gitea-event", "push");
        request.header("x-gitea-signature", signature).body(body.into()).unwrap()
    };
    let right = digits(GITEA_SECRET, BODY);
    let wrong = [String::new(), right[2..].to_owned(), sign(GITEA_SECRET, BODY), digits(HOOK_SECRET, BODY)];
    for signature in wrong {
        assert_eq!(site.send(hook(&signature, BODY)).await.status, StatusCode::UNAUTHORIZED, "{signature}");
    }
    let theirs =
        Request::post("/webhook/gitea").header("x-gitea-delivery", "5b1e").header("x-gitea-event", "push");
    let theirs = theirs.header("x-hub-signature-256", sign(GITEA_SECRET, BODY)).body(BODY.into()).unwrap();
    assert_eq!(site.send(theirs).await.status, StatusCode::UNAUTHORIZED, "the header of another host");
    let two = Request::post("/webhook/gitea")
        .header("x-gitea-signature", &right)
        .header("x-gitea-signature", &right);
    assert_eq!(site.send(two.body(BODY.into()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    let nameless =
        Request::post("/webhook/gitea").header("x-gitea-signature", &right).header("x-github-delivery", "1");
    assert_eq!(site.send(nameless.body(BODY.into()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.deliveries().await, 0, "nothing of it is stored");

    assert_eq!(site.send(hook(&right, BODY)).await.status, StatusCode::ACCEPTED);
    assert_eq!(site.send(hook(&right, BODY)).await.status, StatusCode::OK, "a duplicate");
    let other: &[u8] = b"not even JSON";
    assert_eq!(site.send(hook(&digits(GITEA_SECRET, other), other)).await.status, StatusCode::CONFLICT);
    let kept = site.store.delivery(1).await.unwrap();
    assert_eq!((kept.source.as_str(), kept.guid.as_str(), kept.event.as_str()), ("gitea", "5b1e", "push"));
    assert!(!kept.headers.contains(&right) && kept.headers.contains("5b1e"), "{}", kept.headers);

    let ours =
        Request::post("/webhook/github").header("x-github-delivery", "1").header("x-github-event", "push");
    let ours = ours.header("x-hub-signature-256", sign(GITEA_SECRET, BODY)).body(BODY.into()).unwrap();
    assert_eq!(site.send(ours).await.status, StatusCode::UNAUTHORIZED, "it speaks for no other host");
}

#[tokio::test]
async fn t01_an_access_token_that_is_too_short_is_refused_with_the_way_to_make_one() {
    for short in ["", "development", "19-characters-long!"] {
        let refused = Token::new("ci", &Secret::new(short), Right::Read).unwrap_err();
        assert!(refused.to_string().contains("openssl rand"), "{refused}");
    }
}

/// An address of the table with its parameters filled in.
fn concrete(path: &str) -> String {
    path.replace("{stream}", "s")
        .replace("{no}", "1")
        .replace("{seq}", "1")
        .replace("{*id}", "l")
        .replace("{repo}", "r")
        .replace("{pipeline}", "p")
        .replace("{file}", "x")
}

#[tokio::test]
async fn t32_every_address_that_is_not_public_asks_who_it_is() {
    let site = Site::new(tokens()).await;
    let mut public = Vec::new();
    for route in routes() {
        let request =
            Request::builder().method(route.method).uri(concrete(route.path)).body(Body::empty()).unwrap();
        let answer = site.send(request).await;
        match route.needs {
            Needs::Right(_) => {
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {}", route.method, route.path);
                assert!(answer.header("www-authenticate").starts_with("Bearer"));
            }
            Needs::Nothing => public.push(format!("{} {}", route.method, route.path)),
        }
    }
    let expected = [
        "POST /webhook/github",
        "POST /webhook/plain",
        "POST /webhook/gitea",
        "POST /webhook/start/{repo}/{pipeline}",
        "GET /healthz",
        "GET /readyz",
        "GET /assets/{file}",
        // What others check signatures with.
        "GET /keys",
        "GET /keys/allowed_signers",
        "GET /keys/minisign.pub",
    ];
    assert_eq!(public, expected);
    let elsewhere = site.send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t32_a_right_to_read_is_no_right_to_act() {
    let site = Site::new(tokens()).await;
    for route in routes() {
        let bearer = |token: &str| {
            Request::builder()
                .method(route.method)
                .uri(concrete(route.path))
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap()
        };
        if route.path.starts_with("/streams/") {
            continue;
        }
        if route.needs == Needs::Right(Right::Act) {
            assert_ne!(route.method, "GET", "{} changes something", route.path);
            assert_eq!(site.send(bearer(READER)).await.status, StatusCode::FORBIDDEN, "{}", route.path);
        } else if route.needs == Needs::Right(Right::Read) {
            assert_eq!(route.method, "GET", "{} only reads", route.path);
        }
        let acted = site.send(bearer(ACTOR)).await.status;
        assert!(acted != StatusCode::UNAUTHORIZED || route.path.starts_with("/webhook"), "{}", route.path);
        assert_ne!(acted, StatusCode::FORBIDDEN, "{}", route.path);
    }
}

#[tokio::test]
async fn t32_only_the_machine_itself_is_let_in_without_a_token() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let from = |peer: [u8; 4], host: &str| {
        Request::get("/metrics").extension(Peer(SocketAddr::from((peer, 4000)))).header("host", host)
    };
    let allowed = [
        from([127, 0, 0, 1], "localhost:80"),
        from([127, 0, 0, 1], "[::1]:80"),
        from([127, 1, 1, 1], "127.0.0.1"),
    ];
    for request in allowed {
        assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
    }
    let refused = [
        from([10, 0, 0, 1], "localhost"),
        from([127, 0, 0, 1], "rebound.example"),
        from([127, 0, 0, 1], "localhost").header("x-forwarded-for", "203.0.113.9"),
        from([127, 0, 0, 1], "localhost").header("forwarded", "for=203.0.113.9"),
        Request::get("/metrics").header("host", "localhost"),
    ];
    for request in refused {
        assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn t51_a_post_from_another_site_is_refused_whoever_sends_it() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let post = || local(Request::post("/deliveries/1/replay"));
    let refused = [
        post().header("sec-fetch-site", "cross-site"),
        post().header("sec-fetch-site", "same-site"),
        post().header("origin", "https://evil.example"),
        post().header("origin", "null"),
        post().header("sec-fetch-site", "cross-site").header("origin", "http://localhost:8080"),
    ];
    for request in refused {
        assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
    }
    let allowed = [
        post().header("sec-fetch-site", "same-origin"),
        post().header("sec-fetch-site", "none"),
        post().header("origin", "http://localhost:8080"),
        post(),
    ];
    for request in allowed {
        assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn t51_a_token_in_an_address_becomes_a_cookie_and_leaves_the_address() {
    let site = Site::new(tokens()).await;
    let open = format!("/deliveries?before=7&token={ACTOR}");
    let answer = site.send(Request::get(&open).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/deliveries?before=7");
    let cookie = answer.header("set-cookie");
    for part in ["__Host-liftlock=", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let again =
        Request::get("/deliveries").header("cookie", format!("theme=dark; {pair}")).body(Body::empty());
    assert_eq!(site.send(again.unwrap()).await.status, StatusCode::OK);
    let wrong = Request::get("/deliveries?token=guess").body(Body::empty()).unwrap();
    let wrong = site.send(wrong).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.header("set-cookie"), "");
    let astray = Request::get(format!("//evil.example/?token={ACTOR}")).body(Body::empty()).unwrap();
    assert!(!site.send(astray).await.header("location").starts_with("//"));
}

#[tokio::test]
async fn t51_public_addresses_do_not_tell_the_version() {
    let site = Site::new(tokens()).await;
    let asked = ["/healthz", "/readyz", "/webhook/github", "/nowhere", "/"];
    for path in asked {
        let answer = site.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let all = format!("{:?} {}", answer.headers, answer.text);
        assert!(!all.contains(env!("CARGO_PKG_VERSION")) && !all.contains("1.2.3"), "{path}: {all}");
        assert_eq!(answer.header("server"), "");
    }
}

#[tokio::test]
async fn b38_a_token_on_a_command_line_is_all_a_program_needs() {
    // The documented line: curl -H "Authorization: Bearer $LIFTLOCK_TOKEN" https://liftlock.example/api/deliveries
    let site = Site::new(tokens()).await;
    let asked = Request::get("/api/deliveries").header("authorization", format!("Bearer {READER}"));
    let answer = site.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["deliveries"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_security_headers() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    for path in ["/healthz", "/", "/nowhere", "/api/deliveries", "/assets/style.css"] {
        let answer = site.get(path).await;
        assert!(answer.header("x-request-id").starts_with("t-"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"));
    }
}

#[tokio::test]
async fn a_refusal_is_a_page_for_people_and_json_for_programs() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    let page = site.get("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.text.contains("There is nothing under this address."));
    let json = site.send(local(Request::get("/api/nowhere")).body(Body::empty()).unwrap()).await;
    assert_eq!(json.json()["error"]["code"], "not_found");
    assert_eq!(json.json()["error"]["request"], json.header("x-request-id"));
    let method = site.send(local(Request::delete("/healthz")).body(Body::empty()).unwrap()).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn readiness_follows_the_store_and_the_disk() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    assert_eq!(site.get("/readyz").await.status, StatusCode::OK);
    site.store.close().await;
    let down = site.get("/readyz").await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(down.text.contains("the database"));
    assert_eq!(site.get("/healthz").await.status, StatusCode::OK);
    let full = Site::with(Access::Loopback(Vec::new()), |parts| parts.limits.free_disk = u64::MAX).await;
    let full = full.get("/readyz").await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(full.text.contains("the disk"));
}

#[tokio::test]
async fn metrics_count_webhooks_by_event_and_outcome() {
    let site = Site::new(Access::Loopback(Vec::new())).await;
    site.send(hook("g-1", "push", BODY).body(BODY.into()).unwrap()).await;
    site.send(hook("g-1", "push", BODY).body(BODY.into()).unwrap()).await;
    site.send(hook("g-2", "made_up", BODY).body(BODY.into()).unwrap()).await;
    site.send(Request::post("/webhook/github").header("x-github-event", "evil").body(BODY.into()).unwrap())
        .await;
    let text = site.get("/metrics").await.text;
    for line in [
        "liftlock_webhook_deliveries_total{event=\"push\",outcome=\"stored\"} 1",
        "liftlock_webhook_deliveries_total{event=\"push\",outcome=\"duplicate\"} 1",
        "liftlock_webhook_deliveries_total{event=\"other\",outcome=\"stored\"} 1",
        "liftlock_webhook_deliveries_total{event=\"unverified\",outcome=\"unsigned\"} 1",
        "liftlock_webhook_handle_duration_seconds_count 4",
        "liftlock_jobs{lane=\"intake\",state=\"ready\"} 2",
        "liftlock_event_log_sequence 0",
        "liftlock_build_info{version=\"1.2.3\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("liftlock_job_oldest_age_seconds"));
}
