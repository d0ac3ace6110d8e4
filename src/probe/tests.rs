//! Probes against a tiny server on this machine, which the guard must be told to allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::guard::is_public;
use super::*;

/// Answers every path as the table says, and counts who connected.
struct Local {
    port: u16,
    visits: Arc<AtomicUsize>,
}

impl Local {
    async fn answering(table: &'static [(&'static str, u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(move |request: Request<Incoming>| async move {
                    let path = request.uri().path();
                    let found = table.iter().find(|(of, _, _)| *of == path);
                    let (_, status, body) = found.copied().unwrap_or(("", 404, "no such path"));
                    let response = Response::builder().status(status);
                    let response = match body.strip_prefix("to ") {
                        Some(place) => response.header("location", place),
                        None => response,
                    };
                    response.body(Full::new(Bytes::from(body)))
                });
                let serve = hyper::server::conn::http1::Builder::new();
                let served = serve.serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { served.await.unwrap_or_default() });
            }
        });
        Self { port, visits }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

fn here() -> Reach {
    allowing("127.0.0.1")
}

/// Nothing but public networks and this host.
fn allowing(host: &str) -> Reach {
    Reach { allowed: Allowed::new([host.to_owned()]).unwrap(), ..Reach::default() }
}

fn get(url: String, expect: u16, body_contains: Option<&str>) -> HttpProbe {
    HttpProbe {
        url,
        method: Method::Get,
        expect: vec![expect],
        body_contains: body_contains.map(str::to_owned),
    }
}

#[tokio::test]
async fn an_address_passes_by_its_status_and_its_text() {
    let local = Local::answering(&[("/healthz", 200, "all is well"), ("/down", 503, "")]).await;
    let asked = |path: &str, expect, text| {
        let probe = get(local.url(path), expect, text);
        async move { http(&probe, &here()).await }
    };
    let reading = asked("/healthz", 200, Some("well")).await;
    assert_eq!((reading.answer, reading.value.as_deref()), (Answer::Pass, Some("200")), "{reading:?}");
    assert_eq!(asked("/healthz", 200, None).await.answer, Answer::Pass);
    let reading = asked("/healthz", 200, Some("ill")).await;
    assert_eq!((reading.answer, reading.detail.as_str()), (Answer::Fail, "answered 200 without `ill`"));
    let reading = asked("/down", 200, None).await;
    assert_eq!((reading.answer, reading.detail.as_str()), (Answer::Fail, "answered 503 in place of 200"));
    let head = HttpProbe { method: Method::Head, ..get(local.url("/healthz"), 200, None) };
    assert_eq!(http(&head, &here()).await.answer, Answer::Pass);
}

#[tokio::test]
async fn who_does_not_answer_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let reading = http(&get(format!("http://127.0.0.1:{port}/"), 200, None), &here()).await;
    assert_eq!(reading.answer, Answer::Fail, "{reading:?}");
    assert!(reading.detail.starts_with("127.0.0.1 did not answer: "), "{reading:?}");
}

#[tokio::test]
async fn t52_a_private_address_is_not_connected_to_unless_the_config_allows_its_host() {
    let local = Local::answering(&[("/", 200, "secret")]).await;
    let nothing = Reach::default();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "0x7f000001",
    ] {
        let url = format!("http://{host}:{}/", local.port);
        let reading = http(&get(url, 200, None), &nothing).await;
        assert_eq!(reading.answer, Answer::Error, "{host}: {reading:?}");
        let told = reading.detail.contains("not public") || reading.detail.contains("has no address");
        assert!(told, "{host}: {reading:?}");
        let url = format!("http://{host}:{}", local.port);
        assert_eq!(metric(&url, "up", &"> 0".parse().unwrap(), &nothing).await.answer, Answer::Error);
    }
    for url in ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://192.168.1.1/"] {
        let reading = http(&get(url.to_owned(), 200, None), &nothing).await;
        assert!(reading.detail.contains("not public"), "{url}: {reading:?}");
    }
    assert_eq!(local.visits(), 0, "nobody was connected to");
    let named = allowing("localhost");
    let url = format!("http://localhost:{}/", local.port);
    assert_eq!(http(&get(url, 200, None), &named).await.answer, Answer::Pass);
    let other = http(&get(local.url("/"), 200, None), &named).await;
    assert_eq!(other.answer, Answer::Error, "a name that is allowed does not allow an address: {other:?}");
}

#[tokio::test]
async fn t52_redirects_are_not_followed_and_odd_addresses_not_asked() {
    let canary = Local::answering(&[("/", 200, "")]).await;
    let place: &'static str = Box::leak(format!("to {}", canary.url("/")).into_boxed_str());
    let table: &'static [(&str, u16, &str)] = Box::leak(Box::new([("/", 302, place)]));
    let local = Local::answering(table).await;
    let reading = http(&get(local.url("/"), 200, None), &here()).await;
    assert_eq!(reading.detail, "answered 302 in place of 200; redirects are not followed");
    assert_eq!(http(&get(local.url("/"), 302, None), &here()).await.answer, Answer::Pass);
    assert_eq!(canary.visits(), 0);
    for odd in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "/relative",
        "http://",
        "http://a b/",
        "http://u:p@127.0.0.1/",
    ] {
        let reading = http(&get(odd.to_owned(), 200, None), &here()).await;
        assert_eq!(reading.answer, Answer::Error, "{odd}: {reading:?}");
        assert!(!reading.detail.contains("u:p"), "{reading:?}");
    }
}

#[test]
fn t52_only_the_open_internet_is_public() {
    for text in [
        "1.1.1.1",
        "140.82.121.4",
        "100.63.0.1",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::8c52:7904",
    ] {
        assert!(is_public(text.parse().unwrap()), "{text}");
    }
    for text in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::7f00:1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "3fff::1",
    ] {
        assert!(!is_public(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn hosts_of_the_config_are_names_and_addresses() {
    let good = ["127.0.0.1", "[::1]", "::1", "metrics.internal", "prom"].map(str::to_owned);
    assert!(Allowed::new(good).is_ok());
    let bad = ["https://a.b", "a.b:80", "", "a/b", "10.0.0.0/8"].map(str::to_owned);
    assert_eq!(Allowed::new(bad).unwrap_err().len(), 5);
}

#[tokio::test]
async fn a_metric_is_read_as_prometheus_answers() {
    const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"job":"a"},"value":[1763700000.1,"0.003"]},{"metric":{"job":"b"},"value":[1763700000.1,"0.02"]}]}}"#;
    const NONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    const SCALAR: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1763700000,"NaN"]}}"#;
    const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    const WRONG: &str = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected ("}"#;
    const PATH: &str = "/api/v1/query";
    async fn asked(table: &'static [(&'static str, u16, &'static str)], pass: &str) -> Reading {
        let local = Local::answering(table).await;
        metric(&local.url("/"), "rate(errors[5m]) / rate(all[5m])", &pass.parse().unwrap(), &here()).await
    }
    let reading = asked(&[(PATH, 200, VECTOR)], "< 0.01").await;
    assert_eq!((reading.answer, reading.value.as_deref()), (Answer::Fail, Some("0.02")), "{reading:?}");
    assert_eq!(asked(&[(PATH, 200, VECTOR)], "< 0.1").await.answer, Answer::Pass);
    assert_eq!(asked(&[(PATH, 200, NONE)], "< 1").await.answer, Answer::Inconclusive);
    assert_eq!(asked(&[(PATH, 200, SCALAR)], "< 1").await.answer, Answer::Inconclusive);
    assert_eq!(asked(&[(PATH, 200, MATRIX)], "< 1").await.answer, Answer::Error);
    let reading = asked(&[(PATH, 400, WRONG)], "< 1").await;
    assert_eq!(reading.answer, Answer::Error);
    assert!(reading.detail.contains("400 Bad Request: parse error: unexpected ("), "{reading:?}");
    assert_eq!(asked(&[("/", 200, "<html>")], "< 1").await.answer, Answer::Error);
}
