//! Figures of what happened in the pipelines, taken from the event log: promotions, waits, durations, approvals.
//!
//! Counters begin at zero with the process, as Prometheus expects. Every process counts the whole log, so with
//! several of them a query takes one instance's figures, never their sum.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::domain::event::Event;
use crate::domain::release::{StageState, Transition};
use crate::domain::time::Timestamp;

/// Seconds a stage waits or runs: from a script of a second to a week of waiting for people.
const BUCKETS: [f64; 10] = [1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// Most attempts whose beginning is remembered; beyond it the oldest waits are not measured.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    pipeline: String,
    stage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    pipeline: String,
    stage: String,
    gate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PromotionLabels {
    pipeline: String,
    stage: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: &'static str,
}

/// Stream, release, stage and attempt.
type Attempt = (String, u32, String, u32);

/// What an attempt has been doing since it was last seen to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waits,
    Queued,
    Runs,
}

/// What opened something in a pipeline last, and when: what follows from it is stored with the same time.
type Opener = (Timestamp, &'static str);

/// The figures, and when the attempts that are not over began to wait or to run.
pub(super) struct Happened {
    promotions: Family<PromotionLabels, Counter>,
    waits: Family<WaitLabels, Histogram>,
    durations: Family<StageLabels, Histogram>,
    approvals: Family<DecisionLabels, Counter>,
    since: Mutex<BTreeMap<Attempt, (Phase, Timestamp)>>,
    /// By stream.
    opened: Mutex<BTreeMap<String, Opener>>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Happened {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let promotions = Family::default();
        let waits = Family::<WaitLabels, Histogram>::new_with_constructor(histogram);
        let durations = Family::<StageLabels, Histogram>::new_with_constructor(histogram);
        let approvals = Family::default();
        registry.register(
            "promotions",
            "Attempts of stages that had started and ended, by how",
            promotions.clone(),
        );
        registry.register(
            "stage_wait_seconds",
            "From the opening of an attempt to its start, in parts by what ended each: the gate that opened last, \
             and the queue",
            waits.clone(),
        );
        registry.register(
            "stage_duration_seconds",
            "From the start of an attempt to its end",
            durations.clone(),
        );
        registry.register("approvals", "Approvals given, withdrawn, and stages rejected", approvals.clone());
        Self { promotions, waits, durations, approvals, since: Mutex::default(), opened: Mutex::default() }
    }

    pub(super) fn event(&self, stream: &str, event: &Event, at: Timestamp) {
        if let Some(gate) = opener(event) {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.insert(stream.to_owned(), (at, gate));
        }
        if let Event::StageOpened { release, stage, attempt, .. } = event {
            let key = (stream.to_owned(), release.0.get(), stage.to_string(), *attempt);
            self.remember(key, (Phase::Waits, at));
        } else if let Event::StageMoved { release, stage, attempt, transition, to, .. } = event {
            let key = (stream.to_owned(), release.0.get(), stage.to_string(), *attempt);
            self.moved(key, (*transition, *to), at);
        } else if let Event::Approved { .. } = event {
            self.decided("approved");
        } else if let Event::ApprovalWithdrawn { .. } = event {
            self.decided("withdrawn");
        }
    }

    fn moved(&self, key: Attempt, (by, to): (Transition, StageState), at: Timestamp) {
        let labels = StageLabels { pipeline: key.0.clone(), stage: key.2.clone() };
        if by == Transition::Reject {
            self.decided("rejected");
        }
        if by == Transition::Admit {
            if let Some((Phase::Waits, since)) = self.forget(&key) {
                self.waited(&labels, self.gate(&key.0, at), (since, at));
            }
            self.remember(key, (Phase::Queued, at));
        } else if by == Transition::BlockersReturned {
            self.remember(key, (Phase::Waits, at));
        } else if by == Transition::LockAcquired {
            if let Some((Phase::Waits | Phase::Queued, since)) = self.forget(&key) {
                self.waited(&labels, "queue", (since, at));
            }
            self.remember(key, (Phase::Runs, at));
        } else if to.is_terminal()
            && let Some((phase, since)) = self.forget(&key)
            && phase == Phase::Runs
        {
            self.durations.get_or_create(&labels).observe(seconds(since, at));
            let StageLabels { pipeline, stage } = labels;
            let result = serde_json::to_value(to).ok().and_then(|word| Some(word.as_str()?.to_owned()));
            let result = result.unwrap_or_default();
            self.promotions.get_or_create(&PromotionLabels { pipeline, stage, result }).inc();
        }
    }

    /// What was opened at this very moment; else nothing but time has passed: a window, a soak, a schedule.
    fn gate(&self, stream: &str, at: Timestamp) -> &'static str {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(stream).filter(|(then, _)| *then == at).map_or("time", |(_, gate)| gate)
    }

    fn waited(&self, labels: &StageLabels, gate: &'static str, (since, at): (Timestamp, Timestamp)) {
        let StageLabels { pipeline, stage } = labels.clone();
        self.waits.get_or_create(&WaitLabels { pipeline, stage, gate }).observe(seconds(since, at));
    }

    fn decided(&self, decision: &'static str) {
        self.approvals.get_or_create(&DecisionLabels { decision }).inc();
    }

    fn remember(&self, key: Attempt, phase: (Phase, Timestamp)) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= REMEMBERED {
            since.pop_first();
        }
        since.insert(key, phase);
    }

    fn forget(&self, key: &Attempt) -> Option<(Phase, Timestamp)> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

fn seconds(since: Timestamp, at: Timestamp) -> f64 {
    at.since(since).as_std().as_secs_f64()
}

/// What kind of gate this opens, if any; a stage whose turn comes with its attempt waited for nothing.
fn opener(event: &Event) -> Option<&'static str> {
    if let Event::StageMoved { to: StageState::Succeeded | StageState::Skipped, .. } = event {
        return Some("needs");
    }
    let kinds = [
        (matches!(event, Event::StageOpened { .. }), "none"),
        (matches!(event, Event::Approved { .. }), "approval"),
        (matches!(event, Event::GatesSampled { .. }), "check"),
        (matches!(event, Event::Unheld { .. }), "hold"),
        (matches!(event, Event::Unfrozen { .. }), "freeze"),
        (matches!(event, Event::VetoLifted { .. }), "veto"),
        (matches!(event, Event::Promoted { .. }), "trigger"),
        (matches!(event, Event::Overridden { .. }), "override"),
    ];
    kinds.into_iter().find_map(|(is, gate)| is.then_some(gate))
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::domain::event::{Detail, RunKind};
    use crate::domain::name::ReleaseNo;

    fn moved(by: Transition, to: StageState, attempt: u32) -> Event {
        Event::StageMoved {
            release: ReleaseNo(1.try_into().unwrap()),
            stage: "prod".parse().unwrap(),
            attempt,
            transition: by,
            to,
            detail: Detail::None,
        }
    }

    fn opened(attempt: u32) -> Event {
        let (release, stage) = (ReleaseNo(1.try_into().unwrap()), "prod".parse().unwrap());
        Event::StageOpened { release, stage, attempt, kind: RunKind::Deploy, by: None, not_before: None }
    }

    #[test]
    fn waits_runs_and_ends_are_counted_and_what_never_started_is_not() {
        let mut registry = Registry::default();
        let happened = Happened::new(&mut registry);
        let story = [
            (0, opened(1)),
            (60, Event::Unheld { stage: Some("prod".parse().unwrap()), track: None, by: None }),
            (60, moved(Transition::Admit, StageState::Queued, 1)),
            (65, moved(Transition::BlockersReturned, StageState::Pending, 1)),
            (75, moved(Transition::Admit, StageState::Queued, 1)),
            (135, moved(Transition::LockAcquired, StageState::Running, 1)),
            (145, moved(Transition::StepFailed, StageState::Failed, 1)),
            (200, opened(2)),
            (300, moved(Transition::NewerEligible, StageState::Superseded, 2)),
        ];
        for (second, event) in story {
            happened.event("plain:shop/shop", &event, Timestamp(second * 1_000));
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let of = r#"{pipeline="plain:shop/shop",stage="prod""#;
        for line in [
            format!("promotions_total{of},result=\"failed\"}} 1\n"),
            format!("stage_wait_seconds_sum{of},gate=\"hold\"}} 60.0\n"),
            format!("stage_wait_seconds_sum{of},gate=\"queue\"}} 60.0\n"),
            format!("stage_wait_seconds_count{of},gate=\"queue\"}} 1\n"),
            format!("stage_wait_seconds_sum{of},gate=\"time\"}} 10.0\n"),
            format!("stage_duration_seconds_sum{of}}} 10.0\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("superseded"), "{text}");
    }
}
