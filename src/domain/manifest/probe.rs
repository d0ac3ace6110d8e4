//! The keys of a check that asks the outside world → a probe (MANIFEST §3, `checks`).

use crate::domain::manifest::Problems;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::keys::probe::{PROBE_KINDS, PROBE_OBJECT};
use crate::domain::manifest::node;
use crate::domain::manifest::problem::{Findings, Severity, in_order};
use crate::domain::manifest::shape::{self, Shape};
use crate::domain::manifest::view::View;
use crate::domain::probe::{Awaited, ChecksProbe, Condition, HttpProbe, Method, Probe, StatusProbe};

/// The status a healthy address answers with when the check does not say.
const USUAL_STATUS: u16 = 200;

/// Keys that say more about a kind of question.
const COMPANIONS: [(&str, &[&str]); 5] = [
    ("http", &["method", "expect", "body_contains"]),
    ("status", &["by"]),
    ("checks", &["app"]),
    ("issues", &["max"]),
    ("metric", &["server", "pass"]),
];

pub(super) fn check_condition(text: &str) -> Result<(), String> {
    text.parse::<Condition>().map(drop).map_err(|e| e.to_string())
}

/// Reads one probe from a YAML mapping of its own; `file` is the name that problems carry.
pub fn parse(text: &str, file: &str) -> Result<Probe, Problems> {
    let mut findings = Findings::new(file);
    let probe = node::parse(text, &mut findings).and_then(|root| {
        shape::check(&root, &Shape::Object(&PROBE_OBJECT), "the probe", &mut findings);
        read(View::of(&root), &mut findings)
    });
    let problems = in_order(findings.into_problems());
    match probe {
        Some(probe) if problems.iter().all(|p| p.severity != Severity::Error) => Ok(probe),
        Some(_) | None => Err(Problems(problems)),
    }
}

/// The probe of a check whose shape has been compared; `None` when it is no probe, or one that has been reported.
pub(super) fn read(check: View<'_>, findings: &mut Findings<'_>) -> Option<Probe> {
    let kind = PROBE_KINDS.iter().copied().find(|kind| check.get(kind).is_some());
    strangers(check, kind, findings);
    match kind? {
        "http" => http(check, findings).map(Probe::Http),
        "status" => status(check).map(Probe::Status),
        "checks" => checks(check, findings).map(Probe::Checks),
        "issues" => {
            Some(Probe::Issues { query: check.line("issues")?, max: check.count("max").unwrap_or(0) })
        }
        "metric" => metric(check, findings),
        _ => awaited(check.below("wait_for"), findings).map(Probe::WaitFor),
    }
}

/// A key that belongs to another kind would be without effect, and somebody counts on it.
fn strangers(check: View<'_>, kind: Option<&str>, findings: &mut Findings<'_>) {
    for (of, keys) in COMPANIONS {
        for key in keys.iter().filter(|key| kind != Some(of) && check.get(key).is_some()) {
            let message = format!("`{key}` goes with `{of}`");
            findings.add(Code::MissingKey, check.place(key), message);
        }
    }
}

fn http(check: View<'_>, findings: &mut Findings<'_>) -> Option<HttpProbe> {
    let method = if check.line("method").as_deref() == Some("HEAD") { Method::Head } else { Method::Get };
    let body_contains = check.line("body_contains");
    if method == Method::Head && body_contains.is_some() {
        let message = "`HEAD` has no body to look into".to_owned();
        let hint = "leave `method` out".to_owned();
        findings.add_hinted(Code::Exclusive, check.place("body_contains"), message, hint);
    }
    let expect: Vec<u16> = check.all("expect");
    if check.get("expect").is_some() && expect.is_empty() {
        findings.add(Code::Impossible, check.place("expect"), "no answer would do".to_owned());
    }
    let expect = if expect.is_empty() { vec![USUAL_STATUS] } else { expect };
    Some(HttpProbe { url: check.line("http")?, method, expect, body_contains })
}

fn status(check: View<'_>) -> Option<StatusProbe> {
    let by = check.line("by").and_then(|login| login.trim_start_matches('@').parse().ok());
    Some(StatusProbe { context: check.line("status")?, by })
}

fn checks(check: View<'_>, findings: &mut Findings<'_>) -> Option<ChecksProbe> {
    let name = check.line("checks")?;
    let Some(app) = check.get("app") else {
        let message = "`checks` needs `app`: any app may make a check of this name".to_owned();
        let hint = "add the app's number, such as `app: 15368` for GitHub Actions".to_owned();
        findings.add_hinted(Code::MissingKey, check.place("checks"), message, hint);
        return None;
    };
    Some(ChecksProbe { name, app: crate::domain::manifest::view::count(app)?.into() })
}

fn metric(check: View<'_>, findings: &mut Findings<'_>) -> Option<Probe> {
    for key in ["server", "pass"] {
        if check.get(key).is_none() {
            findings.add(Code::MissingKey, check.place("metric"), format!("`metric` needs `{key}`"));
        }
    }
    Some(Probe::Metric {
        query: check.line("metric")?,
        server: check.line("server")?.trim_end_matches('/').to_owned(),
        pass: check.parsed("pass")?,
    })
}

fn awaited(block: View<'_>, findings: &mut Findings<'_>) -> Option<Awaited> {
    let kind = ["status", "checks"].into_iter().find(|kind| block.get(kind).is_some());
    strangers(block, kind, findings);
    match kind? {
        "status" => status(block).map(Awaited::Status),
        _ => checks(block, findings).map(Awaited::Checks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::problem::render_text;

    fn probe(text: &str) -> Probe {
        parse(text, "probe.yml")
            .unwrap_or_else(|Problems(p)| panic!("{text}: {}", render_text(&p, &[].into())))
    }

    fn refusal(text: &str) -> String {
        let Problems(problems) = parse(text, "probe.yml").unwrap_err();
        problems.iter().map(|p| format!("{} {}", p.code, p.message)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn d23_d27_the_kinds_of_the_manifests_examples_are_read() {
        let known = "{issues: 'repo:acme/release label:release-blocker state:open', max: 0}";
        let query = "repo:acme/release label:release-blocker state:open".to_owned();
        assert_eq!(probe(known), Probe::Issues { query, max: 0 });
        let health = HttpProbe {
            url: "https://$(App.Host)/healthz".to_owned(),
            method: Method::Get,
            expect: vec![200],
            body_contains: None,
        };
        assert_eq!(probe("{http: 'https://$(App.Host)/healthz', expect: 200}"), Probe::Http(health.clone()));
        assert_eq!(probe("http: https://$(App.Host)/healthz"), Probe::Http(health));
        let build = StatusProbe { context: "ci/val-build".to_owned(), by: None };
        assert_eq!(probe("wait_for: {status: ci/val-build}"), Probe::WaitFor(Awaited::Status(build.clone())));
        let by = Some("ci[bot]".parse().unwrap());
        assert_eq!(
            probe("{status: ci/val-build, by: 'ci[bot]'}"),
            Probe::Status(StatusProbe { by, ..build })
        );
        let run = ChecksProbe { name: "build".to_owned(), app: 15_368 };
        assert_eq!(probe("{checks: build, app: 15368}"), Probe::Checks(run.clone()));
        assert_eq!(probe("wait_for: {checks: build, app: 15368}"), Probe::WaitFor(Awaited::Checks(run)));
        let metric = probe("{metric: 'rate(errors[5m])', server: 'https://prom.example/', pass: '< 0.01'}");
        let expected = Probe::Metric {
            server: "https://prom.example".to_owned(),
            query: "rate(errors[5m])".to_owned(),
            pass: "< 0.01".parse().unwrap(),
        };
        assert_eq!(metric, expected);
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&json).unwrap(), expected);
    }

    #[test]
    fn what_would_be_without_effect_or_without_a_guard_is_refused() {
        for (text, expected) in [
            ("{checks: build}", "M0203 `checks` needs `app`: any app may make a check of this name"),
            ("{status: a, checks: b, app: 1}", "M0205 `status` and `checks` exclude each other"),
            ("{status: a, max: 1}", "M0203 `max` goes with `issues`"),
            ("{http: 'https://a.b', app: 1}", "M0203 `app` goes with `checks`"),
            ("{http: 'ftp://a.b'}", "M0302 `http`: `ftp://a.b` is not an `https://` address"),
            ("{http: 'https://a.b', method: HEAD, body_contains: ok}", "M0205 `HEAD` has no body"),
            ("{http: 'https://a.b', method: POST}", "M0303 `method` is one of `GET` and `HEAD`, not `POST`"),
            ("{http: 'https://a.b', expect: 42}", "M0305 `expect` takes a number from 100 to 599"),
            ("{http: 'https://a.b', expect: []}", "M0501 no answer would do"),
            ("{metric: up}", "M0203 `metric` needs `server`"),
            ("{metric: up, server: 'https://a.b', pass: small}", "M0302 `pass`: a condition is"),
            ("{wait_for: {}}", "M0203 `wait_for` needs one of `status` and `checks`"),
            ("{wait_for: {status: a, app: 1}}", "M0203 `app` goes with `checks`"),
            ("{expect: 200}", "M0203 a probe needs one of"),
            ("{htp: 'https://a.b'}", "M0201 unknown key `htp` in a probe"),
        ] {
            let refused = refusal(text);
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
