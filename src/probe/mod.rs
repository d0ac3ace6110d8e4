//! Asking addresses of the outside world: one deadline each, bounded answers, no redirects, no private networks.
//!
//! The addresses come from manifests, which strangers may write; [`guard`] says where a request may go (THREATS T52).
//! Never an error: what cannot be asked is a reading, too.

pub mod guard;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, USER_AGENT};
use hyper::{Request, Response, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::domain::name::printable;
use crate::domain::probe::{Answer, Condition, HttpProbe, Method, Reading, metric_reading};
use crate::https::{self, Authorities};
use crate::probe::guard::{Allowed, Guard, Shut};

/// Longest wait for a whole answer; a service that needs longer is not well.
const DEADLINE: Duration = Duration::from_secs(10);

/// How much of an answer is looked into.
const LOOKED_INTO_BYTES: usize = 64 * 1024;

/// Largest answer of a metrics server: some thousand series.
const METRIC_BYTES: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
enum Silence {
    /// It must not, or cannot, be asked.
    NotAsked(String),
    /// It was asked and did not answer.
    NoAnswer(String),
}

/// Where probes may go, and whom they believe there.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Hosts that may be asked though they are not public.
    pub allowed: Allowed,
    /// Authorities of the server's own.
    pub authorities: Authorities,
}

/// Asks an address; who does not answer fails as who answers wrongly does.
pub async fn http(probe: &HttpProbe, reach: &Reach) -> Reading {
    let work = async {
        let answer = ask(probe.method, &probe.url, reach).await?;
        judged(probe, answer).await
    };
    match within_deadline(work).await {
        Ok(reading) => reading,
        Err(Silence::NotAsked(why)) => Reading::new(Answer::Error, why),
        Err(Silence::NoAnswer(why)) => Reading::new(Answer::Fail, why),
    }
}

/// Asks a Prometheus server for the values of a query now; without it nothing is known of what it measures.
pub async fn metric(server: &str, query: &str, pass: &Condition, reach: &Reach) -> Reading {
    let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
    let url = format!("{}/api/v1/query?query={query}", server.trim_end_matches('/'));
    let work = async {
        let answer = ask(Method::Get, &url, reach).await?;
        let status = answer.status();
        let body = https::body(answer.into_body(), METRIC_BYTES).await;
        let body = body.map_err(|e| Silence::NoAnswer(format!("the metrics were not read: {e}")))?;
        values(&body).map_err(|why| Silence::NotAsked(format!("the metrics server answered {status}: {why}")))
    };
    match within_deadline(work).await {
        Ok(values) => metric_reading(&values, pass),
        Err(Silence::NotAsked(why) | Silence::NoAnswer(why)) => Reading::new(Answer::Error, why),
    }
}

async fn within_deadline<T>(work: impl Future<Output = Result<T, Silence>>) -> Result<T, Silence> {
    let late = |_| Err(Silence::NoAnswer(format!("no answer within {} s", DEADLINE.as_secs())));
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(late)
}

async fn ask(method: Method, url: &str, reach: &Reach) -> Result<Response<Incoming>, Silence> {
    let not_asked = |why: String| Silence::NotAsked(why);
    let uri: Uri = url.parse().map_err(|_| not_asked(format!("`{}` is no address", printable(url))))?;
    let host = reach.allowed.may_ask(&uri).map_err(|shut| not_asked(shut.to_string()))?;
    let method = match method {
        Method::Get => hyper::Method::GET,
        Method::Head => hyper::Method::HEAD,
    };
    let request = Request::builder()
        .method(method)
        .uri(&uri)
        .header(USER_AGENT, https::USER_AGENT)
        .header(ACCEPT, "*/*")
        .body(Full::new(Bytes::new()))
        .map_err(|e| not_asked(e.to_string()))?;
    let connections = https::connections_by(Guard::new(&reach.allowed), &reach.authorities)
        .map_err(|t| not_asked(t.chain()))?;
    connections.request(request).await.map_err(|error| match shut(&error) {
        Some(shut) => not_asked(shut.to_string()),
        None => Silence::NoAnswer(format!(
            "{host} did not answer: {}",
            causes(&error).last().map(ToString::to_string).unwrap_or_default()
        )),
    })
}

/// An error and everything that caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

/// The guard's own refusal among the causes.
fn shut<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Shut> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

async fn judged(probe: &HttpProbe, answer: Response<Incoming>) -> Result<Reading, Silence> {
    let status = answer.status().as_u16();
    if !probe.expect.contains(&status) {
        let expected: Vec<String> = probe.expect.iter().map(u16::to_string).collect();
        let more = if answer.status().is_redirection() { "; redirects are not followed" } else { "" };
        let detail = format!("answered {status} in place of {}{more}", expected.join(" or "));
        return Ok(Reading::new(Answer::Fail, detail).with_value(status.to_string()));
    }
    let reading = |answer, detail| Reading::new(answer, detail).with_value(status.to_string());
    let Some(wanted) = &probe.body_contains else {
        return Ok(reading(Answer::Pass, format!("answered {status}")));
    };
    let body = https::start_of_body(answer.into_body(), LOOKED_INTO_BYTES).await;
    let body = body.map_err(|e| Silence::NoAnswer(format!("answered {status}, and then broke off: {e}")))?;
    if String::from_utf8_lossy(&body).contains(wanted) {
        return Ok(reading(Answer::Pass, format!("answered {status} with `{}`", printable(wanted))));
    }
    let cut = if body.len() == LOOKED_INTO_BYTES { " in its first 64 KiB" } else { "" };
    Ok(reading(Answer::Fail, format!("answered {status} without `{}`{cut}", printable(wanted))))
}

/// What Prometheus answers to an instant query (its HTTP API, "Instant queries").
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Queried {
    Success { data: Data },
    Error { error: String },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar(Sample),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Series {
    value: Sample,
}

/// The time, and the value as a text.
#[derive(Debug, Deserialize)]
struct Sample(serde::de::IgnoredAny, String);

fn values(body: &[u8]) -> Result<Vec<f64>, String> {
    let read = |Sample(_, text): Sample| {
        text.parse::<f64>().map_err(|_| format!("`{}` is no number", printable(&text)))
    };
    let queried = serde_json::from_slice(body).map_err(|_| "no answer of a Prometheus server".to_owned())?;
    match queried {
        Queried::Success { data: Data::Vector(series) } => {
            series.into_iter().map(|s| read(s.value)).collect()
        }
        Queried::Success { data: Data::Scalar(sample) } => read(sample).map(|value| vec![value]),
        Queried::Success { data: Data::Matrix(_) | Data::String(_) } => {
            Err("the query gives no values of now; leave a range such as `[5m]` out of its end".to_owned())
        }
        Queried::Error { error } => Err(printable(&error)),
    }
}

#[cfg(test)]
mod tests;
