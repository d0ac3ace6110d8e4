//! A job that is done elsewhere: one request launches it, others ask how it goes, until it is over or time is.
//!
//! Where requests go and what they carry is the server's config alone. An answer may name the page to ask at, never
//! another machine: the headers of the config would go along (THREATS T52).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::Value;

use crate::domain::name::printable;
use crate::domain::pipeline::words::{Names, expand};
use crate::domain::time::Timestamp;
use crate::https::{self, Connections, signed};
use crate::secret::Secret;

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest answer that is read; those of the products known here are some kilobytes long.
const MAX_ANSWER_BYTES: usize = 1_048_576;
/// Longest address that is shown as a link.
const MAX_PAGE_BYTES: usize = 2_000;
/// Most characters of what an answer says of itself.
const MAX_SAID_CHARS: usize = 200;

/// A place that does jobs.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The address that launches one.
    pub url: Secret,
    /// What every request carries, a token for instance.
    pub headers: Vec<(HeaderName, Secret)>,
    /// What requests are signed with.
    pub key: Option<Secret>,
    /// What is there, and so how its answers read.
    pub product: Product,
    /// What is sent, with macros in its strings; the product's usual body when absent.
    pub body: Option<Value>,
}

/// What does the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Anything that keeps to the contract in the README.
    #[default]
    Plain,
    /// Ansible Tower, AWX, and Automation Controller: `/api/v2/job_templates/<id>/launch/`.
    AnsibleTower,
    /// Puppet Enterprise's orchestrator: `/orchestrator/v1/command/deploy`.
    Puppet,
    /// Terraform Cloud and Enterprise: `/api/v2/runs`.
    TerraformCloud,
}

/// Where answers of a product say what, as JSON pointers (RFC 6901), and the words of its states.
struct Reading {
    /// What people call the job.
    id: &'static str,
    /// The address to ask how it goes.
    poll: &'static str,
    /// In an answer about it, its state.
    state: &'static str,
    good: &'static [&'static str],
    bad: &'static [&'static str],
    /// States in which nothing happens before somebody there says so.
    asking: &'static [&'static str],
    /// Whether an answer says so whatever its state is called.
    asks: Option<&'static str>,
    /// The page people look at, or the path of it with `{}` for the id.
    page: Page,
}

enum Page {
    At(&'static str),
    Below(&'static str),
}

/// What is launched.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What makes it one launch, however often it is asked for.
    pub id: &'a str,
    /// What the job is about.
    pub facts: Value,
    /// Values of macros.
    pub values: &'a BTreeMap<String, String>,
    /// The time.
    pub now: Timestamp,
}

/// A job that was launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What people call it.
    pub name: Option<String>,
    /// The page people look at.
    pub page: Option<String>,
    /// Where to ask; nothing when the answer was all there is to it.
    poll: Option<Uri>,
}

/// How a job goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Not over; its state.
    Goes(String),
    /// Not over, and somebody there has to say that it may go on; its state.
    Waits(String),
    /// It did its work.
    Done,
    /// It did not, and what it says.
    Failed(String),
    /// Nobody says how it goes, and why; it may be asked again.
    Silent(String),
}

impl Reading {
    fn waits(&self, state: &str, answer: &Value) -> bool {
        let said = self.asks.and_then(|at| answer.pointer(at)).and_then(Value::as_bool);
        self.asking.contains(&state) || said.unwrap_or(false)
    }
}

impl Product {
    fn reading(self) -> Reading {
        match self {
            Self::Plain => Reading {
                id: "/id",
                poll: "/status_url",
                state: "/status",
                good: &["succeeded"],
                bad: &["failed", "cancelled"],
                asking: &[],
                asks: None,
                page: Page::At("/log_url"),
            },
            // docs.ansible.com, Automation Controller API Guide, "Job Templates" and "Jobs".
            Self::AnsibleTower => Reading {
                id: "/id",
                poll: "/url",
                state: "/status",
                good: &["successful"],
                bad: &["failed", "error", "canceled"],
                asking: &[],
                asks: None,
                page: Page::Below("/#/jobs/playbook/{}/output"),
            },
            // help.puppet.com, Orchestrator API, "POST /command/deploy" and "GET /jobs/:job-id".
            Self::Puppet => Reading {
                id: "/job/name",
                poll: "/job/id",
                state: "/state",
                good: &["finished"],
                bad: &["failed", "stopped"],
                asking: &[],
                asks: None,
                page: Page::Below("/#/orchestration/jobs/job/{}"),
            },
            // developer.hashicorp.com, HCP Terraform API, "Runs" and "Run States".
            Self::TerraformCloud => Reading {
                id: "/data/id",
                poll: "/data/links/self",
                state: "/data/attributes/status",
                good: &["applied", "planned_and_finished"],
                bad: &["errored", "canceled", "force_canceled", "discarded", "policy_soft_failed"],
                // Of a run that is applied by itself nobody can confirm the plan.
                asking: &["policy_override"],
                asks: Some("/data/attributes/actions/is-confirmable"),
                page: Page::Below("/api/v2/runs/{}"),
            },
        }
    }

    /// Whether it has a body of its own when the config gives none.
    pub fn has_body(self) -> bool {
        match self {
            Self::Plain | Self::AnsibleTower => true,
            Self::Puppet | Self::TerraformCloud => false,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Plain | Self::AnsibleTower | Self::Puppet => "application/json",
            Self::TerraformCloud => "application/vnd.api+json",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "job {name}"),
            None => f.write_str("a job"),
        }
    }
}

impl Hook {
    /// Everything of it that must never be shown.
    pub fn hidden(&self) -> impl Iterator<Item = &Secret> {
        self.headers.iter().map(|(_, value)| value).chain(&self.key)
    }

    /// The machine it is at, for people.
    pub fn host(&self) -> String {
        let uri: Option<Uri> = self.url.expose().parse().ok();
        uri.and_then(|uri| Some(uri.authority()?.as_str().rsplit('@').next()?.to_owned())).unwrap_or_default()
    }

    /// What is sent; the error names a macro that nobody gives.
    pub fn message(&self, facts: &Value, values: &BTreeMap<String, String>) -> Result<String, String> {
        let body = match (&self.body, self.product) {
            (Some(body), _) => filled(body, &Names::of(values))?,
            (None, Product::AnsibleTower) => serde_json::json!({ "extra_vars": { "liftlock": facts } }),
            (None, Product::Plain | Product::Puppet | Product::TerraformCloud) => facts.clone(),
        };
        Ok(body.to_string())
    }

    /// Launches a job; the error is why none is known to be, as the end of a sentence about it.
    pub async fn launch(&self, connections: &Connections, launch: &Launch<'_>) -> Result<Job, String> {
        let body = self.message(&launch.facts, launch.values)?;
        let ours = |trouble: crate::trouble::Trouble| trouble.to_string();
        let signed = signed::headers((launch.id, &body), self.key.as_ref(), launch.now).map_err(ours)?;
        let uri: Uri = self.url.expose().parse().map_err(|_| "its address is none".to_owned())?;
        let (status, answer) = self
            .ask(connections, (Method::POST, &uri), (body, signed))
            .await
            .map_err(|why| format!("{why}, so nobody knows whether the job began"))?;
        if !status.is_success() {
            return Err(format!("{} answered {status}{}", self.host(), said(&answer)));
        }
        self.job(&uri, &answer)
    }

    /// What the answer to a launch says of the job.
    fn job(&self, launched_at: &Uri, answer: &Value) -> Result<Job, String> {
        let reading = self.product.reading();
        let name = text(answer, reading.id);
        let poll = match text(answer, reading.poll) {
            Some(at) => Some(same_place(launched_at, &at)?),
            None if self.product == Product::Plain => None,
            None => return Err(format!("{} answered without the address of the job", self.host())),
        };
        let page = match reading.page {
            Page::At(pointer) => text(answer, pointer).filter(|page| is_page(page)),
            Page::Below(path) => name
                .as_ref()
                .map(|name| {
                    let scheme = launched_at.scheme_str().unwrap_or("https");
                    format!("{scheme}://{}{}", self.host(), path.replace("{}", &part(name)))
                })
                .filter(|page| is_page(page)),
        };
        Ok(Job { name, page, poll })
    }

    /// Asks how a job goes.
    pub async fn look(&self, connections: &Connections, job: &Job) -> Look {
        let Some(poll) = &job.poll else { return Look::Done };
        let (status, answer) = match self.ask(connections, (Method::GET, poll), Default::default()).await {
            Ok(answered) => answered,
            Err(why) => return Look::Silent(why),
        };
        if !status.is_success() {
            return Look::Silent(format!("{} answered {status}", self.host()));
        }
        self.judged(&answer)
    }

    /// What an answer about a job says of it.
    fn judged(&self, answer: &Value) -> Look {
        let reading = self.product.reading();
        match text(answer, reading.state) {
            None => Look::Silent(format!("{} answered without a state", self.host())),
            Some(state) if reading.good.contains(&state.as_str()) => Look::Done,
            Some(state) if reading.bad.contains(&state.as_str()) => {
                Look::Failed(format!("{state}{}", said(answer)))
            }
            Some(state) if reading.waits(&state, answer) => Look::Waits(state),
            Some(state) => Look::Goes(state),
        }
    }

    async fn ask(
        &self,
        connections: &Connections,
        (method, uri): (Method, &Uri),
        (body, more): (String, signed::Headers),
    ) -> Result<(StatusCode, Value), String> {
        let host = self.host();
        let kind = self.product.content_type();
        let mut request = Request::builder()
            .method(method)
            .uri(uri.clone())
            .header(USER_AGENT, https::USER_AGENT)
            .header(ACCEPT, kind)
            .header(CONTENT_TYPE, kind);
        for (name, value) in &self.headers {
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_| "a header is none".to_owned())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(name, value);
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|_| "its address is none".to_owned())?;
        let whole = async {
            // Not the error itself: it may hold the address.
            let answer =
                connections.request(request).await.map_err(|_| format!("nobody answers at {host}"))?;
            let status = answer.status();
            let body = https::body(answer.into_body(), MAX_ANSWER_BYTES)
                .await
                .map_err(|_| format!("{host} answered no more than half, or too much"))?;
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        match tokio::time::timeout(DEADLINE, whole).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("{host} did not answer within {} s", DEADLINE.as_secs())),
        }
    }
}

/// A value with the macros of its strings replaced; keys stay as they are, and no value can become structure.
fn filled(value: &Value, names: &Names<'_>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            Value::String(expand(text, names).map_err(|missing| {
                format!("the body of its target names `$({missing})`, which nobody gives")
            })?)
        }
        Value::Array(all) => {
            Value::Array(all.iter().map(|one| filled(one, names)).collect::<Result<_, _>>()?)
        }
        Value::Object(all) => {
            let one = |(key, one): (&String, &Value)| Ok((key.clone(), filled(one, names)?));
            Value::Object(all.iter().map(one).collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// A text or a number at a place of an answer.
fn text(answer: &Value, pointer: &str) -> Option<String> {
    match answer.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An address in an answer, which is at the same place as the one that was asked.
fn same_place(asked: &Uri, at: &str) -> Result<Uri, String> {
    let elsewhere = || format!("the answer sends us to `{}`, which is another place", printable(at));
    let uri: Uri = at.parse().map_err(|_| elsewhere())?;
    match (uri.scheme(), uri.authority()) {
        (None, None) if at.starts_with('/') => {
            let mut parts = asked.clone().into_parts();
            parts.path_and_query = uri.path_and_query().cloned();
            Uri::from_parts(parts).map_err(|_| elsewhere())
        }
        (scheme, authority) if scheme == asked.scheme() && authority == asked.authority() => Ok(uri),
        (_, _) => Err(elsewhere()),
    }
}

/// Whether a page may be shown as a link: a web address that ends no link of Markdown or HTML early.
fn is_page(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&*+,;=%".contains(&b);
    (text.starts_with("https://") || text.starts_with("http://"))
        && text.len() <= MAX_PAGE_BYTES
        && text.bytes().all(plain)
}

/// An id as one part of a path; what would mean something else there is left out.
fn part(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    id.chars().filter(|c| plain(*c)).collect()
}

/// What an answer says of itself, if it says anything.
fn said(answer: &Value) -> String {
    let places = ["/message", "/detail", "/msg", "/errors/0/detail", "/errors/0/title", "/job_explanation"];
    let found = places.iter().find_map(|at| text(answer, at));
    found.map_or_else(String::new, |text| {
        let text: String = printable(&text).chars().take(MAX_SAID_CHARS).collect();
        format!(": {text}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(product: Product, url: &str) -> Hook {
        Hook { url: Secret::new(url), headers: Vec::new(), key: None, product, body: None }
    }

    #[test]
    fn e27_the_answer_to_a_launch_says_where_to_ask_and_what_to_look_at() {
        for (product, url, answer, poll, page) in [
            (
                Product::AnsibleTower,
                "https://tower.example/api/v2/job_templates/7/launch/",
                json!({"job": 41, "id": 41, "url": "/api/v2/jobs/41/", "status": "pending"}),
                "https://tower.example/api/v2/jobs/41/",
                "https://tower.example/#/jobs/playbook/41/output",
            ),
            (
                Product::Puppet,
                "https://puppet.example:8143/orchestrator/v1/command/deploy",
                json!({"job": {"id": "https://puppet.example:8143/orchestrator/v1/jobs/81", "name": "81"}}),
                "https://puppet.example:8143/orchestrator/v1/jobs/81",
                "https://puppet.example:8143/#/orchestration/jobs/job/81",
            ),
            (
                Product::TerraformCloud,
                "https://app.terraform.io/api/v2/runs",
                json!({"data": {"id": "run-CZcm", "links": {"self": "/api/v2/runs/run-CZcm"}}}),
                "https://app.terraform.io/api/v2/runs/run-CZcm",
                "https://app.terraform.io/api/v2/runs/run-CZcm",
            ),
            (
                Product::Plain,
                "https://jobs.example/deploy",
                json!({"id": "a1", "status_url": "/jobs/a1", "log_url": "https://logs.example/a1"}),
                "https://jobs.example/jobs/a1",
                "https://logs.example/a1",
            ),
        ] {
            let job = hook(product, url).job(&url.parse().unwrap(), &answer).unwrap();
            assert_eq!(job.poll.unwrap().to_string(), poll);
            assert_eq!(job.page.unwrap(), page);
        }
    }

    #[test]
    fn e27_the_states_of_each_product_are_known() {
        type Answer<'a> = &'a dyn Fn(&str) -> Value;
        let in_data = |state: &str| json!({"data": {"attributes": {"status": state}}});
        let tower = |state: &str| json!({"status": state});
        let puppet = |state: &str| json!({"state": state});
        let (tower, puppet, in_data): (Answer<'_>, Answer<'_>, Answer<'_>) = (&tower, &puppet, &in_data);
        for (product, answer, good, bad, goes) in [
            (
                Product::AnsibleTower,
                tower,
                &["successful"][..],
                &["failed", "error", "canceled"][..],
                &["new", "pending", "waiting", "running"][..],
            ),
            (
                Product::Puppet,
                puppet,
                &["finished"],
                &["failed", "stopped"],
                &["new", "ready", "running", "stopping"],
            ),
            (
                Product::TerraformCloud,
                in_data,
                &["applied", "planned_and_finished"],
                &["errored", "canceled", "force_canceled", "discarded", "policy_soft_failed"],
                &["pending", "planning", "planned", "applying", "policy_checked"],
            ),
            (Product::Plain, tower, &["succeeded"], &["failed", "cancelled"], &["running"]),
        ] {
            let hook = hook(product, "https://jobs.example/deploy");
            for state in good {
                assert!(matches!(hook.judged(&answer(state)), Look::Done), "{product:?} {state}");
            }
            for state in bad {
                let judged = hook.judged(&answer(state));
                assert!(matches!(judged, Look::Failed(how) if how.starts_with(state)), "{product:?} {state}");
            }
            for state in goes {
                let judged = hook.judged(&answer(state));
                assert!(matches!(judged, Look::Goes(at) if at == *state), "{product:?} {state}");
            }
            assert!(matches!(hook.judged(&json!({})), Look::Silent(_)), "{product:?}");
        }
    }

    #[test]
    fn e27_a_run_that_waits_for_somebody_there_says_so() {
        let run = |state: &str, confirmable: bool| json!({"data": {"attributes": {"status": state, "actions": {"is-confirmable": confirmable}}}});
        let hook = hook(Product::TerraformCloud, "https://t.example/");
        for (answer, waits) in [
            (run("planned", true), true),
            (run("cost_estimated", true), true),
            (run("policy_override", false), true),
            // It is applied by itself, or nothing can be confirmed yet.
            (run("planned", false), false),
            (run("planning", false), false),
            (json!({"data": {"attributes": {"status": "planned"}}}), false),
        ] {
            assert_eq!(matches!(hook.judged(&answer), Look::Waits(_)), waits, "{answer}");
        }
        // What is over waits for nobody.
        assert!(matches!(hook.judged(&run("applied", true)), Look::Done));
    }

    #[test]
    fn e27_an_answer_that_is_all_there_is_to_it_ends_the_job_and_others_need_an_address() {
        let url: Uri = "https://jobs.example/deploy".parse().unwrap();
        let plain = hook(Product::Plain, "https://jobs.example/deploy").job(&url, &Value::Null).unwrap();
        assert_eq!((plain.poll.as_ref(), plain.to_string().as_str()), (None, "a job"));
        let tower = hook(Product::AnsibleTower, "https://jobs.example/deploy").job(&url, &json!({"id": 1}));
        assert_eq!(tower.unwrap_err(), "jobs.example answered without the address of the job");
    }

    #[test]
    fn t52_no_answer_sends_the_config_s_headers_to_another_place() {
        let url: Uri = "https://jobs.example/deploy".parse().unwrap();
        for at in [
            "https://evil.example/jobs/1",
            "http://jobs.example/jobs/1",
            "https://jobs.example:8443/jobs/1",
            "https://jobs.example@evil.example/1",
            "jobs/1",
            "file:///etc/passwd",
        ] {
            let job =
                hook(Product::Plain, "https://jobs.example/deploy").job(&url, &json!({"status_url": at}));
            assert!(job.unwrap_err().contains("which is another place"), "{at}");
        }
        for page in
            ["javascript:alert(1)", "https://a.example/>)[x](https://b.example", "https://a.example/\"x"]
        {
            let shown = json!({"log_url": page});
            let job = hook(Product::Plain, "https://jobs.example/deploy").job(&url, &shown).unwrap();
            assert_eq!(job.page, None, "{page}");
        }
    }

    #[test]
    fn e27_the_body_of_the_config_is_filled_and_no_value_becomes_structure() {
        let body =
            json!({"data": {"attributes": {"message": "$(LIFTLOCK_VERSION) by $(who)", "auto-apply": true}}});
        let terraform = Hook { body: Some(body), ..hook(Product::TerraformCloud, "https://t.example/") };
        let values = BTreeMap::from(
            [("LIFTLOCK_VERSION", "v1.2.0"), ("WHO", "a\", \"x\": \"y")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let sent: Value = serde_json::from_str(&terraform.message(&Value::Null, &values).unwrap()).unwrap();
        assert_eq!(sent["data"]["attributes"]["message"], "v1.2.0 by a\", \"x\": \"y");
        assert_eq!(sent["data"]["attributes"]["auto-apply"], true);
        let missing = terraform.message(&Value::Null, &BTreeMap::new()).unwrap_err();
        assert!(missing.contains("`$(LIFTLOCK_VERSION)`, which nobody gives"), "{missing}");
    }
}
