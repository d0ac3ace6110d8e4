//! What is asked of the outside world without running a command, and what its answers mean (SEMANTICS §5).
//!
//! Texts may hold macros such as `$(App.Host)`; whoever sends a probe out puts their values in first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::effect::StatusState;
use crate::domain::name::{CommitSha, Login, printable};

/// Longest detail of a reading: one line of a page.
const DETAIL_CHARS: usize = 200;

/// Longest condition; a number and a sign need far less.
const CONDITION_BYTES: usize = 40;

/// One question to the outside world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// An address answers as it should.
    Http(HttpProbe),
    /// Another system's status on the release's commit is green; pending is a failure.
    Status(StatusProbe),
    /// Another app's check run on the release's commit is green; pending is a failure.
    Checks(ChecksProbe),
    /// At most so many issues match a search.
    Issues {
        /// The search in the host's own words.
        query: String,
        /// More than this fail.
        max: u32,
    },
    /// The value of a Prometheus query is within bounds.
    Metric {
        /// The server's address, without `/api/v1/query`.
        server: String,
        /// The query.
        query: String,
        /// What every value must satisfy.
        pass: Condition,
    },
    /// Another system reports when it is done; pending is no failure.
    WaitFor(Awaited),
}

impl Probe {
    /// Whether the host of a repository is asked, which knows no other repositories than its own.
    pub fn asks_host(&self) -> bool {
        match self {
            Self::Http(_) | Self::Metric { .. } => false,
            Self::Status(_) | Self::Checks(_) | Self::Issues { .. } | Self::WaitFor(_) => true,
        }
    }
}

/// A request and the answer it should get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// The address.
    pub url: String,
    /// How it is asked.
    pub method: Method,
    /// The answer's status is one of these, at least one.
    pub expect: Vec<u16>,
    /// The answer's text holds this.
    pub body_contains: Option<String>,
}

/// How an address is asked; nothing that changes the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// With its body.
    #[default]
    Get,
    /// Without.
    Head,
}

/// A commit status by its context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusProbe {
    /// Its name.
    pub context: String,
    /// The only account whose statuses count, `ci[bot]` for an app; anybody's when absent (THREATS T55).
    pub by: Option<Login>,
}

/// A check run by its name and the number of the app that made it (THREATS T55).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecksProbe {
    /// Its name.
    pub name: String,
    /// The app's number.
    pub app: u64,
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// A commit status.
    Status(StatusProbe),
    /// A check run.
    Checks(ChecksProbe),
}

/// A commit status as the host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Its name.
    pub context: String,
    /// Its value.
    pub state: StatusState,
    /// Who wrote it, when the host says so.
    pub by: Option<Login>,
}

/// A check run as the host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Its number; a newer run has a higher one.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The app that made it, when the host says so.
    pub app: Option<u64>,
    /// How it ended; `None` while it has not.
    pub conclusion: Option<String>,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail,
    /// It cannot be told yet, or not from what there is.
    Inconclusive,
    /// The question could not be asked; says nothing about what was asked.
    Error,
}

/// The answer to a probe, with one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What came of it.
    pub answer: Answer,
    /// What was seen, on one bounded line.
    pub detail: String,
    /// The number that was seen, where the question asks for one.
    #[serde(default)]
    pub value: Option<String>,
}

impl Reading {
    /// A reading; of the detail one line is kept.
    pub fn new(answer: Answer, detail: impl AsRef<str>) -> Self {
        Self { answer, detail: one_line(detail.as_ref()), value: None }
    }

    /// The same with the number that was seen.
    #[must_use]
    pub fn with_value(self, value: impl AsRef<str>) -> Self {
        Self { value: Some(one_line(value.as_ref())), ..self }
    }
}

/// The text on one line, without anything a terminal obeys, cut where a page would.
fn one_line(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let text = text.trim();
    if text.chars().count() <= DETAIL_CHARS {
        return text.to_owned();
    }
    text.chars().take(DETAIL_CHARS - 1).chain(['…']).collect()
}

/// Whether something that is not decided yet counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Now or never.
    None,
    /// It may still come.
    Waits,
}

impl Patience {
    fn undecided(self) -> Answer {
        match self {
            Self::None => Answer::Fail,
            Self::Waits => Answer::Inconclusive,
        }
    }
}

impl StatusProbe {
    /// What these statuses of a commit, newest first, say.
    pub fn read(&self, statuses: &[CommitStatus], patience: Patience, commit: &CommitSha) -> Reading {
        let named = || statuses.iter().filter(|s| s.context == self.context);
        // GitHub compares logins without case.
        let by = |s: &&CommitStatus| {
            self.by.as_ref().is_none_or(|wanted| {
                s.by.as_ref().is_some_and(|by| by.as_str().eq_ignore_ascii_case(wanted.as_str()))
            })
        };
        let (what, commit) = (&self.context, commit.short());
        match (named().find(by), named().next(), &self.by) {
            (Some(found), _, _) => {
                let answer = match found.state {
                    StatusState::Success => Answer::Pass,
                    StatusState::Pending => patience.undecided(),
                    StatusState::Failure | StatusState::Error => Answer::Fail,
                };
                Reading::new(answer, format!("status `{what}` on {commit} is {}", found.state.word()))
            }
            (None, Some(_), Some(by)) => Reading::new(
                patience.undecided(),
                format!("{by} has not written status `{what}` on {commit}; another account's does not count"),
            ),
            (None, Some(_) | None, Some(_) | None) => {
                Reading::new(patience.undecided(), format!("{commit} has no status `{what}` yet"))
            }
        }
    }
}

impl ChecksProbe {
    /// What these check runs of a commit say: the newest run of this name by this app counts (THREATS T55).
    pub fn read(&self, runs: &[CheckRun], patience: Patience, commit: &CommitSha) -> Reading {
        let named = || runs.iter().filter(|run| run.name == self.name);
        let newest = named().filter(|run| run.app == Some(self.app)).max_by_key(|run| run.id);
        let (what, commit) = (&self.name, commit.short());
        let Some(run) = newest else {
            let detail = match named().next() {
                Some(_) => format!(
                    "app {} has no check `{what}` on {commit}; another app's does not count",
                    self.app
                ),
                None => format!("{commit} has no check `{what}` yet"),
            };
            return Reading::new(patience.undecided(), detail);
        };
        let Some(conclusion) = &run.conclusion else {
            return Reading::new(patience.undecided(), format!("check `{what}` on {commit} has not ended"));
        };
        let answer = match conclusion.as_str() {
            "success" => Answer::Pass,
            // Neither says that anything was looked at and found good.
            "neutral" | "skipped" => Answer::Inconclusive,
            _ => Answer::Fail,
        };
        Reading::new(answer, format!("check `{what}` on {commit} ended as {}", printable(conclusion)))
    }
}

/// What so many matching issues say when at most `max` may match.
pub fn issues_reading(count: u64, max: u32) -> Reading {
    let answer = if count <= u64::from(max) { Answer::Pass } else { Answer::Fail };
    Reading::new(answer, format!("{count} matching issue{}, at most {max} allowed", plural(count)))
        .with_value(count.to_string())
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What the values of a query say: all must satisfy the condition, and no value says nothing.
pub fn metric_reading(values: &[f64], pass: &Condition) -> Reading {
    let numbers = values.iter().filter(|v| !v.is_nan());
    let Some(worst) = numbers.clone().find(|v| !pass.holds(**v)).or_else(|| numbers.clone().next()) else {
        let what = if values.is_empty() { "the query has no data" } else { "the query gives no number" };
        return Reading::new(Answer::Inconclusive, what);
    };
    if !pass.holds(*worst) {
        return Reading::new(Answer::Fail, format!("{worst} is not {pass}")).with_value(worst.to_string());
    }
    if numbers.count() < values.len() {
        return Reading::new(Answer::Inconclusive, "some series of the query give no number")
            .with_value(worst.to_string());
    }
    Reading::new(Answer::Pass, format!("{worst} {pass}")).with_value(worst.to_string())
}

/// How a number compares with a bound: `< 0.01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    compare: Compare,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Other,
}

/// A finite number, which is equal to itself.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}

/// Two signs come first, so that `<=` is not read as `<`.
const SIGNS: [(&str, Compare); 6] = [
    ("<=", Compare::AtMost),
    (">=", Compare::AtLeast),
    ("==", Compare::Equal),
    ("!=", Compare::Other),
    ("<", Compare::Less),
    (">", Compare::More),
];

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError;

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition is a comparison with a number: `< 0.01`, `>= 3`, `== 0`")
    }
}

impl std::error::Error for ConditionError {}

impl Condition {
    /// Whether a number satisfies it.
    pub fn holds(&self, value: f64) -> bool {
        let Bound(bound) = self.bound;
        match self.compare {
            Compare::Less => value < bound,
            Compare::AtMost => value <= bound,
            Compare::More => value > bound,
            Compare::AtLeast => value >= bound,
            Compare::Equal => value.partial_cmp(&bound) == Some(std::cmp::Ordering::Equal),
            Compare::Other => value.partial_cmp(&bound) != Some(std::cmp::Ordering::Equal),
        }
    }
}

impl FromStr for Condition {
    type Err = ConditionError;
    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let read = |(sign, compare): (&str, Compare)| {
            let number = text.strip_prefix(sign)?.trim();
            let plain = number.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            let bound = number.parse::<f64>().ok().filter(|n| plain && n.is_finite())?;
            Some(Self { compare, bound: Bound(bound) })
        };
        if text.len() > CONDITION_BYTES {
            return Err(ConditionError);
        }
        SIGNS.into_iter().find_map(read).ok_or(ConditionError)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, compare)| *compare == self.compare).map_or("", |(sign, _)| sign);
        write!(f, "{sign} {}", self.bound.0)
    }
}

impl TryFrom<String> for Condition {
    type Error = ConditionError;
    fn try_from(text: String) -> Result<Self, ConditionError> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> CommitSha {
        "a".repeat(40).parse().unwrap()
    }

    fn status(context: &str, state: StatusState, by: Option<&str>) -> CommitStatus {
        CommitStatus { context: context.to_owned(), state, by: by.map(|b| b.parse().unwrap()) }
    }

    fn run(id: u64, name: &str, app: u64, conclusion: Option<&str>) -> CheckRun {
        CheckRun { id, name: name.to_owned(), app: Some(app), conclusion: conclusion.map(str::to_owned) }
    }

    #[test]
    fn d23_d27_a_status_is_read_and_waited_for() {
        let probe = StatusProbe { context: "ci/val-build".to_owned(), by: None };
        let read = |statuses: &[CommitStatus], patience| probe.read(statuses, patience, &commit()).answer;
        let of =
            |state| [status("ci/val-build", state, None), status("ci/other", StatusState::Failure, None)];
        for patience in [Patience::None, Patience::Waits] {
            assert_eq!(read(&of(StatusState::Success), patience), Answer::Pass);
            assert_eq!(read(&of(StatusState::Failure), patience), Answer::Fail);
            assert_eq!(read(&of(StatusState::Error), patience), Answer::Fail);
        }
        assert_eq!(read(&of(StatusState::Pending), Patience::None), Answer::Fail);
        assert_eq!(read(&of(StatusState::Pending), Patience::Waits), Answer::Inconclusive);
        assert_eq!(read(&[], Patience::None), Answer::Fail);
        assert_eq!(read(&[], Patience::Waits), Answer::Inconclusive);
        // The newest one counts.
        let newer = [of(StatusState::Failure), of(StatusState::Success)].concat();
        assert_eq!(read(&newer, Patience::Waits), Answer::Fail);
    }

    #[test]
    fn t55_a_status_of_another_account_does_not_count() {
        let by = Some("val-build[bot]".parse().unwrap());
        let probe = StatusProbe { context: "ci/val-build".to_owned(), by };
        let forged = status("ci/val-build", StatusState::Success, Some("eve"));
        let nobody = status("ci/val-build", StatusState::Success, None);
        let reading = probe.read(&[forged.clone(), nobody], Patience::None, &commit());
        assert_eq!(reading.answer, Answer::Fail);
        assert!(reading.detail.contains("another account's does not count"), "{}", reading.detail);
        let own = status("ci/val-build", StatusState::Success, Some("Val-Build[bot]"));
        assert_eq!(probe.read(&[forged, own], Patience::None, &commit()).answer, Answer::Pass);
    }

    #[test]
    fn t55_the_newest_run_by_app_and_name_counts() {
        let probe = ChecksProbe { name: "build".to_owned(), app: 7 };
        let read = |runs: &[CheckRun], patience| probe.read(runs, patience, &commit());
        let foreign = run(9, "build", 8, Some("success"));
        let reading = read(std::slice::from_ref(&foreign), Patience::None);
        assert_eq!(reading.answer, Answer::Fail);
        assert!(reading.detail.contains("another app's does not count"), "{}", reading.detail);
        let older = run(3, "build", 7, Some("success"));
        let newer = run(5, "build", 7, Some("failure"));
        assert_eq!(
            read(&[foreign.clone(), older.clone(), newer.clone()], Patience::None).answer,
            Answer::Fail
        );
        assert_eq!(read(&[newer, older, foreign], Patience::Waits).answer, Answer::Fail);
        let open = [run(5, "build", 7, None)];
        assert_eq!(read(&open, Patience::None).answer, Answer::Fail);
        assert_eq!(read(&open, Patience::Waits).answer, Answer::Inconclusive);
        for (conclusion, answer) in [
            ("success", Answer::Pass),
            ("neutral", Answer::Inconclusive),
            ("skipped", Answer::Inconclusive),
            ("cancelled", Answer::Fail),
            ("a word of tomorrow", Answer::Fail),
        ] {
            assert_eq!(read(&[run(1, "build", 7, Some(conclusion))], Patience::None).answer, answer);
        }
    }

    #[test]
    fn conditions_compare_and_print_as_they_are_read() {
        for (text, below, at, above) in [
            ("< 0.5", true, false, false),
            ("<= 0.5", true, true, false),
            ("> 0.5", false, false, true),
            (">= 0.5", false, true, true),
            ("== 0.5", false, true, false),
            ("!= 0.5", true, false, true),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(
                (condition.holds(0.4), condition.holds(0.5), condition.holds(0.6)),
                (below, at, above),
                "{text}"
            );
            assert_eq!(condition.to_string(), text);
            assert_eq!(text.replace(' ', "").parse(), Ok(condition));
        }
        assert_eq!("<-1e-3".parse::<Condition>().unwrap().to_string(), "< -0.001");
        for text in ["", "<", "0.01", "= 1", "< x", "< nan", "< inf", "< 1 or 1", "=< 1", "< 1e999"] {
            assert_eq!(text.parse::<Condition>(), Err(ConditionError), "{text}");
        }
    }

    #[test]
    fn every_series_must_satisfy_the_condition_and_no_data_is_no_answer() {
        let pass: Condition = "< 0.01".parse().unwrap();
        let answer = |values: &[f64]| metric_reading(values, &pass).answer;
        assert_eq!(answer(&[]), Answer::Inconclusive);
        assert_eq!(answer(&[f64::NAN]), Answer::Inconclusive);
        assert_eq!(answer(&[0.001, f64::NAN]), Answer::Inconclusive);
        assert_eq!(answer(&[0.001, 0.002]), Answer::Pass);
        assert_eq!(answer(&[0.001, 0.02]), Answer::Fail);
        assert_eq!(answer(&[f64::NAN, 0.02]), Answer::Fail);
        assert_eq!(metric_reading(&[0.001, 0.02], &pass).value.as_deref(), Some("0.02"));
    }

    #[test]
    fn a_detail_is_one_bounded_line() {
        let reading = Reading::new(Answer::Error, format!("a\u{1b}[31m\nb {}", "x".repeat(500)));
        assert!(reading.detail.starts_with("a [31m b x"), "{}", reading.detail);
        assert_eq!(reading.detail.chars().count(), DETAIL_CHARS);
        assert_eq!(issues_reading(1, 0).detail, "1 matching issue, at most 0 allowed");
        assert_eq!(issues_reading(0, 0).answer, Answer::Pass);
    }
}
