//! One leg: what its answers so far come to, and when it is asked again.

use serde::{Deserialize, Serialize};

use crate::domain::check::{Check, OnTimeout, TIMEOUT};
use crate::domain::name::{Digest, ReleaseNo, StageName};
use crate::domain::probe::{Answer, Reading};
use crate::domain::time::{Span, Timestamp};
use crate::domain::version::Version;

/// First wait after a question that could not be asked; it doubles (SEMANTICS §5: error is not fail).
const BACKOFF: Span = Span::seconds(30);
/// Longest such wait.
const LONGEST_BACKOFF: Span = Span::minutes(5);
/// So many times a question is tried to ask; by then about seven minutes have passed.
const TRIES: u32 = 5;

/// Where a leg is once it has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// It is asked again.
    Running,
    /// It is good.
    Passed,
    /// It is bad.
    Failed,
    /// Nobody can tell; a person decides.
    Inconclusive,
    /// It could not be asked.
    Error,
    /// Its time was up, and its manifest says to go on.
    Skipped,
}

/// The answers of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Where it is.
    pub state: LegState,
    /// The last answer that changed anything.
    pub reading: Reading,
    /// The last lines of its log, when it ran a command.
    pub tail: Vec<String>,
    /// Digest of the question.
    pub question: Digest,
    /// What the answer holds for besides, when other releases may take it over.
    pub key: Option<Digest>,
    /// Where the answer was taken from, when it was not asked for again.
    pub reused: Option<Reused>,
    /// When the first answer came.
    pub began: Timestamp,
    /// When the last one that changed anything came.
    pub at: Timestamp,
    /// How many answers changed anything.
    pub samples: u32,
    /// Good answers in a row.
    pub streak: u32,
    /// Bad ones.
    pub fails: u32,
    /// Questions that could not be asked, in a row.
    pub errors: u32,
}

/// Where an answer comes from that was not asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    /// The release.
    pub release: ReleaseNo,
    /// The stage.
    pub stage: StageName,
    /// The attempt.
    pub attempt: u32,
    /// The release's version; nothing in old logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When it was given; nothing in old logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl LegState {
    /// Whether it is asked no more.
    pub fn is_over(self) -> bool {
        self != Self::Running
    }
}

impl Leg {
    /// A leg with its next answer.
    #[must_use]
    pub fn with(
        before: Option<&Self>,
        (reading, state): (&Reading, LegState),
        question: &Digest,
        at: Timestamp,
    ) -> Self {
        let so_far = |count: fn(&Self) -> u32| before.map_or(0, count);
        let is = |answer: Answer| u32::from(reading.answer == answer);
        let in_a_row = |answer, count: fn(&Self) -> u32| is(answer) * so_far(count).saturating_add(1);
        Self {
            state,
            reading: reading.clone(),
            tail: Vec::new(),
            question: question.clone(),
            key: None,
            reused: None,
            began: before.map_or(at, |leg| leg.began),
            at,
            samples: so_far(|leg| leg.samples).saturating_add(1),
            streak: in_a_row(Answer::Pass, |leg| leg.streak),
            fails: so_far(|leg| leg.fails).saturating_add(is(Answer::Fail)),
            errors: in_a_row(Answer::Error, |leg| leg.errors),
        }
    }

    /// When it is asked again: by its pace, and after an error with growing patience.
    pub fn next(&self, check: &Check) -> Timestamp {
        let wait = match self.errors.checked_sub(1) {
            None => check.pace(),
            Some(doublings) => {
                BACKOFF.times(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(LONGEST_BACKOFF)
            }
        };
        self.at.plus(wait)
    }

    /// When it is given up, if it is asked again and again.
    pub fn deadline(&self, check: &Check) -> Option<Timestamp> {
        let open = self.state == LegState::Running && check.polls();
        open.then(|| self.began.plus(check.timeout.unwrap_or(TIMEOUT)))
    }
}

/// What an answer makes of a leg; nothing when it changes nothing, and is not worth an event.
pub fn answered(check: &Check, before: Option<&Leg>, reading: &Reading, now: Timestamp) -> Option<LegState> {
    let next = Leg::with(before, (reading, LegState::Running), &check.question(), now);
    let state = match reading.answer {
        Answer::Pass if next.streak >= check.consecutive => LegState::Passed,
        Answer::Fail if next.fails > check.failure_limit => LegState::Failed,
        Answer::Error if next.errors >= TRIES => LegState::Error,
        Answer::Inconclusive if !check.polls() => LegState::Inconclusive,
        Answer::Pass | Answer::Fail | Answer::Inconclusive | Answer::Error => LegState::Running,
    };
    let same = before.is_some_and(|leg| leg.reading.answer == reading.answer);
    let news = state.is_over() || !same || reading.answer != Answer::Inconclusive;
    news.then_some(state)
}

/// What targets are after so many answers about their health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Good so often in a row.
    Well,
    /// Bad too often, or at the only time that it is asked.
    Ill,
    /// It is asked again: what was just deployed may need its time.
    Open,
}

/// The answers about the health of a batch so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    good_in_a_row: u32,
    bad: u32,
}

impl Pulse {
    /// Counts one more. Unlike a leg, health that is asked again and again is bad as often as it likes where no limit is
    /// given, until its time is up.
    pub fn take(&mut self, check: &Check, answer: Answer) -> Health {
        if answer == Answer::Pass {
            self.good_in_a_row = self.good_in_a_row.saturating_add(1);
            return if self.good_in_a_row >= check.consecutive { Health::Well } else { Health::Open };
        }
        (self.good_in_a_row, self.bad) = (0, self.bad.saturating_add(1));
        let limited = check.failure_limit > 0 && self.bad > check.failure_limit;
        if limited || !check.polls() { Health::Ill } else { Health::Open }
    }
}

/// Why a batch is not well, as people read it: a check whose time was up may have answered well last.
pub fn not_well(check: &Check, (health, reading): (Health, &Reading), patience: Span) -> String {
    match health {
        Health::Open => {
            let times = if check.consecutive == 1 {
                "once".to_owned()
            } else {
                format!("{} times", check.consecutive)
            };
            // What a good answer says of itself is nothing that went wrong.
            let last = match reading.answer {
                Answer::Pass => ", although it was at last".to_owned(),
                Answer::Fail | Answer::Inconclusive | Answer::Error => {
                    format!("; at last it said {}", reading.detail)
                }
            };
            format!("{} was not well {times} in a row within {patience}{last}", check.name)
        }
        Health::Well | Health::Ill => format!("{} says {}", check.name, reading.detail),
    }
}

/// What becomes of a leg whose time is up: nobody can tell what a person has to decide.
pub fn timed_out(check: &Check, leg: &Leg) -> LegState {
    match (check.on_timeout, leg.reading.answer) {
        (OnTimeout::Continue, _) => LegState::Skipped,
        (OnTimeout::Pause, _) | (OnTimeout::Reject, Answer::Inconclusive) => LegState::Inconclusive,
        // Bad, or not good often enough.
        (OnTimeout::Reject, Answer::Fail | Answer::Pass) => LegState::Failed,
        // Nobody was asked: that says nothing about the release (SEMANTICS §5).
        (OnTimeout::Reject, Answer::Error) => LegState::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{CheckKind, Each, Reuse};

    fn check() -> Check {
        Check {
            name: "smoke".parse().unwrap(),
            kind: CheckKind::Run("./smoke.sh".to_owned()),
            blocking: true,
            overridable: true,
            each: Each::Release,
            reuse: Reuse::Never,
            every: None,
            consecutive: 1,
            delay: Span::ZERO,
            timeout: None,
            on_timeout: OnTimeout::Reject,
            failure_limit: 0,
        }
    }

    /// Plays answers, a minute apart: `p`, `f`, `i`, `e`; gives the state after each, `.` for no news.
    fn play(check: &Check, answers: &str) -> String {
        let mut leg: Option<Leg> = None;
        let mut now = Timestamp(0);
        let mut out = String::new();
        for letter in answers.chars() {
            now = now.plus(Span::minutes(1));
            let answer = match letter {
                'p' => Answer::Pass,
                'f' => Answer::Fail,
                'i' => Answer::Inconclusive,
                _ => Answer::Error,
            };
            let reading = Reading::new(answer, "seen");
            let Some(state) = answered(check, leg.as_ref(), &reading, now) else {
                out.push('.');
                continue;
            };
            out.push(match state {
                LegState::Running => 'r',
                LegState::Passed => 'P',
                LegState::Failed => 'F',
                LegState::Inconclusive => 'I',
                LegState::Error => 'E',
                LegState::Skipped => 'S',
            });
            leg = Some(Leg::with(leg.as_ref(), (&reading, state), &check.question(), now));
        }
        out
    }

    #[test]
    fn a_check_that_is_asked_once_ends_with_its_answer() {
        assert_eq!(play(&check(), "p"), "P");
        assert_eq!(play(&check(), "f"), "F");
        assert_eq!(play(&check(), "i"), "I");
    }

    #[test]
    fn an_error_is_no_failure_and_is_tried_a_few_times() {
        assert_eq!(play(&check(), "ep"), "rP");
        assert_eq!(play(&check(), "ef"), "rF");
        assert_eq!(play(&check(), "eeeee"), "rrrrE");
        let polled = Check { every: Some(Span::minutes(1)), failure_limit: 1, ..check() };
        assert_eq!(play(&polled, "efep"), "rrrP");
    }

    #[test]
    fn answers_in_a_row_and_answers_forgiven_are_counted() {
        let three = Check { consecutive: 3, failure_limit: 1, ..check() };
        assert_eq!(play(&three, "ppp"), "rrP");
        assert_eq!(play(&three, "ppfppp"), "rrrrrP");
        assert_eq!(play(&three, "pfpf"), "rrrF");
    }

    #[test]
    fn e23_health_that_flaps_is_never_well_and_ill_in_the_end() {
        let play = |check: &Check, answers: &str| {
            let mut pulse = Pulse::default();
            let take =
                |letter| match pulse.take(check, if letter == 'p' { Answer::Pass } else { Answer::Fail }) {
                    Health::Well => 'W',
                    Health::Ill => 'I',
                    Health::Open => '.',
                };
            answers.chars().map(take).collect::<String>()
        };
        let twice = Check { consecutive: 2, failure_limit: 2, ..check() };
        assert_eq!(play(&twice, "pfpfpf"), ".....I");
        assert_eq!(play(&twice, "fpp"), "..W");
        let patient = Check { failure_limit: 0, ..twice };
        assert_eq!(play(&patient, "pfpfpfpfpp"), ".........W");
        assert_eq!(play(&check(), "f"), "I");
        assert_eq!(play(&check(), "p"), "W");
        // Out of time it is told by what it never came to: its last word may have been a good one.
        let good = Reading::new(Answer::Pass, "all is well");
        let told = |health, reading| not_well(&patient, (health, reading), Span::minutes(5));
        let never = "smoke was not well 2 times in a row within 5m";
        assert_eq!(told(Health::Open, &good), format!("{never}, although it was at last"));
        let bad = Reading::new(Answer::Fail, "it is down");
        assert_eq!(told(Health::Open, &bad), format!("{never}; at last it said it is down"));
        assert_eq!(told(Health::Ill, &bad), "smoke says it is down");
    }

    #[test]
    fn what_says_nothing_new_is_no_event() {
        let waits = Check { every: Some(Span::minutes(5)), ..check() };
        assert_eq!(play(&waits, "iiiiip"), "r....P");
        assert_eq!(play(&waits, "iieeip"), "r.rrrP");
    }

    #[test]
    fn e23_only_what_was_seen_to_be_bad_fails_by_the_clock() {
        let end = |on_timeout, answer| {
            let check = Check { every: Some(Span::minutes(5)), consecutive: 2, on_timeout, ..check() };
            let reading = Reading::new(answer, "seen");
            let leg = Leg::with(None, (&reading, LegState::Running), &check.question(), Timestamp(0));
            timed_out(&check, &leg)
        };
        let all = [Answer::Pass, Answer::Fail, Answer::Inconclusive, Answer::Error];
        let (failed, unsure) = (LegState::Failed, LegState::Inconclusive);
        assert_eq!(
            all.map(|answer| end(OnTimeout::Reject, answer)),
            [failed, failed, unsure, LegState::Error]
        );
        assert_eq!(all.map(|answer| end(OnTimeout::Pause, answer)), [unsure; 4]);
        assert_eq!(all.map(|answer| end(OnTimeout::Continue, answer)), [LegState::Skipped; 4]);
    }

    #[test]
    fn waits_grow_after_errors_and_end() {
        let one = check();
        let error = Reading::new(Answer::Error, "no route to host");
        let mut leg: Option<Leg> = None;
        let mut waits = Vec::new();
        for _ in 0..5 {
            let next = Leg::with(leg.as_ref(), (&error, LegState::Running), &one.question(), Timestamp(0));
            waits.push(next.next(&one).since(Timestamp(0)).to_string());
            leg = Some(next);
        }
        assert_eq!(waits, ["30s", "1m", "2m", "4m", "5m"]);
    }
}
