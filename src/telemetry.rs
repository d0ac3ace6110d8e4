//! What the program says about itself: log lines and metrics.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::domain::event::Event;
use crate::domain::state::State;
use crate::store::health::Stats;
use crate::store::stream::StoredEvent;
use crate::trouble::{Outcome, Trouble};

mod happened;
mod standing;

use happened::Happened;
use standing::Standing;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// For a person at a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Seconds a webhook takes: from below one flush to the limit of a request.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Sends log lines to `to`, once per process. `filter` is tracing's own language, such as `info,sqlx=warn`.
pub fn start<W>(form: LogForm, filter: &str, to: W) -> Outcome<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wrong = |e: Box<dyn std::error::Error + Send + Sync>| Trouble::refused("start the log").because(e);
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        Trouble::refused(format!(
            "the log filter `{filter}` cannot be read; write one such as `info,sqlx=warn`"
        ))
        .because(e)
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(true).with_writer(to);
    match form {
        LogForm::Text => lines.with_ansi(false).try_init().map_err(wrong),
        LogForm::Json => lines.json().flatten_event(true).try_init().map_err(wrong),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    event: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    lane: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstallationLabels {
    installation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
}

/// Every metric, with the names of the operations guide; parts are handed the whole of it and touch their own.
pub struct Metrics {
    registry: Registry,
    deliveries: Family<DeliveryLabels, Counter>,
    handle: Histogram,
    jobs: Family<JobLabels, Gauge>,
    oldest: Gauge<f64, AtomicU64>,
    event_seq: Gauge,
    github_requests: Family<RouteLabels, Counter>,
    github_remaining: Family<InstallationLabels, Gauge>,
    github_mints: Counter,
    happened: Happened,
    standing: Standing,
    chain: Family<NoLabels, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All metrics at zero, of this version of the program.
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::with_prefix("liftlock");
        let deliveries = Family::default();
        let handle = Histogram::new(BUCKETS);
        let jobs = Family::default();
        let oldest = Gauge::default();
        let event_seq = Gauge::default();
        let github_requests = Family::default();
        let github_remaining = Family::default();
        let github_mints = Counter::default();
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: version.to_owned() }).set(1);
        let r = &mut registry;
        r.register("webhook_deliveries", "Webhooks by event and by what became of them", deliveries.clone());
        r.register(
            "webhook_handle_duration_seconds",
            "From the head of a webhook to its answer",
            handle.clone(),
        );
        r.register("jobs", "Effects by lane and state", jobs.clone());
        r.register(
            "job_oldest_age_seconds",
            "How long the longest-waiting due effect has waited",
            oldest.clone(),
        );
        r.register("event_log_sequence", "The last number in the event log", event_seq.clone());
        r.register("github_requests", "Requests to GitHub by route and status", github_requests.clone());
        r.register("github_ratelimit_remaining", "Requests left until the reset", github_remaining.clone());
        r.register("github_token_mints", "Installation tokens asked for", github_mints.clone());
        r.register("build_info", "The version that runs; always 1", build);
        let (happened, standing) = (Happened::new(r), Standing::new(r));
        // A family, so that nothing is said before it was looked at.
        let chain = Family::<NoLabels, Gauge>::default();
        r.register(
            "audit_chain_ok",
            "Whether the hashes of the log held when it was last read",
            chain.clone(),
        );
        Self {
            registry,
            deliveries,
            handle,
            jobs,
            oldest,
            event_seq,
            github_requests,
            github_remaining,
            github_mints,
            happened,
            standing,
            chain,
        }
    }

    /// An event was stored; what this version does not know is not counted.
    pub fn stored(&self, stored: &StoredEvent) {
        if let Ok(event) = serde_json::from_str::<Event>(&stored.data) {
            self.happened.event(&stored.stream, &event, stored.at);
        }
    }

    /// What a pipeline is like now: what is live where, and what keeps its stages.
    pub fn pipeline(&self, state: &State) {
        self.standing.pipeline(state);
    }

    /// The log was read from its beginning to its end, and its hashes held or did not.
    pub fn chain(&self, holds: bool) {
        self.chain.get_or_create(&NoLabels {}).set(i64::from(holds));
    }

    /// A webhook was answered.
    pub fn delivery(&self, event: &'static str, outcome: &'static str, took: Duration) {
        self.deliveries.get_or_create(&DeliveryLabels { event, outcome }).inc();
        self.handle.observe(took.as_secs_f64());
    }

    /// GitHub answered so many requests more; `route` is the template, never the address.
    pub fn github_requests(&self, route: &str, code: u16, more: u64) {
        let labels = RouteLabels { route: route.to_owned(), code };
        self.github_requests.get_or_create(&labels).inc_by(more);
    }

    /// GitHub said how many requests an installation has left.
    pub fn github_remaining(&self, installation: u64, remaining: i64) {
        self.github_remaining.get_or_create(&InstallationLabels { installation }).set(remaining);
    }

    /// An installation token was asked for.
    pub fn github_mint(&self) {
        self.github_mints.inc();
    }

    /// Every metric as `OpenMetrics` text, with the store's counts as they are now.
    pub fn text(&self, stats: &Stats) -> Outcome<String> {
        // A state that is empty now must not keep its old count.
        self.jobs.clear();
        for (lane, state, count) in &stats.effects {
            let labels = JobLabels { lane: lane.clone(), state: state.clone() };
            self.jobs.get_or_create(&labels).set(*count);
        }
        self.oldest.set(stats.oldest_ready.map_or(0.0, |age| age.as_std().as_secs_f64()));
        self.event_seq.set(stats.event_seq);
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|e| Trouble::bug("write the metrics").because(e))?;
        Ok(text)
    }
}
